//! What may be typed to ask a service about itself.

use clap::Args;

use super::ListenFlag;
use crate::setting::Span;

/// Flags of `health`.
#[derive(Args, Debug)]
pub struct Health {
    /// Ask whether it lives, not whether it can work
    #[arg(long)]
    pub live: bool,
    /// How long to wait for its answer
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub within: Span,
    /// Where it listens.
    #[command(flatten)]
    pub listen: ListenFlag,
}
