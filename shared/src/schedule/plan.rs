//! When a job fires, by what its schedule says: each **nominal** time, when it opens, and whether a calendar takes it out.
//!
//! Pure, and the same for whoever asks: nothing of it depends on a clock, on chance or on what was asked before. What
//! becomes of a fire (overlap, misfire, `max_fires`) is the planner's to decide.
//!
//! - Nominal times are whole seconds and strictly increasing. Calendars take none of them away: those that are
//!   taken out are told as such, since each fire is answered for.
//! - `jitter` and `spread` move the opening alone, never to or past the next nominal time. Where they would, both
//!   are made smaller in proportion, so that jobs still do not open all at once.
//! - `start` and `end` bound the nominal times, themselves included.

use std::time::Duration;

use jiff::civil::{DateTime, Time};

use super::at::At;
use super::cron::Cron;
use super::every::Every;
use super::kept::Calendars;
use super::moment::Moment;
use super::spec::{Spec, When};
use super::zone::Zone;
use super::{Clock, Fire, Schedule};
use crate::clock::UnixMs;
use crate::id::CalendarName;
use crate::limits::STRETCHES_MAX;

mod bars;
mod fault;
mod gallop;
mod opening;
mod shown;

use bars::{Bars, State};
pub use fault::SpecError;
use fault::wrong;
use opening::Opening;
pub use shown::Wording;

/// When a job fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    source: Source,
    zone: Zone,
    start: UnixMs,
    end: Option<UnixMs>,
    bars: Bars,
    opening: Opening,
    deadline: Option<Time>,
    finish_within: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    Times(Schedule),
    /// So long after the end of the last run; the first not before the anchor.
    After {
        wait: Duration,
        anchor: UnixMs,
    },
}

/// A nominal time and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nominal {
    /// The time by which the fire is known: a whole second.
    pub at: UnixMs,
    /// The civil time that the schedule says, where clocks left it out and the fire was moved behind the gap.
    pub moved_from: Option<DateTime>,
    /// When its run is to be opened: `at`, later by `spread` and `jitter`, before the next nominal time.
    pub opens_at: UnixMs,
    /// What takes it out, as people named it: it does not run, and is still answered for.
    pub excluded: Option<String>,
}

/// How many nominal times there are in a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that no calendar takes out.
    pub count: u64,
    /// Those that calendars take out.
    pub excluded: u64,
    /// All were counted; else there are more, and as many as asked for were counted from the first on.
    pub whole: bool,
    /// The first that no calendar takes out.
    pub first: Option<UnixMs>,
    /// The last that no calendar takes out, also where not all were counted.
    pub last: Option<UnixMs>,
}

impl Plan {
    /// The plan of a job. `anchor` is when it was applied: a cadence without a `start` is counted from there.
    ///
    /// # Errors
    /// When the schedule says what cannot be, names a calendar that is not there, or never fires.
    pub fn new(
        spec: &Spec,
        job: &str,
        calendars: &Calendars,
        anchor: UnixMs,
    ) -> Result<Plan, SpecError> {
        let bars = |zone: &Zone| Bars::new(spec, calendars, zone);
        Plan::with(spec, job, bars, anchor)?.that_fires(anchor)
    }

    /// The plan of a schedule that is in force, whatever became of the calendars that it names: where one is not there,
    /// each nominal time is taken out, and [`Plan::waits_for`] says for what.
    ///
    /// # Errors
    /// When the schedule says what cannot be.
    pub fn in_force(
        spec: &Spec,
        job: &str,
        calendars: &Calendars,
        anchor: UnixMs,
    ) -> Result<Plan, SpecError> {
        let bars = |zone: &Zone| Ok(Bars::known(spec, calendars, zone));
        Plan::with(spec, job, bars, anchor)
    }

    /// The plan as far as it is known without the calendars that it names: a schedule that never fires by itself is
    /// none, whatever they say.
    pub(crate) fn without_calendars(spec: &Spec) -> Result<Plan, SpecError> {
        Plan::of_times(spec, "", UnixMs(0))?.that_fires(UnixMs(0))
    }

