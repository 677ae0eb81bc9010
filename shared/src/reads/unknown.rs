//! Names in a job's settings that workers alone can know: a database, a command, a service. No definition is wrong in them, and a
//! shard waits, and its job with it, where it is given to a worker that does not know the one its job names.

use std::collections::BTreeSet;
use std::fmt;

use crate::id::{QueueName, WorkerName};
use crate::job::JobSpec;
use crate::job::handlers::named::Named;
use crate::limits::{KNOWN_BYTES_MAX, KNOWN_MAX};
use crate::presence::Presence;

/// Names of others that are told.
const TOLD_MAX: usize = 5;
/// A worker that leaves no room for one more name may know more than it says.
const NAME_ROOM: usize = 256;

/// What a job names and workers that could run it do not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What is named.
    pub what: Named,
    /// The name.
    pub name: String,
    /// The job's queue.
    pub queue: QueueName,
    /// Workers that were asked.
    pub workers: usize,
    /// Those of them that do not know it.
    pub lacking: Vec<WorkerName>,
    /// What they know instead.
    pub known: Vec<String>,
}

/// What `job` names and some of `here` do not know who could run it. `None` also where nobody could, which others say;
/// who may know more than it has room to say is taken to know it.
pub fn of(job: &JobSpec, here: &[Presence]) -> Option<Unknown> {
    let what = Named::by(job.handler.as_str())?;
    let name = what.name_in(&job.settings)?;
    let able = here
        .iter()
        .filter(|worker| worker.serves(&job.queue, &job.handler) && !worker.stopping);
    let able: Vec<&Presence> = able.collect();
    let of_handler = |known: &String| {
        let (handler, name) = known.split_once('/')?;
        (handler == job.handler.as_str()).then(|| name.to_owned())
    };
    let knows = |worker: &Presence| {
        let mut known = worker.knows.iter().filter_map(of_handler);
        known.any(|known| what.covers(&known, &name)) || may_know_more(worker)
    };
    let lacking: Vec<&Presence> = able.iter().copied().filter(|it| !knows(it)).collect();
    if lacking.is_empty() {
        return None;
    }
    let known: BTreeSet<String> = lacking
        .iter()
        .flat_map(|worker| worker.knows.iter().filter_map(of_handler))
        .collect();
    Some(Unknown {
        what,
        name,
        queue: job.queue.clone(),
        workers: able.len(),
        lacking: lacking.iter().map(|worker| worker.worker.clone()).collect(),
        known: known.into_iter().collect(),
    })
}

fn may_know_more(worker: &Presence) -> bool {
    let bytes: usize = worker.knows.iter().map(String::len).sum();
    worker.knows.len() >= KNOWN_MAX || bytes + NAME_ROOM > KNOWN_BYTES_MAX
}

impl Unknown {
    /// Whether no worker knows it: nothing of the job can be done.
    pub fn by_all(&self) -> bool {
        self.lacking.len() == self.workers
    }

    /// How it is mended.
    pub fn advice(&self) -> String {
        self.what.advice(&self.name)
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unknown {
            what, name, queue, ..
        } = self;
        let (kind, lack) = (what.kind(), self.lacking.len());
        write!(f, "{kind} {name:?} is not known to ")?;
        match self.workers {
            1 => write!(f, "the only worker of queue {queue}")?,
            all if lack == all => write!(f, "any of the {all} workers of queue {queue}")?,
            all => {
                write!(f, "{lack} of the {all} workers of queue {queue}: ")?;
                return list(f, &self.lacking);
            }
        }
        if !self.known.is_empty() {
            f.write_str(", which knows ")?;
        }
        list(f, &self.known)
    }
}

/// `a, b and 3 more`.
fn list(f: &mut fmt::Formatter<'_>, names: &[impl fmt::Display]) -> fmt::Result {
    for (n, name) in names.iter().take(TOLD_MAX).enumerate() {
        let before = if n == 0 { "" } else { ", " };
        write!(f, "{before}{name}")?;
    }
    match names.len().saturating_sub(TOLD_MAX) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::HandlerName;
    use crate::job::parse;
    use crate::presence::made_up;

    fn worker(handler: &str, knows: &[&str]) -> Presence {
        Presence {
            queues: vec![QueueName::new("default").unwrap()],
            handlers: vec![HandlerName::new(handler).unwrap()],
            knows: knows.iter().map(|name| (*name).to_owned()).collect(),
            ..made_up()
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
    fn name_that_some_do_not_know_is_told_with_who_they_are() {
        let mut other = worker("sql", &["sql/a"]);
        other.worker = WorkerName::new("other").unwrap();
        let some = of(&sql(), &[worker("sql", &["sql/mian"]), other]).unwrap();
        assert!(!some.by_all());
        assert_eq!(
            some.to_string(),
            "database \"mian\" is not known to 1 of the 2 workers of queue default: other"
        );
        let nobody = of(&sql(), &[worker("sql", &["sql/a"])]).unwrap();
        assert!(nobody.by_all());
    }

    #[test]
    fn name_that_all_know_and_job_that_nobody_could_run_are_not_told_of() {
        let of_sql = |workers: &[Presence]| of(&sql(), workers);
        assert_eq!(of_sql(&[]), None);
        assert_eq!(of_sql(&[worker("exec", &["exec/a"])]), None);
        let all = [
            worker("sql", &["sql/mian"]),
            worker("sql", &["sql/a", "sql/mian"]),
        ];
        assert_eq!(of_sql(&all), None);
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
        assert_eq!(unknown.what.path(), "exec.command");
        assert!(unknown.advice().contains("--exec resize=COMMAND"));
        let http = json!({"name": "a", "handler": "http", "http": {"url": "https://API.example:443/a?b={slice}"}});
        let http = parse::from_value(http).unwrap();
        let unknown = of(&http, &[worker("http", &["http/http://api.example"])]).unwrap();
        assert_eq!(
            (unknown.what.path(), unknown.name.as_str()),
            ("http.url", "https://api.example")
        );
        assert!(unknown.advice().contains("--http NAME=https://api.example"));
        for known in ["http/https://api.example", "http/*"] {
            assert_eq!(of(&http, &[worker("http", &[known])]), None);
        }
        let own = json!({"name": "a", "handler": "own", "own": {"database": "x"}});
        let own = parse::from_value(own).unwrap();
        assert_eq!(of(&own, &[worker("own", &[])]), None);
    }
}
