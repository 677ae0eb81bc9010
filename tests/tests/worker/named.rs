//! What a worker says of itself unasked: what it had named last is all that is handed back for it, should it die
//! while another does not answer (docs/PROTOCOL.md §6).

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use gridloom_shared::presence::Presence;
use tokio::sync::Semaphore;

use super::*;

/// Tiles that are taken one after the other, each so much later in the second than the one before.
const TILES: u32 = 5;
const LATER: Duration = Duration::from_millis(190);
/// A tile that was taken while the announcement was written may be named by the next one only.
const WRITTEN: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn tile_is_named_by_the_next_announcement_whenever_it_was_taken() -> anyhow::Result<()> {
    let mut stage = Stage::open(job(TILES, COUNTED)?).await?;
    let all = stage.broker.subjects().all_presence();
    let mut announced = stage.broker.subscribe(all).await?;
    let (taken, gate) = (Arc::new(Mutex::new(None)), Arc::new(Semaphore::new(0)));
    let handler = {
        let (taken, gate) = (Arc::clone(&taken), Arc::clone(&gate));
        move |_: Shard| {
            *taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(UnixMs::now());
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.map_err(Failure::retry)?.forget();
                Ok(())
            }
        }
    };
    let worker = Running::start(stage.worker().concurrency(1).handler("h", handler))?;
    let mut next = async || -> anyhow::Result<Presence> {
        let message = tokio::time::timeout(SOON, announced.next()).await?;
        Ok(Presence::read(
            &message.context("no more is heard")?.payload,
        )?)
    };
    for tile in 0..TILES {
        let before = next().await?.at;
        tokio::time::sleep(LATER * tile).await;
        stage.wave(vec![tiles(tile, 1, 1)]).await?;
        let since = eventually_some(SOON, "it is taken", async || {
            Ok(taken.lock().unwrap_or_else(PoisonError::into_inner).take())
        })
        .await?;
        let said = loop {
            let said = next().await?;
            if said.at.0 >= since.0 + WRITTEN {
                break said;
            }
        };
        let after = since.0 - before.0;
        let named = said.named.unpack(2).unwrap_or_default();
        assert_eq!(named.len(), 1, "taken {after} ms after an announcement");
        gate.add_permits(1);
        stage.until_acknowledged().await?;
    }
    worker.stop().await
}
