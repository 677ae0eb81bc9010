//! A fault of one task, on purpose: so that a test sees that it is noticed.

use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use super::task::{Owner, Task};

/// When a leadership's task comes to its end; others do at once.
const AFTER: Duration = Duration::from_secs(1);

/// How a task comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It returns.
    Ends,
    /// It panics.
    Panics,
    /// It does nothing more, and lasts.
    Hangs,
}

/// One task comes to its end: one of a leadership, or the loop, a second after it began, others at once.
/// Only the first one that is started has the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which one.
    pub task: Task,
    /// How it ends.
    pub how: How,
}

impl Fault {
    /// Plays it on `task`. `None` if it has ended by it.
    pub(super) async fn play<T>(self, task: impl Future<Output = T>) -> Option<T> {
        let mut task = pin!(task);
        let after = match (self.task, self.task.owner()) {
            (Task::Loop, _) | (_, Owner::Leadership) => AFTER,
            (_, Owner::Service | Owner::Errand) => Duration::ZERO,
        };
        tokio::select! {
            ended = &mut task => return Some(ended),
            () = tokio::time::sleep(after) => {}
        }
        match self.how {
            How::Ends => None,
            How::Panics => panic!("on purpose"),
            How::Hangs => std::future::pending().await,
        }
    }
}

/// `the loop=hangs`.
impl FromStr for Fault {
    type Err = String;
    fn from_str(text: &str) -> Result<Fault, String> {
        let read = || {
            let (name, how) = text.split_once('=')?;
            let task = Task::ALL.iter().find(|task| task.name() == name)?;
            let how = match how {
                "ends" => How::Ends,
                "panics" => How::Panics,
                "hangs" => How::Hangs,
                _ => return None,
            };
            Some(Fault { task: *task, how })
        };
        read().ok_or_else(|| {
            format!("{text} is no fault: write TASK=ends, TASK=panics or TASK=hangs")
        })
    }
}
