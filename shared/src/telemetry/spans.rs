//! What is told of a trace, and to whom. Nobody decides anything by it, it never waits, and where nobody listens it costs
//! one look: whoever is too slow to take spans gets fewer of them, which is counted.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;

use crate::id::{Nonce, RunId};
use crate::metrics::SPANS;
use crate::trace::{SpanId, Traceparent};

/// Most spans that wait to be sent, of about 1 kB each.
pub const SPANS_MAX: usize = 4_096;

/// Takes spans, if anybody listens. Clones tell the same one.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Listener>>);

#[derive(Debug)]
struct Listener {
    spans: mpsc::Sender<Span>,
    /// The share of runs that begin a trace of their own where nobody brought one.
    share: f64,
}

/// What happened, from when to when.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace, and its own id.
    pub place: Traceparent,
    /// The span that it is a part of.
    pub parent: Option<SpanId>,
    /// Whether that one is another program's.
    pub is_remote: bool,
    /// What kind of thing, and of which job.
    pub name: String,
    /// On which side of a message it is.
    pub side: Side,
    /// When it began.
    pub from: SystemTime,
    /// When it ended.
    pub to: SystemTime,
    /// More of it, by names.
    pub said: Vec<(&'static str, Said)>,
    /// What happened meanwhile.
    pub events: Vec<Event>,
    /// Spans of the same trace that it follows from.
    pub follows: Vec<SpanId>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// On which side of a message something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It sends.
    Sends,
    /// It takes.
    Takes,
    /// None.
    Neither,
}

/// A value of something that is said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
}

/// Something that happened at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What.
    pub name: &'static str,
    /// When.
    pub at: SystemTime,
    /// More of it, by names.
    pub said: Vec<(&'static str, Said)>,
}

impl From<u64> for Said {
    fn from(number: u64) -> Said {
        Said::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Said {
    fn from(number: u32) -> Said {
        Said::Number(number.into())
    }
}

impl From<String> for Said {
    fn from(text: String) -> Said {
        Said::Text(text.into())
    }
}

impl From<&'static str> for Said {
    fn from(text: &'static str) -> Said {
        Said::Text(text.into())
    }
}

impl Tracer {
    /// One whose spans come out of the other end, at most [`SPANS_MAX`] at once; `share` of the runs that nobody brought
    /// a trace for begin one.
    pub fn listened(share: f64) -> (Tracer, mpsc::Receiver<Span>) {
        let (spans, listener) = mpsc::channel(SPANS_MAX);
        (Tracer(Some(Arc::new(Listener { spans, share }))), listener)
    }

    /// How many spans wait for whoever listens.
    pub fn waiting(&self) -> u64 {
        let listener = self.0.as_ref().map(|listener| &listener.spans);
        listener.map_or(0, |spans| (spans.max_capacity() - spans.capacity()) as u64)
    }

    /// Whether anybody listens.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The trace that a run begins for which nobody brought one, if it is of the share that does.
    pub fn begin(&self, run: &RunId, nonce: Nonce) -> Option<Traceparent> {
        let listener = self.0.as_ref().filter(|listener| listener.share > 0.0)?;
        Some(Traceparent::begin(run, nonce)).filter(|begun| begun.trace.is_within(listener.share))
    }

    /// Where a run is told of: `None` where nobody listens, or whoever began its trace does not want that.
    pub fn of(&self, place: Option<Traceparent>) -> Option<Traceparent> {
        place.filter(|place| self.is_on() && place.is_sampled())
    }

    /// Tells of a span.
    pub fn tell(&self, span: Span) {
        let Some(listener) = &self.0 else { return };
        if listener.spans.try_send(span).is_err() {
            SPANS.counter(&["dropped"]).increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(n: u64) -> Span {
        let run = RunId::new("a_s_1").unwrap();
        Span {
            place: Traceparent::begin(&run, Nonce(n)),
            parent: None,
            is_remote: false,
            name: String::new(),
            side: Side::Neither,
            from: SystemTime::UNIX_EPOCH,
            to: SystemTime::UNIX_EPOCH,
            said: Vec::new(),
            events: Vec::new(),
            follows: Vec::new(),
            error: None,
        }
    }

    #[test]
    fn whoever_does_not_take_spans_gets_no_more_than_fit() {
        let (tracer, mut listener) = Tracer::listened(1.0);
        (0..SPANS_MAX as u64 + 7).for_each(|n| tracer.tell(span(n)));
        assert_eq!(tracer.waiting(), SPANS_MAX as u64);
        let mut taken = 0;
        while listener.try_recv().is_ok() {
            taken += 1;
        }
        assert_eq!((taken, tracer.waiting()), (SPANS_MAX, 0));
        tracer.tell(span(0));
        assert!(listener.try_recv().is_ok());
    }

    #[test]
    fn run_begins_a_trace_where_somebody_listens_who_wants_it() {
        let run = RunId::new("a_s_1").unwrap();
        let begins = |tracer: &Tracer| tracer.begin(&run, Nonce(1)).is_some();
        assert!(!begins(&Tracer::default()));
        assert!(!begins(&Tracer::listened(0.0).0));
        let (tracer, _listener) = Tracer::listened(1.0);
        assert!(begins(&tracer));
        let place = tracer.begin(&run, Nonce(1));
        assert_eq!(tracer.of(place), place);
        assert_eq!(tracer.of(place.map(Traceparent::unsampled)), None);
        assert_eq!(Tracer::default().of(place), None);
    }
}
