//! The console: the pages by which people see and steer an installation, served beside the API.
//!
//! Its files are part of the binary, plain as they stand in `planner/console`, and hold no data: whoever reaches the
//! address may have them. All that they show and order they ask of the API, under its rules. They ask nobody else, and
//! a policy (Content-Security-Policy) has the browser see to that.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`files`] | which files there are |
//! | [`serve`] | how they are sent: packed, and not again where the browser has them |

use axum::Router;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

mod files;
mod serve;
#[cfg(test)]
mod tests;

/// Where its files are, behind the base path.
const FILES: &str = "/console";

/// Pages that the script shows under a path of their own, each with what is behind it.
const PAGES: &[&str] = &[
    "runs",
    "jobs",
    "dead",
    "queues",
    "workers",
    "calendars",
    "unreadable",
    "log",
    "planners",
    "doctor",
];

/// All routes, for a planner whose paths begin with `base`. A slash at the end names the same page: the script puts the
/// path without it in its place, and the files are named from `base` on.
pub(crate) fn routes(base: &str) -> Router {
    let page = serve::Sent::page(base);
    let index = get(move |headers: HeaderMap| async move { page.answer(&headers) });
    let mut routes = Router::new()
        .route(&format!("{base}/"), index.clone())
        .route(&format!("{base}{FILES}/{{*file}}"), get(file));
    for page in PAGES {
        let path = format!("{base}/{page}");
        routes = routes
            .route(&path, index.clone())
            // `rest` is never empty.
            .route(&format!("{path}/"), index.clone())
            .route(&format!("{path}/{{*rest}}"), index.clone());
    }
    if base.is_empty() {
        return routes;
    }
    let first = format!("{base}/");
    // Not for good: another planner at that address may have another base path, or none.
    let here = first.clone();
    routes
        .route(base, get(async move || Redirect::permanent(&first)))
        .route("/", get(async move || Redirect::temporary(&here)))
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match serve::file(&name) {
        Some(sent) => sent.answer(&headers),
        None => serve::absent().into_response(),
    }
}
