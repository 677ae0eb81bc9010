//! `gridloom import`: job files out of another scheduler's configuration, and a report of everything that is not the same
//! there and here. Nothing is left out silently: what is not understood needs an answer, and the exit code is 1.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`node`] | how a text in YAML, JSON or as Java properties is read: each value as it was written |
//! | [`found`] | which jobs a file has, and in which of ElasticJob's forms |
//! | [`elasticjob`] | what each field of a job becomes |
//! | [`note`] | how grave it is what is said of a field |

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gridloom_shared::chain;
use gridloom_shared::schedule::Zone;
use serde::Serialize;

use crate::args::{Import, ImportArgs};
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Align, Output, Table, counted};
use elasticjob::Imported;
use note::{Kind, Note};

mod elasticjob;
mod found;
mod node;
mod note;

/// Longest file that is read.
const FILE_MAX: u64 = 16 << 20;

/// What came of the files.
#[derive(Debug, Serialize)]
struct Report {
    /// The files that were written.
    files: Vec<PathBuf>,
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
    let Import::Elasticjob(args) = order;
    if let Some(zone) = &args.timezone {
        Zone::new(zone).map_err(|error| Misuse::error(format!("--timezone: {}", chain(&error))))?;
    }
    let mut notes = Vec::new();
    let mut jobs = Vec::new();
    for path in &args.files {
        let name = path.display().to_string();
        let text = read(path).map_err(|fault| Misuse::error(format!("{name}: {fault}")))?;
        let tree = node::read(path, &text)
            .map_err(|fault| Misuse::error(format!("{name}: cannot be read: {fault}")))?;
        let before = jobs.len();
        for found in found::jobs(&tree, &mut notes) {
            jobs.push(elasticjob::import(&found, args.timezone.as_deref()));
        }
        if jobs.len() == before {
            notes.push(Note::of(
                Kind::Open,
                &name,
                "has no job of ElasticJob: no jobName, and no elasticjob.jobs",
            ));
        }
    }
    tell_names_apart(&mut jobs);
    let files = write(args, &jobs)?;
    let open = |notes: &[Note]| notes.iter().filter(|note| note.kind == Kind::Open).count();
    let report = Report {
        open: open(&notes) + jobs.iter().map(|job| open(&job.notes)).sum::<usize>(),
        files,
        jobs,
        notes,
    };
    context
        .output
        .show(&report, |output| report.tell(args, output));
    Ok(match report.open {
        0 => Verdict::Fine,
        _ => Verdict::Failed,
    })
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
    took.map_err(|error| format!("cannot be read: {}", chain(&error)))?;
    match text.len() as u64 > FILE_MAX {
        true => Err(format!("is longer than {FILE_MAX} bytes")),
        false => Ok(text),
    }
}

/// Jobs whose names become one here: the later ones need another.
fn tell_names_apart(jobs: &mut [Imported]) {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for job in jobs {
        let Some(other) = taken.insert(job.name.clone(), job.was.clone()) else {
            continue;
        };
        let name = (2..)
            .map(|n| format!("{}-{n}", job.name.chars().take(44).collect::<String>()))
            .find(|name| !taken.contains_key(name))
            .unwrap_or_default();
        job.notes.push(Note::of(
            Kind::Open,
            "jobName",
            format!(
                "is {:?} here, as that of {other:?} is: called {name:?}; is that right?",
                job.name
            ),
        ));
        job.rename(&name);
        taken.insert(name, job.was.clone());
    }
}

/// Writes the job files, and the worker's configuration where jobs have commands.
fn write(args: &ImportArgs, jobs: &[Imported]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for job in jobs {
        files.push((args.out.join(job.place()), job.file()));
    }
    let commands: Vec<String> = jobs.iter().filter_map(Imported::command).collect();
    if !commands.is_empty() {
        let text = format!(
            "# Of the workers: the commands that the jobs name.\n[worker.exec]\n{}\n",
            commands.join("\n")
        );
        files.push((args.out.join("gridloom.toml"), text));
    }
    if !args.force
        && let Some((there, _)) = files.iter().find(|(path, _)| path.exists())
    {
        return Err(Misuse::error(format!(
            "{} is there already: take --out for another directory, or --force to write over it",
            there.display()
        )));
    }
    for (path, text) in &files {
        let within = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(within).with_context(|| format!("make {}", within.display()))?;
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

impl Report {
    fn tell(&self, args: &ImportArgs, output: &Output) {
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
        for note in note::ALWAYS {
            output.say(format!("always: {note}"));
        }
        output.say("");
        for path in &self.files {
            output.say(format!("wrote {}", path.display()));
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
        output.note(format!(
            "next: gridloom job apply --dry-run {out}/jobs/*.toml"
        ));
        for job in self.jobs.iter().filter(|job| job.paused) {
            let (place, name) = (job.place(), &job.name);
            output.note(format!(
                "was disabled: gridloom job apply {out}/{} && gridloom job pause {name} --note 'was disabled'",
                place.display()
            ));
        }
    }
}
