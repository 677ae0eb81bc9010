//! The bytes of a plain tile, by hand: every field where it is expected, and no name looked up, since a
//! planner writes one for each message and a worker reads one with each delivery. Other tiles, and
//! bytes that are written otherwise, are the general coder's, which also says what is wrong with them.

use std::io::Write;

use bytes::{BufMut, BytesMut};

use super::{Tile, TileKind};
use crate::id::{Fence, Nonce, RunId};

/// The version that is written by hand; others are the general coder's.
pub(super) const VERSION: u16 = 1;
/// What stands before the fields: the envelope of version 1, and a map of eleven.
const START: &[u8] = b"\x82\xa1v\x01\xa4body\x8b";
/// Longest plain tile, in bytes; a longer one is the general coder's.
const LONGEST: usize = 320;

mod name {
    pub(super) const RUN: &[u8] = b"\xa3run";
    pub(super) const NONCE: &[u8] = b"\xa5nonce";
    pub(super) const WAVE: &[u8] = b"\xa4wave";
    pub(super) const INDEX: &[u8] = b"\xa5index";
    pub(super) const SLICE: &[u8] = b"\xa5slice";
    pub(super) const FIRST: &[u8] = b"\xa5first";
    pub(super) const PAGES: &[u8] = b"\xa5pages";
    pub(super) const ATTEMPT: &[u8] = b"\xa7attempt";
    pub(super) const FENCE: &[u8] = b"\xa5fence";
    pub(super) const FOLDED: &[u8] = b"\xa6folded";
    pub(super) const OPENED: &[u8] = b"\xa6opened";
}

/// Writes `tile`, if it is one of counted pages and no refill. `None`: nothing was written.
pub(super) fn encode_plain(tile: &Tile, space: &mut BytesMut) -> Option<()> {
    let Tile {
        kind,
        run,
        nonce,
        wave,
        index,
        slice,
        first,
        pages,
        attempt,
        fence,
        folded,
        opened,
        again,
        bounds,
        after,
        frozen,
    } = tile;
    let plain = *kind == TileKind::Page && !again && bounds.is_empty();
    (plain && after.is_none() && frozen.is_none()).then_some(())?;
    let mut buffer = [0; LONGEST];
    let mut rest = &mut buffer[..];
    rest.write_all(START).ok()?;
    rest.write_all(name::RUN).ok()?;
    rmp::encode::write_str(&mut rest, run.as_str()).ok()?;
    let numbers = [
        (name::NONCE, nonce.0),
        (name::WAVE, u64::from(*wave)),
        (name::INDEX, u64::from(*index)),
        (name::SLICE, u64::from(*slice)),
        (name::FIRST, u64::from(*first)),
        (name::PAGES, u64::from(*pages)),
        (name::ATTEMPT, u64::from(*attempt)),
        (name::FENCE, fence.0),
        (name::FOLDED, *folded),
        (name::OPENED, *opened),
    ];
    for (name, number) in numbers {
        rest.write_all(name).ok()?;
        rmp::encode::write_uint(&mut rest, number).ok()?;
    }
    let written = LONGEST - rest.len();
    space.put_slice(&buffer[..written]);
    Some(())
}

/// The tile, if `bytes` are one of counted pages and no refill. If it is of run `like`, it shares its
/// id.
pub(super) fn decode_plain(bytes: &[u8], like: Option<&RunId>) -> Option<Tile> {
    let mut rest = bytes.strip_prefix(START)?;
    let run = text(&mut rest, name::RUN)?;
    let tile = Tile {
        kind: TileKind::Page,
        run: match like {
            Some(like) if like.as_str().as_bytes() == run => like.clone(),
            _ => RunId::new(std::str::from_utf8(run).ok()?).ok()?,
        },
        nonce: Nonce(number(&mut rest, name::NONCE)?),
        wave: small(&mut rest, name::WAVE)?,
        index: small(&mut rest, name::INDEX)?,
        slice: small(&mut rest, name::SLICE)?,
        first: small(&mut rest, name::FIRST)?,
        pages: small(&mut rest, name::PAGES)?,
        attempt: small(&mut rest, name::ATTEMPT)?,
        fence: Fence(number(&mut rest, name::FENCE)?),
        folded: number(&mut rest, name::FOLDED)?,
        opened: number(&mut rest, name::OPENED)?,
        again: false,
        bounds: Vec::new(),
        after: None,
        frozen: None,
    };
    rest.is_empty().then_some(tile)
}

fn number(rest: &mut &[u8], name: &[u8]) -> Option<u64> {
    *rest = rest.strip_prefix(name)?;
    rmp::decode::read_int(rest).ok()
}

fn small(rest: &mut &[u8], name: &[u8]) -> Option<u32> {
    number(rest, name)?.try_into().ok()
}

fn text<'a>(rest: &mut &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    *rest = rest.strip_prefix(name)?;
    let length = rmp::decode::read_str_len(rest).ok()?;
    let (text, after) = rest.split_at_checked(length as usize)?;
    *rest = after;
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire;

    fn tile(numbers: [u32; 6], places: [u64; 4], again: bool) -> Tile {
        let [wave, index, slice, first, pages, attempt] = numbers;
        let [nonce, fence, folded, opened] = places;
        Tile {
            kind: TileKind::Page,
            run: RunId::new("sum_s_7").unwrap(),
            nonce: Nonce(nonce),
            wave,
            index,
            slice,
            first,
            pages,
            attempt,
            fence: Fence(fence),
            folded,
            opened,
            again,
            bounds: Vec::new(),
            after: None,
            frozen: None,
        }
    }

    proptest! {
        #[test]
        fn plain_tile_is_coded_here_as_by_the_general_coder_and_no_other_is(
            numbers in prop::array::uniform6(any::<u32>()),
            places in prop::array::uniform4(any::<u64>()),
            again in any::<bool>(),
        ) {
            let tile = tile(numbers, places, again);
            let bytes = wire::encode_any(&tile, &mut BytesMut::new());
            let mut plain = BytesMut::new();
            prop_assert_eq!(encode_plain(&tile, &mut plain).is_some(), !again);
            prop_assert_eq!(&plain[..], if again { &[] } else { &bytes[..] });
            for like in [None, Some(&tile.run), Some(&RunId::new("sum_s_8").unwrap())] {
                prop_assert_eq!(decode_plain(&bytes, like), (!again).then(|| tile.clone()));
                prop_assert_eq!(Tile::read(&bytes, like), Ok(tile.clone()));
            }
            prop_assert_eq!(wire::decode::<Tile>(&bytes), Ok(tile));
        }

        #[test]
        fn what_is_read_here_the_general_decoder_reads_alike(at in any::<usize>(), byte in any::<u8>()) {
            let whole = wire::encode(&tile([1, 2, 3, 4, 5, 1], [9, 600, 599, 598], false));
            let at = at % whole.len();
            prop_assert_eq!(decode_plain(&whole[..at], None), None);
            let mut other = whole.to_vec();
            other[at] = byte;
            if let Some(read) = decode_plain(&other, None) {
                prop_assert_eq!(wire::decode_any::<Tile>(&other), Ok(read));
            }
        }
    }
}
