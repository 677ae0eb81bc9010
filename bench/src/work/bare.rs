//! What the machine does without any engine: as many loops as a run has slots, each of which sleeps again and again as
//! the handler does, in two processes as the workers are. 256 slots whose shards sleep for a millisecond are 256,000 wake-ups
//! a second.

use std::time::{Duration, Instant};

use async_nats::Client;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::nap::Naps;
use super::worker::Done;
use crate::args::BareChild;
use crate::stack::Stack;

/// Where they tell what they did.
const TOLD: &str = "work.bare";
/// For how long each is measured.
const SECONDS: u64 = 3;
/// Processes, as there are workers.
const PROCESSES: u32 = 2;

/// What loops did.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Told {
    done: Done,
    seconds: f64,
}

/// Sleeps and tells.
pub(crate) async fn serve(child: &BareChild) -> anyhow::Result<()> {
    let (sleep, length) = (
        Duration::from_millis(child.ms),
        Duration::from_secs(child.seconds),
    );
    let begun = Instant::now();
    let mut loops = JoinSet::new();
    let naps = Naps::start()?;
    for _ in 0..child.slots {
        let naps = naps.clone();
        loops.spawn(async move {
            let mut done = Done::default();
            while begun.elapsed() < length {
                let turn = Instant::now();
                naps.until(turn, sleep).await;
                done = done
                    + Done {
                        shards: 1,
                        busy: turn.elapsed(),
                    };
            }
            done
        });
    }
    let mut done = Done::default();
    while let Some(one) = loops.join_next().await {
        done = done + one?;
    }
    let told = Told {
        done,
        seconds: begun.elapsed().as_secs_f64(),
    };
    let client = async_nats::connect(&child.nats).await?;
    client
        .publish(TOLD, serde_json::to_vec(&told)?.into())
        .await?;
    client.flush().await?;
    // Ended when it was heard.
    std::future::pending().await
}

/// Turns a second of `slots` loops that sleep for `ms`.
pub(super) async fn measure(
    stack: &Stack,
    client: &Client,
    slots: u32,
    ms: u32,
) -> anyhow::Result<f64> {
    let mut told = client.subscribe(TOLD).await?;
    client.flush().await?;
    let mut children = Vec::new();
    for number in 0..PROCESSES {
        let more = [
            ("--slots", u64::from(slots / PROCESSES)),
            ("--ms", u64::from(ms)),
            ("--seconds", SECONDS),
        ];
        let more: Vec<String> = more
            .iter()
            .flat_map(|(flag, value)| [(*flag).to_owned(), value.to_string()])
            .collect();
        let name = format!("bare-{number}");
        children.push(stack.child_with("bare-loops", &name, &more).await?);
    }
    let mut rate = 0.0;
    for _ in 0..PROCESSES {
        let heard = tokio::time::timeout(Duration::from_secs(SECONDS + 30), told.next()).await?;
        let message = anyhow::Context::context(heard, "hear of the bare loops")?;
        let told: Told = serde_json::from_slice(&message.payload)?;
        rate += told.done.shards as f64 / told.seconds;
    }
    drop(children);
    Ok(rate)
}
