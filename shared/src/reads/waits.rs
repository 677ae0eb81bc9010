//! What a run waits for, or many of them: asked of the leader, who alone knows.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use super::{queued, workers};
use crate::broker::Broker;
use crate::command::{Answer, Command, Verb};
use crate::id::RunId;
use crate::ledger::summary::RunSummary;
use crate::waiting::Waiting;
use crate::wire;

/// How long a leader is given to answer: it does so within its next round.
const PATIENCE: Duration = Duration::from_millis(700);
/// Runs that it is asked about at once.
const AT_ONCE: usize = 32;
/// What was not answered of many by then is not told.
const OF_MANY: Duration = Duration::from_secs(3);

/// What was said of each run, the first reason first.
pub type Said = HashMap<RunId, Vec<Waiting>>;

/// What the leader says that `run` waits for, the first reason first; nothing for a run that is being
/// served, or is not open. `None` when no leader answers.
pub async fn of(broker: &Broker, run: &RunId) -> Option<Vec<Waiting>> {
    let verb = Verb::Explain;
    let command = Command {
        request: uuid::Uuid::new_v4().as_u64_pair().0.max(1),
        verb,
        run: run.clone(),
        slice: None,
        page: None,
        error_like: None,
    };
    let subject = broker.subjects().command(verb);
    let asked = broker.request(subject, wire::encode(&command), PATIENCE);
    match wire::decode(&asked.await.ok()?.payload).ok()? {
        Answer::Waits { waits } => Some(waits),
        Answer::Done { .. }
        | Answer::Nothing { .. }
        | Answer::Refused { .. }
        | Answer::Misuse { .. } => None,
    }
}

/// As [`of`], of many runs: of those of which the leader has said it. `None` when no leader answers.
pub async fn of_many(broker: &Broker, runs: &[RunId]) -> Option<Said> {
    let Some((first, others)) = runs.split_first() else {
        return Some(Said::new());
    };
    // Where nobody leads it is enough that one of them has waited in vain.
    let waits = of(broker, first).await?;
    let mut said = Said::from([(first.clone(), waits)]);
    let ask = |run: &RunId| asked(broker, run.clone());
    let asks: Vec<_> = others.iter().map(ask).collect();
    let answers = stream::iter(asks).buffer_unordered(AT_ONCE);
    let answers = answers.take_until(sleep(OF_MANY));
    said.extend(
        answers
            .filter_map(std::future::ready)
            .collect::<Said>()
            .await,
    );
    Some(said)
}

async fn asked(broker: &Broker, run: RunId) -> Option<(RunId, Vec<Waiting>)> {
    let waits = of(broker, &run).await?;
    Some((run, waits))
}

/// What those of the listed runs wait for that are open, and first of all that nothing of one has begun where its queue and
/// the workers say so. `None` when no leader answers.
pub async fn of_listed<'r>(
    broker: &Broker,
    listed: impl Iterator<Item = &'r RunSummary>,
) -> Option<Said> {
    let open: Vec<&RunSummary> = listed.filter(|run| !run.state.ended()).collect();
    let names: Vec<RunId> = open.iter().map(|run| run.run.clone()).collect();
    let mut said = of_many(broker, &names).await?;
    let may_lie = |run: &&&RunSummary| {
        let waits = said.get(&run.run);
        queued::has_not_begun(run) && waits.is_some_and(|waits| queued::may_be(waits))
    };
    let may_lie: Vec<&RunSummary> = open.iter().filter(may_lie).copied().collect();
    if may_lie.is_empty() {
        return Some(said);
    }
    let here = workers::roll_call(broker).await.unwrap_or_default();
    for (run, wait) in queued::of_listed(broker, &may_lie, &here).await {
        said.entry(run).or_default().insert(0, wait);
    }
    Some(said)
}
