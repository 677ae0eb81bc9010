//! Looks after the streams and buckets for as long as a planner runs, whether it leads or not: without the
//! bucket `state` nobody leads, so nobody else could make it again.
//!
//! What is gone is made again, empty; what is lost with it is told. A setting that somebody changed is told once,
//! and used as it is. It must not decide what is in them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::subjects::{StreamName, Subjects};
use gridloom_shared::broker::topology::{
    self, Drift, Elsewhere, Found, TopologyError, TopologyOptions,
};
use gridloom_shared::chain;
use gridloom_shared::command::Broadcast;
use gridloom_shared::wire;
use tokio::sync::mpsc;

use crate::alive::Signs;

/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// So often at most a planner that starts waits for another one that makes them.
const LOOKS: u32 = 20;

/// The ledger is another: whatever was read of it is of no use any more.
#[derive(Debug)]
pub(super) struct LedgerReplaced;

/// Makes what is missing. In an installation that was there before, a stream that was missing was lost.
pub(super) async fn ensure(
    broker: &Broker,
    options: &TopologyOptions,
) -> Result<(), TopologyError> {
    topology::is_whole(broker).await?;
    let there = settled(broker, options).await?;
    if there.iter().all(|found| found.created.is_none()) {
        may_write_here(broker).await?;
    } else {
        is_no_second_site(broker).await?;
    }
    move_queue(broker, options).await;
    let completed = topology::complete(broker, options).await?;
    if there.iter().any(|found| found.created.is_some()) {
        tell(broker, &completed.made).await;
    } else if !completed.made.is_empty() {
        tracing::info!(
            namespace = %broker.subjects().namespace(),
            "no stream was there and all are made: where they should have been there, look at the broker's address and at the account that this planner logs in to"
        );
    }
    if completed.drifts.is_empty() {
        Ok(())
    } else {
        Err(TopologyError::Drift(completed.drifts))
    }
}

/// Who may make any stream of the account, and write to another namespace alone, would leave streams that nobody uses.
async fn may_write_here(broker: &Broker) -> Result<(), TopologyError> {
    let subjects = broker.subjects();
    match broker.refusal_to_publish(&subjects.roll_call()).await {
        None => Ok(()),
        Some(refused) => Err(TopologyError::Look {
            what: format!("namespace {}", subjects.namespace()),
            cause: ApiError::Request(refused),
        }),
    }
}

/// A planner at a second site would make the streams that are not followed, and be in the way of the promotion.
async fn is_no_second_site(broker: &Broker) -> Result<(), TopologyError> {
    let ledger = broker.subjects().ledger();
    match broker.mirrored(&ledger).await {
        Ok(None) => Ok(()),
        Ok(Some(mirrored)) => Err(TopologyError::Follows {
            domain: mirrored.domain,
        }),
        Err(cause) => Err(TopologyError::Look {
            what: ledger.to_string(),
            cause,
        }),
    }
}

/// What is there, once that stays as it is: another planner that starts at the same time may be making all of them, and
/// what it has not made yet is no loss.
async fn settled(broker: &Broker, options: &TopologyOptions) -> Result<Vec<Found>, TopologyError> {
    let mut found = topology::look_over(broker, options).await?;
    for _ in 0..LOOKS {
        let before = missing(&found);
        if before.is_empty() || before.len() == found.len() {
            break;
        }
        tokio::time::sleep(LOOK).await;
        found = topology::look_over(broker, options).await?;
        if missing(&found) == before {
            break;
        }
    }
    Ok(found)
}

fn missing(found: &[Found]) -> HashSet<String> {
    let gone = found.iter().filter(|found| found.created.is_none());
    gone.map(|found| found.name.clone()).collect()
}

/// Makes the queue anew that an earlier build, or another setting, has made elsewhere, where nothing is on it. One that
/// is in use is left as it is: whether that will do is seen when all is compared.
async fn move_queue(broker: &Broker, options: &TopologyOptions) {
    match topology::move_queue(broker, options).await {
        Ok(None | Some(Elsewhere::Moved)) => {}
        Ok(Some(Elsewhere::Used)) => tracing::warn!(
            "the queue is not kept where it would be made today, and tiles are on it: it is used as it is until a planner starts while nothing is on it"
        ),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "it cannot be seen whether the queue is kept where it should be");
        }
    }
}

