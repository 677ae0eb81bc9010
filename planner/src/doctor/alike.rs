//! Whether the workers of a queue can be told from each other by nothing but their names: which of them gets a tile
//! must not decide what becomes of it.
//!
//! | they differ in | which is |
//! |----------------|----------|
//! | some handlers of which they share others | bad: a part of them has more to do |
//! | all handlers | of note: several programs share the queue |
//! | what they know of a handler: databases, commands | bad: a shard waits where what it names is not known |
//! | version | bad, unless they are just being replaced |
//! | the ack deadline that they go by, or that of the consumers | bad: leases end too late or too soon |
//! | nothing, not even the name | bad: nobody can tell which one is meant |

use std::collections::{BTreeMap, BTreeSet};

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::LaneStanding;
use gridloom_shared::count::counted;
use gridloom_shared::id::{HandlerName, QueueName};
use gridloom_shared::job::parse::write_duration;
use gridloom_shared::lane::Lane;
use gridloom_shared::presence::Presence;

use super::chart::Chart;
use super::lines;
use super::staff::{Staff, named};

/// Lives of one name that are told.
const LIVES: usize = 5;

pub(super) async fn look(broker: &Broker, staff: &Staff, chart: &mut Chart) {
    let at_work = staff.at_work();
    look_at_names(&at_work, chart);
    // Where they cannot be asked for, another check says so.
    let lanes = broker.lanes().await.unwrap_or_default();
    let queues: BTreeSet<&QueueName> = at_work.iter().flat_map(|worker| &worker.queues).collect();
    for queue in queues {
        let workers = staff.of_queue(queue);
        look_at_handlers(queue, &workers, chart);
        look_at_versions(queue, &workers, chart);
        look_at_deadlines(queue, &workers, &lanes, chart);
    }
}

/// Workers in groups of those that have the same of something.
fn by<'w, K: Ord>(
    workers: &[&'w Presence],
    of: impl Fn(&Presence) -> K,
) -> BTreeMap<K, Vec<&'w Presence>> {
    let mut groups: BTreeMap<K, Vec<&Presence>> = BTreeMap::new();
    for worker in workers.iter().copied() {
        groups.entry(of(worker)).or_default().push(worker);
    }
    groups
}

/// `a and b: x; c: y`.
fn told<K>(groups: &BTreeMap<K, Vec<&Presence>>, what: impl Fn(&K) -> String) -> String {
    let told = groups.iter().map(|(key, workers)| {
        let names = named(workers.iter().map(|worker| worker.worker.as_str()));
        format!("{names}: {}", what(key))
    });
    told.collect::<Vec<_>>().join("; ")
}

fn look_at_names(workers: &[Presence], chart: &mut Chart) {
    let workers: Vec<&Presence> = workers.iter().collect();
    for (name, lives) in by(&workers, |worker| worker.worker.clone()) {
        if lives.len() < 2 {
            continue;
        }
        let told: Vec<String> = lives
            .iter()
            .take(LIVES)
            .map(|life| {
                let queues = named(life.queues.iter().map(QueueName::as_str));
                let since = life.started_at.rfc3339();
                format!("session {} on {queues}, since {since}", life.session)
            })
            .collect();
        let more = match lives.len() - told.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        chart.bad(
            lines::SAME_NAME,
            format!(
                "{} are called {name}: {}{more}",
                counted(lives.len() as u64, "worker"),
                told.join("; ")
            ),
            "give each a name of its own (worker.name, --name), or none: then it gets one that no other has; restart those that are renamed",
        );
    }
}

