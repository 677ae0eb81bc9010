//! What no stream tells: queues, workers, planners, pauses, and how much is dead. It is looked at again and again while
//! somebody wants to know, seldomer where a look takes long, and told when it is not as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use gridloom_shared::broker::Broker;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::super::link::Link;
use super::super::problem::{Answer, Kind, Problem, Told};
use super::super::{crew, jobs};
use super::frame;
use super::topic::{Sight, Topic};

/// Between two looks at what is asked of everybody.
const OFTEN: Duration = Duration::from_secs(2);
/// Between two looks at what costs next to nothing.
const OFTENER: Duration = Duration::from_secs(1);
/// A look that takes long is followed by a pause of so many times that,
const PAUSES: u32 = 20;
/// less what a roll call always waits for answers,
const ROLL_CALL: Duration = Duration::from_millis(500);
/// but no longer than this.
const SELDOM: Duration = Duration::from_secs(10);
/// Longer than that nobody waits for a look.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of a list at most; a longer one has to be loaded.
const LINE_MAX: usize = 128 << 10;

/// All that is looked at.
pub(super) struct Looks<'a> {
    link: &'a Link,
    broker: &'a Broker,
    seen: BTreeMap<Sight, Seen>,
    under_way: FuturesUnordered<BoxFuture<'a, Looked>>,
}

struct Seen {
    line: Option<Bytes>,
    is_new: bool,
    is_looked_at: bool,
    next: Instant,
    wanted: Instant,
}

struct Looked {
    sight: Sight,
    took: Duration,
    line: Bytes,
}

#[derive(Serialize)]
struct Untold<'p> {
    problem: Told<'p>,
}

/// How much is dead.
#[derive(Serialize)]
struct Dead {
    runs: u64,
    shards: u64,
}

impl<'a> Looks<'a> {
    pub(super) fn new(link: &'a Link, broker: &'a Broker) -> Looks<'a> {
        Looks {
            link,
            broker,
            seen: BTreeMap::new(),
            under_way: FuturesUnordered::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.seen.is_empty()
    }

    /// Looks at it from now on.
    pub(super) fn want(&mut self, sight: Sight) {
        let now = Instant::now();
        let seen = self.seen.entry(sight).or_insert(Seen {
            line: None,
            is_new: false,
            is_looked_at: false,
            next: now,
            wanted: now,
        });
        seen.wanted = now;
        self.begin(now);
    }

    fn begin(&mut self, now: Instant) {
        for (sight, seen) in &mut self.seen {
            if !seen.is_looked_at && seen.next <= now {
                seen.is_looked_at = true;
                let look = look(self.link, self.broker, *sight);
                self.under_way.push(Box::pin(look));
            }
        }
    }

    /// Waits for a look; what was seen was taken in. May be dropped and called again.
    pub(super) async fn next(&mut self) {
        let looked = match self.under_way.is_empty() {
            true => pending().await,
            false => self.under_way.next().await,
        };
        let Some(Looked { sight, took, line }) = looked else {
            return;
        };
        let often = match sight {
            Sight::Queues | Sight::Workers | Sight::Planners => OFTEN,
            Sight::Pauses | Sight::Dead => OFTENER,
        };
        if let Some(seen) = self.seen.get_mut(&sight) {
            seen.is_looked_at = false;
            seen.next = Instant::now() + pause(often, took);
            seen.is_new |= seen.line.as_ref() != Some(&line);
            seen.line = Some(line);
        }
    }

    /// Lets go what nobody has wanted since `before`, and looks at what it is time for.
    pub(super) fn keep(&mut self, wanted: &BTreeSet<Topic>, (now, before): (Instant, Instant)) {
        self.seen.retain(|sight, seen| {
            if wanted.contains(&Topic::Seen(*sight)) {
                seen.wanted = now;
            }
            seen.wanted >= before
        });
        self.begin(now);
    }

    /// What is to be told to all, if it is another than before.
    pub(super) fn news(&mut self, sight: Sight) -> Option<Bytes> {
        let seen = self.seen.get_mut(&sight)?;
        let is_new = std::mem::take(&mut seen.is_new);
        seen.line.clone().filter(|_| is_new)
    }

    /// What was seen last.
    pub(super) fn last(&self, sight: Sight) -> Option<&Bytes> {
        self.seen.get(&sight)?.line.as_ref()
    }
}

/// Until the next look, after one that took so long.
fn pause(often: Duration, took: Duration) -> Duration {
    often.max((took.saturating_sub(ROLL_CALL) * PAUSES).min(SELDOM))
}

async fn look(link: &Link, broker: &Broker, sight: Sight) -> Looked {
    let begun = Instant::now();
    let seen = async {
        match link.broker() {
            Some(_) => see(link, broker, sight).await,
            None => Err(Problem::away()),
        }
    };
    let too_long = || Problem::new(Kind::TimedOut, "it cannot be looked at within some seconds");
    let seen = timeout(PATIENCE, seen).await;
    let line = seen.unwrap_or_else(|_| Err(too_long()));
    let topic = Topic::Seen(sight);
    let line = match line {
        Ok(line) if line.len() > LINE_MAX => frame::load(&topic),
        Ok(line) => line,
        Err(problem) => {
            let problem = problem.told();
            frame::line(&topic, &Untold { problem })
        }
    };
    Looked {
        sight,
        took: begun.elapsed(),
        line,
    }
}

async fn see(link: &Link, broker: &Broker, sight: Sight) -> Answer<Bytes> {
    let topic = Topic::Seen(sight);
    Ok(match sight {
        Sight::Queues => frame::line(&topic, &crew::all_queues(link, broker).await?),
        Sight::Workers => frame::line(&topic, &crew::all_workers(broker).await?),
        Sight::Planners => frame::line(&topic, &crew::all_planners(broker).await?),
        Sight::Pauses => frame::line(&topic, &jobs::all_pauses(broker).await?),
        Sight::Dead => {
            let (runs, shards) = link.runs.look(|runs| runs.dead()).await?;
            frame::line(&topic, &Dead { runs, shards })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_looked_at_seldom_and_a_roll_call_takes_no_longer_than_it_must() {
        let ms = Duration::from_millis;
        let after = |took| pause(OFTEN, ms(took));
        assert_eq!((after(20), after(510), after(600)), (OFTEN, OFTEN, OFTEN));
        assert_eq!(after(700), ms(4_000));
        assert_eq!(after(15_000), SELDOM);
    }
}
