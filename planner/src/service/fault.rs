//! A fault of one feed, on purpose: so that a test sees that it is noticed.

use std::time::Duration;

/// How a feed comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It returns.
    Ends,
    /// It panics.
    Panics,
}

/// One feed comes to its end a while after the first leadership began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The feed, as it stands in the log.
    pub feed: &'static str,
    /// How it ends.
    pub how: How,
    /// When.
    pub after: Duration,
}

impl Fault {
    /// Plays it on `feed`.
    pub(super) async fn play(self, feed: impl Future<Output = ()>) {
        tokio::select! {
            () = feed => {}
            () = tokio::time::sleep(self.after) => {
                assert!(self.how == How::Ends, "on purpose");
            }
        }
    }
}
