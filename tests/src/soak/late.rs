//! Decides what an execution is that began after its run was judged. By then the run was over for seconds, and the records
//! that would tell of a second execution are read no more.
//!
//! A process that stood still between the look at its lease and the start of a handler begins when it wakes, and nobody can
//! keep it from that (docs/GUARANTEES.md). Nothing else explains one.

use std::time::Duration;

use crate::oracle::overlap::{Execution, Lives};

/// So soon after it wakes a process begins what it was about to begin, on a busy machine.
const AWAKE: Duration = Duration::from_secs(1);

/// Whether it is explained; what is wrong with it where it is not.
pub fn judge(run: &str, execution: &Execution, lives: &Lives) -> Result<(), String> {
    let awake = AWAKE.as_micros() as u64;
    let spans = lives.frozen.get(&execution.pid).into_iter().flatten();
    let mut woke = spans.map(|(begun, ended)| *begun..ended.saturating_add(awake));
    if woke.any(|span| span.contains(&execution.start)) {
        return Ok(());
    }
    Err(format!(
        "run {run} was over and judged, and a shard of it was begun again: {execution:?}"
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use gridloom_shared::ledger::fold::Cell;
    use gridloom_shared::tile::TileKind;

    use super::*;

    fn begun(pid: u32, start: u64) -> Execution {
        Execution {
            pid,
            cell: Cell {
                kind: TileKind::Page,
                slice: 0,
                page: 0,
            },
            attempt: 1,
            fence: 7,
            start,
            end: start + 5,
            how: "done".to_owned(),
        }
    }

    #[test]
    fn shard_that_is_begun_again_after_its_run_was_judged_is_a_breach_unless_its_process_just_woke()
    {
        let lives = Lives {
            frozen: HashMap::from([(7, vec![(1_000_000, 9_000_000)])]),
            ..Lives::default()
        };
        for (pid, start, explained) in [
            (7, 9_500_000, true),
            (7, 1_000_001, true),
            (7, 11_000_000, false),
            (7, 999_999, false),
            (8, 9_500_000, false),
        ] {
            let found = judge("a_s_1", &begun(pid, start), &lives);
            assert_eq!(found.is_ok(), explained, "{pid} {start}");
        }
    }
}
