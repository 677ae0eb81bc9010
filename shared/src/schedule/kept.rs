//! A calendar as its key keeps it: what it says, and what it said before. It decides by which of them an instant is
//! judged: by what the calendar said then. So a change works from when it was made, whoever hears of it whenever, and
//! two planners that know the same key never disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use crate::clock::UnixMs;
use crate::limits::{CALENDAR_EARLIER_MAX, CALENDAR_KEPT_BYTES_MAX};
use crate::wire::{self, WireError};

/// Calendars by their names.
pub type Calendars = BTreeMap<String, Arc<Kept>>;

/// A calendar, and what it said before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    calendar: Calendar,
    /// When its key was written, by the broker's clock.
    #[serde(skip)]
    since: UnixMs,
    /// The newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    before: Vec<Earlier>,
}

/// What a calendar said before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// From then on, by the broker's clock.
    pub since: UnixMs,
    /// What.
    pub calendar: Calendar,
}

impl Kept {
    /// A calendar that says one thing for ever.
    pub fn always(calendar: Calendar) -> Kept {
        Kept {
            calendar,
            since: UnixMs(0),
            before: Vec::new(),
        }
    }

    /// What the key of the calendar `name` has, written at `since`.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn read(name: &str, value: &[u8], since: UnixMs) -> Result<Kept, WireError> {
        let kept: Kept = wire::decode(value)?;
        let malformed = |reason: String| Err(WireError::Malformed { reason });
        let found = kept.calendar.name().map(ToString::to_string);
        if found.as_deref() != Some(name) {
            return malformed(format!("it is calendar {:?}", found.unwrap_or_default()));
        }
        if kept.before.len() > CALENDAR_EARLIER_MAX {
            let most = CALENDAR_EARLIER_MAX;
            return malformed(format!("it names more than {most} earlier calendars"));
        }
        Ok(Kept { since, ..kept })
    }

    /// The same, when it says something else from `since` on. Of what it said before, the oldest goes first.
    #[must_use]
    pub fn then(&self, calendar: Calendar, since: UnixMs) -> Kept {
        let last = Earlier {
            since: self.since,
            calendar: self.calendar.clone(),
        };
        let before = std::iter::once(last).chain(self.before.iter().cloned());
        let mut kept = Kept {
            calendar,
            since,
            before: before.take(CALENDAR_EARLIER_MAX).collect(),
        };
        while wire::encode(&kept).len() > CALENDAR_KEPT_BYTES_MAX && kept.before.pop().is_some() {}
        kept
    }

    /// It is known at `now`: a clock that was ahead when it was written says nothing of the time to come.
    #[must_use]
    pub fn known_at(self, now: UnixMs) -> Kept {
        Kept {
            since: self.since.min(now),
            ..self
        }
    }

    /// What it says now.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Since when.
    pub fn since(&self) -> UnixMs {
        self.since
    }

    /// What it said before, the newest first.
    pub fn before(&self) -> &[Earlier] {
        &self.before
    }

    /// Whether it covers an instant, by what it said then.
    pub fn covers(&self, at: UnixMs) -> bool {
        self.at(at).covers(at)
    }

    /// A later instant before which it covers all or nothing, as it does at `at`. `None`: it stays so for ever, as far
    /// as can be foreseen.
    pub fn same_until(&self, at: UnixMs) -> Option<UnixMs> {
        let changes = self.before.iter().map(|earlier| earlier.since);
        let changes = changes.chain([self.since]).filter(|since| *since > at);
        let until = self.at(at).same_until(at);
        until.into_iter().chain(changes).min()
    }

    /// What it said at an instant. Of the time before all that is kept nobody knows more than the oldest.
    fn at(&self, at: UnixMs) -> &Calendar {
        if self.since <= at {
            return &self.calendar;
        }
        let said = self.before.iter().find(|earlier| earlier.since <= at);
        let said = said.or(self.before.last());
        said.map_or(&self.calendar, |earlier| &earlier.calendar)
    }
}

crate::wire::coded!(Kept);

#[cfg(test)]
mod tests;
