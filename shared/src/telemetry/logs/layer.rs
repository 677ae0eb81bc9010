//! Gathers what is to be said in a line: what the line itself says, then the work at hand, then the spans around it,
//! the innermost first. What is nearer counts.

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use super::flood::Floods;
use super::line::{Fields, line};
use crate::clock::{Boot, UnixMs};
use crate::telemetry::about::at_hand;

/// Writes lines to `write`.
pub(super) struct Lines<W> {
    format: LogFormat,
    coloured: bool,
    floods: Floods,
    write: W,
}

impl<W: Fn(&str)> Lines<W> {
    pub(super) fn new(format: LogFormat, coloured: bool, write: W) -> Lines<W> {
        Lines {
            format,
            coloured,
            floods: Floods::default(),
            write,
        }
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, of: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        of.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, said: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut newer = Fields::default();
        said.record(&mut newer);
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            fields.replace(newer);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let Some(left_out) = self.floods.admit(metadata, Boot::now()) else {
            return;
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        at_hand(&mut |name, said| fields.said(name, said));
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(around) = span.extensions().get::<Fields>() {
                fields.within(around);
            }
        }
        if left_out > 0 {
            fields.add("left_out", left_out);
        }
        let about = (UnixMs::now(), *metadata.level(), metadata.target());
        (self.write)(&line(self.format, self.coloured, about, &fields));
    }
}
