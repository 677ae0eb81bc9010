//! What each column of XXL-JOB's table `xxl_job_info` becomes here. Every column is either taken, or said to be otherwise.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `clock` | when a job fires, and what becomes of a fire that cannot be |
//! | `code` | what executes it: a handler, a script, a command, a request |

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gridloom_shared::id::JobName;

use super::imported::{Imported, cut, name_of, quoted};
use super::node::Node;
use super::note::{Kind, Note};
use super::reading::Reading;

mod clock;
mod code;

/// Columns by which a row of this table is known.
pub(super) const KNOWN: &[&str] = &["executor_handler", "glue_type"];

/// What is otherwise for every job, whatever its columns say.
pub(super) const ALWAYS: &[&str] = &[
    "a job succeeds when each of its shards has, and what came of each is on record: gridloom show RUN; there a trigger that an executor took was a success until it said otherwise",
    "a shard whose worker dies is taken over at once; there its run was failed after some ten minutes, and the next fire was the next attempt",
    "any worker that has the handler takes any shard; there is no address list, and no registration of executors with the admin",
    "a fire during a run never waits in the memory of an executor: each has its answer, gridloom job why JOB TIME",
];

/// So much of a handler's name a job is called by that has its number behind it.
const SHARED_MAX: usize = 40;

/// Columns that say how it went there: nothing of it is brought along.
const HISTORY: &[&str] = &[
    "add_time",
    "update_time",
    "glue_remark",
    "glue_updatetime",
    "trigger_last_time",
    "trigger_next_time",
];

/// What the whole table says, and whoever imports it.
#[derive(Clone, Debug, Default)]
pub(super) struct Table<'t> {
    /// The zone of the admin's clock.
    pub(super) timezone: Option<&'t str>,
    /// How many slices jobs have that were broadcast.
    pub(super) slices: Option<u32>,
    /// The groups of executors.
    groups: Vec<Option<String>>,
    /// How many jobs have a handler.
    sharing: BTreeMap<String, usize>,
}