    /// The times of a schedule and when they open, whatever the calendars say that it names.
    pub(crate) fn of_times(spec: &Spec, job: &str, anchor: UnixMs) -> Result<Plan, SpecError> {
        Plan::with(spec, job, |zone| Ok(Bars::inline(spec, zone)), anchor)
    }

    fn with(
        spec: &Spec,
        job: &str,
        bars: impl FnOnce(&Zone) -> Result<Bars, SpecError>,
        anchor: UnixMs,
    ) -> Result<Plan, SpecError> {
        let zone = spec.timezone.as_deref().unwrap_or("UTC");
        let zone = Zone::new(zone).map_err(|error| wrong("timezone", &error))?;
        let bound = |key, at: Option<UnixMs>| at.ok_or_else(|| wrong(key, &super::MomentError));
        let start = match spec.start {
            Some(moment) => Some(bound("start", moment.first(&zone))?),
            None => None,
        };
        let end = match spec.end {
            Some(moment) => Some(bound("end", moment.last(&zone))?),
            None => None,
        };
        let bars = bars(&zone)?;
        let anchor = start.unwrap_or(anchor);
        Ok(Plan {
            source: source(spec, &zone, anchor)?,
            zone,
            start: start.unwrap_or_default(),
            end,
            bars,
            opening: Opening::new(spec, job),
            deadline: spec.deadline,
            finish_within: spec.finish_within_ms.map(Duration::from_millis),
        })
    }

    fn that_fires(self, anchor: UnixMs) -> Result<Plan, SpecError> {
        let anchor = match self.start {
            UnixMs(0) => anchor,
            start => start,
        };
        self.fires(anchor).map(|()| self)
    }

    /// A calendar that it names and that is not there.
    pub fn waits_for(&self) -> Option<&CalendarName> {
        self.bars.missing()
    }

    /// Whether there is any fire, from `anchor` on or ever.
    fn fires(&self, anchor: UnixMs) -> Result<(), SpecError> {
        let (barred, any) = match self.source {
            Source::After { .. } => (self.following(None).is_none(), self.first_after_run(None)),
            Source::Times(_) => {
                let none = |from| self.free_after(from, UnixMs(u64::MAX)).is_none();
                let before = UnixMs(anchor.0.saturating_sub(1));
                let barred = none(before) && (before == UnixMs(0) || none(UnixMs(0)));
                let any = self.fire_after(UnixMs(0)).map(|fire| fire.at);
                (barred, any)
            }
        };
        match (barred, any) {
            (false, _) => Ok(()),
            (true, Some(_)) => Err(SpecError::Barred),
            (true, None) => Err(SpecError::Outside),
        }
    }

    /// The first nominal time after an instant, also one that calendars take out. `None`: the schedule has ended, or
    /// it is counted from the end of the last run ([`Plan::following`]).
    pub fn next_after(&self, after: UnixMs) -> Option<Nominal> {
        Some(self.nominal(self.fire_after(after)?))
    }

    /// The first nominal time after an instant that no calendar takes out. `None` also where there is none in sight:
    /// the search is bounded.
    pub fn next_fire_after(&self, after: UnixMs) -> Option<Nominal> {
        Some(self.nominal(self.free_after(after, UnixMs(u64::MAX))?))
    }

    /// All nominal times after an instant, in order. Usually without end.
    pub fn nominals_after(&self, after: UnixMs) -> impl Iterator<Item = Nominal> {
        std::iter::successors(self.next_after(after), |last| self.next_after(last.at))
    }

    /// The latest nominal time of `(after, until]` that no calendar takes out. As quick however many there are.
    pub fn last_until(&self, after: UnixMs, until: UnixMs) -> Option<Nominal> {
        Some(self.nominal(self.last_free(after, until)?))
    }

