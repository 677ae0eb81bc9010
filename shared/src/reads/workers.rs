//! Who is there: workers that answer, and those that fell silent without a goodbye.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::time::timeout;

use super::worked::Registered;
use super::{LeftOut, ListError, roll_call};
use crate::broker::kv::Entry;
use crate::broker::log::ReadError;
use crate::broker::{Broker, PublishError};
use crate::clock::UnixMs;
use crate::holdings::{Holdings, Question, place_of};
use crate::id::{RunId, Session, WorkerName};
use crate::limits::{AGES_MAX, HELD_MAX, REGISTERED_MAX};
use crate::presence::Presence;
use crate::tile::TileRef;
use crate::wire::{self, Versions};

/// How long workers are given to answer: a machine under load answers within tens of milliseconds.
const ROLL_CALL: Duration = Duration::from_millis(300);

/// How long one that is registered and was not heard is given.
const PATIENCE: Duration = Duration::from_secs(1);

/// Workers that are asked at once what they hold.
const AT_ONCE: usize = 64;

/// A worker that was killed stays registered; after this time nobody looks for it any more.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// A worker, as `workers --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkerStanding {
    /// Its name.
    pub worker: String,
    /// Its life.
    pub session: String,
    /// The queues that it pulls from.
    pub queues: Vec<String>,
    /// The handlers that it has.
    pub handlers: Vec<String>,
    /// Tiles that it runs now.
    pub in_flight: u32,
    /// Tiles that it runs at once.
    pub capacity: u32,
    /// When it was heard last, RFC 3339.
    pub last_seen: String,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// Version of its build.
    pub version: String,
    /// Which versions of records that reads and writes.
    pub wire: Versions,
    /// Whether it is on its way out.
    pub stopping: bool,
    /// Whether it answered just now.
    pub answers: bool,
    /// What keeps its handlers from working; empty where nothing does.
    pub trouble: String,
}

impl WorkerStanding {
    fn of(worker: &Presence, answers: bool) -> WorkerStanding {
        WorkerStanding {
            worker: worker.worker.to_string(),
            session: worker.session.to_string(),
            queues: worker.queues.iter().map(ToString::to_string).collect(),
            handlers: worker.handlers.iter().map(ToString::to_string).collect(),
            in_flight: worker.in_flight,
            capacity: worker.capacity,
            last_seen: if answers { UnixMs::now() } else { worker.at }.rfc3339(),
            started_at: worker.started_at.rfc3339(),
            version: worker.version.clone(),
            wire: worker.wire,
            stopping: worker.stopping,
            answers,
            trouble: worker.trouble.clone(),
        }
    }
}

/// All workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Those that can be told of: who answers first.
    pub workers: Vec<WorkerStanding>,
    /// Registrations that cannot be read.
    pub left_out: Vec<LeftOut>,
}

impl Listed {
    /// Whether another worker that takes work is called as `worker` is: nobody can tell which one is meant.
    pub fn is_namesake(&self, worker: &WorkerStanding) -> bool {
        let is_at_work = |one: &WorkerStanding| one.answers && !one.stopping;
        let mut others = self.workers.iter().filter(|one| is_at_work(one));
        is_at_work(worker)
            && others.any(|one| one.worker == worker.worker && one.session != worker.session)
    }
}

/// Lists workers: those that answer, and those that fell silent a while ago without a goodbye.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker) -> Result<Listed, ListError> {
    let answering = roll_call(broker).await?;
    list_beside(broker, &answering).await
}

/// As [`list`], where it is known already who answers.
///
/// # Errors
/// When the broker does not answer.
pub async fn list_beside(broker: &Broker, answering: &[Presence]) -> Result<Listed, ListError> {
    let here: BTreeSet<Session> = answering.iter().map(|worker| worker.session).collect();
    let mut listed = Listed {
        workers: answering
            .iter()
            .map(|worker| WorkerStanding::of(worker, true))
            .collect(),
        left_out: Vec::new(),
    };
    for entry in registrations(broker).await? {
        let silent = |worker: &Presence| {
            !here.contains(&worker.session) && UnixMs::now() < worker.at + FORGOTTEN
        };
        match Presence::read(entry.value.as_deref().unwrap_or_default()) {
            Ok(worker) if silent(&worker) => {
                listed.workers.push(WorkerStanding::of(&worker, false));
            }
            Ok(_) => {}
            Err(error) => listed.left_out.push(LeftOut::new(entry.key, &error)),
        }
    }
    Ok(listed)
}

/// Who is registered, as it stands there: not all of what somebody wrote who is no worker.
///
/// # Errors
/// When the broker does not answer.
pub async fn registrations(broker: &Broker) -> Result<Vec<Entry>, ReadError> {
    broker.workers().first_entries(REGISTERED_MAX).await
}

/// The names of workers that are registered, by their sessions.
///
/// # Errors
/// When the broker does not answer.
pub async fn names(broker: &Broker) -> Result<BTreeMap<Session, String>, ReadError> {
    let entries = registrations(broker).await?;
    let registered = entries.iter().filter_map(|entry| {
        let worker = Presence::read(entry.value.as_deref()?).ok()?;
        Some((worker.session, worker.worker.to_string()))
    });
    Ok(registered.collect())
}

/// Workers that are registered, by their sessions: what they are called, and since when they are there.
///
/// # Errors
/// When the broker does not answer.
pub async fn registered(broker: &Broker) -> Result<BTreeMap<Session, Registered>, ReadError> {
    let entries = registrations(broker).await?;
    let registered = entries.iter().filter_map(|entry| {
        let worker = Presence::read(entry.value.as_deref()?).ok()?;
        let told = Registered {
            worker: worker.worker.to_string(),
            started_at: worker.started_at,
        };
        Some((worker.session, told))
    });
    Ok(registered.collect())
}

