//! What is wrong with the installation, and what to do about it: as `gridloom doctor` tells it, from where this planner
//! stands. It asks the broker, the planners and the workers for much, so one examination at a time is made for whoever wants
//! one, and it has an end whatever does not answer.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use gridloom_shared::clock::UnixMs;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::link::Api;
use crate::doctor::{self, Asker, Chart, Check, Mark};

/// So old may be what is told.
const KEPT: Duration = Duration::from_secs(5);
/// What has not been looked at by then is not: the gate waits for no answer much longer.
const WITHIN: Duration = Duration::from_secs(20);

/// What an examination found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Examined {
    /// The planner that looked.
    planner: String,
    /// When it began to, RFC 3339.
    at: String,
    /// How long that took, in milliseconds.
    took_ms: u64,
    /// The worst of it.
    result: Mark,
    /// Its lines, in the order in which they were looked at.
    items: Vec<Check>,
}

/// Examines the installation.
///
/// The lines of `gridloom doctor --json`, as this planner finds them: its own clock is compared with the broker's, and what
/// a command's user may do is not tried. One examination at a time is made for all who ask, and what was found within the
/// last 5 s is told again: `at` says when that was. It takes a second or two, and 20 s at most: what has not been looked at by
/// then, since the broker does not answer, is told as a line that is bad.
#[utoipa::path(get, path = "/doctor", tag = "installation", operation_id = "doctor",
    responses((status = 200, body = Examined)))]
pub(super) async fn doctor(State(api): State<Api>) -> Json<Examined> {
    let asked = api.clone();
    let examined = api.examined.get(KEPT, move || examine(asked, WITHIN));
    Json(examined.await)
}

async fn examine(api: Api, within: Duration) -> Examined {
    let (at, begun) = (UnixMs::now(), Instant::now());
    let planner = api.settings.planner.as_str();
    let chart = match api.broker() {
        Some(broker) => {
            let asker = Asker::Planner {
                name: planner,
                may_write: !api.settings.read_only,
            };
            let mut chart = Chart::default();
            let looked = doctor::examine(broker, asker, api.settings.expected, &mut chart);
            if timeout(within, looked).await.is_err() {
                doctor::cut_short(&mut chart, within);
            }
            chart
        }
        None => doctor::unreached(
            format!("planner {planner} has no connection to the broker; it goes on trying"),
            format!(
                "see whether nats-server runs: where it does, the log of {planner} says what keeps it from it (the address, credentials, the network)"
            ),
        ),
    };
    let items = chart.into_checks();
    Examined {
        planner: planner.to_owned(),
        at: at.rfc3339(),
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        result: items
            .iter()
            .map(|check| check.result)
            .max()
            .unwrap_or(Mark::Ok),
        items,
    }
}
