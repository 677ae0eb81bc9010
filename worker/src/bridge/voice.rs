//! What a child writes on standard output and standard error: the user's own lines. Each goes to the log with the shard
//! that it is about, as far as that is known, and the end of all is kept for the failure that may follow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::telemetry::about::Concern;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::guarded::Tail;
use crate::shard::TileContext;

/// Under which name the log has it: `GRIDLOOM_LOG=info,child=off` leaves it out.
const TARGET: &str = "child";
/// Longest line of the log, in bytes: a longer one is told in pieces.
const LINE_MAX: usize = 4 * 1024;
/// So many lines a second of a child go to the log, and so many at once: a child that floods its output must not fill
/// the disk of the worker.
const LINES_PER_SECOND: u64 = 200;
const LINES_AT_ONCE: u64 = 2_000;
/// So often at most it is told how many lines were left out.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What a child has said so far.
#[derive(Debug)]
pub(super) struct Voice {
    number: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tail: Tail,
    /// The tile that it has in hand, where it is one alone.
    about: Option<Arc<TileContext>>,
    budget: Budget,
}

/// How many lines may be told.
#[derive(Debug)]
struct Budget {
    left: u64,
    since: Boot,
    left_out: u64,
    /// When it was told last that lines are left out.
    told: Option<Boot>,
}

impl Budget {
    /// Whether one more may be, and how many were not before it, which is worth a line of its own once in [`TOLD_EVERY`].
    fn take(&mut self, now: Boot) -> Option<u64> {
        let earned = now.since(self.since).as_millis() as u64 * LINES_PER_SECOND / 1_000;
        if earned > 0 {
            self.left = (self.left + earned).min(LINES_AT_ONCE);
            self.since = now;
        }
        if self.left == 0 {
            self.left_out += 1;
            return None;
        }
        self.left -= 1;
        let is_due = self.told.is_none_or(|told| now.since(told) >= TOLD_EVERY);
        if self.left_out == 0 || !is_due {
            return Some(0);
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Error,
}

impl Voice {
    pub(super) fn new(number: u32) -> Voice {
        let budget = Budget {
            left: LINES_AT_ONCE,
            since: Boot::now(),
            left_out: 0,
            told: None,
        };
        Voice {
            number,
            state: Mutex::new(State {
                tail: Tail::default(),
                about: None,
                budget,
            }),
        }
    }

    /// What it says from now on is about this tile, or nobody knows about which.
    pub(super) fn set_about(&self, tile: Option<&Arc<TileContext>>) {
        self.state().about = tile.cloned();
    }

    /// It had nothing in hand, and gets something: what it said before is not about that.
    pub(super) fn forget(&self) {
        self.state().tail = Tail::default();
    }

    /// The end of what it said since it had nothing in hand.
    pub(super) fn last_words(&self) -> String {
        self.state().tail.text()
    }

    /// Reads both streams to their end.
    pub(super) async fn read(
        &self,
        stdout: Option<impl AsyncRead + Unpin>,
        stderr: Option<impl AsyncRead + Unpin>,
    ) {
        tokio::join!(
            self.lines(stdout, Stream::Out),
            self.lines(stderr, Stream::Error)
        );
    }

    async fn lines(&self, from: Option<impl AsyncRead + Unpin>, stream: Stream) {
        let Some(mut from) = from else { return };
        let mut chunk = vec![0; 16 * 1024];
        let mut line: Vec<u8> = Vec::new();
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            for piece in chunk[..read].split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(piece);
                if line.ends_with(b"\n") || line.len() >= LINE_MAX {
                    self.line(&line, stream);
                    line.clear();
                }
            }
            // Endless output must not keep others of this thread from their turn.
            tokio::task::yield_now().await;
        }
        if !line.is_empty() {
            self.line(&line, stream);
        }
    }

    fn line(&self, line: &[u8], stream: Stream) {
        let (about, left_out) = {
            let mut state = self.state();
            state.tail.add(line);
            let Some(left_out) = state.budget.take(Boot::now()) else {
                return;
            };
            (state.about.clone(), left_out)
        };
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        let child = self.number;
        let tell = || {
            if left_out > 0 {
                tracing::warn!(target: TARGET, child, count = left_out, "lines of a child are left out: it writes too many");
            }
            match stream {
                Stream::Out => tracing::info!(target: TARGET, child, stdout = text, "child writes"),
                Stream::Error => {
                    tracing::info!(target: TARGET, child, stderr = text, "child writes")
                }
            }
        };
        match about {
            Some(tile) => Concern::of(tile).during(tell),
            None => tell(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long is waited for the rest of it when its process has ended: another that left the group may hold the pipe.
pub(super) const REST: Duration = crate::guarded::AFTER_END;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn end_of_what_is_said_is_kept_however_much_it_is() {
        let voice = Voice::new(0);
        let mut flood = "noise\n".repeat(50_000).into_bytes();
        flood.extend_from_slice(b"Traceback\nValueError: no");
        voice.read(Some(&flood[..]), None::<&[u8]>).await;
        assert!(voice.last_words().ends_with("Traceback\nValueError: no"));
    }

    #[test]
    fn flood_is_cut_and_told_when_there_is_room_again() {
        let at = |ms| Boot(Duration::from_millis(ms));
        let mut budget = Budget {
            left: 2,
            since: at(0),
            left_out: 0,
            told: None,
        };
        assert_eq!(
            [0, 1, 2].map(|ms| budget.take(at(ms))),
            [Some(0), Some(0), None]
        );
        assert_eq!(budget.take(at(3)), None);
        assert_eq!(budget.take(at(1_000)), Some(2));
    }

    #[test]
    fn endless_flood_is_told_once_a_second() {
        let at = |ms| Boot(Duration::from_millis(ms));
        let mut budget = Budget {
            left: 0,
            since: at(0),
            left_out: 0,
            told: None,
        };
        // A hundred lines a millisecond, of which one in five milliseconds goes to the log.
        let lines = (0..3_000 * 100).map(|line| at(line / 100));
        let told: Vec<u64> = lines.filter_map(|now| budget.take(now)).collect();
        let counted: Vec<u64> = told.iter().copied().filter(|count| *count > 0).collect();
        assert_eq!(counted.len(), 3, "{counted:?}");
        let all = told.len() as u64 + counted.iter().sum::<u64>() + budget.left_out;
        assert_eq!(all, 300_000, "each is told or counted");
    }

    #[tokio::test]
    async fn what_was_said_before_is_no_part_of_the_end_of_what_comes_now() {
        let voice = Voice::new(0);
        let said = async |text: &str| voice.read(Some(text.as_bytes()), None::<&[u8]>).await;
        said("another shard failed\n").await;
        voice.forget();
        assert_eq!(voice.last_words(), "");
        said("this one\n").await;
        assert_eq!(voice.last_words(), "this one");
    }
}
