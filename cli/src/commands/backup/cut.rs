//! What a restored installation must not remember (decision 39).
//!
//! - **Decisions about fires that were made after the ledger was copied.** A record leaves out what its writer knew to be
//!   open; where the copy of the ledger has no such run, nobody would ever open it. They are made again, but for refusals of
//!   runs by hand: their submitters were told.
//! - **Floors and numbers of consumers**: they were those of another queue.
//! - **Sessions of browsers**: one that was ended since would last again.
//! - **Who leads**: nobody, and whoever leads next has a term that nobody had.
//! - **What had ended** by being removed, and is in the copy all the same: [`wishes`] and, of a second site, [`lives`].

pub(super) mod lives;
pub(super) mod wishes;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use bytes::Bytes;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::schedule::record::{Decision, Record, Verdict};
use gridloom_shared::submission::Stored;
use serde_json::{Value, json};

/// More leaderships than can have come since a backup was made.
const TERMS: u64 = 1_000;

/// Decisions about fires that were taken out, and what they said of runs by hand: keys know nothing of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TakenOut {
    /// How many there were.
    pub(super) decisions: u64,
    /// Runs by hand that were refused, each with its place in the submit stream.
    refused: BTreeSet<(RunId, Stored)>,
    /// Runs by hand that were to be opened.
    coming: BTreeSet<RunId>,
}

/// Takes the decisions about fires out that were stored behind `up_to` and after `cut`, but for those of which the ledger
/// has the run, and all before these.
///
/// # Errors
/// When the broker does not answer.
pub(super) async fn fires(broker: &Broker, up_to: u64, cut: UnixMs) -> anyhow::Result<TakenOut> {
    let (subjects, history) = (broker.subjects(), broker.subjects().history());
    let last = broker.info(&history).await?.last_seq;
    let all = broker.read(&history, subjects.all_fires(), up_to + 1, Some(last));
    let mut later: BTreeMap<JobName, Later> = BTreeMap::new();
    for raw in all.await? {
        let Some(job) = subjects.parse_fires(&raw.subject) else {
            continue;
        };
        if raw.at <= cut {
            continue;
        }
        let record = match broker.decode::<Record>(&raw.subject, &raw.payload) {
            // Whether it is to be taken out, is not known.
            Err(error) if error.is_newer() => return Err(error).context("read what was decided"),
            record => record.ok(),
        };
        let opened = record
            .as_ref()
            .and_then(|record| opened_by(&record.decision));
        let stays = match opened {
            Some(run) => is_in_ledger(broker, run).await?,
            None => false,
        };
        let of_job = later.entry(job).or_default();
        match stays {
            true => *of_job = Later::default(),
            false => of_job.hear(raw.seq, record.as_ref()),
        }
    }
    let mut taken_out = TakenOut::default();
    for of_job in later.into_values() {
        taken_out.refused.extend(of_job.refused);
        taken_out.coming.extend(of_job.coming);
        for seq in of_job.places {
            taken_out.decisions += u64::from(broker.remove(&history, seq).await?);
        }
    }
    Ok(taken_out)
}

/// Decisions about the fires of one job that are taken out, unless one that stays comes behind them.
#[derive(Debug, Default)]
struct Later {
    /// Where they stand.
    places: Vec<u64>,
    /// As in [`TakenOut`].
    refused: Vec<(RunId, Stored)>,
    /// As in [`TakenOut`].
    coming: Vec<RunId>,
}

impl Later {
    fn hear(&mut self, place: u64, record: Option<&Record>) {
        self.places.push(place);
        let Some(Record {
            decision: Decision::Asked { run, answer },
            state,
            ..
        }) = record
        else {
            return;
        };
        match answer {
            // An id can be asked for again after it was refused: the place tells one wish from the other.
            Verdict::Refused { .. } => {
                let petition = state.asked.iter().find(|asked| asked.run == *run);
                let refused = petition.map(|petition| (run.clone(), petition.stored()));
                self.refused.extend(refused);
            }
            Verdict::Opened { .. } => self.coming.push(run.clone()),
            Verdict::Queued { .. } => {}
        }
    }
}

