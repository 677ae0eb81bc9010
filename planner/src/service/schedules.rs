//! Opens the runs of schedules: keeps what [`crate::schedule`] needs to decide, records each decision, then carries it
//! out. Decides nothing itself.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`meter`] | what metrics say of it |
//! | [`job`] | one job: its definition, its fires, its backfills, its runs; records and opens |
//! | [`calendars`] | the calendars that schedules name |
//! | [`desk`] | whose turn it is |
//! | [`again`](mod@again) | follows keys, again after each error |
//! | [`warm`] | what is known before anything is decided |
//! | [`roll`] | hears from the loop which runs are open and which are over |
//! | [`upkeep`] | which last records are about to be removed, and are written again |
//!
//! Order (docs/PROTOCOL.md): a decision is appended to `<ns>.fires.<job>` under compare-and-swap on that subject, then the
//! run is opened; the next record says no more of it. A new leader reads the last record of each job and goes on there;
//! who stands by has followed them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use gridloom_shared::broker::kv::{Entry, Watched};
use gridloom_shared::broker::log::FollowError;
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
use again::again;
use calendars::Known;
use desk::Desk;
use job::{Defined, Job};
use meter::Meter;
use roll::{Fact, Roll};
use upkeep::below;
use warm::{Definitions, Warm, WarmError};

mod again;
mod calendars;
mod desk;
mod job;
mod meter;
pub(super) mod roll;
mod upkeep;
pub(super) mod warm;

/// Pause after something failed.
const PAUSE: Duration = Duration::from_millis(250);
/// So often what is due is looked for where nothing is known to be: the clock may have been in doubt.
const LOOK: Duration = Duration::from_secs(1);
/// Jobs that are settled at once: their records are on their way to the broker together, and one that waits holds up no
/// other ([decision 30](../../../docs/decisions/0030-whose-turn-it-is.md)).
const AT_ONCE: usize = 128;

