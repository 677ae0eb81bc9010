//! Names in a job's settings that workers alone can know: a database, a command. No definition is wrong in them, and a
//! shard is dead where it is given to a worker that does not know the one its job names.

use std::collections::BTreeSet;
use std::fmt;

use crate::id::QueueName;
use crate::job::JobSpec;
use crate::limits::{KNOWN_BYTES_MAX, KNOWN_MAX};
use crate::presence::Presence;

/// Names of others that are told.
const TOLD_MAX: usize = 5;
/// A worker that leaves no room for one more name may know more than it says.
const NAME_ROOM: usize = 256;

/// What a job names and no worker that could run it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The setting: `sql.database`.
    pub path: &'static str,
    /// What such a name stands for: `database`.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// The job's queue.
    pub queue: QueueName,
    /// Workers that were asked.
    pub workers: usize,
    /// What they know instead.
    pub known: Vec<String>,
}

/// What `job` names and nobody of `here` knows who could run it. `None` also where nobody could, which others say, and
/// where one may know more than it has room to say.
pub fn of(job: &JobSpec, here: &[Presence]) -> Option<Unknown> {
    let (path, kind, setting) = match job.handler.as_str() {
        "sql" => ("sql.database", "database", "database"),
        "exec" => ("exec.command", "command", "command"),
        _ => return None,
    };
    let name = job.settings.get(setting)?.as_str()?;
    let able = here.iter().filter(|worker| {
        let has = worker.handlers.contains(&job.handler) && worker.queues.contains(&job.queue);
        has && !worker.stopping
    });
    let able: Vec<&Presence> = able.collect();
    let of_handler = |known: &String| {
        let (handler, name) = known.split_once('/')?;
        (handler == job.handler.as_str()).then(|| name.to_owned())
    };
    let known: BTreeSet<String> = able
        .iter()
        .flat_map(|worker| worker.knows.iter().filter_map(of_handler))
        .collect();
    if able.is_empty() || known.contains(name) || able.iter().any(|worker| may_know_more(worker)) {
        return None;
    }
    Some(Unknown {
        path,
        kind,
        name: name.to_owned(),
        queue: job.queue.clone(),
        workers: able.len(),
        known: known.into_iter().collect(),
    })
}

fn may_know_more(worker: &Presence) -> bool {
    let bytes: usize = worker.knows.iter().map(String::len).sum();
    worker.knows.len() >= KNOWN_MAX || bytes + NAME_ROOM > KNOWN_BYTES_MAX
}

