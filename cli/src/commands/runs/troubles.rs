//! What keeps workers from doing their work, of those that could do that of a run: it may be what a shard asked to wait
//! for.

use gridloom_shared::broker::Broker;
use gridloom_shared::job::JobSpec;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::{unknown, workers};
use gridloom_shared::shown::on_one_line;

/// Workers whose trouble is told.
const TOLD: usize = 3;
/// What stands between the troubles of one worker.
const BETWEEN: &str = "; ";
/// Most of an error that a line repeats, in bytes.
const ERROR_MAX: usize = 300;

/// What workers of the job's queue that have its handler lack, as they say: what the job names, and what is away.
pub(in crate::commands) fn troubles(here: &[Presence], job: &JobSpec) -> Vec<String> {
    let of_job = here.iter().filter(|worker| {
        worker.queues.contains(&job.queue) && worker.handlers.contains(&job.handler)
    });
    let database = match job.handler.as_str() {
        "sql" => job.settings.get("database").and_then(|name| name.as_str()),
        _ => None,
    };
    let troubled = of_job.map(|worker| (concerning(&worker.trouble, database), &worker.worker));
    let troubled = troubled.filter(|(trouble, _)| !trouble.is_empty());
    let said = troubled.map(|(trouble, worker)| format!("{trouble} on worker {worker}"));
    let unknown = unknown::of(job, here).map(|unknown| unknown.to_string());
    unknown.into_iter().chain(said).take(TOLD).collect()
}

/// What of a worker's troubles keeps it from jobs of `database`: not what it says of others.
fn concerning(trouble: &str, database: Option<&str>) -> String {
    let Some(own) = database else {
        return trouble.to_owned();
    };
    let mut is_of_others = false;
    let mut kept = Vec::new();
    for piece in trouble.split(BETWEEN) {
        // A piece without a database of its own belongs to the one before, unless it is the broker's.
        if let Some((name, _)) = piece
            .strip_prefix("database ")
            .and_then(|it| it.split_once(": "))
        {
            is_of_others = name != own;
        } else if piece.starts_with("the broker ") {
            is_of_others = false;
        }
        if !is_of_others {
            kept.push(piece);
        }
    }
    kept.join(BETWEEN)
}

/// Why a shard of the run asked to wait: what its workers lack, or else what failed last.
pub(in crate::commands) async fn reason(broker: &Broker, fold: &Fold) -> Option<String> {
    let opening = fold.opening()?;
    let here = workers::roll_call(broker).await.unwrap_or_default();
    let lacking = troubles(&here, &opening.record.job);
    if !lacking.is_empty() {
        return Some(lacking.join("; "));
    }
    let last = fold.errors().max_by_key(|group| group.last.at)?;
    let mut error = on_one_line(last.error.trim_end()).into_owned();
    error.truncate(error.floor_char_boundary(ERROR_MAX));
    Some(error)
}

#[cfg(test)]
mod tests {
    use gridloom_shared::clock::UnixMs;
    use gridloom_shared::holdings::Packed;
    use gridloom_shared::id::{HandlerName, QueueName, Session, WorkerName};
    use gridloom_shared::job::parse::{self, Format};

    use super::*;

    fn worker(name: &str, queue: &str, handler: &str, trouble: &str) -> Presence {
        Presence {
            worker: WorkerName::new(name).unwrap(),
            session: Session(1),
            queues: vec![QueueName::new(queue).unwrap()],
            handlers: vec![HandlerName::new(handler).unwrap()],
            capacity: 1,
            in_flight: 0,
            version: String::new(),
            wire: Default::default(),
            started_at: UnixMs(0),
            at: UnixMs(0),
            stopping: false,
            gone: false,
            named: Packed::default(),
            tolls: Vec::new(),
            ack_deadlines_ms: Vec::new(),
            knows: Vec::new(),
            trouble: trouble.to_owned(),
        }
    }

    #[test]
    fn troubles_are_those_of_workers_that_could_do_the_job() {
        let text = "name = \"a\"\nhandler = \"sql\"\nqueue = \"mine\"\n\
                    [sql]\ndatabase = \"d\"\nstatement = \"SELECT 1\"";
        let job = parse::parse(text, Format::Toml).unwrap();
        let mut here = vec![
            worker("a", "other", "sql", "database x: away"),
            worker("b", "mine", "noop", "odd"),
            worker("c", "mine", "sql", ""),
            worker("d", "mine", "sql", "database d: no such user"),
        ];
        here.iter_mut()
            .for_each(|it| it.knows = vec!["sql/d".to_owned()]);
        assert_eq!(
            troubles(&here, &job),
            ["database d: no such user on worker d"]
        );
        let mut more = here.clone();
        more.push(worker("x", "mine", "sql", "database e: away; for long"));
        more.push(worker(
            "y",
            "mine",
            "sql",
            "database e: away; the broker refuses it",
        ));
        more.iter_mut()
            .for_each(|it| it.knows = vec!["sql/d".to_owned()]);
        assert_eq!(
            troubles(&more, &job),
            [
                "database d: no such user on worker d",
                "the broker refuses it on worker y"
            ]
        );
        here[2].knows.clear();
        assert_eq!(
            troubles(&here, &job)[0],
            "database \"d\" is not known to 1 of the 2 workers of queue mine: c"
        );
        here.extend((0..9).map(|n| worker(&format!("e{n}"), "mine", "sql", "away")));
        assert_eq!(troubles(&here, &job).len(), TOLD);
    }
}
