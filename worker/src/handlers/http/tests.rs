//! Where requests go, whatever names resolve to: with a resolver of the test's own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

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
