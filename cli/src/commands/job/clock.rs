//! When a job fires: `job next`, and what `job apply` and `dev` tell of it.

use std::fmt;

use anyhow::Context as _;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{CalendarName, JobName, RunId};
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::{fires, runs};
use gridloom_shared::schedule::record::State;
use gridloom_shared::schedule::{Calendars, Nominal, Plan, Spec, When};
use serde::Serialize;

use super::super::calendar::users;
use super::super::installation;
use super::obstacles::{Around, Obstacles, Pausing};
use super::times::{moment, plan, schedule};
use crate::args::NextArgs;
use crate::context::Context;
use crate::fault::{Faulty, Misuse};
use crate::output::{Align, Output, Table};

/// Fires that are told where nobody says how many.
pub(super) const TOLD: usize = 5;
/// No more fires are counted to learn whether `max_fires` leaves one.
const COUNTED: u64 = 10_000;

/// A schedule, and which of its fires come.
pub(super) struct Coming {
    pub(super) spec: Spec,
    pub(super) plan: Plan,
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
pub(super) struct Fires {
    pub(super) words: String,
    next: Vec<Next>,
    /// The first that runs, where all of these are taken out.
    #[serde(skip)]
    first: Option<String>,
    /// Where each follows from the end of the run before it: from which.
    #[serde(skip)]
    follows: Option<String>,
}

/// A fire that comes.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Next {
    scheduled_at: String,
    /// By the clocks of its zone.
    local: String,
    opens_at: String,
    /// The civil time that the schedule says, where the clocks leave it out.
    moved_from: Option<String>,
    /// What takes it out: it gets no run.
    excluded: Option<String>,
    /// A calendar that is not there: until it is, nothing is decided of it.
    waits_for: Option<CalendarName>,
    /// The pause that holds it back.
    paused: Option<Pausing>,
    #[serde(skip)]
    utc: String,
    #[serde(skip)]
    note: String,
}

/// Says when a schedule fires next.
pub(super) async fn next(context: &Context, args: &NextArgs) -> anyhow::Result<()> {
    let path = std::path::Path::new(&args.job);
    let (job, known) = if path.is_file() {
        let faulty = |faults: Vec<String>| Faulty {
            message: faults.join("\n"),
            faults,
        };
        (super::read(path).map_err(faulty)?, None)
    } else {
        let name: JobName = args.job.parse().map_err(|_| {
            Misuse::error(format!("there is neither a file nor a job {:?}", args.job))
        })?;
        let broker = context.ask().await?;
        let stored = installation::stored(&broker, &name).await?;
        let job = stored.spec.with_context(|| format!("read job {name}"))?;
        let around = Around::look(&broker, &[&name]).await?;
        around.tell(context, &job);
        let state = fires::state(&broker, &name).await?;
        (job, Some((broker, around, state, stored.applied_at)))
    };
    let spec = schedule(&job)?;
    let calendars = users::named_by(context, &spec).await?;
    if known.is_none()
        && let Some(waiting) = users::waiting(&job, &calendars)
    {
        let advice = users::ADVICE;
        context.output.note(format!("{waiting}: {advice}"));
    }
    let state = known.as_ref().and_then(|(_, _, state, _)| state.as_ref());
    let mut coming = Coming::of(&job, &calendars, state)?;
    if let Some((broker, around, state, since)) = &known {
        coming.begin(&job.name, &calendars, *since)?;
        coming.obstacles = around.of(&job);
        if coming.plan.after().is_some() {
            let open = runs::open_of(broker, &job.name).await?;
            coming.follow(state.as_ref(), open.first());
        }
    }
    let from = match &args.from {
        // That time is among those that are asked for.
        Some(text) => UnixMs(moment(&coming.plan, text)?.0.saturating_sub(1)),
        None => UnixMs::now(),
    };
    let told = coming.told(from, args.count);
    context.output.show(&told.next, |output| {
        output.say(&told.words);
        told.table(output);
    });
    Ok(())
}

