//! How many bytes each stream and bucket may take, and what becomes of one that has another size.
//!
//! A size that somebody named is made so where it is more than there: nothing is lost by it. Less is drift: a
//! stream that is made smaller may lose what does not fit, and the ledger is the truth about every run. A size
//! that nobody named is what a stream is made with; of one that is there it says nothing.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::Storage;
use crate::broker::subjects::{StreamName, Subjects};
use crate::limits::{QUEUE_BYTES, STREAM_BYTES_MIN};

/// The setting of a stream.
pub(super) const MAX_BYTES: &str = "max_bytes";
/// How the broker writes that there is no limit.
const UNLIMITED: i64 = -1;

/// The streams and buckets of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Tiles that wait.
    Shards,
    /// The records of all runs.
    Ledger,
    /// Ad-hoc messages that wait.
    Submit,
    /// Fire records, and messages that could not be understood.
    History,
    /// Alarms, armed and raised.
    Alarm,
    /// Definitions of jobs.
    Jobs,
    /// Summaries of runs.
    Runs,
    /// The leader's lease, floors, numbers of consumers.
    State,
    /// Registrations of workers.
    Workers,
}

impl Kept {
    /// All of them.
    pub const ALL: [Kept; 9] = [
        Kept::Shards,
        Kept::Ledger,
        Kept::Submit,
        Kept::History,
        Kept::Alarm,
        Kept::Jobs,
        Kept::Runs,
        Kept::State,
        Kept::Workers,
    ];

    /// Its name, without the namespace.
    pub fn as_str(self) -> &'static str {
        match self {
            Kept::Shards => "shards",
            Kept::Ledger => "ledger",
            Kept::Submit => "submit",
            Kept::History => "history",
            Kept::Alarm => "alarm",
            Kept::Jobs => "jobs",
            Kept::Runs => "runs",
            Kept::State => "state",
            Kept::Workers => "workers",
        }
    }

    /// What the broker calls it.
    pub fn stream(self, subjects: &Subjects) -> StreamName {
        match self {
            Kept::Shards => subjects.shards(),
            Kept::Ledger => subjects.ledger(),
            Kept::Submit => subjects.submit(),
            Kept::History => subjects.history(),
            Kept::Alarm => subjects.alarm(),
            Kept::Jobs => subjects.jobs().stream(),
            Kept::Runs => subjects.runs().stream(),
            Kept::State => subjects.state().stream(),
            Kept::Workers => subjects.workers().stream(),
        }
    }

    /// The one called `name`.
    pub fn called(name: &str) -> Option<Kept> {
        Kept::ALL.into_iter().find(|kept| kept.as_str() == name)
    }

    /// What it is made with where nobody names a size: submissions come from anybody, a queue in memory takes that
    /// from all that runs beside it, and all else follows from what runs need.
    fn usual(self, queue: Storage) -> Size {
        match (self, queue) {
            (Kept::Submit, _) => Size::Bytes(256 << 20),
            (Kept::Shards, Storage::Memory) => Size::Bytes(QUEUE_BYTES),
            (Kept::Shards, Storage::File) => Size::Unlimited,
            (
                Kept::Ledger
                | Kept::History
                | Kept::Alarm
                | Kept::Jobs
                | Kept::Runs
                | Kept::State
                | Kept::Workers,
                _,
            ) => Size::Unlimited,
        }
    }
}

/// The most bytes that a stream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As many as the broker has room for.
    Unlimited,
    /// So many.
    Bytes(u64),
}

impl Size {
    /// As the broker writes it.
    pub(super) fn setting(self) -> i64 {
        match self {
            Size::Unlimited => UNLIMITED,
            Size::Bytes(bytes) => i64::try_from(bytes).unwrap_or(i64::MAX),
        }
    }
}

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not of the form.
    #[error("must be a size such as \"512MiB\", \"10GiB\" or \"1TB\", or \"unlimited\"")]
    Malformed,
    /// The largest messages would not fit.
    #[error("must be at least {}MiB: a single record may have one", STREAM_BYTES_MIN >> 20)]
    Small,
    /// More than the broker can count.
    #[error("must be less than 8 EiB")]
    Large,
}

/// Units of bytes.
const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

impl FromStr for Size {
    type Err = SizeError;
    fn from_str(text: &str) -> Result<Size, SizeError> {
        if text == "unlimited" {
            return Ok(Size::Unlimited);
        }
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let unit = unit.trim_start().to_ascii_lowercase();
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let (Some((_, unit)), false) = (unit, number.is_empty()) else {
            return Err(SizeError::Malformed);
        };
        let number = number.parse::<u64>().map_err(|_| SizeError::Large)?;
        let bytes = number.checked_mul(*unit).ok_or(SizeError::Large)?;
        match bytes {
            bytes if bytes < STREAM_BYTES_MIN => Err(SizeError::Small),
            bytes if bytes >= i64::MAX.cast_unsigned() => Err(SizeError::Large),
            bytes => Ok(Size::Bytes(bytes)),
        }
    }
}

