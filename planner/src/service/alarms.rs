//! Keeps alarms armed as [`crate::alarms`] decides, beside the keeper of schedules and not in its way: a fire does not
//! wait for its alarm.
//!
//! What stands on `<ns>-alarm` is read when a leadership begins, and again when anything was not as it was known to be: the
//! stream may be emptied or made again, and another leader may have come. Each alarm is armed under compare-and-swap on what
//! stands of it, so that a deposed leader's takes no other's place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use gridloom_shared::alarm::{Alarm, Watched};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::log::{AppendError, FollowError, ReadError, Record, Start};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::JobName;
use gridloom_shared::wire;

use super::envoy::Envoy;
use crate::alarms::{Action, Alarms, Needs, Place};
use crate::alive::Signs;

/// Between two rounds: fires that follow each other within it need no alarm each.
const ROUND: Duration = Duration::from_secs(1);
/// How often it is looked whether as many stand as should.
const LOOK: Duration = Duration::from_secs(10);
/// Orders that are carried out at once.
const AT_ONCE: usize = 64;

/// What the keeper of schedules says is to be watched, until it is taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    needs: HashMap<JobName, Needs>,
    whole: bool,
    /// Whether anything was told.
    any: bool,
}

impl Watch {
    /// This is to be watched of a job from now on.
    pub(super) fn tell(&self, job: JobName, needs: Needs) {
        self.told(|told| {
            told.any = true;
            told.needs.insert(job, needs);
        });
    }

    /// Each job was told of.
    pub(super) fn is_whole(&self) {
        self.told(|told| {
            told.any = true;
            told.whole = true;
        });
    }

    /// Whether anything was told yet.
    fn is_told(&self) -> bool {
        self.told(|told| told.any)
    }

    fn told<T>(&self, with: impl FnOnce(&mut Told) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, alarms: &mut Alarms) {
        let (needs, whole) = self.told(|told| {
            (
                std::mem::take(&mut told.needs),
                std::mem::take(&mut told.whole),
            )
        });
        for (job, needs) in needs {
            alarms.hear(job, needs);
        }
        if whole {
            alarms.is_whole();
        }
    }
}

