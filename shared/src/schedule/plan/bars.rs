//! Which times calendars and dates take out of a schedule, and until when.

use std::sync::Arc;

use super::super::calendar::Calendar;
use super::super::dates::Dates;
use super::super::kept::{Calendars, Kept};
use super::super::spec::{Days, Spec};
use super::super::zone::Zone;
use super::SpecError;
use crate::clock::UnixMs;
use crate::id::CalendarName;
use crate::suggest;

/// So many of the names in `only` are told.
const NAMES_TOLD: usize = 3;

/// What a schedule is bound to, and kept off.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bars {
    only: Vec<Bar>,
    except: Vec<Bar>,
    /// What is told of a time that is in none of `only`.
    outside: String,
    /// A calendar that is not there: nobody knows what it takes out.
    missing: Option<CalendarName>,
    /// Whether it names calendars, which may change.
    named: bool,
}

/// How it is with a time.
pub(super) enum State {
    /// Nothing takes it out.
    Free,
    /// It is taken out, and so is all until this later instant.
    BarredUntil(UnixMs),
    /// It is taken out, and so is all after it that can be foreseen.
    BarredForEver,
}

/// A calendar, and how people named it.
#[derive(Clone, Debug, PartialEq)]
struct Bar {
    name: String,
    kept: Arc<Kept>,
}

impl Bars {
    /// What the schedule says with the calendars that it names.
    pub(super) fn new(spec: &Spec, calendars: &Calendars, zone: &Zone) -> Result<Bars, SpecError> {
        let bars = Bars::known(spec, calendars, zone);
        let Some(name) = &bars.missing else {
            return Ok(bars);
        };
        let in_only = spec.only.contains(&Days::Calendar(name.clone()));
        Err(SpecError::Calendar {
            key: if in_only { "only" } else { "except" },
            near: suggest::nearest(name.as_str(), calendars.keys().map(String::as_str))
                .map(str::to_owned),
            name: name.to_string(),
        })
    }

    /// The same; where a calendar is not there, every time is taken out for that.
    pub(super) fn known(spec: &Spec, calendars: &Calendars, zone: &Zone) -> Bars {
        let mut missing = None;
        let mut read = |all: &[Days]| -> Vec<Bar> {
            let bar = |days: &Days| match days {
                Days::Dates(dates) => Some(Bar::of(dates, zone)),
                Days::Calendar(name) => {
                    let kept = calendars.get(name.as_str()).cloned();
                    if kept.is_none() {
                        missing.get_or_insert(name.clone());
                    }
                    let name = name.to_string();
                    kept.map(|kept| Bar { name, kept })
                }
            };
            all.iter().filter_map(bar).collect()
        };
        let (only, except) = (read(&spec.only), read(&spec.except));
        Bars {
            missing,
            named: spec.calendars().next().is_some(),
            ..Bars::of(only, except)
        }
    }

    /// A calendar that it names and that is not there.
    pub(super) fn missing(&self) -> Option<&CalendarName> {
        self.missing.as_ref()
    }

    /// Whether it names calendars: what they take out may change.
    pub(super) fn may_change(&self) -> bool {
        self.named
    }

    /// Only what the schedule itself says. Where `only` names calendars, it does not bind.
    pub(super) fn inline(spec: &Spec, zone: &Zone) -> Bars {
        let read = |all: &[Days]| -> Vec<Option<Bar>> {
            let bar = |days: &Days| match days {
                Days::Dates(dates) => Some(Bar::of(dates, zone)),
                Days::Calendar(_) => None,
            };
            all.iter().map(bar).collect()
        };
        let only = read(&spec.only).into_iter().collect::<Option<_>>();
        let except = read(&spec.except).into_iter().flatten().collect();
        Bars::of(only.unwrap_or_default(), except)
    }

    fn of(only: Vec<Bar>, except: Vec<Bar>) -> Bars {
        let names: Vec<&str> = only.iter().map(|bar| bar.name.as_str()).collect();
        let more = names.len().saturating_sub(NAMES_TOLD);
        let mut outside = format!("only {}", names[..names.len() - more].join(", "));
        if more > 0 {
            outside.push_str(&format!(" and {more} more"));
        }
        Bars {
            only,
            except,
            outside,
            missing: None,
            named: false,
        }
    }

    /// What takes the time out.
    pub(super) fn name(&self, at: UnixMs) -> Option<String> {
        if let Some(missing) = &self.missing {
            return Some(format!("the missing calendar {missing}"));
        }
        let named = self.except.iter().find(|bar| bar.kept.covers(at));
        let outside = || self.is_outside(at).then(|| self.outside.clone());
        named.map(|bar| bar.name.clone()).or_else(outside)
    }

    pub(super) fn barred(&self, at: UnixMs) -> bool {
        self.missing.is_some()
            || self.is_outside(at)
            || self.except.iter().any(|bar| bar.kept.covers(at))
    }

    fn is_outside(&self, at: UnixMs) -> bool {
        !self.only.is_empty() && !self.only.iter().any(|bar| bar.kept.covers(at))
    }

    /// Whether the time is taken out, and how far that goes.
    pub(super) fn state(&self, at: UnixMs) -> State {
        if self.missing.is_some() {
            return State::BarredForEver;
        }
        let covering = self.except.iter().filter(|bar| bar.kept.covers(at));
        let same = |bar: &Bar| bar.kept.same_until(at);
        let mut ends: Vec<Option<UnixMs>> = covering.map(same).collect();
        if self.is_outside(at) {
            ends.push(self.only.iter().filter_map(same).min());
        }
        if ends.is_empty() {
            return State::Free;
        }
        let ends: Option<Vec<UnixMs>> = ends.into_iter().collect();
        let last = ends.and_then(|ends| ends.into_iter().max());
        last.map_or(State::BarredForEver, State::BarredUntil)
    }
}

impl Bar {
    fn of(dates: &Dates, zone: &Zone) -> Bar {
        Bar {
            name: dates.to_string(),
            kept: Arc::new(Kept::always(Calendar::of_dates(*dates, zone.clone()))),
        }
    }
}
