//! Runs: which there are, how one stands, what it waits for, and the proof of its coverage.
//!
//! | room | what it tells |
//! |------|---------------|
//! | [`order`] | what is ordered of a run |
//! | [`grid`] | the cells of a run, all of them in few bytes |
//! | [`shards`] | its shards one by one, and one with its attempts |
//! | [`work`] | who has worked on it when |
//! | [`waits`] | what open runs wait for, of a list and of all |

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::audit::Report;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::reads;
use gridloom_shared::reads::by_hand::WaitingRun;
use gridloom_shared::reads::failures::Failures;
use gridloom_shared::reads::held::{self, HeldShard};
use gridloom_shared::wire;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ask::{Path, Query, after, limit};
use super::cursor::List;
use super::link::{Api, Linked};
use super::mirror::{Place, Row};
use super::problem::{Answer, Problem};

pub(super) mod grid;
pub(super) mod order;
pub(super) mod shards;
pub(super) mod waits;
pub(super) mod work;

use waits::{LISTED_MAX, RunListed, WaitTold};

/// So often a page is filled up where runs of it were removed meanwhile.
const ROUNDS: usize = 20;

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this job.
    #[param(value_type = Option<JobName>)]
    job: Option<JobName>,
    /// In this state.
    state: Option<RunState>,
    /// Opened at that time or later, RFC 3339.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Opened before that time, RFC 3339.
    #[param(format = DateTime)]
    to: Option<String>,
    /// With dead shards that nobody has given up, or without.
    dead: Option<bool>,
    /// Say what those wait for that are open; of 100 runs at most.
    #[serde(default)]
    waits: bool,
    /// At most so many.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// What `next` of the page before said.
    after: Option<String>,
}

/// A page of runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Runs {
    /// The newest first. What is said of a run that goes on is half a second old at most.
    items: Vec<RunListed>,
    /// Where the list goes on; `None`: that was the end.
    next: Option<String>,
}

/// Bounds of time, as they stand in summaries.
struct Span {
    from: Option<String>,
    to: Option<String>,
}

impl Span {
    fn of(which: &Which) -> Answer<Span> {
        let read = |name: &str, text: &Option<String>| {
            let read = |text: &String| {
                UnixMs::from_rfc3339(text)
                    .map(UnixMs::rfc3339)
                    .ok_or_else(|| {
                        let form = "is no time such as 2026-03-01T02:00:00Z";
                        Problem::invalid(format!("{name}: {text:?} {form}"))
                    })
            };
            text.as_ref().map(read).transpose()
        };
        Ok(Span {
            from: read("from", &which.from)?,
            to: read("to", &which.to)?,
        })
    }
}

impl Which {
    fn is_meant(&self, (_, run): &Place, row: &Row) -> bool {
        self.job
            .as_ref()
            .is_none_or(|job| run.job() == job.as_str())
            && self.state.is_none_or(|state| row.state == state)
            && self.dead.is_none_or(|dead| (row.dead > 0) == dead)
    }
}

/// Runs, the newest first.
#[utoipa::path(get, path = "/runs", tag = "runs", operation_id = "runs", params(Which),
    responses((status = 200, body = Runs)))]
pub(super) async fn list(
    State(api): State<Api>,
    Linked(broker): Linked,
    Query(which): Query<Which>,
) -> Answer<Json<Runs>> {
    let limit = limit(which.limit)?;
    if which.waits && limit > LISTED_MAX {
        return Err(Problem::invalid(format!(
            "waits: it is said of {LISTED_MAX} runs at most; ask for no more (limit), or for /runs/waits"
        )));
    }
    let (runs, next) = page(&api, &broker, &which, limit).await?;
    let items = waits::listed(&api, &broker, runs, which.waits).await;
    Ok(Json(Runs { items, next }))
}

/// A page of them, and where the list goes on.
async fn page(
    api: &Api,
    broker: &Broker,
    which: &Which,
    limit: usize,
) -> Answer<(Vec<RunSummary>, Option<String>)> {
    let span = Span::of(which)?;
    let mut after: Option<Place> = after(List::RUNS, which.after.as_deref())?;
    let mut items = Vec::new();
    for _ in 0..ROUNDS {
        let wanted = limit - items.len();
        let found = api.runs.look(|runs| {
            let since = |at: &str| span.from.as_deref().is_none_or(|from| at >= from);
            let before = |at: &str| span.to.as_deref().is_none_or(|to| at < to);
            let rows = runs.behind(after.as_ref());
            let rows = rows.take_while(|((at, _), _)| since(at));
            let meant = rows.filter(|(place, row)| before(&place.0) && which.is_meant(place, row));
            let found = meant.map(|(place, _)| place.clone()).take(wanted + 1);
            found.collect::<Vec<Place>>()
        });
        let mut found = found.await?;
        let more = found.len() > wanted;
        found.truncate(wanted);
        let summaries = summaries(broker, &found).await?;
        let gone = found.iter().filter(|(_, run)| !summaries.contains_key(run));
        let gone: Vec<RunId> = gone.map(|(_, run)| run.clone()).collect();
        if !gone.is_empty() {
            api.runs
                .drop(|runs| gone.iter().for_each(|run| runs.forget(run)));
        }
        items.extend(
            found
                .iter()
                .filter_map(|(_, run)| summaries.get(run).cloned()),
        );
        after = found.pop();
        if !more {
            return Ok((items, None));
        }
        if items.len() >= limit {
            break;
        }
    }
    Ok((items, after.and_then(|last| List::RUNS.behind(&last))))
}

