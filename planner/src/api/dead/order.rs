//! Retries dead shards or gives them up, those of one run or of all that are meant: first it can be asked how many
//! those are.

use axum::Json;
use axum::extract::State;
use gridloom_shared::broker::Broker;
use gridloom_shared::command::Verb;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::fold::Fold;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::ask::Body;
use super::super::link::{Api, Linked};
use super::super::log::Hand;
use super::super::problem::{Answer, Kind, Problem};
use super::super::runs::order::{Became, Ordered, give};

/// Runs that one order concerns at most.
const RUNS_MAX: usize = 10_000;
/// Runs that are named in an answer.
const NAMED: usize = 1_000;

/// Which dead shards. Something has to be named; `all` for all of them.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WhichDead)]
pub(in super::super) struct Which {
    /// Of this job.
    job: Option<JobName>,
    /// Of this run.
    run: Option<RunId>,
    /// Of this slice of the run.
    slice: Option<u32>,
    /// This page of the slice.
    page: Option<u32>,
    /// Whose last error holds this.
    #[schema(min_length = 1)]
    error: Option<String>,
    /// All of them.
    #[serde(default)]
    all: bool,
    /// Count them, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What became of an order of dead shards, or would.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in super::super) struct DeadOrdered {
    /// Whether nothing was done.
    dry_run: bool,
    /// How many runs it concerns.
    runs: usize,
    /// How many dead shards.
    shards: u64,
    /// Run by run, the first of them: where an order failed, or a planner refused it, with its reason.
    of_runs: Vec<Ordered>,
}

impl Which {
    fn check(&self) -> Answer<()> {
        let refused = |detail: &str| Err(Problem::new(Kind::Refused, detail));
        let is_some = self.job.is_some() || self.run.is_some() || self.error.is_some();
        match self {
            _ if self.error.as_deref() == Some("") => refused("error: is empty"),
            _ if self.all && (is_some || self.slice.is_some()) => {
                refused("all: goes with nothing else")
            }
            _ if self.page.is_some() && self.slice.is_none() => {
                refused("page: is one of a slice; name that too")
            }
            _ if self.slice.is_some() && self.run.is_none() => {
                refused("slice: is one of a run; name that too")
            }
            _ if !self.all && !is_some => refused(
                "say which dead shards are meant: run, job or error, or all: true for all of them",
            ),
            _ => Ok(()),
        }
    }

    fn words(&self) -> String {
        let part = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
        let parts = [
            part("job", self.job.as_ref().map(ToString::to_string)),
            part("slice", self.slice.map(|slice| slice.to_string())),
            part("page", self.page.map(|page| page.to_string())),
            part("error", self.error.clone()),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// The runs with dead shards that are meant, each with how many those are.
    async fn extent(&self, api: &Api, broker: &Broker, verb: Verb) -> Answer<Vec<(RunId, u64)>> {
        let chosen = verb.chosen(self.slice, self.page, self.error.as_deref());
        let suspects = match &self.run {
            Some(run) => Vec::from([run.clone()]),
            None => self.suspects(api).await?,
        };
        let mut extent = Vec::new();
        for run in suspects {
            let count = |fold: &Fold| fold.count_of(&chosen);
            match api.folds.look(broker, &run, count).await {
                Ok(0) => {}
                Ok(count) => extent.push((run, count)),
                Err(error) if self.run.is_some() || !error.is_of_the_run() => {
                    return Err(error.into());
                }
                // What happens to every run in the end, or can be told of nowhere.
                Err(_) => {}
            }
        }
        Ok(extent)
    }

    async fn suspects(&self, api: &Api) -> Answer<Vec<RunId>> {
        let is_meant = |run: &RunId| {
            self.job
                .as_ref()
                .is_none_or(|job| run.job() == job.as_str())
        };
        let found = api.runs.look(|runs| {
            let dead = runs.behind(None).filter(|(_, row)| row.dead > 0);
            let runs = dead.map(|((_, run), _)| run.clone()).filter(is_meant);
            runs.take(RUNS_MAX + 1).collect::<Vec<RunId>>()
        });
        match found.await? {
            found if found.len() > RUNS_MAX => Err(Problem::new(
                Kind::Refused,
                format!("more than {RUNS_MAX} runs are meant: name a job"),
            )),
            found => Ok(found),
        }
    }
}

/// Tries dead shards again, by the job as it was when each run was opened. With dry_run it says how many those are.
#[utoipa::path(post, path = "/dead/retry", tag = "dead letters", operation_id = "retry_dead", request_body = Which,
    responses((status = 200, body = DeadOrdered)))]
pub(in super::super) async fn retry(
    State(api): State<Api>,
    Linked(broker): Linked,
    hand: Hand,
    Body(which): Body<Which>,
) -> Answer<Json<DeadOrdered>> {
    order(&api, &broker, &hand, (Verb::Retry, which)).await
}

/// Gives dead shards up: they are listed no more. With dry_run it says how many those are.
#[utoipa::path(post, path = "/dead/drop", tag = "dead letters", operation_id = "drop_dead", request_body = Which,
    responses((status = 200, body = DeadOrdered)))]
pub(in super::super) async fn drop(
    State(api): State<Api>,
    Linked(broker): Linked,
    hand: Hand,
    Body(which): Body<Which>,
) -> Answer<Json<DeadOrdered>> {
    order(&api, &broker, &hand, (Verb::Drop, which)).await
}

async fn order(
    api: &Api,
    broker: &Broker,
    hand: &Hand,
    (verb, which): (Verb, Which),
) -> Answer<Json<DeadOrdered>> {
    which.check()?;
    let extent = which.extent(api, broker, verb).await?;
    let mut ordered = DeadOrdered {
        dry_run: which.dry_run,
        runs: extent.len(),
        ..DeadOrdered::default()
    };
    let of = which
        .run
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    if !which.dry_run && !extent.is_empty() {
        let what = format!("dead {}", verb.as_str());
        hand.orders(broker, &what, &of, &which.words()).await?;
    }
    for (run, dead) in extent {
        let done = match which.dry_run {
            true => Ok(Ordered {
                run: run.clone(),
                outcome: Became::Done,
                shards: dead,
                reason: None,
            }),
            false => of_run(broker, verb, (&run, &which, dead)).await,
        };
        let done = match done {
            Ok(done) => done,
            Err(problem) if which.run.is_some() || ordered.shards == 0 => return Err(problem),
            // What was done of the others is told all the same.
            Err(problem) => Ordered {
                run,
                outcome: Became::Nothing,
                shards: 0,
                reason: Some(problem.detail().to_owned()),
            },
        };
        ordered.shards += done.shards;
        if ordered.of_runs.len() < NAMED {
            ordered.of_runs.push(done);
        }
    }
    Ok(Json(ordered))
}

/// One record names a bounded number of shards: it is asked for until all that were counted are done.
async fn of_run(
    broker: &Broker,
    verb: Verb,
    (run, which, dead): (&RunId, &Which, u64),
) -> Answer<Ordered> {
    let meant = || (which.slice, which.page, which.error.clone());
    let mut all = give(broker, verb, run, meant()).await?;
    let mut last = all.shards;
    while last > 0 && all.shards < dead {
        last = give(broker, verb, run, meant()).await?.shards;
        all.shards += last;
    }
    Ok(all)
}