fn look_at_handlers(queue: &QueueName, workers: &[&Presence], chart: &mut Chart) {
    let groups = by(workers, |worker| {
        worker
            .handlers
            .iter()
            .cloned()
            .collect::<BTreeSet<HandlerName>>()
    });
    let names = |handlers: &BTreeSet<HandlerName>| {
        let names = handlers.iter().map(ToString::to_string);
        names.collect::<Vec<_>>().join(", ")
    };
    let sets: Vec<_> = groups.keys().collect();
    let share = sets.iter().enumerate().any(|(at, one)| {
        let others = &sets[at + 1..];
        others.iter().any(|other| !one.is_disjoint(other))
    });
    if groups.len() > 1 {
        let found = format!(
            "those of queue {queue} have different handlers ({})",
            told(&groups, names)
        );
        if share {
            let advice = format!(
                "give all workers of queue {queue} the same handlers (databases and commands too), or let them pull from queues of their own (worker.queues, --queue)"
            );
            chart.bad(lines::HANDLERS_DIFFER, found, advice);
        } else {
            chart.note(
                lines::HANDLERS_APART,
                found,
                "right where several programs share a queue: each is given what it has a handler for",
            );
        }
    }
    let shared: BTreeSet<_> = sets.iter().flat_map(|set| set.iter()).collect();
    for handler in shared {
        let having = workers.iter().filter(|it| it.handlers.contains(handler));
        let having: Vec<&Presence> = having.copied().collect();
        let groups = by(&having, |worker| known(worker, handler.as_str()));
        if groups.len() < 2 {
            continue;
        }
        let names = |known: &Vec<String>| {
            if known.is_empty() {
                "nothing".to_owned()
            } else {
                known.join(", ")
            }
        };
        chart.bad(
            lines::SETTINGS_DIFFER,
            format!(
                "those of queue {queue} know different things of handler {handler} ({})",
                told(&groups, names)
            ),
            format!(
                "give all workers of queue {queue} the same (worker.databases, worker.exec, worker.http), or queues of their own: a shard that comes to one that does not know what its job names is put off, and its job rests"
            ),
        );
    }
}

/// What the worker says that jobs may name of `handler`.
fn known(worker: &Presence, handler: &str) -> Vec<String> {
    let of_handler = worker.knows.iter().filter_map(|known| {
        let (of, name) = known.split_once('/')?;
        (of == handler).then(|| name.to_owned())
    });
    of_handler.collect()
}

fn look_at_versions(queue: &QueueName, workers: &[&Presence], chart: &mut Chart) {
    let groups = by(workers, |worker| worker.version.clone());
    if groups.len() > 1 {
        chart.bad(
            lines::VERSIONS_DIFFER,
            format!(
                "those of queue {queue} are of different versions ({})",
                told(&groups, Clone::clone)
            ),
            "bring all to the same version; while they are being replaced one after the other, this passes by itself",
        );
    }
}

/// A worker that came first keeps the ack deadline that it found, whatever another makes of it.
fn look_at_deadlines(
    queue: &QueueName,
    workers: &[&Presence],
    lanes: &BTreeMap<Lane, LaneStanding>,
    chart: &mut Chart,
) {
    let spoken = |ms: &u64| match ms {
        0 => "none".to_owned(),
        ms => write_duration(*ms),
    };
    let of_consumers = |worker: &Presence| {
        let its = worker.handlers.iter().filter_map(|handler| {
            let lane = Lane::new(queue.clone(), handler.clone());
            lanes.get(&lane)
        });
        let longest = its.map(|found| found.ack_deadline).max();
        longest.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    let odd = workers.iter().filter(|worker| {
        let goes_by = goes_by(worker, queue);
        goes_by > 0 && of_consumers(worker).is_some_and(|has| has != goes_by)
    });
    let odd: Vec<&Presence> = odd.copied().collect();
    if odd.is_empty() {
        return;
    }
    let has: BTreeSet<u64> = odd
        .iter()
        .filter_map(|worker| of_consumers(worker))
        .collect();
    let has: Vec<String> = has.iter().map(spoken).collect();
    chart.bad(
        lines::DEADLINES_DIFFER,
        format!(
            "on queue {queue} the ack deadline is {}, and some go by another ({})",
            has.join(", "),
            told(&by(&odd, |worker| goes_by(worker, queue)), spoken)
        ),
        format!(
            "give all workers of queue {queue} the same (queue.ack_deadline, --ack-deadline), or none of them any, and restart those that go by another"
        ),
    );
}

/// The ack deadline that the worker goes by, in milliseconds; 0 where it does not say.
fn goes_by(worker: &Presence, queue: &QueueName) -> u64 {
    let at = worker.queues.iter().position(|of| of == queue);
    let deadline = at.and_then(|at| worker.ack_deadlines_ms.get(at));
    deadline.copied().unwrap_or_default()
}