impl<'t> Table<'t> {
    /// Of these rows.
    pub(super) fn of(rows: &[Node], timezone: Option<&'t str>, slices: Option<u32>) -> Table<'t> {
        let text = |row: &Node, name: &str| row.get(name).and_then(Node::text).map(str::to_owned);
        let mut groups: Vec<_> = rows.iter().map(|row| text(row, "job_group")).collect();
        groups.sort();
        groups.dedup();
        let mut sharing = BTreeMap::new();
        for row in rows {
            let handler = text(row, "executor_handler").unwrap_or_default();
            *sharing.entry(name_of(&handler)).or_insert(0) += 1;
        }
        Table {
            timezone,
            slices,
            groups,
            sharing,
        }
    }

    /// What is said of all rows at once.
    pub(super) fn notes(&self, rows: &[Node], notes: &mut Vec<Note>) {
        for field in HISTORY {
            if rows
                .iter()
                .any(|row| row.get(field).is_some_and(|node| *node != Node::Nothing))
            {
                let text = "says how it went there, of which nothing is brought along";
                notes.push(Note::of(Kind::Dropped, field, text));
            }
        }
    }

    /// What the job of a row becomes.
    pub(super) fn import(&self, row: &Node) -> Imported {
        let mut reading = Reading::of(row, "id");
        let id = reading.exact("id").unwrap_or_else(|| {
            reading.note(Kind::Open, "id", "is not there: which job is it?");
            "0".to_owned()
        });
        for field in HISTORY {
            reading.node(field);
        }
        let said = reading.exact("job_desc").unwrap_or_default();
        let handler = reading.exact("executor_handler");
        let name = self.name(&mut reading, &id, handler.as_deref());
        let author = reading.exact("author");
        let description = match author {
            Some(author) => format!("{said} ({author})"),
            None => said.clone(),
        };
        let (code, parameter) = code::code(&mut reading, handler.as_deref(), &name);
        let slices = self.slices(&mut reading);
        let schedule = clock::schedule(&mut reading, self.timezone);
        let paused = paused(&mut reading, schedule.is_some());
        let queue = self.queue(&mut reading);
        let mut body = String::new();
        if slices > 1 {
            let _ = writeln!(body, "[grid]\nslices = {slices}");
        }
        body.push_str(&limits(&mut reading));
        body.push_str(&schedule.unwrap_or_default());
        let params = parameter.map(|text| format!("executorParam = {}", quoted(&text)));
        leave_out(&mut reading);
        reading.ask_of_the_rest();
        let was = format!("{id} ({said})");
        let imported = Imported {
            from: format!("XXL-JOB's job {id}"),
            known_as: None,
            name,
            was,
            paused,
            notes: reading.notes,
            description,
            code,
            queue,
            body,
            params: params.unwrap_or_default(),
        };
        imported.checked()
    }

    /// Jobs have numbers there: here they are called like what executes them, and by their number too where several are.
    fn name(&self, reading: &mut Reading<'_>, id: &str, handler: Option<&str>) -> String {
        let plain = name_of(handler.unwrap_or_default());
        let several = self.sharing.get(&plain).copied().unwrap_or_default() > 1;
        let name = match (plain.is_empty(), several) {
            (true, _) => name_of(&format!("job-{id}")),
            (false, true) => name_of(&format!("{}-{id}", &plain[..plain.len().min(SHARED_MAX)])),
            (false, false) => plain.clone(),
        };
        let (name, kind) = match JobName::new(name.clone()) {
            Ok(_) => (name, Kind::Changed),
            Err(_) => ("job".to_owned(), Kind::Open),
        };
        let cut = match several && plain.len() > SHARED_MAX {
            true => "; what is longer is cut off".to_owned(),
            false => cut(handler.unwrap_or_default()),
        };
        reading.note(
            kind,
            "id",
            format!("{id} is called {name} here: names have a-z, 0-9 and -{cut}"),
        );
        name
    }

    /// Which workers it is for, where those are not all.
    fn queue(&self, reading: &mut Reading<'_>) -> Option<String> {
        let group = reading.exact("job_group")?;
        if self.groups.len() < 2 {
            reading.note(
                Kind::Dropped,
                "job_group",
                format!("{group}: all jobs are of it, and its workers serve the queue default"),
            );
            return None;
        }
        let queue_of = |group: &str| name_of(&format!("group-{group}"));
        let queue = queue_of(&group);
        let mut groups = self.groups.iter().flatten();
        if let Some(other) = groups.find(|other| **other != group && queue_of(other) == queue) {
            let text = format!(
                "{group}: its queue would be {queue}, as that of {other} is: which queues do their workers serve?"
            );
            reading.note(Kind::Open, "job_group", text);
        }
        reading.note(
            Kind::Changed,
            "job_group",
            format!("{group}: its executors are workers that serve the queue {queue} (gridloom worker --queue {queue})"),
        );
        Some(queue)
    }

    fn slices(&self, reading: &mut Reading<'_>) -> u32 {
        const FIELD: &str = "executor_route_strategy";
        let Some(strategy) = reading.exact(FIELD) else {
            return 1;
        };
        match (strategy.to_ascii_uppercase().as_str(), self.slices) {
            ("SHARDING_BROADCAST", Some(slices)) => {
                let text = format!(
                    "{strategy}: {slices} slices, whichever workers are there; shard.slice and shard.slices are the index and the total"
                );
                reading.note(Kind::Changed, FIELD, text);
                return slices;
            }
            ("SHARDING_BROADCAST", None) => reading.note(
                Kind::Open,
                FIELD,
                "SHARDING_BROADCAST: each executor got its index and how many there were: how many slices are there to be (--slices N)? \
                 What has to be done once on each machine is no sharding: give each machine a queue of its own",
            ),
            ("FIRST" | "LAST" | "CONSISTENT_HASH", _) => reading.note(
                Kind::Changed,
                FIELD,
                format!("{strategy}: any worker of the queue takes it; what needs one machine gets a queue that only that one serves"),
            ),
            (
                "ROUND" | "RANDOM" | "LEAST_FREQUENTLY_USED" | "LEAST_RECENTLY_USED" | "FAILOVER" | "BUSYOVER",
                _,
            ) => reading.note(
                Kind::Dropped,
                FIELD,
                format!("{strategy}: workers pull when they have room; nothing is assigned"),
            ),
            _ => reading.note(
                Kind::Open,
                FIELD,
                format!("{strategy}: is not known to this import: does it matter who executes it?"),
            ),
        }
        1
    }
}

/// Whether it is to be paused: one without a schedule stands still anyway.
fn paused(reading: &mut Reading<'_>, fires: bool) -> bool {
    const FIELD: &str = "trigger_status";
    let said = reading.exact(FIELD);
    match said.as_deref().map(str::trim) {
        Some("1") => false,
        Some("0") if !fires => false,
        Some("0") => {
            let text =
                "0, stopped: apply it paused, as is said below; gridloom job resume starts it";
            reading.note(Kind::Changed, FIELD, text);
            true
        }
        None => {
            reading.note(Kind::Open, FIELD, "is not there: is it running?");
            false
        }
        Some(other) => {
            let text = format!("{other:?} is neither 0 nor 1: is it running?");
            reading.note(Kind::Open, FIELD, text);
            false
        }
    }
}

/// The lines of `[retry]` and `[limits]`.
fn limits(reading: &mut Reading<'_>) -> String {
    let mut number = |field: &str| {
        let text = reading.exact(field)?;
        match text.trim().parse::<u64>() {
            Ok(number) => Some(number),
            Err(_) => {
                reading.note(
                    Kind::Open,
                    field,
                    format!("{text:?} is no number: which is meant?"),
                );
                None
            }
        }
    };
    let retries = number("executor_fail_retry_count").unwrap_or(0);
    let timeout = number("executor_timeout").unwrap_or(0);
    let mut lines = format!("[retry]\nmax_attempts = {}\n", retries.saturating_add(1));
    if retries > 0 {
        let text = format!(
            "{retries}: {} attempts of a shard, with a backoff in between (retry.backoff); there the whole trigger was repeated some ten seconds later",
            retries + 1
        );
        reading.note(Kind::Changed, "executor_fail_retry_count", text);
    }
    if timeout > 0 {
        let text = format!(
            "{timeout} s are the limit of each attempt of a shard; what is out of time there was interrupted, and told as failed"
        );
        reading.note(Kind::Changed, "executor_timeout", text);
        let _ = writeln!(lines, "[limits]\ntimeout = \"{timeout}s\"");
    }
    lines
}

/// What has no counterpart, and why.
fn leave_out(reading: &mut Reading<'_>) {
    if let Some(mails) = reading.exact("alarm_email") {
        let text = format!(
            "{mails}: alerts come from the metrics: deploy/prometheus has one for dead shards, and one for failed runs"
        );
        reading.note(Kind::Dropped, "alarm_email", text);
    }
    if let Some(children) = reading.exact("child_jobid") {
        let text = format!(
            "{children}: these jobs were triggered when it had succeeded. There is no such chain here: let its last step run them (gridloom run JOB, or a message to their subject), or give them a schedule"
        );
        reading.note(Kind::Open, "child_jobid", text);
    }
}

#[cfg(test)]
mod tests;
