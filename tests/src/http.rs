//! Asks the endpoints of a service as a probe does.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
