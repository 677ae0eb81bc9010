//! How a shard of a run is written where people name it: `3/7` is page 7 of slice 3, `3/probe-0` the first
//! question that was asked about slice 3.

use std::fmt;
use std::str::FromStr;

use super::{Cell, TileKind};

/// What stands before the number of a question.
const PROBE: &str = "probe-";

/// Why a text names no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a shard is written SLICE/PAGE, as 3/7 for page 7 of slice 3 (3/probe-0 for the first question of a probe); both count from 0"
)]
pub struct CellError;

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let question = match self.kind {
            TileKind::Page => "",
            TileKind::Probe => PROBE,
        };
        write!(f, "{}/{question}{}", self.slice, self.page)
    }
}

impl FromStr for Cell {
    type Err = CellError;

    fn from_str(text: &str) -> Result<Cell, CellError> {
        let (slice, page) = text.split_once('/').ok_or(CellError)?;
        let (kind, page) = match page.strip_prefix(PROBE) {
            Some(question) => (TileKind::Probe, question),
            None => (TileKind::Page, page),
        };
        // A sign is none of a number that counts from 0.
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().map_err(|_| CellError),
            false => Err(CellError),
        };
        Ok(Cell {
            kind,
            slice: number(slice)?,
            page: number(page)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_is_read_as_it_is_written() {
        for text in ["3/7", "0/0", "65535/4294967295", "3/probe-0"] {
            assert_eq!(text.parse::<Cell>().unwrap().to_string(), text);
        }
        let question: Cell = "3/probe-12".parse().unwrap();
        let wanted = (TileKind::Probe, 3, 12);
        assert_eq!((question.kind, question.slice, question.page), wanted);
    }

    #[test]
    fn whatever_else_is_said_names_no_shard() {
        for text in [
            "",
            "3",
            "/",
            "3/",
            "/7",
            "3/7/1",
            "-3/7",
            "3/+7",
            "3 / 7",
            "a/b",
            "3/4294967296",
            "3/probe-",
            "3/probe",
            "probe-3/0",
        ] {
            assert_eq!(text.parse::<Cell>(), Err(CellError), "{text:?}");
        }
    }
}
