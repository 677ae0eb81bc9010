//! `gridloom job`: definitions of jobs, in their bucket, and their fires.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`mod@apply`], [`mod@delete`] | changes definitions, each over what was seen |
//! | [`compare`] | the fires of two schedules, side by side |
//! | [`clock`] | when a job fires next |
//! | [`fires`], [`mod@why`] | what was decided of its fires |
//! | [`stopped`] | that nothing is decided of them any more |
//! | [`backfill`] | nominal times that are run again |
//! | [`obstacles`] | what stands in the way of its fires |
//! | [`mod@pause`] | that nothing fires for a while |
//! | [`times`] | the times that people type |
//! | [`mod@warnings`] | what is warned of in a job that is applied |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::job::parse;
use gridloom_shared::job::{GridSpec, JobSpec, PagesSpec};
use gridloom_shared::reads::jobs;
use serde_json::{Value, json};

use super::calendar::users;
use super::{files, installation};
use crate::args::Job;
use crate::context::Context;
use crate::fault::Verdict;
use crate::output::{Align, Table, counted, grouped};

mod apply;
mod backfill;
mod clock;
mod compare;
mod delete;
mod fires;
mod obstacles;
mod pause;
mod stopped;
mod times;
mod warnings;
mod why;

pub(crate) use apply::{Change, put};
pub(crate) use clock::Upcoming;
pub(super) use pause::{pause_in_words, resume_in_words};

/// Does what `gridloom job ...` says.
///
/// # Errors
/// When a file has faults, there is no such job, or the broker does not answer.
pub async fn run(context: &Context, order: Job) -> anyhow::Result<Verdict> {
    match order {
        Job::Apply(args) => apply::apply(context, &args).await?,
        Job::List => list(context).await?,
        Job::Show { job } => show(context, &job).await?,
        Job::Next(args) => clock::next(context, &args).await?,
        Job::Fires(args) => fires::list(context, &args).await?,
        Job::Why(args) => why::why(context, &args).await?,
        Job::Pause(args) => pause::pause(context, &args).await?,
        Job::Resume(args) => pause::resume(context, &args).await?,
        Job::Backfill(args) => return backfill::begin(context, &args).await,
        Job::Backfills { job } => backfill::list(context, &job).await?,
        Job::Delete(args) => delete::delete(context, &args).await?,
    }
    Ok(Verdict::Fine)
}

/// Reads all files before any is applied, and names every fault of every file.
fn read_all(context: &Context, files: &[PathBuf]) -> anyhow::Result<BTreeMap<JobName, JobSpec>> {
    let mut specs = BTreeMap::new();
    let mut faults = Vec::new();
    let mut faulty = 0;
    for path in files {
        let before = faults.len();
        match read(path) {
            Ok(spec) => {
                let name = spec.name.clone();
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
        faulty += usize::from(faults.len() > before);
    }
    match faults.is_empty() {
        true => Ok(specs),
        false => Err(files::refused(context, faults, (faulty, files.len()))),
    }
}

fn read(path: &Path) -> Result<JobSpec, Vec<String>> {
    let (text, format) = files::read(path).map_err(|fault| vec![fault])?;
    parse::parse(&text, format).map_err(|faults| faults.0.iter().map(ToString::to_string).collect())
}

async fn list(context: &Context) -> anyhow::Result<()> {
    let broker = context.ask().await?;
    let stored = jobs::list(&broker).await?;
    let around = obstacles::Around::look(&broker, &[]).await?;
    let documents: Vec<_> = stored
        .iter()
        .filter_map(|job| {
            let spec = job.spec.as_ref().ok()?;
            let mut document = documented(spec, job.revision, job.applied_at);
            document["obstacles"] = json!(around.of(spec));
            Some(document)
        })
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
    users::tell_waiting(context, &broker, &stored).await?;
    pause::tell(context, &broker).await
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
    let stored = installation::stored(&broker, name).await?;
    let (revision, applied_at) = (stored.revision, stored.applied_at);
    let spec = stored.spec.with_context(|| format!("read job {name}"))?;
    let mut document = documented(&spec, revision, applied_at);
    let around = obstacles::Around::look(&broker, &[name]).await?;
    document["obstacles"] = json!(around.of(&spec));
    context
        .output
        .show(&document, |output| match parse::to_toml(&spec) {
            Some(text) => {
                // It can be applied as it is printed.
                let applied = applied_at.to_the_second();
                output.say(format!("# revision {revision}, applied {applied}"));
                output.say(text.trim_end());
            }
            // Parameters that TOML cannot say.
            None => output.document(&document),
        });
    obstacles::tell(&around, context, &spec);
    clock::tell_waiting(context, &broker, name).await?;
    backfill::tell(context, &broker, name).await
}

/// A definition as its file would say it, and which it is.
fn documented(spec: &JobSpec, revision: u64, applied_at: UnixMs) -> Value {
    let mut document = parse::to_value(spec);
    document["revision"] = revision.into();
    document["applied_at"] = applied_at.rfc3339().into();
    document
}
