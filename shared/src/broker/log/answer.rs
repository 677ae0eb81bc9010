//! How a record stands in the broker's answers: as headers of a message, or as JSON with base64.

use async_nats::{Message, Subject};
use serde::Deserialize;

use super::Record;
use crate::broker::api::ApiError;
use crate::clock::UnixMs;

/// What an answer ends with.
pub(super) enum End {
    /// There is more.
    Pending,
    /// This replica has no more.
    Nothing,
    /// Of nothing that was asked for there is any.
    Absent,
    /// The next one is not there. Of several subjects it was found and gone before it was sent, and more may stand
    /// behind it.
    BrokenOff,
}

#[derive(Deserialize)]
pub(super) struct Got {
    pub(super) message: GotMessage,
}

#[derive(Deserialize)]
pub(super) struct GotMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
    time: String,
}

impl GotMessage {
    pub(super) fn record(self) -> Result<Record, ApiError> {
        let bad = || ApiError::Answer(format!("message {} of {}", self.seq, self.subject));
        let headers = base64(&self.hdrs).ok_or_else(bad)?;
        Ok(Record {
            seq: self.seq,
            at: unix_ms(&self.time).ok_or_else(bad)?,
            payload: base64(&self.data).ok_or_else(bad)?.into(),
            deletion: is_deletion_block(&headers),
            subject: self.subject.into(),
        })
    }
}

fn is_deletion_block(headers: &[u8]) -> bool {
    String::from_utf8_lossy(headers).lines().any(|line| {
        line.split_once(':')
            .is_some_and(|(name, value)| name == "KV-Operation" && value.trim() != "PUT")
    })
}

/// Whether the message only says that a key of a bucket is gone.
pub(super) fn is_deletion(message: &Message) -> bool {
    header(message, "KV-Operation").is_some_and(|operation| operation != "PUT")
}

pub(super) fn header<'a>(message: &'a Message, name: &'static str) -> Option<&'a str> {
    Some(message.headers.as_ref()?.get_last(name)?.as_str())
}

pub(super) fn refused(message: &Message) -> ApiError {
    let status = message.status.map_or(0, |status| status.as_u16());
    ApiError::Answer(format!(
        "{status} {}",
        message.description.as_deref().unwrap_or_default()
    ))
}

/// What an answer ends with that says of something that it is not there.
pub(super) fn absent(message: &Message) -> End {
    match message.description.as_deref() {
        Some("No Results") => End::Absent,
        _ => End::BrokenOff,
    }
}

pub(super) fn record(message: Message) -> Result<Record, ApiError> {
    let read = |message: &Message| {
        Some((
            header(message, "Nats-Sequence")?.parse().ok()?,
            unix_ms(header(message, "Nats-Time-Stamp")?)?,
            Subject::from(header(message, "Nats-Subject")?),
        ))
    };
    match read(&message) {
        Some((seq, at, subject)) => {
            let deletion = is_deletion(&message);
            Ok(Record {
                seq,
                at,
                subject,
                deletion,
                payload: message.payload,
            })
        }
        None => Err(ApiError::Answer(
            "record without sequence, time or subject".into(),
        )),
    }
}

/// The moment that the broker writes so.
pub(in crate::broker) fn unix_ms(text: &str) -> Option<UnixMs> {
    let at =
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000)
        .ok()
        .map(UnixMs)
}

/// Standard base64, as JSON answers carry payloads.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_in_json_answers_are_read() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("//79", b"\xff\xfe\xfd"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(base64("a-b_"), None);
    }

    #[test]
    fn stamps_of_the_broker_are_read_to_the_millisecond() {
        assert_eq!(
            unix_ms("2013-01-01T05:00:00.123456789Z"),
            Some(UnixMs(1_357_016_400_123))
        );
        assert_eq!(unix_ms("yesterday"), None);
    }

    #[test]
    fn deletions_of_keys_are_told_from_values() {
        assert!(is_deletion_block(b"NATS/1.0\r\nKV-Operation: DEL\r\n\r\n"));
        assert!(!is_deletion_block(b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n"));
    }
}
