//! What is measured meanwhile: the memory and processor time of each process, and what the stores hold.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;

use super::growth::Point;
use crate::chaos::field::{Field, Role};

const MIB: f64 = 1_048_576.0;
/// Of the kernel, on every machine that these tests run on.
const TICKS_A_SECOND: f64 = 100.0;

/// One process in its place, from its start to its end.
#[derive(Clone, Debug)]
pub struct Life {
    /// Its process id.
    pub pid: u32,
    /// What it had in memory.
    pub resident: Vec<Point>,
    /// Processor seconds that it has used.
    pub cpu: f64,
}

/// All that was measured.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// The processes that were in each place, by its name.
    pub places: BTreeMap<String, Vec<Life>>,
    /// What is held where, by its name.
    pub stores: BTreeMap<String, Vec<Point>>,
}

impl Gauges {
    /// Measures everything once, `at` seconds after the begin. What is not there now is left out.
    ///
    /// # Errors
    /// When a store cannot be looked at.
    pub async fn measure(&mut self, field: &mut Field, at: f64) -> anyhow::Result<()> {
        let mut brokers = Vec::new();
        for (n, server) in field.brokers.servers().iter().enumerate() {
            brokers.push((n + 1, server.pid(), server.store().join("jetstream")));
        }
        for (number, pid, store) in brokers {
            let name = format!("broker {number}");
            if let Some(pid) = pid {
                self.process(&name, pid, at);
            }
            let size = on_disk(&store) as f64 / MIB;
            self.store(format!("disk of {name}"), at, size);
        }
        for actor in &field.actors {
            let role = match actor.role {
                Role::Planner => "planner",
                Role::Worker => "worker",
                Role::SteadyWorker => "steady worker",
            };
            self.process(&format!("{role} {}", actor.number), actor.pid(), at);
        }
        let subjects = field.broker.subjects();
        // A broker that is away is asked the next time.
        for stream in [subjects.ledger(), subjects.history(), subjects.shards()] {
            if let Ok(state) = field.broker.info(&stream).await {
                self.store(format!("stream {stream}"), at, state.bytes as f64 / MIB);
            }
        }
        if let Ok(account) = field.broker.account().await {
            self.store("account, on file".to_owned(), at, account.file as f64 / MIB);
            self.store(
                "account, in memory".to_owned(),
                at,
                account.memory as f64 / MIB,
            );
        }
        Ok(())
    }

    fn process(&mut self, name: &str, pid: u32, at: f64) {
        let Some((resident, cpu)) = of_process(pid) else {
            return;
        };
        let lives = self.places.entry(name.to_owned()).or_default();
        if lives.last().is_none_or(|life| life.pid != pid) {
            let resident = Vec::new();
            lives.push(Life { pid, resident, cpu });
        }
        if let Some(life) = lives.last_mut() {
            life.resident.push((at, resident));
            life.cpu = cpu;
        }
    }

    fn store(&mut self, name: String, at: f64, mib: f64) {
        self.stores.entry(name).or_default().push((at, mib));
    }

    /// What each place and store has now, for people.
    pub fn now(&self) -> String {
        let places = self.places.iter().filter_map(|(name, lives)| {
            let (_, mib) = lives.last()?.resident.last()?;
            Some(format!("{name} {mib:.0}"))
        });
        let stores = self.stores.iter().filter_map(|(name, points)| {
            let (_, mib) = points.last()?;
            Some(format!("{name} {mib:.1}"))
        });
        let (places, stores) = (places.collect::<Vec<_>>(), stores.collect::<Vec<_>>());
        format!("MiB: {}; {}", places.join(", "), stores.join(", "))
    }

    /// Everything, one measurement a line: place or store, process id, second, MiB.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let mut text = String::from("what,pid,second,mib\n");
        for (name, lives) in &self.places {
            for life in lives {
                for (at, mib) in &life.resident {
                    text += &format!("{name},{},{at:.0},{mib:.2}\n", life.pid);
                }
            }
        }
        for (name, points) in &self.stores {
            for (at, mib) in points {
                text += &format!("\"{name}\",,{at:.0},{mib:.3}\n");
            }
        }
        fs::write(file, text).with_context(|| format!("write {}", file.display()))
    }
}

/// Memory in MiB and processor seconds of a process; `None` when it has ended.
fn of_process(pid: u32) -> Option<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of a process may hold anything.
    let fields = stat.get(stat.rfind(')')? + 2..)?;
    let ticks = |n: usize| fields.split(' ').nth(n)?.parse::<f64>().ok();
    Some((kib / 1_024.0, (ticks(11)? + ticks(12)?) / TICKS_A_SECOND))
}

/// What the files below `dir` take; what goes meanwhile is gone.
fn on_disk(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => on_disk(&entry.path()),
        Ok(about) => about.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_has_memory_and_uses_processors() {
        let (resident, cpu) = of_process(std::process::id()).unwrap();
        assert!(resident > 1.0 && cpu >= 0.0, "{resident} MiB, {cpu} s");
    }

    #[test]
    fn files_count_wherever_they_are() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/c"), vec![1; 100_000]).unwrap();
        assert!(on_disk(dir.path()) >= 100_000);
        assert_eq!(on_disk(&dir.path().join("none")), 0);
    }
}
