//! Judges a schedule by the raw records of its fires and of its runs: each nominal time has one final decision and at
//! most one run, and what was to be opened was.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::schedule::record::{Decision, Record, State};
use gridloom_shared::schedule::{BackfillName, MisfirePolicy, Plan};
use gridloom_shared::wire;

/// What was recorded of a job's fires.
#[derive(Clone, Debug)]
pub struct Fires {
    job: JobName,
    /// All records, in order.
    pub records: Vec<Record>,
    /// Runs of the job, each with the number of first records in the ledger and whether it is over.
    pub runs: BTreeMap<RunId, (usize, bool)>,
}

impl Fires {
    /// Reads them.
    ///
    /// # Errors
    /// When the broker does not answer, or a record makes no sense.
    pub async fn read(broker: &Broker, job: &JobName) -> anyhow::Result<Fires> {
        let subjects = broker.subjects();
        let raw = broker
            .read(&subjects.history(), subjects.fires(job), 1, None)
            .await?;
        let records: Result<Vec<Record>, _> =
            raw.iter().map(|raw| wire::decode(&raw.payload)).collect();
        let mut runs = BTreeMap::new();
        let plans = subjects.ledgers_by(Author::Plan);
        for raw in broker.read(&subjects.ledger(), plans, 1, None).await? {
            let Some((_, run, _)) = subjects.parse_ledger(&raw.subject) else {
                continue;
            };
            if run.job() != job.as_str() {
                continue;
            }
            let record: PlanRecord = wire::decode(&raw.payload)?;
            let (opened, over) = runs.entry(run).or_insert((0, false));
            *opened += usize::from(matches!(record, PlanRecord::Opened(_)));
            *over |= record.is_end();
        }
        Ok(Fires {
            job: job.clone(),
            records: records?,
            runs,
        })
    }

    /// The state after the last record.
    pub fn state(&self) -> Option<&State> {
        self.records.last().map(|record| &record.state)
    }

    /// Runs that a decision opened.
    pub fn opened(&self) -> impl Iterator<Item = &RunId> {
        self.records
            .iter()
            .filter_map(|record| match &record.decision {
                Decision::Opened { run, .. } => Some(run),
                _ => None,
            })
    }

    /// Whether the schedule has ended, and all that it opened is over.
    pub fn are_over(&self) -> bool {
        let ended = self.state().is_some_and(|state| state.ended);
        let over = |run| self.runs.get(run).is_some_and(|(_, over)| *over);
        ended && self.opened().all(over)
    }

    /// How many decisions are called so.
    pub fn count(&self, word: &str) -> usize {
        let words = self.records.iter().map(|record| record.decision.word());
        words.filter(|found| *found == word).count()
    }

    /// Judges a schedule that was never changed and that is over, and whose runs are.
    ///
    /// # Errors
    /// When a rule was broken.
    pub fn judge(&self) -> anyhow::Result<()> {
        let mut answers: BTreeMap<UnixMs, Vec<&'static str>> = BTreeMap::new();
        let first = self.records.first().context("no record")?;
        let state = &first.state;
        let spec = state.spec.as_ref().context("it begins with a schedule")?;
        let plan = Plan::in_force(spec, self.job.as_str(), &BTreeMap::new(), state.anchor)?;
        let last = self.state().context("no record")?;
        // The end of a schedule moves the cursor to where it was deleted, beyond what had come.
        let come: Vec<UnixMs> = plan
            .nominals_after(state.cursor)
            .map(|nominal| nominal.at)
            .take_while(|at| *at <= last.cursor)
            .collect();
        let all: BTreeSet<UnixMs> = come.iter().copied().collect();
        for record in &self.records {
            if matches!(record.decision, Decision::Queued { .. }) {
                continue;
            }
            for span in record.decision.spans() {
                let inside = all.range(span.first..=span.last);
                let inside: Vec<UnixMs> = inside.copied().collect();
                ensure!(
                    span.count == inside.len() as u64,
                    "{:?} is about {} nominal times, and there are {}",
                    record.decision,
                    span.count,
                    inside.len()
                );
                for at in inside {
                    answers.entry(at).or_default().push(record.decision.word());
                }
            }
        }
        for at in &come {
            let found = answers.get(at).map_or(&[][..], Vec::as_slice);
            ensure!(
                found.len() == 1,
                "{} has the answers {found:?}",
                at.rfc3339()
            );
        }
        let decided: Vec<&RunId> = self.opened().collect();
        let distinct: BTreeSet<&RunId> = decided.iter().copied().collect();
        ensure!(decided.len() == distinct.len(), "a run was decided twice");
        for run in &distinct {
            let (opened, over) = self.runs.get(*run).copied().unwrap_or_default();
            ensure!(opened == 1, "{run} was opened {opened} times");
            ensure!(over, "{run} is not over");
        }
        let of_fires = |run: &&RunId| BackfillName::of_run(run).is_none();
        for run in self.runs.keys().filter(of_fires) {
            ensure!(
                distinct.contains(run),
                "{run} was opened without a decision"
            );
        }
        let misfire = spec.misfire.policy;
        if misfire == MisfirePolicy::Skip {
            ensure!(
                self.count("coalesced") == 0,
                "what is to be skipped was made up for"
            );
        }
        Ok(())
    }
}
