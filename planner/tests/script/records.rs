//! What the lines mean that write to the ledger: submissions, and what workers report.

use std::ops::Range;
use std::sync::mpsc;
use std::time::Duration;

use gridloom_planner::lead::event::Event;
use gridloom_planner::open::NewRun;
use gridloom_planner::teller::Teller;
use gridloom_shared::id::{Fence, Nonce, RunId, Session, Term};
use gridloom_shared::ledger::outcomes::{self, Entry, Failed, Retry, Status};
use gridloom_shared::ledger::record::{
    Author, Opened, PlanRecord, Probed, Reason, Record, Takeover, WorkRecord,
};
use gridloom_shared::tile::{Bounds, Key, TileKind, TileRef};

use super::Told;
use super::jobs::job;
use super::line::{Line, cells, duration, number};
use super::show;
use super::world::World;

/// Who worked where the script does not say.
const ANYBODY: Session = Session(99);

/// Which of a cell's tiles an outcome is of, and under which fence.
#[derive(Clone, Copy, PartialEq)]
enum Held {
    /// The last one, as it is held.
    Now,
    /// The last one, under its wave's fence, though it may have been taken over since.
    TakenOver,
    /// The one of the attempt before.
    Earlier,
}

/// Entries of one record: a worker's, too, fit into the smallest message.
const ENTRIES: usize = 2_000;

impl World {
    pub(super) fn record_of(&mut self, verb: &str, line: &mut Line) -> Told<()> {
        match verb {
            "open" => self.open(line, false),
            "begin" => self.open(line, true),
            "not-opened" => self.not_opened(line),
            "done" => self.outcome(line, &Status::Done),
            "fail" => self.fail(line),
            "takeover" => self.takeover(line),
            "return" => self.hand_back(line),
            "probed" => self.probed(line),
            "measured" => self.measured(line),
            "unreadable" => self.unreadable(line),
            "purge" => {
                let run = self.named(line)?;
                self.broker.purge(&run);
                Ok(())
            }
            _ => self.rival(verb, line),
        }
    }

    /// `open a [job a] [slices 2] [pages 5] ...`: a submission is answered. `open a unanswered ...`: the
    /// record is only read in the ledger. The same name once more: the same run with another nonce. `begin a`: with
    /// the tiles that the leadership issues with it.
    fn open(&mut self, line: &mut Line, begins: bool) -> Told<()> {
        let name = line.word("a run")?;
        let unanswered = line.flag("unanswered");
        let term = line.number_option("term")?.unwrap_or(self.term);
        let spec = job(&name, line)?;
        let run = match self.run(&name) {
            Ok(run) => run,
            Err(_) => {
                let of_job = self
                    .runs
                    .values()
                    .filter(|(_, other)| other.name == spec.name);
                RunId::from_submission(&spec.name, of_job.count() as u64 + 1)
            }
        };
        self.names.runs.insert(run.clone(), name.clone());
        self.runs.insert(name, (run.clone(), spec.clone()));
        self.nonce += 1;
        let mut opened = Opened {
            nonce: Nonce(self.nonce),
            scheduled_at: self.broker.now,
            content: 0,
            term: Term(term),
            job: spec,
            first: Vec::new(),
            traceparent: None,
            reports: 1,
        };
        if begins {
            opened = self.first_tiles(opened)?;
        }
        let queue = opened.job.queue.clone();
        let record = PlanRecord::Opened(Box::new(opened));
        let own = Ok(Record::Plan(record.clone()));
        let sequence = self.broker.append(&run, &queue, own, &mut self.checks);
        self.tell('=', &format!("{sequence}: {}", show::record(&record)));
        if !unanswered {
            self.take(Event::Opened(Box::new(NewRun {
                run,
                sequence,
                record,
            })));
        }
        Ok(())
    }

