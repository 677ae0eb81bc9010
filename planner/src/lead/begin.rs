//! What is issued with the record that opens a run, and how it gets on the queue: the tiles of all runs that have
//! begun in one round together.

use gridloom_shared::job::JobSpec;
use gridloom_shared::lane::Lane;
use gridloom_shared::ledger::record::{Opened, TileRun, WAVE_TILES_MAX, count};

use super::*;
use crate::run::wave;

/// Who publishes the tiles that a run's first record has issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// This leadership, at once.
    Here,
    /// Somebody else, or nobody: there are none, or more was issued since. What the queue lacks of it is found.
    Earlier,
}

impl Lead {
    /// A run is about to be opened with this record: with what is issued at once.
    pub(super) fn begins(&mut self, mut opened: Box<Opened>, now: Now) -> Box<Opened> {
        opened.first = self.first_tiles(&opened.job, now);
        let tiles = count(&opened.first);
        if tiles > 0 {
            self.admission.begins(&opened.job.queue, tiles, now);
        }
        opened
    }

    fn first_tiles(&mut self, job: &JobSpec, now: Now) -> Vec<TileRun> {
        let never = job.grid.is_probed() || self.claims.is_claiming() || self.no_room.is_some();
        if never {
            return Vec::new();
        }
        let room = self.admission.may_begin(job, &self.crew, now);
        let room = Room {
            tiles: room.tiles.min(FROZEN_TILES),
            record: self.record,
            ..room
        };
        wave::all_tiles(&job.grid, room)
    }

    /// Whether nothing stands in a run's ledger, which was opened in the time of this leadership, but a first record of its
    /// own, which has issued tiles that nobody else publishes.
    pub(super) fn beginning_of(&self, fold: &Fold) -> Beginning {
        let term = self.term();
        let ours = fold
            .opening()
            .is_some_and(|opening| opening.record.term == term);
        match ours && fold.records() == 1 && fold.next_wave() == 1 {
            true => Beginning::Here,
            false => Beginning::Earlier,
        }
    }

    /// Has the first tiles of all runs that have begun since put on the queue.
    pub(super) fn begin(&mut self) {
        let mut runs: Vec<Begun> = Vec::new();
        let mut tiles = 0;
        for name in std::mem::take(&mut self.begun) {
            let Some(begun) = self.begun(name) else {
                continue;
            };
            if tiles + begun.wave.len() > WAVE_TILES_MAX {
                self.publish_first(std::mem::take(&mut runs));
                tiles = 0;
            }
            tiles += begun.wave.len();
            runs.push(begun);
        }
        if !runs.is_empty() {
            self.publish_first(runs);
        }
    }

    fn publish_first(&mut self, runs: Vec<Begun>) {
        let register = self.claims.register();
        self.actions.push(Action::Begin { runs, register });
    }

    /// `None` if the run is gone already.
    fn begun(&self, run: RunId) -> Option<Begun> {
        let opening = self.book.get(&run)?.fold().opening()?;
        Some(Begun {
            life: self.book.life(&run),
            lane: Lane::of(&opening.record.job),
            sequence: opening.sequence,
            nonce: opening.record.nonce,
            wave: opening.record.wave(opening.sequence)?,
            frozen: frozen(&opening.record),
            traceparent: opening.record.traceparent,
            run,
        })
    }
}

/// What tiles carry of a run's first record, where it is small.
pub(super) fn frozen(opened: &Opened) -> Option<bytes::Bytes> {
    let frozen = wire::encode(&PlanRecord::Opened(Box::new(opened.clone())));
    Some(frozen).filter(|frozen| frozen.len() <= FROZEN_MAX)
}
