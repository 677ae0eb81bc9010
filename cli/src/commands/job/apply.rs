//! `job apply`: what stands there, what would stand there, and the change from one to the other. Each definition is
//! written over the one that was looked at, so that what is told of a change is what was changed.

use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::job::difference::{self, Difference};
pub(crate) use gridloom_shared::orders::define::Change;
use gridloom_shared::orders::define::{self, DefineError, Write, Written};
use gridloom_shared::reads::jobs::{self, Seen};
use gridloom_shared::reads::{calendars, fires};
use gridloom_shared::schedule::{self, Calendars, record::State};
use serde::Serialize;

use super::super::log;
use super::super::revision::{self, Answer, Stands};
use super::clock::{self, Coming, Fires, TOLD};
use super::compare::{self, Row};
use super::obstacles::{self, Around, Obstacles};
use super::{pause, read_all, warnings};
use crate::args::ApplyArgs;
use crate::context::Context;
use crate::fault::Misuse;
use crate::output::Output;

/// What is done with one job, as programs read it.
#[derive(Serialize)]
struct Applied {
    job: JobName,
    change: Change,
    /// The revision that stands now; 0: none, as it would be created.
    revision: u64,
    /// Nothing was written.
    dry_run: bool,
    /// What differs from the definition before.
    changes: Vec<Difference>,
    /// When it fires from now on.
    schedule: Option<Fires>,
    /// When it fired by the schedule before, where that is another.
    before: Option<Fires>,
    /// The next fires of both, where they are two.
    fires: Vec<Row>,
    /// What may be meant, and often is not.
    warnings: Vec<String>,
    /// What stands in the way of its fires.
    obstacles: Option<Obstacles>,
}

/// Does what `gridloom job apply` says.
pub(super) async fn apply(context: &Context, args: &ApplyArgs) -> anyhow::Result<()> {
    let specs = read_all(context, &args.files)?;
    if args.if_revision.is_some() && specs.len() > 1 {
        return Err(Misuse::error(
            "--if-revision is for one job: each has a revision of its own",
        ));
    }
    let broker = context.ask().await?;
    let calendars = calendars::known(&broker).await?;
    let mut schedules = Vec::new();
    for spec in specs.values() {
        schedules.push(Known::of(&broker, spec, &calendars).await?);
    }
    let mut told = warnings::of(&broker, &specs).await;
    let scheduled = specs.values().filter(|spec| spec.schedule.is_some());
    let scheduled: Vec<&JobName> = scheduled.map(|spec| &spec.name).collect();
    if let Some(note) = &args.paused {
        pause::first(&broker, &specs, note).await?;
    }
    let around = Around::look(&broker, &scheduled).await?;
    let mut all = Vec::new();
    for (spec, mut known) in specs.values().zip(schedules) {
        if let Some(coming) = &mut known.coming {
            coming.meet(around.of(spec));
        }
        let applied = one(&broker, spec, known, &calendars, args).await;
        let mut applied = applied.map_err(|error| told_in_list(context, error))?;
        applied.obstacles = spec.schedule.as_ref().map(|_| around.of(spec));
        let before_its_schedule = told.remove(&applied.job).unwrap_or_default();
        applied.warnings.splice(0..0, before_its_schedule);
        for warning in &applied.warnings {
            let job = &applied.job;
            context
                .output
                .note(format!("job {job}: warning: {warning}"));
        }
        all.push(applied);
    }
    context.output.show(&all, |output| {
        all.iter().for_each(|applied| applied.say(output));
        if let ([only], false) = (all.as_slice(), args.dry_run) {
            output.note(format!(
                "start a run of it: gridloom run {} --wait",
                only.job
            ));
        }
    });
    for applied in all.iter().filter(|applied| applied.schedule.is_some()) {
        if let Some(spec) = specs.get(&applied.job) {
            obstacles::tell(&around, context, spec);
        }
        if applied.is_paused_still() && args.paused.is_none() {
            let job = &applied.job;
            context.output.note(format!(
                "job {job} is made again and paused still, as it was before it was deleted: gridloom job resume {job}"
            ));
        }
    }
    Ok(())
}

fn told_in_list(context: &Context, error: anyhow::Error) -> anyhow::Error {
    revision::told(context, Answer::Listed, error)
}

/// Defines the job, or changes it, whatever stands there.
pub(crate) async fn put(broker: &Broker, spec: &JobSpec) -> anyhow::Result<Change> {
    Ok(write(broker, spec, None, Write::Really).await?.change)
}

/// A schedule that is to be applied, and what was recorded of the one before: looked at before anything is written,
/// as the planner begins anew within moments.
struct Known {
    coming: Option<Coming>,
    state: Option<State>,
}

impl Known {
    /// # Errors
    /// When the schedule never fires, counted from now, or names a calendar that is not there.
    async fn of(broker: &Broker, spec: &JobSpec, calendars: &Calendars) -> anyhow::Result<Known> {
        let state = fires::state(broker, &spec.name).await?;
        let coming = match spec.schedule {
            Some(_) => {
                let coming = Coming::checked(spec, calendars, state.as_ref());
                Some(coming.map_err(|error| {
                    let name = &spec.name;
                    let why = chain(&error);
                    Misuse::error(format!("job {name}: {why}; nothing was applied"))
                })?)
            }
            None => None,
        };
        Ok(Known { coming, state })
    }
}

