//! Packs entries. Sorted by tile they cost least; any order is right.

use super::{Entry, Expected, Retry, Status, flag};
use crate::tile::TileKind;

/// The block that holds `entries`, in their order.
pub fn encode<'a>(entries: impl IntoIterator<Item = &'a Entry, IntoIter: Clone>) -> Vec<u8> {
    let entries = entries.into_iter();
    let mut names: Vec<&str> = Vec::new();
    for column in entries.clone().flat_map(|entry| &entry.columns) {
        if !names.contains(&column.name.as_str()) {
            names.push(&column.name);
        }
    }
    let mut out = Vec::with_capacity(16 + entries.size_hint().0 * 8);
    number(&mut out, names.len() as u64);
    for name in &names {
        text(&mut out, name.as_bytes());
    }
    let mut expected = Expected::start();
    for entry in entries {
        write(&mut out, entry, &expected, &names);
        expected = Expected::after(entry);
    }
    out
}

fn write(out: &mut Vec<u8>, entry: &Entry, expected: &Expected, names: &[&str]) {
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    let extras = !entry.columns.is_empty() || !entry.results.is_empty();
    let flags = bit(entry.status != Status::Done, flag::FAILED)
        | bit(entry.kind == TileKind::Probe, flag::PROBE)
        | bit(entry.tile.wave != expected.tile.wave, flag::WAVE)
        | bit(entry.fence != expected.fence, flag::FENCE)
        | bit(entry.slice != expected.slice, flag::SLICE)
        | bit(entry.first != expected.first, flag::FIRST)
        | bit(entry.pages != expected.pages, flag::PAGES)
        | bit(extras, flag::EXTRAS);
    out.push(flags);
    difference(
        out,
        u64::from(entry.tile.index),
        u64::from(expected.tile.index),
    );
    if flags & flag::WAVE != 0 {
        difference(
            out,
            u64::from(entry.tile.wave),
            u64::from(expected.tile.wave),
        );
    }
    if flags & flag::FENCE != 0 {
        difference(out, entry.fence.0, expected.fence.0);
    }
    if flags & flag::SLICE != 0 {
        difference(out, u64::from(entry.slice), u64::from(expected.slice));
    }
    if flags & flag::FIRST != 0 {
        difference(out, u64::from(entry.first), u64::from(expected.first));
    }
    if flags & flag::PAGES != 0 {
        number(out, u64::from(entry.pages));
    }
    if extras {
        write_extras(out, entry, names);
    }
    if let Status::Failed(failed) = &entry.status {
        match failed.retry {
            Retry::Backoff => out.push(0),
            Retry::AfterMs(ms) => {
                out.push(1);
                number(out, ms);
            }
            Retry::Never => out.push(2),
            Retry::Hold(ms) => {
                out.push(3);
                number(out, ms);
            }
        }
        text(out, failed.error.as_bytes());
    }
}

fn write_extras(out: &mut Vec<u8>, entry: &Entry, names: &[&str]) {
    number(out, entry.columns.len() as u64);
    for column in &entry.columns {
        let place = names
            .iter()
            .position(|name| *name == column.name)
            .unwrap_or(0);
        number(out, place as u64);
        number(out, column.runs.len() as u64);
        for (count, value) in &column.runs {
            number(out, u64::from(*count));
            number(out, zigzag(*value));
        }
    }
    number(out, entry.results.len() as u64);
    for result in &entry.results {
        text(out, result);
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn difference(out: &mut Vec<u8>, value: u64, expected: u64) {
    number(out, zigzag(value.wrapping_sub(expected) as i64));
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
