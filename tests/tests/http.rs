//! The `http` handler with real servers, over TLS too.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests share is test code as well"
)]

use std::time::{Duration, Instant};

use gridloom_shared::id::Fence;
use gridloom_shared::secret::Secret;
use gridloom_tests::certificates::Authority;
use gridloom_tests::web::{Answer, Asked, Web};
use gridloom_worker::handlers::http::{HttpHandler, HttpService};
use gridloom_worker::{Failure, Handler, Trial};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// A handler that may ask these servers, each with a secret `token`.
fn asking(servers: &[&Web]) -> HttpHandler {
    let services = servers.iter().enumerate().map(|(n, server)| {
        let mut service = HttpService::at(&server.origin()).unwrap();
        service
            .secrets
            .insert("token".to_owned(), Secret::from("hunter2"));
        (format!("s{n}"), service)
    });
    HttpHandler::new(services.collect()).unwrap()
}

fn trial(server: &Web, more: Value) -> Trial {
    let mut settings = json!({"url": format!("{}/work/{{slice}}", server.origin())});
    let Value::Object(more) = more else {
        panic!("settings are a table: {more}")
    };
    settings.as_object_mut().unwrap().extend(more);
    Trial::new("sizes", "http")
        .slices(4)
        .slice(3)
        .settings(settings)
}

async fn run(server: &Web, more: Value) -> Result<Vec<(String, i64)>, Failure> {
    let shard = trial(server, more).shard();
    asking(&[server]).run(shard.clone()).await?;
    Ok(shard.counters())
}

/// What comes of a server that always answers so.
async fn answered(answer: Answer) -> Result<Vec<(String, i64)>, Failure> {
    let server = Web::start(move |_| answer.clone()).await.unwrap();
    run(&server, json!({})).await
}

#[tokio::test]
async fn service_gets_the_request_that_the_job_says() {
    let server = Web::start(|_| Answer::status(204)).await.unwrap();
    let more = json!({
        "method": "PUT",
        "headers": {"authorization": "Bearer {secret.token}", "x-day": "{day}"},
        "body": {"slice": "{slice}", "day": "{day}"},
    });
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trial = trial(&server, more)
        .params(json!({"day": "\"1\""}))
        .traceparent(header);
    asking(&[&server]).run(trial.shard()).await.unwrap();
    let [asked] = &server.asked()[..] else {
        panic!("{:?}", server.asked());
    };
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("PUT", "/work/3")
    );
    // Nothing is awaited unless the job says so, and a 202 is a success as others.
    assert_eq!(asked.header("gridloom-callback"), None);
    let host = server.origin().replace("http://", "");
    for (name, value) in [
        ("host", host.as_str()),
        ("authorization", "Bearer hunter2"),
        ("x-day", "\"1\""),
        ("content-type", "application/json"),
        ("traceparent", header),
    ] {
        assert_eq!(asked.header(name), Some(value), "{name}");
    }
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body, json!({"slice": 3, "day": "\"1\""}));
}

