//! Requests: what a job may say of them, and what is refused when it is applied.

use super::*;
use crate::job::handlers::http::Order;

/// A job of `http` with these settings, and whatever else.
fn http(settings: Value, more: Value) -> Value {
    with(
        with(job("http"), Value::from_iter([("http", settings)])),
        more,
    )
}

/// The address of a job that says nothing else.
fn at(url: &str) -> Value {
    http(json!({"url": url}), json!({}))
}

#[test]
fn where_a_request_goes_is_not_for_a_submission_to_say() {
    let host = "before the first placeholder";
    refused([
        (at("https://{host}/a"), "http.url", host),
        (at("https://api.{zone}/a"), "http.url", host),
        (
            at("https://api.example:{port}/a"),
            "http.url",
            "must be http",
        ),
        (at("https://api.example{path}"), "http.url", host),
        (at("{url}"), "http.url", "must be http"),
        (at("https://h/{a}#x"), "http.url", "behind #"),
        (at("https://h/a/../{slice}"), "http.url", "without . and .."),
        (
            at("https://h/%2E%2e/{slice}"),
            "http.url",
            "without . and ..",
        ),
        (at("https://me:hunter2@h/"), "http.url", "holds a user"),
        (
            at("https://h/?key={secret.a}"),
            "http.url",
            "in headers or body",
        ),
        (at("ftp://h/{slice}"), "http.url", "must be http"),
    ]);
    let day = json!({"params": {"day": "x"}});
    fine([
        at("https://h/{slice}/{page}?run={run}&n={attempt}"),
        at("http://[::1]:8080/{key}"),
        http(json!({"url": "https://h?day={day}"}), day),
    ]);
    let secret = fault(&at("https://me:hunter2@h/"));
    assert!(!secret.message.contains("hunter2"), "{secret}");
}

#[test]
fn placeholder_without_a_value_is_a_slip_of_the_pen_unless_runs_bring_it() {
    let given = json!({"params": {"day": "x"}, "submit": {"allow": []}});
    refused([
        (
            http(json!({"url": "https://h/{slize}"}), json!({})),
            "http.url",
            "did you mean {slice}?",
        ),
        (
            http(json!({"url": "https://h/{slice}/{month}"}), given.clone()),
            "http.url",
            "{day}",
        ),
        (
            http(json!({"headers": {"x-a": "{page_from}"}}), json!({})),
            "http.headers.x-a",
            "not probed",
        ),
        (
            http(json!({"body": {"a": ["{offset}"]}}), json!({})),
            "http.body",
            "page_size = 1000",
        ),
        (
            http(json!({"body": "{day[slice]}"}), given),
            "http.body",
            "neither a list nor a table",
        ),
        (
            http(
                json!({"url": "https://h/{slice}"}),
                json!({"params": {"slice": 7}}),
            ),
            "params.slice",
            "the engine gives {slice}",
        ),
        (
            at("https://h/{params.day}"),
            "http.url",
            "is no placeholder",
        ),
    ]);
    let open = warnings(&at("https://h/{slice}/{day}"));
    assert_eq!(open[0].path, "http.url");
    assert!(open[0].message.contains("--param day=..."), "{open:?}");
    fine([
        http(
            json!({"url": "https://h/{slice}/{day}"}),
            json!({"submit": {"allow": ["params.day"]}}),
        ),
        http(
            json!({"url": "https://h/{offset}/{limit}"}),
            json!({"grid": {"pages": {"rows": 5_000, "page_size": 1_000}}}),
        ),
        http(
            json!({"body": {"a": "{day[slice]}"}}),
            json!({"params": {"day": {"0": "x"}}}),
        ),
        // A parameter that nothing names is in the body that nobody says.
        http(json!({}), json!({"params": {"limit": 7}})),
    ]);
}

