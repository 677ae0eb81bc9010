//! Which runs there are.

use std::collections::BTreeMap;

use super::super::ledger::Place;
use super::super::{ListError, RunError};
use super::{fold_at, fold_by, fold_in};
use crate::broker::Broker;
use crate::id::RunId;
use crate::ledger::fold::Fold;
use crate::ledger::record::{Author, PlanRecord};
use crate::ledger::summary::RunSummary;
use crate::turns::Turns;
use crate::wire;

/// A run that has a ledger, or a summary of one that went on.
#[derive(Clone, Debug)]
pub(in crate::reads) struct Known {
    pub(in crate::reads) place: Place,
    /// `None`: it has none that can be read.
    pub(in crate::reads) summary: Option<RunSummary>,
}

impl Known {
    pub(in crate::reads) fn run(&self) -> &RunId {
        &self.place.run
    }

    pub(super) fn is_over(&self) -> bool {
        self.summary
            .as_ref()
            .is_some_and(|summary| summary.state.ended())
    }

    /// What its records up to `last` add up to, or why that cannot be told. A broker that does not
    /// answer is nothing of this run's.
    pub(in crate::reads) async fn fold(
        &self,
        broker: &Broker,
        last: u64,
    ) -> Result<Result<Fold, RunError>, ListError> {
        let mut told = fold_at(broker, &self.place, last).await;
        if let Err(RunError::Absent { run, .. }) = &told {
            // It may just have been purged.
            told = fold_by(broker, run, fold_in).await;
        }
        match told {
            Err(RunError::Read(error)) => Err(error.into()),
            Err(RunError::Api(error)) => Err(error.into()),
            Err(RunError::Absent { run, .. }) if self.summary.is_some() && !self.is_over() => {
                let how = "it went on, and its ledger is gone".to_owned();
                Ok(Err(RunError::Lost { run, how }))
            }
            told => Ok(told),
        }
    }
}

/// All runs that were not purged, by id; and up to where the ledger went when they were listed.
pub(in crate::reads) async fn known(broker: &Broker) -> Result<(Vec<Known>, u64), ListError> {
    // In this order: a run that is opened meanwhile has a ledger and no summary, never the other way;
    // and all that stands in the ledger up to its end is counted then.
    let mut summaries = summaries(broker).await?;
    let last = broker.info(&broker.subjects().ledger()).await?.last_seq;
    let mut found = places(broker).await?;
    leave_out_purged(broker, &mut found).await?;
    let listed: Vec<Known> = found
        .into_iter()
        .map(|(run, place)| Known {
            place,
            summary: summaries.remove(&run),
        })
        .collect();
    let lost = summaries
        .into_values()
        .filter(|summary| !summary.state.ended());
    let lost = lost.map(|summary| Known {
        place: Place::nowhere(summary.run.clone()),
        summary: Some(summary),
    });
    Ok((listed.into_iter().chain(lost).collect(), last))
}

/// Runs with a plan. What workers said late of one that is gone, or in another queue, is no run's.
async fn places(broker: &Broker) -> Result<BTreeMap<RunId, Place>, ListError> {
    let subjects = broker.subjects();
    let all = broker
        .subjects_of(&subjects.ledger(), &subjects.all_ledgers())
        .await?;
    let mut found: BTreeMap<RunId, Place> = BTreeMap::new();
    let mut turns = Turns::begin();
    for (subject, records) in all {
        turns.pass().await;
        let Some((queue, run, author)) = subjects.parse_ledger(&subject) else {
            continue;
        };
        let place = found
            .entry(run)
            .or_insert_with_key(|run| Place::nowhere(run.clone()));
        place.add(&queue, author, records);
    }
    found.retain(|_, place| place.records(Author::Plan) > 0);
    Ok(found)
}

/// A single record is the first of a run that was just opened, or the last of one that was purged.
async fn leave_out_purged(
    broker: &Broker,
    found: &mut BTreeMap<RunId, Place>,
) -> Result<(), ListError> {
    let subjects = broker.subjects();
    let single = found
        .values()
        .filter(|place| place.records(Author::Plan) == 1);
    let single: Vec<String> = single
        .filter_map(|place| place.subject(broker, Author::Plan))
        .collect();
    for last in broker.multi_last(&subjects.ledger(), &single).await? {
        if let Some((_, run, _)) = subjects.parse_ledger(&last.subject)
            && broker
                .decode(&last.subject, &last.payload)
                .is_ok_and(|last: PlanRecord| last.is_end())
        {
            found.remove(&run);
        }
    }
    Ok(())
}

/// The summaries that can be read. One that cannot be is made anew from its ledger.
async fn summaries(broker: &Broker) -> Result<BTreeMap<RunId, RunSummary>, ListError> {
    let stored = broker.runs().entries(">").await?;
    let (mut summaries, mut turns) = (BTreeMap::new(), Turns::begin());
    for entry in stored {
        let summary = entry.value.as_deref().map(wire::decode::<RunSummary>);
        if let Some(Ok(summary)) = summary {
            summaries.insert(summary.run.clone(), summary);
        }
        turns.pass().await;
    }
    Ok(summaries)
}
