//! Which calendars there are, which jobs name them or wait for one, and the order to change or delete one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::kv::{Entry, Place, WriteError};
use crate::broker::log::ReadError;
use crate::chain;
use crate::clock::UnixMs;
use crate::id::CalendarName;
use crate::job::JobSpec;
use crate::schedule::{Calendar, Calendars, Kept, Spec};
use crate::wire::{self, WireError};

/// A calendar as its key has it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// What it says and said, or why this build cannot read it.
    pub kept: Result<Kept, WireError>,
    /// The revision of its key.
    pub revision: u64,
    /// When that was written, by the broker's clock.
    pub applied_at: UnixMs,
}

/// What stands under a calendar's name, as somebody saw it: what they write next is written over that alone.
#[derive(Clone, Debug)]
pub struct Seen {
    place: Place,
    /// What is there, if anything.
    pub stored: Option<Stored>,
}

impl Stored {
    fn of(broker: &Broker, entry: &Entry, name: &str) -> Stored {
        let value = entry.value.as_deref().unwrap_or_default();
        let kept = match CalendarName::new(name) {
            Ok(_) => read(broker, name, value, entry.at),
            Err(error) => Err(WireError::Malformed {
                reason: chain(&error).to_string(),
            }),
        };
        Stored {
            name: name.to_owned(),
            kept,
            revision: entry.revision,
            applied_at: entry.at,
        }
    }
}

impl Seen {
    /// The calendar's revision; 0: there is none.
    pub fn revision(&self) -> u64 {
        self.stored.as_ref().map_or(0, |stored| stored.revision)
    }

    /// What is there, if that makes sense.
    pub fn kept(&self) -> Option<&Kept> {
        self.stored.as_ref()?.kept.as_ref().ok()
    }

    fn nonsense(&self) -> Option<String> {
        let error = self.stored.as_ref()?.kept.as_ref().err()?;
        Some(chain(error).to_string())
    }
}

fn read(broker: &Broker, name: &str, value: &[u8], since: UnixMs) -> Result<Kept, WireError> {
    let kept = Kept::read(name, value, since);
    if let Err(error) = &kept {
        broker.note_newer(&format!("calendar {name}"), error);
    }
    kept
}

/// All calendars, by name.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker) -> Result<Vec<Stored>, ReadError> {
    let filter = broker.subjects().all_calendars();
    let entries = broker.state().entries(filter).await?;
    let stored = entries.iter().filter_map(|entry| {
        let name = entry.key.strip_prefix(filter.trim_end_matches('>'))?;
        Some(Stored::of(broker, entry, name))
    });
    Ok(stored.collect())
}

/// All that make sense.
///
/// # Errors
/// When the broker does not answer.
pub async fn known(broker: &Broker) -> Result<Calendars, ReadError> {
    Ok(sensible(list(broker).await?))
}

/// Those of `stored` that make sense.
pub fn sensible(stored: Vec<Stored>) -> Calendars {
    let kept = stored.into_iter();
    kept.filter_map(|stored| Some((stored.name, Arc::new(stored.kept.ok()?))))
        .collect()
}

/// What stands under the name.
///
/// # Errors
/// When the broker does not answer.
pub async fn see(broker: &Broker, name: &CalendarName) -> Result<Seen, ReadError> {
    let key = broker.subjects().calendar_key(name);
    let place = broker.state().place_of(&key).await?;
    let stored = match (place.value(), place.at()) {
        (Some(value), Some(at)) => Some(Stored {
            name: name.to_string(),
            kept: read(broker, name.as_str(), value, at),
            revision: place.revision(),
            applied_at: at,
        }),
        _ => None,
    };
    Ok(Seen { place, stored })
}

/// Has a calendar say this from now on. Returns its new revision. What stood there and made no sense is set aside.
///
/// # Errors
/// When the broker does not answer, or somebody else wrote at the same time.
pub async fn put(broker: &Broker, seen: &Seen, calendar: Calendar) -> Result<u64, WriteError> {
    // Its key's own stamp says since when.
    let kept = match seen.kept() {
        Some(kept) => kept.then(calendar, UnixMs(0)),
        None => Kept::always(calendar),
    };
    let (value, nonsense) = (wire::encode(&kept), seen.nonsense());
    let state = broker.state();
    state.replace(&seen.place, value, nonsense.as_deref()).await
}

/// Deletes a calendar: from now on schedules that name it wait. What stood there and made no sense is set aside.
///
/// # Errors
/// When the broker does not answer, or somebody else wrote at the same time.
pub async fn delete(broker: &Broker, seen: &Seen) -> Result<(), WriteError> {
    let nonsense = seen.nonsense();
    let state = broker.state();
    state.remove(&seen.place, nonsense.as_deref()).await
}

/// The calendars that a job names.
pub fn named(job: &JobSpec) -> BTreeSet<CalendarName> {
    let spec = job.schedule.clone().map(Spec::try_from);
    let spec = spec.and_then(Result::ok);
    let named = spec.iter().flat_map(Spec::calendars);
    named.cloned().collect()
}

/// Those of them that are not there: its schedule waits for them.
pub fn missing(job: &JobSpec, known: &Calendars) -> Vec<CalendarName> {
    let mut named = named(job);
    named.retain(|name| !known.contains_key(name.as_str()));
    named.into_iter().collect()
}

/// What is to be done about a job that waits for a calendar.
pub const ADVICE: &str = "apply the calendar (gridloom calendar apply FILE), or the job without it";

/// Why the schedule of a job waits, if it waits for a calendar.
pub fn waiting(job: &JobSpec, known: &Calendars) -> Option<String> {
    waits_for(job.name.as_str(), &missing(job, known))
}

/// The same, of one that names calendars which are not there.
pub fn waits_for(job: &str, missing: &[CalendarName]) -> Option<String> {
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let what = match names.as_slice() {
        [] => return None,
        [one] => format!("calendar {one}, which is not there"),
        several => format!("calendars {}, which are not there", several.join(", ")),
    };
    Some(format!("job {job} waits for {what}"))
}
