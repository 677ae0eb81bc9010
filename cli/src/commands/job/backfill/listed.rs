//! `job backfills`: how far each has come, and what holds it back.

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{CalendarName, JobName, RunId};
use gridloom_shared::reads::backfills::{self, Listed};
use gridloom_shared::reads::{pauses, planners};
use gridloom_shared::schedule::pause::Pause;
use gridloom_shared::schedule::{Backfill, Calendars};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::super::calendar::users;
use super::super::super::installation;
use super::super::times::plan;
use crate::context::Context;
use crate::output::{Align, Table, counted, grouped};

/// What a backfill waits for that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Held {
    /// Nobody opens anything.
    NoPlanner {
        /// What to do about that.
        reason: String,
    },
    /// All jobs are paused.
    Frozen {
        by: String,
        note: String,
        until: Option<String>,
    },
    /// Nobody knows which of its times are left.
    Calendar { calendar: CalendarName },
    /// Another run of the job is open.
    Run { run: RunId },
}

/// What holds back all that are under way.
#[derive(Clone, Debug, Default)]
struct Brakes {
    nobody: Option<String>,
    frozen: Option<Pause>,
}

/// A backfill, and how it stands.
struct Shown {
    listed: Listed,
    held: Option<Held>,
}

/// Lists the backfills of a job.
pub(in super::super) async fn list(context: &Context, job: &JobName) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let all = shown_of(&broker, job).await?;
    if all.is_empty() {
        installation::check_job(&broker, job).await?;
    }
    let documents: Vec<Value> = all.iter().map(|one| one.document(job)).collect();
    context.output.show(&documents, |output| {
        let mut table = Table::new([
            ("backfill", Align::Left),
            ("state", Align::Left),
            ("from", Align::Left),
            ("to", Align::Left),
            ("times", Align::Right),
            ("opened", Align::Right),
            ("succeeded", Align::Right),
            ("failed", Align::Right),
            ("cancelled", Align::Right),
            ("skipped", Align::Right),
            ("by", Align::Left),
        ]);
        for one in &all {
            table.row(one.cells());
        }
        output.table(&table, "no backfills; begin one with gridloom job backfill");
    });
    Ok(())
}

/// Tells of backfills of a job that are under way.
pub(in super::super) async fn tell(
    context: &Context,
    broker: &Broker,
    job: &JobName,
) -> anyhow::Result<()> {
    for one in shown_of(broker, job).await? {
        let Listed { name, backfill } = &one.listed;
        if backfill.progress.ended.is_none() {
            let (done, state) = (backfill.progress.opened, one.words());
            context.output.note(format!(
                "backfill {name}: {} of {} opened ({state})",
                grouped(done),
                counted(backfill.count, "run")
            ));
        }
    }
    Ok(())
}

async fn shown_of(broker: &Broker, job: &JobName) -> anyhow::Result<Vec<Shown>> {
    let all = backfills::list(broker, job).await?;
    let goes_on = |listed: &Listed| listed.backfill.progress.ended.is_none();
    let brakes = match all.iter().any(goes_on) {
        true => Brakes::look(broker).await?,
        false => Brakes::default(),
    };
    let mut shown = Vec::new();
    for listed in all {
        let missing = match goes_on(&listed) {
            true => missing(broker, &listed.backfill).await?,
            false => None,
        };
        let held = brakes.hold(&listed.backfill, missing);
        shown.push(Shown { listed, held });
    }
    Ok(shown)
}

/// A calendar that its schedule names and that is not there.
async fn missing(broker: &Broker, backfill: &Backfill) -> anyhow::Result<Option<CalendarName>> {
    let known = users::known_to(broker, &backfill.spec).await?;
    let mut named = backfill.spec.calendars();
    Ok(named
        .find(|name| !known.contains_key(name.as_str()))
        .cloned())
}

