//! Which runs are shown, in which order; and the lines of the other panes.

use std::cmp::Reverse;

use gridloom_shared::reads::by_hand::WaitingRun;
use gridloom_shared::reads::queues::{HandlerStanding, QueueStanding};

use super::super::snapshot::{Run, Snapshot};
use super::{Pane, State};

/// How runs are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Sort {
    /// Open ones first, then the newest.
    #[default]
    Newest,
    /// Those with the most dead shards.
    Dead,
    /// Those that have the most before them.
    Left,
    /// The fastest.
    Rate,
    /// By job.
    Job,
}

impl Sort {
    /// In one word.
    pub(in super::super) fn word(self) -> &'static str {
        match self {
            Sort::Newest => "newest",
            Sort::Dead => "dead",
            Sort::Left => "left",
            Sort::Rate => "rate",
            Sort::Job => "job",
        }
    }

    pub(super) fn next(self) -> Sort {
        match self {
            Sort::Newest => Sort::Dead,
            Sort::Dead => Sort::Left,
            Sort::Left => Sort::Rate,
            Sort::Rate => Sort::Job,
            Sort::Job => Sort::Newest,
        }
    }

    fn apply(self, runs: &mut [&Run]) {
        let newest = |run: &Run| {
            let opened = run.summary.opened_at.clone();
            (Reverse(run.is_open()), Reverse(opened), run.id().clone())
        };
        runs.sort_by_key(|run| newest(run));
        match self {
            Sort::Newest => {}
            Sort::Dead => runs.sort_by_key(|run| Reverse(run.dead())),
            Sort::Left => runs.sort_by_key(|run| {
                let left = run
                    .summary
                    .grid
                    .shards
                    .saturating_sub(run.summary.shards.done);
                (Reverse(run.is_open()), Reverse(left))
            }),
            Sort::Rate => runs.sort_by(|one, other| {
                let rate = |run: &Run| run.shards_per_s.unwrap_or(0.0);
                rate(other).total_cmp(&rate(one))
            }),
            Sort::Job => runs.sort_by(|one, other| one.summary.job.cmp(&other.summary.job)),
        }
    }
}

/// A line of the queues.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum QueueLine<'s> {
    /// A queue.
    Queue(&'s QueueStanding),
    /// What of it wants one handler.
    Lane(&'s HandlerStanding),
}

/// Queues, each with its lanes where there are several, or where nobody has the handler.
pub(in super::super) fn queue_lines(snapshot: &Snapshot) -> Vec<QueueLine<'_>> {
    let mut lines = Vec::new();
    for queue in &snapshot.queues {
        lines.push(QueueLine::Queue(queue));
        let lacks = |lane: &HandlerStanding| lane.pending > 0 && lane.workers == 0;
        if queue.handlers.len() > 1 || queue.handlers.iter().any(lacks) {
            lines.extend(queue.handlers.iter().map(QueueLine::Lane));
        }
    }
    lines
}

impl State {
    /// The runs that are shown, in their order.
    pub(in super::super) fn listed(&self) -> Vec<&Run> {
        let Some(snapshot) = &self.snapshot else {
            return Vec::new();
        };
        let wanted = self.filter.to_lowercase();
        let holds = |text: &str| text.to_lowercase().contains(&wanted);
        let mut runs: Vec<&Run> = snapshot
            .runs
            .iter()
            .filter(|run| {
                let summary = &run.summary;
                holds(run.id().as_str())
                    || holds(summary.queue.as_str())
                    || holds(summary.state.as_str())
            })
            .collect();
        self.sort.apply(&mut runs);
        runs
    }

    /// The runs that wait to be opened and are shown. No key is about one of them.
    pub(in super::super) fn waiting(&self) -> impl Iterator<Item = &WaitingRun> {
        let waiting = self.snapshot.iter().flat_map(|snapshot| &snapshot.waiting);
        let wanted = self.filter.to_lowercase();
        waiting.filter(move |waits| {
            let mut texts = [waits.run.as_str(), waits.state].into_iter();
            texts.any(|text| text.to_lowercase().contains(&wanted))
        })
    }

    /// How many rows a pane would fill.
    pub(in super::super) fn lines_with_title(&self, pane: Pane) -> u16 {
        // An empty one says why it is.
        let beside = match pane {
            Pane::Runs => self.waiting().count(),
            Pane::Queues | Pane::Workers | Pane::Log => 0,
        };
        let lines = (self.lines(pane) + beside).clamp(1, 1_000) as u16;
        lines + 1
    }

    /// How many lines a pane has.
    pub(super) fn lines(&self, pane: Pane) -> usize {
        let Some(snapshot) = &self.snapshot else {
            return 0;
        };
        match pane {
            Pane::Queues => queue_lines(snapshot).len(),
            Pane::Runs => self.listed().len(),
            Pane::Workers => snapshot.workers.len(),
            Pane::Log => snapshot.events.len(),
        }
    }
}
