//! What answers here, and for whom: the installation, and the session of a browser, in a cookie that no script can read and
//! no other site sends ([`super::sessions`]).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use gridloom_shared::broker::Broker;
use gridloom_shared::id::Namespace;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{Role, Who};
use super::ask::{Asking, Body};
use super::link::Api;
use super::problem::{Answer, Kind, Problem};
use super::sessions::{self, Id, LASTS};

/// What the name of the cookie begins with. A browser sends those of all ports of a host: what tells an installation from
/// others there follows.
pub(super) const COOKIE: &str = "gridloom_";
/// Cookies of sessions that are looked at: of so many installations of a host somebody has a page open.
pub(super) const COOKIES_MAX: usize = 8;

/// What answers here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct About {
    /// Version of this planner's build.
    version: &'static str,
    /// The planner.
    planner: String,
    /// The installation.
    namespace: Namespace,
    /// Version of the broker; `None`: there is no connection to it just now.
    broker: Option<String>,
    /// Whether nothing is changed here.
    read_only: bool,
    /// Who asks.
    session: Session,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// The name of the token, `local` where none is asked for.
    name: String,
    /// What they may do.
    role: Role,
    /// Whether tokens are asked for.
    tokens: bool,
}

/// A token, for a session.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// The token.
    token: String,
}

/// What answers here.
#[utoipa::path(get, path = "/about", tag = "installation", operation_id = "about",
    responses((status = 200, body = About)))]
pub(super) async fn about(State(api): State<Api>, Asking(who): Asking) -> Json<About> {
    Json(About {
        version: env!("CARGO_PKG_VERSION"),
        planner: api.settings.planner.clone(),
        namespace: api.namespace.clone(),
        broker: api.broker().map(|broker| broker.server_version()),
        read_only: api.settings.read_only,
        session: session_of(&api, who),
    })
}

fn session_of(api: &Api, who: Who) -> Session {
    Session {
        name: who.name,
        role: who.role,
        tokens: !api.tokens().is_empty(),
    }
}

/// Who asks.
#[utoipa::path(get, path = "/session", tag = "installation", operation_id = "session",
    responses((status = 200, body = Session)))]
pub(super) async fn session(State(api): State<Api>, Asking(who): Asking) -> Json<Session> {
    Json(session_of(&api, who))
}

/// Begins the session of a browser.
///
/// The cookie has a number of its own, and neither the token nor anything that leads to it. Every planner of the installation
/// knows the session for twelve hours, or until it is ended, or its token is taken away.
#[utoipa::path(post, path = "/session", tag = "installation", operation_id = "login", request_body = Login,
    responses((status = 200, body = Session, headers(("set-cookie" = String)))))]
pub(super) async fn login(
    State(api): State<Api>,
    headers: HeaderMap,
    Body(login): Body<Login>,
) -> Answer<Response> {
    let tokens = api.tokens();
    // Nobody needs a cookie where no token is asked for.
    if tokens.is_empty() {
        return Ok(Json(session_of(&api, Who::here())).into_response());
    }
    let who = tokens
        .whose(&login.token)
        .ok_or_else(|| Problem::new(Kind::Unauthorized, "there is no such token"))?;
    let broker = api.broker().ok_or_else(Problem::away)?;
    let session = api.sessions.begin(broker, &tokens, &who.name).await?;
    let cookie = cookie((&api, broker), &headers, session.text(), LASTS.as_secs()).await?;
    let told = Json(session_of(&api, who));
    Ok(([(header::SET_COOKIE, cookie)], told).into_response())
}

/// Ends the session of a browser, at every planner.
#[utoipa::path(delete, path = "/session", tag = "installation", operation_id = "logout",
    responses((status = 204, headers(("set-cookie" = String)))))]
pub(super) async fn logout(
    State(api): State<Api>,
    shown: Option<Extension<Id>>,
    headers: HeaderMap,
) -> Answer<Response> {
    let broker = api.broker().ok_or_else(Problem::away)?;
    if let Some(Extension(session)) = shown {
        api.sessions.end(broker, &session).await?;
    }
    let cookie = cookie((&api, broker), &headers, "", 0).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

async fn cookie(
    (api, broker): (&Api, &Broker),
    headers: &HeaderMap,
    value: &str,
    age_s: u64,
) -> Answer<HeaderValue> {
    // A proxy that speaks TLS says so; without it a browser would not send the cookie back.
    let is_tls = api.settings.certificate.is_some()
        || headers
            .get("x-forwarded-proto")
            .is_some_and(|proto| proto == "https");
    let secure = if is_tls { "; Secure" } else { "" };
    let path = match api.settings.base_path.as_str() {
        "" => "/",
        path => path,
    };
    let of = sessions::installation(broker).await?;
    let text = format!(
        "{COOKIE}{of}={value}; Path={path}; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}"
    );
    let wrong = |_| Problem::new(Kind::Internal, "the session cannot be in a cookie");
    HeaderValue::from_str(&text).map_err(wrong)
}
