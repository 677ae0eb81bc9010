//! What became of one nominal time, or will. Decisions are told as they stand on record; of a time without one it is said
//! what is the case instead.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::count::counted_as;
use gridloom_shared::id::{CalendarName, JobName, RunId};
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::reads::fires::{self, Fires, Told};
use gridloom_shared::reads::pauses::{self, Paused};
use gridloom_shared::reads::{jobs, refused, runs};
use gridloom_shared::schedule::Plan;
use serde::Serialize;

use super::times::{TimeError, calendars_of, plan, schedule, utc};
use crate::leader;

/// What is to be done about a job that waits for a calendar.
const ADVICE: &str = "apply the calendar (gridloom calendar apply FILE), or the job without it";
/// So many times of the past are looked at in the search for one that has an answer.
const LOOKED_AT: usize = 100;

/// What is known of one nominal time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    /// The job.
    job: JobName,
    /// The time, RFC 3339.
    scheduled_at: String,
    /// By the clocks of the job's zone.
    local: String,
    #[serde(flatten)]
    standing: Prospect,
    /// What was decided of it.
    decisions: Vec<Decided>,
}

/// A decision, and what programs may ask next.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Decided {
    /// The decision.
    #[serde(flatten)]
    pub told: Told,
    /// The planner that decided, where it still leads.
    leader: Option<String>,
    /// How the run stands now.
    run_state: Option<RunState>,
    /// Why it has no run all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_opened: Option<String>,
}

/// How a nominal time stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Prospect {
    /// It has its answer.
    Decided,
    /// It waits until no run is open.
    Waiting {
        /// The run that was open when it came, or one of several.
        behind: RunId,
    },
    /// Its time is to come, or has, and its opening has not.
    Undecided {
        /// When it opens, RFC 3339.
        opens_at: String,
        /// An earlier schedule left it over.
        carried: bool,
    },
    /// It is to be opened, and nobody has decided so yet.
    Overdue {
        /// When it was to open, RFC 3339.
        opens_at: String,
    },
    /// A pause holds it back.
    HeldBack {
        /// Who has paused.
        by: String,
        /// What they said.
        note: String,
        /// All jobs are paused.
        all: bool,
        /// Until when, RFC 3339.
        until: Option<String>,
    },
    /// It is taken out.
    Excluded {
        /// What takes it out.
        by: String,
    },
    /// Whether it is taken out says a calendar that is not there: until it is, nothing is decided.
    WaitsForCalendar {
        /// The calendar.
        calendar: CalendarName,
    },
    /// It is no time of the schedule.
    NoFire {
        /// The next one after it, RFC 3339.
        next: Option<String>,
    },
    /// The schedule has ended.
    Ended,
    /// Each fire follows from the end of the run before it.
    Follows,
    /// The job has no schedule in force.
    NoSchedule,
    /// The schedule of then was another, or the record is older than what is kept.
    Unknown,
}

/// What is known of one nominal time of `job`, of whose fires this is on record.
///
/// # Errors
/// When the broker does not answer.
pub async fn of_moment(
    broker: &Broker,
    job: &JobName,
    (fires, plan): (&Fires, &Plan),
    at: UnixMs,
) -> Result<Explanation, TimeError> {
    let decisions = decisions(broker, fires, |told| told.touches(at, at)).await;
    let pauses = pauses::list(broker).await?;
    let pause = pauses.iter().find(|pause| holds(pause, job));
    Ok(Explanation {
        job: job.clone(),
        scheduled_at: at.rfc3339(),
        local: plan.local(at),
        standing: standing(fires, plan, at, UnixMs::now(), pause),
        decisions,
    })
}

/// The fires on record, and the plan by which times are read: the job may be deleted. `None`: there is no such job, and
/// nothing is on record of one.
///
/// # Errors
/// When its schedule cannot be followed, or the broker does not answer.
pub async fn on_record(broker: &Broker, job: &JobName) -> Result<Option<(Fires, Plan)>, TimeError> {
    let fires = fires::list(broker, job).await?;
    let nothing = fires.told.is_empty() && fires.unreadable == 0;
    let recorded = fires.state.as_ref().and_then(|state| state.spec.clone());
    let spec = match recorded {
        Some(spec) => Some(spec),
        None => match jobs::get(broker, job).await? {
            Some(job) if nothing => Some(schedule(&job.spec?)?),
            Some(_) => None,
            None if nothing => return Ok(None),
            None => None,
        },
    };
    let anchor = fires.state.as_ref().map(|state| state.anchor);
    let spec = spec.unwrap_or_else(utc);
    let calendars = calendars_of(broker, &spec).await?;
    let plan = plan(&spec, job.as_str(), &calendars, anchor)?;
    Ok(Some((fires, plan)))
}

