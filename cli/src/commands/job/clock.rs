//! When a job fires: `job next`, and what `job apply` and `dev` tell of it.

use std::fmt;

use anyhow::Context as _;
pub(super) use gridloom_planner::prospect::coming::{Coming, Fires, TOLD};
use gridloom_planner::prospect::obstacles::Pausing;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::fires;
use gridloom_shared::schedule::Spec;

use super::super::calendar::users;
use super::super::installation;
use super::obstacles::{self, Around};
use super::times::{moment, schedule};
use crate::args::NextArgs;
use crate::context::Context;
use crate::fault::{Faulty, Misuse};
use crate::output::{Align, Output, Table};

/// Says when a schedule fires next.
pub(super) async fn next(context: &Context, args: &NextArgs) -> anyhow::Result<()> {
    let path = std::path::Path::new(&args.job);
    let coming = match path.is_file() {
        true => of_file(context, path).await?,
        false => of_job(context, &args.job).await?,
    };
    let from = match &args.from {
        // That time is among those that are asked for.
        Some(text) => UnixMs(moment(&coming.plan, text)?.0.saturating_sub(1)),
        None => UnixMs::now(),
    };
    let told = coming.told(from, args.count);
    context.output.show(&told.next, |output| {
        output.say(&told.words);
        table(&told, output);
    });
    Ok(())
}

async fn of_file(context: &Context, path: &std::path::Path) -> anyhow::Result<Coming> {
    let faulty = |faults: Vec<String>| Faulty {
        message: faults.join("\n"),
        faults,
    };
    let job = super::read(path).map_err(faulty)?;
    let calendars = users::named_by(context, &schedule(&job)?).await?;
    if let Some(waiting) = users::waiting(&job, &calendars) {
        let advice = users::ADVICE;
        context.output.note(format!("{waiting}: {advice}"));
    }
    Ok(Coming::of(&job, &calendars, None)?)
}

async fn of_job(context: &Context, name: &str) -> anyhow::Result<Coming> {
    let name: JobName = name
        .parse()
        .map_err(|_| Misuse::error(format!("there is neither a file nor a job {name:?}")))?;
    let broker = context.ask().await?;
    let stored = installation::stored(&broker, &name).await?;
    let job = stored
        .spec
        .clone()
        .with_context(|| format!("read job {name}"))?;
    let around = Around::look(&broker, &[&name]).await?;
    obstacles::tell(&around, context, &job);
    Ok(Coming::of_stored(&broker, &job, &stored, &around).await?)
}

/// The next fire of a job, in a line.
pub(crate) struct Upcoming {
    job: JobName,
    /// Its nominal time; `None`: it has none of its own, or none comes, as while its job is paused.
    pub(crate) at: Option<UnixMs>,
    text: String,
}

impl Upcoming {
    /// When `job` fires next, which is there since then; what stands in its way is said `around` it.
    pub(crate) async fn of(
        broker: &Broker,
        (job, since): (&JobSpec, UnixMs),
        around: &Around,
    ) -> anyhow::Result<Upcoming> {
        let state = fires::state(broker, &job.name).await?;
        let calendars = around.calendars();
        let mut coming = Coming::of(job, calendars, state.as_ref())?;
        coming.begin(job, calendars, since)?;
        coming.meet(around.of(job));
        Ok(Upcoming::told(&job.name, &coming, UnixMs::now()))
    }

    fn told(job: &JobName, coming: &Coming, now: UnixMs) -> Upcoming {
        let pause = coming.obstacles().longest_pause();
        let from = coming.obstacles().fires_after(now);
        let next = from.and_then(|from| coming.fires(from).next());
        let words = coming.spec.words();
        let waits_for = coming.plan.waits_for();
        let waits =
            waits_for.map(|name| format!("waits for calendar {name}, which is not there: {words}"));
        let text = match (&next, waits) {
            (_, Some(waits)) => waits,
            (Some(next), None) => {
                let behind = pause.map_or("", |_| ", the first after a pause");
                let at = coming.plan.local(next.at);
                format!("next {at}{behind}: {words}")
            }
            (None, None) if from.is_none() => {
                let by = pause.map_or("somebody", Pausing::by);
                format!("none while {by} has paused it: {words}")
            }
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

/// In words, and the next times.
pub(super) fn say(fires: &Fires, output: &Output) {
    output.say(format!("fires {}", fires.words));
    table(fires, output);
}

fn table(fires: &Fires, output: &Output) {
    let mut table = Table::new([
        ("local", Align::Left),
        ("utc", Align::Left),
        ("", Align::Left),
    ]);
    for next in &fires.next {
        table.row([next.local.clone(), next.utc.clone(), next.note.clone()]);
    }
    let none = fires.follows.as_deref().unwrap_or(
        "no fires come: all its times are past, or it has had as many as max_fires says",
    );
    output.table(&table, none);
    if let Some(first) = &fires.first {
        output.note(format!("the first that is not taken out: {first}"));
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
mod tests {
    use std::time::Duration;

    use gridloom_planner::prospect::obstacles::Obstacles;
    use gridloom_shared::job::parse::from_value;
    use gridloom_shared::reads::pauses::Paused;
    use gridloom_shared::schedule::Calendars;
    use gridloom_shared::schedule::pause::Pause;
    use serde_json::json;

    use super::*;

    #[test]
    fn paused_job_has_no_next_fire_or_the_first_after_its_pause() {
        let schedule = json!({ "cron": "0 0 6 * * ?", "timezone": "UTC" });
        let job = json!({ "name": "nightly", "handler": "resize", "schedule": schedule });
        let job = from_value(job).unwrap();
        let march = UnixMs(1_772_323_200_000);
        let told = |until: Option<UnixMs>| {
            let paused = Paused {
                job: Some(job.name.clone()),
                pause: Pause {
                    by: "ada".to_owned(),
                    note: "moved".to_owned(),
                    from: None,
                    until,
                    resumed: None,
                },
                written: march,
            };
            let mut coming = Coming::of(&job, &Calendars::new(), None).unwrap();
            coming.meet(Obstacles {
                pauses: vec![Pausing::of(&paused)],
                ..Obstacles::default()
            });
            let upcoming = Upcoming::told(&job.name, &coming, march);
            (upcoming.at.map(UnixMs::rfc3339), upcoming.to_string())
        };
        let (at, words) = told(None);
        assert_eq!(at, None);
        assert!(
            words.starts_with("nightly none while ada has paused it: "),
            "{words}"
        );
        // Two fires are held back.
        let (at, words) = told(Some(march + Duration::from_secs(2 * 86_400)));
        assert_eq!(at.as_deref(), Some("2026-03-03T06:00:00.000Z"));
        assert!(words.contains(", the first after a pause: "), "{words}");
    }

    #[test]
    fn job_that_waits_for_a_calendar_is_told_so() {
        let schedule = json!({ "cron": "0 6 * * *", "except": ["office", "2026-03-02"] });
        let job = json!({ "name": "nightly", "handler": "resize", "schedule": schedule });
        let job = from_value(job).unwrap();
        let coming = Coming::of(&job, &Calendars::new(), None).unwrap();
        let march = UnixMs(1_772_323_200_000);
        let upcoming = Upcoming::told(&job.name, &coming, march).to_string();
        assert!(
            upcoming.starts_with("nightly waits for calendar office, which is not there: "),
            "{upcoming}"
        );
    }
}
