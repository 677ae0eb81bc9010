//! What may be typed about an examination.

use clap::Args;

use super::StreamFlags;

/// Flags of `doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Settings of streams.
    #[command(flatten)]
    pub streams: StreamFlags,
}