    /// How many nominal times are in `(after, until]`: counted up to `most` of them, and no further.
    pub fn tally(&self, after: UnixMs, until: UnixMs, most: u64) -> Tally {
        let mut tally = Tally {
            whole: true,
            ..Tally::default()
        };
        let mut from = after;
        while let Some(fire) = self.fire_after(from).filter(|fire| fire.at <= until) {
            if tally.count + tally.excluded >= most {
                tally.whole = false;
                break;
            }
            from = fire.at;
            if self.bars.barred(fire.at) {
                tally.excluded += 1;
            } else {
                tally.count += 1;
                tally.first = tally.first.or(Some(fire.at));
                tally.last = Some(fire.at);
            }
        }
        if !tally.whole {
            let first = || self.free_after(from, until).map(|fire| fire.at);
            tally.first = tally.first.or_else(first);
            tally.last = self.last_free(after, until).map(|fire| fire.at);
        }
        tally
    }

    /// The first instant of what people mean by a time, in the schedule's zone. `None`: it is too far away.
    pub fn instant(&self, moment: Moment) -> Option<UnixMs> {
        moment.first(&self.zone)
    }

    /// The last instant of what people mean by a time: of a day, its end.
    pub fn last_instant(&self, moment: Moment) -> Option<UnixMs> {
        moment.last(&self.zone)
    }

    /// After this instant there is no nominal time.
    pub fn end(&self) -> Option<UnixMs> {
        self.end
    }

    /// How long after the end of a run the next is due, where that is what the schedule says. There
    /// [`Plan::next_after`] has nothing: ask [`Plan::following`].
    pub fn after(&self) -> Option<Duration> {
        match self.source {
            Source::After { wait, .. } => Some(wait),
            Source::Times(_) => None,
        }
    }

    /// Of a schedule that is counted from the end of the last run: the nominal time that follows it, the first one
    /// where there was no run. It waits until no calendar bars it, so it is never excluded. `None`: it has ended, or
    /// that is not in sight, or the schedule is another.
    pub fn following(&self, ended: Option<UnixMs>) -> Option<Nominal> {
        let mut at = self.first_after_run(ended)?;
        for _ in 0..STRETCHES_MAX {
            match self.bars.state(at) {
                State::Free if self.end.is_some_and(|end| at > end) => return None,
                State::Free => {
                    return Some(Nominal {
                        at,
                        moved_from: None,
                        opens_at: self.opening.of(at, None),
                        excluded: None,
                    });
                }
                State::BarredUntil(until) => at = whole_second(until),
                State::BarredForEver => return None,
            }
        }
        None
    }

    /// Whether a run may follow the one that ended last once calendars have changed, where none does by what they say
    /// now.
    pub fn may_follow(&self, ended: Option<UnixMs>, now: UnixMs) -> bool {
        let in_time = self.end.is_none_or(|end| now <= end);
        in_time && self.bars.may_change() && self.first_after_run(ended).is_some()
    }

    fn first_after_run(&self, ended: Option<UnixMs>) -> Option<UnixMs> {
        let Source::After { wait, anchor } = self.source else {
            return None;
        };
        let at = ended.map_or(anchor, |ended| whole_second(ended + wait).max(self.start));
        Some(at).filter(|at| self.end.is_none_or(|end| *at <= end))
    }

    /// Whether its runs have to be over by a time.
    pub fn is_watched(&self) -> bool {
        self.deadline.is_some() || self.finish_within.is_some()
    }

    /// When the run of a nominal time has to be over: the earlier of `finish_within` and the first `deadline` after it, by the
    /// clocks of the zone; where they leave that out, the first instant after the gap.
    pub fn due(&self, at: UnixMs) -> Option<UnixMs> {
        let within = self.finish_within.map(|within| at + within);
        let by = self.deadline.and_then(|time| {
            let today = self.zone.civil(at)?.date();
            let days = [Some(today), today.tomorrow().ok()].into_iter().flatten();
            let times = days.map(|day| Moment::Civil(day.to_datetime(time)));
            // Clocks that go back show it twice.
            let mut all = times.flat_map(|time| [time.first(&self.zone), time.last(&self.zone)]);
            all.find_map(|due| due.filter(|due| *due > at))
        });
        within.into_iter().chain(by).min()
    }

