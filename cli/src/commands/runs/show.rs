//! `gridloom show RUN`: how one run stands, what it waits for, what has failed, and who is at what for how long.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads;
use gridloom_shared::reads::RunError;
use gridloom_shared::reads::failures::Failures;
use gridloom_shared::reads::held::{self, HeldShard};
use gridloom_shared::waiting::Waiting;
use serde::Serialize;

use super::{dead_hint, dead_words, failures, grouped_signed, odd, shard, took, troubles, waiting};
use crate::args;
use crate::commands::installation;
use crate::context::Context;
use crate::fault::Verdict;
use crate::output::{Table, counted, grouped};

/// A run, as `show --json` prints it.
#[derive(Serialize)]
struct RunDetails {
    #[serde(flatten)]
    summary: RunSummary,
    #[serde(flatten)]
    failures: Failures,
    /// What it waits for, the first reason first.
    waits: Vec<Waiting>,
    /// What workers of its queue that have its handler lack meanwhile, where a shard asked to wait.
    troubles: Vec<String>,
    /// The shards that workers hold longest.
    longest: Vec<HeldShard>,
    /// When it has to be over, as its schedule says (RFC 3339).
    #[serde(rename = "deadline", skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    /// Whether it was not over by then.
    overdue: bool,
    /// Whether it is known what it waits for.
    planner_answers: bool,
    /// Why that is not known.
    #[serde(skip)]
    nobody_leads: String,
}

/// Shows one run, or one shard of it.
///
/// # Errors
/// When there is none, or the broker does not answer.
pub async fn show(context: &Context, flags: &args::Show) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let run = &flags.run;
    if let Some(cell) = flags.shard {
        return shard::show(context, &broker, (run, cell)).await;
    }
    let (summary, fold) = match reads::runs::standing(&broker, run).await {
        Err(error @ RunError::Waiting { .. }) => {
            let shown = waiting::show(context, &broker, run).await?;
            return shown.ok_or_else(|| error.into());
        }
        standing => standing?,
    };
    let ended = summary.state.ended();
    let waits = match ended {
        true => Some(Vec::new()),
        false => reads::waits::of(&broker, run).await,
    };
    let here: Vec<Presence> = match ended {
        true => Vec::new(),
        false => reads::workers::roll_call(&broker).await.unwrap_or_default(),
    };
    // Held or waiting for a retry: it may be for want of something.
    let troubles = match (waits.as_ref(), fold.opening()) {
        (Some(waits), Some(opening)) if !waits.is_empty() => troubles(&here, &opening.record.job),
        _ => Vec::new(),
    };
    let nobody_leads = match waits {
        Some(_) => String::new(),
        None => installation::nobody_leads(&broker).await,
    };
    let longest = held::longest(&broker, &fold, &here).await;
    let planner_answers = waits.is_some();
    let waits = (&fold, waits.unwrap_or_default());
    let waits = reads::queued::with(&broker, waits, &here, &longest).await;
    let due = reads::fires::due(&broker, run).await?.map(UnixMs::rfc3339);
    let closed_at = summary.closed_at.clone();
    let details = RunDetails {
        failures: Failures::of(&fold),
        summary,
        troubles,
        longest,
        planner_answers,
        waits,
        nobody_leads,
        overdue: due
            .as_deref()
            .is_some_and(|due| is_late(due, closed_at.as_deref())),
        due,
    };
    context.output.show(&details, |output| {
        let summary = &details.summary;
        output.say(facts(&details).render(None));
        failures::show(output, run, &details.failures);
        if let Some(odd) = odd::hint(summary) {
            output.note(odd);
        }
        if summary.shards.is_anything_dead() {
            output.note(dead_hint(run));
        }
    });
    Ok(Verdict::Fine)
}

fn facts(details: &RunDetails) -> Table {
    let run = &details.summary;
    let mut table = Table::facts();
    table.fact("run", run.run.as_str());
    table.fact("job", format!("{} on queue {}", run.job, run.queue));
    let took = took(run).map_or_else(String::new, |took| format!(", took {took}"));
    table.fact("state", format!("{}{took}", run.state.as_str()));
    if let Some(error) = &run.error {
        table.fact("error", error);
    }
    if !details.planner_answers {
        table.fact("waits for", &details.nobody_leads);
    }
    // The ledger says more of what waits for a retry than the planner does.
    let is_told = |waiting: &&Waiting| {
        details.failures.retries.is_some() && matches!(waiting, Waiting::Retry { .. })
    };
    for waiting in details.waits.iter().filter(|waiting| !is_told(waiting)) {
        table.fact("waits for", waiting.to_string());
    }
    if let Some(retries) = &details.failures.retries {
        table.fact("retries", failures::waiting(retries));
    }
    for trouble in &details.troubles {
        table.fact("trouble", trouble);
    }
    for held in &details.longest {
        table.fact("at work", super::held::words(held));
    }
    let time = |at: &Option<String>| at.clone().unwrap_or_else(|| "-".to_owned());
    table.fact("scheduled", time(&run.scheduled_at));
    table.fact("opened", time(&run.opened_at));
    table.fact("closed", time(&run.closed_at));
    if let Some(due) = &details.due {
        table.fact("deadline", deadline(due, run.closed_at.as_deref()));
    }
    let slices = counted(run.grid.slices.into(), "slice");
    table.fact(
        "grid",
        format!("{slices}, {}", counted(run.grid.shards, "shard")),
    );
    table.fact("shards", shards(run));
    table.fact("repeats", repeats(run));
    table.fact("rows", grouped_signed(run.rows));
    for (name, value) in &run.counters {
        table.fact(name, grouped_signed(*value));
    }
    table
}

/// When it has to be over, and whether it was: moments are texts in order.
fn deadline(due: &str, closed_at: Option<&str>) -> String {
    let missed = match (is_late(due, closed_at), closed_at) {
        (false, _) => "",
        (true, Some(_)) => ", it was over later",
        (true, None) => ", and it is not over",
    };
    format!("{due}{missed}")
}

fn is_late(due: &str, closed_at: Option<&str>) -> bool {
    let now = UnixMs::now().rfc3339();
    closed_at.unwrap_or(&now) > due
}

fn shards(run: &RunSummary) -> String {
    let shards = &run.shards;
    let mut parts = vec![
        format!("{} planned", grouped(shards.planned)),
        format!("{} done", grouped(shards.done)),
    ];
    parts.extend(dead_words(shards));
    if !run.state.ended() {
        parts.push(format!("{} outstanding", grouped(shards.outstanding)));
    }
    parts.join(", ")
}

fn repeats(run: &RunSummary) -> String {
    let shards = &run.shards;
    format!(
        "{} retried, {} taken over, {} late",
        grouped(shards.retried),
        grouped(shards.taken_over),
        grouped(shards.late)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_overdue_that_was_over_later_or_is_not_over() {
        let (before, due, after) = (
            "2026-03-01T05:00:00.000Z",
            "2026-03-01T06:00:00.000Z",
            "2026-03-01T07:00:00.000Z",
        );
        let later = (UnixMs::now() + std::time::Duration::from_secs(60)).rfc3339();
        for (due, closed, late) in [
            (due, Some(before), false),
            (due, Some(after), true),
            (due, None, true),
            (later.as_str(), None, false),
        ] {
            assert_eq!(is_late(due, closed), late, "{due} {closed:?}");
            assert_eq!(deadline(due, closed) != due, late);
        }
    }
}
