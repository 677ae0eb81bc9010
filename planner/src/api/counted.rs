//! What is counted of requests: by operation, as the description names it, so that no path that somebody makes up has a
//! series of its own.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::Value;

use crate::metrics::{API_REQUESTS, API_SECONDS};

/// What is no operation.
const NONE: &str = "none";

/// The names of operations, by path, and then by method in small letters.
pub(super) struct Operations(HashMap<String, HashMap<String, Operation>>);

/// One of them, as far as it is known before it is asked.
#[derive(Debug)]
struct Operation {
    name: String,
    /// Whether it takes anything behind the question mark.
    asks: bool,
    /// Whether it takes a body.
    reads: bool,
}

impl Operations {
    /// Those of a description.
    pub(super) fn of(description: &Value) -> Operations {
        let paths = description["paths"].as_object().into_iter().flatten();
        let named = paths.map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flatten();
            let named = methods.filter_map(|(method, operation)| {
                let name = operation["operationId"].as_str()?.to_owned();
                let mut taken = operation["parameters"].as_array().into_iter().flatten();
                let asks = taken.any(|parameter| parameter["in"] == "query");
                let reads = operation["requestBody"].is_object();
                Some((method.clone(), Operation { name, asks, reads }))
            });
            (path.clone(), named.collect())
        });
        Operations(named.collect())
    }

    /// The operation of a path as it is described.
    pub(super) fn name(&self, method: &Method, path: Option<&str>) -> &str {
        let operation = self.get(method, path);
        operation.map_or(NONE, |operation| &operation.name)
    }

    /// Whether it takes nothing behind the question mark: what stands there would be passed over, a `dry_run` too.
    pub(super) fn takes_no_query(&self, method: &Method, path: Option<&str>) -> bool {
        let operation = self.get(method, path);
        operation.is_some_and(|operation| !operation.asks)
    }

    /// Whether it takes no body, likewise.
    pub(super) fn takes_no_body(&self, method: &Method, path: Option<&str>) -> bool {
        let operation = self.get(method, path);
        operation.is_some_and(|operation| !operation.reads)
    }

    fn get(&self, method: &Method, path: Option<&str>) -> Option<&Operation> {
        let method = match *method {
            Method::HEAD => "get".to_owned(),
            _ => method.as_str().to_ascii_lowercase(),
        };
        self.0.get(path?)?.get(&method)
    }
}

/// Counts a request.
pub(super) fn count(operation: &str, status: StatusCode, took: Duration) {
    API_REQUESTS
        .counter(&[operation, status.as_str()])
        .increment(1);
    API_SECONDS
        .histogram(&[operation])
        .record(took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::super::router;
    use super::*;

    #[test]
    fn operations_that_take_no_query_or_no_body_are_known() {
        let operations = Operations::of(&router::description());
        let none = |method, path| operations.takes_no_query(&method, Some(path));
        assert!(none(Method::POST, "/dead/drop"));
        assert!(none(Method::POST, "/runs/{run}/cancel"));
        assert!(none(Method::GET, "/queues"));
        assert!(!none(Method::GET, "/runs"));
        assert!(!none(Method::PUT, "/jobs/{job}"));
        assert!(!none(Method::GET, "/nowhere"));
        let none = |method, path| operations.takes_no_body(&method, Some(path));
        assert!(none(Method::POST, "/runs/{run}/cancel"));
        assert!(none(Method::DELETE, "/jobs/{job}"));
        assert!(!none(Method::POST, "/jobs/{job}/runs"));
        assert!(!none(Method::POST, "/dead/drop"));
    }

    #[test]
    fn request_is_counted_by_its_operation_and_never_by_what_somebody_made_up() {
        let operations = Operations::of(&router::description());
        let name = |method, path| operations.name(&method, path);
        assert_eq!(name(Method::GET, Some("/runs/{run}")), "run");
        assert_eq!(name(Method::HEAD, Some("/runs")), "runs");
        assert_eq!(name(Method::GET, Some("/events")), "events");
        assert_eq!(name(Method::TRACE, Some("/runs")), NONE);
        assert_eq!(name(Method::GET, Some("/made-up")), NONE);
        assert_eq!(name(Method::GET, None), NONE);
    }
}
