//! Opens the runs of schedules: keeps what [`crate::schedule`] needs to decide, records each decision, then carries it
//! out. Decides nothing itself.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`job`] | one job: its definition, its fires, its runs; records and opens |
//! | [`roll`] | hears from the loop which runs are open and which are over |
//!
//! Order (docs/PROTOCOL.md): a decision is appended to `<ns>.fires.<job>` under compare-and-swap on that subject, then the
//! run is opened; the next record says no more of it. A new leader reads the last record of each job and goes on there.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::StreamExt;
use gridloom_shared::broker::kv::{Entry, Watched};
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::schedule::record::Record;
use gridloom_shared::wire;

use super::envoy::Envoy;
use crate::alive::Signs;
use job::Job;
use roll::{Fact, Roll};

mod job;
pub(super) mod roll;

/// Pause after something failed.
const PAUSE: Duration = Duration::from_millis(250);
/// So often what is due is looked for where nothing is known to be: the clock may have been in doubt.
const LOOK: Duration = Duration::from_secs(1);
/// Jobs that are decided about at once.
const AT_ONCE: usize = 32;

/// Opens the runs of schedules as long as the leadership lasts. `open` are the runs that are open at its beginning.
pub(super) async fn keep(envoy: Envoy, term: Term, (roll, open): (Roll, Vec<RunId>), signs: Signs) {
    let mut table = loop {
        signs.give();
        match Table::read(envoy.clone(), term, &open).await {
            Ok(table) => break table,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "failed to read what was decided about fires; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    let mut definitions = envoy.broker.jobs().watch_all();
    loop {
        for fact in roll.take() {
            table.hear(fact);
        }
        table.advance(&signs).await;
        tokio::select! {
            watched = definitions.next() => match watched {
                Ok(Watched::Entry(entry)) => table.define(&entry),
                Ok(Watched::CaughtUp) => table.know_all(),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the definitions of jobs cannot be followed; reading them again");
                    tokio::time::sleep(PAUSE).await;
                    table.know_nothing();
                    definitions = envoy.broker.jobs().watch_all();
                }
            },
            () = roll.told() => {}
            () = tokio::time::sleep(table.rest()) => {}
        }
    }
}

/// All jobs that have or had a schedule.
struct Table {
    envoy: Envoy,
    term: Term,
    jobs: HashMap<JobName, Job>,
    /// Runs that are open, of jobs without a schedule too: they may get one.
    open: HashMap<String, BTreeSet<RunId>>,
    /// Whether all definitions were seen: until then one that was not may still be there.
    whole: bool,
    /// Jobs to be looked at before the next rest.
    touched: BTreeSet<JobName>,
    /// Jobs to be looked at then.
    due: BTreeSet<(UnixMs, JobName)>,
}

impl Table {
    async fn read(envoy: Envoy, term: Term, open: &[RunId]) -> Result<Table, ReadError> {
        let (broker, mut table) = (
            envoy.broker.clone(),
            Table {
                envoy,
                term,
                jobs: HashMap::new(),
                open: HashMap::new(),
                whole: false,
                touched: BTreeSet::new(),
                due: BTreeSet::new(),
            },
        );
        for run in open {
            table.hear(Fact::Open(run.clone()));
        }
        let subjects = broker.subjects();
        let (history, fires) = (subjects.history(), subjects.all_fires());
        for record in broker.last_per_subject(&history, &fires).await? {
            let Some(name) = subjects.parse_fires(&record.subject) else {
                continue;
            };
            match wire::decode::<Record>(&record.payload) {
                Ok(last) => table.job(&name).read(record.seq, Some(last)),
                Err(error) => {
                    tracing::error!(job = %name, error = %chain(&error), "the record of its fires makes no sense: nothing of it is opened");
                    table.job(&name).set_aside();
                }
            }
        }
        Ok(table)
    }

    fn job(&mut self, name: &JobName) -> &mut Job {
        let Table { jobs, open, .. } = self;
        jobs.entry(name.clone()).or_insert_with(|| {
            let open = open.get(name.as_str()).cloned().unwrap_or_default();
            Job::new(name.clone(), open)
        })
    }

    /// A job was applied or deleted.
    fn define(&mut self, entry: &Entry) {
        let Ok(name) = JobName::new(entry.key.as_str()) else {
            return;
        };
        let scheduled = entry.value.as_deref().is_some_and(job::has_schedule);
        if scheduled || self.jobs.contains_key(&name) {
            self.job(&name).define(entry);
            self.touched.insert(name);
        }
    }

    /// Definitions are read from the beginning: until all were seen, nothing is decided.
    fn know_nothing(&mut self) {
        self.whole = false;
        self.jobs.values_mut().for_each(Job::unsee);
    }

    /// All definitions that are there were seen.
    fn know_all(&mut self) {
        self.whole = true;
        for job in self.jobs.values_mut() {
            job.is_known(self.envoy.clock.now());
        }
        self.touched.extend(self.jobs.keys().cloned());
    }

    fn hear(&mut self, fact: Fact) {
        let Ok(name) = JobName::new(fact.run().job()) else {
            return;
        };
        let open = self.open.entry(name.to_string()).or_default();
        match &fact {
            Fact::Open(run) => open.insert(run.clone()),
            Fact::Over(run, _) => open.remove(run),
        };
        if open.is_empty() {
            self.open.remove(name.as_str());
        }
        if let Some(job) = self.jobs.get_mut(&name) {
            job.hear(fact);
            self.touched.insert(name);
        }
    }

    /// Decides and carries out all that is due.
    async fn advance(&mut self, signs: &Signs) {
        signs.give();
        let Some(now) = self.envoy.clock.now().filter(|_| self.whole) else {
            return;
        };
        while let Some((at, _)) = self.due.first()
            && *at <= now
            && let Some((_, name)) = self.due.pop_first()
        {
            self.touched.insert(name);
        }
        let touched = std::mem::take(&mut self.touched);
        let jobs: Vec<Job> = touched
            .iter()
            .filter_map(|name| self.jobs.remove(name))
            .collect();
        let (envoy, term) = (self.envoy.clone(), self.term);
        let settled = jobs.into_iter().map(|mut job| {
            let envoy = envoy.clone();
            async move {
                let wake = job.settle(&envoy, term).await;
                (job, wake)
            }
        });
        let mut settled = futures_util::stream::iter(settled).buffer_unordered(AT_ONCE);
        while let Some((mut job, wake)) = settled.next().await {
            signs.give();
            let before = std::mem::replace(&mut job.wakes, wake);
            if let Some(before) = before {
                self.due.remove(&(before, job.name.clone()));
            }
            self.due.extend(wake.map(|wake| (wake, job.name.clone())));
            self.jobs.insert(job.name.clone(), job);
        }
    }

    /// How long nothing is due, as far as is known.
    fn rest(&self) -> Duration {
        let now = self.envoy.clock.now().filter(|_| self.whole);
        let next = self.due.first().map(|(at, _)| at);
        match (now, next) {
            (Some(now), Some(next)) => {
                Duration::from_millis(next.0.saturating_sub(now.0)).min(LOOK)
            }
            _ => LOOK,
        }
    }
}
