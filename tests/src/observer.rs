//! Sees every tile that the queue ever stored, also those that were acknowledged long ago.
//!
//! The queue's stream is told to republish what it has stored: unlike a subscription to the tiles'
//! own subject, that shows nothing that the broker refused. Republished messages can be lost with
//! the broker, so the observer knows which sequences it did not see. A queue that was made again, as one in the broker's
//! memory is after each restart, is told again, and what it stored before that went unseen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use gridloom_shared::broker::Broker;
use gridloom_shared::tile::Tile;
use gridloom_shared::wire;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::wait::eventually;

const SUBJECT: &str = "observed.>";
/// How often it is looked whether the queue still republishes.
const LOOK: Duration = Duration::from_millis(50);

/// A tile as the queue stored it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its sequence in the queue's stream.
    pub seq: u64,
    /// The term that stood in the register then; 0 where that was not seen.
    pub term: u64,
    /// The tile.
    pub tile: Tile,
}

#[derive(Debug, Default)]
struct Seen {
    tiles: Vec<Stored>,
    first: Option<u64>,
    last: u64,
    gaps: u64,
    term: u64,
    unreadable: Vec<u64>,
}

/// Watches one installation's queue until it is dropped.
#[derive(Debug)]
pub struct Observer {
    seen: Arc<Mutex<Seen>>,
    tasks: [JoinHandle<()>; 2],
}

impl Observer {
    /// Begins to watch. The stream must be there and nothing may be on it yet.
    ///
    /// # Errors
    /// When the broker cannot be reached or does not republish.
    pub async fn start(broker: &Broker, url: &str) -> anyhow::Result<Observer> {
        let client = async_nats::ConnectOptions::new()
            .subscription_capacity(1 << 20)
            .connect(url)
            .await
            .with_context(|| format!("connect an observer to `{url}`"))?;
        let mut messages = client.subscribe(SUBJECT).await?;
        client.flush().await?;
        let stream = broker.subjects().shards().to_string();
        if republish(&client, &stream).await?.is_none() {
            bail!("stream {stream} republishes already");
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        let sink = Arc::clone(&seen);
        let register = broker.subjects().term();
        let taking = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(&message, &register);
            }
        });
        let again = Arc::clone(&seen);
        let telling = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                // What cannot be asked now is asked again.
                if let Ok(Some(last)) = republish(&client, &stream).await {
                    again
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .made_again(last);
                }
            }
        });
        Ok(Observer {
            seen,
            tasks: [taking, telling],
        })
    }

    /// Every tile seen so far, in the order of the queue.
    pub fn tiles(&self) -> Vec<Stored> {
        self.look(|seen| seen.tiles.clone())
    }

    /// How many sequences of the stream were not seen: 0 unless the broker was killed.
    pub fn gaps(&self) -> u64 {
        self.look(|seen| seen.gaps)
    }

    /// Waits until everything was seen that the stream holds now.
    ///
    /// # Errors
    /// When that does not happen, or a message was no tile.
    pub async fn catch_up(&self, broker: &Broker) -> anyhow::Result<()> {
        let shards = broker.subjects().shards();
        // A queue that was lost with the broker is made again in a moment.
        let caught_up = async || match broker.info(&shards).await {
            Ok(state) => Ok(self.look(|seen| seen.last >= state.last_seq)),
            Err(error) if error.is_stream_missing() => Ok(false),
            Err(error) => Err(error.into()),
        };
        let soon = Duration::from_secs(10);
        eventually(soon, "the observer has caught up", caught_up).await?;
        match self.look(|seen| seen.unreadable.clone()).as_slice() {
            [] => Ok(()),
            strange => bail!("messages {strange:?} of the queue are no tiles"),
        }
    }

    fn look<T>(&self, take: impl FnOnce(&Seen) -> T) -> T {
        take(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Tells the queue to republish what it stores. Returns its last sequence by then; `None` where it was told already.
async fn republish(client: &async_nats::Client, stream: &str) -> anyhow::Result<Option<u64>> {
    let asked = client
        .request(format!("$JS.API.STREAM.INFO.{stream}"), "".into())
        .await?;
    let info: Value = serde_json::from_slice(&asked.payload)?;
    let mut config = info["config"].clone();
    if config.is_null() {
        bail!("stream {stream}: {info}");
    }
    if !config["republish"].is_null() {
        return Ok(None);
    }
    config["republish"] = json!({ "src": ">", "dest": SUBJECT });
    let update = format!("$JS.API.STREAM.UPDATE.{stream}");
    let answer = client.request(update, config.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    if answer["config"]["republish"].is_null() {
        bail!("make stream {stream} republish: {answer}");
    }
    Ok(answer["state"]["last_seq"].as_u64())
}

impl Seen {
    /// The stream was made again, and republishes what it stores after `last`.
    fn made_again(&mut self, last: u64) {
        self.gaps += 1;
        self.term = 0;
        self.last = self.last.max(last);
    }

    fn take(&mut self, message: &async_nats::Message, register: &str) {
        let header = |name: &str| {
            message
                .headers
                .as_ref()
                .and_then(|headers| headers.get(name))
                .map(ToString::to_string)
        };
        let seq: u64 = header("Nats-Sequence")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let unseen = self.first.map_or(0, |_| seq.saturating_sub(self.last + 1));
        if unseen > 0 {
            self.gaps += unseen;
            self.term = 0;
        }
        self.first.get_or_insert(seq);
        self.last = self.last.max(seq);
        if header("Nats-Subject").as_deref() == Some(register) {
            let text = String::from_utf8_lossy(&message.payload);
            let term = text.split(' ').next().and_then(|term| term.parse().ok());
            return self.term = term.unwrap_or(0);
        }
        let term = self.term;
        match wire::decode::<Tile>(&message.payload) {
            Ok(tile) => self.tiles.push(Stored { seq, term, tile }),
            Err(_) => self.unreadable.push(seq),
        }
    }
}
