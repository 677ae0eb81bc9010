//! What is refused before it reaches an operation: whoever has no token, or one that may not; what a page of somebody
//! else's would have a browser do; and what would change something where nothing is changed. It also gives each
//! answer the number of its request, and a time by which there is one.

use std::net::IpAddr;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout};

use super::about::{COOKIE, COOKIES_MAX};
use super::access::{Needs, Role, Tokens, Who, is_open, needs};
use super::ask::without_body;
use super::counted;
use super::link::Api;
use super::pack;
use super::problem::{Answer, Kind, Problem};
use super::sessions::Id;
use super::settings::{ANSWER_WITHIN, ROOT, Settings};
use crate::gzip;

/// The number of a request, of whoever asks or of ours.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// What a browser sends with whatever changes something: no form of another site can.
pub(super) const OWN: &str = "x-gridloom";
/// No number is longer.
const ID_MAX: usize = 128;

/// The number of a request, for whoever records it.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Lets a request through, or says why not.
pub(super) async fn pass(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = id_of(request.headers());
    let packed = gzip::is_understood(request.headers());
    let path = path(&api.settings, &request);
    let operation = api.operations.name(request.method(), path.as_deref());
    let (operation, begun) = (operation.to_owned(), Instant::now());
    let nothing_asked = api
        .operations
        .takes_no_query(request.method(), path.as_deref());
    let nothing_read = !request.method().is_safe()
        && api
            .operations
            .takes_no_body(request.method(), path.as_deref());
    let shown = shown((&api.0.settings, &api.0.tokens()), &request);
    let asks = asks_what_is_known(&request, nothing_asked);
    let needs = needs(
        request.method().as_str(),
        path.as_deref().unwrap_or_default(),
    );
    let entered = enter(&api, shown, (needs, path.as_deref())).await;
    let response = match entered.and_then(|entered| asks.map(|()| entered)) {
        Err(problem) => problem.into_response(),
        Ok((who, session)) => {
            let extensions = request.extensions_mut();
            extensions.insert(who);
            extensions.insert(RequestId(id.clone()));
            session.map(|session| extensions.insert(session));
            let run = async {
                match nothing_read {
                    true => Ok(next.run(without_body(request).await?).await),
                    false => Ok(next.run(request).await),
                }
            };
            match timeout(ANSWER_WITHIN, run).await {
                Ok(Ok(response)) => in_form(response),
                Ok(Err(problem)) => Problem::into_response(problem),
                Err(_) => too_long().into_response(),
            }
        }
    };
    let mut response = match packed {
        true => pack::packed(response).await,
        false => response,
    };
    counted::count(&operation, response.status(), begun.elapsed());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    let no_guess = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, no_guess);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// What stands behind the question mark of an operation that takes nothing there is refused: an order whose `dry_run` is passed
/// over would be carried out.
fn asks_what_is_known(request: &Request, nothing: bool) -> Answer<()> {
    match request.uri().query() {
        Some(query) if nothing && !query.is_empty() => Err(Problem::invalid(format!(
            "?{}: this operation takes nothing behind the question mark; what it takes stands in its body",
            query.chars().take(ID_MAX).collect::<String>(),
        ))),
        _ => Ok(()),
    }
}

fn too_long() -> Problem {
    let detail = format!(
        "there was no answer within {} s; what was ordered may have been done",
        ANSWER_WITHIN.as_secs()
    );
    Problem::new(Kind::TimedOut, detail)
}

fn id_of(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let fine =
        |id: &&str| (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    match given.filter(fine) {
        Some(given) => given.to_owned(),
        None => uuid::Uuid::new_v4().to_string(),
    }
}

/// What the framework refuses by itself has the form of all problems, too.
fn in_form(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_ours = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            "there is something under this path, but not by this method: Allow names those that there are"
        }
        StatusCode::NOT_FOUND => "there is nothing under this path",
        _ => "the request cannot be understood",
    };
    let mut told = Problem::new(Kind::of(status), detail).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        told.headers_mut().insert(header::ALLOW, allow.clone());
    }
    told
}

/// The path of an operation, as it is described.
fn path(settings: &Settings, request: &Request) -> Option<String> {
    let matched = request.extensions().get::<MatchedPath>()?;
    let path = matched.as_str().strip_prefix(settings.base_path.as_str())?;
    path.strip_prefix(ROOT).map(str::to_owned)
}

/// What somebody shows who asks.
enum Shown {
    /// They are known by it.
    Who(Who),
    /// Sessions, of which the broker knows whose they are: a browser shows those of other installations of this host, too.
    Sessions(Vec<Id>),
}

