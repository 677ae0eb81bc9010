//! Where the answers for one tile wait until its pages ask for them: written by whoever reads from the child, read by
//! the tile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::death::Death;
use super::heard::Done;
use crate::failure::Failure;
use crate::handler::ProbedPages;

/// What a child answered.
#[derive(Debug)]
pub(super) enum Answer {
    Done(Done),
    Failed(Failure),
    Stopped,
    Pages(ProbedPages),
}

/// What came of a shard.
#[derive(Debug)]
pub(super) enum Came {
    Answer(Answer),
    /// The child that had it is gone. Nothing of it runs any more.
    Died(Arc<Death>),
}

/// The answers for the shards of one frame.
#[derive(Debug)]
pub(super) struct Answers {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    answers: Vec<Option<Answer>>,
    /// The last answer that was taken leaves so many.
    death: Option<Arc<Death>>,
    /// What the child said last of how far it is.
    rows: Option<(usize, u64)>,
}

impl Answers {
    /// For so many shards.
    pub(super) fn new(count: usize) -> Answers {
        let answers = std::iter::repeat_with(|| None).take(count).collect();
        Answers {
            state: Mutex::new(State {
                answers,
                death: None,
                rows: None,
            }),
            news: Notify::new(),
        }
    }

    pub(super) fn put(&self, index: usize, answer: Answer) {
        if let Some(place) = self.state().answers.get_mut(index) {
            *place = Some(answer);
        }
        self.news.notify_one();
    }

    /// The child has said how far a shard is.
    pub(super) fn note(&self, index: usize, rows: u64) {
        self.state().rows = Some((index, rows));
    }

    /// How far it was with a shard, as it said.
    pub(super) fn rows(&self, index: usize) -> Option<u64> {
        self.state()
            .rows
            .filter(|(of, _)| *of == index)
            .map(|(_, rows)| rows)
    }

    /// No more answers come.
    pub(super) fn end(&self, death: Arc<Death>) {
        self.state().death = Some(death);
        self.news.notify_one();
    }

    /// Waits for what comes of a shard. Each answer is taken once, by one who waits.
    pub(super) async fn take(&self, index: usize) -> Came {
        loop {
            {
                let mut state = self.state();
                if let Some(answer) = state.answers.get_mut(index).and_then(Option::take) {
                    return Came::Answer(answer);
                }
                if let Some(death) = &state.death {
                    return Came::Died(Arc::clone(death));
                }
            }
            self.news.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
