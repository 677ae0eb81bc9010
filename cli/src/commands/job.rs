//! `gridloom job`: definitions of jobs, in their bucket.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::id::JobName;
use gridloom_shared::job::handlers::{self, Said};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::job::{GridSpec, JobSpec, PagesSpec};
use gridloom_shared::reads::jobs;
use gridloom_shared::wire;
use serde::Serialize;

use super::installation;
use crate::args::Job;
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Align, Table, counted, grouped};

mod backfill;
mod clock;
mod late;
mod pause;
mod times;

/// What `apply` did with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    Created,
    Changed,
    Unchanged,
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Change::Created => "created",
            Change::Changed => "changed",
            Change::Unchanged => "unchanged",
        }
    }
}

#[derive(Serialize)]
struct Applied<'a> {
    job: &'a JobName,
    change: Change,
}

/// Does what `gridloom job ...` says.
///
/// # Errors
/// When a file has faults, there is no such job, or the broker does not answer.
pub async fn run(context: &Context, order: Job) -> anyhow::Result<Verdict> {
    match order {
        Job::Apply { files } => apply(context, &files).await?,
        Job::List => list(context).await?,
        Job::Show { job } => show(context, &job).await?,
        Job::Next(args) => clock::next(context, &args).await?,
        Job::Fires(args) => clock::list(context, &args).await?,
        Job::Why(args) => clock::why(context, &args).await?,
        Job::Pause(args) => pause::pause(context, &args).await?,
        Job::Resume(args) => pause::resume(context, &args).await?,
        Job::Backfill(args) => return backfill::begin(context, &args).await,
        Job::Backfills { job } => backfill::list(context, &job).await?,
        Job::Delete { job } => delete(context, &job).await?,
    }
    Ok(Verdict::Fine)
}

async fn apply(context: &Context, files: &[PathBuf]) -> anyhow::Result<()> {
    let specs = read_all(context, files)?;
    let broker = context.ask().await?;
    let mut all = Vec::new();
    for spec in specs.values() {
        let change = put(&broker, spec).await?;
        all.push(Applied {
            job: &spec.name,
            change,
        });
    }
    context.output.show(&all, |output| {
        for applied in &all {
            output.say(format!("job {} {}", applied.job, applied.change.word()));
        }
        if let [only] = all.as_slice() {
            output.note(format!(
                "start a run of it: gridloom run {} --wait",
                only.job
            ));
        }
    });
    if !context.output.is_json() {
        for spec in specs.values().filter(|spec| spec.schedule.is_some()) {
            if specs.len() > 1 {
                context.output.say(format!("job {}", spec.name));
            }
            clock::announce(&context.output, &broker, spec).await?;
        }
    }
    Ok(())
}

/// Defines the job, or changes it.
pub(crate) async fn put(broker: &Broker, spec: &JobSpec) -> anyhow::Result<Change> {
    let bucket = broker.jobs();
    let key = spec.name.as_str();
    let there = bucket.get_of_leader(key).await?;
    let change = match there.and_then(|entry| entry.value) {
        None => Change::Created,
        Some(bytes) if wire::decode::<JobSpec>(&bytes).as_ref() == Ok(spec) => Change::Unchanged,
        Some(_) => Change::Changed,
    };
    if change != Change::Unchanged {
        bucket.put(key, wire::encode(spec)).await?;
    }
    Ok(change)
}

/// Reads all files before any is applied, and names every fault of every file, and what may be one.
fn read_all(context: &Context, files: &[PathBuf]) -> anyhow::Result<BTreeMap<JobName, JobSpec>> {
    let mut specs = BTreeMap::new();
    let mut faults = Vec::new();
    for path in files {
        match read(path) {
            Ok(spec) => {
                let name = spec.name.clone();
                for warning in handlers::check(Said::by_job(&spec)).warnings {
                    let file = path.display();
                    context.output.note(format!("{file}: warning: {warning}"));
                }
                if specs.insert(name.clone(), spec).is_some() {
                    faults.push(format!(
                        "{}: name: another of these files defines job {name} too",
                        path.display()
                    ));
                }
            }
            Err(found) => faults.extend(
                found
                    .into_iter()
                    .map(|fault| format!("{}: {fault}", path.display())),
            ),
        }
    }
    if faults.is_empty() {
        return Ok(specs);
    }
    for fault in &faults {
        context.output.note(fault);
    }
    let of = counted(files.len() as u64, "file");
    Err(Misuse::error(format!(
        "{} in {of}; nothing was applied",
        counted(faults.len() as u64, "mistake")
    )))
}

fn read(path: &Path) -> Result<JobSpec, Vec<String>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![format!("cannot be read: {}", chain(&error))])?;
    let json = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    };
    let format = if json { Format::Json } else { Format::Toml };
    parse::parse(&text, format).map_err(|faults| faults.0.iter().map(ToString::to_string).collect())
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let stored = jobs::list(&broker).await?;
    let documents: Vec<_> = stored
        .iter()
        .filter_map(|job| job.spec.as_ref().ok())
        .map(parse::to_value)
        .collect();
    context.output.show(&documents, |output| {
        let mut table = Table::new([
            ("job", Align::Left),
            ("handler", Align::Left),
            ("queue", Align::Left),
            ("slices", Align::Right),
            ("pages", Align::Left),
            ("attempts", Align::Right),
            ("fires", Align::Left),
        ]);
        for spec in stored.iter().filter_map(|job| job.spec.as_ref().ok()) {
            table.row([
                spec.name.to_string(),
                spec.handler.to_string(),
                spec.queue.to_string(),
                grouped(spec.grid.slices.into()),
                pages(&spec.grid),
                spec.retry.max_attempts.to_string(),
                clock::words(spec),
            ]);
        }
        output.table(
            &table,
            "no jobs yet; define one with gridloom job apply FILE",
        );
    });
    for job in &stored {
        if let Err(error) = &job.spec {
            context
                .output
                .note(format!("job {} cannot be read: {}", job.name, chain(error)));
        }
    }
    pause::tell(context, &broker, None).await
}

fn pages(grid: &GridSpec) -> String {
    match &grid.pages {
        PagesSpec::Count { count } => format!("{} each", grouped((*count).into())),
        PagesSpec::Rows { page_size, .. } => {
            let all = grid.shards().map_or_else(|| "many".to_owned(), grouped);
            format!("{all} in all, of {}", counted(*page_size, "row"))
        }
        PagesSpec::Probe => "probed".to_owned(),
    }
}

async fn show(context: &Context, name: &JobName) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let spec = installation::job(&broker, name).await?;
    let document = parse::to_value(&spec);
    context
        .output
        .show(&document, |output| match parse::to_toml(&spec) {
            Some(text) => output.say(text.trim_end()),
            // Parameters that TOML cannot say.
            None => output.document(&document),
        });
    backfill::tell(context, &broker, name).await?;
    late::tell(context, &broker, name).await;
    pause::tell(context, &broker, Some(name)).await
}

async fn delete(context: &Context, name: &JobName) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    // A definition that this build cannot read can be deleted all the same.
    if !jobs::list(&broker)
        .await?
        .iter()
        .any(|job| job.name == name.as_str())
    {
        return Err(installation::no_such_job(&broker, name).await);
    }
    broker.jobs().delete(name.as_str(), None).await?;
    context.output.show(
        &serde_json::json!({ "job": name, "deleted": true }),
        |output| {
            output.say(format!("job {name} deleted; its runs stay"));
        },
    );
    Ok(())
}
