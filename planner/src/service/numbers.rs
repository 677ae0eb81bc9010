//! JetStream's own numbers of streams and lanes, asked for by the leader: once every few seconds, and nothing for every
//! run. Nothing is decided from them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::account::AccountState;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::log::{ReadError, StreamState};
use gridloom_shared::broker::topology::{Kept, LaneStanding};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::lane::Lane;
use gridloom_shared::telemetry::board::{Board, Round};

use super::gauges::Position;
use crate::alive::Signs;
use crate::broker_clock::BrokerClock;
use crate::metrics;

/// How often they are asked for.
const ASKED: Duration = Duration::from_secs(2);
/// Lanes whose oldest tile is looked for each time, one question for each: of more their turn comes.
const LOOKED_FOR: usize = 32;

/// Shows them, for as long as the leadership lasts.
pub(super) async fn watch(broker: Broker, clock: BrokerClock, position: Position, signs: Signs) {
    let mut board = Board::default();
    let mut oldest = Oldest::default();
    loop {
        signs.give();
        let asked = ask(&broker, &mut oldest, &position, &signs).await;
        match asked {
            Ok(mut round) => {
                oldest.tell(&mut round, clock.now());
                board.show(round);
            }
            Err(error) => {
                tracing::debug!(error, "failed to ask for the numbers of the queues");
            }
        }
        tokio::time::sleep(ASKED).await;
    }
}

async fn ask(
    broker: &Broker,
    oldest: &mut Oldest,
    position: &Position,
    signs: &Signs,
) -> Result<Round, String> {
    let told = |error: ApiError| chain(&error).to_string();
    let mut round = Round::default();
    for kept in Kept::ALL {
        signs.give();
        let stream = kept.stream(broker.subjects());
        let state = match broker.info(&stream).await {
            // One that is made again meanwhile hides nothing of the others.
            Err(error) if error.is_stream_missing() => continue,
            state => state.map_err(told)?,
        };
        if kept == Kept::Ledger {
            let lag = state.last_seq.saturating_sub(position.get());
            round.add(&metrics::LEDGER_LAG, &[], lag as f64);
        }
        stream_is(kept, &state, &mut round);
    }
    signs.give();
    account_is(&broker.account().await.map_err(told)?, &mut round);
    signs.give();
    // A few hundred an answer.
    let lanes = signs.waiting(broker.lanes()).await.map_err(told)?;
    for (lane, found) in &lanes {
        let labels = [lane.queue.as_str(), lane.handler.as_str()];
        let standing = &found.standing;
        for (metric, value) in [
            (&metrics::QUEUE_PENDING, standing.pending),
            (&metrics::QUEUE_IN_FLIGHT, standing.in_flight),
            (&metrics::QUEUE_REDELIVERED, standing.redelivered),
        ] {
            round.add(metric, &labels, value as f64);
        }
    }
    oldest
        .look(broker, lanes, signs)
        .await
        .map_err(|error| chain(&error).to_string())?;
    Ok(round)
}

fn stream_is(kept: Kept, state: &StreamState, round: &mut Round) {
    let stream = [kept.as_str()];
    round.add(&metrics::STREAM_BYTES, &stream, state.bytes as f64);
    round.add(&metrics::STREAM_MESSAGES, &stream, state.messages as f64);
    if let Some(limit) = state.max_bytes {
        round.add(&metrics::STREAM_LIMIT, &stream, limit as f64);
    }
    let (all, current) = (state.replicas, state.replicas_current);
    round.add(&metrics::STREAM_REPLICAS, &stream, f64::from(all));
    round.add(
        &metrics::STREAM_REPLICAS_CURRENT,
        &stream,
        f64::from(current),
    );
    if kept == Kept::Submit {
        round.add(&metrics::SUBMISSIONS_WAITING, &[], state.messages as f64);
    }
}

fn account_is(account: &AccountState, round: &mut Round) {
    for (storage, used, limit) in [
        ("file", account.file, account.file_limit),
        ("memory", account.memory, account.memory_limit),
    ] {
        round.add(&metrics::STORE_BYTES, &[storage], used as f64);
        if let Some(limit) = limit {
            round.add(&metrics::STORE_LIMIT, &[storage], limit as f64);
        }
    }
}

