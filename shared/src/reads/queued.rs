//! Whether a run waits on its queue: all that is issued of it lies there, and its workers are busy with other things. The leader
//! knows what it has issued, and not what was pulled of it; the workers and the queue know that.

use std::collections::{BTreeSet, HashMap};

use super::held::{self, HeldShard};
use crate::broker::Broker;
use crate::id::RunId;
use crate::lane::Lane;
use crate::ledger::fold::Fold;
use crate::ledger::summary::RunSummary;
use crate::presence::Presence;
use crate::waiting::Waiting;

/// Of so many runs of a list workers are asked whether they hold anything.
const ASKED: usize = 16;

/// What the leader says that an open run `waits` for, and besides, first of all, that none of it has begun, where no worker
/// of those that are `here` holds any of it (`longest`). The queue is asked only where that may be.
pub async fn with(
    broker: &Broker,
    (fold, waits): (&Fold, Vec<Waiting>),
    here: &[Presence],
    longest: &[HeldShard],
) -> Vec<Waiting> {
    if !longest.is_empty() || !may_be(&waits) {
        return waits;
    }
    let queued = of(broker, fold, here).await;
    queued.into_iter().chain(waits).collect()
}

/// Whether that may be of a run of which the leader says so: all that is issued of it is at work, as far as the leader knows.
pub fn may_be(waits: &[Waiting]) -> bool {
    !waits.is_empty() && waits.iter().all(Waiting::is_at_work)
}

/// Whether no worker has told of anything of an open run.
pub fn has_not_begun(run: &RunSummary) -> bool {
    let shards = &run.shards;
    let told = [
        shards.done,
        shards.dead,
        shards.dead_probes,
        shards.retried,
        shards.taken_over,
    ];
    told == [0; 5]
}

/// Those of the open `runs`, of which nobody has told anything, that wait on their queue: as [`with`] finds it of one.
pub(super) async fn of_listed(
    broker: &Broker,
    runs: &[&RunSummary],
    here: &[Presence],
) -> Vec<(RunId, Waiting)> {
    let queues: BTreeSet<_> = runs.iter().map(|run| &run.queue).collect();
    let mut lanes: HashMap<Lane, HashMap<RunId, u64>> = HashMap::new();
    for queue in queues {
        let subjects = broker.subjects();
        let of_queue = subjects.shards_of_queue(queue);
        // Where the queue does not answer nothing is said of it.
        let found = broker.subjects_of(&subjects.shards(), &of_queue).await;
        for (subject, count) in found.unwrap_or_default() {
            if let Some((lane, run)) = subjects.parse_shard(&subject) {
                *lanes.entry(lane).or_default().entry(run).or_default() += count;
            }
        }
    }
    let lying = runs.iter().filter_map(|run| {
        let its = |(_, tiles): &(&Lane, &HashMap<RunId, u64>)| tiles.contains_key(&run.run);
        let (lane, tiles) = lanes.iter().find(its)?;
        let busy = Busy::of(lane, here)?;
        let wait = judge(lane.clone(), busy, &run.run, tiles)?;
        Some((run.run.clone(), lane, wait))
    });
    let lying: Vec<(RunId, &Lane, Waiting)> = lying.take(ASKED).collect();
    let mut waits = Vec::new();
    for (run, lane, wait) in lying {
        let able = here
            .iter()
            .filter(|worker| worker.serves(&lane.queue, &lane.handler));
        let able: Vec<Presence> = able.cloned().collect();
        if held::counts(broker, &run, &able).await.is_empty() {
            waits.push((run, wait));
        }
    }
    waits
}

async fn of(broker: &Broker, fold: &Fold, here: &[Presence]) -> Option<Waiting> {
    let job = &fold.opening()?.record.job;
    let lane = Lane::new(job.queue.clone(), job.handler.clone());
    let busy = Busy::of(&lane, here)?;
    let subjects = broker.subjects();
    // Where the queue does not answer nothing is said of it.
    let found = broker
        .subjects_of(&subjects.shards(), &subjects.shards_of_lane(&lane))
        .await;
    let tiles = found.ok()?.into_iter().filter_map(|(subject, count)| {
        let (_, run) = subjects.parse_shard(&subject)?;
        Some((run, count))
    });
    judge(lane, busy, fold.run(), &tiles.collect())
}