/// The run that a decision opens.
fn opened_by(decision: &Decision) -> Option<&RunId> {
    match decision {
        Decision::Opened { run, .. }
        | Decision::Asked {
            run,
            answer: Verdict::Opened { .. },
        } => Some(run),
        Decision::Asked { .. }
        | Decision::Adopted
        | Decision::Confirmed
        | Decision::Queued { .. }
        | Decision::Passed { .. }
        | Decision::Halted { .. }
        | Decision::Ended { .. } => None,
    }
}

async fn is_in_ledger(broker: &Broker, run: &RunId) -> anyhow::Result<bool> {
    let subjects = broker.subjects();
    let plan = subjects.plan_of_run_anywhere(run);
    // By the leader: what is taken out does not come back, and replicas that were just restored lag.
    let first = broker.first_of_leader(&subjects.ledger(), &plan, 1).await?;
    Ok(first.is_some())
}

/// Takes out of the bucket of states what was said of another queue and of sessions, and frees the leadership.
///
/// # Errors
/// When the broker does not answer.
pub(super) async fn state(broker: &Broker) -> anyhow::Result<()> {
    let (subjects, state) = (broker.subjects(), broker.state());
    let cut = [
        subjects.all_floors(),
        subjects.all_consumers(),
        subjects.all_sessions(),
    ];
    for filter in cut {
        // Replicas that were just restored lag.
        for entry in state.surely_entries(filter).await? {
            state.forget(&entry.key).await?;
        }
    }
    let place = state.place_of(LEADER_KEY).await?;
    let Some(freed) = place.value().and_then(|value| freed(value)) else {
        return Ok(());
    };
    let written = state.replace(&place, freed, None).await;
    written.context("free the leadership")?;
    Ok(())
}

/// The lease, given up, with a term above all that there can have been. `None` where there is none: whoever leads next
/// overwrites it.
fn freed(lease: &[u8]) -> Option<Bytes> {
    let mut lease: Value = serde_json::from_slice(lease).ok()?;
    let term = lease.get("term")?.as_u64()?;
    let fields = lease.as_object_mut()?;
    fields.insert("term".into(), json!(Term(term.saturating_add(TERMS))));
    fields.insert("free".into(), json!(true));
    Some(lease.to_string().into())
}

#[cfg(test)]
mod tests {
    use gridloom_shared::schedule::ByHand;
    use gridloom_shared::schedule::record::{Behind, Petition, State, Why};

    use super::*;

    /// A record that answers for the run `id` of a wish at `sequence`.
    fn answered(id: &str, sequence: u64, answer: Verdict) -> (RunId, Record) {
        let run = RunId::from_request(&JobName::new("calm").unwrap(), id);
        let mut state = State::new(None, UnixMs(1), UnixMs(1));
        let behind = Behind {
            run: run.clone(),
            cancelled: false,
        };
        state.asked.push(Petition {
            run: run.clone(),
            sequence,
            stored_at: UnixMs(1),
            overlap: ByHand::Skip,
            since: UnixMs(1),
            behind,
            refused: None,
        });
        let decision = Decision::Asked {
            run: run.clone(),
            answer,
        };
        let record = Record {
            at: UnixMs(2),
            term: Term(1),
            decision,
            state,
        };
        (run, record)
    }

    #[test]
    fn what_was_refused_or_was_coming_is_known_though_the_decision_is_taken_out() {
        let why = Why::Deleted;
        let (refused, first) = answered("refused", 7, Verdict::Refused { why });
        let (coming, second) = answered("coming", 8, Verdict::Opened { after: None });
        let mut later = Later::default();
        later.hear(20, Some(&first));
        later.hear(21, Some(&second));
        later.hear(22, None);
        assert_eq!(later.places, [20, 21, 22]);
        assert_eq!(later.refused, [(refused, (7, UnixMs(1)))]);
        assert_eq!(later.coming, [coming]);
    }

    #[test]
    fn lease_is_free_under_a_term_that_nobody_had_and_nonsense_is_left() {
        let lease = br#"{"holder":"00","name":"a","term":7,"free":false}"#;
        let freed_lease: Value = serde_json::from_slice(&freed(lease).unwrap()).unwrap();
        assert_eq!(freed_lease["term"], 7 + TERMS);
        assert_eq!(freed_lease["free"], true);
        assert_eq!(freed_lease["name"], "a");
        assert!(freed(b"nonsense").is_none() && freed(b"{}").is_none());
    }
}
