//! Opens the runs of schedules: keeps what [`crate::schedule`] needs to decide, records each decision, then carries it
//! out. Decides nothing itself.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`meter`] | what metrics say of it |
//! | [`job`] | one job: its definition, its fires, its backfills, its runs; records and opens |
//! | [`roll`] | hears from the loop which runs are open and which are over |
//!
//! Order (docs/PROTOCOL.md): a decision is appended to `<ns>.fires.<job>` under compare-and-swap on that subject, then the
//! run is opened; the next record says no more of it. A new leader reads the last record of each job and goes on there.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::StreamExt;
use gridloom_shared::broker::kv::{Entry, Watched};
use gridloom_shared::broker::log::{FollowError, ReadError};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::limits::FIRES_KEPT_MAX;
use gridloom_shared::schedule::MisfirePolicy;
use gridloom_shared::schedule::pause::{Missed, Pause};

use super::alarms::Watch;
use super::envoy::Envoy;
use crate::alive::Signs;
use crate::schedule::Halt;
use job::Job;
use meter::Meter;
use roll::{Fact, Roll};

mod job;
mod meter;
pub(super) mod roll;

/// Pause after something failed.
const PAUSE: Duration = Duration::from_millis(250);
/// So often what is due is looked for where nothing is known to be: the clock may have been in doubt.
const LOOK: Duration = Duration::from_secs(1);
/// Jobs that are decided about at once.
const AT_ONCE: usize = 32;

/// Opens the runs of schedules as long as the leadership lasts. `open` are the runs that are open at its beginning.
pub(super) async fn keep(
    envoy: Envoy,
    term: Term,
    (roll, open): (Roll, Vec<RunId>),
    watch: Watch,
    signs: Signs,
) {
    let mut table = loop {
        signs.give();
        match Table::read(envoy.clone(), term, &open, watch.clone()).await {
            Ok(table) => break table,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "failed to read what was decided about fires; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    // Whatever comes between must not break off a watch that is being attached.
    let definitions = || Box::pin(envoy.broker.jobs().watch_all().into_stream());
    let filter = envoy.broker.subjects().all_pauses();
    let pauses = || Box::pin(envoy.broker.state().watch(filter).into_stream());
    let all = envoy.broker.subjects().all_asked();
    let wishes = || Box::pin(envoy.broker.state().watch(all).into_stream());
    let (mut defined, mut paused, mut asked) = (definitions(), pauses(), wishes());
    loop {
        for fact in roll.take() {
            table.hear(fact);
        }
        table.advance(&signs).await;
        tokio::select! {
            Some(watched) = defined.next() => match watched {
                Ok(Watched::Entry(entry)) => table.define(&entry),
                Ok(Watched::CaughtUp) => table.know_all(),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the definitions of jobs cannot be followed; reading them again");
                    tokio::time::sleep(PAUSE).await;
                    table.know_nothing();
                    defined = definitions();
                }
            },
            Some(watched) = paused.next() => match watched {
                Ok(Watched::Entry(entry)) => table.pause(&entry),
                Ok(Watched::CaughtUp) => table.knows_pauses = true,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the pauses of schedules cannot be followed; reading them again");
                    tokio::time::sleep(PAUSE).await;
                    table.knows_pauses = false;
                    paused = pauses();
                }
            },
            Some(watched) = asked.next() => if let Err(error) = table.take_asked(watched) {
                tracing::warn!(error = %chain(&error), "what people asked for beside schedules cannot be followed; reading it again");
                tokio::time::sleep(PAUSE).await;
                asked = wishes();
            },
            () = roll.told() => {}
            () = tokio::time::sleep(table.rest()) => {}
        }
    }
}

/// The pause that `value` says, written at `written`. One that makes no sense is none, and is told.
fn halt(value: &[u8], written: UnixMs, frozen: bool) -> Option<Halt> {
    let pause: Pause = match serde_json::from_slice(value) {
        Ok(pause) => pause,
        Err(error) => {
            tracing::error!(error = %chain(&error), "a pause makes no sense and holds nothing back");
            return None;
        }
    };
    let (from, until) = pause.span(written);
    let missed = pause.resumed.and_then(|resumed| resumed.missed);
    Some(Halt {
        frozen,
        from,
        until,
        by: pause.by,
        note: pause.note,
        missed: missed.map(|missed| match missed {
            Missed::Skip => MisfirePolicy::Skip,
            Missed::Once => MisfirePolicy::RunOnce,
            Missed::All => MisfirePolicy::RunAll {
                max: FIRES_KEPT_MAX,
            },
        }),
    })
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
    /// Whether those that were not seen then are still to be told that they are gone.
    unseen: bool,
    /// Whether all pauses were.
    knows_pauses: bool,
    /// Whether all that people asked for beside schedules was.
    knows_asked: bool,
    /// Jobs whose definition is to be read: the watch may have passed it by.
    unread: BTreeSet<JobName>,
    /// Of all jobs.
    freeze: Option<Halt>,
    /// Of single jobs.
    pauses: HashMap<JobName, Halt>,
    /// Jobs to be looked at before the next rest.
    touched: BTreeSet<JobName>,
    /// Jobs to be looked at then.
    due: BTreeSet<(UnixMs, JobName)>,
    /// Who is told what is to be watched.
    watch: Watch,
    meter: Meter,
}

