//! Blocks as the broker packs them, and what is none.

use super::*;

fn packed(plain: &[u8], block: &[u8]) -> Vec<u8> {
    let length = (block.len() + SUM) as u32;
    let mut frame = vec![PACKED];
    frame.extend_from_slice(&length.to_le_bytes()[..3]);
    frame.extend_from_slice(&masked(plain));
    frame.extend_from_slice(block);
    frame
}

/// What is packed in what `frames` gives out.
fn plain_of(frames: &[Bytes]) -> Vec<u8> {
    let mut plain = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let frame = match at {
            0 => frame.strip_prefix(HEAD).unwrap(),
            _ => frame,
        };
        let length = u32::from_le_bytes([frame[1], frame[2], frame[3], 0]) as usize;
        assert_eq!((frame[0], frame.len()), (PLAIN, FRAME_HEAD + length));
        let (sum, block) = frame[FRAME_HEAD..].split_at(SUM);
        assert_eq!(sum, masked(block));
        plain.extend_from_slice(block);
    }
    plain
}

/// All ways of copying, with how they are packed.
fn block() -> (Vec<u8>, Vec<u8>) {
    let mut plain = b"0123456789".to_vec();
    let mut block = vec![9 << 2];
    block.extend_from_slice(b"0123456789");
    let again = |plain: &mut Vec<u8>, back: usize, count: usize| {
        for _ in 0..count {
            plain.push(plain[plain.len() - back]);
        }
    };
    // Eight bytes from three back; then as far back: four, twelve, 300 and 70,000 bytes.
    block.extend_from_slice(&[4 << 2 | 1, 3]);
    again(&mut plain, 3, 8);
    block.extend_from_slice(&[1, 0]);
    again(&mut plain, 3, 4);
    block.extend_from_slice(&[5 << 2 | 1, 0, 4]);
    again(&mut plain, 3, 12);
    block.extend_from_slice(&[6 << 2 | 1, 0, 40, 0]);
    again(&mut plain, 3, 300);
    let more = 70_000 - 4 - (1 << 16);
    block.extend_from_slice(&[7 << 2 | 1, 0, more as u8, (more >> 8) as u8, 0]);
    again(&mut plain, 3, 70_000);
    // From farther back, by two bytes and by four; and a literal of 100.
    block.extend_from_slice(&[63 << 2 | 2, 0x10, 0x27]);
    again(&mut plain, 10_000, 64);
    block.extend_from_slice(&[3, 0x70, 0x11, 1, 0]);
    again(&mut plain, 70_000, 1);
    block.extend_from_slice(&[60 << 2, 99]);
    block.extend_from_slice(&[7; 100]);
    plain.extend_from_slice(&[7; 100]);
    let mut whole = Vec::new();
    let mut left = plain.len();
    while left >= 0x80 {
        whole.push(left as u8 | 0x80);
        left >>= 7;
    }
    whole.push(left as u8);
    whole.extend_from_slice(&block);
    (plain, whole)
}

#[test]
fn what_the_broker_packed_is_given_out_in_pieces_of_any_size_and_is_the_same() {
    let (plain, block) = block();
    let mut copy = HEAD.to_vec();
    copy.extend_from_slice(&packed(&plain, &block));
    // What a reader may pass over, and a frame that is not packed.
    copy.extend_from_slice(&[0xfe, 3, 0, 0, 1, 2, 3]);
    copy.extend_from_slice(&framed(&[], b"more"));
    let expected = [plain.as_slice(), b"more"].concat();
    for (taken, given) in [(1, 1_000), (7, 8_192), (1 << 20, 60_000), (50, 1 << 20)] {
        let mut frames = Frames::default();
        let mut out = Vec::new();
        for piece in copy.chunks(taken) {
            frames.take(piece).unwrap();
            out.extend(std::iter::from_fn(|| frames.next(given, End::Open)));
        }
        out.extend(std::iter::from_fn(|| frames.next(given, End::Reached)));
        assert!(frames.is_whole());
        assert_eq!(plain_of(&out), expected, "{taken} {given}");
    }
}

#[test]
fn what_is_packed_otherwise_goes_on_as_it_is() {
    for copy in [&b"a tar that is not packed at all"[..], b"short"] {
        let mut frames = Frames::default();
        let mut out = Vec::new();
        for piece in copy.chunks(4) {
            frames.take(piece).unwrap();
            out.extend(std::iter::from_fn(|| frames.next(8, End::Open)));
        }
        out.extend(std::iter::from_fn(|| frames.next(8, End::Reached)));
        assert_eq!(out.concat(), copy);
        assert!(frames.is_whole());
    }
}

#[test]
fn damage_is_found_and_nothing_that_anybody_made_up_ends_the_process() {
    let (plain, block) = block();
    let good = [HEAD, &packed(&plain, &block)].concat();
    let read = |copy: &[u8]| {
        let mut frames = Frames::default();
        frames.take(copy)?;
        match frames.is_whole() {
            true => Ok(frames.plain),
            false => Err(Corrupt::CUT),
        }
    };
    assert_eq!(read(&good).as_ref(), Ok(&plain));
    for at in HEAD.len()..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        // One that copies the same bytes from elsewhere is none.
        assert!(
            read(&bad).is_ok_and(|read| read == plain) || read(&bad).is_err(),
            "byte {at}"
        );
        assert!(
            read(&good[..at]).is_err() || at == HEAD.len(),
            "cut at {at}"
        );
    }
    // A length of four gigabytes, and one that copies from before the beginning.
    for block in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[4, 1, 9], &[4, 1, 0]] {
        let bad = [HEAD, &packed(b"", block)].concat();
        assert!(read(&bad).is_err(), "{block:?}");
    }
}
