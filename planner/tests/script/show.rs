//! Actions as text: one line each, compact, and the same every time.

use std::collections::HashSet;

use std::collections::{BTreeMap, HashMap};

use gridloom_planner::lead::Change;
use gridloom_planner::lead::action::{Action, Begun, Issue};
use gridloom_shared::command::Answer;
use gridloom_shared::id::{RunId, Session};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::orders::Which;
use gridloom_shared::ledger::record::{Closed, EndState, PlanRecord, TileRun, Wave};
use gridloom_shared::tile::{Cell, Key, Tile, TileKind};
use gridloom_shared::waiting::Waiting;

/// Runs of tiles that are shown of one wave.
const MOST: usize = 6;

/// What things are called in the script.
#[derive(Default)]
pub(super) struct Names {
    pub(super) runs: BTreeMap<RunId, String>,
    pub(super) orders: HashMap<String, String>,
    pub(super) workers: BTreeMap<Session, String>,
}

impl Names {
    pub(super) fn run(&self, run: &RunId) -> String {
        self.runs
            .get(run)
            .cloned()
            .unwrap_or_else(|| run.to_string())
    }

    pub(super) fn action(&self, action: &Action) -> String {
        match action {
            Action::Issue(issue) => self.issue(issue),
            Action::Begin { runs, register } => self.first_tiles(runs, register.seq),
            Action::List { run, register, .. } => {
                format!(
                    "list what the queue holds of {}; register {}",
                    self.run(run),
                    register.seq
                )
            }
            Action::Ask { run, .. } => {
                format!("ask the workers what they hold of {}", self.run(run))
            }
            Action::Refill {
                run,
                tiles,
                register,
                ..
            } => {
                let (run, count, tiles) = (self.run(run), plural(tiles.len(), "tile"), list(tiles));
                format!(
                    "publish {count} of {run} again: {tiles}; register {}",
                    register.seq
                )
            }
            Action::Recall { run, waves, .. } => {
                let waves: Vec<u64> = waves.iter().copied().collect();
                format!("read records {waves:?} of {} again", self.run(run))
            }
            Action::Halt { run, holders, .. } => {
                format!("halt {}; {}", self.run(run), self.holders(holders.as_ref()))
            }
            Action::Write(order) => format!(
                "write {} {}; expects {}",
                self.run(&order.run),
                record(&order.record),
                order.expected
            ),
            Action::Close {
                run,
                closed,
                expected,
                ..
            } => format!(
                "close {}: {}; expects {expected}",
                self.run(run),
                end(closed)
            ),
            Action::Claim(term) => format!("claim the register for term {}", term.0),
            Action::Load { run, position } => {
                format!("read the ledger of {} up to {position}", self.run(run))
            }
            Action::Answer { reply, answer } => {
                let order = self.orders.get(reply.as_str());
                let order = order.map_or("?", String::as_str);
                format!("answer {order}: {}", told(answer))
            }
            Action::Bury { run, why, .. } => format!("bury {}: {why}", self.run(run)),
            Action::CallWorkers => "call the workers".to_owned(),
        }
    }

    fn holders(&self, holders: Option<&HashSet<Session>>) -> String {
        let Some(holders) = holders else {
            return "holders unknown".to_owned();
        };
        let names = holders.iter().map(|session| self.worker(*session));
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        format!("holders {names:?}")
    }

    fn first_tiles(&self, runs: &[Begun], register: u64) -> String {
        let runs = runs.iter();
        let runs = runs.map(|begun| format!("{}: {}", self.run(&begun.run), wave(&begun.wave)));
        let runs: Vec<String> = runs.collect();
        let runs = runs.join(" and ");
        format!("publish the first tiles of {runs}; register {register}")
    }

    fn issue(&self, issue: &Issue) -> String {
        format!(
            "issue {} wave {}: {}; expects {}, register {}",
            self.run(&issue.run),
            issue.wave.n,
            wave(&issue.wave),
            issue.expected,
            issue.register.seq
        )
    }

    pub(super) fn worker(&self, session: Session) -> String {
        let name = self.workers.get(&session);
        name.cloned().unwrap_or_else(|| session.to_string())
    }

    pub(super) fn shown(&self, shown: &Change) -> Option<String> {
        Some(match shown {
            Change::Opened(run) => format!("{} is open", self.run(run)),
            Change::Moved(_) => return None,
            Change::Closed(run) => {
                let fold = run.fold();
                let how = fold.closing().map(|(_, closed)| end(closed));
                format!(
                    "{} is over: {}",
                    self.run(fold.run()),
                    how.unwrap_or_default()
                )
            }
            Change::GivenUp(summary) => {
                let (given_up, run) = (summary.shards.given_up, self.run(&summary.run));
                format!("{run} is over as before, {given_up} dead given up")
            }
            Change::Lost(run) => format!("{} is lost", self.run(run.fold().run())),
        })
    }

