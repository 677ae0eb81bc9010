//! The name of every subject, stream, bucket, consumer and key: the only room that spells them
//! (docs/PROTOCOL.md §1), and reads them back.

use std::fmt;

use crate::command::Verb;
use crate::id::{HandlerName, JobName, Namespace, QueueName, RunId, Session};
use crate::lane::Lane;
pub use crate::ledger::record::Author;
use crate::limits::REPLY_MAX;

mod alarm;
pub(super) mod api;
mod asked;
mod backup;
mod calendar;
pub(in crate::broker) mod domain;
mod parse;
mod session;

/// Each subject, as all have two parts: what to ask for the last record of all by. Asked by `>` the broker looks at its last
/// sequence alone, and finds nothing where that was removed (measured on 2.15.1).
pub(super) const ANY: &str = "*.>";

/// The planner's consumer of the submit stream.
pub const PLANNER_CONSUMER: &str = "planner";

/// Key of the `state` bucket that `doctor` writes to see whether the broker stores what is written, and deletes again.
pub const DOCTOR_KEY: &str = "doctor";

/// Key of the leader's lease in the `state` bucket.
pub const LEADER_KEY: &str = "leader";

/// Key of the `state` bucket for what planners have seen of the broker's clock.
pub const WATCHED_KEY: &str = "clock";

/// Key of the `state` bucket for dead shards that were purged before anybody had seen them.
pub const UNSEEN_KEY: &str = "unseen";

/// Name of a stream, `<namespace>-<what>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamName(String);

impl StreamName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a bucket, `<namespace>-<what>`. A bucket is a stream with a prefix of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketName(String);

impl BucketName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stream that holds the bucket.
    pub fn stream(&self) -> StreamName {
        StreamName(format!("KV_{}", self.0))
    }

    /// The subject of `key`; `>` for all keys.
    pub(super) fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.0)
    }

    /// The key of a subject of this bucket.
    pub(super) fn key<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject
            .strip_prefix("$KV.")?
            .strip_prefix(self.as_str())?
            .strip_prefix('.')
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A consumer of a lane, `<queue>_<handler>-<n>`; `_` stands in neither name. A name is never used again: a
/// consumer that was made again under its old name hands everything out as if for the first time
/// (docs/PROTOCOL.md §1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerName(String);

impl ConsumerName {
    /// The n-th consumer of `lane`.
    pub fn new(lane: &Lane, number: u64) -> ConsumerName {
        let Lane { queue, handler } = lane;
        ConsumerName(format!("{queue}_{handler}-{number}"))
    }

    /// The planner's consumer of the submit stream.
    pub fn planner() -> ConsumerName {
        ConsumerName(PLANNER_CONSUMER.to_owned())
    }

    /// The consumer of that name, if it is one of a lane: which, and its number.
    pub fn parse(text: &str) -> Option<(ConsumerName, Lane, u64)> {
        let (queue, rest) = text.split_once('_')?;
        let (handler, number) = rest.rsplit_once('-')?;
        let lane = Lane::new(QueueName::new(queue).ok()?, HandlerName::new(handler).ok()?);
        let number = number.parse().ok()?;
        let name = ConsumerName::new(&lane, number);
        (name.0 == text).then_some((name, lane, number))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All names of one installation.
#[derive(Clone, Debug)]
pub struct Subjects {
    namespace: Namespace,
}

/// Streams and buckets.
impl Subjects {
    /// The names of the installation `namespace`.
    pub fn new(namespace: Namespace) -> Subjects {
        Subjects { namespace }
    }

    /// The installation.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn named(&self, what: &str) -> String {
        format!("{}-{what}", self.namespace)
    }

    /// The queue: tiles to be done, and the term register.
    pub fn shards(&self) -> StreamName {
        StreamName(self.named("shards"))
    }

    /// The ledger: the one truth about every run.
    pub fn ledger(&self) -> StreamName {
        StreamName(self.named("ledger"))
    }

    /// Ad-hoc job messages.
    pub fn submit(&self) -> StreamName {
        StreamName(self.named("submit"))
    }

    /// Fire records, and messages that could not be understood.
    pub fn history(&self) -> StreamName {
        StreamName(self.named("history"))
    }

    /// Definitions of jobs.
    pub fn jobs(&self) -> BucketName {
        BucketName(self.named("jobs"))
    }

    /// Summaries of runs: a projection of the ledger.
    pub fn runs(&self) -> BucketName {
        BucketName(self.named("runs"))
    }

    /// Schedule state, the leader's lease, floors, consumer numbers.
    pub fn state(&self) -> BucketName {
        BucketName(self.named("state"))
    }

    /// Registrations of workers.
    pub fn workers(&self) -> BucketName {
        BucketName(self.named("workers"))
    }
}

/// Subjects of streams.
impl Subjects {
    /// Tiles of `run`, which belong on `lane`.
    pub fn shard(&self, lane: &Lane, run: &RunId) -> String {
        let Lane { queue, handler } = lane;
        format!("{}.shard.{queue}.{handler}.{run}", self.namespace)
    }

