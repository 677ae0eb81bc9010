//! What this process and a program's guard say to each other: the program's input and until when it may run, that
//! its time is over; and in the end how it ended. As long as the line is open, the program may run.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::ending::Ending;

/// Most bytes of the guard's answer.
const ANSWER_MAX: u64 = 2 * 1024;
/// How long a guard may take for a line where many lie before it. One that stands still reads none, and whoever runs what it guards must
/// not stand still with it.
const READ_WITHIN: Duration = Duration::from_millis(20);
/// How long is waited for an answer when the guard has ended: it is there by then, if ever.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// This process's end of the line. Dropping it has the program's whole group killed.
#[derive(Debug)]
pub(crate) struct Lifeline {
    told: OwnedWriteHalf,
    answer: OwnedReadHalf,
}

impl Lifeline {
    /// A line, and its other end as the guard's standard input.
    pub(crate) fn open() -> std::io::Result<(Lifeline, Stdio)> {
        let (own, guards) = std::os::unix::net::UnixStream::pair()?;
        own.set_nonblocking(true)?;
        let (answer, told) = UnixStream::from_std(own)?.into_split();
        Ok((Lifeline { told, answer }, OwnedFd::from(guards).into()))
    }

    /// Hands over the standard input of a program that may run until then.
    pub(crate) async fn begin(&mut self, input: &[u8], until: Boot) -> std::io::Result<()> {
        self.say(&opening(input, until)).await
    }

    /// It may run until then.
    pub(crate) async fn renew(&mut self, until: Boot) -> std::io::Result<()> {
        self.say_soon(format!("{}\n", micros(until)).as_bytes())
            .await
    }

    /// Its time is over: it gets SIGTERM, and `grace` later SIGKILL.
    #[cfg(feature = "exec")]
    pub(crate) async fn stop(&mut self, grace: Duration) -> std::io::Result<()> {
        let line = format!("stop {}\n", grace.as_millis());
        self.say_soon(line.as_bytes()).await
    }

    /// Says a line, or leaves it unsaid: a guard that goes on finds the end of the lease that it heard of last, and acts by that. A
    /// line is written whole or not at all, so short as it is.
    async fn say_soon(&mut self, line: &[u8]) -> std::io::Result<()> {
        let said = tokio::time::timeout(READ_WITHIN, self.say(line)).await;
        said.unwrap_or(Ok(()))
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

    /// Lets the program go: if it still runs, its whole group is killed.
    pub(crate) fn let_go(self) -> Parting {
        Parting(self.answer)
    }
}

/// What is left of the line when the program was let go.
#[derive(Debug)]
pub(crate) struct Parting(OwnedReadHalf);

impl Parting {
    /// What the guard, which has ended, said of the program's end.
    pub(crate) async fn ending(self) -> Option<Ending> {
        let mut line = Vec::new();
        let mut answer = self.0.take(ANSWER_MAX);
        // What was read before an error may still be the answer.
        let _ = tokio::time::timeout(ANSWER_WITHIN, answer.read_to_end(&mut line)).await;
        Ending::parse(&String::from_utf8_lossy(&line))
    }
}

/// What the guard reads first: the length of the program's standard input and until when it may run,
/// a line's end, and the input itself.
fn opening(input: &[u8], until: Boot) -> Vec<u8> {
    let mut opening = format!("{} {}\n", input.len(), micros(until)).into_bytes();
    opening.extend_from_slice(input);
    opening
}

/// A moment as the guard reads it.
fn micros(moment: Boot) -> u128 {
    moment.0.as_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn guard_that_reads_nothing_is_not_waited_for() {
        let (mut lifeline, guards_end) = Lifeline::open().unwrap();
        let many = async {
            // More than its end of the line has room for.
            for n in 0..400 {
                lifeline.renew(Boot(Duration::from_secs(n))).await.unwrap();
            }
        };
        let said = tokio::time::timeout(Duration::from_secs(60), many).await;
        assert!(said.is_ok(), "it waits for who stands still");
        drop(guards_end);
    }

    #[test]
    fn input_stands_behind_its_length_and_the_end_of_its_lease() {
        let until = Boot(Duration::from_secs(7));
        assert_eq!(opening(b"abc\n", until), b"4 7000000\nabc\n");
        assert_eq!(opening(b"", until), b"0 7000000\n");
    }
}
