//! Judges a schedule by the raw records of its fires and of its runs: each nominal time has one final decision and at
//! most one run, what was to be opened was, and none beside another one where the overlap policy has none of that.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::schedule::record::{Decision, Record, State};
use gridloom_shared::schedule::{BackfillName, MisfirePolicy, OverlapPolicy, Plan, Spec};
use gridloom_shared::submission::Unreadable;
use gridloom_shared::wire;

/// What was recorded of a job's fires.
#[derive(Clone, Debug)]
pub struct Fires {
    job: JobName,
    /// All records, in order.
    pub records: Vec<Record>,
    /// Runs of the job.
    pub runs: BTreeMap<RunId, Life>,
    /// Runs that were decided and could not be opened, as is on record.
    given_up: BTreeSet<RunId>,
}

/// A run, as the ledger has it.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// How often it was opened.
    opened: usize,
    /// By which leadership.
    term: Option<Term>,
    /// The sequences of its first record, and of the first that ended it.
    from: u64,
    until: Option<u64>,
}

impl Life {
    /// A further record of its planners.
    pub fn note(&mut self, seq: u64, record: &PlanRecord) {
        if let PlanRecord::Opened(opened) = record {
            self.opened += 1;
            (self.from, self.term) = (seq, Some(opened.term));
        }
        if record.is_end() {
            self.until = self.until.or(Some(seq));
        }
    }