    /// All tiles of `lane`: its consumer's filter.
    pub fn shards_of_lane(&self, lane: &Lane) -> String {
        let Lane { queue, handler } = lane;
        format!("{}.shard.{queue}.{handler}.*", self.namespace)
    }

    /// All tiles of `run`, whatever their lane.
    pub fn shards_of_run(&self, queue: &QueueName, run: &RunId) -> String {
        format!("{}.shard.{queue}.*.{run}", self.namespace)
    }

    /// All tiles of `queue`.
    pub fn shards_of_queue(&self, queue: &QueueName) -> String {
        format!("{}.shard.{queue}.*.*", self.namespace)
    }

    /// All tiles.
    pub fn all_shards(&self) -> String {
        format!("{}.shard.*.*.*", self.namespace)
    }

    /// The term register. No consumer matches it, so it stays.
    pub fn term(&self) -> String {
        format!("{}.term", self.namespace)
    }

    /// What `author` writes about `run`.
    pub fn ledger_of(&self, queue: &QueueName, run: &RunId, author: Author) -> String {
        format!(
            "{}.ledger.{queue}.{run}.{}",
            self.namespace,
            author.as_str()
        )
    }

    /// The ledger of one run.
    pub fn ledger_of_run(&self, queue: &QueueName, run: &RunId) -> String {
        format!("{}.ledger.{queue}.{run}.*", self.namespace)
    }

    /// Everything of one run of which the queue is not known: its ledger, and the record by which its id
    /// is remembered once that was purged.
    pub fn ledger_of_run_anywhere(&self, run: &RunId) -> String {
        format!("{}.*.*.{run}.*", self.namespace)
    }

    /// The ledger of one run of which the queue is not known.
    pub fn ledger_of_run_on_any_queue(&self, run: &RunId) -> String {
        format!("{}.ledger.*.{run}.*", self.namespace)
    }

    /// What planners write about one run of which the queue is not known.
    pub fn plan_of_run_anywhere(&self, run: &RunId) -> String {
        format!(
            "{}.ledger.*.{run}.{}",
            self.namespace,
            Author::Plan.as_str()
        )
    }

    /// The ledgers of all runs of one queue.
    pub fn ledger_of_queue(&self, queue: &QueueName) -> String {
        format!("{}.ledger.{queue}.*.*", self.namespace)
    }

    /// All ledgers.
    pub fn all_ledgers(&self) -> String {
        format!("{}.ledger.*.*.*", self.namespace)
    }

    /// The record by which the id of a run is remembered that was purged. It stands apart from all
    /// ledgers: whoever lists those must not meet every id of a month.
    pub fn id_of(&self, queue: &QueueName, run: &RunId) -> String {
        format!("{}.ids.{queue}.{run}.id", self.namespace)
    }

    /// The same of a run of which the queue is not known.
    pub fn id_of_anywhere(&self, run: &RunId) -> String {
        format!("{}.ids.*.{run}.id", self.namespace)
    }

    /// All remembered ids.
    pub fn all_ids(&self) -> String {
        format!("{}.ids.*.*.id", self.namespace)
    }

    /// What `author` writes about any run.
    pub fn ledgers_by(&self, author: Author) -> String {
        format!("{}.ledger.*.*.{}", self.namespace, author.as_str())
    }

    /// Ad-hoc messages for `job`.
    pub fn submit_to(&self, job: &JobName) -> String {
        format!("{}.submit.{job}", self.namespace)
    }

    /// All ad-hoc messages, also those whose job cannot exist.
    pub fn all_submits(&self) -> String {
        format!("{}.submit.>", self.namespace)
    }

    /// Fire records of `job`.
    pub fn fires(&self, job: &JobName) -> String {
        format!("{}.fires.{job}", self.namespace)
    }

    /// All fire records.
    pub fn all_fires(&self) -> String {
        format!("{}.fires.*", self.namespace)
    }

    /// What people and programs have ordered.
    pub fn actions(&self) -> String {
        format!("{}.actions", self.namespace)
    }

    /// Messages that could not be understood, with the reason.
    pub fn unreadable(&self) -> String {
        format!("{}.unreadable", self.namespace)
    }
}

/// Subjects of plain NATS.
impl Subjects {
    /// Where a worker says hello, what it holds, and goodbye.
    pub fn presence(&self, session: Session) -> String {
        format!("{}.presence.{session}", self.namespace)
    }

    /// Presence of all workers.
    pub fn all_presence(&self) -> String {
        format!("{}.presence.*", self.namespace)
    }

    /// Where a worker answers questions of the leader.
    pub fn probe(&self, session: Session) -> String {
        format!("{}.probe.{session}", self.namespace)
    }

    /// Where a worker's engine answers what it holds.
    pub fn holdings(&self, session: Session) -> String {
        format!("{}.holdings.{session}", self.namespace)
    }

    /// Where all workers answer a question of anybody: who is there.
    pub fn roll_call(&self) -> String {
        format!("{}.roll-call", self.namespace)
    }

