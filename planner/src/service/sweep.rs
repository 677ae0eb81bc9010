//! Removes what need not be kept any more, every now and then, for as long as the leadership lasts.
//!
//! Whether a run goes is decided by a record, `retired`, behind the one that closed it and under
//! compare-and-swap with orders: a `reopened` that came first wins. Only then is anything removed, and only
//! below that record, so that nothing of this reaches what comes later, however late it arrives
//! (docs/PROTOCOL.md). What a planner that dies leaves half done goes on with the next sweep: the run's plan
//! goes last.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`list`] | which runs are over, and which are half gone |
//! | [`ids`] | remembers the ids of runs that are gone, and forgets them |
//! | [`unshown`] | writes summaries that the planner before did not live to write, or wrote otherwise |
//! | [`unowned`] | removes summaries that were written when their runs were gone |
//! | [`unseen`] | tells of dead shards that went before anybody had seen them |

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::kv::WriteError;
use gridloom_shared::broker::log::{AppendError, ReadError};
use gridloom_shared::broker::subjects::{UNSEEN_KEY, WATCHED_KEY};
use gridloom_shared::chain;
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::Term;
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::ledger::retired::Retired;
use gridloom_shared::wire;

use super::vanished::Removed;
use crate::alive::Signs;
use crate::broker_clock::BrokerClock;
use crate::metrics::RUNS_PURGED;
use crate::open::append_certainly;
use crate::retention::ages::Watched;
use crate::retention::{Kept, Retention};

mod ids;
mod list;
mod unowned;
mod unseen;
mod unshown;

use list::Listed;
use unseen::Unseen;

/// Looking for what is to go may take this part of the time at most: one in so many.
const LOOK_SHARE: u32 = 20;

/// Removing it may take more: who does not keep up with the runs that end removes less than is written, for ever.
const REMOVAL_SHARE: u32 = 4;

/// Runs that are removed at once: the ten questions that one takes are asked one after the other.
const AT_ONCE: usize = 16;

/// How long to wait where the broker's clock is not known yet, or cannot be trusted.
const UNKNOWN: Duration = Duration::from_millis(100);

/// Why a sweep ended early. The next one goes on.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Sweeps for ever, from where the ledger ended when the leadership began.
pub(super) async fn sweep(
    broker: Broker,
    policy: Retention,
    clock: BrokerClock,
    (term, began, removed): (Term, u64, Removed),
    signs: Signs,
) {
    let mut sweeper = Sweeper {
        broker,
        policy,
        term,
        removed,
        listed: Listed::new(began),
        unseen: Unseen::default(),
        ids_from: 1,
        looked: None,
        removing: Duration::ZERO,
        signs,
    };
    loop {
        sweeper.signs.give();
        let begun = Instant::now();
        // By no other clock: what is removed does not come back.
        let Some(now) = clock.now() else {
            tokio::time::sleep(UNKNOWN).await;
            continue;
        };
        if let Err(error) = sweeper.once(now).await {
            tracing::warn!(error = %chain(&error), "cannot remove what is kept no longer; trying again later");
        }
        let removing = std::mem::take(&mut sweeper.removing);
        let looking = begun.elapsed().saturating_sub(removing);
        let pause = policy.every.max(pause(looking, removing));
        sweeper.signs.waiting(tokio::time::sleep(pause)).await;
    }
}

/// How long the broker is left alone after a sweep.
fn pause(looking: Duration, removing: Duration) -> Duration {
    looking * LOOK_SHARE + removing * (REMOVAL_SHARE - 1)
}

struct Sweeper {
    broker: Broker,
    policy: Retention,
    term: Term,
    removed: Removed,
    listed: Listed,
    /// What went unseen since that was last written down.
    unseen: Unseen,
    /// Where the search for ids that may be forgotten goes on.
    ids_from: u64,
    /// When this planner looked at the broker's clock, and the revision that it wrote then.
    looked: Option<(Boot, u64)>,
    /// What of this sweep was not looking.
    removing: Duration,
    signs: Signs,
}

/// A run that is over for good, with its `retired` record and the sequence of that.
type Going = (list::Place, (u64, Retired));

/// Up to where the streams went when a sweep began: what is removed without a record of its own stood there.
struct Ends {
    ledger: u64,
    shards: u64,
    summaries: u64,
}

