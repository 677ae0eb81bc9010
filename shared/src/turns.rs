//! When others have their turn while somebody goes through much: all jobs of an installation, all of its runs. What is read
//! of the broker comes bit by bit, and others are served in between; what is made of it afterwards is not to hold them up.
//!
//! A turn is measured in time: what is gone through is of any size.

use std::time::{Duration, Instant};

/// So long is worked on at a time.
const TURN: Duration = Duration::from_millis(2);

/// The turns of one task.
#[derive(Debug)]
pub struct Turns(Instant);

impl Turns {
    /// The first one begins now.
    pub fn begin() -> Turns {
        Turns(Instant::now())
    }

    /// Lets others of the same thread have their turn, where this one has lasted long enough. To be called for each that is
    /// gone through.
    pub async fn pass(&mut self) {
        if self.0.elapsed() >= TURN {
            tokio::task::yield_now().await;
            self.0 = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn others_have_their_turn_beside_work_that_does_not_end() {
        let begun = Instant::now();
        let work = async {
            let mut turns = Turns::begin();
            loop {
                // Nothing that it waits for.
                assert!(
                    begun.elapsed() < Duration::from_secs(60),
                    "nobody else came"
                );
                turns.pass().await;
            }
        };
        let other = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = work => {}
            () = other => {}
        }
    }
}
