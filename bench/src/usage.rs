//! What processes and the machine have used so far, as the kernel counts it. Linux only.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// The kernel shows processor time in hundredths of a second on every architecture.
const TICKS_A_SECOND: f64 = 100.0;

/// File systems that are no disk: a flush costs nothing there.
const IN_MEMORY: &[&str] = &["tmpfs", "ramfs"];

/// Processor time in seconds of a process, user and system together.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    cpu_in_stat(&text).with_context(|| format!("understand {path}"))
}

fn cpu_in_stat(text: &str) -> Option<f64> {
    // The name stands in parentheses and may hold anything; after it, user and system time are the
    // twelfth and thirteenth field.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_A_SECOND)
}

/// Every process: its id, its parent's, and its time in seconds with that of its children that have ended.
fn all() -> anyhow::Result<Vec<(u32, u32, f64)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").context("read /proc")?.flatten() {
        let pid = entry.file_name().to_string_lossy().parse::<u32>();
        let text = fs::read_to_string(entry.path().join("stat"));
        if let (Ok(pid), Ok(text)) = (pid, text)
            && let Some((parent, seconds)) = tree_in_stat(&text)
        {
            all.push((pid, parent, seconds));
        }
    }
    Ok(all)
}

/// Processor time in seconds of a process and of all that descend from it, those that have ended too.
pub(crate) fn tree_seconds(root: u32) -> anyhow::Result<f64> {
    let all = all()?;
    let (mut sum, mut known) = (0.0, vec![root]);
    while let Some(next) = known.pop() {
        sum += all
            .iter()
            .filter(|of| of.0 == next)
            .map(|of| of.2)
            .sum::<f64>();
        known.extend(all.iter().filter(|of| of.1 == next).map(|of| of.0));
    }
    Ok(sum)
}

/// The processes that descend from this one and are another program than it: not the guards between them.
pub(crate) fn programs_below(root: u32) -> anyhow::Result<Vec<u32>> {
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe"));
    let own = program(root).with_context(|| format!("find the program of process {root}"))?;
    let all = all()?;
    let (mut found, mut known) = (Vec::new(), vec![root]);
    while let Some(next) = known.pop() {
        let below = all.iter().filter(|of| of.1 == next).map(|of| of.0);
        known.extend(below);
        if program(next).is_ok_and(|it| it != own) {
            found.push(next);
        }
    }
    Ok(found)
}

/// The parent, and the time of the process and of its children that have ended.
fn tree_in_stat(text: &str) -> Option<(u32, f64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: Vec<f64> = fields
        .get(11..15)?
        .iter()
        .flat_map(|it| it.parse())
        .collect();
    Some((
        fields.get(1)?.parse().ok()?,
        ticks.iter().sum::<f64>() / TICKS_A_SECOND,
    ))
}

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    /// In use now.
    pub(crate) resident_mib: f64,
    /// The most since it started, or since [`forget_peak`].
    pub(crate) peak_mib: f64,
}

/// Memory of a process.
pub(crate) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let of = |key: &str| kib_in_status(&text, key).with_context(|| format!("find {key} in {path}"));
    Ok(Memory {
        resident_mib: of("VmRSS:")? / 1024.0,
        peak_mib: of("VmHWM:")? / 1024.0,
    })
}

fn kib_in_status(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Starts the count of a process's peak memory anew, where the kernel allows it.
pub(crate) fn forget_peak(pid: u32) {
    // Where it does not, peaks are those since the process's start: higher, never lower.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Processor time in seconds of the whole machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    busy: f64,
    all: f64,
}

impl Machine {
    /// Up to now.
    pub(crate) fn now() -> anyhow::Result<Machine> {
        let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        machine_in_stat(&text).context("understand /proc/stat")
    }

    /// Which part of the machine was busy between `earlier` and this, beside `ours` seconds.
    pub(crate) fn others(self, earlier: Machine, ours: f64) -> f64 {
        let all = (self.all - earlier.all).max(0.01);
        ((self.busy - earlier.busy - ours) / all).clamp(0.0, 1.0)
    }
}

/// What something else uses of the machine while this process measures: all but itself and what descends from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    machine: Machine,
    ours: f64,
}

