//! One record on its way to the ledger, and how its answer is waited for.
//!
//! An append whose answer was lost is repeated with the same number, so that it counts once. What is
//! held no more is left out: of the two, the one that is stored first counts, and both say the same of
//! what is still held.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::Subject;
use gridloom_shared::broker::log::AppendError;
use gridloom_shared::id::{Fence, Session};
use gridloom_shared::ledger::outcomes;
use gridloom_shared::ledger::record::{Probed, Reason, Takeover, WorkRecord};
use gridloom_shared::tile::{Tile, TileRef};
use gridloom_shared::wire;

use super::book::Return;
use crate::engine::tiles::Holding;
use crate::handler::ProbedPages;
use crate::outcomes::outbox::Part;

const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A record that only says what was given back is tried so often.
const RETURN_TRIES: u32 = 5;

/// What a record says.
#[derive(Debug)]
pub(in crate::engine) enum Content {
    Outcomes(Vec<Part<Holding>>),
    Probed(Holding),
    Claims(Reason, Vec<Holding>),
    /// A page is about to be executed.
    Started(Holding, u64),
    Returns(Vec<Return>),
}

/// Who writes a record, which of that one's it is, and in which version at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed {
    pub(super) session: Session,
    pub(super) number: u64,
    pub(super) version: u16,
}

#[derive(Debug)]
pub(in crate::engine) struct Batch {
    /// The run: sequence of its `opened` record.
    pub(super) run: u64,
    pub(super) signed: Signed,
    pub(super) content: Content,
    subject: Subject,
    payload: Bytes,
    tries: u32,
}

/// The answer to one append.
#[derive(Debug)]
pub(in crate::engine) struct Appended {
    pub(super) batch: Batch,
    pub(in crate::engine) result: Result<u64, AppendError>,
    pub(in crate::engine) took: Duration,
}

impl Appended {
    /// The run that it is of: sequence of its `opened` record.
    pub(in crate::engine) fn run(&self) -> u64 {
        self.batch.run
    }
}

impl Batch {
    pub(super) fn new(
        run: u64,
        signed: Signed,
        subject: Subject,
        content: Content,
        payload: Bytes,
    ) -> Batch {
        Batch {
            run,
            signed,
            content,
            subject,
            payload,
            tries: 0,
        }
    }

    pub(in crate::engine) async fn append(mut self, broker: Broker) -> Appended {
        let begun = Instant::now();
        self.tries += 1;
        let result = broker
            .append(self.subject.clone(), self.payload.clone(), None)
            .await;
        Appended {
            batch: self,
            result,
            took: begun.elapsed(),
        }
    }

    /// How long to wait before it is tried again.
    pub(super) fn pause(&self) -> Duration {
        (PAUSE_FIRST * 2_u32.saturating_pow(self.tries.min(10))).min(PAUSE_MAX)
    }

    /// Whether it is not worth another try.
    pub(super) fn is_hopeless(&self) -> bool {
        matches!(self.content, Content::Returns(_)) && self.tries >= RETURN_TRIES
    }

    /// Leaves out that for which `held` says no. Whether anything is left.
    pub(super) fn narrow(&mut self, held: impl Fn(Holding) -> bool) -> bool {
        match &mut self.content {
            Content::Outcomes(parts) => {
                parts.retain(|part| held(part.tile));
                self.payload = outcomes_record(self.signed, parts);
                !parts.is_empty()
            }
            Content::Claims(reason, holdings) => {
                holdings.retain(|holding| held(*holding));
                self.payload = takeover_record(self.signed, *reason, holdings);
                !holdings.is_empty()
            }
            Content::Probed(holding) | Content::Started(holding, _) => held(*holding),
            Content::Returns(_) => true,
        }
    }
}

/// The bytes of a record of outcomes.
pub(super) fn outcomes_record(signed: Signed, parts: &[Part<Holding>]) -> Bytes {
    let block = outcomes::encode(parts.iter().flat_map(|part| &part.entries));
    let record = WorkRecord::Outcomes {
        session: signed.session,
        number: signed.number,
        block: block.into(),
    };
    wire::encode_report(signed.version, &record)
}

/// The bytes of the answer to a probe, which was held under `fence`.
pub(super) fn probed_record(
    signed: Signed,
    tile: &Tile,
    fence: Fence,
    answer: &ProbedPages,
) -> Bytes {
    let record = WorkRecord::Probed(Probed {
        session: signed.session,
        number: signed.number,
        tile: tile.place(),
        fence,
        slice: tile.slice,
        probe: tile.first,
        pages: answer.pages.clone(),
        cursor: answer.cursor.clone(),
    });
    wire::encode_report(signed.version, &record)
}

/// The bytes of the record that announces a page of `tile`, held under `fence`.
pub(super) fn started_record(signed: Signed, tile: TileRef, page: u64, fence: Fence) -> Bytes {
    let record = WorkRecord::Started {
        session: signed.session,
        number: signed.number,
        tile,
        page: page as u32,
        fence,
    };
    wire::encode_report(signed.version, &record)
}

/// The bytes of a record of tiles that were given back.
pub(super) fn returned_record(signed: Signed, returns: &[Return]) -> Bytes {
    let record = WorkRecord::Returned {
        session: signed.session,
        number: signed.number,
        tiles: returns.iter().map(|given| given.place).collect(),
    };
    wire::encode_report(signed.version, &record)
}

/// The bytes of a takeover.
pub(super) fn takeover_record(signed: Signed, reason: Reason, holdings: &[Holding]) -> Bytes {
    let record = Takeover {
        session: signed.session,
        number: signed.number,
        tiles: holdings.iter().map(|holding| holding.tile.place).collect(),
        reason,
    };
    wire::encode_report(signed.version, &record)
}
