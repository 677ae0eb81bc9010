//! Judges how fast work goes on after a fault: by a job on workers of its own, whose rate is set by
//! their slots alone.
//!
//! A committed shard stands for one slot that was busy for the length of a shard before it. So a
//! window counts the parts of shards that lie inside, and its edges are no noise; never more at once
//! than there are slots.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use gridloom_shared::clock::UnixMs;

use super::fault::Fault;

/// Job and queue.
pub const NAME: &str = "steady";
/// How long a shard takes: long beside what the engine needs between two tiles on a busy machine.
pub const SHARD: Duration = Duration::from_secs(2);
/// What all shards of the open runs take, where all of them are put back on the queue.
pub const QUEUED: Duration = Duration::from_secs(8);
/// The grid: two seconds of work. A shard is a tile: outcomes are written when a tile ends.
pub const GRID: &str = "slices = 4\npages = { count = 16 }\ntile = 1";
/// Runs that are open at once: others are at work while some are closed and followed, which may happen
/// at the same moment.
pub const OPEN: usize = 4;
/// Workers, and tiles that each runs at once.
pub const WORKERS: usize = 2;
/// See [`WORKERS`].
pub const CONCURRENCY: u32 = 32;

/// Least part of the rate before the first fault.
const KEPT: f64 = 0.95;
/// Shorter windows, all together, are not judged.
const ENOUGH: Duration = Duration::from_secs(30);

/// A time in which nothing is wrong any more.
#[derive(Clone, Debug)]
pub struct Window {
    /// Begin, on the broker's clock.
    pub from: UnixMs,
    /// End.
    pub until: UnixMs,
    /// The last faults before it; `None`: what later windows are compared with.
    pub after: Option<Vec<Fault>>,
}

/// Shards in windows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pool {
    /// Length of the windows.
    pub seconds: f64,
    /// Shards.
    pub shards: f64,
}

impl Pool {
    /// Shards a second.
    pub fn rate(&self) -> f64 {
        self.shards / self.seconds
    }

    fn add(&mut self, window: &Window, commits: &[UnixMs]) {
        let length = SHARD.as_millis() as u64;
        let place = |at: u64| at.clamp(window.from.0, window.until.0) - window.from.0;
        let mut steps = vec![0_i64; (window.until.0 - window.from.0) as usize + 1];
        for end in commits {
            steps[place(end.0.saturating_sub(length)) as usize] += 1;
            steps[place(end.0) as usize] -= 1;
        }
        let most = (WORKERS as u32 * CONCURRENCY) as i64;
        let busy = steps[..steps.len() - 1].iter().scan(0, |busy, step| {
            *busy += step;
            // Commits that an outage held up come all at once.
            Some((*busy).min(most))
        });
        self.shards += busy.sum::<i64>() as f64 / length as f64;
        self.seconds += (window.until.0 - window.from.0) as f64 / 1_000.0;
    }

    fn join(&mut self, other: Pool) {
        self.seconds += other.seconds;
        self.shards += other.shards;
    }
}

/// The rates of a mix.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// Before the first fault.
    pub before: Pool,
    /// After faults, all together.
    pub after: Pool,
    /// After faults, by the names of those that came last.
    pub by_fault: BTreeMap<String, Pool>,
    /// Windows with less than [`KEPT`], each with its begin in seconds after that of the first one.
    pub slow: Vec<(f64, Pool, String)>,
}

impl Rates {
    /// Counts in `windows` what was committed at `commits`.
    pub fn of(windows: &[Window], commits: &[UnixMs]) -> Rates {
        let mut rates = Rates::default();
        for window in windows {
            let Some(after) = &window.after else {
                rates.before.add(window, commits);
                continue;
            };
            let mut own = Pool::default();
            own.add(window, commits);
            rates.after.join(own);
            let name = match after.as_slice() {
                [] => "no fault".to_owned(),
                [fault] => format!("{fault:?}"),
                several => format!("{several:?}"),
            };
            if rates.part(&own) < KEPT {
                let begin = (window.from.0 - windows[0].from.0) as f64 / 1_000.0;
                rates.slow.push((begin, own, name.clone()));
            }
            rates.by_fault.entry(name).or_default().join(own);
        }
        rates
    }

