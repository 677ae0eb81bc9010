//! How connections come in: as they are, or encrypted where the API has a certificate. Whoever does not greet is not waited
//! for by others, as each greeting is a part of its own connection; and whoever speaks in clear where it is encrypted is told
//! so in words that a person can read.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use gridloom_shared::entrance::{Entrance, Patient, Seats};
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::time::{Sleep, sleep};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::certificate::Shown;

/// So long somebody may take to greet.
const GREETED_WITHIN: Duration = Duration::from_secs(10);
/// So long nothing need be said on a connection: each answer takes less, and readers of events get a comment sooner.
const QUIET: Duration = Duration::from_secs(60);
/// Files that a planner needs besides: its metrics and its health are asked by files, too.
const FILES: usize = 256;
/// Connections at most, and at least.
const SEATS_MOST: usize = 4_096;
const SEATS_LEAST: usize = 64;
const _: () = assert!(gridloom_shared::entrance::PROBES_MAX < FILES);
/// What an encrypted connection begins with: the kind of its first record, a handshake.
const HANDSHAKE: u8 = 0x16;
/// So much of what is said in clear is taken before it is answered: an answer to whom nobody listened is lost.
const HEARD: usize = 16 << 10;
/// What is said to whoever speaks in clear.
const IN_CLEAR: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: application/problem+json\r\n\
content-length: 158\r\n\
connection: close\r\n\r\n\
{\"type\":\"urn:gridloom:invalid\",\"title\":\"The request makes no sense\",\"status\":400,\"detail\":\"this address speaks TLS: ask it with https:// in place of http://\"}";

/// Where connections come in.
pub(super) struct Door {
    entrance: Entrance,
    /// What is shown to them, if they are encrypted.
    shown: Option<Arc<Shown>>,
}

impl Door {
    /// Where connections of `listener` come in.
    pub(super) fn new(listener: TcpListener, shown: Option<Arc<Shown>>) -> Door {
        let full = || tracing::warn!("the API has as many connections as it may have: others wait");
        let entrance = Entrance::new(listener, Seats::new(seats(), full), QUIET);
        Door { entrance, shown }
    }
}

/// So many connections there may be, where the system lets this process have as many files and some more.
fn seats() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let files = files.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    });
    files.saturating_sub(FILES).clamp(SEATS_LEAST, SEATS_MOST)
}

impl Listener for Door {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (stream, from) = self.entrance.accept().await;
        let line = match &self.shown {
            None => Line::Open(stream),
            Some(shown) => Line::encrypted(stream, shown.now(), GREETED_WITHIN),
        };
        (line, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.entrance.local_addr()
    }
}

/// A connection.
pub(super) enum Line {
    /// It is as it is.
    Open(Patient),
    /// It is to be encrypted, and nothing has come yet.
    Silent(Box<Silent>),
    /// Both sides agree how.
    Greeting(Box<Accept<Patient>>, Pin<Box<Sleep>>),
    /// It is encrypted.
    Safe(Box<TlsStream<Patient>>),
    /// Somebody speaks in clear: so much of what is to be said to that was said.
    Refused(Patient, usize),
    /// It has ended before it began.
    Over,
}

/// See [`Line::Silent`].
pub(super) struct Silent {
    stream: Patient,
    acceptor: TlsAcceptor,
    until: Pin<Box<Sleep>>,
}

/// What a greeting comes to that takes too long.
fn too_late(until: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let late = until.as_mut().poll(cx);
    late.map(|()| Err(io::ErrorKind::TimedOut.into()))
}

impl Line {
    /// One that is to be encrypted, and is over where nobody greets in time.
    fn encrypted(stream: Patient, config: Arc<ServerConfig>, within: Duration) -> Line {
        Line::Silent(Box::new(Silent {
            stream,
            acceptor: TlsAcceptor::from(config),
            until: Box::pin(sleep(within)),
        }))
    }

