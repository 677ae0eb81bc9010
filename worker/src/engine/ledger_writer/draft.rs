//! From what is due about one run to records, each under the leases of its tiles.

use bytes::Bytes;
use gridloom_shared::broker::Subject;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{Fence, Session};
use gridloom_shared::ledger::outcomes::Entry;
use gridloom_shared::ledger::record::{Reason, WAVE_TILES_MAX};
use gridloom_shared::tile::Tile;

use super::batch::{self, Batch, Content, Signed};
use super::book::Book;
use crate::engine::tiles::{Holding, Tiles};
use crate::failure::Failure;
use crate::outcomes::outbox::Due;
use crate::outcomes::tally::Tally;

const REASONS: [Reason; 4] = [
    Reason::Count,
    Reason::Floor,
    Reason::Again,
    Reason::Returned,
];

/// What is due about one run, on its way into records.
pub(super) struct Draft<'a> {
    pub(super) opened: u64,
    pub(super) session: Session,
    pub(super) book: &'a mut Book,
    pub(super) tiles: &'a mut Tiles,
    pub(super) now: Boot,
    pub(super) batches: &'a mut Vec<Batch>,
}

impl Draft<'_> {
    /// What the next record is signed with.
    fn sign(&mut self) -> Signed {
        self.book.number += 1;
        Signed {
            session: self.session,
            number: self.book.number,
            version: self.book.version,
        }
    }

    fn send(&mut self, signed: Signed, subject: Subject, content: Content, payload: Bytes) {
        self.book.in_flight += 1;
        self.batches
            .push(Batch::new(self.opened, signed, subject, content, payload));
    }

    pub(super) fn claims(&mut self) {
        if self.book.claims.is_empty() {
            return;
        }
        let mut claims = std::mem::take(&mut self.book.claims);
        claims.retain(|(_, holding)| self.tiles.is_held(*holding, self.now));
        for reason in REASONS {
            let of_reason = claims.iter().filter(|(why, _)| *why == reason);
            let holdings: Vec<Holding> = of_reason.map(|(_, holding)| *holding).collect();
            for part in holdings.chunks(WAVE_TILES_MAX) {
                for holding in part {
                    if let Some(held) = self.tiles.of_mut(*holding) {
                        held.claim();
                    }
                }
                let signed = self.sign();
                let payload = batch::takeover_record(signed, reason, part);
                let content = Content::Claims(reason, part.to_vec());
                self.send(signed, self.book.takeover.clone(), content, payload);
            }
        }
    }

    pub(super) fn starts(&mut self) {
        for (holding, page) in std::mem::take(&mut self.book.starts) {
            let held = self.tiles.of(holding);
            let held = held.filter(|held| held.is_held(self.now));
            let Some(fence) = held.and_then(|held| held.own_fence()) else {
                continue;
            };
            let signed = self.sign();
            let place = holding.tile.place;
            let payload = batch::started_record(signed, place, page, fence);
            let content = Content::Started(holding, page);
            self.send(signed, self.book.work.clone(), content, payload);
        }
    }

    pub(super) fn answers(&mut self, record_max: usize) {
        for (holding, answer) in std::mem::take(&mut self.book.answers) {
            let held = self.tiles.of_mut(holding);
            let Some(held) = held.filter(|held| held.is_held(self.now)) else {
                continue;
            };
            let signed = Signed {
                session: self.session,
                number: self.book.number + 1,
                version: self.book.version,
            };
            let fence = held.fence();
            let payload = batch::probed_record(signed, held.tile(), fence, &answer);
            if payload.len() <= record_max {
                self.book.number = signed.number;
                let content = Content::Probed(holding);
                self.send(signed, self.book.work.clone(), content, payload);
                continue;
            }
            let text = format!(
                "the probe's answer has {} bytes, more than a message holds: return the rest by a cursor",
                payload.len()
            );
            let entries = failed_probe(held.tile(), fence, Failure::permanent(text));
            held.await_instead(self.book.outbox.add(holding, entries));
        }
    }

    /// Writes outcomes; says when more are due.
    pub(super) fn outcomes(&mut self) -> Option<Boot> {
        loop {
            match self.book.outbox.due(self.now) {
                Due::Now => {}
                Due::No => return None,
                Due::At(moment) => return Some(moment),
            }
            let mut parts = self.book.outbox.take(self.now);
            parts.retain(|part| self.tiles.is_held(part.tile, self.now));
            if parts.is_empty() {
                self.book.outbox.landed();
                continue;
            }
            let signed = self.sign();
            let payload = batch::outcomes_record(signed, &parts);
            let content = Content::Outcomes(parts);
            self.send(signed, self.book.work.clone(), content, payload);
        }
    }

    /// Writes what was handed back; says in how many records.
    pub(super) fn returns(&mut self) -> u32 {
        let mut records = 0;
        let mut returns = std::mem::take(&mut self.book.returns);
        while !returns.is_empty() {
            let rest = returns.split_off(returns.len().min(WAVE_TILES_MAX));
            let signed = self.sign();
            let payload = batch::returned_record(signed, &returns);
            let content = Content::Returns(returns);
            self.send(signed, self.book.work.clone(), content, payload);
            records += 1;
            returns = rest;
        }
        records
    }
}

/// The outcome of a probe that failed.
pub(in crate::engine) fn failed_probe(tile: &Tile, fence: Fence, failure: Failure) -> Vec<Entry> {
    let mut tally = Tally::new(tile, fence);
    tally.failed(tile.first, failure.into_failed());
    tally.into_entries()
}
