//! Decides whether a program that was built without TLS is asked for it. The client would find out by a panic.

use std::time::Duration;

use async_nats::ServerAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

use super::Options;

/// How long a server is given to introduce itself.
const PATIENCE: Duration = Duration::from_secs(1);
/// More than any server says of itself.
const INTRODUCTION: u64 = 64 * 1024;

/// Whether this program can do TLS: by the feature `tls`, or because it has given its own cryptography to rustls.
pub(super) fn is_there() -> bool {
    cfg!(feature = "tls") || async_nats::rustls::crypto::CryptoProvider::get_default().is_some()
}

/// Who asks for TLS, if anybody.
pub(super) async fn asked_for(options: &Options, addresses: &[ServerAddr]) -> Option<&'static str> {
    if addresses.iter().any(ServerAddr::tls_required) {
        return Some("its address asks for");
    }
    let tls = &options.tls;
    if tls.required || tls.authority.is_some() || tls.identity.is_some() {
        return Some("the options of this connection ask for");
    }
    for address in addresses {
        let asking = wants_tls(address.host(), address.port());
        if tokio::time::timeout(PATIENCE, asking).await == Ok(Some(true)) {
            return Some("the server asks for");
        }
    }
    None
}

/// Whether the server's introduction, the first line that it sends, asks for TLS.
async fn wants_tls(host: &str, port: u16) -> Option<bool> {
    let stream = TcpStream::connect((host, port)).await.ok()?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream.take(INTRODUCTION));
    reader.read_line(&mut line).await.ok()?;
    let said = line.strip_prefix("INFO ")?;
    let said: serde_json::Value = serde_json::from_str(said).ok()?;
    said.get("tls_required")?.as_bool()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::broker::connect::options::{Tls, addresses};
    use crate::id::Namespace;

    /// A server that introduces itself so.
    async fn server(says: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(says.as_bytes()).await;
            }
        });
        format!("127.0.0.1:{port}")
    }

    async fn asks(url: String, tls: Tls) -> Option<&'static str> {
        let mut options = Options::new(url, Namespace::new("n").unwrap(), "test");
        options.tls = tls;
        asked_for(&options, &addresses(&options).unwrap()).await
    }

    #[tokio::test]
    async fn address_options_and_server_may_each_ask_for_tls() {
        let plain = server("INFO {\"server_id\":\"a\"}\r\n").await;
        let strict = server("INFO {\"tls_required\":true}\r\n").await;
        let none = Tls::default;
        assert_eq!(asks(format!("nats://{plain}"), none()).await, None);
        let asked = asks(format!("nats://{plain},nats://{strict}"), none()).await;
        assert_eq!(asked, Some("the server asks for"));
        let asked = asks(format!("tls://{plain}"), none()).await;
        assert_eq!(asked, Some("its address asks for"));
        let required = Tls {
            required: true,
            ..Tls::default()
        };
        let asked = asks(format!("nats://{plain}"), required).await;
        assert_eq!(asked, Some("the options of this connection ask for"));
    }

    #[tokio::test]
    async fn server_that_is_not_there_or_is_another_asks_for_nothing() {
        let other = server("HTTP/1.1 400\r\n").await;
        assert_eq!(asks(format!("nats://{other}"), Tls::default()).await, None);
        assert_eq!(
            asks("nats://127.0.0.1:1".into(), Tls::default()).await,
            None
        );
    }
}