impl Table {
    async fn read(
        envoy: Envoy,
        term: Term,
        open: &[RunId],
        watch: Watch,
    ) -> Result<Table, ReadError> {
        let (broker, mut table) = (
            envoy.broker.clone(),
            Table {
                envoy,
                term,
                jobs: HashMap::new(),
                open: HashMap::new(),
                whole: false,
                unseen: false,
                knows_pauses: false,
                knows_asked: false,
                unread: BTreeSet::new(),
                freeze: None,
                pauses: HashMap::new(),
                touched: BTreeSet::new(),
                due: BTreeSet::new(),
                watch,
                meter: Meter::default(),
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
            let job = table.job(&name);
            if let Some(last) = job.understand(&record.payload) {
                job.read(record.seq, last);
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
        self.unseen = true;
        self.touched.extend(self.jobs.keys().cloned());
    }

    /// What people asked for beside schedules, or that all of it was seen.
    fn take_asked(&mut self, watched: Result<Watched, FollowError>) -> Result<(), FollowError> {
        let entry = match watched {
            Ok(Watched::Entry(entry)) => entry,
            Ok(Watched::CaughtUp) => {
                self.knows_asked = true;
                return Ok(());
            }
            Err(error) => {
                self.knows_asked = false;
                return Err(error);
            }
        };
        let backfill = self.envoy.broker.subjects().parse_backfill_key(&entry.key);
        if let Some((name, backfill)) = backfill {
            if !self.jobs.contains_key(&name) {
                self.unread.insert(name.clone());
            }
            self.job(&name).ask(backfill, &entry);
            self.touched.insert(name);
        }
        Ok(())
    }

    /// Reads the definitions of jobs that have no schedule and are asked for. Until that is done nothing of them is.
    async fn read_definitions(&mut self, now: UnixMs) {
        let bucket = self.envoy.broker.jobs();
        for name in std::mem::take(&mut self.unread) {
            match bucket.place_of(name.as_str()).await {
                Ok(place) => {
                    let entry = place.entry().cloned();
                    match (self.jobs.get_mut(&name), entry) {
                        (Some(job), Some(entry)) => job.define(&entry),
                        (Some(job), None) => job.is_known(now),
                        (None, _) => {}
                    }
                    self.touched.insert(name);
                }
                Err(error) => {
                    tracing::warn!(job = %name, error = %chain(&error), "its definition cannot be read; trying again");
                    if let Some(job) = self.jobs.get_mut(&name) {
                        job.unsee();
                    }
                    self.unread.insert(name);
                }
            }
        }
    }

    /// A schedule was paused or resumed, or all were.
    fn pause(&mut self, entry: &Entry) {
        let Some(of) = self.envoy.broker.subjects().parse_pause_key(&entry.key) else {
            return;
        };
        let halt = entry
            .value
            .as_deref()
            .and_then(|value| halt(value, entry.at, of.is_none()));
        match of {
            None => {
                self.freeze = halt;
                self.touched.extend(self.jobs.keys().cloned());
            }
            Some(name) => {
                match halt {
                    Some(halt) => self.pauses.insert(name.clone(), halt),
                    None => self.pauses.remove(&name),
                };
                self.touched.insert(name);
            }
        }
    }

    /// What holds back the fires of a job.
    fn halts(&self, name: &JobName) -> Vec<Halt> {
        let both = [self.freeze.as_ref(), self.pauses.get(name)];
        both.into_iter().flatten().cloned().collect()
    }

    fn hear(&mut self, fact: Fact) {
        let Ok(name) = JobName::new(fact.run().job()) else {
            return;
        };
        let open = self.open.entry(name.to_string()).or_default();
        match &fact {
            Fact::Open(run) => open.insert(run.clone()),
            Fact::Over(run, ..) => open.remove(run),
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
        let known = self.whole && self.knows_pauses && self.knows_asked;
        let Some(now) = self.envoy.clock.now().filter(|_| known) else {
            return;
        };
        if std::mem::take(&mut self.unseen) {
            self.jobs.values_mut().for_each(|job| job.is_known(now));
        }
        self.read_definitions(now).await;
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
        let jobs = jobs.into_iter().map(|mut job| {
            job.halts = self.halts(&job.name);
            job
        });
        let jobs: Vec<Job> = jobs.collect();
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
            if let Some(needs) = job.needs(now, term) {
                self.watch.tell(job.name.clone(), needs);
            }
            self.due.extend(wake.map(|wake| (wake, job.name.clone())));
            self.meter.show(&job.name, wake, job.pending());
            self.jobs.insert(job.name.clone(), job);
        }
        self.watch.is_whole();
        self.meter.show_others(&self.due);
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
