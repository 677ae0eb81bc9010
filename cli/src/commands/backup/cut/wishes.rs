//! Which runs by hand are answered for though their keys are there: a key is removed when its run is open or refused on
//! record, and neither a copy that was made before nor a site that follows sees that. The record of the job's fires tells, and
//! what was taken out of it.

use std::collections::BTreeMap;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::Entry;
use gridloom_shared::id::JobName;
use gridloom_shared::reads::{fires, refused};
use gridloom_shared::schedule::record::State;
use gridloom_shared::submission::{Kept, Unreadable};
use gridloom_shared::wire;

use super::TakenOut;

/// Removes their keys, of those that the bucket held up to `end`. Returns how many. What was not decided stays, and is asked
/// for again.
///
/// # Errors
/// When the broker does not answer.
pub(in crate::commands::backup) async fn answered(
    broker: &Broker,
    end: u64,
    taken_out: &TakenOut,
) -> anyhow::Result<u64> {
    let (subjects, state) = (broker.subjects(), broker.state());
    let mut pages = state.pages(subjects.all_asked_runs(), end);
    let mut known = Known::default();
    let mut removed = 0;
    while let Some(page) = pages.next().await? {
        for entry in page {
            if known.is_answered(broker, &entry, taken_out).await? {
                state.forget_below(&entry.key, entry.revision + 1).await?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

impl TakenOut {
    fn has_refused(&self, kept: &Kept) -> bool {
        self.refused.contains(&(kept.run.clone(), kept.stored()))
    }
}

/// What was read to know that.
#[derive(Default)]
struct Known {
    /// The last record of each job's fires.
    states: BTreeMap<JobName, Option<State>>,
    /// What is on record as refused, once that was asked for.
    refused: Option<Vec<Unreadable>>,
}

impl Known {
    async fn is_answered(
        &mut self,
        broker: &Broker,
        entry: &Entry,
        taken_out: &TakenOut,
    ) -> anyhow::Result<bool> {
        let kept = entry.value.as_deref().map(wire::decode::<Kept>);
        let Some(Ok(kept)) = kept else {
            return Ok(false);
        };
        let Ok(job) = JobName::new(kept.run.job()) else {
            return Ok(false);
        };
        if taken_out.has_refused(&kept) {
            return Ok(true);
        }
        if !self.states.contains_key(&job) {
            let state = fires::state(broker, &job).await?;
            self.states.insert(job.clone(), state);
        }
        let state = self.states.get(&job).and_then(Option::as_ref);
        if state.is_some_and(|state| state.has_answered(&kept.run, kept.stored(), entry.revision)) {
            return Ok(true);
        }
        let is_coming = |state: &State| state.unopened.iter().any(|fire| fire.run == kept.run);
        let is_coming = taken_out.coming.contains(&kept.run) || state.is_some_and(is_coming);
        Ok(is_coming && self.is_given_up(broker, &kept).await?)
    }

    /// Whether it is on record that this could not be opened: its submitter was told.
    async fn is_given_up(&mut self, broker: &Broker, kept: &Kept) -> anyhow::Result<bool> {
        let refused = match self.refused.take() {
            Some(refused) => refused,
            None => {
                let all = refused::list(broker, usize::MAX).await?.messages;
                all.into_iter()
                    .filter_map(|message| message.record)
                    .collect()
            }
        };
        let is_this = |record: &Unreadable| {
            record.sequence == kept.sequence && record.not_opened(&kept.run).is_some()
        };
        let is_given_up = refused.iter().any(is_this);
        self.refused = Some(refused);
        Ok(is_given_up)
    }
}
