//! When a job fires by the clock. Pure: the caller says which time it is, and the same question has the same answer.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`cron`] | what an expression means, in civil time and in words |
//! | `field`, `days`, `words` | its parts: what a field may say, which days those of days name, how it reads |
//! | [`zone`] | at which instants that is, where clocks change |
//! | [`every`], [`at`] | a fixed cadence; times that are named one by one |
//! | [`moment`], [`dates`] | times and days as people write them |
//! | [`spec`] | what a job says of all that |
//! | [`calendar`] | which instants named days and times of day are |
//! | [`kept`] | a calendar as its key has it, with what it said before: by which of that an instant is judged |
//! | [`plan`] | what follows: each nominal time, when it opens, and what takes it out |
//! | [`fired`] | which nominal time a run is of |
//! | `warnings` | what may well be said and is seldom meant |
//! | [`pause`] | that nothing fires for a while |
//! | [`backfill`] | nominal times that are run again |
//! | [`record`] | what is written about fires, and what the next decisions follow from |
//!
//! A fire is known by its **nominal** time, an instant. Those of one schedule are strictly increasing.

pub mod at;
pub mod backfill;
pub mod calendar;
pub mod cron;
pub mod dates;
mod days;
pub mod every;
mod field;
pub mod fired;
pub mod kept;
pub mod moment;
pub mod pause;
pub mod plan;
pub mod record;
pub mod spec;
mod warnings;
mod words;
pub mod zone;

use jiff::civil::DateTime;

use crate::clock::UnixMs;
use crate::limits::CRON_LIST_MAX;

pub use crate::submission::ByHand;
pub use at::At;
pub use backfill::{Backfill, BackfillName};
pub use calendar::Calendar;
pub use cron::{Cron, CronError, Dialect};
pub use dates::{Dates, DatesError, YearDay};
pub use every::{Every, EveryError};
pub use field::Fault;
pub use kept::{Calendars, Kept};
pub use moment::{Moment, MomentError};
pub use plan::{Nominal, Plan, SpecError, Tally, Wording};
pub use spec::{Days, Misfire, MisfirePolicy, OverlapPolicy, Spec, When};
pub use warnings::warnings;
pub use zone::{Dst, Gap, Overlap, Zone, ZoneError};

/// What says when a job fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Times of a place's clocks.
    Clock(Clock),
    /// A cadence.
    Every(Every),
    /// Times that are named one by one.
    At(At),
}

/// Cron expressions in one time zone. An instant that several of them name is one fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    crons: Vec<Cron>,
    zone: Zone,
    dst: Dst,
}

/// Why expressions make no schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// None of them.
    #[error("must have a cron expression")]
    Empty,
    /// More than anybody oversees.
    #[error("has {0} cron expressions: at most {CRON_LIST_MAX}")]
    TooMany(usize),
}

/// A fire: its nominal time, and whether that is where the schedule has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fire {
    /// The nominal time.
    pub at: UnixMs,
    /// The civil time that the schedule says, where the clocks left it out and the fire was moved behind the gap.
    pub moved_from: Option<DateTime>,
}

impl Clock {
    /// The schedule of these expressions.
    ///
    /// # Errors
    /// When there are none, or too many.
    pub fn new(crons: Vec<Cron>, zone: Zone, dst: Dst) -> Result<Clock, ClockError> {
        match crons.len() {
            0 => Err(ClockError::Empty),
            found if found > CRON_LIST_MAX => Err(ClockError::TooMany(found)),
            _ => Ok(Clock { crons, zone, dst }),
        }
    }

    fn next_after(&self, after: UnixMs) -> Option<Fire> {
        let next = |cron| zone::next_after(cron, &self.zone, self.dst, after);
        // Where one was moved onto another, the other is the one that stands there.
        let order = |fire: &Fire| (fire.at, fire.moved_from);
        self.crons.iter().filter_map(next).min_by_key(order)
    }
}

impl Schedule {
    /// The first fire after an instant; `None` when there is none any more.
    pub fn next_after(&self, after: UnixMs) -> Option<Fire> {
        match self {
            Schedule::Clock(clock) => clock.next_after(after),
            Schedule::At(at) => at.next_after(after),
            Schedule::Every(every) => every.next_after(after).map(|at| Fire {
                at,
                moved_from: None,
            }),
        }
    }

    /// All fires after an instant, in order. Usually without end.
    pub fn fires_after(&self, after: UnixMs) -> impl Iterator<Item = Fire> {
        std::iter::successors(self.next_after(after), |fire| self.next_after(fire.at))
    }
}

#[cfg(test)]
mod tests;