/// The sizes that somebody named.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes([Option<Size>; Kept::ALL.len()]);

impl Sizes {
    /// The size of `kept`, if somebody named it.
    pub fn named(&self, kept: Kept) -> Option<Size> {
        self.0[kept as usize]
    }

    /// The same with `size` for `kept`.
    #[must_use]
    pub fn with(mut self, kept: Kept, size: Size) -> Sizes {
        self.0[kept as usize] = Some(size);
        self
    }

    /// What `kept` is made with, the queue being made there.
    pub(super) fn made_with(&self, kept: Kept, queue: Storage) -> Size {
        self.named(kept).unwrap_or_else(|| kept.usual(queue))
    }
}

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Kept::ALL.iter().filter_map(|kept| {
            let size = self.named(*kept)?;
            Some((kept.as_str(), size))
        });
        f.debug_map().entries(named).finish()
    }
}

/// What `found` becomes with the size that is wanted; `None` where nobody named one, or it is not more than
/// `found` has.
pub(super) fn larger(wanted: Option<&Value>, found: &Value) -> Option<Value> {
    let wanted = wanted?;
    if !is_more(wanted, found.get(MAX_BYTES)?) {
        return None;
    }
    let mut larger = found.clone();
    larger[MAX_BYTES] = wanted.clone();
    Some(larger)
}

/// Whether a stream of the first size holds more than one of the second. The broker takes whatever is not above
/// zero for no limit.
pub(super) fn is_more(size: &Value, than: &Value) -> bool {
    let bytes = |value: &Value| value.as_i64().filter(|bytes| *bytes > 0);
    match (bytes(size), bytes(than)) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(size), Some(than)) => size > than,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_read_with_their_units_and_what_is_none_is_refused() {
        let bytes = |text: &str| text.parse::<Size>();
        assert_eq!(bytes("512MiB"), Ok(Size::Bytes(512 << 20)));
        assert_eq!(bytes("10 GB"), Ok(Size::Bytes(10_000_000_000)));
        assert_eq!(bytes("1tib"), Ok(Size::Bytes(1 << 40)));
        assert_eq!(bytes("4194304"), Ok(Size::Bytes(STREAM_BYTES_MIN)));
        assert_eq!(bytes("unlimited"), Ok(Size::Unlimited));
        for bad in ["", "GiB", "1.5GiB", "-1", "lots", "1 GiB more", "1PB"] {
            assert_eq!(bytes(bad), Err(SizeError::Malformed), "{bad:?}");
        }
        assert_eq!(bytes("4194303"), Err(SizeError::Small));
        assert_eq!(bytes("0"), Err(SizeError::Small));
        for large in ["9223372036854775807", "99999999TiB", "99999999999999999999"] {
            assert_eq!(bytes(large), Err(SizeError::Large), "{large:?}");
        }
    }

    #[test]
    fn every_stream_has_a_place_of_its_own() {
        let sizes = Kept::ALL
            .iter()
            .zip(1..)
            .fold(Sizes::default(), |sizes, (kept, n)| {
                sizes.with(*kept, Size::Bytes(n))
            });
        for (kept, n) in Kept::ALL.iter().zip(1..) {
            assert_eq!(sizes.named(*kept), Some(Size::Bytes(n)));
            assert_eq!(Kept::called(kept.as_str()), Some(*kept));
        }
        assert_eq!(Sizes::default().named(Kept::Ledger), None);
        assert_eq!(Kept::called("term"), None);
    }

    #[test]
    fn stream_only_grows() {
        let there = |bytes: i64| json!({ "name": "s", "max_bytes": bytes, "max_msgs": 7 });
        let made = |wanted: i64, has: i64| {
            larger(Some(&json!(wanted)), &there(has)).map(|config| config["max_bytes"].clone())
        };
        assert_eq!(made(20, 10), Some(json!(20)));
        assert_eq!(made(-1, 10), Some(json!(-1)));
        for (wanted, has) in [(10, 10), (10, 20), (10, -1), (-1, -1)] {
            assert_eq!(made(wanted, has), None, "{wanted} {has}");
        }
        assert_eq!(larger(None, &there(10)), None);
        assert_eq!(larger(Some(&json!(20)), &there(10)).unwrap()["max_msgs"], 7);
    }
}
