//! Which times calendars and dates take out of a schedule, and until when.

use std::collections::BTreeMap;

use super::super::calendar::Calendar;
use super::super::dates::Dates;
use super::super::spec::{Days, Spec};
use super::super::zone::Zone;
use super::SpecError;
use crate::clock::UnixMs;

/// So many of the names in `only` are told.
const NAMES_TOLD: usize = 3;

/// What a schedule is bound to, and kept off.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bars {
    only: Vec<Bar>,
    except: Vec<Bar>,
    /// What is told of a time that is in none of `only`.
    outside: String,
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
    calendar: Calendar,
}

impl Bars {
    pub(super) fn new(
        spec: &Spec,
        calendars: &BTreeMap<String, Calendar>,
        zone: &Zone,
    ) -> Result<Bars, SpecError> {
        let read = |key: &'static str, all: &[Days]| {
            let bar = |days: &Days| match days {
                Days::Dates(dates) => Ok(Bar::of(dates, zone)),
                Days::Calendar(name) => match calendars.get(name.as_str()) {
                    Some(calendar) => Ok(Bar {
                        name: name.to_string(),
                        calendar: calendar.clone(),
                    }),
                    None => Err(SpecError::Calendar {
                        key,
                        name: name.to_string(),
                    }),
                },
            };
            all.iter().map(bar).collect::<Result<Vec<Bar>, SpecError>>()
        };
        Ok(Bars::of(
            read("only", &spec.only)?,
            read("except", &spec.except)?,
        ))
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
        }
    }

    /// What takes the time out.
    pub(super) fn name(&self, at: UnixMs) -> Option<String> {
        let named = self.except.iter().find(|bar| bar.calendar.covers(at));
        let outside = || self.is_outside(at).then(|| self.outside.clone());
        named.map(|bar| bar.name.clone()).or_else(outside)
    }

    pub(super) fn barred(&self, at: UnixMs) -> bool {
        self.is_outside(at) || self.except.iter().any(|bar| bar.calendar.covers(at))
    }

    fn is_outside(&self, at: UnixMs) -> bool {
        !self.only.is_empty() && !self.only.iter().any(|bar| bar.calendar.covers(at))
    }

    /// Whether the time is taken out, and how far that goes.
    pub(super) fn state(&self, at: UnixMs) -> State {
        let covering = self.except.iter().filter(|bar| bar.calendar.covers(at));
        let same = |bar: &Bar| bar.calendar.same_until(at);
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
            calendar: Calendar::of_dates(*dates, zone.clone()),
        }
    }
}
