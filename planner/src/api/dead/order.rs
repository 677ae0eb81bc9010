//! Retries dead shards or gives them up, those of one run or of all that are meant: first it can be asked how many
//! those are.

use std::time::Instant;

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
use super::super::settings::ANSWER_WITHIN;
use super::SLICE_ALONE;

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
    /// How many of the runs were not asked: nobody leads, or no time was left. The same order again asks them.
    not_asked: usize,
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
            _ if self.slice.is_some() && self.run.is_none() && self.job.is_none() => {
                refused(SLICE_ALONE)
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
    // The rest is for the answer: one that is cut off tells nobody what was done.
    let until = Instant::now() + ANSWER_WITHIN * 2 / 3;
    let extent = which.extent(api, broker, verb).await?;
    let mut ordered = DeadOrdered {
        dry_run: which.dry_run,
        runs: extent.len(),
        ..DeadOrdered::default()
    };
    let mut bulk = Bulk::default();
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
        bulk.look(Instant::now() >= until);
        let done = match (which.dry_run, bulk.not_asked(&run)) {
            (true, _) => told_of(&run, Became::Done, dead, None),
            (false, Some(not_asked)) => {
                ordered.not_asked += 1;
                not_asked
            }
            (false, None) => {
                let done = of_run(broker, verb, (&run, &which, dead)).await;
                match which.run {
                    Some(_) => done?,
                    None => bulk.take(&run, done)?,
                }
            }
        };
        ordered.shards += done.shards;
        if ordered.of_runs.len() < NAMED {
            ordered.of_runs.push(done);
        }
    }
    Ok(Json(ordered))
}

fn told_of(run: &RunId, outcome: Became, shards: u64, reason: Option<String>) -> Ordered {
    Ordered {
        run: run.clone(),
        outcome,
        shards,
        reason,
    }
}

/// An order to many runs. What keeps it from one of them, as that it was removed meanwhile or is being cancelled, is none of the
/// others' business. Where nobody carries out anything the others are not asked: each would wait as long. Nor are those for which
/// no time is left.
#[derive(Debug, Default)]
struct Bulk {
    /// How many shards are done.
    shards: u64,
    /// Why no more are asked for.
    over: Option<String>,
}

impl Bulk {
    /// Looks whether the time of the order is over.
    fn look(&mut self, is_over: bool) {
        if is_over && self.shards > 0 && self.over.is_none() {
            self.over = Some("there was no time left for it: order it again".to_owned());
        }
    }

    /// What is told of a run that is not asked any more.
    fn not_asked(&self, run: &RunId) -> Option<Ordered> {
        let why = self.over.as_ref()?;
        let reason = format!("it was not asked: {why}");
        Some(told_of(run, Became::Nothing, 0, Some(reason)))
    }

    /// What is told of a run that was asked. A problem where nothing can be done at all.
    fn take(&mut self, run: &RunId, done: Answer<Ordered>) -> Answer<Ordered> {
        let problem = match done {
            Ok(done) => {
                self.shards += done.shards;
                return Ok(done);
            }
            Err(problem) => problem,
        };
        if problem.is_of_all() {
            if self.shards == 0 {
                return Err(problem);
            }
            self.over = Some(problem.detail().to_owned());
        }
        let reason = Some(problem.detail().to_owned());
        Ok(told_of(run, Became::Nothing, 0, reason))
    }
}

/// One record names a bounded number of shards: it is asked for until all that were counted are done. What was done is told also
/// where the rest is not.
async fn of_run(
    broker: &Broker,
    verb: Verb,
    (run, which, dead): (&RunId, &Which, u64),
) -> Answer<Ordered> {
    let meant = || (which.slice, which.page, which.error.clone());
    let mut all = give(broker, verb, run, meant()).await?;
    let mut last = all.shards;
    while last > 0 && all.shards < dead {
        match give(broker, verb, run, meant()).await {
            Ok(next) => last = next.shards,
            Err(problem) => {
                all.reason = Some(problem.detail().to_owned());
                return Ok(all);
            }
        }
        all.shards += last;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: usize) -> RunId {
        RunId::new(format!("a_s_{number}")).unwrap()
    }

    fn fails(kind: Kind) -> Answer<Ordered> {
        Err(Problem::new(kind, "so it is"))
    }

    #[test]
    fn run_that_refuses_an_order_keeps_it_from_no_other() {
        for kind in [Kind::Conflict, Kind::NotFound, Kind::Gone, Kind::Refused] {
            let mut bulk = Bulk::default();
            let refused = bulk.take(&run(1), fails(kind)).unwrap();
            assert_eq!(refused.reason.as_deref(), Some("so it is"), "{kind:?}");
            assert!(bulk.not_asked(&run(2)).is_none(), "{kind:?}");
        }
    }

    #[test]
    fn runs_for_which_no_time_is_left_are_not_asked_once_something_is_done() {
        let mut bulk = Bulk::default();
        bulk.look(true);
        assert!(bulk.not_asked(&run(1)).is_none());
        bulk.take(&run(1), Ok(told_of(&run(1), Became::Done, 3, None)))
            .unwrap();
        bulk.look(false);
        assert!(bulk.not_asked(&run(2)).is_none());
        bulk.look(true);
        let rest = bulk.not_asked(&run(2)).and_then(|told| told.reason);
        assert!(rest.is_some_and(|why| why.contains("order it again")));
    }

    #[test]
    fn where_nobody_carries_out_anything_the_others_are_not_asked_and_what_was_done_is_told() {
        for kind in [Kind::Unavailable, Kind::Unknown, Kind::TimedOut] {
            let mut bulk = Bulk::default();
            assert!(bulk.take(&run(1), fails(kind)).is_err(), "{kind:?}");
            let done = told_of(&run(1), Became::Done, 3, None);
            assert_eq!(bulk.take(&run(1), Ok(done)).unwrap().shards, 3);
            assert!(bulk.not_asked(&run(2)).is_none());
            let failed = bulk.take(&run(2), fails(kind)).unwrap();
            assert_eq!(failed.reason.as_deref(), Some("so it is"), "{kind:?}");
            let third = bulk.not_asked(&run(3)).unwrap();
            let wanted = "it was not asked: so it is";
            assert_eq!(
                (third.shards, third.reason.as_deref()),
                (0, Some(wanted)),
                "{kind:?}"
            );
        }
    }
}
