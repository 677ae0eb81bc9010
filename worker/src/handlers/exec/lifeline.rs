//! What the handler and a command's guard say to each other: the task, until when the command may run, that
//! its time is over; and in the end how it ended. As long as the line is open, the command may run.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::ending::Ending;
use super::task::{Task, micros};
use crate::shard::Shard;

/// How often is looked whether the lease was renewed: a tenth of what is left of it, within these.
const RENEW_MIN: Duration = Duration::from_millis(20);
const RENEW_MAX: Duration = Duration::from_secs(1);
/// Most bytes of the guard's answer.
const ANSWER_MAX: u64 = 2 * 1024;
/// How long is waited for an answer when the guard has ended: it is there by then, if ever.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// The handler's end of the line.
#[derive(Debug)]
pub(super) struct Lifeline {
    told: OwnedWriteHalf,
    answer: OwnedReadHalf,
}

impl Lifeline {
    /// A line, and its other end as the guard's standard input.
    pub(super) fn open() -> std::io::Result<(Lifeline, Stdio)> {
        let (own, guards) = std::os::unix::net::UnixStream::pair()?;
        own.set_nonblocking(true)?;
        let (answer, told) = UnixStream::from_std(own)?.into_split();
        Ok((Lifeline { told, answer }, OwnedFd::from(guards).into()))
    }

    /// Hands over the task of a command that may run until then.
    pub(super) async fn begin(&mut self, task: &Task, until: Boot) -> std::io::Result<()> {
        self.say(&task.payload(until)).await
    }

    /// Tells of each renewal of the lease, and when the attempt is out of time: then the command gets
    /// SIGTERM, and `grace` later SIGKILL.
    pub(super) async fn keep(
        &mut self,
        shard: &Shard,
        mut until: Boot,
        grace: Duration,
    ) -> Infallible {
        let mut over = false;
        loop {
            let pause = (shard.lease_remaining() / 10).clamp(RENEW_MIN, RENEW_MAX);
            let line = tokio::select! {
                () = tokio::time::sleep(pause) => {
                    let renewed = shard.lease_end();
                    if renewed <= until {
                        continue;
                    }
                    until = renewed;
                    format!("{}\n", micros(until))
                }
                () = shard.cancelled(), if !over => {
                    over = true;
                    format!("stop {}\n", grace.as_millis())
                }
            };
            if self.say(line.as_bytes()).await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// A guard that has ended already says why by its answer or its exit code.
    async fn say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self.told.write_all(bytes).await {
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// What the guard, which has ended, said of the command's end.
    pub(super) async fn ending(self) -> Option<Ending> {
        let mut line = Vec::new();
        let mut answer = self.answer.take(ANSWER_MAX);
        // What was read before an error may still be the answer.
        let _ = tokio::time::timeout(ANSWER_WITHIN, answer.read_to_end(&mut line)).await;
        Ending::parse(&String::from_utf8_lossy(&line))
    }
}
