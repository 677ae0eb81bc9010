//! Callbacks: a service that has taken a shard on says what came of it. Its right is the token in the address, which a worker
//! judges; this planner has no secret, and writes nothing. It brings what is said to whoever holds the shard, and answers that
//! it was taken once the ledger has it: what a worker alone has could die with it.
//!
//! Whoever has no token learns nothing: of a run whose number in the address is not right, nothing is read but its first
//! records, and nothing is told.

use axum::Json;
use axum::extract::{Request, State};
use gridloom_shared::broker::Broker;
use gridloom_shared::callback::{Awaited, BODY_MAX, Call, Heard, Said, Ticket};
use gridloom_shared::chain;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::orders::callbacks::{ask, ask_others, job_of};
use gridloom_shared::tile::{Cell, TileKind};
use serde::Serialize;
use tokio::time::{Duration, Instant, sleep};
use utoipa::ToSchema;

use super::ask::{self as asked, Path};
use super::link::{Api, Linked};
use super::problem::{Answer, Kind, Problem};

/// So many are carried out at once, whoever calls: others are asked to call again.
pub(super) const AT_ONCE: usize = 64;
/// How long the ledger may take to have what a worker was given.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// A callback that was taken: what it says is on record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallbackTaken {
    /// The run.
    run: RunId,
    /// Row of the grid.
    slice: u32,
    /// Page of the slice.
    page: u32,
    /// The attempt in which the service was asked.
    attempt: u32,
}

/// How a shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its run is not the one that is meant.
    Another,
    /// It lacks a success; so many attempts have failed.
    Open(u32),
    /// It has its success.
    Done,
    /// Its attempts are used up.
    Dead,
    /// The run is over, or ends.
    Over,
}

impl Standing {
    fn of(fold: &Fold, awaited: &Awaited) -> Standing {
        let cell = Cell {
            kind: TileKind::Page,
            slice: awaited.slice,
            page: awaited.page,
        };
        if fold.nonce() != Some(awaited.nonce) {
            return Standing::Another;
        }
        if fold.is_done(cell) {
            return Standing::Done;
        }
        if fold.dead_one(cell).is_some() {
            return Standing::Dead;
        }
        if fold.closing().is_some() || fold.cancelled().is_some() {
            return Standing::Over;
        }
        let failed = fold.waiting().get(&cell);
        Standing::Open(failed.map_or(0, |failed| failed.attempts))
    }

    /// Whether what is said stands there: a success, or a failure of that attempt.
    fn has(self, said: &Said, attempt: u32) -> bool {
        match (said, self) {
            (Said::Done { .. }, standing) => standing == Standing::Done,
            (Said::Failed { .. }, Standing::Open(failed)) => failed >= attempt,
            (Said::Failed { .. }, standing) => standing == Standing::Dead,
        }
    }

    /// Why nothing can be said of it any more, if so.
    fn ended(self) -> Option<Problem> {
        let over = |detail: &str| Some(Problem::new(Kind::Conflict, detail));
        match self {
            Standing::Another => Some(unknown()),
            Standing::Open(_) => None,
            Standing::Done => over("the shard has ended already: it is done"),
            Standing::Dead => over("the shard has ended already: its attempts are used up"),
            Standing::Over => over("the run has ended already"),
        }
    }
}

fn unknown() -> Problem {
    Problem::absent("no shard awaits this callback: its address is not one that a request had")
}

/// Says what came of a shard that was taken on with 202: at the address that its request had in the header
/// `gridloom-callback`, whose last part is the right to it; nobody needs a token besides. 200: it is on record. 503: call again.
/// Any other status is final: the shard has ended already (409), another attempt has begun (410), or the address is none (404).
#[utoipa::path(post, path = "/callbacks/{callback}", tag = "runs", operation_id = "callback",
    params(("callback" = String, Path)), request_body = Said, responses((status = 200, body = CallbackTaken)))]
