//! What a change of a calendar does to the jobs that name it: which of their next times are taken out by it, and which
//! fire again.

use std::sync::Arc;

use gridloom_planner::prospect::obstacles::Around;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::CalendarName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::calendars::Seen;
use gridloom_shared::reads::{fires, jobs};
use gridloom_shared::schedule::{Calendar, Calendars, Days, Kept, Plan, Spec};
use serde::Serialize;

use super::users;
use crate::output::{Output, counted, grouped};

/// So many of a job's next times are compared.
const LOOKED_AT: usize = 500;
/// Of so many jobs.
const JOBS: usize = 100;
/// So many times are told.
const TOLD: usize = 3;

/// What changes for the jobs that name a calendar.
#[derive(Serialize)]
pub(super) struct Effects {
    jobs: Vec<Effect>,
    /// Jobs that name it, and were not looked at.
    more_jobs: usize,
}

/// What changes for a job.
#[derive(Serialize)]
struct Effect {
    job: String,
    /// Its schedule waited for the calendar.
    waited: bool,
    /// Another calendar that it still waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<CalendarName>,
    /// How many of its next times were compared.
    compared: usize,
    /// Those that fired before and are taken out.
    taken_out: Vec<String>,
    /// Those that were taken out before and fire.
    given_back: Vec<String>,
    /// Its next fire.
    next: Option<String>,
    /// Whether it has none until somebody resumes it.
    paused: bool,
}

impl Effects {
    /// What follows when the calendar says this.
    pub(super) async fn of(
        broker: &Broker,
        name: &CalendarName,
        seen: &Seen,
        calendar: &Calendar,
    ) -> anyhow::Result<Effects> {
        let (all, around) = (jobs::list(broker).await?, Around::look(broker, &[]).await?);
        let before = around.calendars();
        let now = UnixMs::now();
        let kept = match seen.kept() {
            Some(kept) => kept.then(calendar.clone(), now),
            None => Kept::always(calendar.clone()),
        };
        let mut after = before.clone();
        after.insert(name.to_string(), Arc::new(kept));
        let mut effects = Vec::new();
        let mut more_jobs = 0;
        for job in users::naming(&all, name.as_str()) {
            if effects.len() == JOBS {
                more_jobs += 1;
                continue;
            }
            let state = fires::state(broker, &job.name).await?;
            let anchor = state.filter(|state| state.spec.is_some());
            let anchor = anchor.map_or(now, |state| state.anchor);
            let times = (now, around.of(job).fires_after(now));
            effects.extend(Effect::of((job, name), [before, &after], anchor, times));
        }
        Ok(Effects {
            jobs: effects,
            more_jobs,
        })
    }

    pub(super) fn tell(&self, output: &Output) {
        if self.jobs.is_empty() {
            output.note("no job names it yet: say only or except in a [schedule]");
        }
        for effect in &self.jobs {
            output.say(effect.words());
        }
        if self.more_jobs > 0 {
            let more = counted(self.more_jobs as u64, "more job");
            output.note(format!("{more} name it"));
        }
    }
}

impl Effect {
    fn of(
        (job, name): (&JobSpec, &CalendarName),
        calendars: [&Calendars; 2],
        anchor: UnixMs,
        (now, fires_after): (UnixMs, Option<UnixMs>),
    ) -> Option<Effect> {
        let spec = Spec::try_from(job.schedule.clone()?).ok()?;
        let plan = |calendars| Plan::in_force(&spec, job.name.as_str(), calendars, anchor).ok();
        let [before, after] = [plan(calendars[0])?, plan(calendars[1])?];
        let waited = before.waits_for().is_some();
        // Where nothing was known before, what others take out is not this one's doing.
        let in_only = spec.only.contains(&Days::Calendar(name.clone()));
        let by_it = |by: &String| by == name.as_str() || in_only && by.starts_with("only ");
        let (mut taken_out, mut given_back) = (Vec::new(), Vec::new());
        let pairs = before
            .nominals_after(now)
            .zip(after.nominals_after(now))
            .take(LOOKED_AT);
        let mut compared = 0;
        for (was, is) in pairs {
            compared += 1;
            let shown = || after.shown(&is).local;
            let is_out = match waited {
                true => is.excluded.as_ref().is_some_and(by_it),
                false => is.excluded.is_some(),
            };
            match (was.excluded.is_some() && !waited, is_out) {
                (false, true) => taken_out.push(shown()),
                (true, false) => given_back.push(shown()),
                _ => {}
            }
        }
        let next = fires_after.and_then(|from| match after.after() {
            None => after.next_fire_after(from),
            // Which run ended last does not matter for what calendars bar.
            Some(_) => after.following(Some(from)),
        });
        Some(Effect {
            job: job.name.to_string(),
            waited,
            waits_for: after.waits_for().cloned(),
            compared,
            taken_out,
            given_back,
            next: next.map(|next| after.shown(&next).local),
            paused: fires_after.is_none(),
        })
    }

    fn words(&self) -> String {
        let mut parts = Vec::new();
        if let Some(other) = &self.waits_for {
            parts.push(format!("waits for calendar {other}, which is not there"));
        } else if self.waited {
            parts.push("waited for it".to_owned());
        }
        if self.waits_for.is_none() {
            let of = grouped(self.compared as u64);
            let mut say = |times: &[String], what: &str| {
                if !times.is_empty() {
                    let number = grouped(times.len() as u64);
                    let told = told(times);
                    parts.push(format!("{number} of its next {of} times {what}: {told}"));
                }
            };
            say(&self.taken_out, "are taken out");
            say(&self.given_back, "fire again");
            if parts.is_empty() {
                parts.push("nothing changes".to_owned());
            }
            parts.push(match &self.next {
                Some(next) => format!("fires next at {next}"),
                None if self.paused => {
                    "is paused, and fires nothing until it is resumed".to_owned()
                }
                None => "never fires, as far as can be foreseen".to_owned(),
            });
        }
        format!("job {}: {}", self.job, parts.join("; "))
    }
}

fn told(times: &[String]) -> String {
    let mut told = times[..times.len().min(TOLD)].join(", ");
    if times.len() > TOLD {
        told.push_str(", ...");
    }
    told
}

#[cfg(test)]
mod tests {
    use gridloom_shared::job::parse::from_value;
    use serde_json::json;

    use super::*;

    #[test]
    fn calendar_that_comes_back_counts_its_own_days_alone() {
        // 2026-03-01, a Sunday.
        let now = UnixMs(1_772_323_200_000);
        let job = json!({
            "name": "nightly", "handler": "resize",
            "schedule": { "cron": "0 6 * * *", "end": "2026-03-10T12:00:00Z", "except": ["holidays", "2026-03-03"] },
        });
        let job = from_value(job).unwrap();
        let calendar = json!({ "name": "holidays", "timezone": "UTC", "dates": ["2026-03-05"] });
        let calendar = Calendar::try_from(calendar).unwrap();
        let kept = Arc::new(Kept::always(calendar));
        let after = Calendars::from([("holidays".to_owned(), kept)]);
        let name = CalendarName::new("holidays").unwrap();
        let known = [&Calendars::new(), &after];
        let effect = Effect::of((&job, &name), known, now, (now, Some(now))).unwrap();
        assert!(effect.waited);
        assert_eq!(effect.taken_out, ["Thu 2026-03-05 06:00:00 +00:00"]);
        assert!(effect.words().contains("fires next at Sun 2026-03-01"));
        let effect = Effect::of((&job, &name), known, now, (now, None)).unwrap();
        assert!(
            effect
                .words()
                .ends_with("fires nothing until it is resumed")
        );
    }
}
