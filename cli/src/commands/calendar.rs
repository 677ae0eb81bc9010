//! `gridloom calendar`: named days and times that schedules are bound to or kept off, in the state bucket.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`effect`] | what a change of a calendar does to the jobs that name it |
//! | [`users`] | which jobs name a calendar, and which of them wait for one |

use std::path::{Path, PathBuf};

use gridloom_shared::broker::Broker;
use gridloom_shared::id::CalendarName;
use gridloom_shared::reads::calendars;
use gridloom_shared::reads::jobs;
use gridloom_shared::schedule::Calendar;
use gridloom_shared::{chain, suggest};
use serde::Serialize;
use serde_json::json;

use super::job::Change;
use super::revision::{self, Answer, Stands};
use super::{files, log};
use crate::args::{ApplyCalendars, CalendarOrder, DeleteCalendar};
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Align, Output, Table};
use effect::Effects;

mod effect;
pub(super) mod users;

/// So often somebody else may write first.
const ROUNDS: usize = 10;

#[derive(Serialize)]
struct Applied {
    calendar: CalendarName,
    change: Change,
    dry_run: bool,
    revision: u64,
    covers: String,
    /// What may be meant, and often is not.
    warnings: Vec<String>,
    #[serde(flatten)]
    effects: Effects,
}

/// Does what `gridloom calendar ...` says.
///
/// # Errors
/// When a file has faults, there is no such calendar, or the broker does not answer.
pub async fn run(context: &Context, order: CalendarOrder) -> anyhow::Result<Verdict> {
    match order {
        CalendarOrder::Apply(args) => apply(context, &args).await?,
        CalendarOrder::List => list(context).await?,
        CalendarOrder::Show { calendar } => show(context, &calendar).await?,
        CalendarOrder::Delete(args) => delete(context, &args).await?,
    }
    Ok(Verdict::Fine)
}

async fn apply(context: &Context, args: &ApplyCalendars) -> anyhow::Result<()> {
    let all = read_all(context, &args.files)?;
    if args.if_revision.is_some() && all.len() > 1 {
        return Err(Misuse::error(
            "--if-revision is about one calendar: name one file",
        ));
    }
    let broker = context.ask().await?;
    let mut told = Vec::new();
    for (name, calendar) in all {
        let applied = put(&broker, name, calendar, args).await;
        told.push(applied.map_err(|error| revision::told(context, Answer::Listed, error))?);
    }
    for (applied, warning) in told.iter().flat_map(|applied| {
        applied
            .warnings
            .iter()
            .map(move |warning| (applied, warning))
    }) {
        let name = &applied.calendar;
        context
            .output
            .note(format!("calendar {name}: warning: {warning}"));
    }
    context.output.show(&told, |output| {
        for applied in &told {
            applied.tell(output);
        }
    });
    Ok(())
}

async fn put(
    broker: &Broker,
    name: CalendarName,
    calendar: Calendar,
    args: &ApplyCalendars,
) -> anyhow::Result<Applied> {
    for _ in 0..ROUNDS {
        let seen = calendars::see(broker, &name).await?;
        Stands::calendar(name.as_str(), &seen).check(args.if_revision)?;
        let change = match seen.kept() {
            Some(kept) if *kept.calendar() == calendar => Change::Unchanged,
            // Also nonsense is changed.
            _ if seen.stored.is_some() => Change::Changed,
            _ => Change::Created,
        };
        let mut revision = seen.revision();
        let effects = Effects::of(broker, &name, &seen, &calendar).await?;
        if change != Change::Unchanged && !args.dry_run {
            log::mention(broker, "calendar apply", name.as_str(), "").await;
            revision = match calendars::put(broker, &seen, calendar.clone()).await {
                Ok(revision) => revision,
                // What is there now is looked at again: it may be what was expected no more.
                Err(error) if error.is_conflict() => continue,
                Err(error) => return Err(error.into()),
            };
        }
        return Ok(Applied {
            change,
            dry_run: args.dry_run,
            revision,
            covers: calendar.words(),
            warnings: calendar
                .warnings()
                .iter()
                .map(ToString::to_string)
                .collect(),
            effects,
            calendar: name,
        });
    }
    anyhow::bail!("write calendar {name}: others write it all the time; try again")
}

