//! Where requests go, whatever names resolve to: with a resolver of the test's own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use gridloom_shared::callback::{HEADER, Heard, Kind, Said as Called, Ticket};
use gridloom_shared::secret::Secret;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::Trial;

/// A server that answers every request with 200; the port at which it listens.
async fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut begin = [0; 1024];
            let _ = stream.read(&mut begin).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await;
            // Until the other side has it all and leaves.
            while stream.read(&mut begin).await.is_ok_and(|n| n > 0) {}
        }
    });
    port
}

/// A handler that may ask anybody, where the nth question for a name is answered with the nth of these.
fn resolving(answers: Vec<Vec<&'static str>>, allowed: &[&str]) -> (HttpHandler, Arc<AtomicUsize>) {
    let mut service = HttpService::at("*").unwrap();
    service.addresses = allowed.iter().map(|text| text.parse().unwrap()).collect();
    let mut handler = HttpHandler::new([("any".to_owned(), service)].into()).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    handler.resolver = Arc::new(move |_, port| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        let answer = answers.get(n).or(answers.last()).cloned();
        Box::pin(async move {
            let answer = answer.filter(|answer| !answer.is_empty());
            let answer = answer.ok_or_else(|| io::Error::other("no such name"))?;
            let address = |text: &&str| SocketAddr::new(text.parse::<IpAddr>().unwrap(), port);
            Ok(answer.iter().map(address).collect())
        })
    });
    (handler, asked)
}

async fn run(handler: &HttpHandler, host: &str, port: u16) -> Result<(), Failure> {
    let url = format!("http://{host}:{port}/");
    let settings = json!({"url": url, "timeout": "10s"});
    let trial = Trial::new("sizes", "http").settings(settings);
    handler.run(trial.shard()).await
}

#[tokio::test]
async fn name_is_resolved_once_and_what_was_looked_at_is_connected_to() {
    let port = server().await;
    let (handler, asked) = resolving(vec![vec!["127.0.0.1"], vec!["169.254.169.254"]], &[]);
    run(&handler, "rebinds.example", port).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // The next request looks again.
    let failure = run(&handler, "rebinds.example", port).await.unwrap_err();
    assert!(failure.is_permanent(), "{failure}");
}

#[tokio::test]
async fn name_of_an_address_that_is_refused_gets_nobody_anywhere() {
    let port = server().await;
    for address in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "0.0.0.0",
    ] {
        let (handler, _) = resolving(vec![vec![address]], &[]);
        let failure = run(&handler, "harmless.example", port).await.unwrap_err();
        assert!(failure.is_permanent(), "{address}: {failure}");
        assert!(failure.text().contains(address), "{address}: {failure}");
    }
    // Without a name it is the same.
    for host in [
        "169.254.169.254",
        "[fe80::1]",
        "2852039166",
        "0xa9fea9fe",
        "0.0.0.0",
    ] {
        let (handler, asked) = resolving(vec![vec!["127.0.0.1"]], &[]);
        let failure = run(&handler, host, port).await.unwrap_err();
        assert!(failure.is_permanent(), "{host}: {failure}");
        assert_eq!(asked.load(Ordering::Relaxed), 0, "{host}");
    }
    // One of several that may be asked is.
    let (handler, _) = resolving(vec![vec!["169.254.169.254", "127.0.0.1"]], &[]);
    run(&handler, "two.example", port).await.unwrap();
    // And waited for where it is away, in whichever order they come.
    for both in [["127.0.0.1", "fe80::1"], ["fe80::1", "127.0.0.1"]] {
        let (handler, _) = resolving(vec![both.to_vec()], &[]);
        let failure = run(&handler, "away.example", 1).await.unwrap_err();
        assert!(!failure.is_permanent(), "{failure}");
    }
}

#[tokio::test]
async fn address_that_the_configuration_names_is_asked() {
    let port = server().await;
    // The system takes it for the machine itself.
    let (handler, _) = resolving(vec![vec!["0.0.0.0"]], &["0.0.0.0/8"]);
    run(&handler, "here.example", port).await.unwrap();
}

#[tokio::test]
async fn name_that_has_no_address_is_tried_again() {
    let (handler, _) = resolving(vec![vec![]], &[]);
    let failure = run(&handler, "none.example", 1).await.unwrap_err();
    assert!(!failure.is_permanent() && !failure.is_hold(), "{failure}");
    assert!(
        failure
            .text()
            .contains("find the address of none.example: no such name"),
        "{failure}"
    );
}

