//! Decides how the guard's lifeline is read: the length line, the payload, then nothing but its end.

use std::io::{self, BufRead, Read};

use tokio::sync::mpsc::UnboundedSender;

use super::Event;

/// Most bytes a payload may have. It is held in memory, so that a program which does not read its
/// input cannot hide the lifeline's end behind a full pipe.
pub const PAYLOAD_LIMIT: u64 = 64 * 1024 * 1024;

/// Digits of the longest length line, its line feed included, with room for leading zeros.
const LENGTH_LINE_LIMIT: u64 = 21;

/// Reads standard input on a thread of its own, to its end.
pub(super) fn read_in_background(tx: UnboundedSender<Event>) -> io::Result<()> {
    std::thread::Builder::new().spawn(move || {
        let mut lifeline = io::stdin().lock();
        let opened = match read_payload(&mut lifeline) {
            Ok(payload) => tx.send(Event::PayloadRead(payload)),
            Err(error) => tx.send(Event::LifelineBroken(error)),
        };
        if opened.is_ok() {
            // A lifeline that cannot be read any more protects nobody: the same as its end.
            let _ = io::copy(&mut lifeline, &mut io::sink());
            let _ = tx.send(Event::LifelineEnded);
        }
    })?;
    Ok(())
}

fn read_payload(lifeline: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    lifeline
        .take(LENGTH_LINE_LIMIT)
        .read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = parse_length(&line)
        .filter(|length| *length <= PAYLOAD_LIMIT)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "bad length line"))?;
    let mut payload = Vec::new();
    lifeline.take(length).read_to_end(&mut payload)?;
    if payload.len() as u64 == length {
        Ok(payload)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn parse_length(line: &[u8]) -> Option<u64> {
    let digits = line.strip_suffix(b"\n")?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Result<Vec<u8>, io::ErrorKind> {
        read_payload(&mut &input[..]).map_err(|error| error.kind())
    }

    #[test]
    fn payload_is_exactly_as_long_as_announced() {
        assert_eq!(read(b"3\nabcdef").unwrap(), b"abc");
        assert_eq!(read(b"0\nabc").unwrap(), b"");
        assert_eq!(read(b"1\n\n").unwrap(), b"\n");
    }

    #[test]
    fn lifeline_that_ends_early_yields_no_payload() {
        for input in [&b""[..], b"4\nabc", b"4\n"] {
            assert_eq!(read(input), Err(io::ErrorKind::UnexpectedEof));
        }
    }

    #[test]
    fn length_line_that_is_no_bounded_number_is_refused() {
        for input in [
            &b"\n"[..],
            b"3",
            b"+3\nabc",
            b"-1\n",
            b"3 \nabc",
            b"67108865\n",
            b"99999999999999999999999\n",
        ] {
            assert_eq!(read(input), Err(io::ErrorKind::InvalidData));
        }
    }
}
