//! What a collector says of a batch that it took: that it refuses some of its spans, and why. Whatever else it answers says
//! nothing of that.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

/// Most bytes of a reason that are kept.
const REASON_MAX: usize = 1_024;

/// Spans of a batch that was taken, which are not kept all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// How many. None: the reason is a warning.
    pub(super) spans: u64,
    /// Why.
    pub(super) reason: String,
}

/// What the body of an answer refuses.
pub(super) fn refused(body: &[u8]) -> Option<Refused> {
    let answer = ExportTraceServiceResponse::decode(body).ok()?;
    let partial = answer.partial_success?;
    let (spans, mut reason) = (partial.rejected_spans, partial.error_message);
    reason.truncate(reason.floor_char_boundary(REASON_MAX));
    let spans = u64::try_from(spans).unwrap_or_default();
    (spans > 0 || !reason.is_empty()).then_some(Refused { spans, reason })
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    fn answered(rejected_spans: i64, error_message: &str) -> Vec<u8> {
        let partial_success = Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: error_message.to_owned(),
        });
        ExportTraceServiceResponse { partial_success }.encode_to_vec()
    }

    #[test]
    fn only_an_answer_that_says_so_refuses_something() {
        let refused = |spans, reason: &str| {
            let reason = reason.to_owned();
            Some(Refused { spans, reason })
        };
        assert_eq!(
            super::refused(&answered(3, "too old")),
            refused(3, "too old")
        );
        assert_eq!(
            super::refused(&answered(0, "slow down")),
            refused(0, "slow down")
        );
        assert_eq!(super::refused(&answered(-1, "")), None);
        assert_eq!(super::refused(&answered(0, "")), None);
        for other in [&b""[..], b"{}", b"{\"partialSuccess\":{}}", b"<html>"] {
            assert_eq!(super::refused(other), None, "{other:?}");
        }
        let long = super::refused(&answered(1, &"\u{e9}".repeat(5_000))).unwrap();
        assert!(long.reason.len() <= REASON_MAX && long.reason.len() > REASON_MAX - 4);
    }
}
