//! Seconds of ordinary work in one line: every errand ends well at once, workers pull what is queued and
//! take their time for it.

use std::collections::BTreeMap;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::outcomes::{Entry, Status};
use gridloom_shared::tile::{TileKind, TileRef};

use super::Told;
use super::line::{Line, duration};
use super::world::World;

/// Time passes in steps of this length.
const STEP: Duration = Duration::from_millis(5);
/// Workers announce themselves so often.
const ANNOUNCED: u64 = 200;

/// A tile that a worker is at.
pub(super) struct Busy {
    worker: String,
    run: RunId,
    place: TileRef,
    pages: u32,
    until: Boot,
}

#[derive(Default)]
struct Sum {
    shards: u64,
    busy: Duration,
    /// Most tiles that were open at once.
    most: usize,
    finished: Option<Duration>,
}

impl World {
    /// `simulate 10s [shards a=10ms,b=1s]`: a shard takes 10 ms where nothing is said.
    pub(super) fn simulate(&mut self, line: &mut Line) -> Told<()> {
        let times = line.option("shards")?.unwrap_or_default();
        let mut takes = BTreeMap::new();
        for pair in times.split(',').filter(|pair| !pair.is_empty()) {
            let (run, time) = pair.split_once('=').ok_or("a time is written a=10ms")?;
            takes.insert(self.run(run)?, duration(time)?);
        }
        let length = duration(&line.word("how long")?)?;
        let end = self.boot + length;
        let began = self.boot;
        let mut sums: BTreeMap<RunId, Sum> = BTreeMap::new();
        self.quiet = true;
        let mut step = 0_u64;
        while self.boot < end {
            step += 1;
            self.pass(STEP);
            if step.is_multiple_of(ANNOUNCED) {
                self.announce();
            }
            self.finish_tiles(&mut sums, &takes, began)?;
            self.rest()?;
            let pulling = self.workers.iter();
            let pulling = pulling.filter(|(_, worker)| worker.speaks && !worker.presence.stopping);
            let names: Vec<String> = pulling.map(|(name, _)| name.clone()).collect();
            for worker in names {
                for (run, place, pages) in self.pull_up_to(&worker, usize::MAX)? {
                    let each = takes
                        .get(&run)
                        .copied()
                        .unwrap_or(Duration::from_millis(10));
                    self.busy.push(Busy {
                        worker: worker.clone(),
                        until: self.boot + each * pages,
                        run,
                        place,
                        pages,
                    });
                }
            }
        }
        self.quiet = false;
        for (run, sum) in sums {
            self.tell_sum(&run, &sum);
        }
        Ok(())
    }

    fn tell_sum(&mut self, run: &RunId, sum: &Sum) {
        let end = match sum.finished {
            Some(after) => format!("over after {:.2} s", after.as_secs_f64()),
            None => "open".to_owned(),
        };
        let text = format!(
            "{}: {} shards in {:.1} worker-seconds, at most {} tiles open; {end}",
            self.names.run(run),
            sum.shards,
            sum.busy.as_secs_f64(),
            sum.most
        );
        self.tell('=', &text);
    }

    /// What follows from what has just happened, to its end.
    fn rest(&mut self) -> Told<()> {
        loop {
            self.feed(usize::MAX);
            self.advance();
            if self.errands.is_empty() {
                return Ok(());
            }
            self.end_all()?;
        }
    }

    fn finish_tiles(
        &mut self,
        sums: &mut BTreeMap<RunId, Sum>,
        takes: &BTreeMap<RunId, Duration>,
        began: Boot,
    ) -> Told<()> {
        for (run, fold) in &self.broker.truth {
            let sum = sums.entry(run.clone()).or_default();
            sum.most = sum.most.max(fold.open_tiles().len());
            if fold.closing().is_some() && sum.finished.is_none() {
                sum.finished = Some(self.boot.since(began));
            }
        }
        let now = self.boot;
        let done: Vec<Busy> = self.busy.extract_if(.., |tile| tile.until <= now).collect();
        let mut by_run: BTreeMap<RunId, Vec<Entry>> = BTreeMap::new();
        for tile in done {
            if let Some(worker) = self.workers.get_mut(&tile.worker) {
                worker.held.remove(&(tile.run.clone(), tile.place));
            }
            let Some(open) = self.broker.truth[&tile.run].open_tiles().get(&tile.place) else {
                continue;
            };
            let first = open.left.iter().next().map_or(0, |left| left.start) as u32;
            by_run.entry(tile.run).or_default().push(Entry {
                tile: tile.place,
                kind: TileKind::Page,
                fence: open.fence,
                slice: open.slice,
                first,
                pages: tile.pages,
                status: Status::Done,
                columns: Vec::new(),
                results: Vec::new(),
            });
        }
        for (run, entries) in by_run {
            let shards: u64 = entries.iter().map(|entry| u64::from(entry.pages)).sum();
            let each = takes
                .get(&run)
                .copied()
                .unwrap_or(Duration::from_millis(10));
            let time = each * shards as u32;
            let sum = sums.entry(run.clone()).or_default();
            sum.shards += shards;
            sum.busy += time;
            self.write_outcomes(&run, None, &entries, false)?;
            self.measure(run, shards, time);
        }
        Ok(())
    }
}
