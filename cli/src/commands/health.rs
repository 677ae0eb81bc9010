//! `gridloom health`: asks a service on this machine whether it can work, for those who have nothing to ask with: an
//! image without a shell, a script of an init system.
//!
//! It speaks to the service alone, never to the broker. Its code is 0 or 1, as health checks of containers want it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use gridloom_shared::chain;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::args::Health;
use crate::context::Context;
use crate::fault::{Misuse, Verdict};

/// Most bytes of an answer that are read: the reason why a service is not ready stands at its beginning.
const ANSWER_MAX: u64 = 16 * 1024;

/// What a service said of itself.
#[derive(Debug, Serialize)]
struct Standing {
    healthy: bool,
    address: SocketAddr,
    said: String,
}

/// Asks the service that listens where the settings say.
///
/// # Errors
/// When the settings name no port.
pub async fn run(context: &Context, flags: &Health) -> anyhow::Result<Verdict> {
    let address = near(context.config.listen(&flags.listen));
    if address.port() == 0 {
        return Err(Misuse::error(
            "the port of the service is not known: name the address that it was started with, by --listen or GRIDLOOM_LISTEN",
        ));
    }
    let path = if flags.live { "/live" } else { "/ready" };
    let (healthy, said) = asked(address, path, flags.within.0).await;
    let standing = Standing {
        healthy,
        address,
        said,
    };
    context
        .output
        .show(&standing, |output| output.say(&standing.said));
    Ok(if healthy {
        Verdict::Fine
    } else {
        Verdict::Failed
    })
}

/// Where a service that listens there is reached from its own machine.
fn near(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

/// Whether the service says that it is well, and its words, or why there are none.
async fn asked(address: SocketAddr, path: &str, within: Duration) -> (bool, String) {
    let answer = match timeout(within, get(address, path)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return (false, chain(&*error).to_string()),
        Err(_) => return (false, format!("no answer of {address} within {within:?}")),
    };
    match read(&answer) {
        Some((status, "")) => (
            status == 200,
            format!("{address} answers with status {status}, without a word"),
        ),
        Some((status, words)) => (status == 200, words.to_owned()),
        None => (
            false,
            format!("{address} answers, and is no service of Gridloom"),
        ),
    }
}

async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let connected = TcpStream::connect(address).await;
    let mut stream = connected.with_context(|| format!("ask the service on {address}"))?;
    let question = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let asking = || format!("ask the service on {address}");
    let sent = stream.write_all(question.as_bytes()).await;
    sent.with_context(asking)?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_MAX).read_to_end(&mut answer).await;
    read.with_context(asking)?;
    if answer.is_empty() {
        bail!("ask the service on {address}: it ended without an answer");
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The status of an answer, and its words.
fn read(answer: &str) -> Option<(u16, &str)> {
    let (head, words) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?;
    Some((status.parse().ok()?, words.trim()))
}

#[cfg(test)]
mod tests {
    use gridloom_shared::telemetry;
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn service_is_asked_whether_it_can_work_and_whether_it_lives() -> anyhow::Result<()> {
        let anywhere = "127.0.0.1:0".parse()?;
        let endpoints =
            telemetry::serve(anywhere, || Err("the broker is away".to_owned()), &[]).await?;
        let address = endpoints.address();
        let ready = asked(address, "/ready", SOON).await;
        assert_eq!(ready, (false, "not ready: the broker is away".to_owned()));
        let live = asked(address, "/live", SOON).await;
        assert_eq!(live, (true, "live".to_owned()));
        endpoints.stop().await;
        let (healthy, words) = asked(address, "/live", SOON).await;
        assert!(!healthy && words.contains(&address.to_string()), "{words}");
        Ok(())
    }

    #[tokio::test]
    async fn one_that_does_not_answer_is_not_waited_for() -> anyhow::Result<()> {
        let silent = TcpListener::bind("127.0.0.1:0").await?;
        let (healthy, words) =
            asked(silent.local_addr()?, "/live", Duration::from_millis(50)).await;
        assert!(!healthy && words.contains("50ms"), "{words}");
        Ok(())
    }

    #[test]
    fn service_that_listens_everywhere_is_asked_here() -> anyhow::Result<()> {
        for (listens, asked) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("10.0.0.7:9464", "10.0.0.7:9464"),
        ] {
            assert_eq!(near(listens.parse()?), asked.parse()?);
        }
        Ok(())
    }

    #[test]
    fn what_is_no_answer_of_http_is_told_apart() {
        assert_eq!(
            read("HTTP/1.1 200 OK\r\na: b\r\n\r\nready\n"),
            Some((200, "ready"))
        );
        for odd in ["INFO {}\r\n\r\n", "HTTP/1.1 200 OK", "HTTP/1.1 x\r\n\r\n"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
