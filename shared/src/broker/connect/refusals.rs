//! What the broker refused this client lately for want of a permission. Most of that was said without asking for an
//! answer, so that nobody else notices that it went nowhere; and who did ask for one waits for it in vain.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Event;

use crate::chain;
use crate::clock::Boot;

/// So long it is told: what is still refused by then was refused again.
const TOLD: Duration = Duration::from_secs(600);
/// How such a refusal begins, whatever is put before it.
const REFUSAL: &str = "permissions violation";
/// And how one of a subject that was to be heard.
const OF_SUBSCRIPTION: &str = "permissions violation for subscription";
/// Subjects that are remembered; of more the others are told as well, only later.
const REMEMBERED: usize = 256;

/// Those of the connection, for all who use it.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The last one, and when that was.
    last: Option<(String, Boot)>,
    /// When something was refused last that was sent to a subject.
    sent: HashMap<String, Boot>,
    /// Subjects that may not be heard: that is said once a connection.
    unheard: Vec<String>,
}

impl Refusals {
    /// The client heard something of the broker.
    pub(super) fn hear(&self, event: &Event, now: Boot) {
        let said = match event {
            Event::Connected => None,
            Event::ServerError(error) => match told(&chain(error).to_string()) {
                Some(told) => Some(told),
                None => return,
            },
            Event::Disconnected
            | Event::SlowConsumer(_)
            | Event::LameDuckMode
            | Event::ClientError(_)
            | Event::Draining
            | Event::Closed => return,
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match said {
            None => *known = Known::default(),
            Some(said) => known.add(said, now),
        }
    }

    /// What was refused on this connection, as the broker said it, if it was lately.
    pub(super) fn last(&self, now: Boot) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, at) = known.last.as_ref()?;
        (now.since(*at) < TOLD).then(|| told.clone())
    }

    /// Whether what was sent to `subject` since then was refused, or answers cannot be heard, which come below `inbox`.
    pub(super) fn are_of(&self, (subject, since): (&str, Boot), inbox: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unheard = |of: &String| {
            let below = of.strip_suffix(".*").unwrap_or(of).rsplit_once('.');
            below.is_some_and(|(prefix, _)| prefix == inbox)
        };
        known.sent.get(subject).is_some_and(|at| *at >= since) || known.unheard.iter().any(unheard)
    }
}

impl Known {
    fn add(&mut self, said: String, now: Boot) {
        let quoted = said.split('"').nth(1).map(str::to_owned);
        match quoted {
            Some(subject) if said.to_ascii_lowercase().starts_with(OF_SUBSCRIPTION) => {
                self.unheard.truncate(REMEMBERED - 1);
                self.unheard.push(subject);
            }
            Some(subject) => {
                if self.sent.len() >= REMEMBERED {
                    self.sent.clear();
                }
                self.sent.insert(subject, now);
            }
            None => {}
        }
        self.last = Some((said, now));
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

    #[test]
    fn question_is_refused_by_its_own_subject_or_where_its_answer_cannot_be_heard() {
        let at = |seconds| Boot(Duration::from_secs(seconds));
        let refusals = Refusals::default();
        let said = |text: &str| Event::ServerError(ServerError::Other(text.to_owned()));
        let are_of = |subject, since| refusals.are_of((subject, at(since)), "_INBOX_me");
        refusals.hear(
            &said("Permissions Violation for Publish to \"a.b\""),
            at(10),
        );
        refusals.hear(
            &said("Permissions Violation for Publish to \"a.c\""),
            at(11),
        );
        assert!(are_of("a.b", 10) && are_of("a.c", 10));
        assert!(!are_of("a.b", 11) && !are_of("a", 0));
        refusals.hear(
            &said("Permissions Violation for Subscription to \"x.>\""),
            at(12),
        );
        assert!(!are_of("a", 0));
        refusals.hear(
            &said("Permissions Violation for Subscription to \"_INBOX_me.a7.*\""),
            at(12),
        );
        assert!(are_of("a", 20), "it is said once");
        refusals.hear(&Event::Connected, at(21));
        assert!(!are_of("a", 20) && !are_of("a.b", 10));
    }
}
