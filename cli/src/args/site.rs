//! What may be typed about a second site.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::StreamFlags;

/// What can be done with a second site.
#[derive(Debug, Subcommand)]
pub enum Site {
    /// Make this broker the second site: it follows what the first one stores
    Mirror(MirrorArgs),
    /// How far it follows: what would be lost now
    Status,
    /// The first site is gone: make this one the installation
    Promote(PromoteArgs),
}

/// Flags of `site mirror`.
#[derive(Args, Debug)]
pub struct MirrorArgs {
    /// The JetStream domain of the first site, which this broker reaches as a leaf node
    #[arg(id = "followed", long = "domain", value_name = "NAME", value_parser = domain)]
    pub domain: String,
    /// Delete what this broker holds of the namespace: a site that was the first once
    #[arg(long)]
    pub replace: bool,
    /// How streams are made.
    #[command(flatten)]
    pub streams: StreamFlags,
}

/// Flags of `site promote`.
#[derive(Args, Debug)]
pub struct PromoteArgs {
    /// A directory that is not there yet, for a backup of what is promoted
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Although the first site answers: for a move that was planned, once nothing runs there
    #[arg(long)]
    pub force: bool,
    /// How streams are made.
    #[command(flatten)]
    pub streams: StreamFlags,
}

/// A domain is one token of a subject.
fn domain(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("the name of a domain is letters, digits, - and _".to_owned())
    }
}