/// What somebody shows who asks, if a request may come as this one does.
fn shown((settings, tokens): (&Settings, &Tokens), request: &Request) -> Answer<Shown> {
    let headers = request.headers();
    let path = path(settings, request);
    let path = path.as_deref();
    let needs = needs(request.method().as_str(), path.unwrap_or_default());
    if needs.changes {
        is_of_this_site(headers)?;
    }
    if tokens.is_empty() {
        is_for_this_machine(headers, request.uri().host())?;
        return Ok(Shown::Who(Who::here()));
    }
    // Whoever logs in has no cookie yet, and a service has none.
    if is_open(request.method().as_str(), path.unwrap_or_default()) {
        return Ok(Shown::Who(Who {
            name: String::new(),
            role: Role::Viewer,
        }));
    }
    if let Some(bearer) = bearer(headers) {
        let whose = tokens.whose(bearer);
        let unknown = || unauthorized("there is no such token");
        return whose.map(Shown::Who).ok_or_else(unknown);
    }
    let shown = cookies(headers);
    if shown.is_empty() {
        return Err(unauthorized("send a token: Authorization: Bearer TOKEN"));
    }
    let sessions: Vec<Id> = shown.into_iter().filter_map(Id::read).collect();
    if needs.changes && !headers.contains_key(OWN) {
        let detail = format!("what changes something by a cookie needs the header {OWN}");
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    Ok(Shown::Sessions(sessions))
}

/// Who asks, if they may, and the session by which they do.
async fn enter(
    api: &Api,
    shown: Answer<Shown>,
    (needs, path): (Needs, Option<&str>),
) -> Answer<(Who, Option<Id>)> {
    let (who, session) = match shown? {
        Shown::Who(who) => (who, None),
        Shown::Sessions(all) => {
            let (who, id) = of_here(api, all).await?;
            (who, Some(id))
        }
    };
    may(&api.settings, who, needs, path).map(|who| (who, session))
}

/// The first of these sessions that is one of this installation, and lasts.
async fn of_here(api: &Api, all: Vec<Id>) -> Answer<(Who, Id)> {
    let mut problem = over();
    for id in all {
        match api.sessions.whose(api.broker(), &api.tokens(), &id).await {
            Ok(Some(who)) => return Ok((who, id)),
            Ok(None) => {}
            Err(why) => problem = why,
        }
    }
    Err(problem)
}

fn over() -> Problem {
    unauthorized("the session is over: log in again")
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(Kind::Unauthorized, detail)
}

fn may(settings: &Settings, who: Who, needs: Needs, path: Option<&str>) -> Answer<Who> {
    // Everybody may log out.
    let is_own = path == Some("/session");
    if needs.changes && settings.read_only && !is_own {
        return Err(Problem::new(
            Kind::ReadOnly,
            "this API only tells: it was started with --api-read-only",
        ));
    }
    if who.role < needs.role && !is_own {
        let detail = format!(
            "token {} is one of role {}, and this needs {}",
            who.name, who.role, needs.role
        );
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    Ok(who)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// What stands in the cookies of sessions.
fn cookies(headers: &HeaderMap) -> Vec<&str> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let pairs = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let ours = pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.split_once('='));
    ours.map(|(_, value)| value).take(COOKIES_MAX).collect()
}

/// A browser says for whose page it asks: only for one of ours may it change something. Programs say nothing of that. What it
/// finds itself (`Sec-Fetch-Site`) counts; where it does not say that, as to a name without TLS, the page's address is held
/// against the one that was asked, which a proxy has to leave as it was.
fn is_of_this_site(headers: &HeaderMap) -> Answer<()> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let other = |detail: String| Err(Problem::new(Kind::Forbidden, detail));
    match (text("sec-fetch-site"), text("origin"), text("host")) {
        (Some("same-origin" | "none"), _, _) | (None, None, _) => Ok(()),
        (Some(_), origin, _) => other(format!(
            "a page of another site asks for this{}: only a page of this address may",
            origin.map(|from| format!(" ({from})")).unwrap_or_default()
        )),
        (None, Some(origin), host) => match address(origin) {
            from if from.is_some() && from == host.and_then(|host| with_scheme(origin, host)) => {
                Ok(())
            }
            _ => other(format!(
                "a page of {origin} asks for this, and was answered by {}: only a page of this address may. A proxy in between has to leave the header Host as it was",
                host.unwrap_or("no name")
            )),
        },
    }
}

