//! Tells a submitter what became of its request, where it asked for that. Whoever does not listen keeps nobody
//! waiting: it is plain NATS, and said once for each time that the request is answered.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::pull::Delivery;
use gridloom_shared::chain;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::submission::Kept;
use gridloom_shared::submission::answer::{Outcome, REPLY, Reply};

use super::Receipt;

/// Where the answer to this message goes; `None`: nobody asked for one.
///
/// # Errors
/// When it may not go there: says what to change.
pub(super) fn place<'d>(
    broker: &Broker,
    delivery: &'d Delivery,
) -> Result<Option<&'d str>, String> {
    let headers = delivery.headers.as_ref();
    let Some(place) = headers.and_then(|headers| headers.get(REPLY)) else {
        return Ok(None);
    };
    let subjects = broker.subjects();
    if subjects.takes_answers(place.as_str()) {
        return Ok(Some(place.as_str()));
    }
    Err(format!(
        "{REPLY}: an answer may go to an inbox (_INBOX.…) or to {}.answer.…, without wildcards: name one of those, or leave the header out",
        subjects.namespace()
    ))
}

/// Publishes the answer, if there is one yet and it was asked for.
pub async fn tell(broker: &Broker, delivery: &Delivery, receipt: &Receipt) {
    let Ok(Some(place)) = place(broker, delivery) else {
        return;
    };
    let (outcome, run, reason) = match receipt {
        Receipt::Opened(new) => (Outcome::Opened, Some(new.run.clone()), None),
        Receipt::Exists(run) => (Outcome::Exists, Some(run.clone()), None),
        Receipt::Purged(run) => (Outcome::Purged, Some(run.clone()), None),
        Receipt::Refused(_, reason) => (Outcome::Refused, None, Some(reason.clone())),
        Receipt::Waits(run) => (Outcome::Queued, Some(run.clone()), None),
        Receipt::Kept(_) | Receipt::Later => return,
    };
    let job = broker.subjects().parse_submit(&delivery.subject);
    let answer = Reply {
        answer: outcome,
        run,
        job: job.and_then(|name| JobName::new(name).ok()),
        reason,
        behind: None,
        sequence: delivery.stream_seq,
    };
    publish(broker, place.to_owned(), &answer).await;
}

/// The same for a request that was kept.
pub(crate) async fn tell_kept(
    broker: &Broker,
    kept: &Kept,
    answer: Outcome,
    reason: Option<String>,
    behind: Option<RunId>,
) {
    let Some(place) = kept.reply.clone() else {
        return;
    };
    let answer = Reply {
        answer,
        run: Some(kept.run.clone()).filter(|_| answer != Outcome::Refused),
        job: JobName::new(kept.run.job()).ok(),
        reason,
        behind,
        sequence: kept.sequence,
    };
    publish(broker, place, &answer).await;
}

async fn publish(broker: &Broker, place: String, answer: &Reply) {
    if let Err(error) = broker.publish(place, answer.encode()).await {
        let run = answer.run.as_ref().map(RunId::as_str);
        tracing::debug!(run, sequence = answer.sequence, error = %chain(&error), "failed to tell a submitter");
    }
}
