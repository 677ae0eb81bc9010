//! Decides when an embedded nats-server answers, or that it never will.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::guard::Guarded;

use super::{Error, config};

const TRY_EVERY: Duration = Duration::from_millis(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const TAIL_LINES: usize = 20;

/// The part of a server's greeting that says who it is.
#[derive(Deserialize)]
struct Greeting {
    server_name: String,
}

/// Removes what an earlier process left, so that it is not taken for the new one's.
pub(super) fn forget_earlier(dir: &Path) -> io::Result<()> {
    match std::fs::remove_file(dir.join(config::PID)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Waits until the server of this name greets on this port; gives its process id.
pub(super) async fn wait(
    process: &mut Guarded,
    dir: &Path,
    name: &str,
    port: u16,
    within: Duration,
) -> Result<Pid, Error> {
    let deadline = Instant::now() + within;
    loop {
        let ended = process.try_wait();
        if let Some(code) = ended.map_err(super::error::io_error("wait for the server in", dir))? {
            return Err(ended_early(dir, code, port));
        }
        // The name tells it from another server that got the port first.
        if greets(name, port).await
            && let Some(pid) = read_pid(dir)
        {
            return Ok(pid);
        }
        if Instant::now() >= deadline {
            return Err(Error::NotReady {
                port,
                within,
                tail: log_tail(dir),
            });
        }
        sleep(TRY_EVERY).await;
    }
}

async fn greets(name: &str, port: u16) -> bool {
    let greeting = timeout(ANSWER_WITHIN, async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await?;
        io::Result::Ok(line)
    });
    let Ok(Ok(line)) = greeting.await else {
        return false;
    };
    line.strip_prefix("INFO ")
        .and_then(|json| serde_json::from_str::<Greeting>(json).ok())
        .is_some_and(|greeting| greeting.server_name == name)
}

fn read_pid(dir: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(dir.join(config::PID)).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

fn ended_early(dir: &Path, code: u8, port: u16) -> Error {
    let tail = log_tail(dir);
    if tail.contains("address already in use") && tail.contains(&format!("127.0.0.1:{port}")) {
        return Error::PortInUse(port);
    }
    Error::Ended { code, tail }
}

/// The last lines of what the server wrote, before its log was open and after.
pub(super) fn log_tail(dir: &Path) -> String {
    let mut lines = Vec::new();
    for file in [config::OUTPUT, config::LOG] {
        let bytes = std::fs::read(dir.join(file)).unwrap_or_default();
        lines.extend(
            String::from_utf8_lossy(&bytes)
                .lines()
                .map(|line| format!("  {line}")),
        );
    }
    lines
        .split_off(lines.len().saturating_sub(TAIL_LINES))
        .join("\n")
}
