//! Which answers are packed (gzip): JSON of some length, for whoever understands it.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use flate2::Compression;

use crate::gzip;

/// What is shorter is one packet anyway.
const FROM: usize = 1_024;

/// The answer, packed if that is worth it.
pub(super) async fn packed(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
    if !is_json || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Whatever is JSON was made in one piece.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return Response::from_parts(parts, Body::empty());
    };
    let vary = HeaderValue::from_static("accept-encoding");
    parts.headers.insert(header::VARY, vary);
    if bytes.len() < FROM {
        return Response::from_parts(parts, bytes.into());
    }
    let Ok(packed) = gzip::packed(&bytes, Compression::fast()) else {
        return Response::from_parts(parts, bytes.into());
    };
    let gzip = HeaderValue::from_static("gzip");
    parts.headers.insert(header::CONTENT_ENCODING, gzip);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, packed.into())
}
