//! What stands last on each of any number of subjects.
//!
//! The broker answers for some hundreds at once, from one moment and in the order of the records. Where one that it had
//! found is gone when it is to be sent, the answer breaks off, and more may stand behind it: what it lacks is asked for
//! again. (nats-server 2.15 purges nothing while it answers.)
//!
//! Any replica answers, and one that lags lacks what was confirmed. Where nothing may be missing, each question names
//! the subject of a record besides that the stream's leader had: an answer without it, or a later one in its place, is
//! none. Where none comes for long, the leader is asked for one after the other.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::Record;
use super::answer::End;
use super::read::ReadError;
use crate::broker::api::ApiError;
use crate::broker::connect::Broker;
use crate::broker::subjects::{ANY, StreamName};

/// Subjects whose last records are asked for at once; the broker refuses more than 1,024.
const SUBJECTS_AT_ONCE: usize = 500;
/// Room in a question for one more.
const SUBJECT_MAX: usize = 512;
/// Pause before replicas that lag are asked again.
const CATCHES_UP: Duration = Duration::from_millis(15);
/// How long none of them may answer before the leader is asked in their place.
const PATIENCE: Duration = Duration::from_secs(10);

/// A record that a replica must have read.
#[derive(Debug)]
struct Mark {
    subject: String,
    seq: u64,
}

/// What to make of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// All that was asked for, as far as there is any.
    Whole,
    /// A part of it; the rest is to be asked for again.
    Part,
    /// Nothing is known by it: fewer are to be asked for at once.
    TooMany,
    /// The replica lags.
    Lags,
}

fn judge(page: &[Record], end: &End, mark: Option<&Mark>) -> Verdict {
    match (end, mark) {
        (End::Pending | End::BrokenOff, None) if !page.is_empty() => Verdict::Part,
        // The record by which it would be known is among the last.
        (End::Pending | End::BrokenOff, _) => Verdict::TooMany,
        (End::Nothing | End::Absent, None) => Verdict::Whole,
        (End::Nothing | End::Absent, Some(mark)) => {
            let has_read =
                |record: &Record| record.subject.as_str() == mark.subject && record.seq >= mark.seq;
            if page.iter().any(has_read) {
                Verdict::Whole
            } else {
                Verdict::Lags
            }
        }
    }
}

/// How long nothing but answers of replicas that lag has come. Of many questions each may find one that lags for a moment.
#[derive(Debug, Default)]
struct Lag {
    since: Option<Instant>,
}

impl Lag {
    /// Takes in what is to be made of an answer that came `now`. Whether it has lasted for long.
    fn is_long(&mut self, verdict: &Verdict, now: Instant) -> bool {
        if *verdict != Verdict::Lags {
            self.since = None;
            return false;
        }
        now - *self.since.get_or_insert(now) >= PATIENCE
    }
}

