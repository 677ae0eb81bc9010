//! What may be typed of the measurement of handlers in children.

use std::num::NonZeroU32;

use clap::{Args, ValueEnum};

/// Flags of `sdk`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SdkFlags {
    /// The languages; several with commas. One that this machine lacks is told, and left out
    #[arg(
        long,
        value_name = "LANGUAGE",
        value_enum,
        value_delimiter = ',',
        default_value = "python,java,typescript,go"
    )]
    pub(crate) languages: Vec<Language>,
    /// Children of each language
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) processes: NonZeroU32,
    /// Tiles that each of them runs at once
    #[arg(long, value_name = "N", default_value = "16")]
    pub(crate) slots: NonZeroU32,
    /// How long each run is to take, roughly
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) seconds: NonZeroU32,
    /// Rounds; in each, every way is measured once
    #[arg(long, value_name = "N", default_value = "3")]
    pub(crate) rounds: NonZeroU32,
    /// Further lines for the broker's `jetstream` block
    #[arg(long, value_name = "LINES", default_value = "sync_interval: always")]
    pub(crate) jetstream: String,
}

/// A language that handlers are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Python, as `def` and as `async def`
    Python,
    /// Java
    Java,
    /// TypeScript
    Typescript,
    /// Go
    Go,
}
