//! Decides where one message ends and the next begins: a length of 4 bytes, big endian, and so many bytes
//! (docs/CHILD-PROTOCOL.md §2). It knows nothing of what stands in them, and allocates nothing for bytes that are not there yet.

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;

/// Most bytes of a message, both ways: a tile of a thousand pages with the largest parameters and keys fits in by far.
pub(super) const FRAME_MAX: usize = 8 << 20;
/// Bytes of a length.
const LENGTH: usize = 4;
/// What is read at once.
const CHUNK: usize = 64 * 1024;

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of no bytes")]
    Empty,
    #[error("a frame of {0} bytes, {FRAME_MAX} are the most")]
    Large(usize),
}

/// What has come of a connection and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Decoder(BytesMut);

impl Decoder {
    /// Where the next bytes go; there is room for some.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        self.0.reserve(CHUNK);
        &mut self.0
    }

    /// The next whole message; `None`: there is none yet. After an error nothing more can be read.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some((length, rest)) = self.0.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        match length {
            0 => return Err(FrameError::Empty),
            FRAME_MAX.. if length > FRAME_MAX => return Err(FrameError::Large(length)),
            _ if rest.len() < length => return Ok(None),
            _ => {}
        }
        self.0.advance(LENGTH);
        Ok(Some(self.0.split_to(length).freeze()))
    }
}

/// A message as a frame; `None` where it is larger than one may be.
pub(super) fn frame(message: &impl Serialize) -> Option<Bytes> {
    let mut bytes = vec![0; LENGTH];
    // Fails only for what is no JSON: keys of maps that are no texts.
    serde_json::to_writer(&mut bytes, message).ok()?;
    let length = bytes.len() - LENGTH;
    let told = u32::try_from(length).ok().filter(|_| length <= FRAME_MAX)?;
    bytes[..LENGTH].copy_from_slice(&told.to_be_bytes());
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Bytes>, FrameError> {
        decoder.room().extend_from_slice(bytes);
        let mut found = Vec::new();
        while let Some(frame) = decoder.next()? {
            found.push(frame);
        }
        Ok(found)
    }

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let whole: Vec<u8> = [1, 2, 700]
            .iter()
            .flat_map(|n| frame(&"x".repeat(*n)).unwrap())
            .collect();
        for cut in [1, 2, 3, 5, 64, whole.len()] {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for piece in whole.chunks(cut) {
                found.extend(fed(&mut decoder, piece).unwrap());
            }
            let lengths: Vec<usize> = found.iter().map(|frame| frame.len() - 2).collect();
            assert_eq!(lengths, [1, 2, 700], "{cut}");
            assert!(decoder.0.is_empty());
        }
    }

    #[test]
    fn length_that_nobody_may_send_is_refused_before_its_bytes_are_there() {
        let refused = |length: u32| fed(&mut Decoder::default(), &length.to_be_bytes());
        assert_eq!(refused(0), Err(FrameError::Empty));
        assert_eq!(refused(1 << 30), Err(FrameError::Large(1 << 30)));
        assert_eq!(
            refused(FRAME_MAX as u32 + 1),
            Err(FrameError::Large(FRAME_MAX + 1))
        );
        assert_eq!(refused(FRAME_MAX as u32), Ok(Vec::new()));
    }

    #[test]
    fn long_frame_takes_no_more_memory_than_has_come_of_it() {
        let mut decoder = Decoder::default();
        assert_eq!(
            fed(&mut decoder, &(FRAME_MAX as u32).to_be_bytes()),
            Ok(Vec::new())
        );
        assert!(decoder.room().capacity() <= 2 * CHUNK);
    }

    #[test]
    fn message_that_is_too_long_is_no_frame() {
        assert!(frame(&"x".repeat(FRAME_MAX - 2)).is_some());
        assert!(frame(&"x".repeat(FRAME_MAX - 1)).is_none());
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_a_frame_or_a_fault_and_never_more_than_came(
            bytes: Vec<u8>, cut in 1..64_usize
        ) {
            let mut decoder = Decoder::default();
            let mut taken = 0;
            for piece in bytes.chunks(cut) {
                match fed(&mut decoder, piece) {
                    Ok(found) => taken += found.iter().map(|frame| frame.len() + LENGTH).sum::<usize>(),
                    Err(_) => break,
                }
            }
            proptest::prop_assert!(taken <= bytes.len());
        }

        #[test]
        fn what_was_framed_is_read_back(texts: Vec<String>, cut in 1..64_usize) {
            let whole: Vec<u8> = texts.iter().flat_map(|text| frame(text).unwrap()).collect();
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for piece in whole.chunks(cut) {
                found.extend(fed(&mut decoder, piece).unwrap());
            }
            let read: Vec<String> = found.iter().map(|frame| serde_json::from_slice(frame).unwrap()).collect();
            proptest::prop_assert_eq!(read, texts);
        }
    }
}