impl Sweeper {
    async fn once(&mut self, now: UnixMs) -> Result<(), SweepError> {
        let watched = self.watch(now).await?;
        let ends = self.ends().await?;
        // Before the runs: one that is opened meanwhile has records first.
        let shown = self.shown().await?;
        // As many pages as the ledger's subjects take, each of which comes or fails.
        let listing = self.listed.read(&self.broker);
        self.signs.waiting(listing).await?;
        let begun = Instant::now();
        let gone = self.remove_due(&watched, &ends).await;
        self.removing += begun.elapsed();
        let gone = gone?;
        if gone > 0 {
            RUNS_PURGED.counter(&[]).increment(gone);
            tracing::info!(runs = gone, "purged runs that were kept long enough");
        }
        self.signs.give();
        self.unseen.tell(&self.broker).await?;
        self.show_ended().await?;
        self.remove_strays(&ends).await?;
        self.hide_gone(shown, &ends).await?;
        let begun = Instant::now();
        let forgotten = self.forget_ids(&watched).await;
        self.removing += begun.elapsed();
        forgotten?;
        self.tidy_state(&watched).await
    }

    /// Removes the runs that are due, and what an earlier sweep left half done. Says how many.
    async fn remove_due(&mut self, watched: &Watched, ends: &Ends) -> Result<u64, SweepError> {
        let mut gone = 0;
        for some in self.listed.half_gone().chunks(AT_ONCE) {
            self.clear(some, ends).await?;
            gone += some.len() as u64;
        }
        for some in self.policy.due(self.listed.kept(), watched).chunks(AT_ONCE) {
            self.signs.give();
            let mut asked = Vec::new();
            for kept in some {
                asked.push(self.retire(kept));
            }
            let (mut going, mut failed): (Vec<Going>, _) = (Vec::new(), None);
            for (kept, retired) in some.iter().zip(join_all(asked).await) {
                let place = (kept.queue.clone(), kept.run.clone());
                match retired {
                    Ok(Some(retired)) => going.push((place, retired)),
                    Ok(None) => self.listed.doubt(&place),
                    Err(error) => {
                        self.listed.doubt(&place);
                        failed = Some(error);
                    }
                }
            }
            self.clear(&going, ends).await?;
            gone += going.len() as u64;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(gone)
    }

    /// What planners know of the broker's clock by now. Whoever loses the race for it does not sweep.
    async fn watch(&mut self, now: UnixMs) -> Result<Watched, SweepError> {
        let state = self.broker.state();
        let looked = Boot::now();
        let place = state.place_of(WATCHED_KEY).await?;
        let known = place.value().map(|value| Watched::read(value, now));
        let nonsense = matches!(known, Some(None)).then_some("not what planners saw of the clock");
        let mut watched = known.flatten().unwrap_or_else(|| Watched::begin(now));
        let own = self
            .looked
            .filter(|(_, written)| *written == place.revision());
        watched.look(now, own.map(|(at, _)| looked.since(at)));
        let value = serde_json::json!(watched).to_string().into();
        let revision = state.replace(&place, value, nonsense).await?;
        self.looked = Some((looked, revision));
        Ok(watched)
    }

    async fn ends(&self) -> Result<Ends, SweepError> {
        let subjects = self.broker.subjects();
        let summaries = self.broker.runs().name().stream();
        Ok(Ends {
            ledger: self.broker.info(&subjects.ledger()).await?.last_seq,
            shards: self.broker.info(&subjects.shards()).await?.last_seq,
            summaries: self.broker.info(&summaries).await?.last_seq,
        })
    }

    /// Decides that a run is over for good. `None` where it is not, since somebody came first.
    async fn retire(&self, kept: &Kept) -> Result<Option<(u64, Retired)>, SweepError> {
        let subjects = self.broker.subjects();
        let plan = subjects.ledger_of(&kept.queue, &kept.run, Author::Plan);
        let ledger = subjects.ledger();
        let first = self.broker.first_of_leader(&ledger, &plan, 1).await?;
        let first = first.map(|first| self.broker.decode(&first.subject, &first.payload));
        let opened = match first {
            // What its id is remembered by is known to a newer build alone.
            Some(Err(error)) if error.is_newer() => return Ok(None),
            Some(Ok(PlanRecord::Opened(opened))) => Some(opened),
            Some(Ok(_) | Err(_)) | None => None,
        };
        let retired = Retired {
            nonce: opened.as_ref().map(|opened| opened.nonce),
            content: opened.map(|opened| opened.content),
            closed_at: kept.closed_at,
            dead: kept.dead,
            term: self.term,
        };
        let record = wire::encode(&PlanRecord::Retired(retired.clone()));
        match append_certainly(&self.broker, &plan, record, kept.end).await {
            Ok(sequence) => Ok(Some((sequence, retired))),
            Err(AppendError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes runs, and looks anew at each of which that fails: what is known of it may be of another life.
    async fn clear(&mut self, going: &[Going], ends: &Ends) -> Result<(), SweepError> {
        self.signs.give();
        let mut asked = Vec::new();
        for (place, (sequence, retired)) in going {
            asked.push(self.remove(place, (*sequence, retired), ends));
        }
        let mut failed = None;
        for ((place, (_, retired)), removed) in going.iter().zip(join_all(asked).await) {
            match removed {
                Ok(()) => self.unseen.count(&place.1, retired.dead),
                Err(error) => {
                    self.listed.doubt(place);
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Removes all of a run that stands below its `retired` record; that itself becomes the record by which
    /// its id is remembered.
    async fn remove(
        &self,
        (queue, run): &list::Place,
        (sequence, retired): (u64, &Retired),
        ends: &Ends,
    ) -> Result<(), SweepError> {
        let subjects = self.broker.subjects();
        let of = |author| subjects.ledger_of(queue, run, author);
        let tiles = subjects.shards_of_run(queue, run);
        self.broker
            .purge_below(&subjects.shards(), &tiles, ends.shards + 1)
            .await?;
        self.broker
            .runs()
            .forget_below(run.as_str(), ends.summaries + 1)
            .await?;
        // Takeovers first: who has one there and reads what is left of its tiles finds it gone then, and not outcomes alone.
        for author in [Author::Takeover, Author::Work] {
            self.cut(&of(author), sequence).await?;
        }
        let plan = of(Author::Plan);
        self.remember(queue, run, (&plan, sequence), retired.clone())
            .await?;
        self.cut(&plan, sequence + 1).await
    }

    /// Removes what stands on a subject of the ledger below a sequence.
    async fn cut(&self, subject: &str, below: u64) -> Result<(), SweepError> {
        let ledger = self.broker.subjects().ledger();
        let gone = self.broker.purge_below(&ledger, subject, below).await?;
        self.removed.add(gone);
        Ok(())
    }

    /// Records of workers about runs that are gone: they came after the run had.
    async fn remove_strays(&self, ends: &Ends) -> Result<(), SweepError> {
        let subjects = self.broker.subjects();
        let ledger = subjects.ledger();
        for (queue, run) in self.listed.strays() {
            self.signs.give();
            let plan = subjects.ledger_of(queue, run, Author::Plan);
            if self.broker.last_of_leader(&ledger, &plan).await?.is_some() {
                continue; // it was opened meanwhile
            }
            for author in [Author::Work, Author::Takeover] {
                let stray = subjects.ledger_of(queue, run, author);
                self.cut(&stray, ends.ledger + 1).await?;
            }
        }
        Ok(())
    }

    /// Older registers, notes about runs that were lost or went unseen, and the floors of brokers and consumers that are long gone. A floor that is
    /// still in use is made anew when it is asked for, only higher.
    async fn tidy_state(&self, watched: &Watched) -> Result<(), SweepError> {
        let subjects = self.broker.subjects();
        self.broker
            .purge(&subjects.shards(), &subjects.term(), 1)
            .await?;
        let state = self.broker.state();
        self.signs.give();
        for filter in [subjects.all_floors(), subjects.all_lost(), UNSEEN_KEY] {
            for entry in state.entries(filter).await? {
                self.signs.give();
                if self.policy.may_forget(entry.at, watched) {
                    state.forget_below(&entry.key, entry.revision + 1).await?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_is_left_alone_longer_after_looking_than_after_removing() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(second, Duration::ZERO), 20 * second);
        assert_eq!(pause(Duration::ZERO, second), 3 * second);
        assert_eq!(pause(second, second), 23 * second);
    }
}
