//! `gridloom runs`, `show`, `audit`, `dead list`: what the ledgers of runs say.
//!
//! What they say is read in [`gridloom_shared::reads`]; here it is only shown.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::summary::{RunSummary, ShardSummary};
use gridloom_shared::reads;
use gridloom_shared::reads::by_hand::{self, WaitingRun};
use gridloom_shared::reads::waits::{self, Said};
use gridloom_shared::waiting::Waiting;
use serde::Serialize;

use super::installation;
use crate::args;
use crate::context::Context;
use crate::fault::Verdict;
use crate::output::{Align, Table, counted, grouped, grouped_digits, spoken};

mod audit;
mod dead;
mod failures;
mod held;
mod numbered;
mod odd;
mod shard;
mod show;
mod troubles;
mod waiting;

pub use audit::{audit, show_report};
pub use dead::dead;
pub use show::show;

pub(super) use held::words as held_words;
pub(super) use numbered::attempt as numbered;
pub(super) use odd::hint as odd_hint;
pub(super) use troubles::{reason, troubles};

/// A run, as `runs --json` prints it.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed<'r> {
    Waiting(&'r WaitingRun),
    Run {
        #[serde(flatten)]
        summary: &'r RunSummary,
        /// What it waits for, the first reason first, as `show --json` says it; left out of one that is over, and where no
        /// planner has said it.
        #[serde(skip_serializing_if = "Option::is_none")]
        waits: Option<&'r Vec<Waiting>>,
    },
}

/// Of so many open runs it is asked what they wait for: the newest.
const ASKED: usize = 100;

/// Lists runs, those that wait to be opened before all others, the newest first.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(context: &Context, flags: &args::Runs) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    // Before the others: one that is opened meanwhile is among those.
    let mut waiting = match flags.state {
        None => by_hand::list(&broker, flags.job.as_ref()).await?,
        Some(_) => Vec::new(),
    };
    waiting.truncate(flags.limit);
    let room = flags.limit - waiting.len();
    let listed = reads::runs::list(&broker, (flags.job.as_ref(), flags.state), room).await?;
    waiting.retain(|waits| listed.runs.iter().all(|run| run.run != waits.run));
    if let Some(job) = &flags.job
        && listed.runs.is_empty()
        && waiting.is_empty()
        && listed.left_out.is_empty()
    {
        installation::check_job(&broker, job).await?;
    }
    let open = listed.runs.iter().filter(|run| !run.state.ended());
    let said = waits::of_listed(&broker, open.take(ASKED)).await;
    let said = said.unwrap_or_default();
    let runs = listed.runs.iter().map(|summary| Listed::Run {
        waits: said.get(&summary.run),
        summary,
    });
    let all: Vec<Listed> = waiting.iter().map(Listed::Waiting).chain(runs).collect();
    context.output.show(&all, |output| {
        let mut table = Table::new([
            ("run", Align::Left),
            ("state", Align::Left),
            ("shards", Align::Left),
            ("age", Align::Right),
            ("took", Align::Right),
        ]);
        for waits in &waiting {
            table.row(waiting::cells(waits));
        }
        for run in &listed.runs {
            table.row([
                run.run.to_string(),
                run.state.as_str().to_owned(),
                standing(run, &said),
                age(run.opened_at.as_deref()),
                took(run).unwrap_or_default(),
            ]);
        }
        output.table(
            &table,
            "no runs yet; start one with gridloom run JOB --wait",
        );
        if listed.more > 0 {
            output.note(format!(
                "{} more; see them with --limit",
                counted(listed.more, "older run")
            ));
        }
    });
    context.output.left_out(&listed.left_out);
    Ok(Verdict::Fine)
}

/// `1,000`, or how many of them, what became of the others, and what the run is in want of.
fn standing(run: &RunSummary, said: &Said) -> String {
    let (done, all) = (run.shards.done, run.grid.shards);
    let mut words = dead_words(&run.shards);
    let waits = said.get(&run.run).into_iter().flatten();
    let wanted = waits.filter(|wait| !wait.is_at_work()).take(1);
    words.extend(wanted.map(|wait| format!("waits: {wait}")));
    if done == all && words.is_empty() {
        return grouped(all);
    }
    let words = words.iter().map(|words| format!(", {words}"));
    let words: String = words.collect();
    format!("{} of {}{words}", grouped(done), grouped(all))
}

/// `3 dead`, `1 dead probe`, `2 of them given up`: a probe is no shard of the grid, and a run whose probes are dead has failed all the same.
pub(super) fn dead_words(shards: &ShardSummary) -> Vec<String> {
    let mut words = Vec::new();
    if shards.dead > 0 {
        words.push(format!("{} dead", grouped(shards.dead)));
    }
    if shards.dead_probes > 0 {
        words.push(counted(shards.dead_probes, "dead probe"));
    }
    match (shards.given_up, shards.dead_kept()) {
        (0, _) => {}
        (_, 0) => words.push("all given up".to_owned()),
        (some, _) => words.push(format!("{} of them given up", grouped(some))),
    }
    words
}

/// Where to look further where something is dead.
pub(super) fn dead_hint(run: &RunId) -> String {
    format!(
        "see what is dead, and why, with gridloom dead list {run}; gridloom retry {run} tries it again by the job as it \
         was when the run was opened: once the job is changed, start a new run (gridloom run {})",
        run.job()
    )
}

/// How long ago `at` was, as `4 min`.
fn age(at: Option<&str>) -> String {
    let Some(at) = at.and_then(unix_ms) else {
        return String::new();
    };
    match UnixMs::now().0.saturating_sub(at) / 1_000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds => spoken(Duration::from_secs(seconds)),
    }
}

/// How long a run took that is over.
fn took(run: &RunSummary) -> Option<String> {
    let (from, to) = (
        unix_ms(run.opened_at.as_deref()?)?,
        unix_ms(run.closed_at.as_deref()?)?,
    );
    Some(spoken(Duration::from_millis(to.saturating_sub(from))))
}

fn unix_ms(text: &str) -> Option<u64> {
    let at =
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

pub(super) fn grouped_signed(number: i128) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!(
        "{sign}{}",
        grouped_digits(&number.unsigned_abs().to_string())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_probes_are_told_beside_dead_shards() {
        let of = |dead, dead_probes, given_up| ShardSummary {
            planned: dead,
            done: 0,
            dead,
            dead_probes,
            given_up,
            outstanding: 0,
            late: 0,
            retried: 0,
            taken_over: 0,
        };
        assert!(dead_words(&of(0, 0, 0)).is_empty());
        assert_eq!(dead_words(&of(0, 1, 0)), ["1 dead probe"]);
        let both = dead_words(&of(1_000, 2, 0));
        assert_eq!(both, ["1,000 dead", "2 dead probes"]);
        let some = dead_words(&of(3, 0, 1));
        assert_eq!(some, ["3 dead", "1 of them given up"]);
        assert_eq!(dead_words(&of(3, 0, 3)), ["3 dead", "all given up"]);
    }
}
