//! What an answer means for the shard. Sees status and headers alone: what a server says besides is for people.
//!
//! | status | meaning |
//! |--------|---------|
//! | 202, where the job awaits a callback | the service will say |
//! | one of `success` | done |
//! | 301, 302, 303, 307, 308 with `Location` | asked again there, on the same server; elsewhere it is a failure for good |
//! | 429, 503 with `Retry-After` | the job rests until then, and no attempt is used up |
//! | one of `retry` with `Retry-After` | tried again then |
//! | one of `retry` | tried again |
//! | any other | no other attempt will do better |

use std::time::Duration;

use gridloom_shared::job::handlers::http::{Order, Origin};
use hyper::Method;
use hyper::header::{DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use url::Url;

/// The longest wait that a server may ask for at once: then it is asked again.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(3_600);
/// How often a server may say that something is elsewhere.
pub(super) const MOVES_MAX: u32 = 5;
/// Statuses by which a server says that it cannot serve anybody now.
const HOLDING: &[u16] = &[429, 503];

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The shard is done.
    Done,
    /// The service has taken it on, and calls back.
    Later,
    /// It is asked there, on the same server.
    Moved(Url),
    /// Another attempt may have success.
    Again,
    /// Another attempt may, then.
    AgainAfter(Duration),
    /// Nobody is served before then.
    Hold(Duration),
    /// None will; why, where the status does not say.
    Never(&'static str),
}

/// What an answer means that came from `url` at `now`.
pub(super) fn meaning(
    order: &Order,
    (method, url): (&Method, &Url),
    status: u16,
    headers: &HeaderMap,
    now: OffsetDateTime,
) -> Meaning {
    if status == 202 && order.callback.is_some() {
        return Meaning::Later;
    }
    if order.success.contains(status) {
        return Meaning::Done;
    }
    if order.retry.contains(status) {
        return match wait(headers, now) {
            Some(wait) if HOLDING.contains(&status) => Meaning::Hold(wait),
            Some(wait) => Meaning::AgainAfter(wait),
            None => Meaning::Again,
        };
    }
    match (status, headers.get(LOCATION)) {
        (301 | 302 | 303 | 307 | 308, Some(place)) => {
            let place = place.to_str().ok().and_then(|place| url.join(place).ok());
            moved(method, url, status, place)
        }
        _ => Meaning::Never(""),
    }
}

fn moved(method: &Method, url: &Url, status: u16, place: Option<Url>) -> Meaning {
    let Some(place) = place else {
        return Meaning::Never("its Location is no address");
    };
    if !matches!(place.scheme(), "http" | "https") || Origin::of(&place) != Origin::of(url) {
        return Meaning::Never("its Location is on another server: name that one in http.url");
    }
    // By 301, 302 and 303 clients ask there with GET, whatever they asked before.
    match matches!(status, 307 | 308) || method == Method::GET {
        true => Meaning::Moved(place),
        false => Meaning::Never("its Location is to be asked with GET: name it in http.url"),
    }
}

/// How long a server asks to wait: seconds, or the time when it is over, which is counted from the server's own.
fn wait(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let said = text(RETRY_AFTER)?.trim();
    let seconds = match said.bytes().all(|byte| byte.is_ascii_digit()) {
        true => said.parse().unwrap_or(u64::MAX),
        false => {
            let from = text(DATE).and_then(date).unwrap_or(now);
            u64::try_from((date(said)? - from).whole_seconds()).unwrap_or(0)
        }
    };
    (!said.is_empty()).then(|| Duration::from_secs(seconds).min(WAIT_MAX))
}

/// A time as headers have it: `Sun, 06 Nov 1994 08:49:37 GMT`, and in the two forms that RFC 9110 has read besides, of RFC 850 and of
/// `asctime`; with an offset, as mails have it, which servers write too.
fn date(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    match httpdate::parse_http_date(text) {
        Ok(at) => Some(at.into()),
        Err(_) => OffsetDateTime::parse(text, &Rfc2822).ok(),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn meant(settings: &serde_json::Value, status: u16, said: &[(HeaderName, &str)]) -> Meaning {
        let order = Order::read(settings).unwrap();
        let url = Url::parse("https://h:8443/a/b?c").unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.insert(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        let method = Method::from_bytes(order.method.as_bytes()).unwrap();
        let now = date("Sun, 06 Nov 1994 08:00:00 GMT").unwrap();
        meaning(&order, (&method, &url), status, &headers, now)
    }

    fn posted(status: u16, said: &[(HeaderName, &str)]) -> Meaning {
        meant(&json!({"url": "https://h:8443/a/b"}), status, said)
    }

    #[test]
    fn each_status_has_its_meaning() {
        for status in 100..600 {
            let wanted = match status {
                200..=299 => Meaning::Done,
                408 | 429 | 500..=599 => Meaning::Again,
                _ => Meaning::Never(""),
            };
            assert_eq!(posted(status, &[]), wanted, "{status}");
        }
        let own =
            || json!({"url": "https://h:8443/a", "success": [404, "301-302"], "retry": [409]});
        let place = [(LOCATION, "https://elsewhere/")];
        assert_eq!(meant(&own(), 404, &[]), Meaning::Done);
        assert_eq!(meant(&own(), 302, &place), Meaning::Done);
        assert_eq!(meant(&own(), 409, &[]), Meaning::Again);
        assert_eq!(meant(&own(), 200, &[]), Meaning::Never(""));
        assert_eq!(
            meant(&own(), 503, &[(RETRY_AFTER, "7")]),
            Meaning::Never("")
        );
    }

    #[test]
    fn accepted_is_no_end_where_a_callback_is_awaited_and_a_status_as_others_where_none_is() {
        let awaits = || json!({"url": "https://h:8443/a", "callback": "1h", "success": [200]});
        assert_eq!(meant(&awaits(), 202, &[]), Meaning::Later);
        assert_eq!(meant(&awaits(), 200, &[]), Meaning::Done);
        assert_eq!(meant(&awaits(), 500, &[]), Meaning::Again);
        assert_eq!(posted(202, &[]), Meaning::Done);
        let strict = json!({"url": "https://h:8443/a", "success": [200]});
        assert_eq!(meant(&strict, 202, &[]), Meaning::Never(""));
    }

    #[test]
    fn server_that_cannot_serve_says_until_when() {
        let seconds = Duration::from_secs;
        let said = |text: &'static str| [(RETRY_AFTER, text)];
        assert_eq!(posted(429, &said("7")), Meaning::Hold(seconds(7)));
        assert_eq!(posted(503, &said("0")), Meaning::Hold(seconds(0)));
        assert_eq!(posted(500, &said("7")), Meaning::AgainAfter(seconds(7)));
        assert_eq!(posted(408, &said("7")), Meaning::AgainAfter(seconds(7)));
        assert_eq!(posted(404, &said("7")), Meaning::Never(""));
        let date = said("Sun, 06 Nov 1994 08:01:30 GMT");
        assert_eq!(posted(429, &date), Meaning::Hold(seconds(90)));
        for other in [
            "Sunday, 06-Nov-94 08:01:30 GMT",
            "Sun Nov  6 08:01:30 1994",
            "Sun, 06 Nov 1994 08:01:30 +0000",
        ] {
            assert_eq!(
                posted(429, &said(other)),
                Meaning::Hold(seconds(90)),
                "{other}"
            );
        }
        let past = said("Sun, 06 Nov 1994 07:00:00 GMT");
        assert_eq!(posted(429, &past), Meaning::Hold(seconds(0)));
        // A server whose clock is off is off by as much in both.
        let both = [
            (RETRY_AFTER, "Sun, 06 Nov 1994 10:00:30 GMT"),
            (DATE, "Sun, 06 Nov 1994 10:00:00 GMT"),
        ];
        assert_eq!(posted(429, &both), Meaning::Hold(seconds(30)));
        for long in ["99999999999999999999", "86400"] {
            assert_eq!(posted(429, &[(RETRY_AFTER, long)]), Meaning::Hold(WAIT_MAX));
        }
        for nothing in ["soon", "", "-1", "1.5"] {
            assert_eq!(
                posted(429, &[(RETRY_AFTER, nothing)]),
                Meaning::Again,
                "{nothing}"
            );
        }
    }

    #[test]
    fn what_is_elsewhere_is_asked_on_the_same_server_alone() {
        let at = |place: &str| {
            let to = Url::parse(place).unwrap();
            Meaning::Moved(to)
        };
        for (place, wanted) in [
            ("/x?y", "https://h:8443/x?y"),
            ("x", "https://h:8443/a/x"),
            ("https://H:8443/x", "https://h:8443/x"),
            ("//h:8443/x", "https://h:8443/x"),
        ] {
            assert_eq!(posted(307, &[(LOCATION, place)]), at(wanted), "{place}");
        }
        for place in [
            "https://elsewhere/x",
            "https://h/x",
            "http://h:8443/x",
            "//elsewhere:8443/x",
            "\\\\elsewhere\\x",
            "file:///etc/passwd",
            "https://h:8443@elsewhere/",
        ] {
            let meant = posted(308, &[(LOCATION, place)]);
            assert!(
                matches!(meant, Meaning::Never(why) if why.contains("another server")),
                "{place}: {meant:?}"
            );
        }
        assert_eq!(
            posted(307, &[(LOCATION, "https://")]),
            Meaning::Never("its Location is no address")
        );
        for status in [301, 302, 303] {
            let moved = [(LOCATION, "/x")];
            assert!(
                matches!(posted(status, &moved), Meaning::Never(_)),
                "{status}"
            );
            let got = meant(
                &json!({"url": "https://h:8443/a", "method": "GET"}),
                status,
                &moved,
            );
            assert_eq!(got, at("https://h:8443/x"));
        }
        assert_eq!(posted(304, &[(LOCATION, "/x")]), Meaning::Never(""));
    }
}
