//! The lanes of one queue: what each may issue, and who of all that wait is next. Pure.
//!
//! A lane is what a queue has for one handler. Lanes share workers more or less ([`Overlap`]), and what
//! is outstanding of one takes room of another by that. Order is one over all lanes: whoever is first by
//! level, use and age among the lanes that have room goes next, and a lane without room holds up nobody.

use std::collections::BTreeMap;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::{HandlerName, JobName, QueueName, ShareName};

use super::dues::Dues;
use super::line::{Head, Level, Line, Place};
use super::overlap::Overlap;
use super::window::{self, Window};
use crate::crew::Crew;
use crate::now::Now;

/// Lanes without an open run that are remembered for their rate, which others measure anew.
const LANES_MAX: usize = 64;

/// What a queue has for one handler.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) window: Window,
    /// Tiles that lack an outcome.
    pub(super) outstanding: usize,
    pub(super) open_runs: usize,
    line: Line,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: BTreeMap<HandlerName, Lane>,
    dues: Dues,
    overlap: Overlap,
}

/// How much of a lane may be outstanding, and is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// Tiles that its workers run at once.
    pub(super) slots: usize,
    /// Most tiles that its workers may have before them.
    pub(super) most: usize,
    /// What they have, of all lanes.
    pub(super) load: f64,
    /// How many more its window has room for.
    pub(super) room: f64,
    /// How many more of its own may be outstanding, whatever others have.
    pub(super) own: usize,
    /// Whether somebody waits.
    pub(super) waiting: bool,
}

impl Lane {
    /// The jobs whose runs wait, each with how many; one may come more than once.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&JobName, usize)> {
        self.line.waiting()
    }
}

impl Queue {
    /// How many runs are open.
    pub(super) fn open_runs(&self) -> usize {
        self.lanes.values().map(|lane| lane.open_runs).sum()
    }

