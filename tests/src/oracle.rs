//! Judges what a run left behind: the raw ledger, and everything that the queue ever stored.
//!
//! It shares no code with the engine's fold, and asks more than the engine's own audit, whose
//! report is one of its questions. For every breach it shows the shard's whole history and the seed.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`ledger`] | how a run's records are read |
//! | [`trace`] | which rules the records keep or break |
//! | [`queue`] | which rules the queue keeps or breaks |
//! | [`history`] | what happened to one shard, in words |
//! | [`executions`] | how the logs of executions are read |
//! | [`overlap`] | which executions ran at the same time, and whether they may have |
//! | [`liveness`] | whether shards came to their end soon enough |

use std::collections::HashSet;
use std::fmt;

use anyhow::bail;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::audit::Report;
use gridloom_shared::ledger::fold::Cell;
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::tile::{TileKind, TileRef};

use crate::observer::{Observer, Stored};

pub mod executions;
pub mod fires;
pub mod history;
pub mod ledger;
pub mod liveness;
#[cfg(test)]
mod made_up;
pub mod overlap;
pub mod queue;
pub mod trace;

use ledger::Ledger;
use trace::Trace;

/// Breaches that are shown with their whole history.
const SHOWN: usize = 5;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which rule, and how.
    pub what: String,
    /// The shard, where it is one's.
    pub cell: Option<Cell>,
    /// The tile, where it is one's.
    pub tile: Option<TileRef>,
}

impl Breach {
    /// A breach that is no single shard's.
    pub fn of_run(what: impl Into<String>) -> Breach {
        Breach {
            what: what.into(),
            cell: None,
            tile: None,
        }
    }

    /// A breach of a shard.
    pub fn of_cell(cell: Cell, what: impl Into<String>) -> Breach {
        Breach {
            what: what.into(),
            cell: Some(cell),
            tile: None,
        }
    }

    /// A breach of a tile.
    pub fn of_tile(tile: TileRef, what: impl Into<String>) -> Breach {
        Breach {
            what: what.into(),
            cell: None,
            tile: Some(tile),
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(cell) = self.cell {
            write!(
                f,
                " ({:?} {} of slice {})",
                cell.kind, cell.page, cell.slice
            )?;
        }
        if let Some(tile) = self.tile {
            write!(f, " (tile {}/{})", tile.wave, tile.index)?;
        }
        Ok(())
    }
}

/// What a run came to, once no rule was found broken.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The engine's own audit.
    pub audit: Report,
    /// The engine's own summary.
    pub summary: RunSummary,
    /// Waves decided.
    pub waves: u32,
    /// Tiles decided.
    pub tiles: u64,
    /// Copies of tiles that the queue stored marked as a refill.
    pub refilled: u64,
    /// Copies of tiles that the queue stored.
    pub stored: u64,
}

impl Verdict {
    /// The verdict of a run that must have succeeded, every cell of its grid committed.
    ///
    /// # Errors
    /// When it did not.
    pub fn succeeded(self) -> anyhow::Result<Verdict> {
        let shards = &self.summary.shards;
        let whole = shards.done == self.summary.grid.shards && shards.outstanding == 0;
        if self.summary.state != RunState::Succeeded || !whole {
            bail!(
                "run did not succeed with all of its cells: {:?}",
                self.summary
            );
        }
        Ok(self)
    }
}

/// Judges a run that is over.
///
/// # Errors
/// When a rule was broken: with the seed, and the history of each shard concerned.
pub async fn judge(
    broker: &Broker,
    run: &RunId,
    observer: Option<&Observer>,
    seed: u64,
) -> anyhow::Result<Verdict> {
    judge_except(broker, run, observer, seed, &HashSet::new()).await
}

/// Judges a run that is over, of which the test itself published the tiles of some shards twice:
/// two workers may then have been certain to be the first. Such a shard is counted once still.
///
/// # Errors
/// As [`judge`].
pub async fn judge_except(
    broker: &Broker,
    run: &RunId,
    observer: Option<&Observer>,
    seed: u64,
    excused: &HashSet<Cell>,
) -> anyhow::Result<Verdict> {
    let ledger = Ledger::read(broker, run).await?;
    let stored = match observer {
        Some(observer) => {
            observer.catch_up(broker).await?;
            let mut tiles = observer.tiles();
            tiles.retain(|stored| stored.tile.run == *run);
            tiles
        }
        None => Vec::new(),
    };
    let whole = observer.is_some_and(|o| o.gaps() == 0);
    judge_records(&ledger, &stored, whole, seed, excused)
}

