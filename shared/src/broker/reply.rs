//! What the reply subject of a delivery says: short form of 9 tokens, and the long one with domain
//! and account (11 or 12).

use super::subjects::api::DELIVERY;

/// Most tokens behind `$JS.ACK.`
const TOKENS_MAX: usize = 12;

/// What stands in a `$JS.ACK` subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// How many times the message was delivered, this time included.
    pub(super) delivered: u64,
    /// The message's sequence in its stream.
    pub(super) stream_seq: u64,
    /// The delivery's sequence in its consumer.
    pub(super) consumer_seq: u64,
    /// When the broker stored the message, nanoseconds since 1970.
    pub(super) stored_ns: u64,
    /// How many messages the consumer has not delivered yet.
    pub(super) pending: u64,
}

impl Place {
    /// Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`,
    /// with `<domain>.<account>` before the stream in the long form.
    pub(super) fn parse(reply: &str) -> Option<Place> {
        let rest = reply.strip_prefix(DELIVERY)?.as_bytes();
        // One pass, as every delivery is read so: where each token ends.
        let mut ends = [rest.len(); TOKENS_MAX];
        let mut tokens = 0;
        for (at, byte) in rest.iter().enumerate() {
            if *byte == b'.' {
                *ends.get_mut(tokens)? = at;
                tokens += 1;
            }
        }
        let skipped = match tokens + 1 {
            7 => 2,
            9..=TOKENS_MAX => 4,
            _ => return None,
        };
        let token = |n: usize| number(rest.get(ends[n - 1] + 1..ends[n])?);
        Some(Place {
            delivered: token(skipped)?,
            stream_seq: token(skipped + 1)?,
            consumer_seq: token(skipped + 2)?,
            stored_ns: token(skipped + 3)?,
            pending: token(skipped + 4)?,
        })
    }
}

fn number(token: &[u8]) -> Option<u64> {
    if token.is_empty() {
        return None;
    }
    token.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then_some(())?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let short = Place::parse(
            "$JS.ACK.grid-shards.images-1.2.1700000000000001.9.1500000000000000000.40",
        );
        let long = Place::parse(
            "$JS.ACK._.ACC.grid-shards.images-1.2.1700000000000001.9.1500000000000000000.40",
        );
        let longer = Place::parse(
            "$JS.ACK.hub.ACC.grid-shards.images-1.2.1700000000000001.9.1500000000000000000.40.xyz",
        );
        assert_eq!(
            short.map(|place| (place.delivered, place.consumer_seq, place.pending)),
            Some((2, 9, 40))
        );
        assert_eq!(short, long);
        assert_eq!(short, longer);
    }

    #[test]
    fn other_subjects_say_nothing() {
        for other in ["", "$JS.ACK.a.b.1.2", "_INBOX.x.1", "$JS.ACK.s.c.x.2.3.4.5"] {
            assert_eq!(Place::parse(other), None, "{other}");
        }
    }
}