    /// Whether somebody waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.lanes.values().any(|lane| !lane.line.is_empty())
    }

    /// Whether somebody waits for room, and not for a limit of a job.
    pub(super) fn is_asking(&self) -> bool {
        self.lanes.values().any(|lane| lane.line.is_asking())
    }

    /// The lane of a handler, made where there is none.
    pub(super) fn lane(&mut self, handler: &HandlerName, now: Boot) -> &mut Lane {
        if !self.lanes.contains_key(handler) {
            self.overlap.forget();
            if self.lanes.len() >= LANES_MAX {
                self.lanes.retain(|_, lane| lane.open_runs > 0);
            }
        }
        self.lanes.entry(handler.clone()).or_insert_with(|| Lane {
            window: Window::new(now),
            outstanding: 0,
            open_runs: 0,
            line: Line::default(),
        })
    }

    /// The lanes by their handlers, in the order of the [`Queue::loads`].
    pub(super) fn each(&self) -> impl Iterator<Item = (&HandlerName, &Lane)> {
        self.lanes.iter()
    }

    /// The lane of a handler.
    pub(super) fn get_mut(&mut self, handler: &HandlerName) -> Option<&mut Lane> {
        self.lanes.get_mut(handler)
    }

    /// A run could use room.
    pub(super) fn insert(&mut self, handler: &HandlerName, place: &Place) {
        self.dues.activate(&place.share, 1);
        if let Some(lane) = self.lanes.get_mut(handler) {
            lane.line.insert(place, self.dues.of(&place.share));
        }
    }

    /// It cannot any more.
    pub(super) fn remove(&mut self, handler: &HandlerName, place: &Place) {
        if let Some(lane) = self.lanes.get_mut(handler) {
            lane.line.remove(place, self.dues.of(&place.share));
        }
        self.dues.release(&place.share, 1);
    }

    /// A job that was blocked may be served again.
    pub(super) fn unblock(&mut self, share: &ShareName, job: &JobName) {
        let used = self.dues.of(share);
        let lanes = self.lanes.values_mut();
        lanes.for_each(|lane| lane.line.unblock(share, used, job));
    }

    /// A share was given worker-time, or it turned out to be another amount.
    pub(super) fn charge(&mut self, share: &ShareName, microseconds: i64) {
        let change = self.dues.charge(share, microseconds);
        let lanes = self.lanes.values_mut();
        lanes.for_each(|lane| lane.line.charged(share, change));
    }

    /// So many tiles more lack an outcome.
    pub(super) fn count(&mut self, handler: &HandlerName, share: &ShareName, tiles: usize) {
        if let Some(lane) = self.lanes.get_mut(handler) {
            lane.outstanding += tiles;
        }
        self.dues.activate(share, tiles);
    }

    /// So many have all outcomes.
    pub(super) fn uncount(&mut self, handler: &HandlerName, share: &ShareName, tiles: usize) {
        if let Some(lane) = self.lanes.get_mut(handler) {
            lane.outstanding = lane.outstanding.saturating_sub(tiles);
        }
        self.dues.release(share, tiles);
    }

    /// How much of each lane may be outstanding, and is, in the order of their handlers.
    pub(super) fn loads(&mut self, name: &QueueName, crew: &Crew, now: Now) -> Vec<Load> {
        self.overlap.look(name, self.lanes.keys(), crew, now);
        let lanes: Vec<&Lane> = self.lanes.values().collect();
        let (overlap, rates) = (&self.overlap, lanes.iter());
        let rates: Vec<f64> = rates.map(|lane| lane.window.rate(now.boot)).collect();
        let loads = lanes.iter().enumerate().map(|(n, lane)| {
            let slots = overlap.slots(n);
            let most = window::most(slots, overlap.sum(n, |of| rates[of]));
            let load = overlap.sum(n, |of| lanes[of].outstanding as f64);
            let mut own = most.saturating_sub(lane.outstanding);
            let mut room = window::room(most, load, slots);
            if !overlap.is_open(n) {
                (own, room) = (0, 0.0);
            }
            Load {
                slots,
                most,
                load,
                room,
                own,
                waiting: !lane.line.is_empty(),
            }
        });
        loads.collect()
    }

    /// Where a handler's lane stands among the [`Queue::loads`].
    pub(super) fn position(&self, handler: &HandlerName) -> Option<usize> {
        self.lanes.keys().position(|other| other == handler)
    }

    /// How many more tiles a lane may issue.
    ///
    /// What its own window has room for. And where that has none, because of tiles of others that its
    /// workers have before them too: a part of the room of such another lane, whose next tiles would
    /// make its workers still busier. Which of both goes first is a matter of order alone; otherwise
    /// one that shares workers with several others could wait for ever behind less urgent ones.
    pub(super) fn room(&self, loads: &[Load], lane: usize) -> usize {
        let others = loads.iter().enumerate();
        let lent =
            others.filter(|(other, load)| *other != lane && load.waiting && load.room >= 1.0);
        let lent = lent.map(|(other, load)| load.room.floor() * self.overlap.part(other, lane));
        let lent = lent.fold(0.0, f64::max).ceil() as usize;
        lent.min(loads[lane].own).max(loads[lane].room as usize)
    }

    /// So many tiles of a lane are issued: less room for all whose workers may run them.
    pub(super) fn take(&self, loads: &mut [Load], lane: usize, tiles: usize) {
        for (on, load) in loads.iter_mut().enumerate() {
            load.room = (load.room - tiles as f64 * self.overlap.part(lane, on)).max(0.0);
        }
        loads[lane].own = loads[lane].own.saturating_sub(tiles);
    }

    /// Whoever is next of those that `may` be served, with the position of its lane, and the worker-time
    /// that its share may be given before it is another's turn: `None` where no other waits.
    pub(super) fn head(
        &mut self,
        loads: &[Load],
        mut may: impl FnMut(&JobName) -> bool,
    ) -> Option<(Head, usize, Option<u64>)> {
        let rooms = (0..loads.len()).map(|lane| loads[lane].waiting && self.room(loads, lane) > 0);
        let rooms: Vec<bool> = rooms.collect();
        let open = self.lanes.values_mut().enumerate();
        let heads = open.filter(|(lane, _)| rooms[*lane]);
        let heads = heads.filter_map(|(n, lane)| Some((lane.line.head(&mut may)?, n)));
        let (head, n) = heads.min()?;
        self.dues.serve(head.used);
        let open = self.lanes.values().zip(&rooms).filter(|(_, room)| **room);
        let rivals = open.filter_map(|(lane, _)| lane.line.rival(head.level, &head.share));
        let until_next = rivals.min().map(|next| next.saturating_sub(head.used));
        Some((head, n, until_next))
    }

    /// How many lanes are known.
    #[cfg(test)]
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Whether one of a higher level waits that the workers of a lane could run too.
    pub(super) fn is_behind(&self, lane: usize, level: Level) -> bool {
        let lines = self.lanes.values().enumerate();
        let mut shared = lines.filter(|(other, _)| self.overlap.part(*other, lane) > 0.0);
        shared.any(|(_, other)| other.line.first_level().is_some_and(|first| first < level))
    }
}
