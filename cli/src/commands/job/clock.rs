//! When a job fires: `job next`, and what `job apply` and `dev` tell of it.

use std::fmt;

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::fires;
use gridloom_shared::schedule::record::State;
use gridloom_shared::schedule::{Calendars, Nominal, Plan, Spec};
use serde::Serialize;

use super::super::calendar::users;
use super::super::installation;
use super::times::{moment, plan, schedule};
use super::{late, pause, stopped};
use crate::args::NextArgs;
use crate::context::Context;
use crate::fault::Misuse;
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
}

/// When a schedule fires, in words and times.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Fires {
    pub(super) words: String,
    next: Vec<Next>,
    /// Whether each follows from the end of the run before it.
    #[serde(skip)]
    follows: bool,
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
    #[serde(skip)]
    utc: String,
    #[serde(skip)]
    note: String,
}

/// Says when a schedule fires next.
pub(super) async fn next(context: &Context, args: &NextArgs) -> anyhow::Result<()> {
    let path = std::path::Path::new(&args.job);
    let (job, state) = if path.is_file() {
        let job = super::read(path).map_err(|faults| Misuse::error(faults.join("\n")))?;
        (job, None)
    } else {
        let name: JobName = args.job.parse().map_err(|_| {
            Misuse::error(format!("there is neither a file nor a job {:?}", args.job))
        })?;
        let broker = context.ask().await?;
        let job = installation::job(&broker, &name).await?;
        stopped::tell(context, &broker, &name).await?;
        pause::tell(context, &broker, Some(&name)).await?;
        late::tell(context, &broker, &name).await;
        (job, fires::state(&broker, &name).await?)
    };
    let spec = schedule(&job)?;
    let calendars = users::named_by(context, &spec).await?;
    if let Some(waiting) = users::waiting(&job, &calendars) {
        let advice = users::ADVICE;
        context.output.note(format!("{waiting}: {advice}"));
    }
    let coming = Coming::of(&job, &calendars, state.as_ref())?;
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
        Ok(Coming { spec, plan, left })
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
        let nominals = self.plan.nominals_after(from).take(count);
        let nominals = nominals.take_while(|nominal| {
            let comes = left > 0;
            left = left.saturating_sub(u64::from(nominal.excluded.is_none()));
            comes
        });
        Fires {
            words: self.spec.words(),
            next: nominals.map(|nominal| self.next(&nominal)).collect(),
            follows: self.plan.after().is_some(),
        }
    }

    fn next(&self, nominal: &Nominal) -> Next {
        let shown = self.plan.shown(nominal);
        let opens = shown.opens.map(|opens| format!("opens {opens}"));
        let notes: Vec<String> = opens.into_iter().chain(shown.note).collect();
        Next {
            scheduled_at: nominal.at.rfc3339(),
            local: shown.local,
            opens_at: nominal.opens_at.rfc3339(),
            moved_from: nominal.moved_from.map(|from| from.to_string()),
            excluded: nominal.excluded.clone(),
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
    /// When `job` fires next.
    pub(crate) async fn of(broker: &Broker, job: &JobSpec) -> anyhow::Result<Upcoming> {
        let state = fires::state(broker, &job.name).await?;
        let calendars = users::known_to(broker, &schedule(job)?).await?;
        let coming = Coming::of(job, &calendars, state.as_ref())?;
        let next = coming.fires(UnixMs::now()).next();
        let words = coming.spec.words();
        let text = match &next {
            Some(next) => format!("next {}: {words}", coming.plan.local(next.at)),
            None if coming.plan.after().is_some() => words,
            None => format!("none to come: {words}"),
        };
        Ok(Upcoming {
            job: job.name.clone(),
            at: next.map(|next| next.at),
            text,
        })
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
        let none = match self.follows {
            true => "each fire follows from the end of the run before it",
            false => {
                "no fires come: all its times are past, or it has had as many as max_fires says"
            }
        };
        output.table(&table, none);
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
