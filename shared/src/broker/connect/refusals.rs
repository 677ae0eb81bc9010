//! What the broker refused this client last for want of a permission. Most of that was said without asking for an
//! answer, so that nobody else notices that it went nowhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Event;

use crate::chain;
use crate::clock::Boot;

/// So long it is told: what is still refused by then was refused again.
const TOLD: Duration = Duration::from_secs(600);
/// How such a refusal begins, whatever is put before it.
const REFUSAL: &str = "permissions violation";

/// The last one, of all who use the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Arc<Mutex<Option<(String, Boot)>>>);

impl Refusals {
    /// The client heard something of the broker.
    pub(super) fn hear(&self, event: &Event, now: Boot) {
        let last = match event {
            Event::Connected => None,
            Event::ServerError(error) => match told(&chain(error).to_string()) {
                Some(told) => Some((told, now)),
                None => return,
            },
            Event::Disconnected
            | Event::SlowConsumer(_)
            | Event::LameDuckMode
            | Event::ClientError(_)
            | Event::Draining
            | Event::Closed => return,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    /// What was refused on this connection, as the broker said it, if it was lately.
    pub(super) fn last(&self, now: Boot) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, at) = last.as_ref()?;
        (now.since(*at) < TOLD).then(|| told.clone())
    }
}

/// `text` from where it names what is refused.
fn told(text: &str) -> Option<String> {
    let begin = text.to_ascii_lowercase().find(REFUSAL)?;
    Some(text[begin..].to_owned())
}

#[cfg(test)]
mod tests {
    use async_nats::ServerError;

    use super::*;

    #[test]
    fn what_was_refused_is_told_for_a_while_and_on_its_connection() {
        let at = |seconds| Boot(Duration::from_secs(seconds));
        let refusals = Refusals::default();
        let said = |text: &str| Event::ServerError(ServerError::Other(text.to_owned()));
        let text = "Permissions Violation for Publish to \"grid.bell.default.noop\"";
        refusals.hear(&said("something else"), at(1));
        assert_eq!(refusals.last(at(1)), None);
        refusals.hear(&said(text), at(10));
        refusals.hear(&said("something else"), at(11));
        assert_eq!(refusals.last(at(609)).as_deref(), Some(text));
        assert_eq!(refusals.last(at(610)), None);
        refusals.hear(&said(text), at(620));
        refusals.hear(&Event::Disconnected, at(621));
        assert!(refusals.last(at(622)).is_some());
        refusals.hear(&Event::Connected, at(623));
        assert_eq!(refusals.last(at(623)), None);
    }
}
