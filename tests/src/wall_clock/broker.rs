//! A wall clock that can be set for a nats-server that runs. It is linked statically, so nothing can be
//! loaded before it: what it asks for the time is the page of code that the kernel maps into each process,
//! and that is written over there. Timers and the boot clock are as they are.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

/// `clock_gettime` that asks the kernel, and adds the seconds at [`SECONDS`] to the wall clock.
const CODE: [u8; 22] = [
    0xb8, 0xe4, 0, 0, 0, // mov eax, 228
    0x0f, 0x05, // syscall
    0x85, 0xff, // test edi, edi
    0x75, 0x0a, // jnz: another clock
    0x48, 0x8b, 0x0d, 0x0e, 0, 0, 0, // mov rcx, [rip + 14]
    0x48, 0x01, 0x0e, // add [rsi], rcx
    0xc3, // ret
];
/// Where the seconds stand, behind [`CODE`].
const SECONDS: u64 = 32;
/// How long the server may take to stand still outside of that page.
const SOON: Duration = Duration::from_secs(10);

/// The wall clock of one nats-server, until that ends.
#[derive(Debug)]
pub struct BrokerWallClock {
    memory: File,
    at: u64,
}

impl BrokerWallClock {
    /// Takes over the clock of the process; `None` where that is not possible: on another kind of machine,
    /// or where no process may write into another.
    ///
    /// # Errors
    /// When the process does not stand still.
    pub async fn of(process: u32) -> anyhow::Result<Option<BrokerWallClock>> {
        let of = |name: &str| format!("/proc/{process}/{name}");
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Ok(None);
        }
        let opened = File::options().read(true).write(true).open(of("mem"));
        let (Ok(memory), Ok(maps)) = (opened, std::fs::read_to_string(of("maps"))) else {
            return Ok(None);
        };
        let Some((from, to)) = maps.lines().find_map(page) else {
            return Ok(None);
        };
        let mut image = vec![0; usize::try_from(to - from)?];
        memory.read_exact_at(&mut image, from)?;
        let Some(function) = symbol(&image, b"__vdso_clock_gettime") else {
            return Ok(None);
        };
        let clock = BrokerWallClock {
            memory,
            at: from + function,
        };
        let pid = Pid::from_raw(i32::try_from(process)?).context("no process id")?;
        eventually(SOON, "nats-server is outside of the page", async || {
            kill_process(pid, Signal::STOP)?;
            let tasks = of("task");
            let stands = async || is_still(Path::new(&tasks));
            let stood = eventually(SOON, "nats-server stands still", stands).await;
            let outside = stood.and_then(|()| is_outside(Path::new(&tasks), from..to));
            let begun = match outside {
                Ok(true) => clock.begin().map(|()| true),
                other => other,
            };
            kill_process(pid, Signal::CONT)?;
            begun
        })
        .await?;
        Ok(Some(clock))
    }

    fn begin(&self) -> anyhow::Result<()> {
        self.shift(0)?;
        let written = self.memory.write_all_at(&CODE, self.at);
        written.context("write the clock")
    }

    /// From now on it shows so many seconds more than it should.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn shift(&self, seconds: i64) -> anyhow::Result<()> {
        let place = self.at + SECONDS;
        let written = self.memory.write_all_at(&seconds.to_ne_bytes(), place);
        written.context("set the broker's clock")
    }
}

/// The page's bounds, if the line is of it.
fn page(line: &str) -> Option<(u64, u64)> {
    let (from, to) = line
        .strip_suffix("[vdso]")?
        .split_whitespace()
        .next()?
        .split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(from)?, number(to)?))
}

/// Whether all threads stand still.
fn is_still(tasks: &Path) -> anyhow::Result<bool> {
    for task in std::fs::read_dir(tasks)? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        // Behind the name, which is in brackets.
        if !stat
            .rsplit_once(") ")
            .is_some_and(|(_, state)| state.starts_with('T'))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether none of the threads, which stand still, is in the page.
fn is_outside(tasks: &Path, page: std::ops::Range<u64>) -> anyhow::Result<bool> {
    for task in std::fs::read_dir(tasks)? {
        let call = std::fs::read_to_string(task?.path().join("syscall"))?;
        // Its last word is where the thread goes on.
        let at = call.split_whitespace().next_back();
        let at = at.and_then(|at| u64::from_str_radix(at.strip_prefix("0x")?, 16).ok());
        if at.is_none_or(|at| page.contains(&at)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where a function begins in a 64-bit ELF image, as its section headers say.
fn symbol(image: &[u8], name: &[u8]) -> Option<u64> {
    let bytes = |at: usize, count: usize| image.get(at..at.checked_add(count)?);
    let long = |at| Some(u64::from_le_bytes(bytes(at, 8)?.try_into().ok()?) as usize);
    let word = |at| Some(u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?) as usize);
    let half = |at| Some(u16::from_le_bytes(bytes(at, 2)?.try_into().ok()?) as usize);
    let (headers, count) = (long(0x28)?, half(0x3c)?);
    let header = |number: usize| headers + number * 64;
    // 11: the table of dynamic symbols; it names the section of its strings.
    let table = (0..count).map(header).find(|at| word(at + 4) == Some(11))?;
    let strings = long(header(word(table + 40)?) + 24)?;
    let (from, size) = (long(table + 24)?, long(table + 32)?);
    (from..from + size).step_by(24).find_map(|symbol| {
        let at = strings + word(symbol)?;
        let end = bytes(at + name.len(), 1)?;
        let room = long(symbol + 16)? >= SECONDS as usize + 8;
        (bytes(at, name.len())? == name && end == [0] && room).then_some(long(symbol + 8)? as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_ends_before_the_seconds_that_it_reads() {
        // Relative to the instruction behind it.
        assert_eq!(u64::from(CODE[14]) + 18, SECONDS);
        assert!((CODE.len() as u64) < SECONDS);
    }
}
