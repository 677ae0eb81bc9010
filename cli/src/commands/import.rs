//! `gridloom import`: job files out of another scheduler's configuration, and a report of everything that is not the same
//! there and here. Nothing is left out silently: what is not understood needs an answer, and the exit code is 1.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`node`] | how a text in YAML, JSON or as Java properties is read: each value as it was written |
//! | [`rows`] | how the rows of a table are read, as CSV or JSON |
//! | [`found`] | which jobs a file has, and in which of ElasticJob's forms |
//! | [`reading`] | how a field is read, and that it was looked at |
//! | [`elasticjob`] | what each field of a job of ElasticJob becomes |
//! | [`xxl_job`] | what each column of a job of XXL-JOB becomes |
//! | [`imported`] | what a job is here: its file, and what the workers have to be told |
//! | [`apart`] | what becomes of jobs, and of handlers, whose names are one here |
//! | [`quartz`] | what is said of an expression that fires otherwise there |
//! | [`note`] | how grave it is what is said of a field |

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gridloom_shared::chain;
use gridloom_shared::schedule::Zone;
use serde::Serialize;

use crate::args::{Import, ImportArgs, XxlJobArgs};
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Align, Output, Table, counted};
use imported::{Imported, quoted};
use note::{Kind, Note};

mod apart;
mod elasticjob;
mod found;
mod imported;
mod node;
mod note;
mod quartz;
mod reading;
mod rows;
mod xxl_job;

/// Longest file that is read.
const FILE_MAX: u64 = 16 << 20;

/// What came of the files.
#[derive(Debug, Serialize)]
struct Report {
    /// The files that were written.
    files: Vec<PathBuf>,
    /// Those of an import before, which lay where a job is paused and is not any more, or the other way round.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<PathBuf>,
    jobs: Vec<Imported>,
    /// Of the files, not of one job.
    notes: Vec<Note>,
    /// How many notes need an answer.
    open: usize,
}

/// Does what `gridloom import ...` says.
///
/// # Errors
/// When a file cannot be read or written, or `--timezone` is no time zone.
pub fn run(context: &Context, order: &Import) -> anyhow::Result<Verdict> {
    let mut notes = Vec::new();
    let (args, mut jobs, always) = match order {
        Import::Elasticjob(args) => (args, of_elasticjob(args, &mut notes)?, note::ALWAYS),
        Import::XxlJob(args) => {
            let jobs = of_xxl_job(args, &mut notes)?;
            (&args.import, jobs, xxl_job::ALWAYS)
        }
    };
    apart::handlers(&mut jobs);
    apart::names(&mut jobs);
    if args.shadow {
        jobs = jobs.into_iter().map(Imported::shadow).collect();
    }
    let (files, removed) = write(args, &jobs)?;
    notes.extend(left_over(args, &files)?);
    let open = |notes: &[Note]| notes.iter().filter(|note| note.kind == Kind::Open).count();
    let report = Report {
        open: open(&notes) + jobs.iter().map(|job| open(&job.notes)).sum::<usize>(),
        files,
        removed,
        jobs,
        notes,
    };
    context
        .output
        .show(&report, |output| report.tell(args, always, output));
    Ok(match report.open {
        0 => Verdict::Fine,
        _ => Verdict::Failed,
    })
}

/// The jobs of ElasticJob's configuration.
fn of_elasticjob(args: &ImportArgs, notes: &mut Vec<Note>) -> anyhow::Result<Vec<Imported>> {
    let mut jobs = Vec::new();
    each(args, |path, name, text| {
        let tree = node::read(path, text)?;
        let before = jobs.len();
        for found in found::jobs(&tree, notes) {
            jobs.push(elasticjob::import(&found, args.timezone.as_deref()));
        }
        if jobs.len() == before {
            notes.push(Note::of(
                Kind::Open,
                name,
                "has no job of ElasticJob: no jobName, and no elasticjob.jobs",
            ));
        }
        Ok(())
    })?;
    Ok(jobs)
}