impl Brakes {
    async fn look(broker: &Broker) -> anyhow::Result<Brakes> {
        let here = planners::roll_call(broker).await.unwrap_or_default();
        let leads = here.iter().any(|planner| planner.term.is_some());
        let mut pauses = pauses::list(broker).await?.into_iter();
        Ok(Brakes {
            nobody: match leads {
                true => None,
                false => Some(installation::nobody_leads(broker).await),
            },
            frozen: pauses
                .find(|paused| paused.job.is_none())
                .map(|paused| paused.pause),
        })
    }

    /// What holds a backfill back, the first reason first.
    fn hold(&self, backfill: &Backfill, missing: Option<CalendarName>) -> Option<Held> {
        let progress = &backfill.progress;
        if progress.ended.is_some() {
            return None;
        }
        if let Some(reason) = self.nobody.clone() {
            return Some(Held::NoPlanner { reason });
        }
        if let Some(pause) = &self.frozen {
            let until = pause.until.map(UnixMs::rfc3339);
            let (by, note) = (pause.by.clone(), pause.note.clone());
            return Some(Held::Frozen { by, note, until });
        }
        let missing = missing.map(|calendar| Held::Calendar { calendar });
        missing.or_else(|| progress.behind.clone().map(|run| Held::Run { run }))
    }
}

impl Held {
    fn words(&self) -> String {
        match self {
            Held::NoPlanner { reason } => format!("waits: {reason}"),
            Held::Frozen { by, note, until } => {
                let until = until.as_ref().map(|until| format!(" until {until}"));
                let until = until.unwrap_or_default();
                format!("waits: {by} has paused all jobs{until}: {note}")
            }
            Held::Calendar { calendar } => {
                format!("waits for calendar {calendar}, which is not there")
            }
            Held::Run { run } => format!("waits for {run}"),
        }
    }
}

impl Shown {
    /// How it stands, and what it waits for.
    fn words(&self) -> String {
        let (backfill, progress) = (&self.listed.backfill, &self.listed.backfill.progress);
        let open = match progress.running.len() as u64 {
            0 => String::new(),
            open => format!(", {} open", grouped(open)),
        };
        match (progress.ended, &backfill.cancelled, &self.held) {
            (Some(ended), ..) => format!("{}{open}", ended.why.as_str()),
            (None, Some(_), _) => format!("cancelled{open}"),
            (None, None, Some(held)) => format!("{}{open}", held.words()),
            (None, None, None) => format!("runs{open}"),
        }
    }

    fn cells(&self) -> [String; 11] {
        let Listed { name, backfill } = &self.listed;
        let progress = &backfill.progress;
        let clocks = plan(&backfill.spec, "", &Calendars::new(), None).ok();
        // By the clocks of its zone, as such times are typed.
        let at = |at: UnixMs| match &clocks {
            Some(clocks) => clocks.local(at),
            None => at.rfc3339(),
        };
        [
            name.to_string(),
            self.words(),
            at(backfill.from),
            at(backfill.to),
            grouped(backfill.count),
            grouped(progress.opened),
            grouped(progress.succeeded),
            grouped(progress.failed),
            grouped(progress.cancelled),
            grouped(progress.skipped),
            backfill.by.clone(),
        ]
    }

