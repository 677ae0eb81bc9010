//! Up to where a reader was told: the `id` of an event. It names the ledger's sequence first, then those of the two
//! buckets that are told of, up to where of the ledger is told which runs were removed, and which streams those are.
//! Pure.

use std::fmt;

/// No text of one is longer.
const MOST: usize = 96;

/// A place in what is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Since {
    /// In the ledger.
    pub(super) ledger: u64,
    /// In the bucket of summaries.
    pub(super) runs: u64,
    /// In that of definitions.
    pub(super) jobs: u64,
    /// In the ledger, of the runs that were removed: these are heard apart from what happens in it.
    pub(super) gone: u64,
    /// A number of when those were made: others are another installation's, or this one's after a loss.
    pub(super) of: u32,
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Since {
            ledger,
            runs,
            jobs,
            gone,
            of,
        } = self;
        write!(f, "{ledger}.{runs}.{jobs}.{gone}.{of:08x}")
    }
}

impl Since {
    /// What a text says; `None`: it is no `id` of ours.
    pub(super) fn read(text: &str) -> Option<Since> {
        if text.len() > MOST {
            return None;
        }
        let mut parts = text.split('.');
        let mut number = || parts.next()?.parse().ok();
        let (ledger, runs, jobs, gone) = (number()?, number()?, number()?, number()?);
        let of = u32::from_str_radix(parts.next()?, 16).ok()?;
        parts.next().is_none().then_some(Since {
            ledger,
            runs,
            jobs,
            gone,
            of,
        })
    }

    /// A number of when these streams were made, as the broker says it (FNV-1a).
    pub(super) fn of<'t>(created: impl Iterator<Item = &'t str>) -> u32 {
        let bytes = created.flat_map(|text| text.bytes().chain([0]));
        bytes.fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_read_as_it_was_told_and_nothing_else_is_one() {
        let since = Since {
            ledger: 1_764_419_000_000_123,
            runs: 88,
            jobs: 0,
            gone: 7,
            of: 0xf3a,
        };
        assert_eq!(since.to_string(), "1764419000000123.88.0.7.00000f3a");
        assert_eq!(Since::read(&since.to_string()), Some(since));
        for none in [
            "",
            "1",
            "1.2.3",
            "1.2.3.4",
            "1.2.3.4.5.6",
            "1.2.3.4.x",
            "-1.2.3.4.5",
            &"1".repeat(200),
        ] {
            assert_eq!(Since::read(none), None, "{none}");
        }
    }

    #[test]
    fn streams_that_were_made_anew_are_others() {
        let of = |created: [&str; 2]| Since::of(created.into_iter());
        assert_eq!(of(["a", "b"]), of(["a", "b"]));
        assert_ne!(of(["a", "b"]), of(["a", "c"]));
        assert_ne!(of(["ab", ""]), of(["a", "b"]));
    }
}