/// The jobs of XXL-JOB's table.
fn of_xxl_job(args: &XxlJobArgs, notes: &mut Vec<Note>) -> anyhow::Result<Vec<Imported>> {
    let mut all = Vec::new();
    each(&args.import, |path, name, text| {
        let rows = rows::read(path, text, xxl_job::KNOWN)?;
        if rows.is_empty() {
            let text = "has no row of xxl_job_info: none has executor_handler or glue_type";
            notes.push(Note::of(Kind::Open, name, text));
        }
        all.extend(rows);
        Ok(())
    })?;
    let table = xxl_job::Table::of(&all, args.import.timezone.as_deref(), args.slices);
    table.notes(&all, notes);
    Ok(all.iter().map(|row| table.import(row)).collect())
}

/// Reads the files that are named, one after another.
fn each(
    args: &ImportArgs,
    mut take: impl FnMut(&Path, &str, &str) -> Result<(), String>,
) -> anyhow::Result<()> {
    if let Some(zone) = &args.timezone {
        Zone::new(zone).map_err(|error| Misuse::error(format!("--timezone: {}", chain(&error))))?;
    }
    for path in &args.files {
        let name = path.display().to_string();
        let text = read(path).map_err(|fault| Misuse::error(format!("{name}: {fault}")))?;
        take(path, &name, &text)
            .map_err(|fault| Misuse::error(format!("{name}: cannot be read: {fault}")))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let took = match path == Path::new("-") {
        true => std::io::stdin()
            .lock()
            .take(FILE_MAX + 1)
            .read_to_string(&mut text),
        false => {
            fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text))
        }
    };
    took.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => "is not written in UTF-8: save it as UTF-8".to_owned(),
        _ => format!("cannot be read: {}", chain(&error)),
    })?;
    match text.len() as u64 > FILE_MAX {
        true => Err(format!("is longer than {FILE_MAX} bytes")),
        false => Ok(text),
    }
}

/// What the workers have to be told: which commands jobs name, and which services they ask.
fn for_the_workers(jobs: &[Imported], out: &Path) -> Option<String> {
    // A worker finds scripts wherever it is started.
    let within = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let commands = jobs.iter().filter_map(|job| job.command(&within));
    let commands: Vec<String> = commands.collect();
    let services: BTreeSet<&str> = jobs.iter().filter_map(Imported::service).collect();
    if commands.is_empty() && services.is_empty() {
        return None;
    }
    let mut text =
        "# Of the workers: the commands that the jobs name, and the services that they ask.\n"
            .to_owned();
    if jobs.iter().any(|job| job.script().is_some()) {
        text.push_str("# On another machine scripts may lie elsewhere: say it here.\n");
    }
    if !commands.is_empty() {
        text += &format!("[worker.exec]\n{}\n", commands.join("\n"));
    }
    if !services.is_empty() {
        text.push_str("[worker.http]\n");
    }
    for (n, origin) in services.iter().enumerate() {
        text += &format!("service-{} = {}\n", n + 1, quoted(origin));
    }
    Some(text)
}

/// Writes the job files, their scripts, and the worker's configuration where jobs need one. Says which were written, and which
/// were removed: of a job that is in `paused` now, `jobs` may still have what an import before wrote, and would be applied.
fn write(args: &ImportArgs, jobs: &[Imported]) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut files = Vec::new();
    for job in jobs {
        files.push((args.out.join(job.place()), job.file()));
    }
    for job in jobs {
        if let Some((place, text)) = job.script() {
            files.push((args.out.join(place), text.to_owned()));
        }
    }
    if let Some(text) = for_the_workers(jobs, &args.out) {
        files.push((args.out.join("gridloom.toml"), text));
    }
    let others = jobs.iter().map(|job| args.out.join(job.other_place()));
    let old: Vec<PathBuf> = others.filter(|path| is_of_an_import(path)).collect();
    let there = files.iter().map(|(path, _)| path);
    if !args.force
        && let Some(there) = there.filter(|path| path.exists()).chain(&old).next()
    {
        return Err(Misuse::error(format!(
            "{} is there already: take --out for another directory, or --force to write over it",
            there.display()
        )));
    }
    for path in &old {
        fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
    }
    for (path, text) in &files {
        let within = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(within).with_context(|| format!("make {}", within.display()))?;
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    let written = files.into_iter().map(|(path, _)| path).collect();
    Ok((written, old))
}

