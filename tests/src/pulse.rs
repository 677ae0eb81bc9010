//! Measures what the machine itself takes from everything that runs on it: a thread of its own sleeps
//! shortly, computes for about two milliseconds and writes once to disk. It is late only where
//! processors or the disk are not to be had. Limits on time are longer by what was lost while they ran.

use std::fs::File;
use std::hint::black_box;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_shared::clock::UnixMs;

/// Time between two beats.
const EVERY: Duration = Duration::from_millis(50);
/// How long the computing of a beat takes on a machine with nothing else to do.
const WORK: Duration = Duration::from_millis(2);
/// So much slower than on an idle machine is a beat where nothing is wrong: two busy cores, a disk to
/// which others write.
const USUAL: u32 = 10;
/// How late a beat is where nothing is wrong.
const SLACK: Duration = Duration::from_millis(50);

/// No limit is longer by more than this: a machine so slow cannot be judged on, and what seems to be
/// one may be ours.
const MOST: Duration = Duration::from_secs(180);

/// Time that was lost, by the ends of the beats in which it was.
#[derive(Clone, Debug, Default)]
pub struct Lost(Vec<(UnixMs, Duration)>);

impl Lost {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.0.iter().map(|(_, lost)| *lost).sum()
    }

    /// How much of it was lost in beats that ended after `from` and not after `until`.
    pub fn between(&self, from: UnixMs, until: UnixMs) -> Duration {
        let inside = self
            .0
            .iter()
            .filter(|(end, _)| *end > from && *end <= until);
        inside.map(|(_, lost)| *lost).sum()
    }

    /// By how much a limit is longer that began at `from`.
    pub fn allowance(&self, from: UnixMs, until: UnixMs) -> Duration {
        self.between(from, until).min(MOST)
    }
}

/// Beats until it is dropped.
#[derive(Debug)]
pub struct Pulse {
    lost: Arc<Mutex<Lost>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    /// Starts it, with a file of its own in `dir`.
    ///
    /// # Errors
    /// When there can be no file or no thread.
    pub fn start(dir: &Path) -> anyhow::Result<Pulse> {
        let path = dir.join("pulse");
        let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let lost: Arc<Mutex<Lost>> = Arc::default();
        let (stop, stopped) = mpsc::channel();
        let list = Arc::clone(&lost);
        let thread = thread::Builder::new()
            .name("pulse".to_owned())
            .spawn(move || {
                let steps = steps_of(WORK);
                let mut begun = Instant::now();
                while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    let woken = Instant::now();
                    compute(steps);
                    // A disk that is full takes no time, and is nothing to tell of here.
                    let _ = file.rewind();
                    let _ = file.write_all(&[0; 4_096]);
                    let _ = file.sync_data();
                    let lost = lost_in(begun.elapsed(), woken.elapsed());
                    if !lost.is_zero() {
                        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
                        list.0.push((UnixMs::now(), lost));
                    }
                    begun = Instant::now();
                }
            })
            .context("start a thread")?;
        Ok(Pulse {
            lost,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What was lost so far.
    pub fn lost(&self) -> Lost {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.clone()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and its end is all that is waited for.
            let _ = thread.join();
        }
    }
}

/// What was lost in a beat of length `beat`, of which `work` was not slept: what it was late by, or,
/// where the work alone was slow, as much of the beat as everything else on the machine was slow, too.
fn lost_in(beat: Duration, work: Duration) -> Duration {
    let late = beat.saturating_sub(EVERY + SLACK);
    let usual = WORK * USUAL;
    let slow = 1.0 - usual.as_secs_f64() / work.as_secs_f64().max(usual.as_secs_f64());
    late.max(beat.mul_f64(slow))
}

fn compute(steps: u64) {
    let mut number = 1_u64;
    for step in 0..steps {
        number = black_box(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ step);
    }
}

/// How many steps take `time` where nothing disturbs: the best of several tries.
fn steps_of(time: Duration) -> u64 {
    const TRIED: u64 = 20_000;
    let best = (0..50).map(|_| {
        let begun = Instant::now();
        compute(TRIED);
        begun.elapsed()
    });
    let best = best.min().unwrap_or(time).max(Duration::from_nanos(1));
    (TRIED as f64 * time.as_secs_f64() / best.as_secs_f64()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn beat_in_time_loses_nothing() {
        assert_eq!(lost_in(ms(52), ms(2)), ms(0));
        assert_eq!(lost_in(ms(95), ms(20)), ms(0));
    }

    #[test]
    fn machine_that_stood_still_lost_that_time() {
        assert_eq!(lost_in(ms(5_100), ms(2)), ms(5_000));
    }

    #[test]
    fn machine_that_is_slow_loses_a_part_of_all_time() {
        assert_eq!(lost_in(ms(90), ms(40)), ms(45));
    }

    #[test]
    fn only_what_was_lost_inside_counts_and_never_more_than_can_be_judged_on() {
        let lost = Lost(vec![
            (UnixMs(10), ms(1)),
            (UnixMs(20), ms(2)),
            (UnixMs(30), MOST),
        ]);
        assert_eq!(lost.between(UnixMs(10), UnixMs(20)), ms(2));
        assert_eq!(lost.between(UnixMs(0), UnixMs(30)), MOST + ms(3));
        assert_eq!(lost.allowance(UnixMs(0), UnixMs(30)), MOST);
    }
}