    /// `not-opened a ...`: the leadership says what may be issued with the record, which is not written then.
    fn not_opened(&mut self, line: &mut Line) -> Told<()> {
        let name = line.word("a run")?;
        let opened = Opened {
            nonce: Nonce(0),
            scheduled_at: self.broker.now,
            content: 0,
            term: Term(self.term),
            job: job(&name, line)?,
            first: Vec::new(),
            traceparent: None,
            reports: 1,
        };
        let opened = self.first_tiles(opened)?;
        let tiles = opened.first.iter().map(|run| run.tiles as usize).sum();
        self.tell(
            '=',
            &format!(
                "not {}",
                show::record(&PlanRecord::Opened(Box::new(opened.clone())))
            ),
        );
        self.take(Event::NotOpened(opened.job.queue, tiles));
        Ok(())
    }

    /// The record with the tiles that the leadership issues with it.
    fn first_tiles(&mut self, opened: Opened) -> Told<Opened> {
        let (tell, told) = mpsc::channel();
        let teller = Teller::new(move |opened| {
            let _ = tell.send(opened);
        });
        self.take(Event::Begins(Box::new(opened), teller));
        let opened = told.try_recv().map_err(|_| "nobody leads")?;
        Ok(*opened)
    }

    fn append(&mut self, run: &RunId, record: Result<Record, Author>) -> Told<u64> {
        let spec = self.runs.values().find(|(id, _)| id == run);
        let (_, spec) = spec.ok_or("the run was never opened")?;
        let queue = spec.queue.clone();
        Ok(self.broker.append(run, &queue, record, &mut self.checks))
    }

    /// Who reports, and under which number.
    fn author(&mut self, by: Option<String>) -> Told<(Session, u64)> {
        let Some(name) = by else {
            self.nonce += 1;
            return Ok((ANYBODY, self.nonce));
        };
        let worker = self.workers.get_mut(&name);
        let worker = worker.ok_or_else(|| format!("no worker is called {name}"))?;
        worker.number += 1;
        Ok((worker.presence.session, worker.number))
    }

    /// `fail a 0/2 "error" [never] [after 5s] [hold 10s] [by w1] [stale]`
    fn fail(&mut self, line: &mut Line) -> Told<()> {
        let retry = if line.flag("never") {
            Retry::Never
        } else if let Some(after) = line.duration_option("after")? {
            Retry::AfterMs(after.as_millis() as u64)
        } else if let Some(hold) = line.duration_option("hold")? {
            Retry::Hold(hold.as_millis() as u64)
        } else {
            Retry::Backoff
        };
        let error = line.option("saying")?.unwrap_or_else(|| "no".to_owned());
        self.outcome(line, &Status::Failed(Failed { error, retry }))
    }

    /// `done a [0/3..5,1] [by w1] [stale] [unacked]`: outcomes of open tiles, or of those that were issued
    /// last for these cells. `stale`: under the fence of the wave, by one that was taken over. `earlier`: of
    /// the attempt before the last. `probe`: of a probe. `unacked`: the tile stays on the queue.
    fn outcome(&mut self, line: &mut Line, status: &Status) -> Told<()> {
        let (stale, unacked) = (line.flag("stale"), line.flag("unacked"));
        let kind = if line.flag("probe") {
            TileKind::Probe
        } else {
            TileKind::Page
        };
        let which = match (stale, line.flag("earlier")) {
            (_, true) => Held::Earlier,
            (true, false) => Held::TakenOver,
            (false, false) => Held::Now,
        };
        let by = line.option("by")?;
        let run = self.named(line)?;
        let chosen = line.maybe().map(|text| cells(&text)).transpose()?;
        let pages = self.pages(&run, kind, chosen)?;
        let mut entries = Vec::new();
        for (slice, page) in pages {
            let (tile, fence) = self.tile_of(&run, (kind, slice, page), which)?;
            entries.push(Entry {
                tile,
                kind,
                fence,
                slice,
                first: page,
                pages: 1,
                status: status.clone(),
                columns: Vec::new(),
                results: Vec::new(),
            });
        }
        self.write_outcomes(&run, by.as_ref(), &entries, unacked)?;
        if stale && !unacked {
            self.let_go(&run, by.as_deref(), &entries);
        }
        Ok(())
    }