impl Broker {
    /// The last record of each of `subjects`, which must hold no wildcards; any number of them. By some replica each,
    /// which may lag.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn multi_last(
        &self,
        stream: &StreamName,
        subjects: &[String],
    ) -> Result<Vec<Record>, ReadError> {
        let read = self.last_of_all(stream, subjects, None).await;
        read.map_err(|cause| failed(stream, cause))
    }

    /// As [`Broker::multi_last`], and nothing that was confirmed before is missing.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn surely_last(
        &self,
        stream: &StreamName,
        subjects: &[String],
    ) -> Result<Vec<Record>, ReadError> {
        let read = async {
            // A server that stands alone has no replica.
            if self.cluster().is_none() || subjects.is_empty() {
                return self.last_of_all(stream, subjects, None).await;
            }
            match self.mark(stream).await? {
                Some(mark) => self.last_of_all(stream, subjects, Some(mark)).await,
                None => {
                    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
                    self.of_leader(stream, &subjects).await
                }
            }
        };
        read.await.map_err(|cause| failed(stream, cause))
    }

    /// The last record of every subject that matches `filter`; by some replica each, which may lag.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn last_per_subject(
        &self,
        stream: &StreamName,
        filter: &str,
    ) -> Result<Vec<Record>, ReadError> {
        let subjects = self.matching(stream, filter).await?;
        self.multi_last(stream, &subjects).await
    }

    /// As [`Broker::last_per_subject`], and nothing that was confirmed before is missing.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn surely_last_per_subject(
        &self,
        stream: &StreamName,
        filter: &str,
    ) -> Result<Vec<Record>, ReadError> {
        let subjects = self.matching(stream, filter).await?;
        self.surely_last(stream, &subjects).await
    }

    /// The subjects under which anything stands, of those that match `filter`.
    async fn matching(&self, stream: &StreamName, filter: &str) -> Result<Vec<String>, ReadError> {
        let found = self.subjects_of(stream, filter).await;
        let found = found.map_err(|cause| failed(stream, cause))?;
        Ok(found.into_keys().collect())
    }

    async fn last_of_all(
        &self,
        stream: &StreamName,
        subjects: &[String],
        mut mark: Option<Mark>,
    ) -> Result<Vec<Record>, ApiError> {
        let mut all = Vec::new();
        let mut lag = Lag::default();
        let room = self.max_record().saturating_sub(SUBJECT_MAX);
        let mut parts: Vec<Vec<&str>> = questions(subjects, room).collect();
        while let Some(mut wanted) = parts.pop() {
            if wanted.is_empty() {
                continue;
            }
            let (page, end) = self
                .direct_get(stream, &question(&wanted, mark.as_ref()))
                .await?;
            let verdict = judge(&page, &end, mark.as_ref());
            let lags_for_long = lag.is_long(&verdict, Instant::now());
            match verdict {
                Verdict::Whole => all.extend(of(&wanted, mark.as_ref(), page)),
                Verdict::Part => {
                    let found: HashSet<&str> = page.iter().map(|it| it.subject.as_str()).collect();
                    wanted.retain(|subject| !found.contains(subject));
                    parts.push(wanted);
                    all.extend(page);
                }
                Verdict::TooMany if wanted.len() > 1 => {
                    parts.push(wanted.split_off(wanted.len() / 2));
                    parts.push(wanted);
                }
                Verdict::TooMany => all.extend(self.of_leader(stream, &wanted).await?),
                Verdict::Lags if !lags_for_long => {
                    parts.push(wanted);
                    tokio::time::sleep(CATCHES_UP).await;
                    mark = self.still_there(stream, mark).await?;
                }
                Verdict::Lags => all.extend(self.of_leader(stream, &wanted).await?),
            }
        }
        Ok(all)
    }

    /// The same, asked of the leader one by one: a member that lags for long answers all who are connected to it.
    async fn of_leader(
        &self,
        stream: &StreamName,
        wanted: &[&str],
    ) -> Result<Vec<Record>, ApiError> {
        let mut all = Vec::new();
        for subject in wanted {
            let last = self.last_of_leader(stream, subject).await;
            all.extend(last.map_err(|error| error.cause)?);
        }
        Ok(all)
    }

    /// What whoever has read all has read; `None` where nothing is there.
    async fn mark(&self, stream: &StreamName) -> Result<Option<Mark>, ApiError> {
        let last = self.last_of_leader(stream, ANY).await;
        let last = last.map_err(|error| error.cause)?;
        Ok(last.map(|last| Mark {
            subject: last.subject.to_string(),
            seq: last.seq,
        }))
    }

    /// The same mark, or another one where its record was removed.
    async fn still_there(
        &self,
        stream: &StreamName,
        mark: Option<Mark>,
    ) -> Result<Option<Mark>, ApiError> {
        let Some(mark) = mark else { return Ok(None) };
        let last = self.last_of_leader(stream, &mark.subject).await;
        let last = last.map_err(|error| error.cause)?;
        if last.is_some_and(|last| last.seq >= mark.seq) {
            return Ok(Some(mark));
        }
        self.mark(stream).await
    }
}

fn failed(stream: &StreamName, cause: ApiError) -> ReadError {
    ReadError {
        stream: stream.to_string(),
        cause,
    }
}

fn question(wanted: &[&str], mark: Option<&Mark>) -> serde_json::Value {
    let all: Vec<&str> = wanted
        .iter()
        .copied()
        .chain(besides(wanted, mark))
        .collect();
    json!({ "multi_last": all, "batch": all.len() })
}

/// The subject that is asked for only to know how far the replica has read.
fn besides<'m>(wanted: &[&str], mark: Option<&'m Mark>) -> Option<&'m str> {
    let mark = mark.map(|mark| mark.subject.as_str());
    mark.filter(|mark| !wanted.contains(mark))
}

