//! How each stream, bucket and consumer is configured, and what is drift.
//!
//! Created when missing, verified when present. It never changes what is there, except an ack
//! deadline or a larger size that the caller named, subjects that a stream of an earlier build lacks, and the planner's
//! own consumer: a setting that differs is somebody's decision or mistake, and is refused with its name.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`backed_up`] | which streams a backup holds, and in which order |
//! | [`streams`] | the settings of each stream and bucket |
//! | [`copies`] | where the copies of a stream are |
//! | [`consumers`] | the settings of each consumer, and under which name it is made |
//! | [`described`] | how the broker describes a stream |
//! | [`drift`] | which settings differ |
//! | [`widen`] | which subjects and how many bytes a stream has to take in besides |
//! | [`anew`] | when a queue that is kept elsewhere is made again where it should be |
//! | [`sizes`] | how many bytes each may take, and which is more |
//! | [`standing`] | how far a consumer is |

pub mod anew;
pub mod backed_up;
pub mod consumers;
pub mod copies;
pub mod described;
pub mod drift;
pub mod sizes;
pub mod standing;
pub mod streams;
mod widen;

pub use anew::{Elsewhere, move_queue, queue_kept_in, renew_queue};
pub use consumers::{AckDeadline, LaneConsumer};
pub use drift::Drift;
pub use sizes::{Kept, Size, Sizes};
pub use standing::{LaneStanding, Standing};

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::api::{ApiError, Configured, code};
use super::connect::Broker;
use super::subjects;
use crate::id::Namespace;
use streams::Wanted;

/// What an installation may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopologyOptions {
    /// Copies of every stream: 1, or 3 or 5 on a cluster.
    pub replicas: usize,
    /// Where tiles that wait are kept. The ledger fills a queue again that was lost with the broker's memory, so that
    /// is where one is made; `None`: there, and one that is on file is used as it is while anything is on it.
    pub queue_storage: Option<Storage>,
    /// Bytes that streams and buckets may take.
    pub sizes: Sizes,
    /// Fire records kept for each job, and messages that could not be understood.
    pub history_per_subject: u64,
}

impl Default for TopologyOptions {
    fn default() -> Self {
        TopologyOptions {
            replicas: 1,
            queue_storage: None,
            sizes: Sizes::default(),
            history_per_subject: 10_000,
        }
    }
}

/// Where a stream is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// On disk.
    File,
    /// In memory.
    Memory,
}

impl Storage {
    /// As the broker writes it.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Storage::File => "file",
            Storage::Memory => "memory",
        }
    }
}

impl TopologyOptions {
    /// Where the queue is made.
    pub fn queue_made_in(&self) -> Storage {
        self.queue_storage.unwrap_or(Storage::Memory)
    }
}

/// Why the topology will not do.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// What is there differs from what is needed.
    #[error("{}", drift::describe(.0))]
    Drift(Vec<Drift>),
    /// On a cluster the queue needs three copies: after its host restarts, tiles in flight would be
    /// handed out again as if for the first time.
    #[error(
        "use cluster {cluster}: the queue needs at least 3 replicas on a cluster and over a leaf node, {replicas} configured; set replicas = 3"
    )]
    TooFewReplicas {
        /// The cluster's name.
        cluster: String,
        /// What was configured.
        replicas: usize,
    },
    /// Nobody has made the streams yet.
    #[error(
        "find the streams of namespace {namespace}: they are not on this broker yet; a planner makes them: start gridloom planner (or gridloom dev) where none runs, or check the namespace, and the account that this client logs in to"
    )]
    Absent {
        /// The installation.
        namespace: Namespace,
    },
    /// There is a ledger, and no queue: it went with the broker's memory, or a backup is being put back.
    #[error(
        "find the queue of namespace {namespace}: its ledger is there, and it is not; a planner makes it within seconds: start gridloom planner where none runs; of a restore that is not finished it comes last: wait for that, or give it again (gridloom doctor says whether one is)"
    )]
    Queueless {
        /// The installation.
        namespace: Namespace,
    },
    /// Not created, and not there.
    #[error("create {what}")]
    Create {
        /// The stream, bucket or consumer.
        what: String,
        /// What the broker said.
        #[source]
        cause: ApiError,
    },
    /// The broker does not say.
    #[error("look at {what}")]
    Look {
        /// The stream, bucket or consumer.
        what: String,
        /// What the broker said.
        #[source]
        cause: ApiError,
    },
    /// What is here only follows another broker, as a second site.
    #[error(
        "this broker follows domain {domain} as a second site: start planners at the first site, or, where that is lost, make this the installation before (gridloom site promote)"
    )]
    Follows {
        /// The first site's domain.
        domain: String,
    },
    /// A backup is being put back, or what put it back broke off: what is there is no installation.
    #[error(
        "a restore of namespace {namespace} is not finished (begun {since}): what is there is no installation, and nothing may run on it. Wait where it is still under way; where it broke off give it again, of the same directory: gridloom restore DIR (of a promotion, the directory of gridloom site promote), which removes first what the other one left"
    )]
    Restoring {
        /// The installation.
        namespace: Namespace,
        /// When it was begun.
        since: String,
    },
    /// The number of a lane's consumer could not be read or written.
    #[error("choose the consumer of lane {lane}: {cause}")]
    Number {
        /// The lane.
        lane: String,
        /// What went wrong.
        cause: String,
    },
}