/// Opens the runs of schedules as long as the leadership lasts. `open` are the runs that are open at its beginning, and
/// `warm` is what was known while standing by.
pub(super) async fn keep(
    envoy: Envoy,
    term: Term,
    (roll, open): (Roll, Vec<RunId>),
    (watch, mut warm): (Watch, Option<Warm>),
    signs: Signs,
) {
    let (mut table, defined) = loop {
        signs.give();
        let known = warm.take();
        let known = known.unwrap_or_else(|| Warm::new(envoy.broker.clone()));
        let read = Table::read(
            envoy.clone(),
            term,
            (&roll, &open),
            (watch.clone(), known),
            &signs,
        );
        match read.await {
            Ok(read) => break read,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "failed to read what was decided about fires; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    let state = &envoy.broker.state();
    let subjects = envoy.broker.subjects();
    let follow = |filter, what| {
        let begin = move || Box::pin(state.watch(filter).into_stream());
        Box::pin(again(begin(), begin, what))
    };
    let definitions = || warm::definitions(&envoy.broker);
    let mut defined = Box::pin(again(defined, definitions, "definitions of jobs"));
    let mut paused = follow(subjects.all_pauses(), "pauses");
    let mut asked = follow(
        subjects.all_asked(),
        "what people asked for beside schedules",
    );
    let mut said = follow(subjects.all_calendars(), "calendars");
    let mut endangered = Box::pin(below(&envoy.broker));
    loop {
        signs.give();
        for fact in roll.take() {
            table.hear(fact);
        }
        table.read_definitions().await;
        table.begin(&roll);
        let rest = table.rest();
        // Where much is due there is always something: other tasks are to have their turn.
        tokio::task::consume_budget().await;
        tokio::select! {
            Some(settled) = table.settling.next() => table.end(settled),
            Some(watched) = defined.next() => table.take_defined(watched),
            Some(watched) = paused.next() => table.take_pause(watched),
            Some(watched) = asked.next() => table.take_asked(watched),
            Some(watched) = said.next() => table.calendars.take(watched),
            Some(below) = endangered.next() => table.keep_up(below),
            () = roll.told() => {}
            () = tokio::time::sleep(rest) => {}
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
    desk: Desk<Job>,
    settling: FuturesUnordered<BoxFuture<'static, Settled>>,
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
    calendars: Known,
    /// Of all jobs.
    freeze: Option<Halt>,
    /// Of single jobs, each with the revision of what stands there; `None`: no pause.
    pauses: HashMap<JobName, (u64, Option<Halt>)>,
    /// Who is told what is to be watched.
    watch: Watch,
    meter: Meter,
    /// When that was shown of jobs without a label.
    shown: UnixMs,
}

/// A job that was settled, and when it is to be looked at again.
type Settled = (Box<Job>, Option<UnixMs>);

impl Table {
    async fn read(
        envoy: Envoy,
        term: Term,
        (roll, open): (&Roll, &[RunId]),
        (watch, mut warm): (Watch, Warm),
        signs: &Signs,
    ) -> Result<(Table, Definitions), WarmError> {
        warm.catch_up(signs).await?;
        let begin = warm.begin();
        let broker = envoy.broker.clone();
        let calendars = Known::new(envoy.broker.subjects().clone());
        let mut table = Table {
            envoy,
            term,
            desk: Desk::new(Job::urgency),
            settling: FuturesUnordered::new(),
            calendars,
            open: HashMap::new(),
            whole: false,
            unseen: false,
            knows_pauses: false,
            knows_asked: false,
            unread: begin.unread,
            freeze: None,
            pauses: HashMap::new(),
            watch,
            meter: Meter::default(),
            shown: UnixMs::default(),
        };
        for run in open {
            table.hear(Fact::Open(run.clone()));
        }
        for (name, mut job) in begin.jobs {
            job.are_open(table.open.get(name.as_str()).cloned().unwrap_or_default());
            let expected = job.expected();
            table.desk.sit(name.clone(), job);
            table.desk.wake(&name, expected);
        }
        roll.catch_up(&broker).await?;
        if begin.is_defined {
            table.know_all();
        }
        Ok((table, begin.definitions))
    }

    fn job(&self, name: &JobName) -> Job {
        let open = self.open.get(name.as_str()).cloned().unwrap_or_default();
        Job::new(name.clone(), open)
    }

    /// News of a job, each of which is worth a look.
    fn tell(&mut self, name: &JobName, news: impl FnOnce(&mut Job) + Send + 'static) {
        let now = self.now();
        self.desk.tell(name, now, |job| {
            news(job);
            true
        });
    }

    /// Unknown, it is before all others: nobody's turn comes then.
    fn now(&self) -> UnixMs {
        self.envoy.clock.now().unwrap_or_default()
    }

    /// A job was applied or deleted.
    fn define(&mut self, entry: &Entry) {
        let Ok(name) = JobName::new(entry.key.as_str()) else {
            return;
        };
        let defined = Defined::read(&name, entry);
        if !self.desk.knows(&name) {
            if !defined.may_fire() {
                return;
            }
            self.desk.sit(name.clone(), self.job(&name));
        }
        let revision = entry.revision;
        self.tell(&name, move |job| job.define(defined, revision));
    }

    /// Definitions are read from the beginning: until all were seen, nothing is decided.
    fn know_nothing(&mut self) {
        self.whole = false;
        let unsee = |job: &mut Job| {
            job.unsee();
            false
        };
        self.desk.tell_all(self.now(), unsee);
    }

    /// All definitions that are there were seen.
    fn know_all(&mut self) {
        self.whole = true;
        self.unseen = true;
        self.desk.tell_all(self.now(), |_| true);
    }

    /// A definition, or that all were seen. After an error they are read from the beginning.
    fn take_defined(&mut self, watched: Result<Watched, FollowError>) {
        match watched {
            Ok(Watched::Entry(entry)) => self.define(&entry),
            Ok(Watched::CaughtUp) => self.know_all(),
            Err(_) => self.know_nothing(),
        }
    }

    /// A pause, or that all were seen.
    fn take_pause(&mut self, watched: Result<Watched, FollowError>) {
        match watched {
            Ok(Watched::Entry(entry)) => self.pause(&entry),
            Ok(Watched::CaughtUp) => self.knows_pauses = true,
            Err(_) => self.knows_pauses = false,
        }
    }

    /// What people asked for beside schedules, or that all of it was seen.
    fn take_asked(&mut self, watched: Result<Watched, FollowError>) {
        match watched {
            Ok(Watched::Entry(entry)) => self.ask(entry),
            Ok(Watched::CaughtUp) => self.knows_asked = true,
            Err(_) => self.knows_asked = false,
        }
    }

    /// A backfill or a run, or that it is not asked for any more.
    fn ask(&mut self, entry: Entry) {
        let backfill = self.envoy.broker.subjects().parse_backfill_key(&entry.key);
        if let Some((name, backfill)) = backfill {
            self.tell_asked(&name, move |job| job.ask(backfill, &entry));
        } else if let Some(run) = self.envoy.broker.subjects().parse_asked_key(&entry.key)
            && let Ok(name) = JobName::new(run.job())
        {
            self.tell_asked(&name, move |job| job.wish(&run, &entry));
        }
    }

    /// What is asked of a job, also of one that was not known as it never fires: its definition is read.
    fn tell_asked(&mut self, name: &JobName, news: impl FnOnce(&mut Job) + Send + 'static) {
        if !self.desk.knows(name) {
            self.unread.insert(name.clone());
            self.desk.sit(name.clone(), self.job(name));
        }
        self.tell(name, news);
    }

    /// Reads the definitions of jobs that have no schedule and are asked for. Until that is done nothing of them is.
    async fn read_definitions(&mut self) {
        let Some(now) = self.decides_at() else {
            return;
        };
        let bucket = self.envoy.broker.jobs();
        for name in std::mem::take(&mut self.unread) {
            match bucket.place_of(name.as_str()).await {
                Ok(place) => {
                    let entry = place.entry();
                    let read = entry.map(|entry| (Defined::read(&name, entry), entry.revision));
                    self.tell(&name, move |job| match read {
                        Some((defined, revision)) => job.define(defined, revision),
                        None => job.is_known(now),
                    });
                }
                Err(error) => {
                    tracing::warn!(job = %name, error = %chain(&error), "its definition cannot be read; trying again");
                    self.tell(&name, Job::unsee);
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
                self.desk.tell_all(self.now(), |_| true);
            }
            Some(name) => {
                self.pauses.insert(name.clone(), (entry.revision, halt));
                self.tell(&name, |_| {});
            }
        }
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
        let now = self.now();
        self.desk.tell(&name, now, |job| job.hear(fact));
    }

    /// Begins to settle those whose turn it is, as many at once as may be.
    fn begin(&mut self, roll: &Roll) {
        let Some(now) = self.decides_at() else {
            return;
        };
        // One whose definition is still to be read is not gone.
        if self.unread.is_empty() && std::mem::take(&mut self.unseen) {
            let known = move |job: &mut Job| {
                job.is_known(now);
                false
            };
            self.desk.tell_all(now, known);
        }
        let changed = Arc::new(self.calendars.changed(now));
        if !changed.is_empty() {
            let named = move |job: &mut Job| changed.iter().any(|name| job.names(Some(name)));
            self.desk.tell_all(now, named);
        }
        while self.settling.len() < AT_ONCE
            && let Some(mut job) = self.desk.next(now)
        {
            let pause = self.pauses.get(&job.name);
            let pause = pause.map_or((0, None), |(revision, halt)| (*revision, halt.as_ref()));
            job.hold(self.freeze.as_ref(), pause);
            job.see(self.calendars.all());
            let (envoy, term, roll) = (self.envoy.clone(), self.term, roll.clone());
            self.settling.push(Box::pin(async move {
                let again = job.settle(&envoy, term, &roll).await;
                (job, again)
            }));
        }
        if self.settling.is_empty() {
            self.watch.is_whole();
        }
        // Those that have one come before them: not with each fire.
        if self.shown + LOOK <= now {
            self.shown = now;
            self.meter.show_others(self.desk.asleep());
        }
    }

    fn end(&mut self, (job, again): Settled) {
        let name = job.name.clone();
        let Some(now) = self.envoy.clock.now() else {
            // What is to be watched of it is asked when it is known what time it is.
            return self
                .desk
                .back(&name, job, Some(UnixMs::default()), self.now());
        };
        if let Some(needs) = job.needs(now, self.term) {
            self.watch.tell(name.clone(), needs);
        }
        self.meter.show(&name, again, job.pending());
        self.desk.back(&name, job, again, now);
    }

    /// Now, once all is known that decisions depend on.
    fn decides_at(&self) -> Option<UnixMs> {
        let known = self.whole && self.knows_pauses && self.knows_asked;
        let known = known && self.calendars.are_known();
        self.envoy.clock.now().filter(|_| known)
    }

    /// Last records below a sequence would be removed soon: they are written again.
    fn keep_up(&mut self, below: u64) {
        let old = move |job: &mut Job| job.keep_above(below);
        self.desk.tell_all(self.now(), old);
    }

    /// How long nothing is due, as far as is known. Where as many are settled as may be, one of them ends the rest.
    fn rest(&self) -> Duration {
        let is_free = self.settling.len() < AT_ONCE;
        let now = self.decides_at().filter(|_| is_free);
        let next = self.desk.next_wake();
        match (now, next) {
            (Some(now), Some(next)) => {
                Duration::from_millis(next.0.saturating_sub(now.0)).min(LOOK)
            }
            _ => LOOK,
        }
    }
}
