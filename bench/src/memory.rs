//! Whether a planner's memory stays small whatever its runs do: the leadership and the standby's folds as
//! they are, fed by a ledger, a queue and workers in memory, without a clock. A day of a busy
//! installation takes minutes so.
//!
//! | room | what it is |
//! |------|------------|
//! | [`world`] | the leadership, and what stands for the broker |
//! | [`workers`] | who executes shards |
//! | [`stories`] | what happens: a day of interleaved runs, ten million shards that all die |
//!
//! Each story is played in processes of their own, once with the leadership alone and once with a standby
//! beside it, and what counts is the most memory that the kernel saw.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, bail};
use gridloom_cli::output::{Align, Output, Table, grouped};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::args::{MemoryChild, MemoryFlags, Tale};
use crate::usage::{self, Hardware};

mod stories;
mod workers;
mod world;

/// What a planner may take, in MiB.
const WANTED_MIB: f64 = 200.0;

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    wanted_mib: f64,
    stories: Vec<Told>,
}

/// One story.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    story: String,
    standby: bool,
    /// Time that passed in it, in hours.
    hours: f64,
    records: u64,
    /// Runs that were opened, and shards that were issued for the first time.
    runs: u64,
    shards: u64,
    dead: u64,
    seconds: f64,
    /// When the story began: the program itself.
    began_mib: f64,
    peak_mib: f64,
}

/// Plays all stories, and prints the report.
///
/// # Errors
/// When a process fails, or takes too much.
pub(crate) async fn run(output: &Output, flags: &MemoryFlags) -> anyhow::Result<()> {
    let mut report = Report {
        machine: Hardware::here(),
        wanted_mib: WANTED_MIB,
        stories: Vec::new(),
    };
    for tale in [Tale::Day, Tale::Deaths, Tale::Retries] {
        for standby in [false, true] {
            let told = played(flags, tale, standby).await?;
            output.note(format!("{}: {:.0} MiB", told.story, told.peak_mib));
            report.stories.push(told);
        }
    }
    report.show(output);
    let most = report.stories.iter().map(|told| told.peak_mib);
    if most.into_iter().any(|peak| peak > WANTED_MIB) {
        bail!("more than {WANTED_MIB:.0} MiB");
    }
    Ok(())
}

async fn played(flags: &MemoryFlags, tale: Tale, standby: bool) -> anyhow::Result<Told> {
    let own = std::env::current_exe().context("find the running program")?;
    let tale = match tale {
        Tale::Day => "day",
        Tale::Deaths => "deaths",
        Tale::Retries => "retries",
    };
    let mut command = Command::new(own);
    command
        .args(["memory-child", tale])
        .args(["--minutes", &flags.minutes.to_string()])
        .args(["--shards", &flags.shards.to_string()]);
    if standby {
        command.arg("--standby");
    }
    let child = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let ended = child.output().await?;
    if !ended.status.success() {
        bail!("the story {tale} ended with {}", ended.status);
    }
    Ok(serde_json::from_slice(&ended.stdout)?)
}

/// Plays one story in this process.
///
/// # Errors
/// When it does not go as it should.
pub(crate) fn child(output: &Output, child: &MemoryChild) -> anyhow::Result<()> {
    let own = std::process::id();
    let began_mib = usage::memory(own)?.resident_mib;
    let begun = Instant::now();
    let (what, end) = stories::play(child)?;
    let seconds = begun.elapsed().as_secs_f64();
    output.line(&Told {
        story: what,
        standby: child.standby,
        hours: end.hours,
        records: end.records,
        runs: end.runs,
        shards: end.shards,
        dead: end.dead,
        seconds,
        began_mib,
        peak_mib: usage::memory(own)?.peak_mib,
    });
    Ok(())
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            let mut table = Table::new([
                ("story", Align::Left),
                ("", Align::Left),
                ("records", Align::Right),
                ("runs", Align::Right),
                ("shards", Align::Right),
                ("dead", Align::Right),
                ("took", Align::Right),
                ("wanted", Align::Right),
                ("most memory", Align::Right),
            ]);
            for told in &self.stories {
                let who = if told.standby {
                    "a leader and a standby"
                } else {
                    "a leader"
                };
                table.row([
                    told.story.clone(),
                    who.to_owned(),
                    grouped(told.records),
                    grouped(told.runs),
                    grouped(told.shards),
                    grouped(told.dead),
                    format!("{:.0} s", told.seconds),
                    format!("{:.0} MiB", self.wanted_mib),
                    format!("{:.0} MiB", told.peak_mib),
                ]);
            }
            output.table(&table, "nothing was measured");
        });
    }
}
