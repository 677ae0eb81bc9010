//! What becomes of a shard whose service takes it on (202) and says later what came of it: it is held meanwhile as while any
//! handler runs, for as long as its job says, and ends as the service says at a planner's API.

use std::future::pending;
use std::time::Duration;

use gridloom_shared::callback::{self, Kind, Said};
use gridloom_shared::chain;
use gridloom_shared::job::handlers::http::Order;
use gridloom_shared::secret::Secret;

use super::secrets::Secrets;
use super::service::SECRET;
use super::{HttpHandler, Known, SAID_MAX};
use crate::callbacks::Expected;
use crate::failure::Failure;
use crate::shard::Shard;

/// What is waited for, and how long.
pub(super) struct Awaited {
    expected: Expected,
    /// Where the service is to call.
    pub(super) url: String,
    within: Duration,
}

impl HttpHandler {
    /// The callback that the job asks for, if it does: awaited from now on, as a service may call before it has answered.
    pub(super) fn awaited(
        &self,
        known: &Known,
        order: &Order,
        shard: &Shard,
    ) -> Result<Option<Awaited>, Failure> {
        let Some(within) = order.callback else {
            return Ok(None);
        };
        let place: Option<(&String, &Secret)> = known
            .service
            .callback
            .as_ref()
            .zip(known.service.secrets.get(SECRET));
        let Some((address, secret)) = place else {
            let name = order.wants();
            return Err(self.lacking.failure(&name, self.known_as().iter(), shard));
        };
        let secret = secret.read("the secret");
        let secret = secret.map_err(|error| Failure::retry(chain(&error).to_string()))?;
        let expected = shard.callbacks().expect(shard, secret);
        Ok(Some(Awaited {
            url: format!("{address}{}{}", callback::PATH, expected.ticket().text()),
            expected,
            within,
        }))
    }
}

impl Awaited {
    /// What is to be taken out of all that the service says.
    pub(super) fn token(&self) -> String {
        self.expected.ticket().token.text()
    }

    /// Waits for what the service says, after its 202.
    pub(super) async fn until_said(
        &mut self,
        what: &str,
        shard: &Shard,
        secrets: &Secrets<'_>,
    ) -> Result<(), Failure> {
        let within = self.within;
        tokio::select! {
            biased;
            said = self.expected.said() => end(shard, said, what, secrets),
            () = tokio::time::sleep(within) => Err(Failure::retry(format!(
                "{what}: it answered 202, and did not call back within {within:?} (http.callback)"
            ))),
            () = shard.cancelled() => Err(Failure::retry(format!(
                "{what}: it answered 202, and had not called back when the attempt was told to stop"
            ))),
        }
    }
}

/// What is said, where anything is awaited.
pub(super) async fn said(awaited: Option<&mut Awaited>) -> Said {
    match awaited {
        Some(awaited) => awaited.expected.said().await,
        None => pending().await,
    }
}

/// Ends the shard as its service says. Services repeat what they were sent.
pub(super) fn end(
    shard: &Shard,
    said: Said,
    what: &str,
    secrets: &Secrets<'_>,
) -> Result<(), Failure> {
    match said {
        Said::Done {
            rows,
            counters,
            result,
        } => {
            if let Some(rows) = rows {
                shard.rows(rows);
            }
            for (name, n) in counters {
                shard.count(name, n);
            }
            if let Some(result) = result {
                shard.result(secrets.out_of(&result));
            }
            Ok(())
        }
        Said::Failed {
            error,
            kind,
            after_ms,
        } => {
            let why = secrets.out_of(&error);
            let why = &why[..why.floor_char_boundary(SAID_MAX)];
            let text = format!("{what}: it called back that it failed: {why}");
            Err(match (kind, after_ms) {
                (Kind::Permanent, _) => Failure::permanent(text),
                (Kind::Retry, Some(ms)) => Failure::retry_after(Duration::from_millis(ms), text),
                (Kind::Retry, None) => Failure::retry(text),
            })
        }
    }
}