pub(super) async fn call(
    State(api): State<Api>,
    Linked(broker): Linked,
    Path(callback): Path<String>,
    request: Request,
) -> Answer<Json<CallbackTaken>> {
    let text = asked::text(request, BODY_MAX).await?;
    let said: Said = serde_json::from_str(&text)
        .map_err(|error| Problem::invalid(format!("the body: {}", chain(&error))))?;
    said.check()
        .map_err(|fault| Problem::invalid(format!("the body: {fault}")))?;
    let ticket: Ticket = callback.parse().map_err(|_| unknown())?;
    let _place = api.callbacks.try_acquire().map_err(|_| {
        let detail = format!("{AT_ONCE} callbacks are carried out at a time: call again");
        Problem::new(Kind::Unavailable, detail)
    })?;
    let call = ticket.call(&said);
    let given = match ask(&broker, ticket.session, &call).await {
        None | Some(Heard::Elsewhere) => among_others(&api, &broker, &ticket, &call).await?,
        heard => heard,
    };
    let Ticket { awaited, .. } = ticket;
    match given {
        Some(Heard::Given) => on_record(&api, &broker, &awaited, &said).await?,
        Some(Heard::Over) => {
            return Err(Problem::new(
                Kind::Gone,
                "the attempt is over: another one was asked for since, or something else was said of this one",
            ));
        }
        Some(Heard::Unknown) => return Err(unknown()),
        Some(Heard::Elsewhere) | None => {
            return Err(Problem::new(
                Kind::Unavailable,
                "no worker holds the shard just now: call again",
            ));
        }
    }
    Ok(Json(CallbackTaken {
        run: awaited.run,
        slice: awaited.slice,
        page: awaited.page,
        attempt: awaited.attempt,
    }))
}

/// The worker that asked does not hold it any more. If the shard is open another one does, or will.
async fn among_others(
    api: &Api,
    broker: &Broker,
    ticket: &Ticket,
    call: &Call,
) -> Answer<Option<Heard>> {
    let job = job_of(broker, &ticket.awaited).await?;
    let job = job.ok_or_else(unknown)?;
    if let Some(problem) = standing(api, broker, &ticket.awaited).await?.ended() {
        return Err(problem);
    }
    Ok(ask_others(broker, (&job, ticket.session), call).await?)
}

async fn standing(api: &Api, broker: &Broker, awaited: &Awaited) -> Answer<Standing> {
    let look = |fold: &Fold| Standing::of(fold, awaited);
    Ok(api.folds.look(broker, &awaited.run, look).await?)
}