/// Since when the oldest tile of each lane waits that no worker pulled yet.
#[derive(Debug, Default)]
struct Oldest {
    /// `None`: it is not known yet, or there is none.
    since: BTreeMap<Lane, Option<UnixMs>>,
    /// Whose turn it is to be looked at.
    turns: VecDeque<Lane>,
}

impl Oldest {
    /// Looks at those whose turn it is.
    async fn look(
        &mut self,
        broker: &Broker,
        lanes: BTreeMap<Lane, LaneStanding>,
        signs: &Signs,
    ) -> Result<(), ReadError> {
        for lane in self.turn(&lanes) {
            signs.give();
            let Some(found) = lanes.get(&lane) else {
                continue;
            };
            let subjects = broker.subjects();
            let (stream, filter) = (subjects.shards(), subjects.shards_of_lane(&lane));
            let next = found.standing.delivered + 1;
            let first = broker.first_of_leader(&stream, &filter, next).await?;
            self.since.insert(lane, first.map(|first| first.at));
        }
        Ok(())
    }

    /// Those whose turn it is, of the lanes where something waits. Pure.
    fn turn(&mut self, lanes: &BTreeMap<Lane, LaneStanding>) -> Vec<Lane> {
        let waits = |lane: &Lane| {
            let found = lanes.get(lane);
            found.is_some_and(|found| found.standing.pending > 0)
        };
        self.since.retain(|lane, _| waits(lane));
        self.turns.retain(|lane| self.since.contains_key(lane));
        for lane in lanes.keys().filter(|lane| waits(lane)) {
            if !self.since.contains_key(lane) {
                self.since.insert(lane.clone(), None);
                self.turns.push_front(lane.clone());
            }
        }
        let most = self.turns.len().min(LOOKED_FOR);
        let turn: Vec<Lane> = self.turns.drain(..most).collect();
        self.turns.extend(turn.iter().cloned());
        turn
    }

    /// Tells how old they are. While the broker's clock is in doubt nobody knows.
    fn tell(&self, round: &mut Round, now: Option<UnixMs>) {
        for (lane, since) in &self.since {
            let labels = [lane.queue.as_str(), lane.handler.as_str()];
            let age = now.zip(*since);
            let age = age.map_or(0, |(now, since)| now.0.saturating_sub(since.0));
            round.most(&metrics::QUEUE_OLDEST, &labels, age as f64 / 1_000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::broker::subjects::ConsumerName;
    use gridloom_shared::broker::topology::Standing;
    use gridloom_shared::id::{HandlerName, QueueName};

    use super::*;

    fn lane(n: usize) -> Lane {
        let queue = QueueName::new(format!("q{n}")).unwrap();
        Lane::new(queue, HandlerName::new("noop").unwrap())
    }

    fn lanes(waiting: impl Iterator<Item = usize>) -> BTreeMap<Lane, LaneStanding> {
        let standing = |pending| LaneStanding {
            consumer: ConsumerName::new(&lane(0), 1),
            ack_deadline: Duration::ZERO,
            standing: Standing {
                pending,
                ..Standing::default()
            },
        };
        let busy = waiting.map(|n| (lane(n), standing(1)));
        busy.chain([(lane(999), standing(0))]).collect()
    }

    #[test]
    fn each_lane_has_its_turn_and_new_ones_are_first() {
        let mut oldest = Oldest::default();
        let all = LOOKED_FOR * 2;
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.extend(oldest.turn(&lanes(0..all)));
        }
        seen.sort();
        let mut every: Vec<Lane> = (0..all).map(lane).collect();
        every.sort();
        assert_eq!(seen, every);
        assert_eq!(oldest.turn(&lanes(0..all + 1))[0], lane(all));
        // Where nothing waits any more nothing is kept.
        assert_eq!(oldest.turn(&lanes(0..1)), [lane(0)]);
        assert_eq!((oldest.since.len(), oldest.turns.len()), (1, 1));
    }
}