/// `5 fires, until 2026-12-01T05:00:00Z`, of several.
pub fn several(told: &Told) -> Option<String> {
    let last = told
        .last_time()
        .filter(|last| Some(*last) != told.first())?;
    let more = if told.more { "more than " } else { "" };
    let fires = counted_as(told.count, "fire", "fires");
    Some(format!("{more}{fires}, until {}", last.to_the_second()))
}

/// The decisions that are meant, each with what came of it.
pub async fn decisions(
    broker: &Broker,
    fires: &Fires,
    concern: impl Fn(&Told) -> bool,
) -> Vec<Decided> {
    let mut decisions = Vec::new();
    for told in fires.told.iter().filter(|told| concern(told)) {
        let run_state = state_of(broker, told.run.as_ref()).await;
        let without = told.run.as_ref();
        let not_opened = match without.filter(|_| told.opens() && run_state.is_none()) {
            Some(run) => refused::not_opened(broker, run).await.ok().flatten(),
            None => None,
        };
        decisions.push(Decided {
            leader: leader_of(broker, told.term).await,
            run_state,
            not_opened,
            told: told.clone(),
        });
    }
    decisions
}

fn holds(pause: &Paused, job: &JobName) -> bool {
    pause.job.as_ref().is_none_or(|paused| paused == job)
}

/// The name of the planner that has this term, if it leads now: of earlier ones only their number is on record.
async fn leader_of(broker: &Broker, term: u64) -> Option<String> {
    let place = broker.state().place_of(LEADER_KEY).await.ok()?;
    let lease = leader::parse(place.value()?).ok()?;
    (lease.term.0 == term).then_some(lease.name)
}

/// How a run stands; nothing of one that is purged.
async fn state_of(broker: &Broker, run: Option<&RunId>) -> Option<RunState> {
    Some(runs::show(broker, run?).await.ok()?.state)
}

fn standing(
    fires: &Fires,
    plan: &Plan,
    at: UnixMs,
    now: UnixMs,
    pause: Option<&Paused>,
) -> Prospect {
    let decided = fires.told.iter().any(|told| told.touches(at, at));
    let Some(state) = fires.state.as_ref().filter(|state| state.spec.is_some()) else {
        return if decided {
            Prospect::Decided
        } else {
            Prospect::NoSchedule
        };
    };
    if let Some(queued) = state.queued.iter().find(|queued| queued.at == at) {
        let behind = queued.behind.run.clone();
        return Prospect::Waiting { behind };
    }
    if decided {
        return Prospect::Decided;
    }
    let carried = state.carried.iter().find(|carried| carried.at == at);
    if let Some(carried) = carried {
        return undecided(carried.opens_at, now, true, pause);
    }
    if state.ended {
        return Prospect::Ended;
    }
    if plan.after().is_some() {
        return Prospect::Follows;
    }
    match plan.next_after(UnixMs(at.0.saturating_sub(1))) {
        Some(next) if next.at == at && at > state.cursor => match next.excluded {
            Some(by) => match plan.waits_for().cloned() {
                Some(calendar) => Prospect::WaitsForCalendar { calendar },
                None => Prospect::Excluded { by },
            },
            None => undecided(next.opens_at, now, false, pause),
        },
        Some(next) if next.at == at => Prospect::Unknown,
        _ => Prospect::NoFire {
            next: next_fire(fires, plan, at, state.cursor).map(UnixMs::rfc3339),
        },
    }
}

/// The first nominal time after one that is or gets an answer: the moment at which a job was applied begins its cadence,
/// and is no fire.
fn next_fire(fires: &Fires, plan: &Plan, at: UnixMs, cursor: UnixMs) -> Option<UnixMs> {
    let told = |next: UnixMs| fires.told.iter().any(|told| told.touches(next, next));
    let all = plan.nominals_after(at).take(LOOKED_AT);
    let mut all = all.map(|next| next.at);
    let found = all.find(|next| *next > cursor || told(*next));
    found.or_else(|| Some(plan.next_after(cursor.max(at))?.at))
}

fn undecided(opens_at: UnixMs, now: UnixMs, carried: bool, pause: Option<&Paused>) -> Prospect {
    let pause = pause.filter(|pause| {
        let until = pause.pause.until;
        until.is_none_or(|until| opens_at < until)
    });
    match pause {
        Some(paused) => Prospect::HeldBack {
            by: paused.pause.by.clone(),
            note: paused.pause.note.clone(),
            all: paused.job.is_none(),
            until: paused.pause.until.map(UnixMs::rfc3339),
        },
        None if opens_at <= now => Prospect::Overdue {
            opens_at: opens_at.rfc3339(),
        },
        None => Prospect::Undecided {
            opens_at: opens_at.rfc3339(),
            carried,
        },
    }
}

