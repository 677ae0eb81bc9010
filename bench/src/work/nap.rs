//! Sleeping for as long as was said: the runtime's own timer rounds up to whole milliseconds, and a shard of one would
//! take two. One thread sleeps for all, and the kernel wakes it within some fifty microseconds.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::oneshot;

type Order = (Instant, oneshot::Sender<()>);

/// Where naps are asked for.
#[derive(Clone, Debug)]
pub(super) struct Naps(Sender<Order>);

impl Naps {
    /// Starts the thread. It ends with the last that asks.
    pub(super) fn start() -> anyhow::Result<Naps> {
        let (orders, ordered) = mpsc::channel();
        std::thread::Builder::new()
            .name("naps".to_owned())
            .spawn(move || wake(&ordered))
            .context("start the thread that wakes")?;
        Ok(Naps(orders))
    }

    /// Sleeps until `length` after `since`.
    pub(super) async fn until(&self, since: Instant, length: Duration) {
        let (done, over) = oneshot::channel();
        if self.0.send((since + length, done)).is_ok() {
            // The thread does not end before who asks.
            let _ = over.await;
        }
    }
}

fn wake(ordered: &Receiver<Order>) {
    let mut asleep: BTreeMap<(Instant, u64), oneshot::Sender<()>> = BTreeMap::new();
    let mut number = 0;
    loop {
        let now = Instant::now();
        while let Some(next) = asleep.first_entry().filter(|next| next.key().0 <= now) {
            // Whoever is gone need not be woken.
            let _ = next.remove().send(());
        }
        let next = match asleep.first_key_value() {
            Some(((due, _), _)) => ordered.recv_timeout(due.saturating_duration_since(now)),
            None => ordered.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok((due, done)) => {
                number += 1;
                asleep.insert((due, number), done);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_woken_before_his_time_whoever_asked_first() -> anyhow::Result<()> {
        let naps = Naps::start()?;
        let begun = Instant::now();
        let length = Duration::from_millis;
        let (late, soon) = tokio::join!(
            async {
                naps.until(begun, length(30)).await;
                begun.elapsed()
            },
            async {
                naps.until(begun, length(10)).await;
                begun.elapsed()
            }
        );
        assert!(
            late >= length(30) && soon >= length(10),
            "{late:?} {soon:?}"
        );
        Ok(())
    }
}