    /// The rate after faults as a part of that before.
    pub fn ratio(&self) -> f64 {
        self.part(&self.after)
    }

    fn part(&self, pool: &Pool) -> f64 {
        pool.rate() / self.before.rate()
    }

    /// Whether the windows after faults are long enough to be judged.
    pub fn is_judged(&self) -> bool {
        self.after.seconds >= ENOUGH.as_secs_f64()
    }

    /// What is wrong with them.
    pub fn breach(&self) -> Option<String> {
        // Not a number where nothing was done before.
        let kept = self.ratio() >= KEPT;
        (self.is_judged() && !kept).then(|| format!("slower after faults: {self}"))
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pool { seconds, .. } = self.before;
        let before = self.before.rate();
        write!(
            f,
            "steady shards a second: {before:.1} in {seconds:.0} s before the first fault"
        )?;
        if self.after.seconds == 0.0 {
            return f.write_str(", none measured after faults");
        }
        let Pool { seconds, .. } = self.after;
        let (after, ratio) = (self.after.rate(), self.ratio());
        write!(
            f,
            ", {after:.1} in {seconds:.0} s after faults, ratio {ratio:.3}"
        )?;
        if !self.is_judged() {
            write!(f, " (not judged below {} s)", ENOUGH.as_secs())?;
        }
        for (name, pool) in &self.by_fault {
            let (seconds, part) = (pool.seconds, self.part(pool));
            write!(f, "\n  {part:.3} in {seconds:.0} s after {name}")?;
        }
        for (begin, pool, name) in &self.slow {
            write!(
                f,
                "\n  slow: {:.3} from {begin:.1} s on, after {name}",
                self.part(pool)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: u64, until: u64, after: Option<&[Fault]>) -> Window {
        Window {
            from: UnixMs(from),
            until: UnixMs(until),
            after: after.map(<[Fault]>::to_vec),
        }
    }

    /// What `slots` busy slots commit between two moments.
    fn commits(slots: usize, from: u64, until: u64) -> Vec<UnixMs> {
        let ends = (from..until)
            .step_by(2_000)
            .map(|begin| UnixMs(begin + 2_000));
        ends.flat_map(|end| std::iter::repeat_n(end, slots))
            .collect()
    }

    #[test]
    fn shards_count_by_their_part_inside_a_window() {
        let rates = Rates::of(&[window(250, 1_750, None)], &commits(3, 0, 2_000));
        assert_eq!(
            rates.before,
            Pool {
                seconds: 1.5,
                shards: 2.25
            }
        );
    }

    #[test]
    fn worker_that_never_comes_back_is_a_breach() {
        let windows = [
            window(0, 8_000, None),
            window(20_000, 28_000, Some(&[Fault::KillWorker])),
            window(40_000, 64_000, Some(&[Fault::Cut])),
        ];
        let mut all = commits(32, 0, 20_000);
        all.extend(commits(16, 20_000, 66_000));
        let rates = Rates::of(&windows, &all);
        assert!((rates.ratio() - 0.5).abs() < 1e-9);
        assert!(rates.breach().is_some());
        assert_eq!(rates.by_fault.len(), 2);
        let rates = Rates::of(&windows, &commits(32, 0, 66_000));
        assert_eq!(rates.breach(), None);
    }

    #[test]
    fn short_windows_are_not_judged() {
        let windows = [
            window(0, 8_000, None),
            window(9_000, 10_000, Some(&[Fault::Cut])),
        ];
        let rates = Rates::of(&windows, &commits(1, 0, 8_000));
        assert!(rates.ratio() < 0.5);
        assert_eq!(rates.breach(), None);
    }

    #[test]
    fn nothing_done_at_all_is_a_breach() {
        let windows = [
            window(0, 8_000, None),
            window(20_000, 54_000, Some(&[Fault::Cut])),
        ];
        assert!(Rates::of(&windows, &[]).breach().is_some());
    }
}
