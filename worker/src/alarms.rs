//! Tells of alarms that the broker raised: fires that no planner answered for, and runs that are not over by their
//! deadline. All workers share one consumer, so that each is told by one of them.
//!
//! An alarm is looked at again before it is told: a planner that comes back withdraws those that are wrong, and a run
//! may have ended in time that nobody was left to withdraw the alarm of.

use std::collections::VecDeque;
use std::time::Duration;

use gridloom_shared::alarm::{Alarm, Watched};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::pull::{Delivery, EndReason, Patience, PullEvent, Puller};
use gridloom_shared::broker::subjects::ConsumerName;
use gridloom_shared::broker::topology::consumers::ensure_alarms;
use gridloom_shared::chain;
use gridloom_shared::ledger::record::PlanRecord;
use gridloom_shared::limits::{ALARM_CONFIRMED, OVERDUE_GRACE};
use gridloom_shared::wire;
use tokio::time::Instant;

use crate::metrics::{FIRES_LATE, RUNS_OVERDUE};

/// Alarms that one worker asks for at once.
const BATCH: u32 = 256;
/// Most that one worker keeps until they are looked at again: all jobs may be late together.
const KEPT_MAX: usize = 4_096;
/// How long one question for alarms stands.
const PATIENCE: Duration = Duration::from_secs(60);
/// When something that failed is tried again: nobody is late for an alarm.
const AGAIN: Duration = Duration::from_secs(10);

/// Listens as long as the worker runs.
pub(crate) async fn listen(broker: Broker) {
    let mut told = None;
    loop {
        match ensure_alarms(&broker).await {
            Ok(consumer) => {
                told = None;
                hear(&broker, &consumer).await;
            }
            // No planner has made the stream yet, or this worker may not.
            Err(error) => {
                let text = chain(&error).to_string();
                if told.as_ref() != Some(&text) {
                    tracing::debug!(error = text, "alarms cannot be heard");
                }
                told = Some(text);
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Hears alarms until the consumer is gone.
async fn hear(broker: &Broker, consumer: &ConsumerName) {
    let stream = broker.subjects().alarm();
    let mut puller = Puller::new(broker, &stream, consumer);
    let mut heard: VecDeque<(Instant, Delivery)> = VecDeque::new();
    let mut asks = false;
    loop {
        if !asks && heard.len() < KEPT_MAX {
            if puller.pull(BATCH, Patience::UpTo(PATIENCE)).await.is_err() {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            asks = true;
        }
        let next = heard.front().map(|(at, _)| *at);
        tokio::select! {
            event = puller.next(), if asks => match event {
                PullEvent::Delivery(delivery) => {
                    asks = delivery.unfilled > 0;
                    let patience = patience(&delivery);
                    heard.push_back((Instant::now() + patience, delivery));
                }
                PullEvent::Ended { reason: EndReason::Expired | EndReason::Disconnected | EndReason::Silent, .. } => asks = false,
                PullEvent::Ended { reason: EndReason::ConsumerGone | EndReason::Unavailable | EndReason::Refused { .. }, .. } => return,
            },
            () = until(next), if next.is_some() => {
                if let Some((_, delivery)) = heard.pop_front()
                    && let Err(error) = judge(broker, &delivery).await
                {
                    // Not acknowledged: it comes again.
                    tracing::debug!(error = %chain(&error), "an alarm cannot be looked at");
                }
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// How long a planner has to withdraw it.
fn patience(delivery: &Delivery) -> Duration {
    match wire::decode::<Alarm>(&delivery.payload) {
        Ok(Alarm {
            watched: Watched::Run(_),
            ..
        }) => OVERDUE_GRACE,
        _ => ALARM_CONFIRMED,
    }
}

/// Tells of an alarm that still stands.
async fn judge(broker: &Broker, delivery: &Delivery) -> Result<(), ReadError> {
    let subjects = broker.subjects();
    match broker.decode::<Alarm>(&delivery.subject, &delivery.payload) {
        Ok(alarm) if subjects.raised(&alarm.watched) == delivery.subject.as_str() => {
            let both = subjects.armed_or_raised(&alarm.watched);
            let last = broker.last_of_leader(&subjects.alarm(), &both).await?;
            let stands = last.is_some_and(|last| last.seq == delivery.stream_seq);
            if stands {
                match is_over_in_time(broker, &alarm).await? {
                    None => return put_off(broker, delivery).await,
                    Some(false) => tell(&alarm),
                    Some(true) => {}
                }
            }
        }
        Err(error) if error.is_newer() => return put_off(broker, delivery).await,
        Ok(_) | Err(_) => {
            tracing::warn!(subject = %delivery.subject, sequence = delivery.stream_seq, "an alarm that makes no sense");
        }
    }
    // Lost, it is told once more.
    let _ = broker.ack(&delivery.reply).await;
    Ok(())
}

/// Another worker, or this one when it is upgraded, judges it.
async fn put_off(broker: &Broker, delivery: &Delivery) -> Result<(), ReadError> {
    // Lost, it comes again later.
    let _ = broker.nak_for(&delivery.reply, delivery.epoch, AGAIN).await;
    Ok(())
}

/// `None`: only a newer build knows.
async fn is_over_in_time(broker: &Broker, alarm: &Alarm) -> Result<Option<bool>, ReadError> {
    let Watched::Run(run) = &alarm.watched else {
        return Ok(Some(false));
    };
    let subjects = broker.subjects();
    let plan = subjects.plan_of_run_anywhere(run);
    let Some(last) = broker.last_of_leader(&subjects.ledger(), &plan).await? else {
        return Ok(Some(false));
    };
    let in_time = last.at <= alarm.due + OVERDUE_GRACE;
    Ok(
        match broker.decode::<PlanRecord>(&last.subject, &last.payload) {
            Ok(record) => Some(record.is_end() && in_time),
            Err(error) if error.is_newer() => None,
            Err(_) => Some(false),
        },
    )
}

fn tell(alarm: &Alarm) {
    let job = alarm.watched.job().to_owned();
    let due = alarm.due.rfc3339();
    let scheduled_at = alarm.scheduled_at.rfc3339();
    match &alarm.watched {
        Watched::Fire(_) => {
            tracing::error!(
                job,
                scheduled_at,
                due,
                "late: no planner has answered for this fire, or for one that was due since; see gridloom doctor"
            );
            FIRES_LATE.counter(&[&job]).increment(1);
        }
        Watched::Run(run) => {
            tracing::error!(job, %run, scheduled_at, due, "overdue: the run is not over by its deadline; see gridloom show");
            RUNS_OVERDUE.counter(&[&job]).increment(1);
        }
    }
}
