//! A TCP proxy between a process and the broker: cuts, stalls, delays and half-open connections.
//!
//! What is stalled stays in order and is passed on afterwards; what a half-open connection loses is
//! lost.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What the proxy does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes it on.
    Pass,
    /// Keeps it until the mode is another: nothing arrives, nothing breaks.
    Stall,
    /// Passes it on after this time.
    Delay(Duration),
    /// Passes on what the process says, and drops what the broker says: the process must find out by
    /// itself. Passing on afterwards would leave a gap, so the connection is then cut.
    HalfOpen,
    /// Passes on until a connection's process says one of these; keeps that, and all that it says after it,
    /// until the mode is another: bytes that arrive late.
    StallAt(&'static [&'static str]),
}

/// What all connections are told.
#[derive(Clone, Copy, Debug)]
struct Told {
    mode: Mode,
    /// Connections of an earlier generation are cut.
    generation: u64,
}

/// A proxy in front of one address, with one mode for all of its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    told: watch::Sender<Told>,
    stalled: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes on to `broker` there.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(broker: u16) -> anyhow::Result<Proxy> {
        let port = gridloom_cli::embedded::free_port().context("find a free port")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let (told, heard) = watch::channel(Told {
            mode: Mode::Pass,
            generation: 0,
        });
        let (stalled, _) = watch::channel(false);
        let task = tokio::spawn(accept(listener, broker, heard, stalled.clone()));
        Ok(Proxy {
            port,
            told,
            stalled,
            task,
        })
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Does this from now on, with connections that are there and with new ones.
    pub fn set(&self, mode: Mode) {
        self.told.send_modify(|told| {
            // What was dropped cannot be made good.
            if told.mode == Mode::HalfOpen && mode != Mode::HalfOpen {
                told.generation += 1;
            }
            told.mode = mode;
        });
    }

    /// Waits until something is kept back by [`Mode::StallAt`].
    ///
    /// # Errors
    /// When that has not happened by then.
    pub async fn stalled(&self, deadline: Duration) -> anyhow::Result<()> {
        let mut stalled = self.stalled.subscribe();
        let waited = tokio::time::timeout(deadline, stalled.wait_for(|stalled| *stalled)).await;
        waited.context("the process does not say what is waited for")??;
        Ok(())
    }

    /// Closes all connections; new ones are taken.
    pub fn cut(&self) {
        self.told.send_modify(|told| told.generation += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Connections hear that the sender is gone.
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    broker: u16,
    heard: watch::Receiver<Told>,
    stalled: watch::Sender<bool>,
) {
    loop {
        let Ok((near, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(serve(near, broker, heard.clone(), stalled.clone()));
    }
}

async fn serve(
    near: TcpStream,
    broker: u16,
    mut heard: watch::Receiver<Told>,
    stalled: watch::Sender<bool>,
) {
    let generation = heard.borrow().generation;
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let up = Direction::ToBroker { stalled };
    let up = pass(near_in, far_out, heard.clone(), up);
    let down = pass(far_in, near_out, heard.clone(), Direction::FromBroker);
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = heard.wait_for(|told| told.generation != generation) => {}
    }
}

enum Direction {
    ToBroker { stalled: watch::Sender<bool> },
    FromBroker,
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut heard: watch::Receiver<Told>,
    direction: Direction,
) {
    let mut bytes = vec![0; 64 * 1024];
    let mut before = Vec::new();
    loop {
        let Ok(length @ 1..) = from.read(&mut bytes).await else {
            return;
        };
        let Ok(told) = heard
            .wait_for(|told| told.mode != Mode::Stall)
            .await
            .map(|told| *told)
        else {
            return;
        };
        match told.mode {
            Mode::HalfOpen if matches!(direction, Direction::FromBroker) => continue,
            Mode::Delay(time) => sleep(time).await,
            Mode::StallAt(words) => {
                if let Direction::ToBroker { stalled } = &direction
                    && says(&mut before, &bytes[..length], words)
                {
                    stalled.send_replace(true);
                    let other = heard.wait_for(|told| told.mode != Mode::StallAt(words));
                    if other.await.is_err() {
                        return;
                    }
                }
            }
            Mode::Pass | Mode::Stall | Mode::HalfOpen => {}
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

/// Longest word that is looked for.
const WORD_MAX: usize = 64;

/// Whether one of `words` ends in `bytes`, which come after those before.
fn says(before: &mut Vec<u8>, bytes: &[u8], words: &[&str]) -> bool {
    before.extend_from_slice(bytes);
    let found = words.iter().any(|word| {
        let mut windows = before.windows(word.len());
        windows.any(|window| window == word.as_bytes())
    });
    before.drain(..before.len().saturating_sub(WORD_MAX));
    found
}