#[tokio::test]
async fn service_that_is_not_configured_is_left_to_other_workers() {
    let known = HttpService::at("https://api.example").unwrap();
    let handler = HttpHandler::new([("shop".to_owned(), known.clone())].into()).unwrap();
    assert_eq!(handler.knows(), ["https://api.example"]);
    for host in ["api.example", "other.example"] {
        let failure = run(&handler, host, 80).await.unwrap_err();
        assert!(failure.is_hold(), "{failure}");
        let wanted = format!("--http NAME=http://{host}");
        assert!(failure.text().contains(&wanted), "{failure}");
    }
    let twice = [("a".to_owned(), known.clone()), ("b".to_owned(), known)];
    assert!(matches!(
        HttpHandler::new(twice.into()),
        Err(HttpError::Twice(..))
    ));
}

/// How a service answers a request, which is given: not at all, where it says nothing.
type Script = fn(&str) -> Option<String>;

/// A service that calls back, a handler that asks it, and what it is asked.
async fn calling_back(script: Script) -> (HttpHandler, Trial, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (tx, rx) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut begin = [0; 4096];
            let read = stream.read(&mut begin).await.unwrap_or_default();
            let asked = String::from_utf8_lossy(&begin[..read]).into_owned();
            if let Some(answer) = script(&asked) {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            let _ = tx.send(asked);
            while stream.read(&mut begin).await.is_ok_and(|n| n > 0) {}
            // It was read to its end.
            let _ = tx.send(String::new());
        }
    });
    let mut service = HttpService::at(&origin).unwrap();
    service.callback = Some("https://gridloom.example".to_owned());
    let secret = Secret::from("a secret of the workers, and of no others");
    service.secrets.insert("callback".to_owned(), secret);
    let token = ("token".to_owned(), Secret::from("hunter2"));
    service.secrets.extend([token]);
    let handler = HttpHandler::new([("shop".to_owned(), service)].into()).unwrap();
    let settings =
        json!({"url": format!("{origin}/"), "method": "GET", "timeout": "1m", "callback": "1m"});
    (handler, Trial::new("sizes", "http").settings(settings), rx)
}

/// Where the request says to call back.
fn ticket(asked: &str) -> Ticket {
    let of = |line: &str| {
        let url = line.strip_prefix(HEADER)?.strip_prefix(": ")?;
        let ticket = url.strip_prefix("https://gridloom.example/api/v1/callbacks/")?;
        ticket.parse().ok()
    };
    asked.lines().find_map(of).unwrap()
}

fn accepted(_: &str) -> Option<String> {
    Some("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned())
}

#[tokio::test]
async fn service_is_heard_after_its_202_and_before_it_has_answered() {
    let scripts: [Script; 2] = [accepted, |_| None];
    for script in scripts {
        let (handler, trial, mut asked) = calling_back(script).await;
        let shard = trial.shard();
        let (run, of_run) = (handler.clone(), shard.clone());
        let running = tokio::spawn(async move { run.run(of_run).await });
        let ticket = ticket(&asked.recv().await.unwrap());
        let done = Called::Done {
            rows: Some(7),
            counters: [("bytes".to_owned(), -3)].into(),
            result: None,
        };
        assert_eq!(shard.callbacks().hear(&ticket.call(&done)), Heard::Given);
        running.await.unwrap().unwrap();
        let counted = [("rows".to_owned(), 7), ("bytes".to_owned(), -3)];
        assert_eq!(shard.counters(), counted);
        assert_eq!(
            shard.callbacks().hear(&ticket.call(&done)),
            Heard::Elsewhere
        );
    }
}

#[tokio::test]
async fn failure_that_is_called_back_is_what_the_service_says_without_its_token() {
    for (kind, after_ms) in [
        (Kind::Permanent, None),
        (Kind::Retry, Some(5_000)),
        (Kind::Retry, None),
    ] {
        let (handler, trial, mut asked) = calling_back(accepted).await;
        let shard = trial.shard();
        let of_run = shard.clone();
        let running = tokio::spawn(async move { handler.run(of_run).await });
        let ticket = ticket(&asked.recv().await.unwrap());
        let error = format!("cannot call {}", ticket.text());
        let failed = Called::Failed {
            error,
            kind,
            after_ms,
        };
        assert_eq!(shard.callbacks().hear(&ticket.call(&failed)), Heard::Given);
        let failure = running.await.unwrap().unwrap_err();
        assert_eq!(failure.is_permanent(), kind == Kind::Permanent, "{failure}");
        assert!(failure.text().contains("(secret callback)"), "{failure}");
        assert!(!failure.text().contains(&ticket.token.text()), "{failure}");
        let wait = after_ms.map(std::time::Duration::from_millis);
        let same = wait.map(|wait| Failure::retry_after(wait, failure.text()));
        assert!(same.is_none_or(|same| same == failure), "{failure}");
    }
}

#[tokio::test]
async fn secret_that_a_service_repeats_when_it_calls_back_is_told_to_nobody_and_little_is_kept() {
    let failed = Called::Failed {
        error: format!("not by hunter2{}", "!".repeat(10_000)),
        kind: Kind::Permanent,
        after_ms: None,
    };
    let done = Called::Done {
        rows: None,
        counters: Default::default(),
        result: Some("by hunter2".to_owned()),
    };
    let (handler, trial, mut asked) = calling_back(accepted).await;
    let mut settings = trial.shard().settings_value().clone();
    settings["headers"] = json!({"authorization": "Bearer {secret.token}"});
    let trial = trial.settings(settings);
    for said in [failed, done] {
        let shard = trial.shard();
        let (run, of_run) = (handler.clone(), shard.clone());
        let running = tokio::spawn(async move { run.run(of_run).await });
        let text = asked.recv().await.unwrap();
        assert!(text.contains("Bearer hunter2"), "{text}");
        let call = ticket(&text).call(&said);
        assert_eq!(shard.callbacks().hear(&call), Heard::Given);
        match running.await.unwrap() {
            Err(failure) => {
                let text = failure.text();
                assert!(text.contains("not by (secret token)!"), "{failure}");
                assert!(text.len() < 1_000, "{} bytes", text.len());
            }
            Ok(()) => {
                let report = shard.take_report();
                let result = report.result().map(|result| &result[..]);
                assert_eq!(result, Some(&b"by (secret token)"[..]));
            }
        }
        // Of its connection's end, which may come behind.
        assert_eq!(asked.recv().await.as_deref(), Some(""));
    }
}

#[tokio::test]
async fn attempt_that_is_told_to_stop_while_it_waits_for_its_service_ends_at_once() {
    let (handler, trial, mut asked) = calling_back(accepted).await;
    let shard = trial.shard();
    let of_run = shard.clone();
    let running = tokio::spawn(async move { handler.run(of_run).await });
    let ticket = ticket(&asked.recv().await.unwrap());
    // The answer was read: it waits for what the service says.
    assert_eq!(asked.recv().await.as_deref(), Some(""));
    trial.end_time();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), running);
    let failure = ended.await.unwrap().unwrap().unwrap_err();
    assert!(!failure.is_permanent(), "{failure}");
    assert!(
        failure.text().contains("had not called back when"),
        "{failure}"
    );
    let done = Called::Done {
        rows: None,
        counters: Default::default(),
        result: None,
    };
    let late = shard.callbacks().hear(&ticket.call(&done));
    assert_eq!(late, Heard::Elsewhere);
}