    /// An instant by the clocks of the schedule's zone: `Tue 2026-12-01 06:00:00 +01:00`.
    pub fn local(&self, at: UnixMs) -> String {
        shown::local(&self.zone, at)
    }

    /// The same without the date, for who has that beside it; `None` where the zone's clocks show UTC.
    pub fn local_time(&self, at: UnixMs) -> Option<String> {
        (self.zone.name() != super::spec::UTC).then(|| shown::short(&self.zone, at))
    }

    /// Whether the schedule fires at this instant: no calendar takes it out there.
    pub fn has(&self, at: UnixMs) -> Option<Nominal> {
        let found = self.next_after(UnixMs(at.0.saturating_sub(1)))?;
        Some(found).filter(|found| found.at == at && found.excluded.is_none())
    }

    /// A nominal time as people of the schedule's zone read it.
    pub fn shown(&self, nominal: &Nominal) -> Wording {
        shown::of(&self.zone, nominal, self.waits_for())
    }

    fn fire_after(&self, after: UnixMs) -> Option<Fire> {
        let Source::Times(schedule) = &self.source else {
            return None;
        };
        let before_start = UnixMs(self.start.0.saturating_sub(1));
        let fire = schedule.next_after(after.max(before_start))?;
        Some(fire).filter(|fire| self.end.is_none_or(|end| fire.at <= end))
    }

    /// The first fire of `(after, until]` that no calendar takes out. Passes over what is barred in one go.
    fn free_after(&self, after: UnixMs, until: UnixMs) -> Option<Fire> {
        let mut from = after;
        for _ in 0..STRETCHES_MAX {
            let fire = self.fire_after(from).filter(|fire| fire.at <= until)?;
            match self.bars.state(fire.at) {
                State::Free => return Some(fire),
                State::BarredUntil(end) => from = UnixMs(end.0.saturating_sub(1)).max(fire.at),
                State::BarredForEver => return None,
            }
        }
        None
    }

    fn last_free(&self, after: UnixMs, until: UnixMs) -> Option<Fire> {
        let next = |from| self.free_after(from, until);
        gallop::last(next, after, until)
    }

    fn nominal(&self, fire: Fire) -> Nominal {
        let next = || match &self.source {
            Source::Times(schedule) => schedule.next_after(fire.at).map(|next| next.at),
            Source::After { .. } => None,
        };
        let next = if self.opening.moves() { next() } else { None };
        Nominal {
            at: fire.at,
            moved_from: fire.moved_from,
            opens_at: self.opening.of(fire.at, next),
            excluded: self.bars.name(fire.at),
        }
    }
}

fn source(spec: &Spec, zone: &Zone, anchor: UnixMs) -> Result<Source, SpecError> {
    let schedule = match &spec.when {
        When::Cron {
            expressions,
            dialect,
        } => {
            let read = |text: &String| Cron::parse(text, *dialect);
            let crons: Result<Vec<Cron>, _> = expressions.iter().map(read).collect();
            let crons = crons.map_err(|error| wrong("cron", &error))?;
            let clock = Clock::new(crons, zone.clone(), spec.dst);
            Schedule::Clock(clock.map_err(|error| wrong("cron", &error))?)
        }
        When::Every { period_ms } => {
            // Down: what is counted from now has its first fire a period from now, not at once.
            let anchor = UnixMs(anchor.0 / 1_000 * 1_000);
            let every = Every::new(anchor, Duration::from_millis(*period_ms));
            Schedule::Every(every.map_err(|error| wrong("every", &error))?)
        }
        When::At(moments) => Schedule::At(At::new(moments, zone, spec.dst)),
        When::After { wait_ms } => {
            let wait = Duration::from_millis(*wait_ms);
            let anchor = whole_second(anchor);
            return Ok(Source::After { wait, anchor });
        }
    };
    Ok(Source::Times(schedule))
}

/// The first whole second that is not before `at`.
fn whole_second(at: UnixMs) -> UnixMs {
    UnixMs(at.0.div_ceil(1_000).saturating_mul(1_000))
}

#[cfg(test)]
mod tests;