/// Those of `page` that were asked for.
fn of(wanted: &[&str], mark: Option<&Mark>, mut page: Vec<Record>) -> Vec<Record> {
    if let Some(besides) = besides(wanted, mark) {
        page.retain(|record| record.subject.as_str() != besides);
    }
    page
}

/// `subjects` in parts that one question names: no more than are answered at once, and no larger than a
/// message.
fn questions(subjects: &[String], most: usize) -> impl Iterator<Item = Vec<&str>> {
    let mut rest = subjects;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take(SUBJECTS_AT_ONCE).take_while(|subject| {
            bytes += subject.len() + 3;
            bytes < most
        });
        let count = fitting.count().max(1).min(rest.len());
        let (part, after) = rest.split_at(count);
        rest = after;
        (count > 0).then(|| part.iter().map(String::as_str).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMs;

    fn page(records: &[(&str, u64)]) -> Vec<Record> {
        let record = |(subject, seq): &(&str, u64)| Record {
            seq: *seq,
            at: UnixMs(0),
            subject: (*subject).into(),
            payload: "x".into(),
            deletion: false,
        };
        records.iter().map(record).collect()
    }

    #[test]
    fn answer_that_breaks_off_or_is_cut_is_a_part_at_most() {
        let some = page(&[("a", 1)]);
        for end in [End::BrokenOff, End::Pending] {
            assert_eq!(judge(&some, &end, None), Verdict::Part);
            assert_eq!(judge(&[], &end, None), Verdict::TooMany);
        }
        assert_eq!(judge(&some, &End::Nothing, None), Verdict::Whole);
        assert_eq!(judge(&[], &End::Absent, None), Verdict::Whole);
    }

    #[test]
    fn answer_of_a_replica_that_has_not_read_far_enough_is_none() {
        let mark = Mark {
            subject: "m".into(),
            seq: 9,
        };
        let judged = |records, end| judge(&page(records), &end, Some(&mark));
        assert_eq!(judged(&[("a", 1), ("m", 9)], End::Nothing), Verdict::Whole);
        assert_eq!(judged(&[("a", 1), ("m", 12)], End::Nothing), Verdict::Whole);
        assert_eq!(judged(&[("a", 1), ("m", 8)], End::Nothing), Verdict::Lags);
        assert_eq!(judged(&[("a", 99)], End::Nothing), Verdict::Lags);
        assert_eq!(judged(&[], End::Absent), Verdict::Lags);
        // Whether it has read so far is not in what came.
        assert_eq!(judged(&[("a", 1)], End::BrokenOff), Verdict::TooMany);
        assert_eq!(judged(&[("m", 9)], End::Pending), Verdict::TooMany);
    }

    #[test]
    fn replicas_lag_for_long_only_if_none_answers_meanwhile() {
        let (mut lag, begun) = (Lag::default(), Instant::now());
        let mut judged = |verdict, after| lag.is_long(&verdict, begun + after);
        let moment = Duration::from_millis(1);
        assert!(!judged(Verdict::Lags, Duration::ZERO));
        assert!(!judged(Verdict::Lags, PATIENCE - moment));
        assert!(!judged(Verdict::Whole, PATIENCE - moment));
        assert!(!judged(Verdict::Lags, PATIENCE * 2));
        assert!(judged(Verdict::Lags, PATIENCE * 3));
    }

    #[test]
    fn mark_is_asked_for_besides_and_once() {
        let mark = Mark {
            subject: "m".into(),
            seq: 9,
        };
        let asked = |wanted: &[&str]| question(wanted, Some(&mark))["multi_last"].to_string();
        assert_eq!(asked(&["a"]), r#"["a","m"]"#);
        assert_eq!(asked(&["m", "a"]), r#"["m","a"]"#);
        let found = |wanted| of(wanted, Some(&mark), page(&[("a", 1), ("m", 9)])).len();
        assert_eq!((found(&["a"]), found(&["a", "m"])), (1, 2));
    }

    #[test]
    fn questions_name_all_subjects_and_no_more_than_are_answered() {
        let subjects: Vec<String> = (0..1_203).map(|n| format!("s.{n}")).collect();
        let parts: Vec<usize> = questions(&subjects, 1 << 20)
            .map(|part| part.len())
            .collect();
        assert_eq!(parts, [500, 500, 203]);
        let all: usize = questions(&subjects, 100).map(|part| part.len()).sum();
        assert_eq!(all, 1_203);
    }
}