    pub(super) fn write_outcomes(
        &mut self,
        run: &RunId,
        by: Option<&String>,
        entries: &[Entry],
        unacked: bool,
    ) -> Told<()> {
        for entries in entries.chunks(ENTRIES) {
            let (session, number) = self.author(by.cloned())?;
            let block = outcomes::encode(entries).into();
            let record = WorkRecord::Outcomes {
                session,
                number,
                block,
            };
            self.append(run, Ok(Record::Work(record)))?;
        }
        if !unacked {
            self.acknowledge(run);
        }
        Ok(())
    }

    /// Acknowledges tiles although the ledger says that they are open.
    fn let_go(&mut self, run: &RunId, by: Option<&str>, entries: &[Entry]) {
        let settled = |place: TileRef| entries.iter().any(|entry| entry.tile == place);
        let queue = &mut self.broker.queue;
        queue.retain(|_, message| message.tile.run != *run || !settled(message.tile.place()));
        if let Some(worker) = by.and_then(|name| self.workers.get_mut(name)) {
            worker
                .held
                .retain(|(of, place)| of != run || !settled(*place));
        }
    }

    fn acknowledge(&mut self, run: &RunId) {
        self.broker.acknowledge(run);
        let Some(truth) = self.broker.truth.get(run) else {
            return;
        };
        for worker in self.workers.values_mut() {
            worker
                .held
                .retain(|(of, place)| of != run || truth.open_tiles().contains_key(place));
        }
    }

    /// The pages that are meant; all that are open where none is named.
    fn pages(
        &self,
        run: &RunId,
        kind: TileKind,
        chosen: Option<Vec<(u32, Option<Range<u32>>)>>,
    ) -> Told<Vec<(u32, u32)>> {
        let truth = self.broker.truth.get(run).ok_or("the run has no ledger")?;
        let tiles = truth.open_tiles().values().filter(|tile| tile.kind == kind);
        let mut open: Vec<(u32, u32)> = tiles
            .flat_map(|tile| {
                let pages = tile.left.iter().flatten();
                pages
                    .map(|page| (tile.slice, page as u32))
                    .collect::<Vec<_>>()
            })
            .collect();
        open.sort_unstable();
        let Some(chosen) = chosen else {
            return Ok(open);
        };
        let pages = chosen.into_iter().flat_map(|(slice, pages)| match pages {
            Some(pages) => pages.map(|page| (slice, page)).collect(),
            None => open
                .iter()
                .filter(|(of, _)| *of == slice)
                .copied()
                .collect::<Vec<_>>(),
        });
        Ok(pages.collect())
    }

    /// The tile that a cell is in and the fence under which it is held. Only what is on the queue, or
    /// held, can have been run.
    fn tile_of(
        &self,
        run: &RunId,
        (kind, slice, page): (TileKind, u32, u32),
        which: Held,
    ) -> Told<(TileRef, Fence)> {
        let name = (run.clone(), kind, slice, page);
        let issued = self.broker.issued.get(&name).map_or(&[][..], Vec::as_slice);
        let mut issued = issued.iter().rev().copied();
        let tile = match which {
            Held::Earlier => issued.nth(1),
            Held::Now | Held::TakenOver => issued.next(),
        };
        let (place, wave) = tile.ok_or_else(|| format!("{slice}/{page} was never issued"))?;
        let Some(open) = self.broker.truth[run].open_tiles().get(&place) else {
            return Ok((place, wave)); // a late outcome
        };
        let held = self.workers.values().any(|worker| {
            let name = (run.clone(), place);
            worker.held.contains(&name)
        });
        if !held && !self.broker.listed(run).any(|queued| queued == place) {
            return Err(format!(
                "nobody can have run {slice}/{page}: it is not on the queue"
            ));
        }
        Ok((place, if which == Held::Now { open.fence } else { wave }))
    }