#[test]
fn shards_that_ask_for_the_same_are_warned_of() {
    let four = || json!({"grid": {"slices": 4}});
    let warned = |settings: Value| warnings(&http(settings, four()));
    for settings in [
        json!({"url": "https://h/a", "method": "GET"}),
        json!({"url": "https://h/a", "body": "x"}),
        json!({"url": "https://h/{attempt}", "body": {"run": "{run}"}}),
    ] {
        let warned = warned(settings);
        assert_eq!(warned.len(), 1, "{warned:?}");
        assert!(warned[0].message.contains("ask for the same"));
    }
    for settings in [
        json!({"url": "https://h/a"}),
        json!({"url": "https://h/{slice}", "method": "GET"}),
        json!({"url": "https://h/a", "body": {"key": "{key}"}}),
        json!({"url": "https://h/a", "method": "GET", "headers": {"x-slice": "{slice}"}}),
    ] {
        assert_eq!(warned(settings), []);
    }
}

#[test]
fn values_that_may_break_out_of_json_are_warned_of() {
    let day = || json!({"params": {"day": "x"}});
    let text = |kind: &str, body: &str| {
        let headers = json!({"content-type": kind});
        http(
            json!({"url": "https://h/{slice}", "headers": headers, "body": body}),
            day(),
        )
    };
    let warned = warnings(&text("application/json", "{\"day\": \"{day}\"}"));
    assert_eq!(warned[0].path, "http.body");
    fine([
        text("text/plain", "{\"day\": \"{day}\"}"),
        text("application/json", "{\"slice\": {slice}}"),
        http(json!({"body": {"day": "{day}"}}), day()),
    ]);
}

#[test]
fn each_mistake_in_a_request_is_told_by_its_key() {
    let of = |settings: Value| http(settings, json!({}));
    refused([
        (of(json!({"method": "get"})), "http.method", "\"GET\" or"),
        (
            of(json!({"method": "GET", "body": "x"})),
            "http.body",
            "method GET",
        ),
        (of(json!({"headers": ["a"]})), "http.headers", "table"),
        (
            of(json!({"headers": {"a b": "x"}})),
            "http.headers.a b",
            "no name",
        ),
        (
            of(json!({"headers": {"Host": "x"}})),
            "http.headers.Host",
            "itself",
        ),
        (
            of(json!({"headers": {"Idempotency-Key": "x"}})),
            "http.headers.Idempotency-Key",
            "itself",
        ),
        (
            of(json!({"headers": {"a": "x", "A": "y"}})),
            "http.headers.a",
            "twice",
        ),
        (of(json!({"headers": {"a": 7}})), "http.headers.a", "a text"),
        (of(json!({"success": []})), "http.success", "100 to 599"),
        (of(json!({"retry": ["5xx"]})), "http.retry", "100 to 599"),
        (of(json!({"timeout": "30"})), "http.timeout", "1ms to 1h"),
        (of(json!({"timeout": "2h"})), "http.timeout", "1ms to 1h"),
        (
            of(json!({"callback": true})),
            "http.callback",
            "until it calls back",
        ),
        (of(json!({"callback": "8d"})), "http.callback", "1ms to 7d"),
        (of(json!({"callback": "7d"})), "grid.tile", "must be 1"),
        (
            with(of(json!({})), json!({"grid": {"pages": {"probe": true}}})),
            "grid.pages",
            "no probe",
        ),
    ]);
}

/// A run's settings come from a record that anybody may have written: they are read with the same care as a file's.
#[test]
fn requests_of_a_record_are_read_with_care() {
    let read = |settings: Value| Order::read(&settings).map_err(|fault| fault.path);
    for (settings, path) in [
        (json!({}), "http.url"),
        (json!(7), "http.url"),
        (json!({"url": 7}), "http.url"),
        (json!({"url": "https://h", "hook": 1}), "http.hook"),
    ] {
        assert_eq!(read(settings).unwrap_err(), path);
    }
    let order = read(json!({"url": "https://h/a"})).unwrap();
    let sure: Vec<u16> = (100..600).filter(|n| order.success.contains(*n)).collect();
    assert_eq!((sure[0], sure.len()), (200, 100));
    let again = (100..600).filter(|n| order.retry.contains(*n));
    assert_eq!(again.take(3).collect::<Vec<u16>>(), [408, 429, 500]);
}