    /// Where a run stands by its whole ledger.
    pub(super) fn standing(&self, fold: &Fold) -> String {
        let counts = fold.counts();
        let state = match (fold.closing(), fold.opening()) {
            (Some((_, closed)), _) => end(closed),
            (None, Some(_)) => "open".to_owned(),
            (None, None) => "never opened".to_owned(),
        };
        let mut text = format!(
            "{}: {state}; {} of {} done",
            self.run(fold.run()),
            counts.done,
            counts.planned
        );
        if let Some(why) = fold.aside() {
            text.push_str(&format!(", set aside ({why})"));
        }
        let more = [
            (counts.dead, "dead"),
            (counts.dead_probes, "probes dead"),
            (counts.late, "late"),
            (counts.retried, "tried again"),
            (counts.unexpected, "unexpected"),
            (fold.open_tiles().len() as u64, "tiles open"),
            (fold.retries().len() as u64, "to be tried again"),
        ];
        for (count, what) in more {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text
    }
}

pub(super) fn plural(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

fn wave(wave: &Wave) -> String {
    let mut parts: Vec<String> = wave.tiles.iter().take(MOST).map(tiles).collect();
    if wave.tiles.len() > MOST {
        parts.push("...".to_owned());
    }
    format!("{} ({})", parts.join(", "), plural(wave.len(), "tile"))
}

fn tiles(run: &TileRun) -> String {
    let mut text = cells(run.kind, run.slice, run.first, run.pages * run.tiles);
    if run.pages > 1 {
        text.push_str(&format!(" by {}", run.pages));
    }
    if run.attempt > 1 {
        text.push_str(&format!(" attempt {}", run.attempt));
    }
    match &run.after {
        Some(Key::Int(key)) => text.push_str(&format!(" after {key}")),
        Some(Key::Text(key)) => text.push_str(&format!(" after {key}")),
        None => {}
    }
    text
}

fn cells(kind: TileKind, slice: u32, first: u32, count: u32) -> String {
    let kind = match kind {
        TileKind::Page => "",
        TileKind::Probe => "probe ",
    };
    if count == 1 {
        format!("{kind}{slice}/{first}")
    } else {
        format!("{kind}{slice}/{first}..{}", first + count)
    }
}

fn list(tiles: &[Tile]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for tile in tiles.iter().take(MOST) {
        let attempt = match tile.attempt {
            1 => String::new(),
            attempt => format!(" attempt {attempt}"),
        };
        parts.push(cells(tile.kind, tile.slice, tile.first, tile.pages) + &attempt);
    }
    if tiles.len() > MOST {
        parts.push("...".to_owned());
    }
    parts.join(", ")
}

pub(super) fn record(record: &PlanRecord) -> String {
    match record {
        PlanRecord::Wave(own) => format!("wave {}: {}", own.n, wave(own)),
        PlanRecord::Closed(closed) => format!("closed: {}", end(closed)),
        PlanRecord::Cancelled(cancelled) => match &cancelled.aborted {
            Some(why) => format!("cancelled ({why})"),
            None => "cancelled".to_owned(),
        },
        PlanRecord::Reopened(reopened) => format!("reopened ({})", which(&reopened.which)),
        PlanRecord::Dropped(dropped) => format!("dropped ({})", which(&dropped.which)),
        PlanRecord::Opened(opened) => match opened.wave(0) {
            Some(first) => format!("opened with {}", wave(&first)),
            None => "opened".to_owned(),
        },
        PlanRecord::Retired(_) => "retired".to_owned(),
        PlanRecord::Forgotten(_) => "forgotten".to_owned(),
    }
}

fn which(which: &Which) -> String {
    match which {
        Which::All => "all".to_owned(),
        Which::These(these) => {
            let name = |cell: &Cell| cells(cell.kind, cell.slice, cell.page, 1);
            let these: Vec<String> = these.iter().map(name).collect();
            these.join(", ")
        }
    }
}

pub(super) fn end(closed: &Closed) -> String {
    let state = match closed.state {
        EndState::Succeeded => "succeeded",
        EndState::Failed => "failed",
        EndState::Cancelled => "cancelled",
    };
    match &closed.error {
        Some(error) => format!("{state} ({error})"),
        None => state.to_owned(),
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Done { shards: 0 } => "done".to_owned(),
        Answer::Done { shards } => format!("done, {}", plural(*shards as usize, "shard")),
        Answer::Nothing { reason } => format!("nothing to do: {reason}"),
        Answer::Refused { reason } => format!("refused: {reason}"),
        Answer::Misuse { reason } => format!("misuse: {reason}"),
        Answer::Waits { waits } if waits.is_empty() => "it waits for nothing".to_owned(),
        Answer::Waits { waits } => {
            let waits: Vec<String> = waits.iter().map(Waiting::to_string).collect();
            waits.join("; ")
        }
    }
}
