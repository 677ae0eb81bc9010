//! When a job fires next.

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{CalendarName, RunId};
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::jobs::StoredJob;
use gridloom_shared::reads::{fires, runs};
use gridloom_shared::schedule::record::State;
use gridloom_shared::schedule::{Calendars, Nominal, Plan, Spec, When};
use serde::Serialize;

use super::obstacles::{Around, Obstacles, Pausing};
use super::times::{TimeError, plan, schedule};

/// Fires that are told where nobody says how many.
pub const TOLD: usize = 5;
/// No more fires are counted to learn whether `max_fires` leaves one.
const COUNTED: u64 = 10_000;

/// A schedule, and which of its fires come.
pub struct Coming {
    /// The schedule.
    pub spec: Spec,
    /// What it means.
    pub plan: Plan,
    /// So many that get a run are left.
    left: u64,
    /// Nothing is on record of it.
    begins_anew: bool,
    /// What stands in its way.
    obstacles: Obstacles,
    /// Of a schedule whose fires follow from the end of the run before: what comes next.
    follows: Option<Follows>,
}

/// What comes next of a schedule whose fires follow from the end of the run before.
#[derive(Clone, Debug, PartialEq)]
enum Follows {
    /// This, as no run is open.
    Next(Nominal),
    /// It follows from the end of this run.
    Open(RunId),
}

/// When a schedule fires, in words and times.
#[derive(Clone, Debug, Serialize)]
pub struct Fires {
    /// The schedule in words.
    pub words: String,
    /// The fires that come.
    pub next: Vec<Next>,
    /// The first that runs, where all of these are taken out.
    #[serde(skip)]
    pub first: Option<String>,
    /// Where each follows from the end of the run before it: from which.
    #[serde(skip)]
    pub follows: Option<String>,
}

/// A fire that comes.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = NextFire)]
pub struct Next {
    /// Its nominal time, RFC 3339.
    scheduled_at: String,
    /// By the clocks of its zone.
    pub local: String,
    /// When its run is opened, RFC 3339: later by jitter and spread.
    opens_at: String,
    /// The civil time that the schedule says, where the clocks leave it out.
    moved_from: Option<String>,
    /// What takes it out: it gets no run.
    excluded: Option<String>,
    /// A calendar that is not there: until it is, nothing is decided of it.
    waits_for: Option<CalendarName>,
    /// The pause that holds it back.
    paused: Option<Pausing>,
    /// Its time to the second.
    #[serde(skip)]
    pub utc: String,
    /// What is to be said of it, for people.
    #[serde(skip)]
    pub note: String,
}

impl Coming {
    /// The fires of a job that is defined, and what stands in their way.
    ///
    /// # Errors
    /// When it has no schedule that can be followed, or the broker does not answer.
    pub async fn of_stored(
        broker: &Broker,
        job: &JobSpec,
        stored: &StoredJob,
        around: &Around,
    ) -> Result<Coming, TimeError> {
        let state = fires::state(broker, &job.name).await?;
        let calendars = around.calendars();
        let mut coming = Coming::of(job, calendars, state.as_ref())?;
        coming.begin(job, calendars, stored.applied_at)?;
        coming.meet(around.of(job));
        if coming.plan.after().is_some() {
            let open = runs::open_of(broker, &job.name).await?;
            coming.follow(state.as_ref(), open.first());
        }
        Ok(coming)
    }

    /// The fires of a job's schedule, of which `state` was recorded last.
    ///
    /// # Errors
    /// When it has none that can be followed.
    pub fn of(
        job: &JobSpec,
        calendars: &Calendars,
        state: Option<&State>,
    ) -> Result<Coming, TimeError> {
        let spec = schedule(job)?;
        let plan = plan(&spec, job.name.as_str(), calendars, anchor(state))?;
        let same = state.filter(|state| state.spec.as_ref() == Some(&spec));
        let most = spec.max_fires.unwrap_or(u64::MAX);
        let left = match same {
            Some(state) if state.ended => 0,
            Some(state) => most.saturating_sub(state.accepted),
            None => most,
        };
        Ok(Coming {
            spec,
            plan,
            left,
            begins_anew: anchor(state).is_none(),
            obstacles: Obstacles::default(),
            follows: None,
        })
    }

    /// Whether its cadence begins when its job was applied, and nothing is on record of that yet.
    pub fn begins_anew(&self) -> bool {
        let is_cadence = matches!(self.spec.when, When::Every { .. } | When::After { .. });
        self.begins_anew && is_cadence && self.spec.start.is_none()
    }

    /// Its job is there since then.
    ///
    /// # Errors
    /// When its schedule cannot be followed.
    pub fn begin(
        &mut self,
        job: &JobSpec,
        calendars: &Calendars,
        since: UnixMs,
    ) -> Result<(), TimeError> {
        if self.begins_anew() {
            self.plan = plan(&self.spec, job.name.as_str(), calendars, Some(since))?;
        }
        Ok(())
    }

    /// What stands in its way.
    pub fn meet(&mut self, obstacles: Obstacles) {
        self.obstacles = obstacles;
    }

