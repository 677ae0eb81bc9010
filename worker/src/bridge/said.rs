//! What a worker says to a child (docs/CHILD-PROTOCOL.md §5), as it is written into a frame.

use gridloom_shared::limits::PROBE_PAGES_MAX;
use gridloom_shared::tile::{Bounds, Key};
use serde::Serialize;
use serde_json::Value;

use crate::shard::{End, TileContext};

/// The versions that are spoken, the lowest and the highest.
pub(super) const PROTOCOL: (u32, u32) = (1, 1);

/// Why a shard is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Why {
    Lease,
    Cancelled,
    Time,
    Stopping,
}

impl From<End> for Why {
    fn from(end: End) -> Why {
        match end {
            End::LeaseLost => Why::Lease,
            End::Stopping => Why::Stopping,
            End::Cancelled => Why::Cancelled,
            End::OutOfTime => Why::Time,
        }
    }
}

/// A message to a child.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Said<'a> {
    Attach {
        protocol: (u32, u32),
        token: &'a str,
        worker: &'a str,
    },
    Welcome {
        protocol: u32,
        worker: &'a str,
        grace_ms: u64,
    },
    Shards {
        #[serde(flatten)]
        of: Common<'a>,
        shards: Vec<One<'a>>,
    },
    Probe {
        id: u64,
        #[serde(flatten)]
        of: Common<'a>,
        page: u32,
        after: Option<&'a Key>,
        room: usize,
        pages_max: usize,
    },
    Stop {
        ids: &'a [u64],
        why: Why,
    },
    Drain,
}

/// What the shards of a tile have in common.
#[derive(Debug, Serialize)]
pub(super) struct Common<'a> {
    run: &'a str,
    job: &'a str,
    handler: &'a str,
    nonce: String,
    slice: u32,
    slices: u32,
    attempt: u32,
    fence: u64,
    params: &'a Value,
    settings: Option<&'a Value>,
    timeout_ms: Option<u64>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub(super) struct One<'a> {
    id: u64,
    page: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl<'a> Said<'a> {
    /// These pages of a tile, whose ids begin with `first`.
    pub(super) fn shards(tile: &'a TileContext, pages: &[u32], first: u64) -> Said<'a> {
        let one = |(id, page): (u64, &u32)| One::of(tile, *page, id);
        Said::Shards {
            of: Common::of(tile),
            shards: (first..).zip(pages).map(one).collect(),
        }
    }

    /// A probe.
    pub(super) fn probe(tile: &'a TileContext, page: u32, id: u64) -> Said<'a> {
        Said::Probe {
            id,
            of: Common::of(tile),
            page,
            after: tile.tile.after.as_ref(),
            room: tile.answer_max,
            pages_max: PROBE_PAGES_MAX,
        }
    }
}

impl<'a> Common<'a> {
    fn of(tile: &'a TileContext) -> Common<'a> {
        let (run, part) = (&*tile.run, &*tile.tile);
        Common {
            run: run.run.as_str(),
            job: run.job.name.as_str(),
            handler: run.job.handler.as_str(),
            nonce: format!("{:016x}", run.nonce.0),
            slice: part.slice,
            slices: run.job.grid.slices,
            attempt: part.attempt,
            fence: tile.fence.0,
            params: &run.job.params,
            settings: Some(&run.job.settings).filter(|settings| !settings.is_null()),
            timeout_ms: run.job.limits.timeout_ms,
        }
    }
}

impl<'a> One<'a> {
    fn of(tile: &'a TileContext, page: u32, id: u64) -> One<'a> {
        let part = &tile.tile;
        let bounds = part.bounds.get(page.saturating_sub(part.first) as usize);
        let window = tile.run.job.grid.window(part.slice, page);
        One {
            id,
            page,
            from: bounds.map(|Bounds(from, _)| from),
            to: bounds.map(|Bounds(_, to)| to),
            offset: window.map(|window| window.offset),
            limit: window.and_then(|window| window.size),
            traceparent: tile
                .run
                .trace
                .as_ref()
                .map(|trace| trace.place_ahead(tile, page).to_string()),
        }
    }
}