impl TopologyError {
    /// Whether the broker could not be asked, as against: what it has will not do.
    pub fn is_unreachable(&self) -> bool {
        match self {
            TopologyError::Create { cause, .. } | TopologyError::Look { cause, .. } => {
                matches!(cause, ApiError::Request(_)) && !cause.is_refused()
            }
            TopologyError::Drift(_)
            | TopologyError::TooFewReplicas { .. }
            | TopologyError::Absent { .. }
            | TopologyError::Queueless { .. }
            | TopologyError::Follows { .. }
            | TopologyError::Restoring { .. }
            | TopologyError::Number { .. } => false,
        }
    }

    /// Whether an election or a restart of the broker may be all that is wrong: trying again is right.
    pub fn is_passing(&self) -> bool {
        match self {
            TopologyError::Create { cause, .. } | TopologyError::Look { cause, .. } => {
                cause.is_passing()
            }
            TopologyError::Absent { .. } | TopologyError::Queueless { .. } => true,
            TopologyError::Drift(_)
            | TopologyError::TooFewReplicas { .. }
            | TopologyError::Follows { .. }
            | TopologyError::Restoring { .. }
            | TopologyError::Number { .. } => false,
        }
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The stream or bucket is not there.
    Missing(String),
    /// It differs.
    Drift(Drift),
}

/// A stream or bucket as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name, as the broker calls it.
    pub name: String,
    /// When it was made, as the broker writes it: another time is another stream of the same name. `None`:
    /// it is not there.
    pub created: Option<String>,
    /// Its settings that are not what they should be.
    pub drifts: Vec<Drift>,
}

/// What became of the streams and buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// Those that were made.
    pub made: Vec<String>,
    /// Settings of those that were there that are not what they should be.
    pub drifts: Vec<Drift>,
}

/// Creates every stream and bucket that is missing, and refuses those that are there and differ. Several may do
/// so at once. Returns the names of those that this call made.
///
/// # Errors
/// See [`complete`]; and [`TopologyError::Drift`], once all that was missing is made.
pub async fn ensure(
    broker: &Broker,
    options: &TopologyOptions,
) -> Result<Vec<String>, TopologyError> {
    let completed = complete(broker, options).await?;
    refuse_drift(completed.drifts)?;
    Ok(completed.made)
}

/// Refuses where a backup is being put back, or was and not to its end: what is made beside it would be in its way, and what
/// is stored lost when it is done again.
///
/// # Errors
/// Then, and when the broker does not say.
pub async fn is_whole(broker: &Broker) -> Result<(), TopologyError> {
    match broker.restoring_since().await {
        Ok(None) => Ok(()),
        Ok(Some(since)) => Err(TopologyError::Restoring {
            namespace: broker.subjects().namespace().clone(),
            since,
        }),
        Err(cause) => Err(TopologyError::Look {
            what: format!("stream {}", broker.subjects().restoring()),
            cause,
        }),
    }
}

/// Creates every stream and bucket that is missing, whatever the settings of the others.
///
/// # Errors
/// When one cannot be looked at or made.
#[inline(never)]
pub fn complete<'a>(
    broker: &'a Broker,
    options: &'a TopologyOptions,
) -> BoxFuture<'a, Result<Completed, TopologyError>> {
    Box::pin(make_all(broker, options))
}