/// What is to be said of job files that an import before wrote, and this one did not: whoever applies all of them would have a job
/// twice that is called otherwise by now.
fn left_over(args: &ImportArgs, written: &[PathBuf]) -> anyhow::Result<Vec<Note>> {
    let mut notes = Vec::new();
    for dir in imported::DIRS {
        let dir = args.out.join(dir);
        let within = match fs::read_dir(&dir) {
            Ok(within) => within,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("look into {}", dir.display()));
            }
        };
        let mut paths = within
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<PathBuf>>>()
            .with_context(|| format!("look into {}", dir.display()))?;
        paths.retain(|path| !written.contains(path) && is_of_an_import(path));
        paths.sort();
        // Without --force nothing took the place of anything: they may be of other files, imported one by one.
        let (kind, text) = match args.force {
            true => (
                Kind::Open,
                "is of an import before, and no job of this one is called so: remove it if it is one of these under the name that it had, \
                 as both would be applied; if it is another, import its file together with these (gridloom.toml has nothing of it any more)",
            ),
            false => (
                Kind::Changed,
                "is of an import before, and lies beside what this one wrote: is it still meant to be applied?",
            ),
        };
        let of = |path: &PathBuf| Note::of(kind, &path.display().to_string(), text);
        notes.extend(paths.iter().map(of));
    }
    Ok(notes)
}

/// Whether an import wrote what is there. Files of others are left alone.
fn is_of_an_import(path: &Path) -> bool {
    let text = fs::read_to_string(path);
    text.is_ok_and(|text| text.starts_with(imported::FROM))
}

impl Report {
    fn tell(&self, args: &ImportArgs, always: &[&str], output: &Output) {
        let mut table = Table::new([
            ("job", Align::Left),
            ("", Align::Left),
            ("field", Align::Left),
            ("what is otherwise here", Align::Left),
        ]);
        let of_files = self.notes.iter().map(|note| ("", note));
        let of_jobs = self
            .jobs
            .iter()
            .flat_map(|job| job.notes.iter().map(|note| (job.name.as_str(), note)));
        let mut all: Vec<_> = of_files.chain(of_jobs).collect();
        // What needs an answer stands at the end, where it is read.
        all.sort_by_key(|(job, note)| (note.kind == Kind::Open, *job, note.kind));
        for (job, note) in all {
            let (kind, field, text) = (note.kind.word(), &note.field, &note.text);
            table.row([job.to_owned(), kind.to_owned(), field.clone(), text.clone()]);
        }
        output.table(&table, "everything is the same here");
        output.say("");
        for note in always {
            output.say(format!("always: {note}"));
        }
        output.say("");
        for path in &self.files {
            output.say(format!("wrote {}", path.display()));
        }
        for path in &self.removed {
            output.say(format!("removed {}, of an import before", path.display()));
        }
        let out = args.out.display();
        output.say(match self.open {
            0 => counted(self.jobs.len() as u64, "job") + "; nothing needs an answer",
            open => format!(
                "{}; {} an answer before they are applied",
                counted(self.jobs.len() as u64, "job"),
                match open {
                    1 => "1 thing needs".to_owned(),
                    more => format!("{more} things need"),
                }
            ),
        });
        if self.open > 0 {
            output.note("answer in the file that was imported or by a flag, and import again with --force; or in the files that were written");
        }
        if self.jobs.iter().any(|job| !job.paused) {
            output.note(format!(
                "next: gridloom job apply --dry-run {out}/jobs/*.toml"
            ));
        }
        for job in self.jobs.iter().filter(|job| job.paused) {
            let place = job.place();
            output.note(format!(
                "was disabled: gridloom job apply {out}/{} --paused 'was disabled'",
                place.display()
            ));
        }
    }
}