/// Why what stands is read anew.
#[derive(Debug, thiserror::Error)]
enum Astray {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error("withdraw an alarm")]
    Purge(#[source] ApiError),
    #[error("look at the stream of alarms")]
    Look(#[source] ApiError),
    #[error("alarms are gone")]
    Gone,
}

/// What stands of an alarm after an action.
type Found = (Watched, Option<Place>);

/// Keeps alarms as long as the leadership lasts.
pub(super) async fn keep(envoy: Envoy, watch: Watch, signs: Signs) {
    let mut alarms = Alarms::default();
    let mut told = None;
    // What stands is of no use before it is known what is needed, and whoever finds that out has much to read itself.
    while !watch.is_told() {
        signs.give();
        tokio::time::sleep(ROUND).await;
    }
    loop {
        let began = Boot::now();
        let Err(astray) = go_on(&envoy, &watch, &mut alarms, &signs).await;
        let text = chain(&astray).to_string();
        if told.as_ref() != Some(&text) || Boot::now().since(began) > LOOK {
            tracing::warn!(error = text, "what stands of alarms is read again");
        }
        told = Some(text);
        tokio::time::sleep(ROUND).await;
    }
}

async fn go_on(
    envoy: &Envoy,
    watch: &Watch,
    alarms: &mut Alarms,
    signs: &Signs,
) -> Result<std::convert::Infallible, Astray> {
    signs.give();
    let broker = &envoy.broker;
    let stream = broker.subjects().alarm();
    let created = broker.info(&stream).await.map_err(Astray::Look)?.created;
    alarms.read(signs.waiting(read(broker)).await?);
    let mut looked = Boot::now();
    loop {
        signs.give();
        watch.take(alarms);
        if let Some(now) = envoy.clock.now()
            && envoy.validity.holds(Boot::now())
        {
            let actions = alarms.actions(now);
            carry_out(broker, actions, alarms, signs).await?;
        }
        if Boot::now().since(looked) >= LOOK {
            looked = Boot::now();
            let info = broker.info(&stream).await.map_err(Astray::Look)?;
            let fewer = info.messages < u64::try_from(alarms.count()).unwrap_or(u64::MAX);
            if fewer || info.created != created {
                return Err(Astray::Gone);
            }
        }
        tokio::time::sleep(ROUND).await;
    }
}

async fn carry_out(
    broker: &Broker,
    actions: Vec<Action>,
    alarms: &mut Alarms,
    signs: &Signs,
) -> Result<(), Astray> {
    let actions = actions
        .into_iter()
        .map(|action| async { obey(broker, action).await });
    let mut found = futures_util::stream::iter(actions).buffer_unordered(AT_ONCE);
    while let Some(found) = found.next().await {
        signs.give();
        let (watched, standing) = found?;
        alarms.found(watched, standing);
    }
    Ok(())
}

async fn obey(broker: &Broker, action: Action) -> Result<Found, Astray> {
    let (alarm, expected, raised) = match action {
        Action::Withdraw(watched) => return withdraw(broker, watched).await,
        Action::Arm {
            alarm,
            expected,
            raised,
        } => (alarm, expected, raised),
    };
    let (subjects, watched) = (broker.subjects(), &alarm.watched);
    let (armed, target) = (subjects.armed(watched), subjects.raised(watched));
    let both = subjects.armed_or_raised(watched);
    let bytes = wire::encode(&alarm);
    let stored = broker
        .append_for(armed, bytes, (&target, alarm.at), (&both, expected))
        .await;
    let seq = match stored {
        Ok(seq) => seq,
        Err(AppendError::Conflict { .. }) => return look(broker, alarm.watched).await,
        Err(error) => return Err(error.into()),
    };
    if raised {
        let stream = subjects.alarm();
        let below = broker.purge_below(&stream, &target, seq).await;
        below.map_err(Astray::Purge)?;
    }
    let standing = Place {
        seq,
        at: Some(alarm.at),
    };
    Ok((alarm.watched, Some(standing)))
}

/// Takes away what stands of an alarm now, and nothing that another leader arms meanwhile.
async fn withdraw(broker: &Broker, watched: Watched) -> Result<Found, Astray> {
    let (stream, both) = (
        broker.subjects().alarm(),
        broker.subjects().armed_or_raised(&watched),
    );
    if let Some(last) = broker.last_of_leader(&stream, &both).await? {
        let below = broker.purge_below(&stream, &both, last.seq + 1).await;
        below.map_err(Astray::Purge)?;
    }
    Ok((watched, None))
}

async fn look(broker: &Broker, watched: Watched) -> Result<Found, Astray> {
    let subjects = broker.subjects();
    let both = subjects.armed_or_raised(&watched);
    let last = broker.last_of_leader(&subjects.alarm(), &both).await?;
    let found = last.and_then(|last| standing(broker, &last));
    let found = found.filter(|(of, _)| *of == watched);
    Ok((watched, found.map(|(_, standing)| standing)))
}

/// All that stands. What was raised and is armed again counts as armed.
async fn read(broker: &Broker) -> Result<Vec<(Watched, Place)>, FollowError> {
    let subjects = broker.subjects();
    let mut all = Vec::new();
    for filter in [subjects.all_armed(), subjects.all_raised()] {
        let stands = broker.follow(&subjects.alarm(), filter, Start::LastPerSubject);
        all.extend(stands.to_end().await?);
    }
    all.sort_by_key(|record| record.seq);
    let found = all.iter().filter_map(|record| standing(broker, record));
    Ok(found.collect())
}

/// What a message says; one that is nobody's alarm is left where it is.
fn standing(broker: &Broker, record: &Record) -> Option<(Watched, Place)> {
    let alarm: Alarm = wire::decode(&record.payload).ok()?;
    let subjects = broker.subjects();
    let at = match record.subject.as_str() {
        armed if armed == subjects.armed(&alarm.watched) => Some(alarm.at),
        raised if raised == subjects.raised(&alarm.watched) => None,
        _ => return None,
    };
    let standing = Place {
        seq: record.seq,
        at,
    };
    Some((alarm.watched, standing))
}
