//! Writes records and takes their answers: append, then acknowledge (docs/PROTOCOL.md §4).
//!
//! Nothing is written for a tile past the end of its lease, and nothing at all while the connection
//! is not open.

use gridloom_shared::broker::log::AppendError;
use gridloom_shared::clock::Boot;
use gridloom_shared::ledger::record::{Reason, WAVE_TILES_MAX};
use gridloom_shared::quick::QuickMap;

use super::admit::failed;
use super::batch::{self, Appended, Batch, Content};
use super::held::{Held, Holding, Phase, TileKey};
use super::{Engine, Signal, errand};
use crate::failure::Failure;
use crate::health::Part;
use crate::outcomes::outbox::Due;
use crate::outcomes::tally::Tally;

const REASONS: [Reason; 4] = [
    Reason::Count,
    Reason::Floor,
    Reason::Again,
    Reason::Returned,
];

/// Whether `holding` is still what it was when something was said about it, and under its lease.
pub(super) fn is_held(tiles: &QuickMap<TileKey, Held>, holding: Holding, now: Boot) -> bool {
    tiles
        .get(&holding.tile)
        .is_some_and(|held| held.generation == holding.generation && held.lease.is_held(now))
}

impl Engine {
    /// Writes what is due about every run.
    pub(super) fn write(&mut self) {
        if !self.link.is_open() {
            return;
        }
        for opened in std::mem::take(&mut self.dirty) {
            if let Some(run) = self.runs.get_mut(opened) {
                run.dirty = false;
            }
            self.write_claims(opened);
            self.write_starts(opened);
            self.write_answers(opened);
            self.write_outcomes(opened);
            self.write_returns(opened);
        }
    }

    fn write_outcomes(&mut self, opened: u64) {
        while let Some(run) = self.runs.get_mut(opened) {
            match run.outbox.due(self.now) {
                Due::Now => {}
                Due::No => return,
                Due::At(moment) => {
                    self.mark_dirty(opened);
                    return self.wake_at(moment);
                }
            }
            let mut parts = run.outbox.take(self.now);
            parts.retain(|part| is_held(&self.tiles, part.tile, self.now));
            if parts.is_empty() {
                run.outbox.landed();
                continue;
            }
            let subject = run.work.clone();
            self.number += 1;
            let payload = batch::outcomes_record(self.session, self.number, &parts);
            self.send(Batch::new(
                opened,
                self.number,
                subject,
                Content::Outcomes(parts),
                payload,
            ));
        }
    }

    fn write_answers(&mut self, opened: u64) {
        let Some(run) = self.runs.get_mut(opened) else {
            return;
        };
        let (answers, subject) = (std::mem::take(&mut run.answers), run.work.clone());
        for (holding, answer) in answers {
            if !is_held(&self.tiles, holding, self.now) {
                continue;
            }
            let Some(held) = self.tiles.get_mut(&holding.tile) else {
                continue;
            };
            let fence = held.lease.fence().unwrap_or(held.tile.fence);
            self.number += 1;
            let payload =
                batch::probed_record(self.session, self.number, &held.tile, fence, &answer);
            if payload.len() > self.broker.max_record() {
                let text = format!(
                    "the probe's answer has {} bytes, more than a message holds: return the rest by a cursor",
                    payload.len()
                );
                let mut tally = Tally::new(&held.tile, fence);
                tally.failed(held.tile.first, failed(Failure::permanent(text)));
                held.parts = 0;
                if let Some(run) = self.runs.get_mut(opened) {
                    held.parts = run.outbox.add(holding, tally.into_entries());
                }
                continue;
            }
            self.send(Batch::new(
                opened,
                self.number,
                subject.clone(),
                Content::Probed(holding),
                payload,
            ));
        }
    }

    fn write_claims(&mut self, opened: u64) {
        let Some(run) = self.runs.get_mut(opened) else {
            return;
        };
        if run.claims.is_empty() {
            return;
        }
        let (mut claims, subject) = (std::mem::take(&mut run.claims), run.takeover.clone());
        claims.retain(|(_, holding)| is_held(&self.tiles, *holding, self.now));
        for reason in REASONS {
            let of_reason = claims.iter().filter(|(why, _)| *why == reason);
            let holdings: Vec<Holding> = of_reason.map(|(_, holding)| *holding).collect();
            for part in holdings.chunks(WAVE_TILES_MAX) {
                for holding in part {
                    if let Some(held) = self.tiles.get_mut(&holding.tile) {
                        held.lease.claim();
                    }
                }
                self.number += 1;
                let payload = batch::takeover_record(self.session, self.number, reason, part);
                let content = Content::Claims(reason, part.to_vec());
                self.send(Batch::new(
                    opened,
                    self.number,
                    subject.clone(),
                    content,
                    payload,
                ));
            }
        }
    }

    fn write_starts(&mut self, opened: u64) {
        let Some(run) = self.runs.get_mut(opened) else {
            return;
        };
        let (starts, subject) = (std::mem::take(&mut run.starts), run.work.clone());
        for (holding, page) in starts {
            if !is_held(&self.tiles, holding, self.now) {
                continue;
            }
            let fence = self
                .tiles
                .get(&holding.tile)
                .and_then(|held| held.lease.fence());
            let Some(fence) = fence else { continue };
            self.number += 1;
            let place = holding.tile.place;
            let payload = batch::started_record(self.session, self.number, place, page, fence);
            let content = Content::Started(holding, page);
            self.send(Batch::new(
                opened,
                self.number,
                subject.clone(),
                content,
                payload,
            ));
        }
    }

