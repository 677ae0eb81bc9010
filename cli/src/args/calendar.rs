//! What may be typed about calendars.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gridloom_shared::id::CalendarName;

use super::number::whole;

/// What a file may say.
pub(super) const EXAMPLE: &str = "\
A calendar, as a file:
  name = \"holidays-de\"
  timezone = \"Europe/Berlin\"
  dates = [\"01-01\", \"12-25/12-26\", \"2026-04-03\"]

  gridloom calendar apply holidays.toml
  gridloom calendar apply --dry-run holidays.toml   what would change, of which jobs

A job is kept off it by except = \"holidays-de\" in its [schedule], and bound to it by only.";

/// What to do with calendars.
#[derive(Debug, Subcommand)]
pub enum Calendar {
    /// Define calendars, or change them, from TOML or JSON files; says which jobs name them and what changes for those
    Apply(ApplyArgs),
    /// List calendars
    List,
    /// Show a calendar, which jobs name it, and what it said before
    Show {
        /// The calendar
        calendar: CalendarName,
    },
    /// Delete a calendar that no job names
    Delete(DeleteArgs),
}

/// Flags of `calendar apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// Calendar files, "-" for standard input; all are checked before any is applied
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
    /// Only if this is the calendar's revision (gridloom calendar show says it); 0: only if there is no such calendar. Else exit code 1
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0, u64::MAX))]
    pub if_revision: Option<u64>,
}

/// Flags of `calendar delete`.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// The calendar
    pub calendar: CalendarName,
    /// Also where jobs name it: their schedules wait until it is there again
    #[arg(long)]
    pub force: bool,
    /// Only if this is the calendar's revision (gridloom calendar show says it). Else exit code 1
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1, u64::MAX))]
    pub if_revision: Option<u64>,
}
