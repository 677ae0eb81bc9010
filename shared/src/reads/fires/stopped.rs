//! Jobs of which nothing is decided any more, since the last record of their fires makes no sense to who would go on
//! from it: what was damaged, or was written by a later version.

use crate::broker::Broker;
use crate::broker::log::ReadError;
use crate::broker::log::Record as Raw;
use crate::chain;
use crate::clock::UnixMs;
use crate::id::JobName;
use crate::schedule::record::Record;
use crate::turns::Turns;
use crate::wire::WireError;

/// A job whose last record makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The job.
    pub job: JobName,
    /// The stream in which the record stands.
    pub stream: String,
    /// Its place there.
    pub sequence: u64,
    /// Since when, by the broker's clock.
    pub since: UnixMs,
    /// Why it makes no sense.
    pub error: String,
    /// Whether that is since a newer build wrote it.
    pub newer: bool,
}

impl Stopped {
    pub(super) fn new(broker: &Broker, job: &JobName, raw: &Raw, error: &WireError) -> Stopped {
        Stopped {
            job: job.clone(),
            stream: broker.subjects().history().to_string(),
            sequence: raw.seq,
            since: raw.at,
            error: chain(error).to_string(),
            newer: error.is_newer(),
        }
    }

    /// What is the case, as a sentence.
    pub fn found(&self) -> String {
        format!(
            "job {} fires nothing since {}: record {} of stream {} {} {}",
            self.job,
            self.since.to_the_second(),
            self.sequence,
            self.stream,
            if self.newer { "was" } else { "is" },
            self.error
        )
    }

    /// What is to be done about it.
    pub fn advice(&self) -> String {
        if self.newer {
            return "upgrade the planners: one of that build goes on from it; remove nothing"
                .to_owned();
        }
        format!(
            "remove it \
             (nats stream rmm {} {}): the planner goes on within seconds from the record before it, and decides again \
             what that one said",
            self.stream, self.sequence
        )
    }
}

/// The jobs that stand still for that: `job`, or of all those that do.
///
/// # Errors
/// When the broker does not answer.
pub async fn find(broker: &Broker, job: Option<&JobName>) -> Result<Vec<Stopped>, ReadError> {
    let subjects = broker.subjects();
    let history = subjects.history();
    let last = match job {
        Some(job) => {
            let last = broker
                .last_of_leader(&history, &subjects.fires(job))
                .await?;
            last.into_iter().collect()
        }
        None => {
            broker
                .last_per_subject(&history, &subjects.all_fires())
                .await?
        }
    };
    let (mut stopped, mut turns) = (Vec::new(), Turns::begin());
    for raw in &last {
        if let Err(error) = broker.decode::<Record>(&raw.subject, &raw.payload)
            && let Some(job) = subjects.parse_fires(&raw.subject)
        {
            stopped.push(Stopped::new(broker, &job, raw, &error));
        }
        turns.pass().await;
    }
    Ok(stopped)
}
