//! `gridloom dead retry`, `dead drop`: which dead shards of which runs are meant, and whether somebody
//! really wants it. What is given up is not listed again, so nothing is done before its extent was shown.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use gridloom_shared::broker::Broker;
use gridloom_shared::command::Verb;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::reads::dead::{self, OfRun};
use gridloom_shared::reads::{LeftOut, runs};

use super::kept::{Changed, Jobs};
use super::{Outcome, carry_out, command};
use crate::args::{Chosen, DeadOf};
use crate::commands::{installation, log, wanted};
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Output, counted};

/// Orders that are under way at once; the planner takes a thousand.
const AT_ONCE: usize = 32;
/// Runs that are named before the question.
const NAMED: usize = 10;

/// What an order would concern.
#[derive(Debug, Default)]
struct Extent {
    /// Each with its number of dead shards that are meant.
    runs: Vec<(RunId, u64)>,
    /// Of those that are tried again, whose job was changed since.
    changed: BTreeMap<RunId, Changed>,
    left_out: Vec<LeftOut>,
}

impl Extent {
    async fn of(broker: &Broker, verb: Verb, which: &Chosen) -> anyhow::Result<Extent> {
        let mut extent = Extent::default();
        let chosen = verb.chosen(which.slice, which.page, which.error_like.as_deref());
        let jobs = match verb {
            Verb::Retry => Jobs::now(broker).await?,
            _ => Jobs::default(),
        };
        if let Some(run) = &which.run {
            let fold = runs::fold(broker, run).await?;
            extent.add(&fold, fold.count_of(&chosen), &jobs);
            return Ok(extent);
        }
        let mut all = dead::list(broker, which.job.as_ref(), &chosen).await?;
        while let Some(of_run) = all.try_next().await? {
            match of_run {
                OfRun::Dead(fold) => {
                    extent.add(&fold, fold.count_of(&chosen), &jobs);
                }
                OfRun::LeftOut(run) => extent.left_out.push(run),
            }
        }
        Ok(extent)
    }

    fn add(&mut self, fold: &Fold, dead: u64, jobs: &Jobs) {
        if dead == 0 {
            return;
        }
        let run = fold.run();
        self.runs.push((run.clone(), dead));
        if let Some(changed) = jobs.changed_since(fold) {
            self.changed.insert(run.clone(), changed);
        }
    }

    /// Says of each job once that its runs go on by an earlier one.
    fn say_changed(&self, output: &Output) {
        let mut told = BTreeSet::new();
        for (run, changed) in &self.changed {
            if told.insert(run.job()) {
                output.note(changed.words(&format!("run {run} keeps")));
            }
        }
    }

    /// `12 dead shards of 3 runs`.
    fn words(&self) -> String {
        let shards = self.runs.iter().map(|(_, dead)| dead).sum();
        let shards = counted(shards, "dead shard");
        match &self.runs[..] {
            [(run, _)] => format!("{shards} of run {run}"),
            runs => format!("{shards} of {}", counted(runs.len() as u64, "run")),
        }
    }

    fn say(&self, output: &Output) {
        output.note(self.words());
        if self.runs.len() == 1 {
            return;
        }
        for (run, dead) in self.runs.iter().take(NAMED) {
            output.note(format!("  {run}: {}", counted(*dead, "dead shard")));
        }
        let more = self.runs.len().saturating_sub(NAMED) as u64;
        if more > 0 {
            output.note(format!(
                "  and {} more; gridloom dead list shows them all",
                counted(more, "run")
            ));
        }
    }
}

