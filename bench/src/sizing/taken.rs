//! What processes and stores have taken up to a moment.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use gridloom_shared::broker::Broker;

use crate::stack::Stack;
use crate::usage;

/// Everything up to now.
#[derive(Debug)]
pub(super) struct Taken {
    brokers: Vec<u32>,
    planner: u32,
    worker: u32,
    /// Processor seconds of all brokers, the planner, the worker.
    pub(super) cpu: [f64; 3],
    /// Most memory of a broker, the planner, the worker, in MiB.
    pub(super) peak_mib: [f64; 3],
    /// Bytes that the brokers have sent to their disks.
    pub(super) written: u64,
    /// Bytes of the ledger's records, one copy.
    pub(super) ledger: u64,
    /// Bytes that the files of each stream take, of all brokers together.
    pub(super) on_disk: BTreeMap<String, u64>,
}

impl Taken {
    /// Looks.
    pub(super) async fn now(
        stack: &Stack,
        broker: &Broker,
        [planner, worker]: [u32; 2],
    ) -> anyhow::Result<Taken> {
        let brokers = stack.pids()?;
        let (mut cpu, mut peak, mut written) = (0.0, 0.0_f64, 0);
        for pid in &brokers {
            cpu += usage::cpu_seconds(*pid)?;
            peak = peak.max(usage::memory(*pid)?.peak_mib);
            written += written_by(*pid)?;
        }
        let mut on_disk = BTreeMap::new();
        for store in stack.stores() {
            streams(&store, &mut on_disk);
        }
        Ok(Taken {
            cpu: [
                cpu,
                usage::cpu_seconds(planner)?,
                usage::cpu_seconds(worker)?,
            ],
            peak_mib: [
                peak,
                usage::memory(planner)?.peak_mib,
                usage::memory(worker)?.peak_mib,
            ],
            written,
            ledger: broker.info(&broker.subjects().ledger()).await?.bytes,
            on_disk,
            brokers,
            planner,
            worker,
        })
    }

    /// Peaks count anew from now on.
    pub(super) fn forget_peaks(&self) {
        let all = self.brokers.iter().chain([&self.planner, &self.worker]);
        all.for_each(|pid| usage::forget_peak(*pid));
    }

    /// Processor seconds of all since `before`.
    pub(super) fn cpu_since(&self, before: &Taken) -> f64 {
        self.cpu.iter().sum::<f64>() - before.cpu.iter().sum::<f64>()
    }
}

/// Bytes that a process has sent to a disk, or would have if they had not gone before.
fn written_by(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/io");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"));
    let bytes = line.and_then(|line| line.trim().parse().ok());
    bytes.with_context(|| format!("understand {path}"))
}

/// Adds what the files of each stream in a broker's store take.
fn streams(store: &Path, sizes: &mut BTreeMap<String, u64>) {
    let accounts = entries(&store.join("jetstream"));
    for account in accounts {
        for stream in entries(&account.join("streams")) {
            let name = stream.file_name().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            *sizes.entry(name).or_default() += size(&stream);
        }
    }
}

fn entries(dir: &Path) -> Vec<std::path::PathBuf> {
    let found = fs::read_dir(dir).into_iter().flatten().flatten();
    found.map(|entry| entry.path()).collect()
}

/// What the files below take; what goes meanwhile is gone.
fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => entries(path).iter().map(|path| size(path)).sum(),
        Ok(about) => about.blocks() * 512,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_for_their_stream() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = dir.path().join("jetstream/$G/streams/a-ledger/msgs");
        fs::create_dir_all(&blocks).unwrap();
        fs::write(blocks.join("1.blk"), vec![1; 100_000]).unwrap();
        let mut sizes = BTreeMap::new();
        streams(dir.path(), &mut sizes);
        streams(dir.path(), &mut sizes);
        assert!(sizes["a-ledger"] >= 200_000, "{sizes:?}");
    }

    #[test]
    fn what_a_process_writes_is_known_to_the_kernel() {
        assert!(written_by(std::process::id()).is_ok());
    }
}
