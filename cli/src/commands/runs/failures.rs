//! What of a run has failed so far, for people: what waits for another attempt, and the errors.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::reads::failures::{FailedAlike, Failures, Retries};

use super::{age, unix_ms};
use crate::output::{Align, Output, Table, counted, grouped, spoken};

/// Different errors that people are shown.
const SHOWN: usize = 10;

/// What waits for another attempt, and until when.
pub(super) fn waiting(retries: &Retries) -> String {
    let first = due(&retries.first_due);
    match retries.shards {
        1 => format!("1 shard waits for its next attempt, due {first}"),
        many => format!(
            "{} wait for their next attempt, the first due {first}, the last {}",
            counted(many, "shard"),
            due(&retries.last_due)
        ),
    }
}

/// When something is due, as `in 4.2 s (2013-01-01T05:00:00.000Z)`.
pub(super) fn due(at: &str) -> String {
    let left = unix_ms(at).map(|at| at.saturating_sub(UnixMs::now().0));
    match left {
        None | Some(0) => format!("since {at}"),
        Some(left) => format!(
            "in {} ({at})",
            spoken(std::time::Duration::from_millis(left))
        ),
    }
}

/// Prints the last errors, and where to look further.
pub(super) fn show(output: &Output, run: &RunId, failures: &Failures) {
    let Some(last) = failures.errors.first() else {
        return;
    };
    output.say("");
    output.table(&table(failures), "");
    let more = failures.errors.len().saturating_sub(SHOWN) as u64 + failures.more_errors;
    if more > 0 {
        output.note(format!(
            "{}; see them with --json",
            counted(more, "more error")
        ));
    }
    output.note(format!(
        "shard, attempt and age are those of the last failure; see all attempts of a shard with gridloom show {run} --shard {}",
        last.last.shard
    ));
}

fn table(failures: &Failures) -> Table {
    let mut table = Table::new([
        ("failed", Align::Right),
        ("shard", Align::Right),
        ("attempt", Align::Right),
        ("age", Align::Right),
        ("error", Align::Left),
    ]);
    for of in failures.errors.iter().take(SHOWN) {
        table.row([
            grouped(of.failures),
            of.last.shard.clone(),
            match of.last.held {
                true => format!("{}, does not count", of.last.attempt),
                false => of.last.attempt.to_string(),
            },
            age(Some(&of.last.at)),
            error(of),
        ]);
    }
    table
}

fn error(of: &FailedAlike) -> String {
    match of.alike {
        true => of.error.clone(),
        false => format!("different errors, the last: {}", of.error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gridloom_shared::reads::failures::LastFailure;
    use gridloom_shared::tile::TileKind;

    use super::*;

    fn retries(shards: u64, first: UnixMs, last: UnixMs) -> Retries {
        Retries {
            shards,
            first_due: first.rfc3339(),
            last_due: last.rfc3339(),
        }
    }

    #[test]
    fn what_waits_is_told_with_until_when() {
        let (past, late) = (UnixMs(0), UnixMs::now() + Duration::from_secs(7_300));
        let one = waiting(&retries(1, late, late));
        assert!(
            one.starts_with("1 shard waits for its next attempt, due in 2 h 1 min ("),
            "{one}"
        );
        let many = waiting(&retries(1_200, past, late));
        assert!(
            many.starts_with("1,200 shards wait for their next attempt, the first due since 1970-01-01T00:00:00.000Z, the last in 2 h 1 min ("),
            "{many}"
        );
    }

    #[test]
    fn errors_stand_below_each_other_with_where_they_came_up_last() {
        let failed = |error: &str, failures, shard: &str, alike| FailedAlike {
            error: error.to_owned(),
            failures,
            alike,
            last: LastFailure {
                kind: TileKind::Page,
                slice: 0,
                page: 0,
                shard: shard.to_owned(),
                attempt: 1,
                held: failures == 3,
                at: UnixMs::now().rfc3339(),
            },
        };
        let failures = Failures {
            errors: vec![
                failed("disk full", 1_200, "0/17", true),
                failed("no file 9", 3, "1/2", false),
            ],
            ..Failures::default()
        };
        assert_eq!(
            table(&failures).render(None),
            "FAILED  SHARD            ATTEMPT  AGE  ERROR\n \
             1,200   0/17                  1  0 s  disk full\n     \
             3    1/2  1, does not count  0 s  different errors, the last: no file 9"
        );
    }
}
