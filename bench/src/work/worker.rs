//! The worker of `work`: its shards sleep as long as their run says, and it tells whoever asks how long that really took.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use gridloom_worker::{Failure, Shard, Worker};
use serde::{Deserialize, Serialize};

use super::duration::Params;
use super::nap::Naps;
use crate::args::WorkChild;
use crate::stack::{NAMESPACE, QUEUE};

/// The handler's name.
pub(super) const HANDLER: &str = "work";
/// Where it is asked for what it did: the measurement's number.
pub(super) const ASKED: &str = "work.asked";

/// What was done of one measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) shards: u64,
    /// What their handlers took, all together.
    pub(super) busy: Duration,
}

impl std::ops::Add for Done {
    type Output = Done;

    fn add(self, other: Done) -> Done {
        Done {
            shards: self.shards + other.shards,
            busy: self.busy + other.busy,
        }
    }
}

type Book = Arc<Mutex<HashMap<u32, Done>>>;

/// Works until it is stopped.
pub(crate) async fn serve(child: &WorkChild) -> anyhow::Result<()> {
    let book = Book::default();
    let client = async_nats::connect(&child.nats).await?;
    let mut asked = client.subscribe(ASKED).await?;
    let told = Arc::clone(&book);
    tokio::spawn(async move {
        while let Some(message) = asked.next().await {
            let tag = std::str::from_utf8(&message.payload).ok();
            let (Some(reply), Some(tag)) = (message.reply, tag.and_then(|tag| tag.parse().ok()))
            else {
                continue;
            };
            let done = lock(&told).get(&tag).copied().unwrap_or_default();
            if let Ok(body) = serde_json::to_vec(&done) {
                // Whoever hears nothing asks again.
                let _ = client.publish(reply, body.into()).await;
            }
        }
    });
    let worker = Worker::builder()
        .nats(&child.nats)
        .namespace(NAMESPACE)
        .queue(QUEUE)
        .concurrency(child.concurrency);
    let naps = Naps::start()?;
    let handler = move |shard: Shard| execute(shard, Arc::clone(&book), naps.clone());
    worker.handler(HANDLER, handler).run().await?;
    Ok(())
}

async fn execute(shard: Shard, book: Book, naps: Naps) -> Result<(), Failure> {
    let begun = Instant::now();
    let params: Params = shard.params()?;
    let length = params.of(shard.slice(), shard.page().number);
    naps.until(begun, length).await;
    let mut book = lock(&book);
    let done = book.entry(params.tag).or_default();
    *done = *done
        + Done {
            shards: 1,
            busy: begun.elapsed(),
        };
    Ok(())
}

fn lock(book: &Mutex<HashMap<u32, Done>>) -> std::sync::MutexGuard<'_, HashMap<u32, Done>> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