impl Prospect {
    /// Whether the time is one of the schedule's that is known, and not one that was typed by mistake.
    fn is_an_answer(&self) -> bool {
        match self {
            Prospect::Decided
            | Prospect::Waiting { .. }
            | Prospect::Undecided { .. }
            | Prospect::Overdue { .. }
            | Prospect::HeldBack { .. }
            | Prospect::Excluded { .. }
            | Prospect::WaitsForCalendar { .. } => true,
            Prospect::NoFire { .. }
            | Prospect::Ended
            | Prospect::Follows
            | Prospect::NoSchedule
            | Prospect::Unknown => false,
        }
    }
}

impl Explanation {
    /// Whether the time is one of the schedule's that is known.
    pub fn is_an_answer(&self) -> bool {
        self.standing.is_an_answer()
    }

    /// All of it, as people read it.
    pub fn paragraph(&self) -> String {
        let mut sentences: Vec<String> = self.decisions.iter().map(Decided::sentence).collect();
        sentences.extend(self.now());
        format!(
            "job {}, fire of {} ({}): {}",
            self.job,
            self.scheduled_at,
            self.local,
            sentences.join(". ")
        )
    }

    /// What is the case beside what was decided.
    fn now(&self) -> Option<String> {
        Some(match &self.standing {
            Prospect::Decided => return None,
            Prospect::Waiting { .. } => {
                "it waits still, until no run of the job is open".to_owned()
            }
            Prospect::Undecided { opens_at, carried } => {
                let of = if *carried {
                    ", of the schedule before"
                } else {
                    ""
                };
                format!("not decided yet: it opens at {opens_at}{of}")
            }
            Prospect::Overdue { opens_at } => format!(
                "not decided yet, and it was to open at {opens_at}: a planner that leads decides it at once \
                 (gridloom doctor says whether one does)"
            ),
            Prospect::HeldBack {
                by,
                note,
                all,
                until,
            } => {
                let what = if *all { "all jobs" } else { "the job" };
                let until = until.as_ref().map(|until| format!(" until {until}"));
                let until = until.unwrap_or_default();
                format!("not decided yet: held back, as {by} paused {what}{until}: {note}")
            }
            Prospect::Excluded { by } => format!("it gets no run: {by} takes it out"),
            Prospect::WaitsForCalendar { calendar } => {
                format!(
                    "not decided yet: it waits for calendar {calendar}, which is not there: {ADVICE}"
                )
            }
            Prospect::NoFire { next: Some(next) } => {
                format!("the job does not fire then; the next time after it is {next}")
            }
            Prospect::NoFire { next: None } => {
                "the job does not fire then or later: its schedule ends before".to_owned()
            }
            Prospect::Ended => "nothing is on record of it, and the schedule has ended".to_owned(),
            Prospect::Follows => {
                "nothing is on record of it: each fire follows from the end of the run before it"
                    .to_owned()
            }
            Prospect::NoSchedule => {
                "nothing is on record of it, and the job has no schedule in force".to_owned()
            }
            Prospect::Unknown => {
                "nothing is on record of it: the schedule of then was another, or the record is \
                 older than what is kept"
                    .to_owned()
            }
        })
    }
}

impl Decided {
    /// As people read it.
    pub fn sentence(&self) -> String {
        let told = &self.told;
        let mut text = told.decision.to_owned();
        if let Some(run) = told.run.as_ref().filter(|_| told.opens()) {
            text.push_str(&format!(" as run {run}"));
        }
        if let Some(why) = &self.not_opened {
            text.push_str(&format!(" (it has none: {why})"));
        }
        if let Some(state) = self.run_state {
            let state = state.as_str();
            text.push_str(&match told.opens() || told.decision == "queued" {
                true => format!(" ({state})"),
                // With an overlap policy that lets it begin at once nothing is decided, and nothing is on record.
                false => format!(" (asked for again since, and opened then: {state})"),
            });
        }
        if let Some(several) = several(told) {
            text.push_str(&format!(", with others: {several}"));
        }
        let leader = self.leader.as_ref().map(|name| format!(", planner {name}"));
        format!(
            "{text}: {}; decided {} by the leader of term {}{}",
            told.why,
            told.decided_at,
            told.term,
            leader.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests;