    /// Where all planners answer the same question.
    pub fn planner_call(&self) -> String {
        format!("{}.planner-call", self.namespace)
    }

    /// Where a planner hears its own echo.
    pub fn echo(&self, session: Session) -> String {
        format!("{}.echo.{session}", self.namespace)
    }

    /// Where `doctor` hears its own echo.
    pub fn doctor(&self, session: Session) -> String {
        format!("{}.doctor.{session}", self.namespace)
    }

    /// Where the leader answers what people order of runs.
    pub fn command(&self, verb: Verb) -> String {
        format!("{}.command.{}", self.namespace, verb.as_str())
    }

    /// All orders, also those that nobody understands.
    pub fn all_commands(&self) -> String {
        format!("{}.command.>", self.namespace)
    }

    /// Whether an answer to a submission may go there. The planner is allowed to publish nearly everywhere: a
    /// submitter must not use that to reach what it may not reach itself.
    pub fn takes_answers(&self, subject: &str) -> bool {
        let own = format!("{}.answer.", self.namespace);
        let below = below_inbox(subject).or_else(|| subject.strip_prefix(own.as_str()));
        let is_token = |token: &str| {
            !token.is_empty()
                && token
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && b != b'*' && b != b'>')
        };
        subject.len() <= REPLY_MAX && below.is_some_and(|below| below.split('.').all(is_token))
    }

    /// What every worker hears: cancel, pause.
    pub fn broadcast(&self) -> String {
        format!("{}.broadcast", self.namespace)
    }

    /// Where a worker rings for the others of a lane: more is there than its own slots take.
    pub fn bell(&self, lane: &Lane) -> String {
        let Lane { queue, handler } = lane;
        format!("{}.bell.{queue}.{handler}", self.namespace)
    }

    /// All bells of `queue`.
    pub fn bells_of_queue(&self, queue: &QueueName) -> String {
        format!("{}.bell.{queue}.*", self.namespace)
    }
}

/// What stands below the prefix of an inbox, `_INBOX` or, of clients that have one of their own, `_INBOX_<name>`; or of
/// what the broker puts in place of an inbox of another account.
fn below_inbox(subject: &str) -> Option<&str> {
    let (prefix, below) = subject.split_once('.')?;
    if prefix == "_R_" {
        return Some(below);
    }
    let name = prefix.strip_prefix("_INBOX")?;
    let is_inbox = name.is_empty()
        || name.starts_with('_')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    is_inbox.then_some(below)
}

/// What the broker itself listens to.
impl Subjects {
    /// Where a delivery to somebody else is answered on its behalf: the broker matches by `stream_seq`
    /// alone, and wants a `consumer_seq` that it has given.
    pub fn delivery_of_another(
        &self,
        stream: &StreamName,
        consumer: &ConsumerName,
        stream_seq: u64,
        consumer_seq: u64,
    ) -> String {
        format!(
            "{}{stream}.{consumer}.1.{stream_seq}.{consumer_seq}.0.0",
            api::DELIVERY
        )
    }
}

/// Keys of the `state` bucket.
impl Subjects {
    /// The number of the current consumer of `lane`.
    pub fn consumer_key(&self, lane: &Lane) -> String {
        let Lane { queue, handler } = lane;
        format!("consumer.{queue}.{handler}")
    }

    /// Every key that [`Subjects::consumer_key`] gives, as a filter.
    pub fn all_consumers(&self) -> &'static str {
        "consumer.*.*"
    }

    /// The floor of a consumer under one broker process.
    pub fn floor_key(&self, consumer: &ConsumerName, server_id: &str) -> String {
        format!("floor.{consumer}.{server_id}")
    }

    /// That `run` was lost while it was open.
    pub fn lost_key(&self, run: &RunId) -> String {
        format!("lost.{run}")
    }

    /// The run whose [`Subjects::lost_key`] `key` is.
    pub fn parse_lost_key(&self, key: &str) -> Option<RunId> {
        RunId::new(key.strip_prefix("lost.")?).ok()
    }

    /// All runs that were lost, as a filter of keys.
    pub fn all_lost(&self) -> &'static str {
        "lost.>"
    }

    /// All floors, as a filter of keys.
    pub fn all_floors(&self) -> &'static str {
        "floor.>"
    }

    /// That the schedule of `job` is paused; `None`: those of all jobs.
    pub fn pause_key(&self, job: Option<&JobName>) -> String {
        job.map_or_else(|| "pause.all".to_owned(), |job| format!("pause.job.{job}"))
    }

    /// The job whose [`Subjects::pause_key`] `key` is: `Some(None)` for all jobs.
    pub fn parse_pause_key(&self, key: &str) -> Option<Option<JobName>> {
        match key.strip_prefix("pause.")? {
            "all" => Some(None),
            job => Some(Some(JobName::new(job.strip_prefix("job.")?).ok()?)),
        }
    }

    /// All pauses, as a filter of keys.
    pub fn all_pauses(&self) -> &'static str {
        "pause.>"
    }
}

#[cfg(test)]
mod tests;
