//! How files are sent: packed, with a number that follows from what they hold (`ETag`), and not again where the browser
//! has that one; and with the policy that keeps the page to its own address.

use std::sync::OnceLock;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use flate2::Compression;
use sha2::{Digest, Sha256};

use super::FILES;
use super::files::{ALL, PAGE};
use crate::gzip;

/// Nothing from elsewhere, nothing that stands in the page itself, no frame around it.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file as it is sent.
#[derive(Clone)]
pub(super) struct Sent {
    kind: &'static str,
    plain: Bytes,
    packed: Bytes,
    etag: HeaderValue,
}

impl Sent {
    fn new(kind: &'static str, plain: Bytes) -> Sent {
        let digest = HEXLOWER.encode(&Sha256::digest(&plain)[..12]);
        // Weak: the packed answer is the same in other bytes.
        let etag = HeaderValue::from_str(&format!("W/\"{digest}\""));
        Sent {
            kind,
            packed: packed(&plain).unwrap_or_default(),
            plain,
            etag: etag.unwrap_or(HeaderValue::from_static("W/\"\"")),
        }
    }

    /// The page, for a planner whose paths begin with `base`: it names all modules, so that a browser asks for them
    /// at once, and not for each when it has read the one before.
    pub(super) fn page(base: &str) -> Sent {
        let modules = ALL.iter().filter(|file| file.is_module());
        let link = |file: &super::files::File| {
            format!(
                "<link rel=\"modulepreload\" href=\"{base}{FILES}/{}\">\n",
                file.name
            )
        };
        let text = PAGE
            .replace("{modules}\n", &modules.map(link).collect::<String>())
            .replace("{base}", base);
        Sent::new("text/html; charset=utf-8", text.into())
    }

    /// What it holds.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.plain).unwrap()
    }

    /// The answer to a request with these headers.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Response {
        let has = asked.get(header::IF_NONE_MATCH);
        let is_known = has
            .and_then(|has| has.to_str().ok())
            .zip(self.etag.to_str().ok())
            .is_some_and(|(has, own)| has.split(',').any(|each| each.trim() == own));
        let is_packed = gzip::is_understood(asked) && !self.packed.is_empty();
        let mut response = match (is_known, is_packed) {
            (true, _) => StatusCode::NOT_MODIFIED.into_response(),
            (false, true) => self.packed.clone().into_response(),
            (false, false) => self.plain.clone().into_response(),
        };
        let headers = response.headers_mut();
        guard(headers);
        headers.insert(header::ETAG, self.etag.clone());
        let fixed = HeaderValue::from_static;
        // It is asked each time whether it is still so: another planner may be of another version.
        headers.insert(header::CACHE_CONTROL, fixed("no-cache"));
        headers.insert(header::VARY, fixed("accept-encoding"));
        if !is_known {
            headers.insert(header::CONTENT_TYPE, fixed(self.kind));
            if is_packed {
                headers.insert(header::CONTENT_ENCODING, fixed("gzip"));
            }
        }
        response
    }
}

fn guard(headers: &mut HeaderMap) {
    let guards: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in guards {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// What stands there under no name.
pub(super) fn absent() -> Response {
    let mut response = (StatusCode::NOT_FOUND, "there is no such file").into_response();
    guard(response.headers_mut());
    response
}

/// The file of that name, if there is one; packed when somebody asks for it first.
pub(super) fn file(name: &str) -> Option<&'static Sent> {
    static SENT: [OnceLock<Sent>; ALL.len()] = [const { OnceLock::new() }; ALL.len()];
    let place = ALL.iter().position(|file| file.name == name)?;
    let file = &ALL[place];
    Some(SENT[place].get_or_init(|| Sent::new(file.kind(), Bytes::from_static(file.bytes))))
}

pub(super) fn packed(plain: &[u8]) -> std::io::Result<Bytes> {
    gzip::packed(plain, Compression::best()).map(Bytes::from)
}
