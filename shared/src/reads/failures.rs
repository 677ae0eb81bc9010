//! Why attempts of a run failed, and what is to be tried again: also of a run that goes on, long before the
//! first shard is dead. Pure: it is all in the fold, whose memory is bounded.

use serde::Serialize;

use crate::ledger::fold::{ErrorGroup, Fold};
use crate::tile::TileKind;

/// Different errors that are told; how many more there are stands beside them.
pub const TOLD_MAX: usize = 100;

/// What of a run has failed so far, as `show RUN --json` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failures {
    /// The errors of attempts that failed, those with the same text together, the last first.
    pub errors: Vec<FailedAlike>,
    /// Different errors beyond [`TOLD_MAX`].
    pub more_errors: u64,
    /// What waits for another attempt; nothing does in a run that is over or about to end.
    pub retries: Option<Retries>,
}

/// Attempts that failed with the same error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailedAlike {
    /// The error.
    pub error: String,
    /// How many attempts.
    pub failures: u64,
    /// Whether all of them had this very error. `false` where a run failed with too many different ones for all to
    /// be kept: it is that of the last of them.
    pub alike: bool,
    /// The last of them.
    pub last: LastFailure,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LastFailure {
    /// Whether it was at a page or at a question of a probe.
    pub kind: TileKind,
    /// Row of the grid.
    pub slice: u32,
    /// Page, or number of the question.
    pub page: u32,
    /// The shard as `show RUN --shard` takes it.
    pub shard: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Whether it ended in a hold: it uses up none of `retry.max_attempts`.
    pub held: bool,
    /// When the ledger had it, RFC 3339.
    pub at: String,
}

/// What waits for another attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Retries {
    /// How many shards and questions of probes.
    pub shards: u64,
    /// When the first of them is due, by the broker's clock, RFC 3339.
    pub first_due: String,
    /// When the last of them is due, likewise.
    pub last_due: String,
}

impl Failures {
    /// Those of a run.
    pub fn of(fold: &Fold) -> Failures {
        let mut groups: Vec<ErrorGroup<'_>> = fold.errors().collect();
        groups.sort_by(|a, b| {
            let key = |group: &ErrorGroup<'_>| (group.last.at, group.failures);
            key(b).cmp(&key(a)).then_with(|| a.error.cmp(b.error))
        });
        let more_errors = groups.len().saturating_sub(TOLD_MAX) as u64;
        groups.truncate(TOLD_MAX);
        Failures {
            errors: groups.iter().map(FailedAlike::of).collect(),
            more_errors,
            retries: Retries::of(fold),
        }
    }
}

impl FailedAlike {
    fn of(group: &ErrorGroup<'_>) -> FailedAlike {
        let cell = group.last.cell;
        FailedAlike {
            error: group.error.to_owned(),
            failures: group.failures,
            alike: group.alike,
            last: LastFailure {
                kind: cell.kind,
                slice: cell.slice,
                page: cell.page,
                shard: cell.to_string(),
                attempt: group.last.attempt,
                held: group.last.held,
                at: group.last.at.rfc3339(),
            },
        }
    }
}

impl Retries {
    fn of(fold: &Fold) -> Option<Retries> {
        let ends = fold.closing().is_some() || fold.cancelled().is_some();
        if ends || fold.retrying() == 0 {
            return None;
        }
        Some(Retries {
            shards: fold.retrying(),
            first_due: fold.next_retry()?.rfc3339(),
            last_due: fold.last_retry()?.rfc3339(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{Story, failed};
    use super::*;

    /// Four pages of one slice, of which one attempt each has failed with these errors.
    fn failing(errors: [&str; 4]) -> Story {
        let mut story = Story::of(1, 4);
        let fence = story.wave(&[(0, 0, 4, 1)]);
        for (page, error) in (0..).zip(errors) {
            story.outcome(7, (0, page), fence, page, failed(error));
        }
        story
    }

    #[test]
    fn errors_of_open_runs_are_counted_by_their_text_and_the_last_comes_first() {
        let story = failing(["busy", "no such file", "busy", "disk full"]);
        let told = Failures::of(&story.fold());
        let errors: Vec<(&str, u64, &str, u32)> = told
            .errors
            .iter()
            .map(|of| {
                let (shard, attempt) = (of.last.shard.as_str(), of.last.attempt);
                (of.error.as_str(), of.failures, shard, attempt)
            })
            .collect();
        let wanted = [
            ("disk full", 1, "0/3", 1),
            ("busy", 2, "0/2", 1),
            ("no such file", 1, "0/1", 1),
        ];
        assert_eq!(errors, wanted);
        assert_eq!((told.more_errors, told.errors[0].alike), (0, true));
        assert_eq!(story.fold().counts().dead, 0);
    }

    #[test]
    fn what_waits_for_another_attempt_is_told_with_the_first_and_the_last_time() {
        let story = failing(["busy"; 4]);
        let retries = Failures::of(&story.fold()).retries.unwrap();
        // The backoff is one second; the records of the outcomes stand a second apart.
        let due = |n: u64| (story.at(2 + n) + std::time::Duration::from_secs(1)).rfc3339();
        let wanted = Retries {
            shards: 4,
            first_due: due(1),
            last_due: due(4),
        };
        assert_eq!(retries, wanted);
    }

    #[test]
    fn run_that_ends_or_has_failed_nowhere_waits_for_no_attempt() {
        assert_eq!(Failures::of(&Story::of(1, 4).fold()), Failures::default());
        let mut story = failing(["busy"; 4]);
        story.cancelled();
        let told = Failures::of(&story.fold());
        assert_eq!((told.retries, told.errors.len()), (None, 1));
    }

    #[test]
    fn so_many_different_errors_are_told_and_the_others_counted() {
        let mut story = Story::of(1, 150);
        let fence = story.wave(&[(0, 0, 150, 1)]);
        for page in 0..150 {
            let error = format!("no file {page}");
            story.outcome(7, (0, page), fence, page, failed(&error));
        }
        let told = Failures::of(&story.fold());
        assert_eq!((told.errors.len(), told.more_errors), (TOLD_MAX, 50));
        assert_eq!(told.errors[0].error, "no file 149");
    }
}