async fn summaries(broker: &Broker, found: &[Place]) -> Answer<BTreeMap<RunId, RunSummary>> {
    let keys: Vec<String> = found.iter().map(|(_, run)| run.to_string()).collect();
    let entries = broker.runs().several(&keys).await?;
    let read = entries.iter().filter_map(|entry| {
        let summary: RunSummary = wire::decode(entry.value.as_deref()?).ok()?;
        Some((summary.run.clone(), summary))
    });
    Ok(read.collect())
}

/// Which of those that wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfJob {
    /// Of this job.
    #[param(value_type = Option<JobName>)]
    job: Option<JobName>,
}

/// Runs that wait to be opened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WaitingRuns {
    /// The newest first.
    items: Vec<WaitingRun>,
}

/// Runs that were asked for by hand and wait until others of their job are over.
#[utoipa::path(get, path = "/runs/waiting", tag = "runs", operation_id = "waiting_runs", params(OfJob),
    responses((status = 200, body = WaitingRuns)))]
pub(super) async fn waiting(
    Linked(broker): Linked,
    Query(of): Query<OfJob>,
) -> Answer<Json<WaitingRuns>> {
    let items = reads::by_hand::list(&broker, of.job.as_ref()).await?;
    Ok(Json(WaitingRuns { items }))
}

/// A run, as its ledger adds up to it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Run {
    #[serde(flatten)]
    summary: RunSummary,
    #[serde(flatten)]
    failures: Failures,
    /// What it waits for, the first reason first; `None`: no planner leads just now that could say it.
    waits: Option<Vec<WaitTold>>,
    /// The shards that workers hold longest.
    longest: Vec<HeldShard>,
    /// When it has to be over, as its schedule says (RFC 3339).
    deadline: Option<String>,
    /// Whether it was not over by then.
    overdue: bool,
}

/// One run, exactly: what has failed, what it waits for, who is at what for how long.
#[utoipa::path(get, path = "/runs/{run}", tag = "runs", operation_id = "run", params(("run" = RunId, Path)),
    responses((status = 200, body = Run)))]
pub(super) async fn show(
    State(api): State<Api>,
    Linked(broker): Linked,
    Path(run): Path<RunId>,
) -> Answer<Json<Run>> {
    let seen = |fold: &Fold| {
        let summary = RunSummary::of(fold)?;
        let open = (!summary.state.ended()).then(|| fold.clone());
        Some((summary, Failures::of(fold), open))
    };
    let seen = api.folds.look(&broker, &run, seen).await?;
    let headless = || reads::RunError::Headless { run: run.clone() };
    let (summary, failures, open) = seen.ok_or_else(headless)?;
    let (waits, longest) = match &open {
        None => (Some(Vec::new()), Vec::new()),
        Some(fold) => {
            let here = reads::workers::roll_call(&broker).await?;
            let (waits, longest) = tokio::join!(
                reads::waits::of(&broker, &run),
                held::longest(&broker, fold, &here)
            );
            let waits = match waits {
                Some(waits) => {
                    let waits = (fold, waits);
                    Some(reads::queued::with(&broker, waits, &here, &longest).await)
                }
                None => None,
            };
            (waits, longest)
        }
    };
    let due = reads::fires::due(&broker, &run).await?.map(UnixMs::rfc3339);
    let end = summary.closed_at.clone();
    let end = end.unwrap_or_else(|| UnixMs::now().rfc3339());
    Ok(Json(Run {
        summary,
        failures,
        waits: waits.map(|waits| waits.into_iter().map(WaitTold::of).collect()),
        longest,
        overdue: due.as_ref().is_some_and(|due| end > *due),
        deadline: due,
    }))
}

/// The proof of a run's coverage: every cell of its grid, from its ledger as it stands, and never from a summary.
#[utoipa::path(get, path = "/runs/{run}/audit", tag = "runs", operation_id = "audit", params(("run" = RunId, Path)),
    responses((status = 200, body = Report)))]
pub(super) async fn audit(Linked(broker): Linked, Path(run): Path<RunId>) -> Answer<Json<Report>> {
    Ok(Json(reads::runs::audit(&broker, &run).await?))
}