async fn make_all(broker: &Broker, options: &TopologyOptions) -> Result<Completed, TopologyError> {
    has_copies_enough(broker, options)?;
    let mut completed = Completed::default();
    for wanted in streams::all(broker.subjects(), options) {
        let found = make(broker, &wanted).await?;
        completed.drifts.extend(wanted.drifts_of(&found));
        if found.did_create {
            completed.made.push(wanted.name);
        }
    }
    Ok(completed)
}

/// Creates the queue's stream if it is missing, whatever its settings and the other streams. Whether this call made
/// it: nothing is on it then.
///
/// # Errors
/// When it cannot be looked at or made.
pub async fn make_queue(broker: &Broker, options: &TopologyOptions) -> Result<bool, TopologyError> {
    has_copies_enough(broker, options)?;
    let made = make(broker, &streams::shards(broker.subjects(), options)).await?;
    Ok(made.did_create)
}

/// Refuses too few copies on a cluster.
///
/// # Errors
/// Then.
pub fn has_copies_enough(broker: &Broker, options: &TopologyOptions) -> Result<(), TopologyError> {
    has_copies(broker, options.replicas)
}

fn has_copies(broker: &Broker, replicas: usize) -> Result<(), TopologyError> {
    match broker.cluster() {
        Some(cluster) if replicas < 3 => Err(TopologyError::TooFewReplicas { cluster, replicas }),
        Some(_) | None => Ok(()),
    }
}

fn refuse_drift(drifts: Vec<Drift>) -> Result<(), TopologyError> {
    if drifts.is_empty() {
        Ok(())
    } else {
        Err(TopologyError::Drift(drifts))
    }
}

/// Looks which streams and buckets are there, and changes nothing.
pub async fn look_over(
    broker: &Broker,
    options: &TopologyOptions,
) -> Result<Vec<Found>, TopologyError> {
    let mut all = Vec::new();
    for wanted in streams::all(broker.subjects(), options) {
        let found = look(broker, &wanted).await?;
        let drifts = found.as_ref().map(|found| wanted.drifts_of(found));
        all.push(Found {
            drifts: drifts.unwrap_or_default(),
            created: found.map(|found| found.created),
            name: wanted.name,
        });
    }
    Ok(all)
}

/// Checks every stream and bucket and changes nothing. Empty when all is as it should be.
pub async fn verify(
    broker: &Broker,
    options: &TopologyOptions,
) -> Result<Vec<Finding>, TopologyError> {
    let mut findings = Vec::new();
    for wanted in streams::all(broker.subjects(), options) {
        match look(broker, &wanted).await? {
            Some(found) => {
                let drifts = wanted.drifts_of(&found).into_iter();
                findings.extend(drifts.map(Finding::Drift));
            }
            None => findings.push(Finding::Missing(wanted.name)),
        }
    }
    Ok(findings)
}

#[derive(Default, Deserialize)]
struct State {
    #[serde(default)]
    last_seq: u64,
}

#[derive(Default, Deserialize)]
struct Members {
    #[serde(default)]
    leader: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    config: Value,
    #[serde(default)]
    state: State,
    /// On a cluster: who leads the stream.
    #[serde(default)]
    cluster: Members,
    #[serde(default)]
    created: String,
    #[serde(default)]
    did_create: bool,
}

async fn look(broker: &Broker, wanted: &Wanted) -> Result<Option<Stream>, TopologyError> {
    let asked = broker
        .api::<Stream>(subjects::api::stream_info(&wanted.name), &())
        .await;
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_stream_missing() => Ok(None),
        Err(cause) => Err(TopologyError::Look {
            what: wanted.what(),
            cause,
        }),
    }
}

async fn make(broker: &Broker, wanted: &Wanted) -> Result<Stream, TopologyError> {
    match look(broker, wanted).await? {
        Some(found) => widen::widen(broker, wanted, found).await,
        None => create(broker, wanted).await,
    }
}

async fn create(broker: &Broker, wanted: &Wanted) -> Result<Stream, TopologyError> {
    let subject = subjects::api::stream_create(&wanted.name);
    match broker.api::<Stream>(subject, &wanted.to_create()).await {
        Ok(found) => {
            tracing::info!(stream = wanted.name, "created");
            Ok(found)
        }
        // Somebody else was quicker.
        Err(error) if error.err_code() == Some(code::STREAM_EXISTS) => {
            match look(broker, wanted).await? {
                Some(found) => Ok(found),
                None => Err(TopologyError::Create {
                    what: wanted.what(),
                    cause: error,
                }),
            }
        }
        Err(cause) => Err(TopologyError::Create {
            what: wanted.what(),
            cause,
        }),
    }
}