impl Applied {
    fn tell(&self, output: &Output) {
        let (name, revision) = (&self.calendar, self.revision);
        output.say(match (self.dry_run, self.change) {
            (_, Change::Unchanged) => format!("calendar {name} unchanged (revision {revision})"),
            (false, Change::Created) => format!(
                "calendar {name} created (revision {revision}, counted over all that is kept beside it)"
            ),
            (false, Change::Changed) => format!("calendar {name} changed (revision {revision})"),
            (true, Change::Created) => format!("calendar {name} would be created"),
            (true, Change::Changed) => format!("calendar {name} would be changed"),
        });
        output.say(format!("covers {}", self.covers));
        self.effects.tell(output);
    }
}

/// Reads all files before any is applied, and names every fault of every file.
fn read_all(context: &Context, files: &[PathBuf]) -> anyhow::Result<Vec<(CalendarName, Calendar)>> {
    let mut all: Vec<(CalendarName, Calendar)> = Vec::new();
    let mut faults = Vec::new();
    let mut faulty = 0;
    for path in files {
        let (file, before) = (path.display(), faults.len());
        match read(path) {
            Ok((name, _)) if all.iter().any(|(other, _)| *other == name) => faults.push(format!(
                "{file}: name: another of these files defines calendar {name} too"
            )),
            Ok(read) => all.push(read),
            Err(found) => faults.extend(found.into_iter().map(|fault| format!("{file}: {fault}"))),
        }
        faulty += usize::from(faults.len() > before);
    }
    match faults.is_empty() {
        true => Ok(all),
        false => Err(files::refused(context, faults, (faulty, files.len()))),
    }
}

fn read(path: &Path) -> Result<(CalendarName, Calendar), Vec<String>> {
    let (text, format) = files::read(path).map_err(|fault| vec![fault])?;
    let calendar = Calendar::parse(&text, format);
    let calendar = calendar
        .map_err(|faults| -> Vec<String> { faults.0.iter().map(ToString::to_string).collect() })?;
    match calendar.name() {
        Some(name) => Ok((name.clone(), calendar.clone())),
        None => Err(vec!["name: schedules name a calendar by it".to_owned()]),
    }
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let stored = calendars::list(&broker).await?;
    let jobs = jobs::list(&broker).await?;
    let mut all = Vec::new();
    for calendar in &stored {
        let Ok(kept) = &calendar.kept else { continue };
        all.push(json!({
            "calendar": calendar.name,
            "covers": kept.calendar().words(),
            "since": kept.since().rfc3339(),
            "revision": calendar.revision,
            "jobs": users::of(&jobs, &calendar.name),
        }));
    }
    context.output.show(&all, |output| {
        let mut table = Table::new([
            ("calendar", Align::Left),
            ("covers", Align::Left),
            ("since", Align::Left),
            ("jobs", Align::Right),
        ]);
        for calendar in &stored {
            let Ok(kept) = &calendar.kept else { continue };
            table.row([
                calendar.name.clone(),
                kept.calendar().words(),
                kept.since().rfc3339(),
                users::of(&jobs, &calendar.name).len().to_string(),
            ]);
        }
        let none = "no calendars yet; define one with gridloom calendar apply FILE";
        output.table(&table, none);
    });
    for calendar in &stored {
        if let Err(error) = &calendar.kept {
            context.output.note(format!(
                "calendar {} cannot be read: {}",
                calendar.name,
                chain(error)
            ));
        }
    }
    users::tell_waiting(context, &broker, &jobs).await
}