async fn one(
    broker: &Broker,
    spec: &JobSpec,
    mut known: Known,
    calendars: &Calendars,
    args: &ApplyArgs,
) -> anyhow::Result<Applied> {
    let how = match args.dry_run {
        true => Write::Dry,
        false => Write::Really,
    };
    if how == Write::Really {
        log::mention(broker, "job apply", spec.name.as_str(), "").await;
    }
    let Written {
        change,
        seen,
        revision,
    } = write(broker, spec, args.if_revision, how).await?;
    let before = seen.job().and_then(|job| job.spec.as_ref().ok());
    if let Some(coming) = known.coming.as_mut().filter(|coming| coming.begins_anew())
        && let Some(since) = since(broker, &spec.name, (change, &seen), how).await?
    {
        coming.begin(spec, calendars, since)?;
    }
    let mut applied = Applied {
        job: spec.name.clone(),
        change,
        revision,
        dry_run: args.dry_run,
        changes: before.map_or_else(Vec::new, |before| difference::of(before, spec)),
        schedule: None,
        before: None,
        fires: Vec::new(),
        warnings: Vec::new(),
        obstacles: None,
    };
    let changed = before.filter(|before| before.schedule != spec.schedule);
    // One that cannot be followed any more is none that anybody waits for.
    let old = changed
        .filter(|before| before.schedule.is_some())
        .and_then(|before| Coming::of(before, calendars, known.state.as_ref()).ok());
    let now = UnixMs::now();
    let thrown = old.as_ref().zip(known.state.as_ref());
    let thrown = thrown.and_then(|(old, state)| warnings::thrown_away(&old.plan, state, now));
    applied.warnings.extend(thrown);
    applied.tell_fires(old.as_ref(), known.coming.as_ref());
    Ok(applied)
}

/// Since when the definition is there that was applied, by the broker's clock. `None`: it is not.
async fn since(
    broker: &Broker,
    name: &JobName,
    (change, seen): (Change, &Seen),
    how: Write,
) -> anyhow::Result<Option<UnixMs>> {
    let written = match (change, how) {
        (Change::Unchanged, _) => None,
        (_, Write::Dry) => return Ok(None),
        (_, Write::Really) => Some(jobs::see(broker, name).await?),
    };
    let there = written.as_ref().unwrap_or(seen);
    Ok(there.job().map(|job| job.applied_at))
}

/// Writes the definition over what is seen there.
async fn write(
    broker: &Broker,
    spec: &JobSpec,
    expected: Option<u64>,
    how: Write,
) -> anyhow::Result<Written> {
    match define::job(broker, spec, expected, how).await {
        Err(DefineError::Moved { job, seen }) => {
            Stands::job(job.as_str(), &seen).check(expected)?;
            Err(DefineError::Moved { job, seen }.into())
        }
        written => Ok(written?),
    }
}

impl Applied {
    /// Whether somebody paused a job of that name that was there before.
    fn is_paused_still(&self) -> bool {
        let obstacles = self.obstacles.as_ref();
        self.change == Change::Created && obstacles.is_some_and(Obstacles::is_paused_itself)
    }

    fn tell_fires(&mut self, old: Option<&Coming>, new: Option<&Coming>) {
        let now = UnixMs::now();
        if let Some(new) = new {
            let told = schedule::warnings(&new.spec, &new.plan, now);
            self.warnings.extend(told.iter().map(ToString::to_string));
        }
        if old.is_some() {
            self.fires = compare::rows(old, new, now);
        }
        self.schedule = new.map(|coming| coming.told(now, TOLD));
        self.before = old.map(|coming| coming.told(now, TOLD));
    }

    fn say(&self, output: &Output) {
        let (job, revision) = (&self.job, self.revision);
        output.say(match (self.change, self.dry_run) {
            (Change::Created, false) => {
                format!("job {job} created (revision {revision}, counted over all jobs)")
            }
            (Change::Changed, false) => format!("job {job} changed (revision {revision})"),
            (Change::Unchanged, _) => format!("job {job} unchanged (revision {revision})"),
            (Change::Created, true) => format!("job {job} would be created; nothing was written"),
            (Change::Changed, true) => {
                format!("job {job} would be changed (revision {revision}); nothing was written")
            }
        });
        for change in &self.changes {
            output.say(format!("  {change}"));
        }
        match (&self.before, &self.schedule) {
            (None, None) => {}
            (None, Some(fires)) => clock::say(fires, output),
            (Some(before), after) => {
                let after = after.as_ref();
                let after = after.map_or("by submissions alone: no schedule any more", |after| {
                    after.words.as_str()
                });
                output.say(format!("fires {after}"));
                output.say(format!("before {}", before.words));
                compare::say(output, &self.fires);
            }
        }
    }
}
