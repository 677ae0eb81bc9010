//! A proxy that loses the answer to a commit: it cuts a connection at the first `COMMIT` that it
//! sees, before or after it has passed it on. It counts what PostgreSQL was asked, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never hears of the commit.
    BeforeCommit,
    /// The server commits, and nobody hears of it.
    AfterCommit,
}

/// A listening proxy.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    cuts: Arc<AtomicU32>,
    connections: Arc<AtomicU32>,
    answers: Arc<AtomicU32>,
}

impl Proxy {
    /// Passes everything on to `to`, and makes the first `most` cuts that it can.
    pub(crate) async fn start(to: u16, cut: Cut, most: u32) -> anyhow::Result<Proxy> {
        Proxy::serve(TcpListener::bind("127.0.0.1:0").await?, to, cut, most)
    }

    /// Passes everything on from a port of our choice, and cuts nothing.
    pub(crate) async fn listen_on(port: u16, to: u16) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        Proxy::serve(listener, to, Cut::BeforeCommit, 0)
    }

    fn serve(listener: TcpListener, to: u16, cut: Cut, most: u32) -> anyhow::Result<Proxy> {
        let port = listener.local_addr()?.port();
        let cuts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&cuts);
        let connections = Arc::new(AtomicU32::new(0));
        let accepted = Arc::clone(&connections);
        let answers = Arc::new(AtomicU32::new(0));
        let answered = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let cuts = Arc::clone(&counted);
                let answers = Arc::clone(&answered);
                tokio::spawn(async move { pass_on(client, to, cut, most, &cuts, &answers).await });
            }
        });
        Ok(Proxy {
            port,
            cuts,
            connections,
            answers,
        })
    }

    /// Connections that were made to it.
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }

    /// How often PostgreSQL was ready for the next question: once for each connection, and once for each
    /// question.
    pub(crate) fn answers(&self) -> u32 {
        self.answers.load(Ordering::SeqCst)
    }

    pub(crate) fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// Ends when either side has, and drops both.
async fn pass_on(
    client: TcpStream,
    to: u16,
    cut: Cut,
    most: u32,
    cuts: &AtomicU32,
    answers: &AtomicU32,
) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", to)).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let read = from_client.read(&mut chunk).await?;
            let commits = chunk[..read].windows(6).any(|word| word == b"COMMIT");
            let cutting = commits
                && cuts
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| {
                        (n < most).then_some(n + 1)
                    })
                    .is_ok();
            if read == 0 || (cutting && cut == Cut::BeforeCommit) {
                return Ok(());
            }
            to_server.write_all(&chunk[..read]).await?;
            if cutting {
                return Ok(());
            }
        }
    };
    let answering = async {
        let (mut chunk, mut messages) = (vec![0; 64 * 1024], Messages::default());
        loop {
            let read = from_server.read(&mut chunk).await?;
            if read == 0 {
                return Ok(());
            }
            answers.fetch_add(messages.ready(&chunk[..read]), Ordering::SeqCst);
            to_client.write_all(&chunk[..read]).await?;
        }
    };
    tokio::select! {
        ended = asking => ended,
        ended = answering => ended,
    }
}

/// PostgreSQL's messages: a letter, the length of what follows with its own four bytes, and that.
#[derive(Default)]
struct Messages {
    head: Vec<u8>,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Messages {
    /// How many of those that begin in what comes next say that the server is ready.
    fn ready(&mut self, chunk: &[u8]) -> u32 {
        let mut ready = 0;
        for byte in chunk {
            if self.left > 0 {
                self.left -= 1;
                continue;
            }
            self.head.push(*byte);
            if let [letter, length @ ..] = self.head.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                ready += u32::from(*letter == b'Z');
                self.left = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                self.head.clear();
            }
        }
        ready
    }
}