    fn write_returns(&mut self, opened: u64) {
        let Some(run) = self.runs.get_mut(opened) else {
            return;
        };
        let (mut returns, subject) = (std::mem::take(&mut run.returns), run.work.clone());
        while !returns.is_empty() {
            let rest = returns.split_off(returns.len().min(WAVE_TILES_MAX));
            self.number += 1;
            self.asked.returning += 1;
            let payload = batch::returned_record(self.session, self.number, &returns);
            self.send(Batch::new(
                opened,
                self.number,
                subject.clone(),
                Content::Returns(returns),
                payload,
            ));
            returns = rest;
        }
    }

    fn send(&mut self, batch: Batch) {
        if let Some(run) = self.runs.get_mut(batch.run) {
            run.in_flight += 1;
        }
        self.errands
            .push(Box::pin(errand::append(self.broker.clone(), batch)));
    }

    pub(super) fn appended(&mut self, appended: Appended) {
        let Appended {
            batch,
            result,
            took,
        } = appended;
        match result {
            Ok(sequence) => {
                self.meters.append.record(took.as_secs_f64());
                self.ledger_works();
                self.confirmed(batch, sequence);
            }
            Err(error) => {
                self.not_appended(&error);
                if batch.is_hopeless() {
                    return self.give_up(&batch);
                }
                let pause = batch.pause();
                self.errands.push(Box::pin(errand::again(batch, pause)));
            }
        }
    }

    fn ledger_works(&mut self) {
        if std::mem::take(&mut self.ledger_troubled) {
            self.ledger_full = false;
            self.health.fine(&Part::Ledger);
        }
    }

    /// A ledger that took no records may be tried again once nothing is left that it could take.
    pub(super) fn try_ledger(&mut self) {
        if self.ledger_full && self.runs.are_idle() {
            self.ledger_works();
        }
    }

    fn not_appended(&mut self, error: &AppendError) {
        match error {
            AppendError::Full { .. } | AppendError::Failed { .. } => {
                self.ledger_troubled = true;
                self.ledger_full |= matches!(error, AppendError::Full { .. });
                self.trouble(Part::Ledger, error.to_string());
            }
            // A stream whose disk was full, or that this worker may not write to, does not answer.
            AppendError::Unknown { .. } if self.link.is_open() && self.broker.is_connected() => {
                self.ledger_troubled = true;
                let why =
                    format!("{error}; look at the broker's log: a full disk, or a permission");
                self.trouble(Part::Ledger, why);
            }
            AppendError::Unavailable { .. }
            | AppendError::Unknown { .. }
            | AppendError::Conflict { .. } => {
                tracing::debug!(%error, "record not confirmed: trying again");
            }
        }
    }

    fn confirmed(&mut self, batch: Batch, sequence: u64) {
        self.landed(&batch);
        match batch.content {
            Content::Outcomes(parts) => parts.iter().for_each(|part| self.confirm(part.tile)),
            Content::Probed(holding) => self.confirm(holding),
            Content::Started(holding, page) => self.announced(holding, page),
            Content::Claims(reason, holdings) => {
                self.read_claim(batch.run, batch.number, sequence, reason, holdings)
            }
            Content::Returns(returns) => {
                for receipt in returns.into_iter().flat_map(|given| given.receipts) {
                    self.signals
                        .push_back(Signal::Nak(receipt.reply, receipt.epoch));
                }
            }
        }
    }

    fn confirm(&mut self, holding: Holding) {
        let held = self
            .tiles
            .get_mut(&holding.tile)
            .filter(|held| held.generation == holding.generation);
        let Some(held) = held else { return };
        held.parts = held.parts.saturating_sub(1);
        if held.parts == 0 && held.phase == Phase::Reporting {
            self.settle(holding.tile);
        }
    }

    /// A record is not on its way any more.
    fn landed(&mut self, batch: &Batch) {
        let Some(run) = self.runs.get_mut(batch.run) else {
            return;
        };
        run.in_flight = run.in_flight.saturating_sub(1);
        if matches!(batch.content, Content::Returns(_)) {
            self.asked.returning = self.asked.returning.saturating_sub(1);
        }
        if matches!(batch.content, Content::Outcomes(_)) {
            run.outbox.landed();
            self.mark_dirty(batch.run);
        }
    }

    fn give_up(&mut self, batch: &Batch) {
        self.landed(batch);
        tracing::debug!(run = batch.run, number = batch.number, "record given up");
    }

    /// Sends a record again, for what may still be said of it.
    pub(super) fn send_again(&mut self, mut batch: Batch) {
        if !self.link.is_open() {
            self.parked.push(batch);
            return;
        }
        let now = Boot::now();
        if batch.narrow(self.session, |holding| is_held(&self.tiles, holding, now)) {
            self.errands
                .push(Box::pin(errand::append(self.broker.clone(), batch)));
        } else {
            self.landed(&batch);
            self.mark_dirty(batch.run);
        }
    }
}
