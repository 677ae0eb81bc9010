//! `gridloom dead list`: shards that used up their attempts, with their last error.

use futures_util::TryStreamExt;
use gridloom_shared::ledger::fold::{self, Fold};
use gridloom_shared::reads::dead::{self, DeadShard, OfRun};
use gridloom_shared::reads::runs;
use gridloom_shared::tile::TileKind;

use super::age;
use crate::args::Chosen;
use crate::commands::installation;
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Align, List, Output, Table, counted};

/// Shards of one run that people are shown: a table is laid out as a whole.
const SHOWN: usize = 1_000;

/// Lists dead shards.
///
/// # Errors
/// When there is no such run, or the broker does not answer.
pub async fn dead(context: &Context, which: &Chosen) -> anyhow::Result<Verdict> {
    if let Some(fault) = which.fault() {
        return Err(Misuse::error(fault));
    }
    let broker = context.ask().await?;
    let output = &context.output;
    let mut list = output.list();
    let mut left_out = Vec::new();
    let mut is_any = false;
    let chosen = fold::Chosen {
        slice: which.slice,
        page: which.page,
        error_like: which.error_like.clone(),
        given_up: false,
    };
    if let Some(run) = &which.run {
        let fold = runs::fold(&broker, run).await?;
        show(output, &mut list, (&fold, &chosen));
    } else {
        let mut all = dead::list(&broker, which.job.as_ref(), &chosen).await?;
        while let Some(of_run) = all.try_next().await? {
            match of_run {
                OfRun::Dead(fold) => {
                    is_any = true;
                    show(output, &mut list, (&fold, &chosen));
                }
                OfRun::LeftOut(run) => left_out.push(run),
            }
        }
    }
    if let Some(job) = which.job.as_ref().filter(|_| !is_any) {
        installation::check_job(&broker, job).await?;
    }
    list.end("no dead shards");
    output.left_out(&left_out);
    Ok(Verdict::Fine)
}

fn show(output: &Output, list: &mut List, (fold, chosen): (&Fold, &fold::Chosen)) {
    let mut shards = dead::shards(fold, chosen);
    if output.is_json() {
        return shards.for_each(|shard| list.item(&shard));
    }
    let shown: Vec<DeadShard> = shards.by_ref().take(SHOWN).collect();
    if shown.is_empty() {
        return;
    }
    list.say(format!("run {}", fold.run()));
    output.table(&table(&shown), "");
    let more = fold.count_of(chosen) - shown.len() as u64;
    if more > 0 {
        let more = counted(more, "dead shard");
        output.note(format!("{more} more of this run; see them with --json"));
    }
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
