//! What whoever asks may do, and how far the broker's clock is from that of their machine. Of a user who may only read,
//! nothing here is a fault.

use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::DOCTOR_KEY;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::duration::spoken;
use gridloom_shared::id::Session;

use super::chart::Chart;
use super::lines::{self, Line};
use super::{Asker, LOOK_AT_BROKER};

/// Clocks that differ by more than this make due times look wrong to people.
const OFFSET_MAX: Duration = Duration::from_secs(1);
/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What an ordinary client may do: publish and hear, ask JetStream, read streams. What a planner needs it tells itself, as
/// its trouble.
pub(super) async fn look_at_permissions(broker: &Broker, asker: Asker<'_>, chart: &mut Chart) {
    if let Asker::Planner { .. } = asker {
        return;
    }
    let subjects = broker.subjects();
    let echo = subjects.doctor(Session::random());
    let refused = broker.refusal_of(&echo);
    let heard = async {
        let mut echoes = broker
            .subscribe(echo.clone())
            .await
            .map_err(|error| chain(&error).to_string())?;
        broker
            .publish(echo.clone(), Bytes::from_static(b"doctor"))
            .await
            .map_err(|error| chain(&error).to_string())?;
        echoes
            .next()
            .await
            .ok_or_else(|| "the connection was closed".to_owned())
    };
    let heard = async {
        tokio::select! {
            heard = heard => heard,
            error = refused => Err(chain(&error).to_string()),
        }
    };
    match tokio::time::timeout(PATIENCE, heard).await {
        Ok(Ok(_)) => chart.ok(
            "permissions",
            format!("may publish and subscribe in {}.>", subjects.namespace()),
        ),
        Ok(Err(error)) => chart.bad(Line::unread("permissions"), error, asker.as_whom()),
        Err(_) => {
            let advice = "allow this user to publish and subscribe there; the broker's log names what it refused";
            chart.bad(lines::NO_ECHO, format!("no echo on {echo}"), advice);
        }
    }
}

/// Its clock is the one that due times are judged by.
pub(super) async fn look_at_clock(broker: &Broker, asker: Asker<'_>, chart: &mut Chart) {
    let sent = UnixMs::now();
    let stream = broker.subjects().state().stream();
    let said = tokio::time::timeout(PATIENCE, broker.clock_of(&stream)).await;
    let offset = match said {
        Ok(Ok(Some(at))) => offset(sent, at, UnixMs::now()),
        Ok(Ok(None)) => return chart.note(lines::CLOCK_UNTOLD, "the broker does not say", ""),
        Ok(Err(error)) => {
            return chart.bad(
                Line::unread("clock"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
        Err(_) => return chart.bad(Line::unread("clock"), "no answer", LOOK_AT_BROKER),
    };
    if offset > OFFSET_MAX {
        chart.bad(
            lines::CLOCK_OFF,
            format!(
                "{} between {} and the broker",
                spoken(offset),
                asker.machine()
            ),
            "set both by NTP: times in lists and leases of the planner are judged by them",
        );
    } else {
        chart.ok(
            "clock",
            format!("within {} of the broker's", spoken(offset)),
        );
    }
}

/// Whether the broker stores what is written: after a full disk it does not. Who may not write there cannot try it.
pub(super) async fn look_at_writes(broker: &Broker, asker: Asker<'_>, chart: &mut Chart) {
    if let Asker::Planner {
        may_write: false, ..
    } = asker
    {
        let found = "not tried: the API of this planner changes nothing";
        return chart.note(lines::READ_ONLY, found, "");
    }
    let state = broker.state();
    let written = async {
        state
            .put(DOCTOR_KEY, UnixMs::now().rfc3339().into())
            .await?;
        // Gone again: nothing but this check reads it.
        state.delete(DOCTOR_KEY, None).await
    };
    match tokio::time::timeout(PATIENCE, written).await {
        Ok(Ok(())) => chart.ok("writes", "what is written is stored"),
        Ok(Err(error)) if error.is_refused() => {
            chart.note(lines::READ_ONLY, "not tried: this user may only read", "");
        }
        Ok(Err(error)) => chart.bad(Line::unread("writes"), chain(&error).to_string(), LOOK_AT_BROKER),
        Err(_) => chart.bad(
            lines::WRITES_UNANSWERED,
            "no answer to a write",
            "look at the broker's log (after a full disk it needs a restart), and at this client's permissions",
        ),
    }
}

/// How far `at` lies outside the time between `sent` and `answered`.
fn offset(sent: UnixMs, at: UnixMs, answered: UnixMs) -> Duration {
    let early = sent.0.saturating_sub(at.0);
    let late = at.0.saturating_sub(answered.0);
    Duration::from_millis(early.max(late))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_is_right_when_the_stamp_lies_between_question_and_answer() {
        let at = |ms| UnixMs(ms);
        assert_eq!(offset(at(1_000), at(1_005), at(1_010)), Duration::ZERO);
        assert_eq!(
            offset(at(1_000), at(400), at(1_010)),
            Duration::from_millis(600)
        );
        assert_eq!(
            offset(at(1_000), at(3_010), at(1_010)),
            Duration::from_secs(2)
        );
    }
}