impl Unknown {
    /// How it is mended.
    pub fn advice(&self) -> String {
        let Unknown {
            kind, name, queue, ..
        } = self;
        let (table, key, flag, is) = match self.path {
            "sql.database" => ("sql", "worker.databases", "--database", "URL"),
            _ => ("exec", "worker.exec", "--exec", "COMMAND"),
        };
        format!(
            "name one of theirs in [{table}] {kind} and apply the job, or give each worker of queue {queue} this one \
             ({key}, {flag} {name}={is})"
        )
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unknown {
            kind, name, queue, ..
        } = self;
        let who = match self.workers {
            1 => "the only worker".to_owned(),
            many => format!("any of the {many} workers"),
        };
        write!(f, "{kind} {name:?} is not known to {who} of queue {queue}")?;
        let Some((first, others)) = self.known.split_first() else {
            return Ok(());
        };
        write!(f, ", which knows {first}")?;
        for other in others.iter().take(TOLD_MAX - 1) {
            write!(f, ", {other}")?;
        }
        match others.len().saturating_sub(TOLD_MAX - 1) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::UnixMs;
    use crate::holdings::Packed;
    use crate::id::{HandlerName, Session, WorkerName};
    use crate::job::parse;

    fn worker(handler: &str, knows: &[&str]) -> Presence {
        Presence {
            worker: WorkerName::new("w").unwrap(),
            session: Session(1),
            queues: vec![QueueName::new("default").unwrap()],
            handlers: vec![HandlerName::new(handler).unwrap()],
            capacity: 4,
            in_flight: 0,
            version: "1".into(),
            started_at: UnixMs(0),
            at: UnixMs(0),
            stopping: false,
            gone: false,
            named: Packed::default(),
            tolls: Vec::new(),
            ack_deadlines_ms: Vec::new(),
            knows: knows.iter().map(|name| (*name).to_owned()).collect(),
            trouble: String::new(),
        }
    }

    fn sql() -> JobSpec {
        let settings = json!({"database": "mian", "statement": "SELECT 1"});
        parse::from_value(json!({"name": "a", "handler": "sql", "sql": settings})).unwrap()
    }

    #[test]
    fn name_that_no_worker_knows_is_told_with_what_they_know() {
        let knowing = |knows: &[&str]| of(&sql(), &[worker("sql", knows)]);
        let unknown = knowing(&["exec/mian", "sql/main"]).unwrap();
        assert_eq!(
            unknown.to_string(),
            "database \"mian\" is not known to the only worker of queue default, which knows main"
        );
        assert!(unknown.advice().contains("--database mian=URL"));
        let two = [worker("sql", &["sql/b"]), worker("sql", &["sql/a"])];
        let unknown = of(&sql(), &two).unwrap().to_string();
        assert!(
            unknown.ends_with("any of the 2 workers of queue default, which knows a, b"),
            "{unknown}"
        );
        let nothing = knowing(&[]).unwrap().to_string();
        assert!(nothing.ends_with("of queue default"), "{nothing}");
        let many: Vec<String> = (0..9).map(|n| format!("sql/d{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let many = knowing(&many).unwrap().to_string();
        assert!(many.ends_with("d0, d1, d2, d3, d4 and 4 more"), "{many}");
    }

    #[test]
    fn name_that_one_knows_and_job_that_nobody_could_run_are_not_told_of() {
        let of_sql = |workers: &[Presence]| of(&sql(), workers);
        assert_eq!(of_sql(&[]), None);
        assert_eq!(of_sql(&[worker("exec", &["exec/a"])]), None);
        let one = [worker("sql", &["sql/a"]), worker("sql", &["sql/mian"])];
        assert_eq!(of_sql(&one), None);
        let mut leaving = worker("sql", &["sql/a"]);
        leaving.stopping = true;
        assert_eq!(of_sql(&[leaving]), None);
        let mut elsewhere = worker("sql", &["sql/a"]);
        elsewhere.queues = vec![QueueName::new("other").unwrap()];
        assert_eq!(of_sql(&[elsewhere]), None);
    }

    #[test]
    fn worker_that_has_no_room_for_all_that_it_knows_may_know_it() {
        let mut full = worker("sql", &[]);
        full.knows = Presence::knows_of((0..1_000).map(|n| format!("sql/{n:04}")));
        assert_eq!(of(&sql(), &[full.clone()]), None);
        full.knows = Presence::knows_of((0..1_000).map(|n| format!("sql/{n:0>200}")));
        assert!(full.knows.len() < KNOWN_MAX);
        assert_eq!(of(&sql(), &[full]), None);
    }

    #[test]
    fn commands_are_known_likewise_and_other_handlers_names_are_their_own() {
        let exec = json!({"name": "a", "handler": "exec", "exec": {"command": "resize"}});
        let exec = parse::from_value(exec).unwrap();
        let unknown = of(&exec, &[worker("exec", &["exec/rezise"])]).unwrap();
        assert_eq!(unknown.path, "exec.command");
        assert!(unknown.advice().contains("--exec resize=COMMAND"));
        let own = json!({"name": "a", "handler": "own", "own": {"database": "x"}});
        let own = parse::from_value(own).unwrap();
        assert_eq!(of(&own, &[worker("own", &[])]), None);
    }
}
