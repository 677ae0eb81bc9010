//! What the broker packs a copy into, and smaller pieces of the same that it can take: pure.
//!
//! *Why smaller:* the broker unpacks what it gets block by block, and stores message after message of a block before it takes
//! more. What it does not take within five seconds ends all of it (`io: read/write on closed pipe`, measured on 2.15.1). Its
//! own blocks are of 1 MiB, some 13,000 messages, of which each waits for the disk under `sync_interval: always`. So they
//! are unpacked here, and sent on in blocks as large as it takes quickly.
//!
//! A copy is a stream of S2 (<https://github.com/klauspost/compress/tree/master/s2>, an extension of Snappy's format of
//! frames). One that is something else goes on as it is.

use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc};

/// How each begins.
const HEAD: &[u8] = b"\xff\x06\x00\x00S2sTwO";
/// Of a frame: its kind, and how long it is.
const FRAME_HEAD: usize = 4;
/// The checksum in front of what a frame holds.
const SUM: usize = 4;
const PACKED: u8 = 0x00;
const PLAIN: u8 = 0x01;
/// From here on a reader may pass over what it does not know.
const PASSED_OVER: u8 = 0x80;
/// What the broker's reader takes in one frame at most.
const BLOCK_MAX: usize = 4 << 20;

static CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// What is wrong with a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the copy is corrupt: {0}")]
pub(super) struct Corrupt(&'static str);

impl Corrupt {
    /// It ends in the middle of a frame.
    pub(super) const CUT: Corrupt = Corrupt("a frame that was cut off");
}

/// Takes a copy in, in whatever pieces it comes, and gives it out in others.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What was not understood yet: less than a frame, or all of what is something else.
    rest: Vec<u8>,
    /// What was unpacked and not given out yet, from `given` on.
    plain: Vec<u8>,
    given: usize,
    kind: Kind,
    /// Whether the head was given out.
    headed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Unknown,
    S2,
    Other,
}

impl Frames {
    /// Takes in the next piece.
    ///
    /// # Errors
    /// When it makes no sense, or is not what was packed.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), Corrupt> {
        self.rest.extend_from_slice(piece);
        if self.kind == Kind::Unknown && self.rest.len() >= HEAD.len() {
            self.kind = match self.rest.starts_with(HEAD) {
                true => Kind::S2,
                false => Kind::Other,
            };
        }
        if self.kind == Kind::S2 {
            self.unpack()?;
        }
        Ok(())
    }

    fn unpack(&mut self) -> Result<(), Corrupt> {
        let mut at = 0;
        while let Some(head) = self.rest[at..].first_chunk::<FRAME_HEAD>() {
            let [kind, low, middle, high] = *head;
            let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
            let from = at + FRAME_HEAD;
            let Some(frame) = self.rest.get(from..from + length) else {
                break;
            };
            match kind {
                PACKED | PLAIN => {
                    let (sum, block) = frame.split_at_checked(SUM).ok_or(Corrupt("a frame"))?;
                    let begin = self.plain.len();
                    match kind {
                        PACKED => unpack(block, &mut self.plain)?,
                        _ => self.plain.extend_from_slice(block),
                    }
                    if sum != masked(&self.plain[begin..]) {
                        return Err(Corrupt("a checksum"));
                    }
                }
                PASSED_OVER.. => {}
                _ => return Err(Corrupt("a frame of an unknown kind")),
            }
            at = from + length;
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// The next piece with `size` bytes of what is packed in it, fewer at the `end`. `None`: more has to come before.
    pub(super) fn next(&mut self, size: usize, end: End) -> Option<Bytes> {
        if self.kind != Kind::S2 {
            let all = std::mem::take(&mut self.rest);
            let is_known = self.kind == Kind::Other || end == End::Reached;
            if !is_known {
                self.rest = all;
                return None;
            }
            return (!all.is_empty()).then(|| all.into());
        }
        let left = &self.plain[self.given..];
        let is_enough = left.len() >= size || end == End::Reached;
        if left.is_empty() || !is_enough {
            self.plain.drain(..self.given);
            self.given = 0;
            return None;
        }
        let size = left.len().min(size);
        let head = if self.headed { &[] } else { HEAD };
        let piece = framed(head, &left[..size]);
        self.headed = true;
        self.given += size;
        Some(piece)
    }

    /// Whether nothing is left of a frame that was cut off.
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Whether more comes behind what was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It may.
    Open,
    /// Nothing does.
    Reached,
}

/// A frame that is not packed.
fn framed(head: &[u8], plain: &[u8]) -> Bytes {
    let length = (plain.len() + SUM) as u32;
    let [low, middle, high, _] = length.to_le_bytes();
    let mut frame = Vec::with_capacity(head.len() + FRAME_HEAD + SUM + plain.len());
    frame.extend_from_slice(head);
    frame.extend_from_slice(&[PLAIN, low, middle, high]);
    frame.extend_from_slice(&masked(plain));
    frame.extend_from_slice(plain);
    frame.into()
}

fn masked(plain: &[u8]) -> [u8; SUM] {
    let sum = CASTAGNOLI.checksum(plain);
    sum.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Reads numbers and bytes off the front.
struct Block<'a>(&'a [u8]);

impl<'a> Block<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Corrupt> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(Corrupt("a block"))?;
        self.0 = rest;
        Ok(front)
    }

    /// A number of so many bytes, the lowest first.
    fn number(&mut self, bytes: usize) -> Result<usize, Corrupt> {
        let bytes = self.bytes(bytes)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A number of as many bytes as it needs.
    fn varint(&mut self) -> Result<usize, Corrupt> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.number(1)?;
            number |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Corrupt("a length"))
    }
}

/// Appends what is packed in a block.
fn unpack(block: &[u8], plain: &mut Vec<u8>) -> Result<(), Corrupt> {
    let mut block = Block(block);
    let length = block.varint()?;
    if length > BLOCK_MAX {
        return Err(Corrupt("a block that is too large"));
    }
    let begin = plain.len();
    let end = begin + length;
    plain.reserve(length);
    let mut back = 0;
    while !block.0.is_empty() {
        let tag = block.number(1)?;
        let count = match tag & 3 {
            0 => {
                let count = match tag >> 2 {
                    short @ 0..60 => short,
                    long => block.number(long - 59)?,
                };
                let literal = block.bytes(count + 1)?;
                plain.extend_from_slice(literal);
                0
            }
            1 => {
                let from = (tag & 0xe0) << 3 | block.number(1)?;
                let count = tag >> 2 & 7;
                // From nowhere: from where the last one came, and perhaps longer.
                let more = match (from, count) {
                    (0, 5) => block.number(1)? + 4,
                    (0, 6) => block.number(2)? + (1 << 8),
                    (0, 7) => block.number(3)? + (1 << 16),
                    _ => count,
                };
                back = if from == 0 { back } else { from };
                more + 4
            }
            kind => {
                back = block.number(if kind == 2 { 2 } else { 4 })?;
                (tag >> 2) + 1
            }
        };
        if plain.len() + count > end || count > 0 && (back == 0 || back > plain.len() - begin) {
            return Err(Corrupt("a block"));
        }
        // It may repeat what it has just copied.
        let mut left = count;
        while left > 0 {
            let from = plain.len() - back;
            let part = left.min(back);
            plain.extend_from_within(from..from + part);
            left -= part;
        }
    }
    match plain.len() == end {
        true => Ok(()),
        false => Err(Corrupt("a block")),
    }
}

#[cfg(test)]
mod tests;