impl Coming {
    /// The fires of a job's schedule, of which `state` was recorded last.
    pub(super) fn of(
        job: &JobSpec,
        calendars: &Calendars,
        state: Option<&State>,
    ) -> anyhow::Result<Coming> {
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
    pub(super) fn begins_anew(&self) -> bool {
        let is_cadence = matches!(self.spec.when, When::Every { .. } | When::After { .. });
        self.begins_anew && is_cadence && self.spec.start.is_none()
    }

    /// Its job is there since then.
    pub(super) fn begin(
        &mut self,
        job: &JobName,
        calendars: &Calendars,
        since: UnixMs,
    ) -> anyhow::Result<()> {
        if self.begins_anew() {
            self.plan = plan(&self.spec, job.as_str(), calendars, Some(since))?;
        }
        Ok(())
    }

    /// What stands in its way.
    pub(super) fn meet(&mut self, obstacles: Obstacles) {
        self.obstacles = obstacles;
    }

    /// What comes next where each fire follows from the end of the run before: `open` is a run that is open.
    fn follow(&mut self, state: Option<&State>, open: Option<&RunId>) {
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
    pub(super) fn checked(
        job: &JobSpec,
        calendars: &Calendars,
        state: Option<&State>,
    ) -> anyhow::Result<Coming> {
        let coming = Coming::of(job, calendars, state)?;
        let anchor = anchor(state).unwrap_or_else(UnixMs::now);
        Plan::new(&coming.spec, job.name.as_str(), calendars, anchor)?;
        Ok(coming)
    }

    /// Those after `from` that get a run.
    pub(super) fn fires(&self, from: UnixMs) -> impl Iterator<Item = Nominal> {
        let next = |after| self.plan.next_fire_after(after);
        let all = std::iter::successors(next(from), move |last| next(last.at));
        all.take(usize::try_from(self.left).unwrap_or(usize::MAX))
    }

    /// Whether one of those after `from` is at `at`.
    pub(super) fn has(&self, at: UnixMs, from: UnixMs) -> Option<Nominal> {
        let found = self.plan.has(at)?;
        let tally = self.plan.tally(from, at, self.left.min(COUNTED) + 1);
        // Where more come before it than anybody counts, it is taken for one.
        let comes = tally.count <= self.left.min(COUNTED) || self.left > COUNTED;
        (self.left > 0 && comes).then_some(found)
    }

    /// Those after `from`, also such that are taken out.
    pub(super) fn told(&self, from: UnixMs, count: usize) -> Fires {
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

/// The next fire of a job, in a line.
pub(crate) struct Upcoming {
    job: JobName,
    /// Its nominal time; `None`: it has none of its own, or none comes.
    pub(crate) at: Option<UnixMs>,
    text: String,
}

impl Upcoming {
    /// When `job` fires next, which is there since then.
    pub(crate) async fn of(
        broker: &Broker,
        job: &JobSpec,
        since: UnixMs,
    ) -> anyhow::Result<Upcoming> {
        let state = fires::state(broker, &job.name).await?;
        let calendars = users::known_to(broker, &schedule(job)?).await?;
        let mut coming = Coming::of(job, &calendars, state.as_ref())?;
        coming.begin(&job.name, &calendars, since)?;
        Ok(Upcoming::told(&job.name, &coming, UnixMs::now()))
    }

    fn told(job: &JobName, coming: &Coming, now: UnixMs) -> Upcoming {
        let next = coming.fires(now).next();
        let words = coming.spec.words();
        let waits_for = coming.plan.waits_for();
        let waits =
            waits_for.map(|name| format!("waits for calendar {name}, which is not there: {words}"));
        let text = match (&next, waits) {
            (_, Some(waits)) => waits,
            (Some(next), None) => format!("next {}: {words}", coming.plan.local(next.at)),
            (None, None) if coming.plan.after().is_some() => words,
            (None, None) => format!("none to come: {words}"),
        };
        Upcoming {
            job: job.clone(),
            at: next.map(|next| next.at),
            text,
        }
    }
}

impl fmt::Display for Upcoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.job, self.text)
    }
}

/// From when a cadence is counted: it goes on as it was, and one that is new begins now.
fn anchor(state: Option<&State>) -> Option<UnixMs> {
    let state = state.filter(|state| state.spec.is_some());
    state.map(|state| state.anchor)
}

impl Fires {
    /// In words, and the next times.
    pub(super) fn say(&self, output: &Output) {
        output.say(format!("fires {}", self.words));
        self.table(output);
    }

    fn table(&self, output: &Output) {
        let mut table = Table::new([
            ("local", Align::Left),
            ("utc", Align::Left),
            ("", Align::Left),
        ]);
        for next in &self.next {
            table.row([next.local.clone(), next.utc.clone(), next.note.clone()]);
        }
        let none = self.follows.as_deref().unwrap_or(
            "no fires come: all its times are past, or it has had as many as max_fires says",
        );
        output.table(&table, none);
        if let Some(first) = &self.first {
            output.note(format!("the first that is not taken out: {first}"));
        }
    }
}

/// Tells of what waits until runs of a job are over.
pub(super) async fn tell_waiting(
    context: &Context,
    broker: &Broker,
    job: &JobName,
) -> anyhow::Result<()> {
    let Some(state) = fires::state(broker, job).await? else {
        return Ok(());
    };
    for fire in &state.queued {
        let (at, behind) = (fire.at.rfc3339(), &fire.behind.run);
        let note = format!("the fire of {at} waits until run {behind} is over");
        context.output.note(note);
    }
    for asked in state.asked.iter().filter(|asked| asked.refused.is_none()) {
        let (run, behind) = (&asked.run, &asked.behind.run);
        let note = format!("run {run} was asked for by hand and waits until run {behind} is over");
        context.output.note(note);
    }
    Ok(())
}

/// A job's schedule in words; nothing where it has none.
pub(super) fn words(job: &JobSpec) -> String {
    let spec = job.schedule.clone().map(Spec::try_from);
    spec.and_then(Result::ok)
        .map_or_else(String::new, |spec| spec.words())
}

#[cfg(test)]
mod tests;
