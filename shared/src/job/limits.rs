//! What a job may take of the cluster: time, tiles at once, shards in a while, and its place among
//! other jobs. A submission cannot change it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{JobName, ResourceName, ShareName};
use crate::limits::ABORT_AFTER_DEFAULT;

/// Most tiles of one job at once that a job may say.
pub const CONCURRENCY_MAX: u32 = 1_000_000;
/// Most shards a second, minute or hour that a job may say.
pub const RATE_MAX: u32 = 1_000_000_000;
/// The last priority; the first is 0.
pub const PRIORITY_MAX: u8 = 9;

/// What a job may take, and where it stands among others. Records and definitions of before a field
/// was known lack it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitsSpec {
    /// Longest attempt of one shard, in milliseconds. `None`: no limit.
    pub timeout_ms: Option<u64>,
    /// How many dead shards end the run. `None`: the default of [`AbortAfter`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_after: Option<AbortAfter>,
    /// Tiles of the job at once, in the whole cluster, 1 to [`CONCURRENCY_MAX`]. `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Shards of the job that may be issued in a while, in the whole cluster. `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Which runs go first.
    #[serde(default, skip_serializing_if = "Priority::is_default")]
    pub priority: Priority,
    /// Whom its worker-seconds are counted for. `None`: the job itself ([`LimitsSpec::share_of`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareName>,
    /// What a hold of this job stops, with all other jobs that name it. `None`: the job alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceName>,
}

impl LimitsSpec {
    /// The share of the job called `job`: the one it names, or one of its own.
    pub fn share_of(&self, job: &JobName) -> ShareName {
        self.share
            .clone()
            .unwrap_or_else(|| ShareName::from(job.clone()))
    }
}

/// How many shards may die, since the run was opened or reopened, before it ends itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortAfter {
    /// So many, at least 1.
    Dead(u64),
    /// This share of the grid's shards in percent, above 0 and at most 100. Not judged before all
    /// pages of a probed grid are known.
    DeadPercent(f64),
    /// Any number is borne.
    Never,
}

/// A job that says nothing of it: nobody looks at more dead shards than these one by one.
impl Default for AbortAfter {
    fn default() -> AbortAfter {
        AbortAfter::Dead(ABORT_AFTER_DEFAULT)
    }
}

impl AbortAfter {
    /// Whether `dead` of `all` shards are too many; `all` is `None` while that is not known.
    pub fn is_reached(&self, dead: u64, all: Option<u64>) -> bool {
        match self {
            AbortAfter::Dead(most) => dead >= *most,
            AbortAfter::DeadPercent(percent) => {
                dead > 0 && all.is_some_and(|all| dead as f64 * 100.0 >= *percent * all as f64)
            }
            AbortAfter::Never => false,
        }
    }
}

/// The place of a job's runs among others: 0 first, [`PRIORITY_MAX`] last, 5 where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// The priority, if `number` is one.
    pub fn new(number: u8) -> Option<Priority> {
        (number <= PRIORITY_MAX).then_some(Priority(number))
    }

    /// Its number: the lower goes first.
    pub fn get(self) -> u8 {
        self.0
    }

    fn is_default(&self) -> bool {
        *self == Priority::default()
    }
}

impl Default for Priority {
    fn default() -> Priority {
        Priority(5)
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;
    fn try_from(number: u8) -> Result<Priority, String> {
        Priority::new(number).ok_or_else(|| format!("priority {number} is over {PRIORITY_MAX}"))
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> u8 {
        priority.0
    }
}

/// The time that a rate counts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// `/s`
    Second,
    /// `/m`
    Minute,
    /// `/h`
    Hour,
}

impl Period {
    const ALL: [Period; 3] = [Period::Second, Period::Minute, Period::Hour];

    fn letter(self) -> &'static str {
        match self {
            Period::Second => "s",
            Period::Minute => "m",
            Period::Hour => "h",
        }
    }

    /// How long it is.
    pub fn length(self) -> Duration {
        Duration::from_secs(match self {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3_600,
        })
    }
}

/// So many in a while, kept exactly as it was said: 1 an hour is no fraction a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    count: u32,
    period: Period,
}

/// Why a text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a rate such as \"500/s\", \"90/m\" or \"10/h\": a whole number from 1 to {RATE_MAX}, and s, m or h"
)]
pub struct RateError;

impl Rate {
    /// `count` in each `period`, if that is 1 to [`RATE_MAX`].
    pub fn new(count: u32, period: Period) -> Option<Rate> {
        (1..=RATE_MAX)
            .contains(&count)
            .then_some(Rate { count, period })
    }

    /// How many in each [`Rate::period`].
    pub fn count(self) -> u32 {
        self.count
    }

    /// The time that it counts over.
    pub fn period(self) -> Period {
        self.period
    }

    /// How many a second; a fraction for slow ones.
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / self.period.length().as_secs_f64()
    }
}

impl FromStr for Rate {
    type Err = RateError;
    fn from_str(text: &str) -> Result<Rate, RateError> {
        let (count, letter) = text.split_once('/').ok_or(RateError)?;
        let mut periods = Period::ALL.into_iter();
        let period = periods.find(|period| period.letter() == letter);
        // `parse` would take a sign too.
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RateError);
        }
        let count = count.parse().map_err(|_| RateError)?;
        period
            .and_then(|period| Rate::new(count, period))
            .ok_or(RateError)
    }
}

impl TryFrom<String> for Rate {
    type Error = RateError;
    fn try_from(text: String) -> Result<Rate, RateError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> String {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.period.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_a_whole_number_in_a_second_a_minute_or_an_hour() {
        for (text, per_second) in [("500/s", 500.0), ("90/m", 1.5), ("36/h", 0.01)] {
            let rate: Rate = text.parse().unwrap();
            assert!((rate.per_second() - per_second).abs() < 1e-12, "{text}");
            assert_eq!(rate.to_string(), text);
        }
        let most = format!("{RATE_MAX}/s");
        assert_eq!(most.parse::<Rate>().map(Rate::count), Ok(RATE_MAX));
        for bad in [
            "",
            "/s",
            "500",
            "0/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "1/d",
            "1/S",
            "1/",
            "1 /s",
            "1/s ",
            "1/s/s",
            "1000000001/s",
            "99999999999/s",
        ] {
            assert_eq!(bad.parse::<Rate>(), Err(RateError), "{bad}");
        }
    }

    #[test]
    fn limits_of_old_records_have_the_defaults_and_defaults_are_not_written() {
        let old = r#"{"timeout_ms":null}"#;
        let limits: LimitsSpec = serde_json::from_str(old).unwrap();
        assert_eq!(limits, LimitsSpec::default());
        assert_eq!(serde_json::to_string(&limits).unwrap(), old);
        assert_eq!(limits.priority.get(), 5);
    }

    #[test]
    fn limits_that_no_job_file_may_say_are_not_read_from_a_record_either() {
        for bad in [
            r#"{"timeout_ms":null,"rate":"0/s"}"#,
            r#"{"timeout_ms":null,"priority":10}"#,
            r#"{"timeout_ms":null,"share":"*"}"#,
        ] {
            assert!(serde_json::from_str::<LimitsSpec>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn job_that_names_no_share_has_its_own() {
        let job = JobName::new("nightly").unwrap();
        let mut limits = LimitsSpec::default();
        assert_eq!(limits.share_of(&job).as_str(), "nightly");
        limits.share = Some(ShareName::new("tenant-a").unwrap());
        assert_eq!(limits.share_of(&job).as_str(), "tenant-a");
    }
}
