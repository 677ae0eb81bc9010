//! `gridloom sdk-test`: plays situations of the child protocol with a program in some language, and tells what its library does otherwise.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`junit`] | how the report is written for programs that gather reports of tests |

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use gridloom_worker::bridge::conformance::{Outcome, Played, Program, Situation, all};
use serde::Serialize;
use tokio::runtime::Handle;

use crate::args::SdkTest;
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Align, Output, Table, spoken};

mod junit;

/// How long each thing that is awaited may take.
const WITHIN_DEFAULT: Duration = Duration::from_secs(20);
/// The page of the protocol.
const PAGE: &str = "CHILD-PROTOCOL.md";

/// What came of all.
#[derive(Debug, Serialize)]
struct Report {
    /// What the library calls itself.
    sdk: Option<String>,
    ok: usize,
    failed: usize,
    skipped: usize,
    situations: Vec<Told>,
}

/// What came of one.
#[derive(Debug, Serialize)]
struct Told {
    name: &'static str,
    about: &'static str,
    /// The place in the page of the protocol.
    clause: &'static str,
    /// ok, failed or skipped.
    outcome: &'static str,
    took_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    came: Option<String>,
    /// Why it was not played, or a figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The end of what the program wrote, where it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    wrote: String,
}

/// Does what `gridloom sdk-test ...` says.
///
/// # Errors
/// When a situation is named that there is not, or no program; or the report cannot be written.
pub async fn run(context: &Context, flags: SdkTest) -> anyhow::Result<Verdict> {
    let chosen = chosen(&flags.only)?;
    let output = context.output;
    if flags.list {
        list(output, &chosen);
        return Ok(Verdict::Fine);
    }
    let program = program(&flags)?;
    let handle = Handle::current();
    let played = tokio::task::spawn_blocking(move || play(output, &program, &chosen, &handle));
    let report = played.await.context("play the situations")?;
    if let Some(file) = &flags.junit {
        std::fs::write(file, junit::text(&report))
            .with_context(|| format!("write {}", file.display()))?;
    }
    output.show(&report, |output| report.sum_up(output));
    Ok(match report.failed {
        0 => Verdict::Fine,
        _ => Verdict::Failed,
    })
}

/// Those that are wanted.
fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Situation>> {
    if let Some(strange) = only.iter().find(|name| all().all(|one| one.name != **name)) {
        return Err(Misuse::error(format!(
            "--only {strange}: there is no such situation; gridloom sdk-test --list names them"
        )));
    }
    let wanted = |one: &&Situation| only.is_empty() || only.iter().any(|name| one.name == name);
    Ok(all().filter(wanted).collect())
}

fn list(output: Output, chosen: &[&Situation]) {
    let told = |one: &&Situation| serde_json::json!({"name": one.name, "clause": one.clause, "about": one.about});
    let document: Vec<_> = chosen.iter().map(told).collect();
    output.show(&document, |output| {
        let columns = ["situation", "clause", "about"].map(|name| (name, Align::Left));
        let mut table = Table::new(columns);
        for one in chosen {
            table.row([one.name, one.clause, one.about].map(str::to_owned));
        }
        output.table(&table, "there is none");
    });
}

fn program(flags: &SdkTest) -> anyhow::Result<Program> {
    let mut words = flags.command.iter();
    let program = words.next().ok_or_else(|| {
        Misuse::error(
            "no program to test: gridloom sdk-test -- COMMAND, with the handlers of docs/SDK-TEST.md",
        )
    })?;
    let text = |word: &std::ffi::OsString| {
        let text = word.to_str().map(str::to_owned);
        text.ok_or_else(|| {
            let shown = word.display();
            Misuse::error(format!(
                "an argument of the command is no valid UTF-8: {shown}"
            ))
        })
    };
    Ok(Program {
        guard: std::env::current_exe()?,
        program: Path::new(program).to_owned(),
        args: words.map(text).collect::<anyhow::Result<_>>()?,
        within: flags.within.map_or(WITHIN_DEFAULT, |span| span.0),
        attached: flags.attach,
    })
}

fn play(
    output: Output,
    program: &Program,
    chosen: &[&'static Situation],
    handle: &Handle,
) -> Report {
    let mut report = Report {
        sdk: None,
        ok: 0,
        failed: 0,
        skipped: 0,
        situations: Vec::new(),
    };
    for situation in chosen {
        let played = situation.play(program, handle);
        let never_came = played.sdk.is_none() && report.sdk.is_none();
        report.add(situation, played);
        if !output.is_json()
            && let Some(told) = report.situations.last()
        {
            told.tell(output);
        }
        // A command that is wrong is wrong each time.
        if never_came && report.failed > 0 {
            output.note("it does not come as far as its hello: nothing more is played");
            break;
        }
    }
    report
}

impl Report {
    fn add(&mut self, situation: &Situation, played: Played) {
        self.sdk = self.sdk.take().or(played.sdk);
        let mut told = Told {
            name: situation.name,
            about: situation.about,
            clause: situation.clause,
            outcome: "ok",
            took_ms: u64::try_from(played.took.as_millis()).unwrap_or(u64::MAX),
            expected: None,
            came: None,
            note: played.note,
            wrote: String::new(),
        };
        match played.outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Skipped(why) => {
                self.skipped += 1;
                (told.outcome, told.note) = ("skipped", Some(why));
            }
            Outcome::Failed {
                expected,
                came,
                clause,
            } => {
                self.failed += 1;
                told.outcome = "failed";
                (told.expected, told.came, told.clause) = (Some(expected), Some(came), clause);
                told.wrote = played.wrote;
            }
        }
        self.situations.push(told);
    }

    fn sum_up(&self, output: &Output) {
        let took = self.situations.iter().map(|told| told.took_ms).sum();
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        };
        output.say(format!(
            "{}: {} ok, {} failed{skipped}, in {}",
            self.sdk.as_deref().unwrap_or("the program"),
            self.ok,
            self.failed,
            spoken(Duration::from_millis(took)),
        ));
    }
}

impl Told {
    fn tell(&self, output: Output) {
        let (word, name, note) = match self.outcome {
            "failed" => ("FAILED", self.name, None),
            word => (word, self.name, self.note.as_ref()),
        };
        let note = note.map_or(String::new(), |note| format!(" ({note})"));
        output.say(format!("{word:8} {name:24}  {}{note}", self.about));
        let lines = [
            ("expected", self.expected.as_deref()),
            ("came", self.came.as_deref()),
            ("by", Some(self.clause)),
            ("it wrote", Some(self.wrote.as_str())),
        ];
        if self.outcome != "failed" {
            return;
        }
        for (what, text) in lines {
            let page = if what == "by" {
                format!("{PAGE} ")
            } else {
                String::new()
            };
            for (at, line) in text.unwrap_or_default().lines().enumerate() {
                let what = if at == 0 { what } else { "" };
                output.say(format!("         {what:8}  {page}{line}"));
            }
        }
    }
}
