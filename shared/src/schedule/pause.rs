//! That nothing fires for a while, of a job or of all jobs: what people said of it, in a key of the `state` bucket, as JSON.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;

/// By whom a schedule is paused that pauses itself.
pub const ITSELF: &str = "schedule";

/// A pause, as it was said last. Its times are the broker's stamps on the key: no other clock is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused.
    pub by: String,
    /// Why, in their words.
    #[serde(default)]
    pub note: String,
    /// Its first instant. `None`: when the key was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixMs>,
    /// The first instant after it, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMs>,
    /// That it was ended by hand: when the key was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
}

/// How a pause was ended by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Who ended it.
    pub by: String,
    /// What becomes of the fires inside. `None`: what the job's misfire policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
}

/// What becomes of the fires that a pause held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// No runs.
    Skip,
    /// The newest gets one.
    Once,
    /// Each gets one, the newest [`FIRES_KEPT_MAX`](crate::limits::FIRES_KEPT_MAX) at most.
    All,
}

impl Pause {
    /// Its first instant, and the first after it, where the key was written at `written`.
    pub fn span(&self, written: UnixMs) -> (UnixMs, Option<UnixMs>) {
        let from = self.from.unwrap_or(written);
        let ended = self.resumed.as_ref().map(|_| written);
        let until = ended.into_iter().chain(self.until).min();
        (from, until.map(|until| until.max(from)))
    }

    /// Whether it lasts at `now`.
    pub fn lasts(&self, written: UnixMs, now: UnixMs) -> bool {
        let (_, until) = self.span(written);
        until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_ends_when_it_is_resumed_or_as_it_was_said_whatever_comes_first() {
        let mut pause = Pause {
            by: "ada".into(),
            note: String::new(),
            from: None,
            until: Some(UnixMs(50)),
            resumed: None,
        };
        assert_eq!(pause.span(UnixMs(10)), (UnixMs(10), Some(UnixMs(50))));
        assert!(pause.lasts(UnixMs(10), UnixMs(49)) && !pause.lasts(UnixMs(10), UnixMs(50)));
        pause.from = Some(UnixMs(10));
        pause.resumed = Some(Resumed {
            by: "bob".into(),
            missed: Some(Missed::All),
        });
        assert_eq!(pause.span(UnixMs(30)), (UnixMs(10), Some(UnixMs(30))));
        assert_eq!(pause.span(UnixMs(90)), (UnixMs(10), Some(UnixMs(50))));
        let read: Pause = serde_json::from_str(&serde_json::to_string(&pause).unwrap()).unwrap();
        assert_eq!(read, pause);
    }
}
