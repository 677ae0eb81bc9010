//! The calendars that schedules name, as their keys say. One that makes no sense is not there, and is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::{Entry, Watched};
use gridloom_shared::broker::log::FollowError;
use gridloom_shared::broker::subjects::Subjects;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::schedule::{Calendars, Kept};
use gridloom_shared::wire;

/// All calendars.
#[derive(Debug)]
pub(super) struct Known {
    subjects: Subjects,
    all: Arc<Calendars>,
    /// What was heard and is not among them yet; `None`: that it is gone.
    heard: Vec<(String, Option<Kept>)>,
    /// As of which revision each was heard of.
    revisions: BTreeMap<String, u64>,
    /// Whether all keys were seen.
    whole: bool,
    /// Those that were there before the keys were read again, and were not seen since.
    unseen: BTreeSet<String>,
}

impl Known {
    pub(super) fn new(subjects: Subjects) -> Known {
        Known {
            subjects,
            all: Arc::default(),
            heard: Vec::new(),
            revisions: BTreeMap::new(),
            whole: false,
            unseen: BTreeSet::new(),
        }
    }

    /// What a key says, or that all keys were seen. After an error they are read from the beginning.
    pub(super) fn take(&mut self, watched: Result<Watched, FollowError>) {
        match watched {
            Ok(Watched::Entry(entry)) => self.hear(&entry),
            Ok(Watched::CaughtUp) => self.know_all(),
            Err(_) => self.know_nothing(),
        }
    }

    /// Notes what a newer build wrote.
    pub(super) fn note_newer(broker: &Broker, watched: &Result<Watched, FollowError>) {
        if let Ok(Watched::Entry(entry)) = watched
            && let Some(error) = entry.value.as_deref().and_then(wire::too_new)
        {
            broker.note_newer(&entry.key, &error);
        }
    }

    /// A key was written or deleted.
    fn hear(&mut self, entry: &Entry) {
        let Some(name) = self.subjects.parse_calendar_key(&entry.key) else {
            return;
        };
        let name = name.to_string();
        let known = self.revisions.entry(name.clone()).or_default();
        if entry.revision < *known {
            return;
        }
        *known = entry.revision;
        let value = entry.value.as_deref();
        let read = value.map(|value| Kept::read(&name, value, entry.at));
        let kept = read.and_then(|read| {
            let told = |error| {
                tracing::error!(calendar = name, error = %chain(&error), "a calendar cannot be understood: schedules that name it wait until it can, or is applied again");
            };
            read.map_err(told).ok()
        });
        self.unseen.remove(&name);
        self.heard.push((name, kept));
    }

    /// Keys are read from the beginning: until all were seen, nothing is decided.
    fn know_nothing(&mut self) {
        self.whole = false;
        self.revisions.clear();
        self.unseen.extend(self.all.keys().cloned());
    }

    /// All keys that are there were seen.
    fn know_all(&mut self) {
        self.whole = true;
        let gone = std::mem::take(&mut self.unseen);
        self.heard.extend(gone.into_iter().map(|name| (name, None)));
    }

    pub(super) fn are_known(&self) -> bool {
        self.whole
    }

    pub(super) fn all(&self) -> &Arc<Calendars> {
        &self.all
    }

    /// Takes in what was heard. Returns the names of those that are others now.
    pub(super) fn changed(&mut self, now: UnixMs) -> BTreeSet<String> {
        let heard = std::mem::take(&mut self.heard);
        if heard.is_empty() {
            return BTreeSet::new();
        }
        let all = Arc::make_mut(&mut self.all);
        let taken = heard.into_iter().map(|(name, kept)| {
            match kept {
                Some(kept) => all.insert(name.clone(), Arc::new(kept.known_at(now))),
                None => all.remove(&name),
            };
            name
        });
        taken.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a calendar that covers these times says, at that time.
    fn entry(times: Option<&str>, at: UnixMs) -> Entry {
        let document = times.map(
            |times| serde_json::json!({ "name": "office", "timezone": "UTC", "times": [times] }),
        );
        let value = document.map(|document| {
            let calendar = gridloom_shared::schedule::Calendar::try_from(document).unwrap();
            gridloom_shared::wire::encode(&Kept::always(calendar))
        });
        Entry {
            key: "calendar.office".to_owned(),
            value,
            revision: 1,
            at,
        }
    }

    fn known() -> Known {
        Known::new(Subjects::new("gridloom".parse().unwrap()))
    }

    #[test]
    fn calendar_written_by_a_clock_that_was_ahead_is_in_force_at_once() {
        let mut known = known();
        known.hear(&entry(Some("09:00-17:00"), UnixMs(900)));
        assert_eq!(
            known.changed(UnixMs(500)),
            BTreeSet::from(["office".to_owned()])
        );
        assert_eq!(known.all()["office"].since(), UnixMs(500));
        assert!(known.changed(UnixMs(501)).is_empty());
    }

    #[test]
    fn calendar_that_is_gone_or_makes_no_sense_is_not_there() {
        let mut known = known();
        for gone in [
            entry(None, UnixMs(2)),
            Entry {
                value: Some("nonsense".into()),
                ..entry(None, UnixMs(2))
            },
        ] {
            known.hear(&entry(Some("09:00-17:00"), UnixMs(1)));
            known.changed(UnixMs(5));
            known.hear(&gone);
            assert!(known.changed(UnixMs(5)).contains("office"));
            assert!(known.all().is_empty());
        }
    }

    #[test]
    fn calendar_that_vanished_while_nobody_looked_is_gone() {
        let mut known = known();
        known.hear(&entry(Some("09:00-17:00"), UnixMs(1)));
        known.know_all();
        known.changed(UnixMs(5));
        known.know_nothing();
        assert!(!known.are_known());
        known.know_all();
        assert!(known.changed(UnixMs(5)).contains("office"));
        assert!(known.all().is_empty());
    }
}
