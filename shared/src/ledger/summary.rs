//! What people and programs are shown of a run: the JSON of `show RUN`, and the value in the `runs`
//! bucket. A projection; the ledger is the truth.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::{JobName, QueueName, RunId};
use crate::ledger::fold::Fold;
use crate::ledger::outcomes::ROWS;
use crate::ledger::record::EndState;
use crate::limits::ENVELOPE_MAX;

mod exact;

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RunState {
    /// Shards are outstanding or not issued yet.
    Running,
    /// Every shard is committed.
    Succeeded,
    /// It ended with dead shards or could not be planned.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl RunState {
    /// Whether the run is over.
    pub fn ended(self) -> bool {
        self != RunState::Running
    }

    /// The state as text, as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Succeeded => "succeeded",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
        }
    }
}

impl From<EndState> for RunState {
    fn from(end: EndState) -> RunState {
        match end {
            EndState::Succeeded => RunState::Succeeded,
            EndState::Failed => RunState::Failed,
            EndState::Cancelled => RunState::Cancelled,
        }
    }
}

/// A run, as `show RUN --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: JobName,
    /// Its queue.
    pub queue: QueueName,
    /// Where it is in its life.
    pub state: RunState,
    /// The time that it was meant for, RFC 3339.
    pub scheduled_at: Option<String>,
    /// When it was opened, RFC 3339.
    pub opened_at: Option<String>,
    /// When it was closed, RFC 3339; `None` while it runs.
    pub closed_at: Option<String>,
    /// Its cells.
    pub grid: GridSummary,
    /// Its shards in numbers.
    pub shards: ShardSummary,
    /// Sum of the counter `rows`: exact, however large.
    #[serde(with = "exact")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::integer))]
    pub rows: i128,
    /// Sums of the handler's other counters.
    #[serde(with = "exact::map")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::integers))]
    pub counters: BTreeMap<String, i128>,
    /// How many of them are left out, the last by name, because they are too many for a message.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_counters: usize,
    /// Why it did not succeed.
    pub error: Option<String>,
}

/// Cells of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GridSummary {
    /// Rows.
    pub slices: u32,
    /// Cells, as far as they are known: a probed grid grows.
    pub shards: u64,
}

/// Shards of a run in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShardSummary {
    /// Issued, each once.
    pub planned: u64,
    /// With a success.
    pub done: u64,
    /// Without one, their attempts used up.
    pub dead: u64,
    /// Questions of probes whose attempts are used up: a slice of which nobody knows the pages. They are no shards
    /// of the grid, and stand among the dead shards where those are listed, tried again or given up.
    #[serde(default)]
    pub dead_probes: u64,
    /// Dead shards and questions that somebody gave up: they are counted in `dead` and `dead_probes`, wait for nobody,
    /// and are listed no more. 0 in a summary of an earlier build.
    #[serde(default)]
    pub given_up: u64,
    /// Issued, without an outcome that ends them; 0 of a run that is over.
    pub outstanding: u64,
    /// Successes after the first.
    pub late: u64,
    /// Issued again after a failed attempt, each time.
    pub retried: u64,
    /// Without an outcome in tiles that were taken over, each time; not those that were claimed with care because the
    /// broker or its consumer was new.
    pub taken_over: u64,
}

impl ShardSummary {
    /// Dead shards and questions that nobody gave up: what `dead list` lists, and what a retry of the run tries again.
    pub fn dead_kept(&self) -> u64 {
        let dead = self.dead.saturating_add(self.dead_probes);
        dead.saturating_sub(self.given_up)
    }

    /// Whether there is any of those.
    pub fn is_anything_dead(&self) -> bool {
        self.dead_kept() > 0
    }
}