    /// What stands in its way, as it was met.
    pub fn obstacles(&self) -> &Obstacles {
        &self.obstacles
    }

    /// What comes next where each fire follows from the end of the run before: `open` is a run that is open.
    pub fn follow(&mut self, state: Option<&State>, open: Option<&RunId>) {
        if self.plan.after().is_none() || self.left == 0 {
            return;
        }
        let ended = state.map(|state| state.last_end.max(Some(state.cursor)));
        self.follows = match (open, ended) {
            (Some(run), _) => Some(Follows::Open(run.clone())),
            (None, Some(ended)) => self.plan.following(ended).map(Follows::Next),
            (None, None) => None,
        };
    }

    /// The same, of one that is to be applied: refused where it never fires, or a calendar is not there.
    ///
    /// # Errors
    /// Then.
    pub fn checked(
        job: &JobSpec,
        calendars: &Calendars,
        state: Option<&State>,
    ) -> Result<Coming, TimeError> {
        let coming = Coming::of(job, calendars, state)?;
        let anchor = anchor(state).unwrap_or_else(UnixMs::now);
        Plan::new(&coming.spec, job.name.as_str(), calendars, anchor)?;
        Ok(coming)
    }

    /// Those after `from` that get a run.
    pub fn fires(&self, from: UnixMs) -> impl Iterator<Item = Nominal> {
        let next = |after| self.plan.next_fire_after(after);
        let all = std::iter::successors(next(from), move |last| next(last.at));
        all.take(usize::try_from(self.left).unwrap_or(usize::MAX))
    }

    /// The first after `from` that gets a run, and when that is opened.
    pub fn first(&self, from: UnixMs) -> Option<(UnixMs, Next)> {
        let following = match &self.follows {
            Some(Follows::Next(next)) => Some(next.clone()),
            Some(Follows::Open(_)) | None => None,
        };
        let first = following.or_else(|| self.fires(from).next())?;
        Some((first.opens_at, self.next(&first)))
    }

    /// Whether one of those after `from` is at `at`.
    pub fn has(&self, at: UnixMs, from: UnixMs) -> Option<Nominal> {
        let found = self.plan.has(at)?;
        let tally = self.plan.tally(from, at, self.left.min(COUNTED) + 1);
        // Where more come before it than anybody counts, it is taken for one.
        let comes = tally.count <= self.left.min(COUNTED) || self.left > COUNTED;
        (self.left > 0 && comes).then_some(found)
    }

    /// Those after `from`, also such that are taken out.
    pub fn told(&self, from: UnixMs, count: usize) -> Fires {
        let mut left = self.left;
        let waits = self.plan.waits_for().is_some();
        let following = self.follows.iter().filter_map(|follows| match follows {
            Follows::Next(next) => Some(next.clone()),
            Follows::Open(_) => None,
        });
        let nominals = following.chain(self.plan.nominals_after(from)).take(count);
        let nominals = nominals.take_while(|nominal| {
            let comes = left > 0;
            left = left.saturating_sub(u64::from(waits || nominal.excluded.is_none()));
            comes
        });
        let nominals: Vec<Nominal> = nominals.collect();
        let is_out = |nominal: &Nominal| nominal.excluded.is_some();
        let all_out = !waits && !nominals.is_empty() && nominals.iter().all(is_out);
        let first = all_out.then(|| self.fires(from).next()).flatten();
        let first = first.map(|first| self.plan.local(first.at));
        Fires {
            words: self.spec.words(),
            next: nominals.iter().map(|next| self.next(next)).collect(),
            first,
            follows: self.plan.after().map(|_| match &self.follows {
                Some(Follows::Open(run)) => {
                    format!("the next fire follows from the end of run {run}")
                }
                _ => "each fire follows from the end of the run before it".to_owned(),
            }),
        }
    }

    fn next(&self, nominal: &Nominal) -> Next {
        let shown = self.plan.shown(nominal);
        let waits_for = self.plan.waits_for().cloned();
        let opens = shown.opens.map(|opens| format!("opens {opens}"));
        let paused = self.obstacles.holds_back(nominal.opens_at).cloned();
        let held = paused.as_ref().map(|_| "held back by a pause".to_owned());
        let notes = opens.into_iter().chain(shown.note).chain(held);
        let notes: Vec<String> = notes.collect();
        Next {
            scheduled_at: nominal.at.rfc3339(),
            local: shown.local,
            opens_at: nominal.opens_at.rfc3339(),
            moved_from: nominal.moved_from.map(|from| from.to_string()),
            excluded: nominal.excluded.clone().filter(|_| waits_for.is_none()),
            waits_for,
            paused,
            utc: shown.utc,
            note: notes.join("; "),
        }
    }
}

/// From when a cadence is counted: it goes on as it was, and one that is new begins now.
fn anchor(state: Option<&State>) -> Option<UnixMs> {
    let state = state.filter(|state| state.spec.is_some());
    state.map(|state| state.anchor)
}

#[cfg(test)]
mod tests;