/// Judges a run that is over by records and tiles that were read before: its own may be gone by now. `whole` says that
/// no tile went unseen.
///
/// # Errors
/// As [`judge`].
pub fn judge_records(
    ledger: &Ledger,
    stored: &[Stored],
    whole: bool,
    seed: u64,
    excused: &HashSet<Cell>,
) -> anyhow::Result<Verdict> {
    let trace = Trace::of(ledger);
    let mut breaches = trace.breaches().to_vec();
    breaches.extend(trace.at_the_end());
    breaches.extend(queue::stored(&trace, stored, whole));
    breaches.retain(|breach| breach.cell.is_none_or(|cell| !excused.contains(&cell)));
    let audit = ledger.audit();
    if !audit.ok && !only_excused(&audit, excused) {
        breaches.push(Breach::of_run(format!(
            "the audit is not clean: {}",
            brief(&audit)
        )));
    }
    let summary = ledger.summary()?;
    breaches.extend(trace.against(&summary));
    if !breaches.is_empty() {
        let run = &ledger.run;
        bail!("{}", shown(run, seed, &breaches, ledger, &trace, stored));
    }
    Ok(Verdict {
        audit,
        summary,
        waves: trace.waves(),
        tiles: trace.tiles().len() as u64,
        refilled: stored.iter().filter(|stored| stored.tile.again).count() as u64,
        stored: stored.len() as u64,
    })
}

/// Judges a run that goes on: what left the queue has its outcomes, nothing is there twice.
///
/// # Errors
/// As [`judge`].
pub async fn judge_open(
    broker: &Broker,
    run: &RunId,
    observer: &Observer,
    seed: u64,
) -> anyhow::Result<()> {
    let mut stored = observer.tiles();
    stored.retain(|stored| stored.tile.run == *run);
    let queued = queue::list(broker, run).await?;
    let ledger = Ledger::read(broker, run).await?;
    let trace = Trace::of(&ledger);
    let mut breaches = trace.breaches().to_vec();
    breaches.extend(queue::stored(&trace, &stored, false));
    breaches.extend(queue::removed(&trace, &stored, &queued));
    if breaches.is_empty() {
        return Ok(());
    }
    bail!("{}", shown(run, seed, &breaches, &ledger, &trace, &stored))
}

/// Whether all that the audit found are second successes of excused shards.
fn only_excused(audit: &Report, excused: &HashSet<Cell>) -> bool {
    let pages = excused.iter().filter(|cell| cell.kind == TileKind::Page);
    let excused: HashSet<(u32, u32)> = pages.map(|cell| (cell.slice, cell.page)).collect();
    let clean = audit.lost_cells == 0 && audit.unexpected_cells == 0;
    clean
        && audit.unexpected_records == 0
        && audit.twice_cells == audit.twice.len() as u64
        && audit
            .twice
            .iter()
            .all(|cell| excused.contains(&(cell.slice, cell.page)))
}

/// The history of each of these breaches of `run`, in words.
pub fn histories(run: &RunId, seed: u64, breaches: &[Breach], ledger: &Ledger) -> String {
    shown(run, seed, breaches, ledger, &Trace::of(ledger), &[])
}

fn brief(report: &Report) -> String {
    let mut report = report.clone();
    for cells in [&mut report.lost, &mut report.unexpected, &mut report.twice] {
        cells.truncate(10);
    }
    format!("{report:?}")
}

fn shown(
    run: &RunId,
    seed: u64,
    breaches: &[Breach],
    ledger: &Ledger,
    trace: &Trace,
    stored: &[Stored],
) -> String {
    let mut text = format!("{} breaches in run {run}, seed {seed}:", breaches.len());
    for breach in breaches.iter().take(40) {
        text += &format!("\n  {breach}");
    }
    for breach in breaches
        .iter()
        .filter(|b| b.cell.is_some() || b.tile.is_some())
        .take(SHOWN)
    {
        text += &format!("\nhistory of {breach}:");
        for line in history::of(breach, ledger, trace, stored) {
            text += &format!("\n    {line}");
        }
    }
    text
}
