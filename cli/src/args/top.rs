//! What may be typed about watching an installation.

use std::time::Duration;

use clap::Args;

use crate::setting::Span;

/// A look takes half a second: planners and workers are given that to answer.
const SHORTEST: Duration = Duration::from_millis(500);

/// Keys are told where they are asked for.
pub(super) const KEYS: &str = "\
Keys: arrows or j and k select, Tab goes to the next pane, Enter opens a run, c cancels it, r tries its dead shards
again, p pauses or resumes its job, P any job, F all jobs, f filters, s sorts, ? tells all of them, q ends it.
It needs a terminal of 60 columns and 16 lines at least; elsewhere --once prints one picture and --json what it shows.";

/// Flags of `top`.
#[derive(Args, Clone, Copy, Debug)]
pub struct TopArgs {
    /// How often it is looked
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Span,
    /// Print one picture as plain text, and end; with --json as one document
    #[arg(long)]
    pub once: bool,
}

fn interval(text: &str) -> Result<Span, String> {
    let interval: Span = text.parse()?;
    match interval.0 >= SHORTEST {
        true => Ok(interval),
        false => {
            Err("must be 500ms at least: so long planners and workers are given to answer".into())
        }
    }
}
