//! What the loop takes in before a round. It decides nothing.
//!
//! A round does all that is due, whatever woke the loop: so ticks only wake it where nothing comes. Asked
//! first they would be all that it hears where a round takes longer than a tick, as on a machine with more to
//! do than it can: then one is always due.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Events taken in before what they call for is carried out.
const AT_ONCE: usize = 512;
/// How often due retries are looked for.
const TICK: Duration = Duration::from_millis(25);

/// Events and ticks of a loop, which has a sender of events itself: they never end.
pub(super) struct Intake<T> {
    events: mpsc::Receiver<T>,
    ticks: Interval,
    taken: Vec<T>,
}

impl<T> Intake<T> {
    /// In a runtime only.
    pub(super) fn new(events: mpsc::Receiver<T>) -> Intake<T> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Intake {
            events,
            ticks,
            taken: Vec::new(),
        }
    }

    /// Waits until a round is due. Dropped in the middle, it has lost nothing.
    pub(super) async fn wait(&mut self) {
        tokio::select! {
            biased;
            _ = self.events.recv_many(&mut self.taken, AT_ONCE) => {}
            _ = self.ticks.tick() => {}
        }
    }

    /// What has come by then.
    pub(super) fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rounds_that_last_longer_than_a_tick_take_in_all_that_comes() {
        let (sender, events) = mpsc::channel(8);
        let mut intake = Intake::new(events);
        for event in 0..8 {
            sender.send(event).await.unwrap();
            // A round: the next tick is due by its end.
            tokio::time::sleep(TICK * 2).await;
            intake.wait().await;
            assert_eq!(intake.take(), [event]);
        }
        // And goes round where nothing comes.
        intake.wait().await;
        assert!(intake.take().is_empty());
    }
}