/// Retries or drops the dead shards that were chosen.
///
/// # Errors
/// When none were chosen, nobody can be asked, there is no such run, no planner that answers, or no broker.
pub async fn dead(context: &Context, verb: Verb, of: DeadOf) -> anyhow::Result<Verdict> {
    let what = verb.as_str();
    if let Some(fault) = of.chosen.fault() {
        return Err(Misuse::error(fault));
    }
    if !of.is_choice() {
        return Err(Misuse::error(format!(
            "say which dead shards to {what}: gridloom dead {what} RUN, --job, --error-like or --all (--slice is one of RUN, or of --job); gridloom dead list takes the same and changes nothing"
        )));
    }
    let broker = context.ask().await?;
    let extent = Extent::of(&broker, verb, &of.chosen).await?;
    if extent.runs.is_empty() {
        if let Some(job) = &of.chosen.job {
            installation::check_job(&broker, job).await?;
        }
        return nothing(context, &of.chosen, &extent);
    }
    if !of.yes {
        extent.say(&context.output);
        extent.say_changed(&context.output);
        if !is_wanted(context, verb, &extent)? {
            context.output.note("nothing was done");
            return Ok(Verdict::Failed);
        }
    }
    let order = format!("dead {what}");
    let meant = of_chosen(&of.chosen);
    log::mention(&broker, &order, &meant, &extent.words()).await;
    let (outcomes, ended) = all_of(context, &broker, verb, (&of.chosen, &extent)).await;
    // What was done is told also where the rest could not be.
    context.output.show(&outcomes, |output| {
        outcomes.iter().for_each(|outcome| outcome.say(output));
        if of.yes {
            extent.say_changed(output);
        }
    });
    context.output.left_out(&extent.left_out);
    ended?;
    let refused = outcomes
        .iter()
        .any(|outcome| outcome.verdict() != Verdict::Fine);
    Ok(if refused {
        Verdict::Failed
    } else {
        Verdict::Fine
    })
}

/// The run or job that is named, for the record.
fn of_chosen(which: &Chosen) -> String {
    let run = which.run.as_ref().map(ToString::to_string);
    let job = || which.job.as_ref().map(ToString::to_string);
    run.or_else(job).unwrap_or_default()
}

/// No dead shard is meant. Whoever named one was wrong.
fn nothing(context: &Context, which: &Chosen, extent: &Extent) -> anyhow::Result<Verdict> {
    if let (Some(run), Some(slice)) = (&which.run, which.slice) {
        let page = which
            .page
            .map_or_else(String::new, |page| format!("page {page} of "));
        return Err(Misuse::error(format!(
            "no shard of {page}slice {slice} of run {run} is dead; gridloom dead list {run} shows those that are"
        )));
    }
    context
        .output
        .show(&[(); 0], |output| output.note("no dead shards"));
    context.output.left_out(&extent.left_out);
    Ok(Verdict::Fine)
}

/// Asks at a terminal. A program has to say `--yes`.
fn is_wanted(context: &Context, verb: Verb, extent: &Extent) -> anyhow::Result<bool> {
    let what = verb.as_str();
    let (question, all) = (
        format!("{what} them?"),
        format!("{what} {}", extent.words()),
    );
    wanted::is_wanted(context, &question, &all)
}

/// The order for each run, in their order, up to the first that cannot be given. A run that is gone by now
/// is none of the others' business.
async fn all_of(
    context: &Context,
    broker: &Broker,
    verb: Verb,
    (which, extent): (&Chosen, &Extent),
) -> (Vec<Outcome>, anyhow::Result<()>) {
    let named = which.run.is_some();
    let orders = extent.runs.iter().map(|(run, dead)| async move {
        let done = of_run(context, broker, verb, (run, which, *dead)).await;
        let done = done.map(|outcome| Outcome {
            changed: extent.changed.get(run).cloned(),
            ..outcome
        });
        match done {
            Err(error) if !named => match error.downcast::<Misuse>() {
                Ok(Misuse(reason)) => Ok(Outcome {
                    run: run.clone(),
                    order: verb.as_str(),
                    outcome: "nothing",
                    shards: 0,
                    reason: Some(reason),
                    ended: None,
                    changed: None,
                }),
                Err(error) => Err(error),
            },
            done => done,
        }
    });
    let mut orders = stream::iter(orders).buffered(AT_ONCE);
    let mut outcomes = Vec::new();
    while let Some(outcome) = orders.next().await {
        match outcome {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => return (outcomes, Err(error)),
        }
    }
    (outcomes, Ok(()))
}

/// The order for one run. One record names a bounded number of shards: it is asked for until all that were
/// shown are done.
async fn of_run(
    context: &Context,
    broker: &Broker,
    verb: Verb,
    (run, which, dead): (&RunId, &Chosen, u64),
) -> anyhow::Result<Outcome> {
    let mut all = carry_out(context, broker, command(verb, run, which)).await?;
    let mut last = all.shards;
    while last > 0 && all.shards < dead {
        let next = match carry_out(context, broker, command(verb, run, which)).await {
            // Somebody else was faster with the rest.
            Err(error) if error.is::<Misuse>() => break,
            next => next?,
        };
        last = next.shards;
        all.shards += last;
    }
    Ok(all)
}
