//! Which nominal times a backfill would run again.

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::count::{counted, grouped};
use gridloom_shared::id::JobName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::limits::BACKFILL_FIRES_MAX;
use gridloom_shared::reads::{calendars, fires};
use gridloom_shared::schedule::backfill::{Progress, anchor_before};
use gridloom_shared::schedule::{Backfill, ByHand, Moment, Plan};

use super::times::{TimeError, calendars_of, moment, plan, read_moment, schedule};

/// Why there is nothing to run again.
#[derive(Debug, thiserror::Error)]
pub enum AgainError {
    /// A time cannot be said.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// What was asked for cannot be, and why.
    #[error("{0}")]
    Refused(String),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The first nominal time, by the clocks of the schedule.
    pub from: String,
    /// The last one, or a day.
    pub to: String,
    /// What its runs have to do with others of the job.
    pub overlap: ByHand,
    /// At most so many of its runs are open at once.
    pub concurrency: u32,
    /// Who asks.
    pub by: String,
}

/// What is wanted, and which times those are.
#[derive(Clone, Debug)]
pub struct Extent {
    /// What is asked for.
    pub backfill: Backfill,
    /// The times.
    pub times: Vec<UnixMs>,
    /// How many more calendars take out.
    pub excluded: u64,
    /// The end of the range lies ahead: what comes until then is the schedule's own.
    pub cut: bool,
}

impl Extent {
    /// The times of the schedule of a job that is defined so.
    ///
    /// # Errors
    /// When there are none, or too many, or the broker does not answer.
    pub async fn of(
        broker: &Broker,
        definition: &JobSpec,
        asked: &Asked,
    ) -> Result<Extent, AgainError> {
        let spec = schedule(definition)?;
        let calendars = calendars_of(broker, &spec).await.map_err(TimeError::from)?;
        let job = definition.name.as_str();
        let missing = calendars::missing(definition, &calendars);
        if let Some(calendar) = missing.first() {
            return Err(AgainError::Refused(format!(
                "job {job} waits for calendar {calendar}, which is not there: apply the calendar (gridloom calendar apply FILE), or the job without it"
            )));
        }
        let state = fires::state(broker, &definition.name).await;
        let state = state.map_err(TimeError::from)?;
        let known = state.as_ref().filter(|state| state.spec.is_some());
        let anchor = known.map_or_else(UnixMs::now, |state| state.anchor);
        let there = plan(&spec, job, &calendars, Some(anchor))?;
        if there.after().is_some() {
            return Err(AgainError::Refused(format!(
                "job {job} fires so long after the end of its last run: there are no times to run again"
            )));
        }
        let (from, to, cut) = range(&there, asked)?;
        let anchor = anchor_before(&spec, anchor, from);
        let plan = plan(&spec, job, &calendars, Some(anchor))?;
        let (times, excluded) = times(&plan, from, to, job)?;
        let backfill = Backfill {
            by: asked.by.clone(),
            asked_at: UnixMs::now(),
            spec,
            anchor,
            from,
            to,
            overlap: asked.overlap,
            concurrency: asked.concurrency,
            count: times.len() as u64,
            cancelled: None,
            progress: Progress::default(),
        };
        Ok(Extent {
            backfill,
            times,
            excluded,
            cut,
        })
    }

    /// As people read it.
    pub fn words(&self, job: &JobName) -> String {
        let (first, last) = (self.times.first(), self.times.last());
        let at = |time: Option<&UnixMs>| time.copied().unwrap_or_default().rfc3339();
        let excluded = match self.excluded {
            0 => String::new(),
            excluded => format!("; calendars take out {}", counted(excluded, "more time")),
        };
        let cut = match self.cut {
            true => "; --to is not over: what comes until then is the schedule's own",
            false => "",
        };
        format!(
            "{} of job {job}, of {} to {}, {} at once{excluded}{cut}",
            counted(self.backfill.count, "run"),
            at(first),
            at(last),
            self.backfill.concurrency,
        )
    }
}

/// The first and the last instant, and whether the last was to be later.
fn range(plan: &Plan, asked: &Asked) -> Result<(UnixMs, UnixMs, bool), AgainError> {
    let Asked { from, to, .. } = asked;
    let last: Moment = read_moment(to)?;
    let (from_at, to_at) = (moment(plan, from)?, plan.last_instant(last));
    let no_time = || TimeError::NoTime { text: to.clone() };
    let to_at = to_at.ok_or_else(no_time)?;
    if to_at < from_at {
        return Err(AgainError::Refused(format!(
            "--to {to} comes before --from {from}"
        )));
    }
    // Of a day that is not over, what has come.
    let now = UnixMs::now();
    if from_at > now || to_at > now && !matches!(last, Moment::Day(_)) {
        return Err(AgainError::Refused(format!(
            "--to {to} is to come: those times are the schedule's own"
        )));
    }
    Ok((from_at, to_at.min(now), to_at > now))
}

/// The nominal times of a range that no calendar takes out, and how many are taken out.
fn times(
    plan: &Plan,
    from: UnixMs,
    to: UnixMs,
    job: &str,
) -> Result<(Vec<UnixMs>, u64), AgainError> {
    let (mut times, mut excluded) = (Vec::new(), 0);
    let before = UnixMs(from.0.saturating_sub(1));
    for nominal in plan.nominals_after(before).take_while(|next| next.at <= to) {
        match nominal.excluded {
            None => times.push(nominal.at),
            Some(_) => excluded += 1,
        }
        if times.len() as u64 + excluded > BACKFILL_FIRES_MAX {
            return Err(AgainError::Refused(format!(
                "job {job} has more than {} times from {} to {}, the most of one backfill: take a shorter range, and another backfill for the rest",
                grouped(BACKFILL_FIRES_MAX),
                from.rfc3339(),
                to.rfc3339()
            )));
        }
    }
    if times.is_empty() {
        let why = match excluded {
            0 => String::new(),
            excluded => format!("; calendars take out {}", counted(excluded, "time")),
        };
        return Err(AgainError::Refused(format!(
            "job {job} does not fire from {} to {}{why}",
            from.rfc3339(),
            to.rfc3339()
        )));
    }
    Ok((times, excluded))
}
