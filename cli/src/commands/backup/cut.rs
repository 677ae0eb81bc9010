//! What a restored installation must not remember (decision 39).
//!
//! - **Decisions about fires that were made after the ledger was copied.** A record leaves out what its writer knew to be
//!   open; where the copy of the ledger has no such run, nobody would ever open it. They are made again.
//! - **Floors and numbers of consumers**: they were those of another queue.
//! - **Who leads**: nobody, and whoever leads next has a term that nobody had.
//! - **What had ended** by being removed, and is in the copy all the same: [`wishes`] and, of a second site, [`lives`].

pub(super) mod lives;
pub(super) mod wishes;

use std::collections::BTreeMap;

use anyhow::Context as _;
use bytes::Bytes;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::schedule::record::{Decision, Record, Verdict};
use serde_json::{Value, json};

/// More leaderships than can have come since a backup was made.
const TERMS: u64 = 1_000;

/// Takes the decisions about fires out that were stored behind `up_to` and after `cut`, but for those of which the ledger
/// has the run, and all before these. Returns how many.
///
/// # Errors
/// When the broker does not answer.
pub(super) async fn fires(broker: &Broker, up_to: u64, cut: UnixMs) -> anyhow::Result<u64> {
    let (subjects, history) = (broker.subjects(), broker.subjects().history());
    let last = broker.info(&history).await?.last_seq;
    let all = broker.read(&history, subjects.all_fires(), up_to + 1, Some(last));
    let mut later: BTreeMap<JobName, Vec<u64>> = BTreeMap::new();
    for raw in all.await? {
        let Some(job) = subjects.parse_fires(&raw.subject) else {
            continue;
        };
        if raw.at <= cut {
            continue;
        }
        let decided = match broker.decode::<Record>(&raw.subject, &raw.payload) {
            // Whether it is to be taken out, is not known.
            Err(error) if error.is_newer() => return Err(error).context("read what was decided"),
            decided => decided.ok(),
        };
        let opened = decided.and_then(|record| opened_by(record.decision));
        let of_job = later.entry(job).or_default();
        of_job.push(raw.seq);
        if let Some(run) = opened
            && is_in_ledger(broker, &run).await?
        {
            of_job.clear();
        }
    }
    let mut taken_out = 0;
    for seq in later.into_values().flatten() {
        taken_out += u64::from(broker.remove(&history, seq).await?);
    }
    Ok(taken_out)
}

/// The run that a decision opens.
fn opened_by(decision: Decision) -> Option<RunId> {
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
    Ok(broker.first(&subjects.ledger(), &plan).await?.is_some())
}

/// Takes out of the bucket of states what was said of another queue, and frees the leadership.
///
/// # Errors
/// When the broker does not answer.
pub(super) async fn state(broker: &Broker) -> anyhow::Result<()> {
    let (subjects, state) = (broker.subjects(), broker.state());
    for filter in [subjects.all_floors(), subjects.all_consumers()] {
        for entry in state.entries(filter).await? {
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
    use super::*;

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
