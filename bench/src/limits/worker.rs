//! The worker of `limits`: each shard sleeps as long as its run says, and what ran when goes into a file.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_worker::{Failure, Shard, Worker};
use serde::Deserialize;

use crate::args::LogChild;
use crate::stack::{NAMESPACE, QUEUE};

/// The handler's name.
pub(super) const HANDLER: &str = "logged";
/// Bytes of one line.
const LINE: usize = 20;

/// What its runs say.
#[derive(Deserialize)]
struct Params {
    tag: u32,
    ms: u64,
}

/// One execution, on the boot clock of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Executed {
    pub(super) tag: u32,
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
}

impl Executed {
    fn line(self) -> [u8; LINE] {
        let mut line = [0; LINE];
        line[..4].copy_from_slice(&self.tag.to_le_bytes());
        line[4..12].copy_from_slice(&self.from_ns.to_le_bytes());
        line[12..].copy_from_slice(&self.to_ns.to_le_bytes());
        line
    }

    fn of(line: &[u8]) -> Option<Executed> {
        let (tag, rest) = line.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        Some(Executed {
            tag: u32::from_le_bytes(*tag),
            from_ns: u64::from_le_bytes(*from),
            to_ns: u64::from_le_bytes(*rest.first_chunk()?),
        })
    }
}

/// Works until it is stopped.
pub(crate) async fn serve(child: &LogChild) -> anyhow::Result<()> {
    let log = Arc::new(Mutex::new(File::create(&child.log)?));
    let handler = move |shard: Shard| execute(shard, Arc::clone(&log));
    let worker = Worker::builder()
        .nats(&child.nats)
        .namespace(NAMESPACE)
        .queue(QUEUE)
        .concurrency(child.concurrency);
    worker.handler(HANDLER, handler).run().await?;
    Ok(())
}

async fn execute(shard: Shard, log: Arc<Mutex<File>>) -> Result<(), Failure> {
    let params: Params = shard.params()?;
    let from_ns = now()?;
    if params.ms > 0 {
        tokio::time::sleep(Duration::from_millis(params.ms)).await;
    }
    let executed = Executed {
        tag: params.tag,
        from_ns,
        to_ns: now()?,
    };
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.write_all(&executed.line()).map_err(Failure::permanent)
}

fn now() -> Result<u64, Failure> {
    u64::try_from(Boot::now().0.as_nanos()).map_err(Failure::permanent)
}

/// What the log in `path` says of `tag`.
pub(super) fn executed(path: &Path, tag: u32) -> anyhow::Result<Vec<Executed>> {
    let bytes = std::fs::read(path)?;
    let all = bytes.chunks_exact(LINE).filter_map(Executed::of);
    Ok(all.filter(|executed| executed.tag == tag).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_the_log_is_read_back() {
        let executed = Executed {
            tag: 7,
            from_ns: 1 << 40,
            to_ns: u64::MAX,
        };
        assert_eq!(Executed::of(&executed.line()), Some(executed));
        assert_eq!(Executed::of(&executed.line()[1..]), None);
    }
}