    /// `takeover a 0/2 by w2 [because count|floor|again|returned]`
    fn takeover(&mut self, line: &mut Line) -> Told<()> {
        let reason = match line.option("because")?.as_deref() {
            None | Some("count") => Reason::Count,
            Some("floor") => Reason::Floor,
            Some("again") => Reason::Again,
            Some("returned") => Reason::Returned,
            Some(other) => return Err(format!("{other} is no reason")),
        };
        let (run, tiles, by) = self.tiles(line)?;
        if let Some(worker) = by.as_ref().and_then(|name| self.workers.get_mut(name)) {
            worker
                .held
                .extend(tiles.iter().map(|place| (run.clone(), *place)));
        }
        let (session, number) = self.author(by)?;
        let takeover = Takeover {
            session,
            number,
            tiles,
            reason,
        };
        self.append(&run, Ok(Record::Takeover(takeover)))?;
        Ok(())
    }

    /// `return a 0/2 by w1`: handed back without an outcome.
    fn hand_back(&mut self, line: &mut Line) -> Told<()> {
        let (run, tiles, by) = self.tiles(line)?;
        if let Some(worker) = by.as_ref().and_then(|name| self.workers.get_mut(name)) {
            tiles.iter().for_each(|place| {
                worker.held.remove(&(run.clone(), *place));
            });
        }
        let (session, number) = self.author(by)?;
        let returned = WorkRecord::Returned {
            session,
            number,
            tiles,
        };
        self.append(&run, Ok(Record::Work(returned)))?;
        Ok(())
    }

    fn tiles(&mut self, line: &mut Line) -> Told<(RunId, Vec<TileRef>, Option<String>)> {
        let by = line.option("by")?;
        let run = self.named(line)?;
        let chosen = cells(&line.word("cells")?)?;
        let pages = self.pages(&run, TileKind::Page, Some(chosen))?;
        let mut tiles: Vec<TileRef> = Vec::new();
        for (slice, page) in pages {
            let name = (run.clone(), TileKind::Page, slice, page);
            let issued = self.broker.issued.get(&name);
            let last = issued.and_then(|issued| issued.last());
            tiles.push(last.ok_or("it was never issued")?.0);
        }
        tiles.dedup();
        Ok((run, tiles, by))
    }

    /// `probed a 0 pages 3 [cursor 300] [by w1]`: the answer to the open probe of a slice.
    fn probed(&mut self, line: &mut Line) -> Told<()> {
        let by = line.option("by")?;
        let count = line.number_option("pages")?.unwrap_or(0);
        let cursor = line.number_option("cursor")?;
        let run = self.named(line)?;
        let slice = number(&line.word("a slice")?)? as u32;
        let open = self.pages(&run, TileKind::Probe, Some(vec![(slice, None)]))?;
        let (_, probe) = *open.first().ok_or("no probe of that slice is open")?;
        let (tile, fence) = self.tile_of(&run, (TileKind::Probe, slice, probe), Held::Now)?;
        let (session, number) = self.author(by)?;
        let first = i64::from(probe) * 1_000_000;
        let bounds = (0..count as i64).map(|n| {
            let low = first + n * 100;
            Bounds(Key::Int(low), Key::Int(low + 99))
        });
        let probed = Probed {
            session,
            number,
            tile,
            fence,
            slice,
            probe,
            pages: bounds.collect(),
            cursor: cursor.map(|key| Key::Int(key as i64)),
        };
        self.append(&run, Ok(Record::Work(WorkRecord::Probed(probed))))?;
        self.acknowledge(&run);
        Ok(())
    }

    /// `measured a 100 in 2s`: workers have executed shards in so much worker-time.
    fn measured(&mut self, line: &mut Line) -> Told<()> {
        let busy = duration(&line.option("in")?.ok_or("in how long?")?)?;
        let run = self.named(line)?;
        let shards = number(&line.word("how many shards")?)?;
        self.measure(run, shards, busy);
        Ok(())
    }

    pub(super) fn measure(&mut self, run: RunId, shards: u64, busy: Duration) {
        self.take(Event::Measured { run, shards, busy });
    }

    /// `unreadable a [plan|work|takeover]`: a record that nobody can read.
    fn unreadable(&mut self, line: &mut Line) -> Told<()> {
        let run = self.named(line)?;
        let author = line.maybe().unwrap_or_else(|| "work".to_owned());
        let author = Author::parse(&author).ok_or("no such author")?;
        self.append(&run, Err(author))?;
        Ok(())
    }
}
