//! A run that was asked for by hand and waits until others of its job are over.

use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::reads::by_hand::{self, WaitingRun};

use super::age;
use crate::context::Context;
use crate::fault::Verdict;
use crate::output::Table;

/// Its cells in the list of runs.
pub(super) fn cells(waits: &WaitingRun) -> [String; 5] {
    [
        waits.run.to_string(),
        waits.state.to_owned(),
        waits.words(),
        age(Some(&waits.asked_at)),
        String::new(),
    ]
}

/// Shows it. `None`: it does not wait any more.
pub(super) async fn show(
    context: &Context,
    broker: &Broker,
    run: &RunId,
) -> anyhow::Result<Option<Verdict>> {
    let Some(waits) = by_hand::of(broker, run).await? else {
        return Ok(None);
    };
    context.output.show(&waits, |output| {
        let mut table = Table::facts();
        table.fact("run", waits.run.as_str());
        table.fact("job", waits.job.as_str());
        table.fact("state", waits.state);
        table.fact("waits", waits.words());
        table.fact("overlap", waits.overlap);
        table.fact("asked for", waits.asked_at.as_str());
        output.say(table.render(None));
        output.note(format!("gridloom cancel {run} drops it"));
    });
    Ok(Some(Verdict::Fine))
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::JobName;

    use super::*;

    #[test]
    fn one_that_waits_is_told_with_what_it_waits_for() {
        let mut waits = WaitingRun {
            run: RunId::new("a_s_2").unwrap(),
            job: JobName::new("a").unwrap(),
            state: "waiting",
            overlap: "queue_all",
            asked_at: gridloom_shared::clock::UnixMs::now().rfc3339(),
            waits_for: RunId::new("a_s_1").ok(),
            cancelled_by: None,
        };
        assert_eq!(
            cells(&waits),
            ["a_s_2", "waiting", "for a_s_1 to be over", "0 s", ""]
        );
        waits.waits_for = None;
        assert_eq!(waits.words(), "for a planner to decide");
        waits.cancelled_by = Some("ada".to_owned());
        assert!(waits.words().starts_with("cancelled by ada"));
    }
}
