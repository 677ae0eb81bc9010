//! Brings what a service says of its shard to the worker that holds it: the one that asked, or whoever holds it since. What it
//! answers proves nothing: that an outcome counts, the ledger says.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use crate::broker::Broker;
use crate::broker::kv::Entry;
use crate::broker::log::ReadError;
use crate::callback::{Awaited, Call, Heard};
use crate::holdings::Question;
use crate::id::Session;
use crate::job::JobSpec;
use crate::ledger::record::PlanRecord;
use crate::presence::Presence;
use crate::reads::ledger::{Pages, Span};
use crate::reads::workers;
use crate::wire;

/// How long one worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Workers that are asked at once.
const AT_ONCE: usize = 64;

/// What the worker `session` says to it; `None`: it does not answer.
pub async fn ask(broker: &Broker, session: Session, call: &Call) -> Option<Heard> {
    let question = wire::encode(&Question::Callback(call.clone()));
    let subject = broker.subjects().holdings(session);
    let answer = broker.request(subject, question, PATIENCE).await.ok()?;
    wire::decode(&answer.payload).ok()
}

/// What those say to it that could hold a shard of `job`, besides the worker `asked`: the first that has it, if any does. They
/// are those that are registered: nobody announces itself for each callback, and of one that is gone the broker says at once
/// that nobody listens.
///
/// # Errors
/// When it cannot be read who is there.
pub async fn ask_others(
    broker: &Broker,
    (job, asked): (&JobSpec, Session),
    call: &Call,
) -> Result<Option<Heard>, ReadError> {
    let registered = workers::registrations(broker).await?;
    let could = |entry: &Entry| {
        let worker = Presence::read(entry.value.as_deref()?).ok()?;
        let is_able = worker.serves(&job.queue, &job.handler) && worker.session != asked;
        is_able.then_some(worker.session)
    };
    let sessions: Vec<Session> = registered.iter().filter_map(could).collect();
    let asking: Vec<_> = sessions
        .into_iter()
        .map(|session| ask(broker, session, call))
        .collect();
    let mut answers = stream::iter(asking).buffer_unordered(AT_ONCE);
    let mut refused = None;
    while let Some(answer) = answers.next().await {
        match answer {
            Some(Heard::Given) => return Ok(answer),
            Some(Heard::Over | Heard::Unknown) => refused = answer,
            Some(Heard::Elsewhere) | None => {}
        }
    }
    Ok(refused)
}

/// The job of the run that is meant, as it was opened. `None`: there is no such run, or another one has its id. No more is read
/// than its first records, whoever asks.
///
/// # Errors
/// When the broker does not answer.
pub async fn job_of(broker: &Broker, awaited: &Awaited) -> Result<Option<JobSpec>, ReadError> {
    let subjects = broker.subjects();
    let plan = subjects.plan_of_run_anywhere(&awaited.run);
    // By the leader: who is told that there is no such run asks no more, and forgets what was done.
    let last = broker.last_of_leader(&subjects.ledger(), &plan).await?;
    let Some(last) = last else { return Ok(None) };
    let mut pages = Pages::of(broker, Span::matching(plan).up_to(last.seq));
    let first = pages.next().await?.unwrap_or_default();
    let opened = first.iter().find_map(|entry| match entry.plan() {
        Some(PlanRecord::Opened(opened)) if opened.nonce == awaited.nonce => Some(&opened.job),
        _ => None,
    });
    Ok(opened.cloned())
}
