//! Unpacks a block, trusting nothing in it: whatever the bytes, it ends with entries or an error.

use super::{
    COUNTER_NAME_MAX, COUNTERS_MAX, Column, ERROR_MAX, Entry, Expected, Failed, RESULT_MAX, Retry,
    Status, flag,
};
use crate::id::Fence;
use crate::limits::{BLOCK_MAX, PAGES_MAX, TILE_MAX};
use crate::tile::{TileKind, TileRef};

/// Why bytes are no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The bytes end inside an entry.
    #[error("outcome block ends inside an entry")]
    Short,
    /// A number or text is outside its bounds.
    #[error("outcome block has {what} out of bounds")]
    Bounds {
        /// Which one.
        what: &'static str,
    },
}

/// The entries of a block, in their order.
pub fn decode(bytes: &[u8]) -> Result<Vec<Entry>, BlockError> {
    if bytes.len() > BLOCK_MAX {
        return Err(BlockError::Bounds { what: "its size" });
    }
    let mut reader = Reader { rest: bytes };
    let count = reader.bounded(1 << 16, "the number of counter names")?;
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(reader.text(COUNTER_NAME_MAX, "a counter name")?);
    }
    let mut entries = Vec::new();
    let mut expected = Expected::start();
    while !reader.rest.is_empty() {
        let entry = reader.entry(&expected, &names)?;
        expected = Expected::after(&entry);
        entries.push(entry);
    }
    Ok(entries)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn entry(&mut self, expected: &Expected, names: &[String]) -> Result<Entry, BlockError> {
        let flags = self.byte()?;
        let has = |bit: u8| flags & bit != 0;
        let index = self.moved(u64::from(expected.tile.index), "an index")?;
        let wave = match has(flag::WAVE) {
            true => self.moved(u64::from(expected.tile.wave), "a wave")?,
            false => expected.tile.wave,
        };
        let fence = match has(flag::FENCE) {
            true => Fence(expected.fence.0.wrapping_add(self.signed()? as u64)),
            false => expected.fence,
        };
        let slice = match has(flag::SLICE) {
            true => self.moved(u64::from(expected.slice), "a slice")?,
            false => expected.slice,
        };
        let first = match has(flag::FIRST) {
            true => self.moved(u64::from(expected.first), "a page")?,
            false => expected.first,
        };
        let pages = match has(flag::PAGES) {
            true => self.bounded(u64::from(TILE_MAX), "a number of pages")? as u32,
            false => expected.pages,
        };
        if pages == 0 || u64::from(first) + u64::from(pages) > PAGES_MAX {
            return Err(BlockError::Bounds {
                what: "a run of pages",
            });
        }
        let (columns, results) = match has(flag::EXTRAS) {
            true => self.extras(pages, names)?,
            false => (Vec::new(), Vec::new()),
        };
        let status = match has(flag::FAILED) {
            true => Status::Failed(self.failed()?),
            false => Status::Done,
        };
        let kind = if has(flag::PROBE) {
            TileKind::Probe
        } else {
            TileKind::Page
        };
        let tile = TileRef { wave, index };
        Ok(Entry {
            tile,
            kind,
            fence,
            slice,
            first,
            pages,
            status,
            columns,
            results,
        })
    }

    fn extras(
        &mut self,
        pages: u32,
        names: &[String],
    ) -> Result<(Vec<Column>, Vec<Vec<u8>>), BlockError> {
        let mut columns = Vec::new();
        for _ in 0..self.bounded(COUNTERS_MAX as u64 + 1, "the number of counters")? {
            let name = self.bounded(u64::MAX, "a counter")?;
            let name = usize::try_from(name)
                .ok()
                .and_then(|place| names.get(place));
            let name = name
                .ok_or(BlockError::Bounds { what: "a counter" })?
                .clone();
            let mut runs = Vec::new();
            let mut left = u64::from(pages);
            for _ in 0..self.bounded(u64::from(pages), "the runs of a counter")? {
                let count = self.bounded(left, "a run of a counter")?;
                left -= count;
                runs.push((count as u32, self.signed()?));
            }
            if left != 0 {
                return Err(BlockError::Bounds {
                    what: "the length of a counter",
                });
            }
            columns.push(Column { name, runs });
        }
        let count = self.bounded(u64::from(pages), "the number of results")?;
        if count != 0 && count != u64::from(pages) {
            return Err(BlockError::Bounds {
                what: "the number of results",
            });
        }
        let results = (0..count)
            .map(|_| self.bytes(RESULT_MAX, "a result").map(<[u8]>::to_vec))
            .collect::<Result<_, _>>()?;
        Ok((columns, results))
    }

    fn failed(&mut self) -> Result<Failed, BlockError> {
        let retry = match self.byte()? {
            0 => Retry::Backoff,
            1 => Retry::AfterMs(self.number()?),
            2 => Retry::Never,
            3 => Retry::Hold(self.number()?),
            _ => {
                return Err(BlockError::Bounds {
                    what: "what follows a failure",
                });
            }
        };
        Ok(Failed {
            error: self.text(ERROR_MAX, "an error")?,
            retry,
        })
    }

    fn byte(&mut self) -> Result<u8, BlockError> {
        let (first, rest) = self.rest.split_first().ok_or(BlockError::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, BlockError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BlockError::Bounds { what: "a number" })
    }

    fn signed(&mut self) -> Result<i64, BlockError> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn bounded(&mut self, most: u64, what: &'static str) -> Result<u64, BlockError> {
        let value = self.number()?;
        if value <= most {
            Ok(value)
        } else {
            Err(BlockError::Bounds { what })
        }
    }

    fn moved(&mut self, from: u64, what: &'static str) -> Result<u32, BlockError> {
        let value = from.wrapping_add(self.signed()? as u64);
        u32::try_from(value).map_err(|_| BlockError::Bounds { what })
    }

    fn bytes(&mut self, most: usize, what: &'static str) -> Result<&[u8], BlockError> {
        let length = self.bounded(most as u64, what)? as usize;
        if length > self.rest.len() {
            return Err(BlockError::Short);
        }
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self, most: usize, what: &'static str) -> Result<String, BlockError> {
        let bytes = self.bytes(most, what)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| BlockError::Bounds { what })
    }
}
