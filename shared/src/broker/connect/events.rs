//! What the client tells of its connection while it has one, or looks for the next: what of it is said, and how
//! often. Whoever is not let in again is told what to change, and goes on trying: files may be put right meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Event, ServerError};
use tokio::sync::watch;
use tracing::Span;

use super::credentials::Credentials;
use super::refusals::Refusals;
use crate::chain;
use crate::clock::Boot;

/// How often the same trouble is told while it lasts.
const AGAIN: Duration = Duration::from_secs(30);
/// How the client calls an attempt that found nothing to log in with.
const UNPROVEN: &str = "failed signing nonce";

/// Hears them.
#[derive(Debug)]
pub(super) struct Events {
    /// Bumped at each.
    bump: watch::Sender<u64>,
    refusals: Refusals,
    credentials: Arc<Credentials>,
    /// Whether what is refused is told by who asked.
    told_by_answers: bool,
    /// When it was told last that the broker does not let this client in.
    told: Mutex<Option<Boot>>,
    /// Who connected: what is told is told by the client's own task.
    span: Span,
}

impl Events {
    pub(super) fn new(
        bump: watch::Sender<u64>,
        refusals: Refusals,
        (credentials, told_by_answers): (Credentials, bool),
    ) -> Events {
        Events {
            bump,
            refusals,
            credentials: Arc::new(credentials),
            told_by_answers,
            told: Mutex::new(None),
            span: Span::current(),
        }
    }

    pub(super) fn hear(&self, event: &Event) {
        self.span.in_scope(|| self.report(event));
        self.refusals.hear(event, Boot::now());
        self.bump.send_modify(|count| *count += 1);
    }

    fn report(&self, event: &Event) {
        match event {
            Event::Connected => {
                *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
                tracing::info!("connected to the broker");
            }
            Event::Disconnected => tracing::warn!("disconnected from the broker"),
            Event::ServerError(error) if is_of_login(error) => {
                self.tell_denied(&chain(error).to_string())
            }
            Event::ServerError(error) if self.told_by_answers => {
                tracing::debug!(error = %chain(error), "the broker refused something");
            }
            Event::ServerError(error) => {
                tracing::error!(error = %chain(error), "the broker refused something; check this client's permissions");
            }
            Event::SlowConsumer(subscription) => {
                tracing::error!(
                    subscription,
                    "messages dropped: they came faster than they were read"
                );
            }
            Event::LameDuckMode => tracing::warn!("the broker is about to stop"),
            Event::ClientError(what) => {
                let what = what.to_string();
                // Credentials may be changed under those who are connected.
                if what.contains("authorization") || what.contains(UNPROVEN) {
                    self.tell_denied(&what);
                } else {
                    tracing::debug!(error = what, "connection attempt failed");
                }
            }
            Event::Draining | Event::Closed => tracing::debug!(%event, "connection"),
        }
    }

    fn tell_denied(&self, what: &str) {
        let now = Boot::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|at| now.since(at) < AGAIN) {
            return;
        }
        *told = Some(now);
        // What cannot be read now is the reason, and not what the broker made of it.
        let advice = match self.credentials.proof(b"") {
            Ok(_) => self.credentials.advice(),
            Err(error) => chain(&error).to_string(),
        };
        tracing::error!(
            error = what,
            advice,
            "the broker does not let this client in again; it is tried all the same, with what stands in its files then"
        );
    }
}

/// Whether the broker ends a connection because of who the client is.
fn is_of_login(error: &ServerError) -> bool {
    match error {
        ServerError::AuthorizationViolation => true,
        ServerError::SlowConsumer(_) => false,
        ServerError::Other(text) => {
            let text = text.to_ascii_lowercase();
            [
                "authentication expired",
                "authentication revoked",
                "authentication timeout",
            ]
            .iter()
            .any(|words| text.contains(words))
        }
    }
}
