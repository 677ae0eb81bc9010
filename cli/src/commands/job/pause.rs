//! `job pause` and `job resume`: that nothing fires for a while, of one job or of all.

use gridloom_planner::prospect::obstacles::Pausing;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::reads::pauses::{self, Paused};
use gridloom_shared::schedule::pause::Pause;

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
    let pause = Pause {
        by: who(),
        note: args.note.clone(),
        from: None,
        until,
        resumed: None,
    };
    let (what, of) = order("pause", job);
    log::mention(&broker, &what, &of, &pause.note).await;
    let changed = pauses::pause(&broker, job, &pause).await?;
    let document = serde_json::json!({ "job": job, "paused": true, "changed": changed });
    context.output.show(&document, |output| {
        let end = until.map(|until| format!(" until {}", until.rfc3339()));
        let (what, of) = (named(job), end.unwrap_or_default());
        output.say(match changed {
            true => format!("{what} paused{of}; runs that are open go on"),
            false => format!("{what} paused already: resume first to say another note or end"),
        });
    });
    Ok(())
}

/// Ends a pause.
pub(super) async fn resume(context: &Context, args: &ResumeArgs) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let job = which(&broker, &args.which).await?;
    let missed = args.missed.map(Into::into);
    let (what, of) = order("resume", job);
    log::mention(&broker, &what, &of, "").await;
    let changed = pauses::resume(&broker, job, who(), missed).await?;
    let left: Vec<Paused> = pauses::list(&broker).await?;
    // Of one job, what holds it back all the same; of all, those that are paused one by one.
    let concern = |paused: &&Paused| job.is_none() || paused.job.is_none();
    let left: Vec<Pausing> = left.iter().filter(concern).map(Pausing::of).collect();
    let document =
        serde_json::json!({ "job": job, "paused": false, "changed": changed, "pauses": left });
    context.output.show(&document, |output| {
        let what = named(job);
        output.say(match changed {
            true => format!("{what} resumed"),
            false => format!("{what} not paused"),
        });
    });
    left.iter()
        .for_each(|pause| context.output.note(pause.words()));
    Ok(())
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
        None => Err(Misuse::error(format!(
            "job {job} has no schedule, so there is nothing to pause: a pause stops fires, and neither runs by hand nor \
             submissions; gridloom cancel RUN ends a run"
        ))),
    }
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
