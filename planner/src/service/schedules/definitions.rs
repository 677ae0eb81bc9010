//! What the jobs bucket has of jobs, and what people ask for beside their schedules. A job that never fires is passed by until
//! somebody asks for something of it: its definition is read then, beside all else.

use gridloom_shared::broker::kv::{Entry, Watched};
use gridloom_shared::broker::log::FollowError;
use gridloom_shared::chain;
use gridloom_shared::id::JobName;

use super::PAUSE;
use super::job::{Defined, Job};
use super::table::{Read, Table};
use super::untold::Keys;

/// Definitions that are read at once.
const READS: usize = 64;

impl Table {
    /// A definition, or that all were seen. After an error they are read from the beginning.
    pub(super) fn take_defined(&mut self, watched: Result<Watched, FollowError>) {
        match watched {
            Ok(Watched::Entry(entry)) => {
                self.heard.note(Keys::Definitions, entry.revision);
                self.define(&entry);
            }
            Ok(Watched::CaughtUp) => self.know_all(),
            Err(_) => self.know_nothing(),
        }
    }

    /// A job was applied or deleted.
    fn define(&mut self, entry: &Entry) {
        let Ok(name) = JobName::new(entry.key.as_str()) else {
            return;
        };
        let defined = Defined::read(&self.envoy.broker, entry);
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
        self.heard.forget(Keys::Definitions);
        let unsee = |job: &mut Job| {
            job.unsee();
            false
        };
        self.desk.tell_all(self.now(), unsee);
    }

    /// All definitions that are there were seen.
    pub(super) fn know_all(&mut self) {
        self.whole = true;
        self.unseen = true;
        self.desk.tell_all(self.now(), |_| true);
    }

    /// What people asked for beside schedules, or that all of it was seen.
    pub(super) fn take_asked(&mut self, watched: Result<Watched, FollowError>) {
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
            let broker = self.envoy.broker.clone();
            self.tell_asked(&name, move |job| job.wish(&broker, &run, &entry));
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

    /// Begins to read the definitions of jobs that have no schedule and are asked for. Until one is read nothing of its job is
    /// decided, and no other waits for it.
    pub(super) fn read_definitions(&mut self) {
        if self.decides_at().is_none() {
            return;
        }
        while self.reading.len() < READS
            && let Some(name) = self.unread.pop_first()
        {
            let bucket = self.envoy.broker.jobs();
            self.reading.push(Box::pin(async move {
                let place = bucket.place_of(name.as_str()).await;
                if place.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
                (name, place)
            }));
        }
    }

    /// A definition was read, or is to be read again.
    pub(super) fn take_read(&mut self, (name, place): Read) {
        match (place, self.decides_at()) {
            (Ok(place), Some(now)) => {
                let entry = place.entry();
                let broker = &self.envoy.broker;
                let read = entry.map(|entry| (Defined::read(broker, entry), entry.revision));
                self.tell(&name, move |job| match read {
                    Some((defined, revision)) => job.define(defined, revision),
                    None => job.is_known(now),
                });
            }
            (Ok(_), None) => {
                self.unread.insert(name);
            }
            (Err(error), _) => {
                tracing::warn!(job = %name, error = %chain(&error), "its definition cannot be read; trying again");
                self.unread.insert(name);
            }
        }
    }
}