impl Watch {
    /// From now on.
    pub(crate) fn begin() -> anyhow::Result<Watch> {
        Ok(Watch {
            machine: Machine::now()?,
            ours: tree_seconds(std::process::id())?,
        })
    }

    /// Which part of the machine something else had until now, 0 to 1.
    pub(crate) fn others(&self) -> anyhow::Result<f64> {
        let ours = tree_seconds(std::process::id())? - self.ours;
        Ok(Machine::now()?.others(self.machine, ours))
    }
}

fn machine_in_stat(text: &str) -> Option<Machine> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    // user nice system idle iowait irq softirq steal; what comes after is in `user` already.
    let fields: Vec<f64> = line
        .split_whitespace()
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let idle = fields.get(3)? + fields.get(4)?;
    let all: f64 = fields.iter().sum();
    Some(Machine {
        busy: (all - idle) / TICKS_A_SECOND,
        all: all / TICKS_A_SECOND,
    })
}

/// Processors and memory of the machine, for the record.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Hardware {
    /// The processor's own name.
    pub(crate) processor: String,
    /// How many of it this process may use.
    pub(crate) cores: usize,
    /// Main memory, in GiB.
    pub(crate) memory_gib: f64,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The file system of the temporary directory, where brokers and databases keep their stores.
    pub(crate) stores: String,
}

impl Hardware {
    /// This machine; what it does not say is empty.
    pub(crate) fn here() -> Hardware {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let model = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let temporary = std::env::temp_dir();
        let temporary = temporary.canonicalize().unwrap_or(temporary);
        let memory = kib_in_status(&read("/proc/meminfo"), "MemTotal:").unwrap_or_default();
        Hardware {
            processor: model
                .map(|(_, name)| name.trim().to_owned())
                .unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: (memory / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            stores: file_system(&read("/proc/mounts"), &temporary).to_owned(),
        }
    }
}

impl std::fmt::Display for Hardware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Hardware {
            cores,
            processor,
            kernel,
            stores,
            ..
        } = self;
        write!(
            f,
            "{cores} cores of {processor}, Linux {kernel}, stores on {stores}"
        )?;
        match IN_MEMORY.contains(&stores.as_str()) {
            true => f.write_str(" (which is no disk: TMPDIR says where)"),
            false => Ok(()),
        }
    }
}

/// Of which kind the file system is that holds `dir`; `unknown` where the kernel does not say.
fn file_system<'a>(mounts: &'a str, dir: &Path) -> &'a str {
    let holds = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (at, kind) = (Path::new(fields.next()?), fields.next()?);
        dir.starts_with(at).then_some((at, kind))
    });
    // The last of several on one place is the one that is seen.
    let deepest = holds.max_by_key(|(at, _)| at.components().count());
    deepest.map_or("unknown", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_process_may_hold_anything() {
        let text = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 99 1 2";
        assert_eq!(cpu_in_stat(text), Some(3.0));
    }

    #[test]
    fn children_that_have_ended_count_for_their_parent() {
        let text = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 60 40 20 0 4 0 99 1 2";
        assert_eq!(tree_in_stat(text), Some((1, 4.0)));
    }

    #[test]
    fn memory_is_read_in_kib() {
        assert_eq!(
            kib_in_status("VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\n", "VmHWM:"),
            Some(2048.0)
        );
    }

    #[test]
    fn what_others_use_is_what_is_left_of_the_busy_time() {
        let earlier = machine_in_stat("cpu  100 0 100 800 0 0 0 0 0 0\n").unwrap();
        let later = machine_in_stat("cpu  200 0 150 950 0 0 0 0 0 0\n").unwrap();
        assert!((later.others(earlier, 0.9) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn file_system_of_a_directory_is_that_of_the_deepest_place_that_holds_it() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\nother /tmp/a ext4 rw 0 0\nlast /tmp/a xfs rw 0 0\n";
        let of = |dir: &str| file_system(mounts, Path::new(dir));
        assert_eq!(of("/var/tmp"), "ext4");
        assert_eq!(of("/tmp/b"), "tmpfs");
        assert_eq!(of("/tmp/a/c"), "xfs");
        assert_eq!(file_system("", Path::new("/tmp")), "unknown");
    }

    #[test]
    fn own_process_is_known_to_the_kernel() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).unwrap() >= 0.0);
        assert!(memory(pid).unwrap().peak_mib > 0.0);
    }
}
