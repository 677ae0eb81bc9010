//! What is looked at more closely, since it is shown: the grids of runs, what they wait for, who holds what of them, and the
//! run that is open. Each of these costs a question or a walk through a grid, so each has its bound.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::failures::Failures;
use gridloom_shared::reads::live::Live;
use gridloom_shared::reads::{held, queued, runs, waits};
use gridloom_shared::waiting::Waiting;

use super::super::cells::{Block, Cells};
use super::super::rates::{Rates, eta_s};
use super::super::snapshot::{Detail, Holds, Run, Snapshot, Wanted};
use super::turns::Turns;

/// Runs of which workers are asked what they hold.
const HELD: usize = 4;
/// Workers that are asked.
const WORKERS: usize = 64;
/// A grid is gone through again after so many times the time that it took.
const REST: u32 = 10;

/// What is known already.
pub(super) struct Eyes<'e> {
    pub(super) broker: &'e Broker,
    pub(super) live: &'e Live,
    pub(super) rates: &'e Rates,
    pub(super) here: &'e [Presence],
    /// Whether somebody leads who can be asked.
    pub(super) leads: bool,
}

/// What was gone through, and when.
#[derive(Debug)]
struct Looked<T> {
    what: T,
    /// Up to where the ledger was folded, and for how much room.
    of: (u64, (usize, usize)),
    next: Instant,
}

impl<T: Clone> Looked<T> {
    /// What is still right, or has to do for now; else what `look` finds.
    fn or(kept: &mut Option<Looked<T>>, of: (u64, (usize, usize)), look: impl FnOnce() -> T) -> T {
        if let Some(kept) = kept {
            let is_soon = Instant::now() < kept.next;
            if kept.of == of || (kept.of.1 == of.1 && is_soon) {
                return kept.what.clone();
            }
        }
        let begun = Instant::now();
        let what = look();
        let rest = begun.elapsed() * REST;
        *kept = Some(Looked {
            what: what.clone(),
            of,
            next: Instant::now() + rest.min(Duration::from_secs(30)),
        });
        what
    }
}

/// Looks closely, and remembers what that took.
#[derive(Debug, Default)]
pub(super) struct Close {
    strips: BTreeMap<RunId, Option<Looked<Vec<Block>>>>,
    grid: Option<(RunId, Option<Looked<Cells>>)>,
    turns: Turns,
    /// The run that is open, where it was over before anybody looked.
    fetched: Option<Box<Fold>>,
}

impl Close {
    /// Puts the runs into `now`, those that are wanted with all that is shown of them.
    pub(super) async fn look(&mut self, eyes: &Eyes<'_>, wanted: &Wanted, now: &mut Snapshot) {
        now.runs = eyes
            .live
            .runs()
            .map(|run| line(run.summary.clone(), run.fold.as_deref(), eyes.rates))
            .collect();
        self.strips.retain(|run, _| wanted.runs.contains(run));
        for run in &mut now.runs {
            let Some(fold) = eyes.live.get(run.id()).and_then(|run| run.fold.as_ref()) else {
                continue;
            };
            if wanted.runs.contains(run.id()) {
                let kept = self.strips.entry(run.id().clone()).or_default();
                let of = (fold.position(), (1, wanted.strip));
                run.strip = Looked::or(kept, of, || Cells::strip(fold, wanted.strip));
            }
        }
        let stands = standing(eyes, wanted, &now.runs);
        let turn = self.turns.next(stands, wanted.detail.as_ref());
        let (said, held) = tokio::join!(waiting(eyes, turn), held_by(eyes, wanted, &now.runs));
        self.turns.hear(said);
        for run in &mut now.runs {
            run.waits = self.turns.of(run.id());
        }
        for worker in &mut now.workers {
            worker.holds = held
                .get(&worker.standing.session)
                .cloned()
                .unwrap_or_default();
        }
        now.detail = match &wanted.detail {
            Some(run) => self.detail(eyes, run, wanted.grid, now).await,
            None => None,
        };
    }

