//! All jobs that have or had a schedule: what is news to which of them, and when each is settled.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use gridloom_shared::broker::kv::{Entry, Place, Watched};
use gridloom_shared::broker::log::{FollowError, ReadError};
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::telemetry::labels::own_label;

use super::super::alarms::Watch;
use super::super::envoy::Envoy;
use super::calendars::Known;
use super::desk::Desk;
use super::halt;
use super::job::Job;
use super::meter::Meter;
use super::roll::{Fact, Roll};
use super::untold::{Heard, Keys};
use super::warm::{Begin, Definitions};
use crate::schedule::Halt;

/// A definition that was read, if it could be.
pub(super) type Read = (JobName, Result<Place, ReadError>);

/// So often what is due is looked for where nothing is known to be: the clock may have been in doubt.
const LOOK: Duration = Duration::from_secs(1);
/// Jobs that are settled at once: their records are on their way to the broker together, and one that waits holds up no
/// other ([decision 30](../../../../docs/decisions/0030-whose-turn-it-is.md)).
const AT_ONCE: usize = 128;

/// All jobs that have or had a schedule.
pub(super) struct Table {
    pub(super) envoy: Envoy,
    term: Term,
    pub(super) desk: Desk<Job>,
    pub(super) settling: FuturesUnordered<BoxFuture<'static, Settled>>,
    /// Runs that are open, of jobs without a schedule too: they may get one.
    open: HashMap<String, BTreeSet<RunId>>,
    /// Whether all definitions were seen: until then one that was not may still be there.
    pub(super) whole: bool,
    /// Whether those that were not seen then are still to be told that they are gone.
    pub(super) unseen: bool,
    /// Whether all pauses were.
    knows_pauses: bool,
    /// Whether all that people asked for beside schedules was.
    pub(super) knows_asked: bool,
    /// Jobs whose definition is to be read: the watch may have passed it by.
    pub(super) unread: BTreeSet<JobName>,
    /// Such that are being read.
    pub(super) reading: FuturesUnordered<BoxFuture<'static, Read>>,
    pub(super) calendars: Known,
    /// Of all jobs, with the revision of what stands there.
    freeze: (u64, Option<Halt>),
    /// Of single jobs, each with the revision of what stands there; `None`: no pause.
    pauses: HashMap<JobName, (u64, Option<Halt>)>,
    /// Up to where watches have told of keys.
    pub(super) heard: Heard,
    /// Who is told what is to be watched.
    watch: Watch,
    meter: Meter,
    /// When that was shown of jobs without a label.
    shown: UnixMs,
}

/// A job that was settled, and when it is to be looked at again.
type Settled = (Box<Job>, Option<UnixMs>);

impl Table {
    /// All that is known when a leadership begins, and what tells more of the definitions. `open` are the runs that are open.
    pub(super) fn new(
        (envoy, term): (Envoy, Term),
        begin: Begin,
        open: &[RunId],
        watch: Watch,
    ) -> (Table, Definitions) {
        let mut table = Table {
            term,
            desk: Desk::new(Job::urgency),
            settling: FuturesUnordered::new(),
            calendars: Known::new(envoy.broker.subjects().clone()),
            open: HashMap::new(),
            whole: false,
            unseen: false,
            knows_pauses: false,
            knows_asked: false,
            unread: begin.unread,
            reading: FuturesUnordered::new(),
            freeze: (0, None),
            pauses: HashMap::new(),
            heard: Heard::default(),
            watch,
            meter: Meter::default(),
            shown: UnixMs::default(),
            envoy,
        };
        for run in open {
            table.hear(Fact::Open(run.clone()));
        }
        for (name, mut job) in begin.jobs {
            job.lead(table.open.get(name.as_str()).cloned().unwrap_or_default());
            let expected = job.expected();
            table.desk.sit(name.clone(), job);
            table.desk.wake(&name, expected);
        }
        table.heard.note(Keys::Definitions, begin.revision);
        table.know_all();
        (table, begin.definitions)
    }

    /// A job that was not known.
    pub(super) fn job(&self, name: &JobName) -> Job {
        let mut job = Job::new(name.clone());
        job.lead(self.open.get(name.as_str()).cloned().unwrap_or_default());
        job
    }

    /// News of a job, each of which is worth a look.
    pub(super) fn tell(&mut self, name: &JobName, news: impl FnOnce(&mut Job) + Send + 'static) {
        let now = self.now();
        self.desk.tell(name, now, |job| {
            news(job);
            true
        });
    }

    /// Unknown, it is before all others: nobody's turn comes then.
    pub(super) fn now(&self) -> UnixMs {
        self.envoy.clock.now().unwrap_or_default()
    }

