//! The life of a child, again and again: it is started, says who it is, runs tiles, ends, and is started anew, after a
//! pause where it died.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::child::{Child, How, serve};
use super::hall::{Arrived, Expected, Hall};
use super::heard::Hello;
use super::lease::ChildLease;
use super::plan::{Introduced, Plan};
use super::pool::Pool;
use super::process::{Ended, Process};
use super::said::Said;
use crate::guarded::end;

/// The pause before a child that died is started again: the first, twice as long each time, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Whoever lived for so long is no child that dies at once.
const LIVED: Duration = Duration::from_secs(30);
/// Whoever said goodbye before has no pause only when it lived for so long.
const WORKED: Duration = Duration::from_secs(1);
/// Most of its last lines that the reason for a start in vain repeats, in bytes.
const SAID_MAX: usize = 2_000;

/// What the lives of all children have in common.
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) pool: Arc<Pool>,
    pub(super) hall: Hall,
    /// Who the first child was: the others are to be like it.
    pub(super) agreed: Mutex<Option<Introduced>>,
    /// Hears of each child that has come, and of each that was started in vain.
    pub(super) begun: mpsc::UnboundedSender<Result<Introduced, String>>,
    pub(super) stop: CancellationToken,
}

/// How long to wait before the next start.
#[derive(Debug)]
struct Pause(Duration);

impl Pause {
    /// After a life of this length, which ended well or not.
    fn after(&mut self, lived: Duration, well: bool) -> Duration {
        if lived >= LIVED || well && lived >= WORKED {
            self.0 = PAUSE_FIRST;
        }
        if well && lived >= WORKED {
            return Duration::ZERO;
        }
        let pause = self.0;
        self.0 = (self.0 * 2).min(PAUSE_MAX);
        pause
    }
}

/// Keeps child `number` alive until the worker stops.
pub(super) async fn live(shared: Arc<Shared>, number: u32) {
    let mut pause = Pause(PAUSE_FIRST);
    while !shared.stop.is_cancelled() {
        let since = Boot::now();
        let ended = once(&shared, number).await;
        if shared.stop.is_cancelled() {
            return;
        }
        if shared.agreed.lock().is_ok_and(|first| first.is_none()) {
            // None has come yet: the worker hears of it and ends.
            return;
        }
        let well = ended.is_ok();
        let wait = pause.after(Boot::now().since(since), well);
        match ended {
            Ok(()) => tracing::info!(child = number, "a child wanted to be started anew"),
            Err(reason) => {
                let took_ms = wait.as_millis() as u64;
                tracing::warn!(
                    child = number,
                    reason,
                    took_ms,
                    "a child has ended; it is started again after a pause"
                );
                shared.pool.note(reason);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.stop.cancelled() => {}
        }
    }
}

/// One life of it. `Err`: why it ended as it should not.
async fn once(shared: &Arc<Shared>, number: u32) -> Result<(), String> {
    let program = shared
        .plan
        .program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let who: Arc<str> = format!("child {number} ({program})").into();
    let mut expected = shared.hall.expect();
    let at = (shared.hall.address(), expected.token.as_str());
    let variables = shared.plan.variables(number, at);
    let until = ChildLease::first(Boot::now());
    let started = Process::start(&shared.plan, number, &variables, until).await;
    let mut process = match started {
        Ok(process) => process,
        Err(error) => {
            let guard = shared.plan.guard.display();
            let reason = format!("start {who} under {guard} guard: {}", chain(&error));
            let _ = shared.begun.send(Err(reason.clone()));
            return Err(reason);
        }
    };
    let child = match greet(shared, &mut process, &mut expected).await {
        Ok((link, introduced)) => Child {
            who,
            link,
            slots: introduced.slots,
            process: Some(process),
            grace: shared.plan.grace,
        },
        Err(why) => {
            let Ended { ending, said } = process.end().await;
            let said = match end(&said, SAID_MAX) {
                said if said.is_empty() => "it wrote nothing".to_owned(),
                said => said,
            };
            let reason = match why {
                Vain::Ended => format!("{who} ended before its hello: {ending}: {said}"),
                Vain::Silent => {
                    let span = shared.plan.hello_within;
                    format!("{who} said no hello within {span:?} and was killed: {said}")
                }
                Vain::Unfit(fault) => format!("{who} will not do: {fault}"),
                Vain::Stopping => return Ok(()),
            };
            let _ = shared.begun.send(Err(reason.clone()));
            return Err(reason);
        }
    };
    match serve(child, &shared.pool, &shared.stop).await {
        How::Drained => Ok(()),
        How::Died(death) => Err(death.to_string()),
    }
}

/// Why a child was started in vain.
enum Vain {
    Ended,
    Silent,
    /// The text says what to change.
    Unfit(String),
    Stopping,
}

/// Waits until it has said who it is, and welcomes it.
async fn greet(
    shared: &Shared,
    process: &mut Process,
    expected: &mut Expected,
) -> Result<(super::link::Link, Introduced), Vain> {
    let Arrived { link, hello } = tokio::select! {
        arrived = expected.arrived() => arrived,
        () = process.gone() => return Err(Vain::Ended),
        () = tokio::time::sleep(shared.plan.hello_within) => return Err(Vain::Silent),
        () = shared.stop.cancelled() => return Err(Vain::Stopping),
    };
    let introduced = agree(shared, hello).map_err(Vain::Unfit)?;
    let grace_ms = u64::try_from(shared.plan.grace.as_millis()).unwrap_or(u64::MAX);
    link.say(&Said::Welcome {
        protocol: introduced.protocol,
        worker: &shared.plan.worker,
        grace_ms,
    });
    let _ = shared.begun.send(Ok(introduced.clone()));
    Ok((link, introduced))
}

/// Who it is, where it can stand beside the others.
fn agree(shared: &Shared, hello: Hello) -> Result<Introduced, String> {
    let introduced = Introduced::of(hello).map_err(|error| chain(&error).to_string())?;
    let mut agreed = shared.agreed.lock().unwrap_or_else(PoisonError::into_inner);
    match &*agreed {
        Some(first) => introduced
            .beside(first)
            .map_err(|error| chain(&error).to_string())?,
        None => *agreed = Some(introduced.clone()),
    }
    Ok(introduced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_grows_with_each_death_and_is_short_again_after_a_long_life() {
        let mut pause = Pause(PAUSE_FIRST);
        let short = Duration::from_millis(20);
        let waits: Vec<u64> = (0..9)
            .map(|_| pause.after(short, false).as_millis() as u64)
            .collect();
        assert_eq!(
            waits,
            [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
        );
        assert_eq!(pause.after(LIVED, false), PAUSE_FIRST);
    }

    #[test]
    fn child_that_says_goodbye_is_started_at_once_unless_it_does_nothing_else() {
        let mut pause = Pause(PAUSE_FIRST);
        assert_eq!(pause.after(WORKED, true), Duration::ZERO);
        assert_eq!(pause.after(Duration::ZERO, true), PAUSE_FIRST);
        assert_eq!(pause.after(Duration::ZERO, true), PAUSE_FIRST * 2);
    }
}