    async fn detail(
        &mut self,
        eyes: &Eyes<'_>,
        run: &RunId,
        room: (usize, usize),
        now: &mut Snapshot,
    ) -> Option<Detail> {
        let kept = eyes.live.get(run).and_then(|run| run.fold.as_deref());
        if kept.is_none() && self.fetched.as_ref().is_none_or(|fold| fold.run() != run) {
            match runs::fold(eyes.broker, run).await {
                Ok(fold) => self.fetched = Some(Box::new(fold)),
                Err(error) => {
                    now.unread.push(super::refusal("the run", &error));
                    return None;
                }
            }
        }
        let fold = kept.or(self.fetched.as_deref())?;
        if self.grid.as_ref().is_none_or(|(of, _)| of != run) {
            self.grid = Some((run.clone(), None));
        }
        let (_, grid) = self.grid.as_mut()?;
        let cells = Looked::or(grid, (fold.position(), room), || Cells::of(fold, room));
        let listed = now.runs.iter().find(|one| one.id() == run).cloned();
        let few = &eyes.here[..eyes.here.len().min(WORKERS)];
        Some(Detail {
            run: match listed {
                Some(listed) => listed,
                None => line(RunSummary::of(fold)?, Some(fold), eyes.rates),
            },
            handler: fold.opening()?.record.job.handler.to_string(),
            cells,
            failures: Failures::of(fold),
            held: match fold.closing() {
                None => held::longest(eyes.broker, fold, few).await,
                Some(_) => Vec::new(),
            },
        })
    }
}

fn line(summary: RunSummary, fold: Option<&Fold>, rates: &Rates) -> Run {
    let shards = &summary.shards;
    let left = summary
        .grid
        .shards
        .saturating_sub(shards.done + shards.dead);
    let is_open = !summary.state.ended();
    let rate = rates.of_run(&summary.run).filter(|_| is_open);
    let all_known = fold.is_none_or(Fold::all_known);
    Run {
        all_known,
        cancelling: is_open && fold.is_some_and(|fold| fold.cancelled().is_some()),
        shards_per_s: rate,
        eta_s: eta_s(left, rate).filter(|_| all_known),
        waits: Vec::new(),
        strip: Vec::new(),
        summary,
    }
}

/// The runs that are seen and stand still, where somebody leads who can say why.
fn standing(eyes: &Eyes<'_>, wanted: &Wanted, all: &[Run]) -> Vec<RunId> {
    if !eyes.leads {
        return Vec::new();
    }
    let stands = |run: &&Run| {
        run.is_open() && !run.cancelling && run.shards_per_s.is_none_or(|rate| rate == 0.0)
    };
    let standing = seen(wanted, all).filter(stands);
    standing.map(|run| run.id().clone()).collect()
}

/// What these wait for.
async fn waiting(eyes: &Eyes<'_>, runs: Vec<RunId>) -> Vec<(RunId, Vec<Waiting>)> {
    let asks = runs.into_iter().map(|run| async {
        let waits = waits::of(eyes.broker, &run).await;
        let waits = beside_queue(eyes, &run, waits.unwrap_or_default()).await;
        (run, waits)
    });
    join_all(asks).await
}

/// What the leader says that a run waits for, and first of all that none of it has begun, where its queue and the workers
/// say so.
async fn beside_queue(eyes: &Eyes<'_>, run: &RunId, waits: Vec<Waiting>) -> Vec<Waiting> {
    let kept = eyes.live.get(run).and_then(|run| run.fold.as_deref());
    let Some(fold) = kept.filter(|_| queued::may_be(&waits)) else {
        return waits;
    };
    let longest = held::longest(eyes.broker, fold, eyes.here).await;
    queued::with(eyes.broker, (fold, waits), eyes.here, &longest).await
}

/// What workers hold of runs that are seen, by their sessions.
async fn held_by(eyes: &Eyes<'_>, wanted: &Wanted, all: &[Run]) -> BTreeMap<String, Vec<Holds>> {
    let busy = |worker: &&Presence| worker.in_flight > 0;
    let busy: Vec<Presence> = eyes
        .here
        .iter()
        .filter(busy)
        .take(WORKERS)
        .cloned()
        .collect();
    let flies = |run: &&Run| run.is_open() && run.summary.shards.outstanding > 0;
    let asked = seen(wanted, all).filter(flies).take(HELD);
    let asks = asked.map(|run| async {
        let counts = held::counts(eyes.broker, run.id(), &busy).await;
        (run.id().clone(), counts)
    });
    let mut by: BTreeMap<String, Vec<Holds>> = BTreeMap::new();
    for (run, counts) in join_all(asks).await {
        for (session, tiles) in counts {
            let run = run.clone();
            by.entry(session.to_string())
                .or_default()
                .push(Holds { run, tiles });
        }
    }
    by
}

/// The runs that are seen, the one that is open first.
fn seen<'r>(wanted: &'r Wanted, all: &'r [Run]) -> impl Iterator<Item = &'r Run> {
    let ids = wanted.detail.iter().chain(&wanted.runs);
    ids.filter_map(|id| all.iter().find(|run| run.id() == id))
}