    /// Waits until something can be said and heard.
    fn begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self {
                Line::Open(_) | Line::Safe(_) | Line::Refused(..) => return Poll::Ready(Ok(())),
                Line::Over => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                Line::Silent(silent) => {
                    let Poll::Ready(first) = silent.stream.first(cx) else {
                        return too_late(&mut silent.until, cx);
                    };
                    let first = first?;
                    if let Line::Silent(silent) = std::mem::replace(self, Line::Over) {
                        *self = (*silent).answered(first);
                    }
                }
                Line::Greeting(accept, until) => {
                    let Poll::Ready(stream) = Pin::new(accept.as_mut()).poll(cx) else {
                        return too_late(until, cx);
                    };
                    match stream {
                        Ok(stream) => *self = Line::Safe(Box::new(stream)),
                        Err(error) => {
                            *self = Line::Over;
                            return Poll::Ready(Err(error));
                        }
                    }
                }
            }
        }
    }

    /// Whether somebody hears what is said: not whoever is refused.
    fn heard(&mut self) -> Option<Pin<&mut (dyn Io + Send)>> {
        match self {
            Line::Open(stream) => Some(Pin::new(stream)),
            Line::Safe(stream) => Some(Pin::new(stream.as_mut())),
            Line::Silent(_) | Line::Greeting(..) | Line::Refused(..) | Line::Over => None,
        }
    }
}

/// What is read and written.
trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

impl Silent {
    /// What becomes of the connection, by the first byte that came.
    fn answered(self, first: Option<u8>) -> Line {
        let Silent {
            stream,
            acceptor,
            until,
        } = self;
        match first {
            Some(HANDSHAKE) => Line::Greeting(Box::new(acceptor.accept(stream)), until),
            Some(_) => Line::Refused(stream, 0),
            None => Line::Open(stream),
        }
    }
}

/// Hears somebody out who speaks in clear, and says what is to be said to that. Nothing is read of it.
fn refuse(stream: &mut Patient, said: &mut usize, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    if *said == 0 {
        let mut passed_over = [0; HEARD];
        let mut passed_over = ReadBuf::new(&mut passed_over);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut passed_over))?;
    }
    while *said < IN_CLEAR.len() {
        *said += ready!(Pin::new(&mut *stream).poll_write(cx, &IN_CLEAR[*said..]))?;
    }
    Poll::Ready(Ok(()))
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.begun(cx))?;
        if let Line::Refused(stream, said) = &mut *self {
            return refuse(stream, said, cx);
        }
        match self.heard() {
            Some(stream) => stream.poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.begun(cx))?;
        match self.heard() {
            Some(stream) => stream.poll_write(cx, buf),
            None => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.begun(cx))?;
        match self.heard() {
            Some(stream) => stream.poll_write_vectored(cx, bufs),
            None => Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.heard() {
            Some(stream) => stream.poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Line::Refused(stream, _) = &mut *self {
            return Pin::new(stream).poll_shutdown(cx);
        }
        match self.heard() {
            Some(stream) => stream.poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
    use tokio_rustls::rustls::sign::CertifiedKey;

    use super::*;

    /// Longer than anybody is waited for here.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Has nothing to show.
    #[derive(Debug)]
    struct Nothing;

    impl ResolvesServerCert for Nothing {
        fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            None
        }
    }

    /// How a connection ends on which this is said and no more.
    async fn end_of(said: &[u8]) -> io::ErrorKind {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth();
        let config = Arc::new(config.with_cert_resolver(Arc::new(Nothing)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seats = Seats::new(1, || ());
        let mut entrance = Entrance::new(listener, seats, QUIET);
        let mut asker = TcpStream::connect(address).await.unwrap();
        let (stream, _) = entrance.accept().await;
        let mut line = Line::encrypted(stream, config, Duration::from_millis(50));
        asker.write_all(said).await.unwrap();
        let ended = timeout(PATIENCE, line.read_u8()).await;
        ended.unwrap().unwrap_err().kind()
    }

    #[tokio::test]
    async fn who_does_not_greet_or_not_to_the_end_is_not_waited_for() {
        assert_eq!(end_of(b"").await, io::ErrorKind::TimedOut);
        assert_eq!(end_of(&[HANDSHAKE, 3, 1, 0]).await, io::ErrorKind::TimedOut);
    }

    #[test]
    fn what_is_said_in_clear_is_a_whole_answer() {
        let text = std::str::from_utf8(IN_CLEAR).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"], 400);
    }
}