/// The address that `host` is for a page of `origin`.
fn with_scheme(origin: &str, host: &str) -> Option<String> {
    let (scheme, _) = origin.split_once("://")?;
    address(&format!("{scheme}://{host}"))
}

/// Name and port of a page: a name is the same in large letters, and with the port that its scheme has by itself.
fn address(origin: &str) -> Option<String> {
    let (scheme, authority) = origin.split_once("://")?;
    let usual = match scheme {
        "https" => ":443",
        _ => ":80",
    };
    let name = authority.strip_suffix(usual).unwrap_or(authority);
    Some(name.to_ascii_lowercase())
}

/// Without tokens whoever reaches this address may do everything. So a name that is made to lead here (DNS rebinding)
/// must not: a page under such a name would be of this site.
fn is_for_this_machine(headers: &HeaderMap, of_uri: Option<&str>) -> Answer<()> {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let Some(host) = host.or(of_uri) else {
        return Ok(());
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_address = name.parse::<IpAddr>().is_ok();
    match is_address || name.eq_ignore_ascii_case("localhost") {
        true => Ok(()),
        false => Err(Problem::new(
            Kind::Forbidden,
            "without tokens this API is asked under an address or localhost, and under no other name: set tokens ([api] in the configuration), or ask 127.0.0.1",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn page_of_another_site_changes_nothing() {
        let host = ("host", "127.0.0.1:7070");
        for fine in [
            headers(&[host]),
            headers(&[host, ("origin", "http://127.0.0.1:7070")]),
            headers(&[
                host,
                ("origin", "http://127.0.0.1:7070"),
                ("sec-fetch-site", "same-origin"),
            ]),
            headers(&[host, ("sec-fetch-site", "none")]),
            headers(&[
                ("host", "Grid.example"),
                ("origin", "https://grid.example:443"),
            ]),
            // A proxy that asks under a name of its own.
            headers(&[
                host,
                ("origin", "https://grid.example"),
                ("sec-fetch-site", "same-origin"),
            ]),
        ] {
            assert!(is_of_this_site(&fine).is_ok(), "{fine:?}");
        }
        for bad in [
            headers(&[host, ("origin", "http://127.0.0.1:8080")]),
            headers(&[host, ("origin", "null")]),
            headers(&[host, ("origin", "https://evil.example")]),
            headers(&[
                ("host", "grid.example"),
                ("origin", "http://grid.example:443"),
            ]),
            headers(&[("origin", "http://grid.example")]),
            headers(&[host, ("sec-fetch-site", "cross-site")]),
            headers(&[
                host,
                ("origin", "http://127.0.0.1:7070"),
                ("sec-fetch-site", "same-site"),
            ]),
            headers(&[host, ("sec-fetch-site", "same-site")]),
        ] {
            assert!(is_of_this_site(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn without_tokens_it_is_asked_by_its_address() {
        for fine in [
            "127.0.0.1:7070",
            "localhost",
            "LOCALHOST:1",
            "[::1]:7070",
            "10.0.0.1",
        ] {
            let host = HeaderValue::from_str(fine).unwrap();
            let headers = HeaderMap::from_iter([(header::HOST, host)]);
            assert!(is_for_this_machine(&headers, None).is_ok(), "{fine}");
        }
        for bad in [
            "evil.example",
            "evil.example:7070",
            "localhost.evil.example:7070",
            "",
        ] {
            let host = HeaderValue::from_str(bad).unwrap();
            let headers = HeaderMap::from_iter([(header::HOST, host)]);
            assert!(is_for_this_machine(&headers, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn cookies_are_found_among_others_and_so_is_a_token() {
        let among = "a=b; gridloom_0a=glt_1; c=d;gridloom_f1=glt_2; xgridloom_f1=no";
        let among = headers(&[("cookie", among)]);
        assert_eq!(cookies(&among), ["glt_1", "glt_2"]);
        let others = headers(&[("cookie", "gridloom=x; gridloom2=x")]);
        assert!(cookies(&others).is_empty());
        let many = HeaderValue::from_str(&"gridloom_1=x;".repeat(1_000)).unwrap();
        let many = HeaderMap::from_iter([(header::COOKIE, many)]);
        assert_eq!(cookies(&many).len(), COOKIES_MAX);
        assert_eq!(
            bearer(&headers(&[("authorization", "bearer  t")])),
            Some("t")
        );
        assert_eq!(bearer(&headers(&[("authorization", "Basic t")])), None);
    }
}
