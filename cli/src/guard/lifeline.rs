//! Decides how the guard's lifeline is read: the length line, the payload, then renewals of the lease, and its end.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use tokio::sync::mpsc::UnboundedSender;

use super::Event;

/// Most bytes a payload may have. It is held in memory, so that a program which does not read its
/// input cannot hide the lifeline's end behind a full pipe.
pub const PAYLOAD_LIMIT: u64 = 64 * 1024 * 1024;

/// The longest line, its line feed included: two numbers, with room for leading zeros.
const LINE_LIMIT: u64 = 42;

/// Reads standard input on a thread of its own, to its end.
pub(super) fn read_in_background(tx: UnboundedSender<Event>) -> io::Result<()> {
    std::thread::Builder::new().spawn(move || {
        let mut lifeline = io::stdin().lock();
        let opened = match read_payload(&mut lifeline) {
            Ok((payload, lease)) => tx.send(Event::PayloadRead(payload, lease)),
            Err(error) => tx.send(Event::LifelineBroken(error)),
        };
        if opened.is_ok() {
            // A lifeline that cannot be read any more protects nobody: the same as its end.
            let _ = read_renewals(&mut lifeline, &tx);
            let _ = tx.send(Event::LifelineEnded);
        }
    })?;
    Ok(())
}

fn read_renewals(lifeline: &mut impl BufRead, tx: &UnboundedSender<Event>) -> io::Result<()> {
    let mut line = Vec::new();
    while lifeline.take(LINE_LIMIT).read_until(b'\n', &mut line)? > 0 {
        let told = line.strip_suffix(b"\n").and_then(parse_line);
        if told.is_some_and(|event| tx.send(event).is_err()) {
            return Ok(());
        }
        line.clear();
    }
    Ok(())
}

/// What a line behind the payload says: a renewal, or that the program's time is over.
fn parse_line(line: &[u8]) -> Option<Event> {
    match line.strip_prefix(b"stop ") {
        Some(grace) => parse_number(grace)
            .map(Duration::from_millis)
            .map(Event::Stopped),
        None => parse_number(line).map(moment).map(Event::Leased),
    }
}

fn read_payload(lifeline: &mut impl BufRead) -> io::Result<(Vec<u8>, Option<Boot>)> {
    let mut line = Vec::new();
    lifeline.take(LINE_LIMIT).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (length, lease) = parse_opening(&line)
        .filter(|(length, _)| *length <= PAYLOAD_LIMIT)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "bad length line"))?;
    let mut payload = Vec::new();
    lifeline.take(length).read_to_end(&mut payload)?;
    if payload.len() as u64 == length {
        Ok((payload, lease.map(moment)))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// The payload's length, and the end of the lease.
fn parse_opening(line: &[u8]) -> Option<(u64, Option<u64>)> {
    let line = line.strip_suffix(b"\n")?;
    match line.iter().position(|byte| *byte == b' ') {
        Some(gap) => Some((
            parse_number(&line[..gap])?,
            Some(parse_number(&line[gap + 1..])?),
        )),
        None => Some((parse_number(line)?, None)),
    }
}

fn moment(us: u64) -> Boot {
    Boot(Duration::from_micros(us))
}

fn parse_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Result<Vec<u8>, io::ErrorKind> {
        let read = read_payload(&mut &input[..]);
        read.map(|(payload, _)| payload)
            .map_err(|error| error.kind())
    }

    #[test]
    fn lease_stands_behind_the_length_and_renewals_behind_the_payload() {
        let mut lifeline = &b"3 70\nabc90\nnonsense\nstop x\n80\n"[..];
        let (payload, lease) = read_payload(&mut lifeline).unwrap();
        assert_eq!((payload.as_slice(), lease), (&b"abc"[..], Some(moment(70))));
        let (tx, mut events) = tokio::sync::mpsc::unbounded_channel();
        read_renewals(&mut lifeline, &tx).unwrap();
        drop(tx);
        let renewed: Vec<Boot> = std::iter::from_fn(|| match events.try_recv() {
            Ok(Event::Leased(until)) => Some(until),
            _ => None,
        })
        .collect();
        assert_eq!(renewed, [moment(90), moment(80)]);
    }

    #[test]
    fn order_to_stop_is_a_line_with_its_grace() {
        let event = parse_line(b"stop 250");
        assert!(
            matches!(event, Some(Event::Stopped(grace)) if grace == Duration::from_millis(250))
        );
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
