//! A TCP proxy between a process and the broker: cuts, stalls, delays and half-open connections.
//!
//! What is stalled stays in order and is passed on afterwards; what a half-open connection loses is
//! lost, and so is an answer that is picked out. What the broker says is passed on message by message.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

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
    /// Passes all on but what the broker says with this in it: an answer that is lost while the connection lives.
    Lose(&'static str),
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
    lost: watch::Sender<u64>,
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
        let (lost, _) = watch::channel(0);
        let signs = Signs {
            stalled: stalled.clone(),
            lost: lost.clone(),
        };
        let task = tokio::spawn(accept(listener, broker, heard, signs));
        Ok(Proxy {
            port,
            told,
            stalled,
            lost,
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

    /// Waits until so many answers were lost by [`Mode::Lose`].
    ///
    /// # Errors
    /// When they are fewer by then.
    pub async fn lost(&self, answers: u64, deadline: Duration) -> anyhow::Result<()> {
        let mut lost = self.lost.subscribe();
        let waited = tokio::time::timeout(deadline, lost.wait_for(|lost| *lost >= answers)).await;
        waited.context("the broker does not answer what is waited for")??;
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

/// What whoever waits for the proxy is told.
#[derive(Clone, Debug)]
struct Signs {
    stalled: watch::Sender<bool>,
    lost: watch::Sender<u64>,
}

async fn accept(listener: TcpListener, broker: u16, heard: watch::Receiver<Told>, signs: Signs) {
    loop {
        let Ok((near, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(serve(near, broker, heard.clone(), signs.clone()));
    }
}

async fn serve(near: TcpStream, broker: u16, mut heard: watch::Receiver<Told>, signs: Signs) {
    let generation = heard.borrow().generation;
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let up = Direction::ToBroker {
        stalled: signs.stalled,
        before: Vec::new(),
    };
    let down = Direction::FromBroker {
        lost: signs.lost,
        unsaid: Vec::new(),
    };
    let up = pass(near_in, far_out, heard.clone(), up);
    let down = pass(far_in, near_out, heard.clone(), down);
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = heard.wait_for(|told| told.generation != generation) => {}
    }
}

/// Which way it goes, and what of it is not told on yet.
enum Direction {
    ToBroker {
        stalled: watch::Sender<bool>,
        /// The end of what came before: a word may come in two pieces.
        before: Vec<u8>,
    },
    FromBroker {
        lost: watch::Sender<u64>,
        /// The beginning of a message.
        unsaid: Vec<u8>,
    },
}

/// Passes on what is said in one direction. What is delayed is read all the same: each word for itself.
async fn pass(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    heard: watch::Receiver<Told>,
    direction: Direction,
) {
    let (line, waiting) = mpsc::unbounded_channel();
    tokio::join!(listen(from, line, heard, direction), speak(to, waiting));
}

/// Says what waits, each when it is due.
async fn speak(mut to: OwnedWriteHalf, mut waiting: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>) {
    while let Some((due, said)) = waiting.recv().await {
        sleep_until(due).await;
        if to.write_all(&said).await.is_err() {
            return;
        }
    }
}

async fn listen(
    mut from: OwnedReadHalf,
    line: mpsc::UnboundedSender<(Instant, Vec<u8>)>,
    mut heard: watch::Receiver<Told>,
    mut direction: Direction,
) {
    let mut bytes = vec![0; 64 * 1024];
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
        let said = match &mut direction {
            Direction::ToBroker { stalled, before } => {
                if let Mode::StallAt(words) = told.mode
                    && says(before, &bytes[..length], words)
                {
                    stalled.send_replace(true);
                    let other = heard.wait_for(|told| told.mode != Mode::StallAt(words));
                    if other.await.is_err() {
                        return;
                    }
                }
                bytes[..length].to_vec()
            }
            Direction::FromBroker { .. } if told.mode == Mode::HalfOpen => continue,
            Direction::FromBroker { lost, unsaid } => {
                unsaid.extend_from_slice(&bytes[..length]);
                let word = match told.mode {
                    Mode::Lose(word) => Some(word),
                    _ => None,
                };
                let (said, without) = messages(unsaid, word);
                lost.send_modify(|lost| *lost += without);
                said
            }
        };
        let delay = match told.mode {
            Mode::Delay(time) => time,
            _ => Duration::ZERO,
        };
        if line.send((Instant::now() + delay, said)).is_err() {
            return;
        }
    }
}

/// Takes the whole messages out of what the broker said, and leaves those out in which `word` stands; how many.
fn messages(unsaid: &mut Vec<u8>, word: Option<&str>) -> (Vec<u8>, u64) {
    let (mut said, mut lost) = (Vec::new(), 0);
    let mut at = 0;
    while let Some(length) = message(&unsaid[at..]) {
        let one = &unsaid[at..at + length];
        if word.is_some_and(|word| holds(one, word)) {
            lost += 1;
        } else {
            said.extend_from_slice(one);
        }
        at += length;
    }
    unsaid.drain(..at);
    (said, lost)
}

/// How long the message is that begins here; `None` while it is not whole.
fn message(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|end| end == b"\r\n")?;
    let mut length = line + 2;
    let words = std::str::from_utf8(&bytes[..line]).unwrap_or_default();
    if words.starts_with("MSG ") || words.starts_with("HMSG ") {
        let payload: usize = words.rsplit(' ').next()?.parse().ok()?;
        length += payload + 2;
    }
    (length <= bytes.len()).then_some(length)
}

/// Longest word that is looked for.
const WORD_MAX: usize = 64;

/// Whether one of `words` ends in `bytes`, which come after those before.
fn says(before: &mut Vec<u8>, bytes: &[u8], words: &[&str]) -> bool {
    before.extend_from_slice(bytes);
    let found = words.iter().any(|word| holds(before, word));
    before.drain(..before.len().saturating_sub(WORD_MAX));
    found
}

fn holds(bytes: &[u8], word: &str) -> bool {
    let mut windows = bytes.windows(word.len());
    windows.any(|window| window == word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_passed_on_when_it_is_whole_and_lost_by_what_stands_in_it() {
        let mut unsaid = b"PING\r\nMSG a 1 5\r\nx\r\nyz\r\nHMSG b 2 c 4 8\r\nabcd".to_vec();
        let whole = b"PING\r\nMSG a 1 5\r\nx\r\nyz\r\n".to_vec();
        assert_eq!(messages(&mut unsaid, Some("cd")), (whole, 0));
        unsaid.extend_from_slice(b"efgh\r\n+OK\r\n");
        assert_eq!(messages(&mut unsaid, Some("de")), (b"+OK\r\n".to_vec(), 1));
        assert!(unsaid.is_empty());
    }
}