#[tokio::test]
async fn token_that_a_service_repeats_in_its_answer_is_told_to_nobody() {
    let repeats: Script = |asked| {
        let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n";
        Some(format!(
            "{head}content-length: {}\r\n\r\n{asked}",
            asked.len()
        ))
    };
    let (handler, trial, mut asked) = calling_back(repeats).await;
    let failure = handler.run(trial.shard()).await.unwrap_err();
    let token = ticket(&asked.recv().await.unwrap()).token.text();
    assert!(
        failure.is_permanent() && failure.text().contains("(secret callback)"),
        "{failure}"
    );
    assert!(!failure.text().contains(&token[..16]), "{failure}");
}

#[tokio::test]
async fn service_that_does_not_call_back_in_time_has_failed_the_attempt() {
    let (handler, trial, _asked) = calling_back(accepted).await;
    let shard = trial.shard();
    let mut settings = shard.settings_value().clone();
    settings["callback"] = json!("50ms");
    let failure = handler
        .run(trial.clone().settings(settings).shard())
        .await
        .unwrap_err();
    assert!(!failure.is_permanent() && !failure.is_hold(), "{failure}");
    assert!(
        failure.text().contains("within 50ms (http.callback)"),
        "{failure}"
    );
    trial.lose_lease();
    let stopped = handler.run(shard).await.unwrap_err();
    assert!(!stopped.is_permanent(), "{stopped}");
}

#[tokio::test]
async fn job_that_awaits_a_callback_is_left_to_workers_that_say_where_it_goes() {
    let (handler, trial, _asked) = calling_back(accepted).await;
    let shard = trial.shard();
    let origin = handler.services.keys().next().unwrap().clone();
    assert_eq!(
        handler.knows(),
        [origin.clone(), format!("{origin} with callback")]
    );
    let without = HttpService::at(&origin).unwrap();
    let without = HttpHandler::new([("shop".to_owned(), without)].into()).unwrap();
    let any = HttpHandler::new([("any".to_owned(), HttpService::at("*").unwrap())].into()).unwrap();
    for handler in [without, any] {
        let failure = handler.run(shard.clone()).await.unwrap_err();
        assert!(failure.is_hold(), "{failure}");
        assert!(
            failure.text().contains("worker.http.NAME.callback"),
            "{failure}"
        );
    }
    let mut settings = shard.settings_value().clone();
    settings["headers"] = json!({"x": "{secret.callback}"});
    let failure = handler
        .run(trial.settings(settings).shard())
        .await
        .unwrap_err();
    assert!(
        failure.is_permanent() && failure.text().contains("secret.callback"),
        "{failure}"
    );
}
