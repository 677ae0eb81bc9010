//! The worker of `latency`: its handler notes when it began, and how long after the submission.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use gridloom_shared::clock::Boot;
use gridloom_worker::{Failure, Shard, Worker};
use serde::{Deserialize, Serialize};

use crate::stack::{NAMESPACE, QUEUE};

/// The handler's name.
pub(crate) const HANDLER: &str = "stamp";
/// Where the notes are asked for.
const NOTES: &str = "stamp.notes";
/// Tiles at once.
const CONCURRENCY: u32 = 256;
/// Notes in one answer.
const NOTES_MAX: usize = 4_096;

/// A shard's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Number of the submission.
    pub(crate) number: u64,
    /// Nanoseconds since it was sent.
    pub(crate) waited_ns: u64,
}

#[derive(Deserialize)]
struct Params {
    number: u64,
    sent_ns: u64,
}

type Notes = Arc<Mutex<Vec<Start>>>;

/// Works until the broker is gone.
pub(crate) async fn serve(url: &str) -> anyhow::Result<()> {
    let notes = Notes::default();
    let client = async_nats::connect(url).await?;
    let asked = client.subscribe(NOTES).await?;
    tokio::spawn(answer(client, asked, Arc::clone(&notes)));
    let handler = move |shard: Shard| {
        let began = Boot::now();
        let noted = note(&shard, began, &notes);
        std::future::ready(noted)
    };
    let worker = Worker::builder()
        .nats(url)
        .namespace(NAMESPACE)
        .queue(QUEUE)
        .concurrency(CONCURRENCY);
    worker.handler(HANDLER, handler).run().await?;
    Ok(())
}

fn note(shard: &Shard, began: Boot, notes: &Notes) -> Result<(), Failure> {
    let params: Params = shard.params()?;
    let waited = began.since(Boot(Duration::from_nanos(params.sent_ns)));
    let waited_ns = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
    let start = Start {
        number: params.number,
        waited_ns,
    };
    notes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(start);
    Ok(())
}

/// Gives the notes from a position on to whoever asks.
async fn answer(client: async_nats::Client, mut asked: async_nats::Subscriber, notes: Notes) {
    while let Some(message) = asked.next().await {
        let from = std::str::from_utf8(&message.payload)
            .ok()
            .and_then(|text| text.parse::<usize>().ok());
        let page: Vec<Start> = {
            let all = notes.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter()
                .skip(from.unwrap_or(0))
                .take(NOTES_MAX)
                .copied()
                .collect()
        };
        let Some(reply) = message.reply else { continue };
        let Ok(body) = serde_json::to_vec(&page) else {
            continue;
        };
        if client.publish(reply, body.into()).await.is_err() {
            return;
        }
    }
}

/// All starts, once the submission before `end` has one too.
pub(crate) async fn starts(url: &str, end: u64, patience: Duration) -> anyhow::Result<Vec<Start>> {
    let client = async_nats::connect(url).await?;
    let give_up = Instant::now() + patience;
    let mut starts = Vec::<Start>::new();
    let mut runs = std::collections::BTreeSet::new();
    while (runs.len() as u64) < end {
        if Instant::now() > give_up {
            bail!(
                "{} of {end} runs have started a shard after {patience:?}",
                runs.len()
            );
        }
        let answer = client
            .request(NOTES, starts.len().to_string().into())
            .await
            .context("ask the worker")?;
        let page: Vec<Start> = serde_json::from_slice(&answer.payload)?;
        if page.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        runs.extend(page.iter().map(|start| start.number));
        starts.extend(page);
    }
    Ok(starts)
}
