//! `job pause` and `job resume`: that nothing fires for a while, of one job or of all.

use std::collections::BTreeMap;

use gridloom_planner::prospect::obstacles::Pausing;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::pauses::{self, Paused};
use gridloom_shared::schedule::pause::{Missed, Pause};

use super::super::{installation, log};
use super::times::{time_in_utc, time_of};
use crate::args::{PauseArgs, ResumeArgs, WhichJobs};
use crate::context::{Context, who};
use crate::fault::Misuse;

/// Pauses a schedule, or all.
pub(super) async fn pause(context: &Context, args: &PauseArgs) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let job = which(&broker, &args.which).await?;
    has_a_schedule(&broker, job).await?;
    let until = match &args.until {
        Some(text) => Some(until(&broker, job, text).await?),
        None => None,
    };
    let changed = paused(&broker, job, (&args.note, until)).await?;
    let document = serde_json::json!({ "job": job, "paused": true, "changed": changed });
    context.output.show(&document, |output| {
        output.say(paused_words(job, until, changed));
    });
    Ok(())
}

/// Pauses jobs that are about to be defined. None of them fires in between, whichever of the two a planner is told first: it
/// reads the pause that stands before it adopts a schedule. Where the schedule stays as it was, nothing is adopted, and a fire
/// may open until the pause is heard, as with any other pause.
pub(super) async fn first(
    broker: &Broker,
    specs: &BTreeMap<JobName, JobSpec>,
    note: &str,
) -> anyhow::Result<()> {
    if let Some(never) = specs.values().find(|spec| spec.schedule.is_none()) {
        return Err(nothing_to_pause(&never.name));
    }
    for job in specs.keys() {
        paused(broker, Some(job), (note, None)).await?;
    }
    Ok(())
}

/// Ends a pause.
pub(super) async fn resume(context: &Context, args: &ResumeArgs) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let job = which(&broker, &args.which).await?;
    let changed = resumed(&broker, job, args.missed.map(Into::into)).await?;
    let left = left(&broker, job).await?;
    let document =
        serde_json::json!({ "job": job, "paused": false, "changed": changed, "pauses": left });
    context.output.show(&document, |output| {
        output.say(resumed_words(job, changed));
    });
    left.iter()
        .for_each(|pause| context.output.note(pause.words()));
    Ok(())
}

/// Pauses the schedule of a job, or of all, and says what came of it in words: for whoever has a screen of their own.
///
/// # Errors
/// When there is no such job, it has no schedule, or the broker does not answer.
pub(in crate::commands) async fn pause_in_words(
    broker: &Broker,
    job: Option<&JobName>,
    note: &str,
) -> anyhow::Result<String> {
    has_a_schedule(broker, job).await?;
    let changed = paused(broker, job, (note, None)).await?;
    Ok(paused_words(job, None, changed))
}

/// Ends the pause of a job, or that of all, and says what came of it in words.
///
/// # Errors
/// When the broker does not answer.
pub(in crate::commands) async fn resume_in_words(
    broker: &Broker,
    job: Option<&JobName>,
) -> anyhow::Result<String> {
    let changed = resumed(broker, job, None).await?;
    let left = left(broker, job).await?;
    let words = std::iter::once(resumed_words(job, changed));
    let words = words.chain(left.iter().map(Pausing::words));
    Ok(words.collect::<Vec<_>>().join("; "))
}

/// The one way by which a schedule is paused. `false`: it was already.
async fn paused(
    broker: &Broker,
    job: Option<&JobName>,
    (note, until): (&str, Option<UnixMs>),
) -> anyhow::Result<bool> {
    let pause = Pause {
        by: who(),
        note: note.to_owned(),
        from: None,
        until,
        resumed: None,
    };
    let (what, of) = order("pause", job);
    log::mention(broker, &what, &of, &pause.note).await;
    Ok(pauses::pause(broker, job, &pause).await?)
}

/// The one way by which a pause is ended. `false`: there was none.
async fn resumed(
    broker: &Broker,
    job: Option<&JobName>,
    missed: Option<Missed>,
) -> anyhow::Result<bool> {
    let (what, of) = order("resume", job);
    log::mention(broker, &what, &of, "").await;
    Ok(pauses::resume(broker, job, who(), missed).await?)
}

/// Of one job, what holds it back all the same; of all, those that are paused one by one.
async fn left(broker: &Broker, job: Option<&JobName>) -> anyhow::Result<Vec<Pausing>> {
    let left: Vec<Paused> = pauses::list(broker).await?;
    let concern = |paused: &&Paused| job.is_none() || paused.job.is_none();
    Ok(left.iter().filter(concern).map(Pausing::of).collect())
}

fn paused_words(job: Option<&JobName>, until: Option<UnixMs>, changed: bool) -> String {
    let end = until.map(|until| format!(" until {}", until.rfc3339()));
    let (what, of) = (named(job), end.unwrap_or_default());
    match changed {
        true => format!("{what} paused{of}; runs that are open go on"),
        false => format!("{what} paused already: resume first to say another note or end"),
    }
}

fn resumed_words(job: Option<&JobName>, changed: bool) -> String {
    let what = named(job);
    match changed {
        true => format!("{what} resumed"),
        false => format!("{what} not paused"),
    }
}

/// Tells of all pauses that last.
pub(super) async fn tell(context: &Context, broker: &Broker) -> anyhow::Result<()> {
    let all = pauses::list(broker).await?;
    all.iter()
        .for_each(|paused| context.output.note(Pausing::of(paused).words()));
    Ok(())
}

async fn which<'a>(broker: &Broker, which: &'a WhichJobs) -> anyhow::Result<Option<&'a JobName>> {
    if let Some(job) = &which.job {
        installation::job(broker, job).await?;
    }
    Ok(which.job.as_ref())
}

/// Refuses to pause what never fires: runs by hand and by submissions go on as before.
async fn has_a_schedule(broker: &Broker, job: Option<&JobName>) -> anyhow::Result<()> {
    let Some(job) = job else {
        return Ok(());
    };
    match installation::job(broker, job).await?.schedule {
        Some(_) => Ok(()),
        None => Err(nothing_to_pause(job)),
    }
}

fn nothing_to_pause(job: &JobName) -> anyhow::Error {
    Misuse::error(format!(
        "job {job} has no schedule, so there is nothing to pause: a pause stops fires, and neither runs by hand nor \
         submissions; gridloom cancel RUN ends a run"
    ))
}

async fn until(broker: &Broker, job: Option<&JobName>, text: &str) -> anyhow::Result<UnixMs> {
    let until = match job {
        Some(job) => time_of(&installation::job(broker, job).await?, text)?,
        None => time_in_utc(text)?,
    };
    if until <= UnixMs::now() {
        return Err(Misuse::error(format!(
            "--until {text} lies back: name a time that is to come, or leave it out"
        )));
    }
    Ok(until)
}

fn named(job: Option<&JobName>) -> String {
    job.map_or_else(
        || "the schedules of all jobs are".to_owned(),
        |job| format!("the schedule of job {job} is"),
    )
}

/// How the order is called on record, and of what it is.
fn order(verb: &str, job: Option<&JobName>) -> (String, String) {
    match job {
        Some(job) => (format!("job {verb}"), job.to_string()),
        None => (format!("{verb} all"), String::new()),
    }
}