    fn document(&self, job: &JobName) -> Value {
        let Listed { name, backfill } = &self.listed;
        let progress = &backfill.progress;
        let running: Vec<String> = progress.running.iter().map(|at| at.rfc3339()).collect();
        let waits_for = match &self.held {
            Some(Held::Run { run }) => Some(run),
            _ => None,
        };
        json!({
            "job": job,
            "backfill": name,
            "state": match (progress.ended, &backfill.cancelled, &self.held) {
                (Some(ended), ..) => ended.why.as_str(),
                (None, Some(_), _) => "cancelled",
                (None, None, Some(_)) => "waiting",
                (None, None, None) => "running",
            },
            "held": self.held,
            "from": backfill.from.rfc3339(),
            "to": backfill.to.rfc3339(),
            "overlap": backfill.overlap.as_str(),
            "concurrency": backfill.concurrency,
            "count": backfill.count,
            "opened": progress.opened,
            "succeeded": progress.succeeded,
            "failed": progress.failed,
            "cancelled": progress.cancelled,
            "excluded": progress.excluded,
            "skipped": progress.skipped,
            "running": running,
            "waits_for": waits_for,
            "by": backfill.by,
            "asked_at": backfill.asked_at.rfc3339(),
            "ended_at": progress.ended.map(|ended| ended.at.rfc3339()),
            "cancelled_by": backfill.cancelled,
        })
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::schedule::backfill::{Ended, EndedBy, Progress};
    use gridloom_shared::schedule::{BackfillName, ByHand, Spec};

    use super::*;

    /// 2026-03-01 06:00 UTC.
    const SIX: UnixMs = UnixMs(1_772_344_800_000);

    fn shown(brakes: &Brakes, progress: Progress, missing: Option<&str>) -> Shown {
        let spec = json!({ "cron": "0 6 * * *", "timezone": "Europe/Berlin" });
        let backfill = Backfill {
            by: "ada".to_owned(),
            asked_at: SIX,
            spec: Spec::try_from(spec).unwrap(),
            anchor: SIX,
            from: SIX,
            to: SIX,
            overlap: ByHand::Allow,
            concurrency: 1,
            count: 7,
            cancelled: None,
            progress,
        };
        let missing = missing.map(|name| CalendarName::new(name).unwrap());
        let held = brakes.hold(&backfill, missing);
        let name = BackfillName::new("b1").unwrap();
        Shown {
            listed: Listed { name, backfill },
            held,
        }
    }

    /// None, a pause of all jobs, and no planner.
    fn brakes() -> [Brakes; 3] {
        let free = Brakes::default();
        let (mut frozen, mut nobody) = (free.clone(), free.clone());
        frozen.frozen = Some(Pause {
            by: "bob".to_owned(),
            note: "incident".to_owned(),
            from: None,
            until: None,
            resumed: None,
        });
        nobody.nobody = Some("no planner answers".to_owned());
        [free, frozen, nobody]
    }

    #[test]
    fn what_holds_a_backfill_back_is_told_in_words_and_fields() {
        let job = JobName::new("nightly").unwrap();
        let told = |brakes: &Brakes, behind: Option<&str>, missing| {
            let behind = behind.map(|run| RunId::new(run).unwrap());
            let progress = Progress {
                behind,
                running: vec![SIX],
                ..Progress::default()
            };
            let one = shown(brakes, progress, missing);
            let document = one.document(&job);
            (
                one.words(),
                document["state"].clone(),
                document["held"]["kind"].clone(),
            )
        };
        let [free, frozen, nobody] = brakes();
        assert_eq!(
            told(&free, None, None),
            ("runs, 1 open".to_owned(), json!("running"), Value::Null)
        );
        for (brakes, behind, missing, words, kind) in [
            (
                &nobody,
                None,
                None,
                "waits: no planner answers, 1 open",
                "no_planner",
            ),
            (
                &frozen,
                None,
                None,
                "waits: bob has paused all jobs: incident, 1 open",
                "frozen",
            ),
            (
                &free,
                None,
                Some("office"),
                "waits for calendar office, which is not there, 1 open",
                "calendar",
            ),
            (
                &free,
                Some("nightly_s_1"),
                None,
                "waits for nightly_s_1, 1 open",
                "run",
            ),
        ] {
            let wanted = (words.to_owned(), json!("waiting"), json!(kind));
            assert_eq!(told(brakes, behind, missing), wanted);
        }
        let ended = Progress {
            ended: Some(Ended {
                at: SIX,
                why: EndedBy::Done,
            }),
            ..Progress::default()
        };
        assert_eq!(shown(&nobody, ended, None).words(), "done");
    }

    #[test]
    fn what_was_cancelled_did_not_fail_and_times_are_by_the_clocks_of_the_job() {
        let progress = Progress {
            failed: 1,
            cancelled: 1_200,
            ..Progress::default()
        };
        let cells = shown(&Brakes::default(), progress, None).cells();
        assert_eq!((cells[7].as_str(), cells[8].as_str()), ("1", "1,200"));
        assert_eq!(cells[2], "Sun 2026-03-01 07:00:00 +01:00");
    }
}