/// Looks after them until nobody listens any more.
pub(super) async fn keep(
    broker: Broker,
    options: TopologyOptions,
    replaced: mpsc::Sender<LedgerReplaced>,
    signs: Signs,
) {
    let ledger = broker.subjects().ledger();
    let mut watch = Watch::new(ledger);
    let mut differing = Differing::default();
    loop {
        signs.give();
        tokio::time::sleep(LOOK).await;
        if !broker.is_connected() {
            watch.missing.clear();
            continue;
        }
        // Nine answers, each of which comes or fails.
        let found = match signs.waiting(topology::look_over(&broker, &options)).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(error = %chain(&error), "the streams cannot be looked at");
                watch.missing.clear();
                continue;
            }
        };
        differing.see(&found).tell();
        let seen = watch.see(&found);
        if seen.is_lost {
            match signs.waiting(make_again(&broker, &options)).await {
                Ok(completed) => tell(&broker, &completed.made).await,
                Err(error) => {
                    tracing::error!(error = %chain(&error), "a stream is gone and cannot be made again")
                }
            }
        }
        if seen.is_ledger_another && replaced.send(LedgerReplaced).await.is_err() {
            return;
        }
    }
}

/// Makes what is gone, unless somebody puts a backup back: a planner that was away from the broker when that was begun did
/// not say that it is there.
async fn make_again(
    broker: &Broker,
    options: &TopologyOptions,
) -> Result<topology::Completed, TopologyError> {
    topology::is_whole(broker).await?;
    topology::complete(broker, options).await
}

/// What two looks in a row say.
struct Watch {
    ledger: StreamName,
    created: Option<String>,
    missing: HashSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Whether something is missing for the second time: at an election of a cluster's leader a stream is
    /// not found for a moment.
    is_lost: bool,
    is_ledger_another: bool,
}

impl Watch {
    fn new(ledger: StreamName) -> Watch {
        Watch {
            ledger,
            created: None,
            missing: HashSet::new(),
        }
    }

    fn see(&mut self, found: &[Found]) -> Seen {
        let missing = missing(found);
        let is_lost = !missing.is_disjoint(&self.missing);
        self.missing = missing;
        let ledger = found
            .iter()
            .find(|found| found.name == self.ledger.as_str());
        let created = ledger.and_then(|ledger| ledger.created.clone());
        let is_ledger_another = match (&self.created, &created) {
            (Some(before), Some(now)) => before != now,
            _ => false,
        };
        if created.is_some() {
            self.created = created;
        }
        Seen {
            is_lost,
            is_ledger_another,
        }
    }
}

/// The settings that differed at the last look.
#[derive(Debug, Default)]
struct Differing(Vec<Drift>);

/// What is new of them.
#[derive(Debug, PartialEq, Eq)]
struct Changed {
    /// Settings that differ, or that were changed again.
    differ: Vec<Drift>,
    /// Those that differ no more.
    set_back: Vec<Drift>,
}

impl Differing {
    fn see(&mut self, found: &[Found]) -> Changed {
        let now: Vec<Drift> = found.iter().flat_map(|one| one.drifts.clone()).collect();
        let before = std::mem::replace(&mut self.0, now);
        let same = |a: &Drift, b: &Drift| (&a.what, &a.setting) == (&b.what, &b.setting);
        let differ = self.0.iter().filter(|drift| !before.contains(drift));
        let set_back = before
            .iter()
            .filter(|old| !self.0.iter().any(|drift| same(old, drift)));
        Changed {
            differ: differ.cloned().collect(),
            set_back: set_back.cloned().collect(),
        }
    }
}

impl Changed {
    fn tell(&self) {
        for drift in &self.differ {
            let advice = drift.advice();
            tracing::error!(%drift, advice, "a setting was changed: it is used as it is, and no planner starts with it");
        }
        for drift in &self.set_back {
            tracing::info!(
                stream = drift.what,
                setting = drift.setting,
                "a setting is as it should be again"
            );
        }
    }
}

/// Says what was lost with the streams that were made again.
async fn tell(broker: &Broker, made: &[String]) {
    let lost = losses(broker.subjects());
    for name in made {
        let what = lost.get(name.as_str()).copied().unwrap_or("it is empty");
        tracing::error!(
            stream = name,
            reason = what,
            "a stream was gone: it is made again"
        );
        let reason = format!("stream {name} was gone and was made again: {what}");
        broker.record_loss(name, 0, &reason, &[]).await;
        if *name == broker.subjects().shards().as_str() {
            queue_is_made(broker).await;
        }
    }
}

