//! `gridloom runs`, `show`, `audit`, `dead list`: what the ledgers of runs say.
//!
//! What they say is read in [`gridloom_shared::reads`]; here it is only shown.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::reads;
use gridloom_shared::reads::failures::Failures;
use gridloom_shared::waiting::Waiting;
use serde::Serialize;

use super::{Context, installation};
use crate::args;
use crate::fault::Verdict;
use crate::output::{Align, Table, counted, grouped, grouped_digits, spoken};

mod audit;
mod dead;
mod failures;
mod shard;

pub use audit::{audit, show_report};
pub use dead::dead;

/// Workers whose trouble is shown.
const TROUBLES: usize = 3;

/// Lists runs, the newest first.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(context: &Context, flags: &args::Runs) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let listed = reads::runs::list(&broker, flags.job.as_ref(), flags.limit).await?;
    if let Some(job) = &flags.job
        && listed.runs.is_empty()
        && listed.left_out.is_empty()
        && reads::jobs::get(&broker, job).await?.is_none()
    {
        return Err(installation::no_such_job(&broker, job).await);
    }
    context.output.show(&listed.runs, |output| {
        let mut table = Table::new([
            ("run", Align::Left),
            ("state", Align::Left),
            ("shards", Align::Left),
            ("age", Align::Right),
            ("took", Align::Right),
        ]);
        for run in &listed.runs {
            table.row([
                run.run.to_string(),
                run.state.as_str().to_owned(),
                standing(run),
                age(run.opened_at.as_deref()),
                took(run).unwrap_or_default(),
            ]);
        }
        output.table(
            &table,
            "no runs yet; start one with gridloom run JOB --wait",
        );
        if listed.more > 0 {
            output.note(format!(
                "{} more; see them with --limit",
                counted(listed.more, "older run")
            ));
        }
    });
    context.output.left_out(&listed.left_out);
    Ok(Verdict::Fine)
}

/// `1,000`, or how many of them and what became of the others.
fn standing(run: &RunSummary) -> String {
    let (done, all) = (run.shards.done, run.grid.shards);
    let dead = match run.shards.dead {
        0 => String::new(),
        dead => format!(", {} dead", grouped(dead)),
    };
    if done == all {
        grouped(all)
    } else {
        format!("{} of {}{dead}", grouped(done), grouped(all))
    }
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
    let (summary, failures) = reads::runs::standing(&broker, run).await?;
    let waits = match summary.state.ended() {
        true => Some(Vec::new()),
        false => reads::waits::of(&broker, run).await,
    };
    // Held or waiting for a retry: it may be for want of something.
    let troubles = match waits.as_ref().is_some_and(|waits| !waits.is_empty()) {
        true => troubles(&broker).await,
        false => Vec::new(),
    };
    let details = RunDetails {
        summary,
        failures,
        troubles,
        planner_answers: waits.is_some(),
        waits: waits.unwrap_or_default(),
    };
    context.output.show(&details, |output| {
        let summary = &details.summary;
        output.say(facts(&details).render(None));
        failures::show(output, run, &details.failures);
        if summary.shards.dead > 0 {
            output.note(format!(
                "see the errors of dead shards with gridloom dead list {run}"
            ));
        }
    });
    Ok(Verdict::Fine)
}

/// What workers lack, as they say: it may be what a shard asked to wait for.
pub(super) async fn troubles(broker: &Broker) -> Vec<String> {
    let workers = reads::workers::roll_call(broker).await.unwrap_or_default();
    let troubled = workers.iter().filter(|it| !it.trouble.is_empty());
    let said = troubled.map(|it| format!("{} on worker {}", it.trouble, it.worker));
    said.take(TROUBLES).collect()
}

/// A run, as `show --json` prints it.
#[derive(Serialize)]
struct RunDetails {
    #[serde(flatten)]
    summary: RunSummary,
    #[serde(flatten)]
    failures: Failures,
    /// What it waits for, the first reason first.
    waits: Vec<Waiting>,
    /// What workers lack meanwhile, where a shard asked to wait.
    troubles: Vec<String>,
    /// Whether that is known.
    planner_answers: bool,
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
        table.fact(
            "waits for",
            "no planner answers; start one with gridloom planner",
        );
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
    let time = |at: &Option<String>| at.clone().unwrap_or_else(|| "-".to_owned());
    table.fact("scheduled", time(&run.scheduled_at));
    table.fact("opened", time(&run.opened_at));
    table.fact("closed", time(&run.closed_at));
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

fn shards(run: &RunSummary) -> String {
    let shards = &run.shards;
    let mut parts = vec![
        format!("{} planned", grouped(shards.planned)),
        format!("{} done", grouped(shards.done)),
    ];
    if shards.dead > 0 {
        parts.push(format!("{} dead", grouped(shards.dead)));
    }
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

/// How long ago `at` was, as `4 min`.
fn age(at: Option<&str>) -> String {
    let Some(at) = at.and_then(unix_ms) else {
        return String::new();
    };
    match UnixMs::now().0.saturating_sub(at) / 1_000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds => spoken(Duration::from_secs(seconds)),
    }
}

/// How long a run took that is over.
fn took(run: &RunSummary) -> Option<String> {
    let (from, to) = (
        unix_ms(run.opened_at.as_deref()?)?,
        unix_ms(run.closed_at.as_deref()?)?,
    );
    Some(spoken(Duration::from_millis(to.saturating_sub(from))))
}

fn unix_ms(text: &str) -> Option<u64> {
    let at =
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

fn grouped_signed(number: i128) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!(
        "{sign}{}",
        grouped_digits(&number.unsigned_abs().to_string())
    )
}