async fn show(context: &Context, name: &CalendarName) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let seen = calendars::see(&broker, name).await?;
    let Some(stored) = &seen.stored else {
        return Err(no_such(&broker, name).await);
    };
    let kept = match &stored.kept {
        Ok(kept) => kept,
        Err(error) => {
            return Err(Misuse::error(format!(
                "calendar {name} cannot be read: {}; apply it again",
                chain(error)
            )));
        }
    };
    let users = users::of(&jobs::list(&broker).await?, name.as_str());
    let before = kept.before().iter().map(|earlier| {
        json!({ "since": earlier.since.rfc3339(), "calendar": earlier.calendar, "covers": earlier.calendar.words() })
    });
    let document = json!({
        "calendar": kept.calendar(),
        "covers": kept.calendar().words(),
        "since": kept.since().rfc3339(),
        "revision": stored.revision,
        "jobs": users,
        "before": before.collect::<Vec<_>>(),
    });
    context.output.show(&document, |output| {
        let text = kept.calendar().to_toml().unwrap_or_default();
        output.say(text.trim_end());
        let (since, revision) = (kept.since().rfc3339(), stored.revision);
        output.note(format!(
            "covers {}, since {since} (revision {revision})",
            kept.calendar().words()
        ));
        for earlier in kept.before() {
            let (since, words) = (earlier.since.rfc3339(), earlier.calendar.words());
            output.note(format!("before that, since {since}: {words}"));
        }
        output.note(match users.is_empty() {
            true => "no job names it".to_owned(),
            false => format!("named by {}", users.join(", ")),
        });
    });
    Ok(())
}

async fn delete(context: &Context, args: &DeleteCalendar) -> anyhow::Result<()> {
    let (broker, name) = (context.ask().await?, &args.calendar);
    let users = users::of(&jobs::list(&broker).await?, name.as_str());
    if !users.is_empty() && !args.force {
        return Err(Misuse::error(format!(
            "{} {name}: {}; without it their schedules wait; apply them without it first, or say --force",
            match users.len() {
                1 => "a job names calendar".to_owned(),
                many => format!("{many} jobs name calendar"),
            },
            users.join(", ")
        )));
    }
    remove(context, &broker, args).await?;
    let document = json!({ "calendar": name, "deleted": true, "jobs": users });
    context.output.show(&document, |output| {
        output.say(format!("calendar {name} deleted"));
        if !users.is_empty() {
            let users = users.join(", ");
            output.note(format!(
                "until it is applied again nothing is decided of the fires of {users}"
            ));
        }
    });
    Ok(())
}

/// Deletes what is there, or what was expected to be.
async fn remove(context: &Context, broker: &Broker, args: &DeleteCalendar) -> anyhow::Result<()> {
    let name = &args.calendar;
    for _ in 0..ROUNDS {
        let seen = calendars::see(broker, name).await?;
        let checked = Stands::calendar(name.as_str(), &seen).check(args.if_revision);
        checked.map_err(|conflict| revision::told(context, Answer::Alone, conflict.into()))?;
        if seen.stored.is_none() {
            return Err(no_such(broker, name).await);
        }
        log::mention(broker, "calendar delete", name.as_str(), "").await;
        match calendars::delete(broker, &seen).await {
            Err(error) if error.is_conflict() => {}
            done => return Ok(done?),
        }
    }
    anyhow::bail!("delete calendar {name}: others write it all the time; try again")
}

async fn no_such(broker: &Broker, name: &CalendarName) -> anyhow::Error {
    let known = calendars::list(broker).await.unwrap_or_default();
    let names = known.iter().map(|calendar| calendar.name.as_str());
    let hint = suggest::hint(name.as_str(), names);
    let advice = match (known.is_empty(), hint.is_empty()) {
        (true, _) => {
            "; there are no calendars yet: define one with gridloom calendar apply FILE".to_owned()
        }
        (false, true) => "; gridloom calendar list shows those that are there".to_owned(),
        (false, false) => hint,
    };
    let namespace = broker.subjects().namespace();
    Misuse::error(format!(
        "there is no calendar {:?} in namespace {namespace}{advice}",
        name.as_str()
    ))
}
