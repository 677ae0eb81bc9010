//! The process of a child, under a guard: it is there as long as this worker is and no longer, with all that it has
//! started in its group.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use tokio::task::JoinHandle;

use super::plan::Plan;
use super::voice::{REST, Voice};
use crate::guarded::{self, Ending, Lifeline};

/// How long a guard may take to kill a group and say so. It is longer only where the system cannot end a process.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// A child's process.
pub(super) struct Process {
    guard: tokio::process::Child,
    lifeline: Lifeline,
    voice: Arc<Voice>,
    reading: JoinHandle<()>,
}

/// How it ended, and the end of what it said.
pub(super) struct Ended {
    pub(super) ending: Ending,
    pub(super) said: String,
}

impl Process {
    /// Starts child `number` with these variables, which may run until then unless that is prolonged.
    pub(super) async fn start(
        plan: &Plan,
        number: u32,
        variables: &[(&str, OsString)],
        until: Boot,
    ) -> io::Result<Process> {
        let (mut lifeline, guards_end) = Lifeline::open()?;
        let mut command = guarded::guard(&plan.guard, guards_end, None);
        command
            .arg(&plan.program)
            .args(&plan.args)
            .envs(variables.iter().map(|(name, value)| (name, value)));
        let mut guard = command.spawn()?;
        lifeline.begin(b"", until).await?;
        let voice = Arc::new(Voice::new(number));
        let (stdout, stderr) = (guard.stdout.take(), guard.stderr.take());
        let reader = Arc::clone(&voice);
        let reading = tokio::spawn(async move { reader.read(stdout, stderr).await });
        Ok(Process {
            guard,
            lifeline,
            voice,
            reading,
        })
    }

    /// What it says.
    pub(super) fn voice(&self) -> &Arc<Voice> {
        &self.voice
    }

    /// It may run until then.
    pub(super) async fn renew(&mut self, until: Boot) {
        // A guard that is gone shows by its end.
        let _ = self.lifeline.renew(until).await;
    }

    /// Waits until it has ended and its group is dead. Safe to cancel.
    pub(super) async fn gone(&mut self) {
        let _ = self.guard.wait().await;
    }

    /// Ends it, if it has not ended by itself: kills the whole group, and waits until it is dead.
    pub(super) async fn end(self) -> Ended {
        let Process {
            mut guard,
            lifeline,
            voice,
            reading,
        } = self;
        let parting = lifeline.let_go();
        let waited = tokio::time::timeout(KILLED_WITHIN, guard.wait()).await;
        let ending = match (parting.ending().await, waited) {
            (Some(ending), _) => ending,
            (None, Ok(status)) => {
                guarded::lost_guard(status.unwrap_or_else(|_| ExitStatus::default()))
            }
            (None, Err(_)) => Ending::Unstarted("its process group cannot be killed".to_owned()),
        };
        let abort = reading.abort_handle();
        if tokio::time::timeout(REST, reading).await.is_err() {
            abort.abort();
        }
        let said = voice.last_words();
        Ended { ending, said }
    }
}
