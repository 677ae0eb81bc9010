//! Takeovers: a worker says that it now holds what another may have held.

use serde::{Deserialize, Serialize};

use crate::id::Session;
use crate::tile::TileRef;
use crate::wire;

/// Why a worker could not be certain that a delivery was the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TakeoverReason))]
pub enum Reason {
    /// The delivery count was above 1. The only reason that suggests a crash.
    Count,
    /// The message was stored before the broker or its consumer began anew; or so many takeovers were heard that
    /// one of it may have been forgotten.
    Floor,
    /// The message is a refill.
    Again,
    /// It had been handed back.
    Returned,
}

/// A worker's record that it now holds tiles which another may have held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Takeover {
    /// The author.
    pub session: Session,
    /// The author's number of this record.
    pub number: u64,
    /// The tiles.
    pub tiles: Vec<TileRef>,
    /// Why.
    pub reason: Reason,
}

wire::reported!(Takeover);
