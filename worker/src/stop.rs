//! How a worker is told to stop.

use tokio_util::sync::CancellationToken;

/// Tells a worker to stop: it takes no more work, lets its tiles finish within the grace, and hands
/// back the rest. Clones stop the same worker.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: CancellationToken,
    hurried: CancellationToken,
}

impl Stop {
    /// Asks the worker to stop. Returns at once.
    pub fn stop(&self) {
        self.asked.cancel();
    }

    /// Asks the worker to stop without grace: what runs is stopped and handed back.
    pub fn hurry(&self) {
        self.asked.cancel();
        self.hurried.cancel();
    }

    /// Whether it was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.asked.is_cancelled()
    }

    pub(crate) async fn stopped(&self) {
        self.asked.cancelled().await;
    }

    pub(crate) async fn hurried(&self) {
        self.hurried.cancelled().await;
    }
}
