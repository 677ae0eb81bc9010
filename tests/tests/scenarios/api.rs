//! The HTTP API as programs use it: on planners that lead and that stand by, with tokens and without.

use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_tests::http::{Reply, ask};
use gridloom_tests::process::Process;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

#[path = "api/asked.rs"]
mod asked;
#[path = "api/at_once.rs"]
mod at_once;
#[path = "api/doctor.rs"]
mod doctor;
#[path = "api/events.rs"]
mod events;
#[path = "api/given_up.rs"]
mod given_up;
#[path = "api/many.rs"]
mod many;
#[path = "api/prospect.rs"]
mod prospect;
#[path = "api/renewed.rs"]
mod renewed;
#[path = "api/roles.rs"]
mod roles;
#[path = "api/safe.rs"]
mod safe;
#[path = "api/schema.rs"]
mod schema;
#[path = "api/sessions.rs"]
mod sessions;
#[path = "api/shapes.rs"]
mod shapes;
#[path = "api/silent.rs"]
mod silent;
#[path = "api/soonest.rs"]
mod soonest;
#[path = "api/stream.rs"]
mod stream;
#[path = "api/vast.rs"]
mod vast;
#[path = "api/waits.rs"]
mod waits;

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// An API that is asked with a token, or without.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    address: String,
    token: Option<String>,
}

/// A planner with an API on a port of its own.
pub(crate) async fn start(stage: &mut Stage, args: &[&str]) -> anyhow::Result<Api> {
    let planner = stage.gridloom(&["planner", "--api-listen", "127.0.0.1:0"])?;
    let planner = planner.args(args.iter().copied()).start().await?;
    let address = address(&planner).await?;
    stage.planners.push(planner);
    let api = Api {
        address,
        token: None,
    };
    eventually(SOON, "the API is connected", async || {
        let about = api.ask(("GET", "/about"), &[], None).await?;
        // With tokens, or under another path, it says nothing of that.
        Ok(about.status != 200 || about.json()["broker"].is_string())
    })
    .await?;
    Ok(api)
}

/// Where the API of a planner is, as it says itself.
async fn address(planner: &Process) -> anyhow::Result<String> {
    let found = async || {
        let text = planner.stderr();
        let forms = ["http://", "https://", "\"http://", "\"https://"];
        let from = forms
            .iter()
            .find_map(|form| text.split(&format!("api={form}")).nth(1));
        Ok(from.and_then(|rest| Some(rest.split('/').next()?.to_owned())))
    };
    eventually_some(SOON, "it says where its API is", found).await
}

impl Api {
    pub(crate) fn with(&self, token: &str) -> Api {
        Api {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The address of a page beside it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What stands there.
    pub(crate) async fn page(&self, path: &str) -> anyhow::Result<Reply> {
        ask(&self.address, ("GET", path), &[], None).await
    }

    pub(crate) async fn ask(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Reply> {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut all = headers.to_vec();
        if let Some(bearer) = &bearer {
            all.push(("authorization", bearer));
        }
        let body = body.map(|body| body.to_string().into_bytes());
        if body.is_some() {
            all.push(("content-type", "application/json"));
        }
        let path = format!("/api/v1{path}");
        let asked = ask(&self.address, (method, &path), &all, body.as_deref());
        asked.await.with_context(|| format!("{method} {path}"))
    }

    /// What is read there.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let reply = self.ask(("GET", path), &[], None).await?;
        ensure!(
            reply.status == 200,
            "GET {path}: {} {}",
            reply.status,
            reply.json()
        );
        Ok(reply.json())
    }

    /// What comes of an order.
    pub(crate) async fn order(
        &self,
        (method, path): (&str, &str),
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let reply = self.ask((method, path), &[], body).await?;
        Ok((reply.status, reply.json()))
    }

    /// Waits until a run is in that state.
    pub(crate) async fn is(&self, run: &str, state: &str) -> anyhow::Result<Value> {
        let path = format!("/runs/{run}");
        eventually_some(SOON, &format!("run {run} is {state}"), async || {
            let reply = self.ask(("GET", &path), &[], None).await?;
            Ok((reply.json()["state"] == state).then(|| reply.json()))
        })
        .await
    }
}

/// The kind of a problem.
pub(crate) fn kind(reply: &Value) -> &str {
    let kind = reply["type"].as_str().unwrap_or_default();
    kind.strip_prefix("urn:gridloom:").unwrap_or(kind)
}