/// Which of `workers` hold the tile at this place of a run, as they say: one that does not answer holds nothing.
pub async fn holding(
    broker: &Broker,
    workers: &[Presence],
    (run, place): (&RunId, TileRef),
) -> Vec<Session> {
    let held = held(broker, workers, run).await.into_iter();
    let holders = held.filter(|held| held.places.contains(&place));
    holders.map(|held| held.session).collect()
}

/// What a worker says that it holds of a run.
pub(super) struct Held {
    pub(super) session: Session,
    pub(super) places: Vec<TileRef>,
    /// For how long, of those that it holds longest.
    pub(super) ages: BTreeMap<TileRef, Duration>,
}

/// The tiles of a run that each of `workers` holds, as they say.
pub(super) async fn held(broker: &Broker, workers: &[Presence], run: &RunId) -> Vec<Held> {
    let question = wire::encode(&Question::Run(run.clone()));
    let ask = |worker: &Presence| held_by(broker, worker.session, question.clone());
    let asked: Vec<_> = workers.iter().map(ask).collect();
    let answers = stream::iter(asked).buffered(AT_ONCE);
    answers
        .filter_map(|answer| async move { answer })
        .collect()
        .await
}

async fn held_by(broker: &Broker, session: Session, question: Bytes) -> Option<Held> {
    let subject = broker.subjects().holdings(session);
    let asked = broker.request(subject, question, ROLL_CALL);
    let answer: Holdings = wire::decode(&asked.await.ok()?.payload).ok()?;
    let places = answer.tiles.unpack(HELD_MAX)?.into_iter().map(place_of);
    let ages = answer.ages.iter().take(AGES_MAX);
    Some(Held {
        session,
        places: places.collect(),
        ages: ages
            .map(|age| (place_of(age.tile), Duration::from_millis(age.ms)))
            .collect(),
    })
}

/// Asks all workers to announce themselves where everybody listens for that.
///
/// # Errors
/// When the question cannot be sent.
pub async fn call(broker: &Broker) -> Result<(), PublishError> {
    let roll_call = broker.subjects().roll_call();
    broker.publish(roll_call, Bytes::new()).await
}

/// The workers that answer when everybody is asked, by name. Where all that are registered have answered, nobody else is
/// waited for. A late answer is no silence: whoever is registered and was not heard is asked again, alone, and everybody
/// once more where one of them lives.
///
/// # Errors
/// When the question cannot be sent.
pub async fn roll_call(broker: &Broker) -> Result<Vec<Presence>, PublishError> {
    let registered = awaited(broker).await;
    let mut heard = BTreeMap::new();
    hear(broker, ROLL_CALL, &registered, &mut heard).await?;
    let late = late(broker, &registered, &heard).await;
    if !late.is_empty() {
        hear(broker, PATIENCE, &registered, &mut heard).await?;
        // It lives, and says no more than that: what it registered with.
        for worker in late {
            let key = (worker.worker.clone(), worker.session);
            heard.entry(key).or_insert(worker);
        }
    }
    Ok(heard.into_values().collect())
}

type Heard = BTreeMap<(WorkerName, Session), Presence>;

async fn hear(
    broker: &Broker,
    patience: Duration,
    registered: &[Presence],
    heard: &mut Heard,
) -> Result<(), PublishError> {
    let call = broker.subjects().roll_call();
    let all = |heard: &[Presence]| {
        let is_heard = |one: &Presence| heard.iter().any(|worker| worker.session == one.session);
        // Where nobody is registered, somebody may be about to.
        (1..=heard.len()).contains(&registered.len()) && registered.iter().all(is_heard)
    };
    let workers = roll_call::answers(broker, call, patience, "worker", all).await?;
    let named = |worker: Presence| ((worker.worker.clone(), worker.session), worker);
    heard.extend(workers.into_iter().map(named));
    Ok(())
}

/// Workers that are registered and not forgotten; none where that cannot be read, which others say.
async fn awaited(broker: &Broker) -> Vec<Presence> {
    let Ok(Ok(entries)) = timeout(PATIENCE, registrations(broker)).await else {
        return Vec::new();
    };
    let read = |entry: &Entry| Presence::read(entry.value.as_deref()?).ok();
    let registered = entries.iter().filter_map(read);
    registered
        .filter(|worker| UnixMs::now() < worker.at + FORGOTTEN)
        .collect()
}

/// Workers that are registered, were not heard and live all the same.
async fn late(broker: &Broker, registered: &[Presence], heard: &Heard) -> Vec<Presence> {
    let here: BTreeSet<Session> = heard.values().map(|worker| worker.session).collect();
    let missed = registered
        .iter()
        .filter(|worker| !here.contains(&worker.session))
        .cloned();
    let asked: Vec<_> = missed.map(|worker| if_it_lives(broker, worker)).collect();
    let answers = stream::iter(asked).buffered(AT_ONCE);
    answers
        .filter_map(|answer| async move { answer })
        .collect()
        .await
}

async fn if_it_lives(broker: &Broker, worker: Presence) -> Option<Presence> {
    let subject = broker.subjects().probe(worker.session);
    // Of one that is gone the broker says at once that nobody listens.
    let answer = broker.request(subject, Bytes::new(), PATIENCE).await;
    answer.is_ok().then_some(worker)
}