#[tokio::test]
async fn key_is_the_same_for_each_attempt_and_no_other_shards() {
    let server = Web::start(|_| Answer::status(500)).await.unwrap();
    let handler = asking(&[&server]);
    let trial = trial(&server, json!({}));
    for attempt in 1..=3 {
        let shard = trial
            .clone()
            .attempt(attempt, Fence(u64::from(attempt)))
            .shard();
        let key = shard.key();
        handler.run(shard).await.unwrap_err();
        let asked = server.asked();
        assert_eq!(
            asked.last().unwrap().header("idempotency-key"),
            Some(key.as_str())
        );
    }
    handler
        .run(trial.clone().page(1).shard())
        .await
        .unwrap_err();
    handler.run(trial.slice(2).shard()).await.unwrap_err();
    let asked = server.asked();
    let keys: Vec<&str> = asked
        .iter()
        .filter_map(|it| it.header("idempotency-key"))
        .collect();
    assert_eq!(keys.len(), 5);
    assert!(keys[..3].iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(
        keys[3] != keys[0] && keys[4] != keys[0] && keys[3] != keys[4],
        "{keys:?}"
    );
}

#[tokio::test]
async fn status_says_whether_another_attempt_is_worth_it() {
    for status in [200, 201, 202, 204, 299] {
        answered(Answer::status(status)).await.unwrap();
    }
    for (status, permanent) in [
        (408, false),
        (429, false),
        (500, false),
        (502, false),
        (503, false),
        (400, true),
        (401, true),
        (404, true),
        (410, true),
    ] {
        let body = "{\"error\": \"no\"}".to_owned();
        let failure = answered(Answer::Says(status, Vec::new(), body))
            .await
            .unwrap_err();
        assert_eq!(failure.is_permanent(), permanent, "{status}: {failure}");
        assert!(!failure.is_hold(), "{status}");
        let words = [
            format!("/work/3: it answered {status}"),
            "\"error\": \"no\"".to_owned(),
        ];
        for word in words {
            assert!(failure.text().contains(&word), "{failure}");
        }
    }
    let unchanged = answered(Answer::status(304)).await.unwrap_err();
    assert!(unchanged.is_permanent(), "{unchanged}");
    let server = Web::start(|_| Answer::status(202)).await.unwrap();
    let strict = run(&server, json!({"success": [200, 204]}))
        .await
        .unwrap_err();
    assert!(strict.is_permanent(), "{strict}");
}

#[tokio::test]
async fn server_that_asks_to_wait_is_waited_for() {
    let wait = |status, seconds: &str| {
        let said = vec![("retry-after", seconds.to_owned())];
        answered(Answer::Says(status, said, String::new()))
    };
    for status in [429, 503] {
        let failure = wait(status, "7").await.unwrap_err();
        assert!(failure.is_hold(), "{status}: {failure}");
    }
    let failure = wait(500, "7").await.unwrap_err();
    let plain = Failure::retry_after(Duration::from_secs(7), failure.text());
    assert_eq!(failure, plain);
}

#[tokio::test]
async fn redirection_is_followed_on_the_same_server_alone() {
    let other = Web::start(|_| Answer::status(200)).await.unwrap();
    let elsewhere = format!("{}/work", other.origin());
    let server = Web::start(move |asked: &Asked| {
        let to = |status, place: &str| {
            Answer::Says(status, vec![("location", place.to_owned())], String::new())
        };
        match asked.path.as_str() {
            "/work/3" => to(307, "/moved?a=b"),
            "/moved?a=b" => Answer::status(200),
            "/away" => to(307, &elsewhere),
            "/post" => to(302, "/moved?a=b"),
            _ => to(308, "/round"),
        }
    })
    .await
    .unwrap();
    let handler = asking(&[&server, &other]);
    let ask = async |path: &str, method: &str| {
        let url = format!("{}{path}", server.origin());
        let headers = json!({"authorization": "{secret.token}"});
        let settings = json!({"url": url, "method": method, "headers": headers});
        handler
            .run(Trial::new("sizes", "http").settings(settings).shard())
            .await
    };
    ask("/work/3", "POST").await.unwrap();
    let [first, second] = &server.asked()[..] else {
        panic!("{:?}", server.asked());
    };
    assert_eq!((&second.method, &second.body), (&first.method, &first.body));
    assert_eq!(
        second.header("idempotency-key"),
        first.header("idempotency-key")
    );
    for (path, method, words) in [
        ("/away", "POST", "another server"),
        ("/away", "GET", "another server"),
        ("/post", "POST", "asked with GET"),
        ("/round", "GET", "again and again"),
    ] {
        let failure = ask(path, method).await.unwrap_err();
        assert!(failure.is_permanent(), "{path}: {failure}");
        assert!(failure.text().contains(words), "{path}: {failure}");
    }
    ask("/post", "GET").await.unwrap();
    assert_eq!(other.asked(), [], "nobody was sent there, and no secret");
}

#[tokio::test]
async fn server_that_does_not_answer_is_given_up_in_time_and_tried_again() {
    let begun = Instant::now();
    for answer in [Answer::Hangs, Answer::NeverEnds(500), Answer::Leaves] {
        let hangs = matches!(answer, Answer::Hangs);
        let server = Web::start(move |_| answer.clone()).await.unwrap();
        let failure = run(&server, json!({"timeout": "300ms"})).await.unwrap_err();
        assert!(!failure.is_permanent() && !failure.is_hold(), "{failure}");
        if hangs {
            assert!(
                failure.text().contains("no answer within 300ms"),
                "{failure}"
            );
        }
    }
    // Nobody listens there any more.
    let server = Web::start(|_| Answer::Hangs).await.unwrap();
    let gone = trial(&server, json!({}));
    let handler = asking(&[&server]);
    drop(server);
    gridloom_tests::wait::eventually(SOON, "nobody listens", async || {
        let failure = handler.run(gone.shard()).await.unwrap_err();
        Ok(failure.text().contains("Connection refused") && !failure.is_permanent())
    })
    .await
    .unwrap();
    assert!(begun.elapsed() < SOON);
}

#[tokio::test]
async fn attempt_that_is_told_to_stop_leaves_its_server() {
    let server = Web::start(|_| Answer::Hangs).await.unwrap();
    let handler = asking(&[&server]);
    let trial = trial(&server, json!({}));
    let shard = trial.shard();
    let running = tokio::spawn(async move { handler.run(shard).await });
    gridloom_tests::wait::eventually(SOON, "it asks", async || Ok(!server.asked().is_empty()))
        .await
        .unwrap();
    trial.end_time();
    let ended = tokio::time::timeout(SOON, running).await.unwrap().unwrap();
    assert!(ended.is_err());
}

#[tokio::test]
async fn answer_without_an_end_is_read_to_the_bound_and_its_status_counts() {
    let endless = |status| async move {
        let server = Web::start(move |_| Answer::NeverEnds(status))
            .await
            .unwrap();
        tokio::time::timeout(SOON, run(&server, json!({"timeout": "1m"})))
            .await
            .unwrap()
    };
    assert_eq!(endless(200).await.unwrap(), []);
    let failure = endless(404).await.unwrap_err();
    assert!(
        failure.is_permanent() && failure.text().contains("xxx"),
        "{failure}"
    );
    let head = Answer::Says(200, vec![("x-long", "x".repeat(1 << 20))], String::new());
    let failure = answered(head).await.unwrap_err();
    assert!(!failure.is_permanent(), "{failure}");
}

#[tokio::test]
async fn answer_may_count_and_need_not() {
    let of = |body: &str| answered(Answer::Says(200, Vec::new(), body.to_owned()));
    let counted =
        of("{\"rows\": 7, \"counters\": {\"bytes\": -3, \"\": 1, \"rows\": 9, \"x\": \"y\"}}");
    let named = [("rows".to_owned(), 7), ("bytes".to_owned(), -3)];
    assert_eq!(counted.await.unwrap(), named);
    for nothing in [
        "",
        "fine",
        "[1]",
        "{\"rows\": [1, 2], \"counters\": 3}",
        "{\"rows\": -1}",
    ] {
        assert_eq!(of(nothing).await.unwrap(), [], "{nothing}");
    }
    let many: Vec<String> = (0..100).map(|n| format!("\"c{n}\": 1")).collect();
    let many = of(&format!(
        "{{\"rows\": 1, \"counters\": {{{}}}}}",
        many.join(",")
    ))
    .await;
    assert_eq!(many.unwrap().len(), 16);
}

#[tokio::test]
async fn secret_that_a_server_repeats_is_told_to_nobody() {
    let server = Web::start(|asked: &Asked| {
        let said = format!("no such token: {:?}", asked.header("authorization"));
        Answer::Says(401, Vec::new(), said)
    })
    .await
    .unwrap();
    let more = json!({"headers": {"authorization": "Bearer {secret.token}"}});
    let failure = run(&server, more).await.unwrap_err();
    assert!(
        failure.text().contains("Bearer (secret token)"),
        "{failure}"
    );
    assert!(!failure.text().contains("hunter2"), "{failure}");
    assert!(!format!("{:?}", asking(&[&server])).contains("hunter2"));
}

#[tokio::test]
async fn secret_in_a_file_is_read_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "one\n").unwrap();
    let server = Web::start(|_| Answer::status(200)).await.unwrap();
    let mut service = HttpService::at(&server.origin()).unwrap();
    service
        .secrets
        .insert("token".to_owned(), Secret::File(path.clone()));
    let handler = HttpHandler::new([("shop".to_owned(), service)].into()).unwrap();
    let trial = trial(&server, json!({"headers": {"x-token": "{secret.token}"}}));
    handler.run(trial.shard()).await.unwrap();
    std::fs::write(&path, "two\n").unwrap();
    handler.run(trial.shard()).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let failure = handler.run(trial.shard()).await.unwrap_err();
    assert!(!failure.is_permanent(), "{failure}");
    let asked = server.asked();
    let told: Vec<_> = asked.iter().filter_map(|it| it.header("x-token")).collect();
    assert_eq!(told, ["one", "two"]);
}

