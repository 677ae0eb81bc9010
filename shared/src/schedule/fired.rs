//! Reads back which nominal time a run is of.

use jiff::Timestamp;

use crate::clock::UnixMs;
use crate::id::{JobName, RunId};

/// The nominal time of a run that a schedule opened. `None`: it is of another source.
pub fn nominal_of(run: &RunId) -> Option<UnixMs> {
    let (job, time) = run.as_str().split_once('_')?;
    let digits = time.strip_suffix('Z')?;
    let seconds = digits.get(..SECONDS)?;
    let millis = match digits.get(SECONDS..)? {
        "" => 0,
        millis => millis.parse::<u64>().ok()?,
    };
    let at: Timestamp = format!("{seconds}Z").parse().ok()?;
    let at = UnixMs(u64::try_from(at.as_millisecond()).ok()? + millis);
    let job = JobName::new(job).ok()?;
    (RunId::from_fire(&job, at) == *run).then_some(at)
}

/// `20260301T060000`.
const SECONDS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nominal_time_of_a_run_is_read_back_and_no_other_run_has_one() {
        let job = JobName::new("nightly").expect("a name");
        for at in [0, 1_772_344_800_000, 1_772_344_800_007, 4_102_444_799_999] {
            let run = RunId::from_fire(&job, UnixMs(at));
            assert_eq!(nominal_of(&run), Some(UnixMs(at)), "{run}");
        }
        for other in [
            RunId::from_request(&job, "7"),
            RunId::from_submission(&job, 20_260_301),
            RunId::new("nightly_20260301T250000Z").expect("an id"),
            RunId::new("nightly_20260301T060000").expect("an id"),
            RunId::new("nightly_20260301T060000000Z").expect("an id"),
            RunId::new("nightly_b_1_20260301T060000Z").expect("an id"),
        ] {
            assert_eq!(nominal_of(&other), None, "{other}");
        }
    }
}
