//! Who does the work, and what waits for them: queues, workers, planners.

use axum::Json;
use axum::extract::State;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::planner::Attendance;
use gridloom_shared::reads::queues::{self, QueueStanding};
use gridloom_shared::reads::workers::{self, WorkerStanding};
use gridloom_shared::reads::{LeftOut, planners};
use serde::Serialize;
use utoipa::ToSchema;

use super::link::{Api, Link, Linked};
use super::named;
use super::problem::{Answer, Kind, Problem};

/// All queues.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Queues {
    /// By name.
    items: Vec<QueueStanding>,
}

/// All workers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Workers {
    /// Those that can be told of: who answers first.
    items: Vec<WorkerStanding>,
    /// Registrations that cannot be read.
    left_out: Vec<LeftOut>,
}

/// Planners that answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Planners {
    /// By name.
    items: Vec<PlannerStanding>,
}

/// A planner.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlannerStanding {
    /// Its name.
    planner: String,
    /// Its life.
    session: String,
    /// Whether it leads.
    leads: bool,
    /// The term under which it does.
    term: Option<u64>,
    /// Version of its build.
    version: String,
    /// When it started, RFC 3339.
    started_at: String,
    /// Why it cannot work; empty where nothing keeps it from that.
    trouble: String,
    /// What is wrong with files that it looks at while it runs; empty where nothing is.
    files: String,
}

impl PlannerStanding {
    fn of(planner: Attendance) -> PlannerStanding {
        PlannerStanding {
            planner: planner.name,
            session: planner.session.to_string(),
            leads: planner.term.is_some(),
            term: planner.term.map(|term| term.0),
            version: planner.version,
            started_at: planner.started_at.rfc3339(),
            trouble: planner.trouble,
            files: planner.files,
        }
    }
}

/// All queues, as they stand.
pub(super) async fn all_queues(link: &Link, broker: &Broker) -> Answer<Queues> {
    let (here, named) = tokio::join!(workers::roll_call(broker), named::queues(link, broker));
    let items = queues::list_named(broker, &here?, &named?).await?;
    Ok(Queues { items })
}

/// All workers, as they answer.
pub(super) async fn all_workers(broker: &Broker) -> Answer<Workers> {
    let listed = workers::list(broker).await?;
    Ok(Workers {
        items: listed.workers,
        left_out: listed.left_out,
    })
}

/// All planners, as they answer.
pub(super) async fn all_planners(broker: &Broker) -> Answer<Planners> {
    let all = planners::roll_call(broker).await?;
    // This one is there: where nobody has answered it is not that nobody is.
    if all.is_empty() {
        return Err(Problem::new(
            Kind::Unavailable,
            "no planner has answered in time, not even this one; ask again",
        ));
    }
    let items = all.into_iter().map(PlannerStanding::of).collect();
    Ok(Planners { items })
}

/// Queues: what waits in each, for which handler, and for how long.
#[utoipa::path(get, path = "/queues", tag = "crew", operation_id = "queues",
    responses((status = 200, body = Queues)))]
pub(super) async fn queues(State(api): State<Api>, Linked(broker): Linked) -> Answer<Json<Queues>> {
    all_queues(&api, &broker).await.map(Json)
}

/// Workers that answer, and those that fell silent without a goodbye.
#[utoipa::path(get, path = "/workers", tag = "crew", operation_id = "workers",
    responses((status = 200, body = Workers)))]
pub(super) async fn workers(Linked(broker): Linked) -> Answer<Json<Workers>> {
    all_workers(&broker).await.map(Json)
}

/// Planners that answer, the one that leads among them.
#[utoipa::path(get, path = "/planners", tag = "crew", operation_id = "planners",
    responses((status = 200, body = Planners)))]
pub(super) async fn planners(Linked(broker): Linked) -> Answer<Json<Planners>> {
    all_planners(&broker).await.map(Json)
}

/// A moment for people and programs.
pub(super) fn moment(at: Option<UnixMs>) -> Option<String> {
    at.map(UnixMs::rfc3339)
}
