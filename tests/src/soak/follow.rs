//! Reads the records of all runs while they are written, and hands over those of each run that is over: by the end its
//! records are long gone, as they are kept for a minute only.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::Record as Raw;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::record::{PlanRecord, Record};
use gridloom_shared::schedule::record::Record as FireRecord;
use gridloom_shared::wire;
use tokio::time::Instant;

use crate::oracle::fires::Life;
use crate::oracle::ledger::{Entry, Ledger};

/// For so long after its end a run may have late records: an ack deadline, and what a busy machine needs.
const SETTLED: Duration = Duration::from_secs(6);

/// What was recorded of a schedule.
#[derive(Debug, Default)]
pub struct Ticks {
    /// Its decisions.
    pub records: Vec<FireRecord>,
    /// Its runs.
    pub runs: BTreeMap<RunId, Life>,
}

impl Ticks {
    /// Whether the schedule has ended, and the runs that it opened.
    pub fn are_over(&self) -> bool {
        let ended = self.records.last().is_some_and(|record| record.state.ended);
        ended && self.runs.values().all(Life::is_over)
    }
}

/// What was read and is not judged yet.
#[derive(Debug)]
pub struct Follower {
    ledger: u64,
    fires: u64,
    open: HashMap<RunId, Ledger>,
    closed: VecDeque<(Instant, RunId)>,
    over: HashSet<RunId>,
    /// Of each schedule.
    pub ticks: BTreeMap<JobName, Ticks>,
    /// Records of workers that came after their run was judged.
    pub late: u64,
    /// Records of planners that may not stand there.
    pub breaches: Vec<String>,
}

impl Follower {
    /// Begins at the first record of all.
    pub fn new(ticking: &[JobName]) -> Follower {
        Follower {
            ledger: 0,
            fires: 0,
            open: HashMap::new(),
            closed: VecDeque::new(),
            over: HashSet::new(),
            ticks: ticking
                .iter()
                .map(|job| (job.clone(), Ticks::default()))
                .collect(),
            late: 0,
            breaches: Vec::new(),
        }
    }

    /// Reads on, to where the streams end now.
    ///
    /// # Errors
    /// When the broker does not answer: the next time it is read from there.
    pub async fn read(&mut self, broker: &Broker) -> anyhow::Result<()> {
        let subjects = broker.subjects();
        let (ledger, history) = (subjects.ledger(), subjects.history());
        let end = broker.info(&ledger).await?.last_seq;
        if end > self.ledger {
            let (all, from) = (subjects.all_ledgers(), self.ledger + 1);
            for raw in broker.read(&ledger, all, from, Some(end)).await? {
                self.record(broker, &raw);
            }
            self.ledger = end;
        }
        let end = broker.info(&history).await?.last_seq;
        if end > self.fires {
            let (all, from) = (subjects.all_fires(), self.fires + 1);
            for raw in broker.read(&history, all, from, Some(end)).await? {
                for (job, ticks) in &mut self.ticks {
                    if subjects.fires(job) == raw.subject.as_str() {
                        ticks.records.push(wire::decode(&raw.payload)?);
                    }
                }
            }
            self.fires = end;
        }
        Ok(())
    }

    fn record(&mut self, broker: &Broker, raw: &Raw) {
        let subjects = broker.subjects();
        let Some((_, run, _)) = subjects.parse_ledger(&raw.subject) else {
            return;
        };
        let entry = Entry::of(raw, subjects);
        let plan = match &entry.record {
            Some(Record::Plan(plan)) => Some(plan),
            Some(Record::Work(_) | Record::Takeover(_)) | None => None,
        };
        let of_job = self.ticks.iter_mut();
        let mut of_job = of_job.filter(|(job, _)| run.job() == job.as_str());
        if let (Some((_, ticks)), Some(plan)) = (of_job.next(), plan) {
            ticks
                .runs
                .entry(run.clone())
                .or_default()
                .note(raw.seq, plan);
        }
        if self.over.contains(&run) {
            match plan {
                None => self.late += 1,
                Some(PlanRecord::Retired(_) | PlanRecord::Forgotten(_)) => {}
                Some(plan) => self
                    .breaches
                    .push(format!("{run} is over, and {plan:?} stands at {}", raw.seq)),
            }
            return;
        }
        if plan.is_some_and(PlanRecord::is_end) {
            self.closed.push_back((Instant::now(), run.clone()));
        }
        let ledger = self.open.entry(run.clone());
        let ledger = ledger.or_insert_with(|| Ledger {
            run,
            entries: Vec::new(),
        });
        ledger.entries.push(entry);
    }

    /// Takes the ledgers of the runs that were over a while ago.
    pub fn settled(&mut self) -> Vec<Ledger> {
        let mut settled = Vec::new();
        while let Some((at, _)) = self.closed.front()
            && at.elapsed() >= SETTLED
            && let Some((_, run)) = self.closed.pop_front()
        {
            settled.extend(self.open.remove(&run));
            self.over.insert(run);
        }
        settled
    }

    /// Whether the ledger of a run was taken to be judged.
    pub fn is_over(&self, run: &str) -> bool {
        RunId::new(run).is_ok_and(|run| self.over.contains(&run))
    }

    /// Runs that are not judged yet.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}