/// Tells the workers that wait for the queue. Those that hear nothing look by themselves.
pub(super) async fn queue_is_made(broker: &Broker) {
    let told = wire::encode(&Broadcast::QueueMade {});
    let subject = broker.subjects().broadcast();
    if let Err(error) = broker.publish(subject, told).await {
        tracing::debug!(error = %chain(&error), "cannot tell that the queue is there again");
    }
}

fn losses(subjects: &Subjects) -> HashMap<String, &'static str> {
    HashMap::from([
        (
            subjects.ledger().as_str().to_owned(),
            "all runs that were in it are lost: submit what is still to be done again",
        ),
        (
            subjects.shards().as_str().to_owned(),
            "it is filled again from the ledger",
        ),
        (
            subjects.submit().as_str().to_owned(),
            "submissions that waited are lost: submit them again",
        ),
        (
            subjects.history().as_str().to_owned(),
            "what was on record of messages that could not be understood is lost",
        ),
        (
            subjects.alarm().as_str().to_owned(),
            "alarms are armed again by the planner that leads",
        ),
        (
            subjects.jobs().stream().as_str().to_owned(),
            "all definitions are lost: apply them again (gridloom job apply FILE)",
        ),
        (
            subjects.runs().stream().as_str().to_owned(),
            "summaries of runs that are over are lost; gridloom show RUN reads the ledger",
        ),
        (
            subjects.state().stream().as_str().to_owned(),
            "the leadership, floors and numbers of consumers are written anew",
        ),
        (
            subjects.workers().stream().as_str().to_owned(),
            "workers register again within seconds",
        ),
    ])
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use gridloom_shared::id::Namespace;

    use super::*;

    fn found(name: &str, created: Option<&str>) -> Found {
        Found {
            name: name.to_owned(),
            created: created.map(str::to_owned),
            drifts: Vec::new(),
        }
    }

    fn drift(setting: &str, found: &str) -> Drift {
        Drift {
            what: "grid-history".into(),
            setting: setting.into(),
            expected: "0".into(),
            found: found.into(),
        }
    }

    fn watch() -> Watch {
        let subjects = Subjects::new(Namespace::new("grid").unwrap());
        Watch::new(subjects.ledger())
    }

    #[test]
    fn only_what_is_missing_twice_in_a_row_is_lost() {
        let mut watch = watch();
        let mut lost = |submit, jobs| {
            watch
                .see(&[found("grid-submit", submit), found("KV_grid-jobs", jobs)])
                .is_lost
        };
        assert!(!lost(None, Some("1")));
        assert!(!lost(Some("1"), None));
        assert!(!lost(None, Some("1")));
        assert!(lost(None, Some("1")));
    }

    #[test]
    fn ledger_that_was_made_at_another_time_is_another() {
        let mut watch = watch();
        let mut another = |created| {
            watch
                .see(&[found("grid-ledger", created)])
                .is_ledger_another
        };
        assert!(!another(Some("1")));
        assert!(!another(Some("1")));
        assert!(!another(None));
        assert!(another(Some("2")));
        assert!(!another(Some("2")));
    }

    #[test]
    fn setting_is_told_when_it_is_changed_and_when_it_is_set_back_and_not_between() {
        let mut differing = Differing::default();
        let mut see = |drifts: &[Drift]| {
            let history = Found {
                drifts: drifts.to_vec(),
                ..found("grid-history", Some("1"))
            };
            let Changed { differ, set_back } =
                differing.see(&[found("grid-ledger", Some("1")), history]);
            (differ, set_back)
        };
        let (age, size) = (drift("max_age", "5"), drift("max_msgs", "6"));
        assert_eq!(see(&[]), (vec![], vec![]));
        assert_eq!(see(from_ref(&age)), (vec![age.clone()], vec![]));
        assert_eq!(see(from_ref(&age)), (vec![], vec![]));
        let both = [age.clone(), size.clone()];
        assert_eq!(see(&both), (vec![size.clone()], vec![]));
        let again = drift("max_age", "7");
        assert_eq!(see(from_ref(&again)), (vec![again.clone()], vec![size]));
        assert_eq!(see(&[]), (vec![], vec![again]));
    }
}