/// Waits until the ledger has what was said.
async fn on_record(api: &Api, broker: &Broker, awaited: &Awaited, said: &Said) -> Answer<()> {
    let (give_up, mut pause) = (Instant::now() + PATIENCE, PAUSE);
    loop {
        let standing = standing(api, broker, awaited).await?;
        if standing.has(said, awaited.attempt) {
            return Ok(());
        }
        if let Some(problem) = standing.ended() {
            return Err(problem);
        }
        if Instant::now() >= give_up {
            return Err(Problem::new(
                Kind::Unknown,
                "a worker was told, and it is not on record yet: call again",
            ));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::callback::PATH;
    use gridloom_shared::clock::UnixMs;
    use gridloom_shared::id::{Fence, Nonce, Session, Term};
    use gridloom_shared::job::parse::{self, Format};
    use gridloom_shared::ledger::outcomes::{self, Entry, Failed, Retry, Status};
    use gridloom_shared::ledger::record::{
        Cancelled, Opened, PlanRecord, Record, TileRun, WorkRecord,
    };
    use gridloom_shared::tile::TileRef;

    use super::super::access::CALLBACKS;
    use super::super::settings::ROOT;
    use super::*;

    /// A run of five pages, each a tile, of which none has an outcome.
    fn fold() -> Fold {
        let job =
            r#"{"name": "sum", "handler": "noop", "grid": {"tile": 1, "pages": {"count": 5}}}"#;
        let opened = Opened {
            nonce: Nonce(7),
            job: parse::parse(job, Format::Json).unwrap(),
            scheduled_at: UnixMs(0),
            content: 0,
            term: Term(1),
            first: vec![TileRun {
                kind: TileKind::Page,
                slice: 0,
                first: 0,
                pages: 1,
                tiles: 5,
                attempt: 1,
                bounds: Vec::new(),
                after: None,
            }],
            traceparent: None,
            reports: 1,
        };
        let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
        let opened = Record::Plan(PlanRecord::Opened(Box::new(opened)));
        fold.apply(1, UnixMs(0), &opened);
        fold
    }

    /// What came of the attempt at a page.
    fn ends(fold: &mut Fold, page: u32, status: Status) {
        let entry = Entry {
            tile: TileRef {
                wave: 0,
                index: page,
            },
            kind: TileKind::Page,
            fence: Fence(1),
            slice: 0,
            first: page,
            pages: 1,
            status,
            columns: Vec::new(),
            results: Vec::new(),
        };
        let number = u64::from(page) + 2;
        let block = outcomes::encode(&[entry]).into();
        let session = Session(1);
        let record = WorkRecord::Outcomes {
            session,
            number,
            block,
        };
        fold.apply(number, UnixMs(number), &Record::Work(record));
    }

    #[test]
    fn shard_stands_as_its_ledger_has_it_and_another_run_of_the_same_id_is_none_of_its_business() {
        let failed = |retry| {
            Status::Failed(Failed {
                error: "no".to_owned(),
                retry,
            })
        };
        let mut fold = fold();
        ends(&mut fold, 0, Status::Done);
        ends(&mut fold, 1, failed(Retry::Never));
        ends(&mut fold, 2, failed(Retry::Backoff));
        let stands = |fold: &Fold, nonce: u64, page: u32| {
            let awaited = Awaited {
                run: fold.run().clone(),
                nonce: Nonce(nonce),
                slice: 0,
                page,
                attempt: 1,
            };
            Standing::of(fold, &awaited)
        };
        let of_all = |fold: &Fold| [0, 1, 2, 3].map(|page| stands(fold, 7, page));
        let open = [
            Standing::Done,
            Standing::Dead,
            Standing::Open(1),
            Standing::Open(0),
        ];
        assert_eq!(of_all(&fold), open);
        for page in 0..4 {
            assert_eq!(stands(&fold, 8, page), Standing::Another, "page {page}");
        }
        let cancelled = PlanRecord::Cancelled(Cancelled {
            request: 1,
            aborted: None,
            term: Term(1),
        });
        fold.apply(9, UnixMs(9), &Record::Plan(cancelled));
        let over = [
            Standing::Done,
            Standing::Dead,
            Standing::Over,
            Standing::Over,
        ];
        assert_eq!(of_all(&fold), over);
    }

    #[test]
    fn address_that_workers_say_is_that_of_the_operation() {
        let operation = format!("{ROOT}{CALLBACKS}");
        assert_eq!(operation.replace("{callback}", ""), PATH);
    }

    #[test]
    fn what_is_said_is_on_record_once_the_ledger_has_it_and_not_before() {
        let said = |text: &str| serde_json::from_str::<Said>(text).unwrap();
        let (done, failed) = (
            said(r#"{"outcome": "done"}"#),
            said(r#"{"outcome": "failed", "error": "no"}"#),
        );
        assert!(Standing::Done.has(&done, 1));
        for other in [
            Standing::Open(0),
            Standing::Dead,
            Standing::Over,
            Standing::Another,
        ] {
            assert!(!other.has(&done, 1), "{other:?}");
        }
        assert!(Standing::Open(2).has(&failed, 2) && Standing::Dead.has(&failed, 2));
        for other in [
            Standing::Open(1),
            Standing::Done,
            Standing::Over,
            Standing::Another,
        ] {
            assert!(!other.has(&failed, 2), "{other:?}");
        }
        assert!(Standing::Open(1).ended().is_none());
        for over in [
            Standing::Done,
            Standing::Dead,
            Standing::Over,
            Standing::Another,
        ] {
            assert!(over.ended().is_some(), "{over:?}");
        }
    }
}
