//! How a span is written for a collector.

use std::borrow::Cow;
use std::sync::LazyLock;

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::super::spans::{Said, Side, Span};
use crate::trace;

/// What tells of it.
static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
    InstrumentationScope::builder("gridloom")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
});

/// A span, written.
pub(super) fn written(span: Span) -> SpanData {
    let mut events = SpanEvents::default();
    events.events = span
        .events
        .into_iter()
        .map(|event| Event::new(event.name, event.at, said(event.said), 0))
        .collect();
    let mut links = SpanLinks::default();
    links.links = span
        .follows
        .into_iter()
        .map(|id| Link::new(context(span.place.trace, id), Vec::new(), 0))
        .collect();
    SpanData {
        span_context: context(span.place.trace, span.place.span),
        parent_span_id: span
            .parent
            .map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.0)),
        parent_span_is_remote: span.is_remote,
        span_kind: match span.side {
            Side::Sends => SpanKind::Producer,
            Side::Takes => SpanKind::Consumer,
            Side::Neither => SpanKind::Internal,
        },
        name: Cow::Owned(span.name),
        start_time: span.from,
        end_time: span.to.max(span.from),
        attributes: said(span.said),
        dropped_attributes_count: 0,
        events,
        links,
        status: match span.error {
            Some(error) => Status::error(error),
            None => Status::Unset,
        },
        instrumentation_scope: SCOPE.clone(),
    }
}

/// A place of which something is told: sampled, therefore.
fn context(trace: trace::TraceId, span: trace::SpanId) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(trace.0),
        SpanId::from_bytes(span.0),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    )
}

fn said(said: Vec<(&'static str, Said)>) -> Vec<KeyValue> {
    let said = said.into_iter();
    said.map(|(name, value)| match value {
        Said::Text(Cow::Borrowed(text)) => KeyValue::new(name, text),
        Said::Text(Cow::Owned(text)) => KeyValue::new(name, text),
        Said::Number(number) => KeyValue::new(name, number),
    })
    .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::id::{Nonce, RunId};
    use crate::telemetry::spans;
    use crate::trace::{Part, Traceparent};

    pub(in super::super) fn span(n: u64) -> Span {
        let run = RunId::new("a_s_1").unwrap();
        let place = Traceparent::begin(&run, Nonce(n));
        let from = SystemTime::UNIX_EPOCH + Duration::from_secs(n);
        Span {
            place: place.at(Nonce(n), Part::Run),
            parent: Some(place.span),
            is_remote: false,
            name: "run a".to_owned(),
            side: Side::Neither,
            from,
            to: from,
            said: vec![
                ("gridloom.run", "a_s_1".into()),
                ("gridloom.shards", 3_u64.into()),
            ],
            events: vec![spans::Event {
                name: "takeover",
                at: from,
                said: Vec::new(),
            }],
            follows: vec![place.span],
            error: Some("no".to_owned()),
        }
    }

    #[test]
    fn everything_that_is_told_is_written() {
        let told = span(7);
        let data = written(told.clone());
        assert_eq!(data.span_context.trace_id().to_bytes(), told.place.trace.0);
        assert_eq!(data.span_context.span_id().to_bytes(), told.place.span.0);
        assert_eq!(
            Some(data.parent_span_id.to_bytes()),
            told.parent.map(|id| id.0)
        );
        assert!(data.span_context.trace_flags().is_sampled());
        assert_eq!(data.attributes.len(), 2);
        assert_eq!((data.events.len(), data.links.len()), (1, 1));
        assert_eq!(data.status, Status::error("no"));
        let root = written(Span {
            parent: None,
            error: None,
            ..told
        });
        assert_eq!(
            (root.parent_span_id, root.status),
            (SpanId::INVALID, Status::Unset)
        );
    }
}