    /// Whether it was opened once, and no more.
    pub fn was_opened_once(&self) -> bool {
        self.opened == 1
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.until.is_some()
    }
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
        let mut runs: BTreeMap<RunId, Life> = BTreeMap::new();
        let plans = subjects.ledgers_by(Author::Plan);
        for raw in broker.read(&subjects.ledger(), plans, 1, None).await? {
            let Some((_, run, _)) = subjects.parse_ledger(&raw.subject) else {
                continue;
            };
            if run.job() != job.as_str() {
                continue;
            }
            let record: PlanRecord = wire::decode(&raw.payload)?;
            runs.entry(run).or_default().note(raw.seq, &record);
        }
        Self::of(broker, job, records?, runs).await
    }

    /// As they were read before: some of it may be gone by now.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn of(
        broker: &Broker,
        job: &JobName,
        records: Vec<Record>,
        runs: BTreeMap<RunId, Life>,
    ) -> anyhow::Result<Fires> {
        Ok(Fires {
            job: job.clone(),
            records,
            runs,
            given_up: given_up(broker, job).await?,
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
        let over = |run: &RunId| self.runs.get(run).is_some_and(Life::is_over);
        let is_settled = |run: &RunId| over(run) || self.given_up.contains(run);
        ended && self.opened().all(is_settled)
    }

    /// How many decisions are called so.
    pub fn count(&self, word: &str) -> usize {
        let words = self.records.iter().map(|record| record.decision.word());
        words.filter(|found| *found == word).count()
    }

    /// How many runs were opened by another leadership than the one that had decided them.
    pub fn taken_over(&self) -> usize {
        let decided = self
            .records
            .iter()
            .filter_map(|record| match &record.decision {
                Decision::Opened { run, .. } => Some((run, record.term)),
                _ => None,
            });
        let other = |(run, term)| {
            let opened = self.runs.get(run).and_then(|life| life.term);
            opened.is_some_and(|opened| opened != term)
        };
        decided.filter(|decided| other(*decided)).count()
    }

    /// Judges a schedule that was never changed and that is over, and whose runs are.
    ///
    /// # Errors
    /// When a rule was broken.
    pub fn judge(&self) -> anyhow::Result<()> {
        let first = self.records.first().context("no record")?;
        let spec = first.state.spec.as_ref();
        let spec = spec.context("it begins with a schedule")?;
        self.judge_answers(spec, &first.state)?;
        self.judge_leaders()?;
        self.judge_runs()?;
        if spec.overlap != OverlapPolicy::Allow {
            self.judge_overlap()?;
        }
        if spec.misfire.policy == MisfirePolicy::Skip {
            ensure!(
                self.count("coalesced") == 0,
                "what is to be skipped was made up for"
            );
        }
        Ok(())
    }

    /// Each nominal time that has come has one final decision, and waits once at most.
    fn judge_answers(&self, spec: &Spec, from: &State) -> anyhow::Result<()> {
        let plan = Plan::in_force(spec, self.job.as_str(), &BTreeMap::new(), from.anchor)?;
        let last = self.state().context("no record")?;
        // The end of a schedule moves the cursor to where it was deleted, beyond what had come.
        let come: BTreeSet<UnixMs> = plan
            .nominals_after(from.cursor)
            .map(|nominal| nominal.at)
            .take_while(|at| *at <= last.cursor)
            .collect();
        let mut answers: BTreeMap<UnixMs, Vec<&'static str>> = BTreeMap::new();
        let mut waited: BTreeMap<UnixMs, usize> = BTreeMap::new();
        for record in &self.records {
            for span in record.decision.spans() {
                let inside: Vec<UnixMs> = come.range(span.first..=span.last).copied().collect();
                ensure!(
                    span.count == inside.len() as u64,
                    "{:?} is about {} nominal times, and there are {}",
                    record.decision,
                    span.count,
                    inside.len()
                );
                for at in inside {
                    if matches!(record.decision, Decision::Queued { .. }) {
                        *waited.entry(at).or_default() += 1;
                    } else {
                        answers.entry(at).or_default().push(record.decision.word());
                    }
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
        let twice = waited.iter().find(|(_, times)| **times > 1);
        ensure!(twice.is_none(), "{twice:?} waited more than once");
        Ok(())
    }

    /// Whoever was deposed writes nothing behind a later leader.
    fn judge_leaders(&self) -> anyhow::Result<()> {
        for pair in self.records.windows(2) {
            let [before, after] = pair else { continue };
            ensure!(
                before.term <= after.term,
                "{:?} of term {} stands behind one of term {}",
                after.decision,
                after.term.0,
                before.term.0
            );
        }
        Ok(())
    }

    /// Each run has one decision, and each decision its run.
    fn judge_runs(&self) -> anyhow::Result<()> {
        let decided: Vec<&RunId> = self.opened().collect();
        let distinct: BTreeSet<&RunId> = decided.iter().copied().collect();
        ensure!(decided.len() == distinct.len(), "a run was decided twice");
        for run in &distinct {
            let life = self.runs.get(*run).cloned().unwrap_or_default();
            if life.opened == 0 && self.given_up.contains(*run) {
                continue;
            }
            ensure!(life.opened == 1, "{run} was opened {} times", life.opened);
            ensure!(life.is_over(), "{run} is not over");
        }
        let of_fires = |run: &&RunId| BackfillName::of_run(run).is_none();
        for run in self.runs.keys().filter(of_fires) {
            ensure!(
                distinct.contains(run),
                "{run} was opened without a decision"
            );
        }
        Ok(())
    }

    /// No run of the job was opened before the one before it was over.
    fn judge_overlap(&self) -> anyhow::Result<()> {
        let of_fires = self.opened().filter_map(|run| self.runs.get_key_value(run));
        let mut lives: Vec<(&RunId, &Life)> = of_fires.collect();
        lives.sort_by_key(|(_, life)| life.from);
        for pair in lives.windows(2) {
            let [(before, earlier), (run, later)] = pair else {
                continue;
            };
            ensure!(
                earlier.until.is_some_and(|until| until < later.from),
                "{run} was opened while {before} was open"
            );
        }
        Ok(())
    }
}

/// Runs of the job that a leader could not open.
async fn given_up(broker: &Broker, job: &JobName) -> anyhow::Result<BTreeSet<RunId>> {
    let subjects = broker.subjects();
    let (stream, subject) = (subjects.history(), subjects.unreadable());
    let fires = subjects.fires(job);
    let mut runs = BTreeSet::new();
    for raw in broker.read(&stream, subject, 1, None).await? {
        let record = serde_json::from_slice::<Unreadable>(&raw.payload);
        let Some(record) = record.ok().filter(|record| record.subject == fires) else {
            continue;
        };
        let run = record.reason.strip_prefix("run ");
        let run = run.and_then(|rest| rest.split_once(": "));
        runs.extend(run.and_then(|(run, _)| RunId::new(run).ok()));
    }
    Ok(runs)
}
