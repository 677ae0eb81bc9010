//! `gridloom dead list`: shards that used up their attempts, with their last error.

use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::{Fold, Next};
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::tile::TileKind;
use serde::Serialize;

use super::{age, summaries};
use crate::commands::{Context, installation};
use crate::fault::Verdict;
use crate::output::{Align, Table};

/// A dead shard, as `dead list --json` prints it.
#[derive(Serialize)]
struct DeadShard {
    run: RunId,
    job: String,
    kind: TileKind,
    slice: u32,
    page: u32,
    attempts: u32,
    error: String,
    at: String,
}

/// Lists dead shards.
///
/// # Errors
/// When there is no such run, or the broker does not answer.
pub async fn dead(context: &Context, run: Option<RunId>) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let mut dead = Vec::new();
    match &run {
        Some(run) => dead.extend(dead_of(&installation::fold(&broker, run).await?)),
        None => {
            for run in suspects(&broker).await? {
                dead.extend(dead_of(&installation::fold(&broker, &run).await?));
            }
        }
    }
    context.output.show(&dead, |output| {
        if dead.is_empty() {
            output.note("no dead shards");
        }
        for of_run in dead.chunk_by(|one, next| one.run == next.run) {
            output.say(format!("run {}", of_run[0].run));
            output.table(&table(of_run), "");
        }
    });
    Ok(Verdict::Fine)
}

/// Runs that may have dead shards.
async fn suspects(broker: &Broker) -> anyhow::Result<Vec<RunId>> {
    let suspect = |run: &RunSummary| {
        matches!(run.state, RunState::Failed | RunState::Cancelled) || run.shards.dead > 0
    };
    let all = summaries(broker, None).await?;
    let suspects = all.into_iter().filter(suspect);
    Ok(suspects.map(|run| run.run).collect())
}

/// Runs with dead shards that were not given up.
///
/// # Errors
/// When the broker does not answer.
pub async fn with_dead(broker: &Broker) -> anyhow::Result<Vec<RunId>> {
    let mut runs = Vec::new();
    for run in suspects(broker).await? {
        if !dead_of(&installation::fold(broker, &run).await?).is_empty() {
            runs.push(run);
        }
    }
    Ok(runs)
}

fn table(dead: &[DeadShard]) -> Table {
    let mut table = Table::new([
        ("slice", Align::Right),
        ("page", Align::Right),
        ("attempts", Align::Right),
        ("age", Align::Right),
        ("error", Align::Left),
    ]);
    for shard in dead {
        let page = match shard.kind {
            TileKind::Page => shard.page.to_string(),
            TileKind::Probe => format!("probe {}", shard.page),
        };
        table.row([
            shard.slice.to_string(),
            page,
            shard.attempts.to_string(),
            age(Some(&shard.at)),
            shard.error.clone(),
        ]);
    }
    table
}

fn dead_of(fold: &Fold) -> Vec<DeadShard> {
    let dead = fold
        .failed()
        .iter()
        .filter(|(_, failed)| failed.next == Next::Dead && !failed.dropped);
    dead.map(|(cell, failed)| DeadShard {
        run: fold.run().clone(),
        job: fold.run().job().to_owned(),
        kind: cell.kind,
        slice: cell.slice,
        page: cell.page,
        attempts: failed.attempts,
        error: failed.error.clone(),
        at: failed.at.rfc3339(),
    })
    .collect()
}