/// What the workers of a lane run at once, as they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Busy {
    slots: u64,
}

impl Busy {
    /// `None`: one of them is free, or there is none.
    fn of(lane: &Lane, here: &[Presence]) -> Option<Busy> {
        let able = here
            .iter()
            .filter(|worker| worker.serves(&lane.queue, &lane.handler) && !worker.stopping);
        let (slots, busy) = able.fold((0, 0), |(slots, busy), worker| {
            let own = u64::from(worker.capacity);
            (slots + own, busy + own.min(worker.in_flight.into()))
        });
        (slots > 0 && busy == slots).then_some(Busy { slots })
    }
}

/// `tiles`: of each run that has some on the lane, pulled or not.
fn judge(lane: Lane, busy: Busy, run: &RunId, tiles: &HashMap<RunId, u64>) -> Option<Waiting> {
    let own = *tiles.get(run)?;
    let all: u64 = tiles.values().sum();
    Some(Waiting::Queued {
        queue: lane.queue,
        handler: lane.handler,
        tiles: own,
        others: all.saturating_sub(own),
        slots: busy.slots,
    })
}

#[cfg(test)]
mod tests {
    use super::super::made_up::Story;
    use super::*;
    use crate::id::{HandlerName, QueueName};
    use crate::ledger::outcomes::Status;
    use crate::ledger::record::Reason;
    use crate::presence::made_up;

    fn lane(handler: &str) -> Lane {
        Lane::new(
            QueueName::new("images").unwrap(),
            HandlerName::new(handler).unwrap(),
        )
    }

    fn worker(handler: &str, in_flight: u32) -> Presence {
        let Lane { queue, handler } = lane(handler);
        Presence {
            queues: vec![queue],
            handlers: vec![handler],
            in_flight,
            ..made_up()
        }
    }

    #[test]
    fn workers_are_busy_when_none_that_has_the_handler_has_a_slot_left() {
        let busy = |here: &[Presence]| Busy::of(&lane("resize"), here).map(|busy| busy.slots);
        assert_eq!(busy(&[]), None);
        assert_eq!(busy(&[worker("resize", 4)]), Some(4));
        // As many as it has slots for, whatever it says.
        assert_eq!(busy(&[worker("resize", 9)]), Some(4));
        assert_eq!(busy(&[worker("resize", 9), worker("resize", 3)]), None);
        assert_eq!(busy(&[worker("resize", 4), worker("noop", 0)]), Some(4));
        assert_eq!(busy(&[worker("noop", 4)]), None);
        let stopping = Presence {
            stopping: true,
            ..worker("resize", 0)
        };
        assert_eq!(busy(&[worker("resize", 4), stopping]), Some(4));
    }

    #[test]
    fn run_has_begun_once_anything_of_it_was_told() {
        let mut story = Story::of(1, 2);
        let wave = story.wave(&[(0, 0, 2, 1)]);
        let summary = |story: &Story| RunSummary::of(&story.fold()).unwrap();
        assert!(has_not_begun(&summary(&story)));
        story.outcome(7, (0, 0), wave, 0, Status::Done);
        assert!(!has_not_begun(&summary(&story)));
        let mut story = Story::of(1, 2);
        story.wave(&[(0, 0, 2, 1)]);
        story.takeover(8, (0, 0), Reason::Count);
        assert!(!has_not_begun(&summary(&story)));
    }

    #[test]
    fn run_waits_behind_the_tiles_of_others_and_not_where_it_has_none_there() {
        let run = |n| RunId::new(format!("a_s_{n}")).unwrap();
        let tiles = HashMap::from([(run(1), 3), (run(2), 7), (run(3), 1)]);
        let judged = |of| judge(lane("resize"), Busy { slots: 4 }, &of, &tiles);
        let Some(Waiting::Queued {
            tiles: own,
            others,
            slots,
            ..
        }) = judged(run(1))
        else {
            panic!("it waits");
        };
        assert_eq!((own, others, slots), (3, 8, 4));
        assert_eq!(judged(run(4)), None);
    }
}
