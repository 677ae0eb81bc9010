//! What a planner does beside its loop: the name of each task, and to whom it belongs.

use std::fmt;

/// To whom a task belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It lasts as long as the process.
    Service,
    /// It lasts as long as a leadership.
    Leadership,
    /// It ends by itself, with its leadership at the latest.
    Errand,
}

macro_rules! tasks {
    ($($task:ident $owner:ident $name:literal)*) => {
        /// Whatever a planner does beside its loop, and the loop.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Task {
            $(#[doc = $name] $task,)*
        }

        impl Task {
            /// All of them: what can be given a fault.
            pub const ALL: &[Task] = &[$(Task::$task,)*];

            /// As it stands in the log.
            pub fn name(self) -> &'static str {
                match self { $(Task::$task => $name,)* }
            }

            /// To whom it belongs.
            pub fn owner(self) -> Owner {
                match self { $(Task::$task => Owner::$owner,)* }
            }
        }
    };
}

tasks! {
    Loop Service "the loop"
    Keeper Service "the keeper of the leadership"
    Presence Service "the listener for workers"
    Attendance Service "the answer to who plans"
    Streams Service "the keeper of the streams"
    Certificates Service "the look at certificates"
    Summaries Service "the writer of summaries"
    Standby Service "the standby"
    Warmth Service "the standby for schedules"
    Ledger Leadership "the feed of the ledger"
    Submissions Leadership "the feed of submissions"
    Queue Leadership "the feed of the queue"
    Orders Leadership "the feed of orders"
    Schedules Leadership "the keeper of schedules"
    Alarms Leadership "the keeper of alarms"
    QueueNumbers Leadership "the feed of queue numbers"
    Retention Leadership "the retention"
    OpenRuns Leadership "the watch over open runs"
    Workers Leadership "the watch over workers"
    Submission Errand "answering a submission"
    Death Errand "attending to a death"
    Issue Errand "issuing a wave"
    List Errand "listing the queue"
    Ask Errand "asking the workers"
    Refill Errand "refilling"
    Recall Errand "reading waves again"
    Halt Errand "halting a run"
    Order Errand "writing an order"
    Close Errand "closing a run"
    Claim Errand "claiming the register"
    Load Errand "reading a run"
    Answer Errand "answering an order"
    Bury Errand "burying a lost run"
    Call Errand "calling the workers"
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
