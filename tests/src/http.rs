//! Asks the endpoints of a service as a probe does.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};

use crate::process::Process;
use crate::wait::eventually_some;

/// Time between the start of a service and its word of where it serves.
const SERVED_WITHIN: Duration = Duration::from_secs(40);

/// Where a service serves its endpoints, which was started with `--listen 127.0.0.1:0`: as it says itself.
///
/// # Errors
/// When it does not say so.
pub async fn served_at(service: &Process) -> anyhow::Result<String> {
    eventually_some(
        SERVED_WITHIN,
        "it says where its endpoints are",
        async || {
            let text = service.stderr();
            let from = text.split("http://").nth(1);
            Ok(from.and_then(|rest| Some(rest.split('/').next()?.to_owned())))
        },
    )
    .await
}

/// What `/metrics` says of `metric`, which is written with its labels; `None` where it says nothing.
///
/// # Errors
/// When nobody answers there.
pub async fn metric(address: &str, metric: &str) -> anyhow::Result<Option<f64>> {
    let page = get(address, "/metrics").await?;
    let mut values = page.lines().filter_map(|line| {
        let value = line.strip_prefix(metric)?.strip_prefix(' ')?;
        value.parse().ok()
    });
    Ok(values.next())
}

/// The whole answer to `GET path`, from its first line on.
///
/// # Errors
/// When nobody answers there.
pub async fn get(address: impl ToSocketAddrs, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    head: String,
}

impl Reply {
    /// The value of a header, which is named in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        lines.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Its body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Asks whatever may be asked: `method`, then `path`, with these headers and this body.
///
/// # Errors
/// When nobody answers there, or not in HTTP.
pub async fn ask(
    address: impl ToSocketAddrs,
    what: (&str, &str),
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> anyhow::Result<Reply> {
    ask_over(TcpStream::connect(address).await?, what, headers, body).await
}

/// As [`ask`], over a connection that is there, encrypted or not.
///
/// # Errors
/// When nobody answers there, or not in HTTP.
pub async fn ask_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> anyhow::Result<Reply> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request += "host: 127.0.0.1\r\n";
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    if let Some(body) = body {
        request += &format!("content-length: {}\r\n", body.len());
    }
    stream
        .write_all(format!("{request}\r\n").as_bytes())
        .await?;
    // Whoever refuses a body may be gone before it has all of it.
    let _ = stream.write_all(body.unwrap_or_default()).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else {
        read?;
        anyhow::bail!("no answer: {}", String::from_utf8_lossy(&answer));
    };
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok(Reply {
        status: status.with_context(|| format!("no status in {head:?}"))?,
        body: answer[end + 4..].to_vec(),
        head,
    })
}