impl RunSummary {
    /// The summary of a run; `None` before its first record.
    pub fn of(fold: &Fold) -> Option<RunSummary> {
        let opening = fold.opening()?;
        let job = &opening.record.job;
        let counts = fold.counts();
        let mut counters = fold.counters().clone();
        let closing = fold.closing();
        Some(RunSummary {
            run: fold.run().clone(),
            job: job.name.clone(),
            queue: job.queue.clone(),
            state: closing.map_or(RunState::Running, |(_, closed)| closed.state.into()),
            scheduled_at: Some(opening.record.scheduled_at.rfc3339()),
            opened_at: Some(opening.at.rfc3339()),
            closed_at: closing.map(|(at, _): &(UnixMs, _)| at.rfc3339()),
            grid: GridSummary {
                slices: job.grid.slices,
                shards: fold.known_shards(),
            },
            shards: ShardSummary {
                planned: counts.planned,
                done: counts.done,
                dead: counts.dead,
                dead_probes: counts.dead_probes,
                given_up: fold.given_up(),
                outstanding: match closing {
                    // Whatever was issued and has no outcome, nobody runs it any more.
                    Some(_) => 0,
                    None => counts.planned - counts.done - counts.dead,
                },
                late: counts.late,
                retried: counts.retried,
                taken_over: counts.taken_over,
            },
            rows: counters.remove(ROWS).unwrap_or(0),
            counters,
            more_counters: usize::from(fold.has_more_counters()),
            error: closing.and_then(|(_, closed)| closed.error.clone()),
        })
    }
}

impl RunSummary {
    /// Leaves out counters until it surely fits into a record of `most` bytes: each shard may have others.
    pub fn fit(&mut self, most: usize) {
        /// Beside its name: what the largest sum takes.
        const SUM: usize = 48;
        let error = self.error.as_ref().map_or(0, String::len);
        let mut room = most.saturating_sub(ENVELOPE_MAX + error);
        let fitting = self.counters.keys().take_while(|name| {
            let left = room.checked_sub(name.len() + SUM);
            room = left.unwrap_or(0);
            left.is_some()
        });
        let kept = fitting.count();
        if let Some(first) = self.counters.keys().nth(kept).cloned() {
            self.more_counters += self.counters.split_off(&first).len();
        }
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

crate::wire::coded!(RunSummary);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MESSAGE_MIN, record_of};
    use crate::wire;

    #[test]
    fn summary_of_an_earlier_build_is_read_and_says_nothing_of_what_was_given_up() {
        let shards = serde_json::json!({
            "planned": 10, "done": 7, "dead": 3, "outstanding": 0, "late": 0, "retried": 0, "taken_over": 0,
        });
        let mut shards: ShardSummary = serde_json::from_value(shards).unwrap();
        assert_eq!((shards.dead_probes, shards.given_up), (0, 0));
        assert_eq!(shards.dead_kept(), 3);
        (shards.dead_probes, shards.given_up) = (1, 2);
        assert_eq!((shards.dead_kept(), shards.is_anything_dead()), (2, true));
        shards.given_up = 4;
        assert!(!shards.is_anything_dead());
        // Nonsense is no fault of whoever reads it.
        shards.given_up = 5;
        assert_eq!(shards.dead_kept(), 0);
    }

    #[test]
    fn summary_of_a_run_of_many_counters_fits_into_the_smallest_message() {
        let many = (0..5_000).map(|n| (format!("counter-{n:040}"), i128::MIN));
        let mut summary = RunSummary {
            run: RunId::new("a_s_1").unwrap(),
            job: JobName::new("a").unwrap(),
            queue: QueueName::new("a").unwrap(),
            state: RunState::Failed,
            scheduled_at: None,
            opened_at: None,
            closed_at: None,
            grid: GridSummary {
                slices: 1,
                shards: 1,
            },
            shards: ShardSummary {
                planned: 0,
                done: 0,
                dead: 0,
                dead_probes: 0,
                given_up: 0,
                outstanding: 0,
                late: 0,
                retried: 0,
                taken_over: 0,
            },
            rows: 0,
            counters: many.collect(),
            more_counters: 0,
            error: Some("e".repeat(1_024)),
        };
        let most = record_of(MESSAGE_MIN);
        summary.fit(most);
        assert!(wire::encode(&summary).len() <= most);
        let kept = summary.counters.len();
        assert!(kept > 400 && kept + summary.more_counters == 5_000);
        summary.fit(most);
        assert_eq!(summary.counters.len(), kept);
    }
}