#[tokio::test]
async fn certificate_is_verified_against_the_authority_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new(dir.path(), "ours").unwrap();
    let theirs = Authority::new(dir.path(), "theirs").unwrap();
    let shown = ours.sign("server", &["localhost"]).unwrap();
    let server = Web::start_encrypted(&shown, |_| Answer::status(200))
        .await
        .unwrap();
    let ask = async |ca: Option<&Authority>, host: &str| {
        let origin = format!("https://{host}:{}", server.port());
        let mut service = HttpService::at(&origin).unwrap();
        service.ca = ca.map(|authority| authority.file.clone());
        let handler = HttpHandler::new([("shop".to_owned(), service)].into()).unwrap();
        let settings = json!({"url": format!("{origin}/work")});
        handler
            .run(Trial::new("sizes", "http").settings(settings).shard())
            .await
    };
    ask(Some(&ours), "localhost").await.unwrap();
    for (ca, host) in [
        (None, "localhost"),
        (Some(&theirs), "localhost"),
        (Some(&ours), "127.0.0.1"),
    ] {
        let failure = ask(ca, host).await.unwrap_err();
        assert!(!failure.is_permanent(), "{failure}");
        assert!(failure.text().contains("speak TLS"), "{failure}");
    }
    assert_eq!(server.asked().len(), 1, "nobody else was told anything");
}
