//! Opens the runs of schedules: keeps what [`crate::schedule`] needs to decide, records each decision, then carries it
//! out. Decides nothing itself.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`table`](mod@table) | all jobs: what is news to which of them, and when each is settled |
//! | [`definitions`] | what the jobs bucket has of them, and what people ask for beside schedules |
//! | [`meter`] | what metrics say of it |
//! | [`job`] | one job: its definition, its fires, its backfills, its runs; records and opens |
//! | [`calendars`] | the calendars that schedules name |
//! | [`desk`] | whose turn it is |
//! | [`again`](mod@again) | follows keys, again after each error |
//! | [`warm`] | what is known before anything is decided |
//! | [`roll`] | hears from the loop which runs are open and which are over |
//! | [`untold`](mod@untold) | what no watch has told of yet |
//! | [`upkeep`] | which last records are about to be removed, and are written again |
//!
//! Order (docs/PROTOCOL.md): a decision is appended to `<ns>.fires.<job>` under compare-and-swap on that subject, then the
//! run is opened; the next record says no more of it. A new leader reads the last record of each job and goes on there;
//! who stands by has followed them.

use std::time::Duration;

use futures_util::StreamExt;
use gridloom_shared::chain;
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::limits::FIRES_KEPT_MAX;
use gridloom_shared::schedule::MisfirePolicy;
use gridloom_shared::schedule::pause::{Missed, Pause};

use super::alarms::Watch;
use super::envoy::Envoy;
use crate::alive::Signs;
use crate::schedule::Halt;
use again::again;
use roll::Roll;
use table::Table;
use untold::untold;
use upkeep::below;
use warm::Warm;

mod again;
mod calendars;
mod definitions;
mod desk;
mod job;
mod meter;
pub(super) mod roll;
mod table;
mod untold;
mod upkeep;
pub(super) mod warm;

/// Pause after something failed.
const PAUSE: Duration = Duration::from_millis(250);

/// Opens the runs of schedules as long as the leadership lasts. `open` are the runs that are open at its beginning, and
/// `warm` is what was known while standing by.
pub(super) async fn keep(
    envoy: Envoy,
    term: Term,
    (roll, open): (Roll, Vec<RunId>),
    (watch, warm): (Watch, Option<Warm>),
    signs: Signs,
) {
    let began = Boot::now();
    let warm = warm.unwrap_or_else(|| Warm::new(envoy.broker.clone()));
    let begin = warm.into_begin(&signs).await;
    let (jobs, took_ms) = (begin.jobs.len(), Boot::now().since(began).as_millis());
    tracing::info!(jobs, took_ms, "knows what was decided about fires");
    while let Err(error) = signs.waiting(roll.catch_up(&envoy.broker)).await {
        tracing::warn!(error = %chain(&error), "failed to read which runs are open; trying again");
        signs.give();
        tokio::time::sleep(PAUSE).await;
    }
    let (mut table, defined) = Table::new((envoy.clone(), term), begin, &open, watch);
    let state = &envoy.broker.state();
    let subjects = envoy.broker.subjects();
    let follow = |filter, what| {
        let begin = move || Box::pin(state.watch(filter).into_stream());
        Box::pin(again(begin(), begin, what))
    };
    let definitions = || warm::definitions(&envoy.broker);
    let mut defined = Box::pin(again(defined, definitions, "definitions of jobs"));
    let mut paused = follow(subjects.all_pauses(), "pauses");
    let mut asked = follow(
        subjects.all_asked(),
        "what people asked for beside schedules",
    );
    let mut said = follow(subjects.all_calendars(), "calendars");
    let mut unheard = Box::pin(untold(&envoy.broker, table.heard.clone()));
    let mut endangered = Box::pin(below(&envoy.broker));
    loop {
        signs.give();
        for fact in roll.take() {
            table.hear(fact);
        }
        table.read_definitions();
        table.begin(&roll);
        table.tell_again();
        let rest = table.rest();
        // Where much is due there is always something: other tasks are to have their turn.
        tokio::task::consume_budget().await;
        tokio::select! {
            Some(settled) = table.settling.next() => table.end(settled),
            Some(read) = table.reading.next() => table.take_read(read),
            Some(watched) = defined.next() => table.take_defined(watched),
            Some(watched) = paused.next() => table.take_pause(watched),
            Some(watched) = asked.next() => table.take_asked(watched),
            Some(watched) = said.next() => table.take_calendar(watched),
            Some(found) = unheard.next() => table.take_untold(found),
            Some(below) = endangered.next() => table.keep_up(below),
            () = roll.told() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// The pause that `value` says, written at `written`: of a job, or of all. One that makes no sense is none, and is told.
fn halt(of: Option<&JobName>, value: &[u8], written: UnixMs) -> Option<Halt> {
    let pause: Pause = match serde_json::from_slice(value) {
        Ok(pause) => pause,
        Err(error) => {
            let job = of.map(JobName::as_str);
            tracing::error!(job, error = %chain(&error), "a pause makes no sense and holds nothing back");
            return None;
        }
    };
    let (from, until) = pause.span(written);
    let missed = pause.resumed.and_then(|resumed| resumed.missed);
    Some(Halt {
        frozen: of.is_none(),
        from,
        until,
        by: pause.by,
        note: pause.note,
        missed: missed.map(|missed| match missed {
            Missed::Skip => MisfirePolicy::Skip,
            Missed::Once => MisfirePolicy::RunOnce,
            Missed::All => MisfirePolicy::RunAll {
                max: FIRES_KEPT_MAX,
            },
        }),
    })
}