    /// A pause, or that all were seen.
    pub(super) fn take_pause(&mut self, watched: Result<Watched, FollowError>) {
        match watched {
            Ok(Watched::Entry(entry)) => self.pause(&entry),
            Ok(Watched::CaughtUp) => self.knows_pauses = true,
            Err(_) => {
                self.knows_pauses = false;
                self.heard.forget(Keys::Pauses);
                self.freeze.0 = 0;
                self.pauses.values_mut().for_each(|pause| pause.0 = 0);
            }
        }
    }

    /// A calendar, or that all were seen.
    pub(super) fn take_calendar(&mut self, watched: Result<Watched, FollowError>) {
        Known::note_newer(&self.envoy.broker, &watched);
        match &watched {
            Ok(Watched::Entry(entry)) => self.heard.note(Keys::Calendars, entry.revision),
            Ok(Watched::CaughtUp) => {}
            Err(_) => self.heard.forget(Keys::Calendars),
        }
        self.calendars.take(watched);
    }

    /// What no watch has told of yet; it may do so later, and tell of older ones before.
    pub(super) fn take_untold(&mut self, found: Vec<(Keys, Entry)>) {
        for (keys, entry) in found {
            tracing::debug!(name = entry.key, "read before a watch has told of it");
            let watched = Ok(Watched::Entry(entry));
            match keys {
                Keys::Pauses => self.take_pause(watched),
                Keys::Calendars => self.take_calendar(watched),
                Keys::Definitions => self.take_defined(watched),
            }
        }
    }

    /// A schedule was paused or resumed, or all were.
    fn pause(&mut self, entry: &Entry) {
        self.heard.note(Keys::Pauses, entry.revision);
        let Some(of) = self.envoy.broker.subjects().parse_pause_key(&entry.key) else {
            return;
        };
        let halt = entry
            .value
            .as_deref()
            .and_then(|value| halt(of.as_ref(), value, entry.at));
        let known = match &of {
            None => self.freeze.0,
            Some(name) => self.pauses.get(name).map_or(0, |pause| pause.0),
        };
        if entry.revision < known {
            return;
        }
        match of {
            None => {
                self.freeze = (entry.revision, halt);
                self.desk.tell_all(self.now(), |_| true);
            }
            Some(name) => {
                self.pauses.insert(name.clone(), (entry.revision, halt));
                self.tell(&name, |_| {});
            }
        }
    }

    /// A run was opened, or is over.
    pub(super) fn hear(&mut self, fact: Fact) {
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
    pub(super) fn begin(&mut self, roll: &Roll) {
        let Some(now) = self.decides_at() else {
            return;
        };
        // One whose definition is still to be read is not gone.
        let are_read = self.unread.is_empty() && self.reading.is_empty();
        if are_read && std::mem::take(&mut self.unseen) {
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
            job.hold(self.freeze.1.as_ref(), pause);
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
            let next = self.next_of_others(now);
            self.meter.show_others(next);
        }
    }

    /// A job was settled.
    pub(super) fn end(&mut self, (job, again): Settled) {
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
        let next = job.next_opening(now, self.term);
        self.meter.show(&name, next, job.pending());
        self.desk.back(&name, job, again, now);
    }

    /// When the next fire opens of those that have no label of their own: none opens before its job is looked at again.
    fn next_of_others(&self, now: UnixMs) -> Option<UnixMs> {
        let mut next = None;
        for (wake, job) in self.desk.asleep() {
            if next.is_some_and(|next| next <= wake) {
                break;
            }
            if own_label(job.name.as_str()).is_none() {
                let opening = job.next_opening(now, self.term);
                next = next.into_iter().chain(opening).min();
            }
        }
        next
    }

    /// What was told of jobs is told again now and then.
    pub(super) fn tell_again(&mut self) {
        self.meter.tell_again(Boot::now());
    }

    /// Now, once all is known that decisions depend on.
    pub(super) fn decides_at(&self) -> Option<UnixMs> {
        let known = self.whole && self.knows_pauses && self.knows_asked;
        let known = known && self.calendars.are_known();
        self.envoy.clock.now().filter(|_| known)
    }

    /// Last records below a sequence would be removed soon: they are written again.
    pub(super) fn keep_up(&mut self, below: u64) {
        let old = move |job: &mut Job| job.keep_above(below);
        self.desk.tell_all(self.now(), old);
    }

    /// How long nothing is due, as far as is known. Where as many are settled as may be, one of them ends the rest.
    pub(super) fn rest(&self) -> Duration {
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
