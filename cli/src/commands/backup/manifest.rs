//! What a directory says of itself, and which of them this build can put back.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::copy::{Extent, Origin};
use gridloom_shared::broker::topology::{Kept, backed_up};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::Namespace;
use serde::{Deserialize, Serialize};

/// What stands in [`Manifest::format`].
const FORMAT: &str = "gridloom backup";
/// The newest that this build can put back; it is raised when what an older one would do with it is wrong.
const VERSION: u32 = 1;

/// A backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::commands) struct Manifest {
    /// What it is.
    pub(in crate::commands) format: String,
    /// Of which kind.
    pub(in crate::commands) version: u32,
    /// Which gridloom made it.
    pub(in crate::commands) gridloom: String,
    /// Of which nats-server.
    pub(in crate::commands) server: String,
    /// Of which installation.
    pub(in crate::commands) namespace: Namespace,
    /// When that was begun, by the clock of who did it.
    pub(in crate::commands) taken_at: String,
    /// The same in milliseconds since 1970.
    pub(in crate::commands) taken_at_ms: UnixMs,
    /// Records of fires up to here stand in the history for sure as they did when the ledger was copied.
    pub(in crate::commands) history_up_to: u64,
    /// Up to when records of fires know nothing of runs that the copy of the ledger does not, by the broker's clock.
    pub(in crate::commands) cut: UnixMs,
    /// What it holds, in the order in which it was read.
    pub(in crate::commands) streams: Vec<Stored>,
}

/// A stream in a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::commands) struct Stored {
    /// Its name, without the namespace.
    pub(in crate::commands) name: String,
    /// What the broker calls it.
    pub(in crate::commands) stream: String,
    /// Where its content is.
    pub(in crate::commands) file: String,
    /// How much that is.
    pub(in crate::commands) bytes: u64,
    /// Its hash, in hexadecimal digits.
    pub(in crate::commands) sha256: String,
    /// What it is a copy of.
    pub(in crate::commands) origin: Origin,
}

impl Manifest {
    /// One that holds nothing yet.
    pub(in crate::commands) fn begin(broker: &Broker) -> Manifest {
        let now = UnixMs::now();
        Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            gridloom: env!("CARGO_PKG_VERSION").to_owned(),
            server: broker.server_version(),
            namespace: broker.subjects().namespace().clone(),
            taken_at: now.rfc3339(),
            taken_at_ms: now,
            history_up_to: 0,
            cut: UnixMs(0),
            streams: Vec::new(),
        }
    }

    /// How many copies the broker kept of it.
    pub(in crate::commands) fn replicas(&self) -> usize {
        let first = self.streams.first().map(|stored| stored.origin.replicas());
        first
            .and_then(|first| usize::try_from(first).ok())
            .unwrap_or(1)
    }

    /// The last sequence of what was copied of a stream.
    pub(in crate::commands) fn end_of(&self, kept: Kept) -> u64 {
        let mut streams = self.streams.iter();
        let stored = streams.find(|stored| stored.name == kept.as_str());
        stored.map_or(0, |stored| stored.origin.extent().last_seq)
    }

    /// Whether it is what came over to a second site: submissions do not.
    pub(in crate::commands) fn is_of_a_second_site(&self) -> bool {
        let mut streams = self.streams.iter();
        streams.all(|stored| stored.name != Kept::Submit.as_str())
    }

    /// The one in `text`, or why it cannot be put back.
    ///
    /// # Errors
    /// Why not.
    pub(in crate::commands) fn read(text: &str) -> Result<Manifest, String> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
            #[serde(default)]
            gridloom: String,
        }
        let head: Head = serde_json::from_str(text)
            .map_err(|error| format!("it is no backup of gridloom: {}", chain(&error)))?;
        if head.format != FORMAT {
            return Err(format!("it is no backup of gridloom but {:?}", head.format));
        }
        if head.version > VERSION {
            return Err(format!(
                "gridloom {} made it, of version {}; this one puts back what has version {VERSION} at most: use that one, or a newer",
                head.gridloom, head.version
            ));
        }
        let manifest: Manifest = serde_json::from_str(text)
            .map_err(|error| format!("its manifest makes no sense: {}", chain(&error)))?;
        manifest.is_whole().map(|()| manifest)
    }

    /// Refuses one that lacks a stream, or names one that no backup holds. Submissions do not come over to a second site.
    fn is_whole(&self) -> Result<(), String> {
        for stored in &self.streams {
            let kept = Kept::called(&stored.name);
            let times = self
                .streams
                .iter()
                .filter(|other| other.name == stored.name);
            if !kept.is_some_and(|kept| backed_up::IN_ORDER.contains(&kept)) || times.count() > 1 {
                return Err(format!(
                    "its manifest was changed: {:?} is no stream of a backup, or stands there twice",
                    stored.name
                ));
            }
        }
        let missing = backed_up::IN_ORDER.iter().find(|kept| {
            **kept != Kept::Submit
                && !self
                    .streams
                    .iter()
                    .any(|stored| stored.name == kept.as_str())
        });
        match missing {
            Some(kept) => Err(format!(
                "its manifest was changed: {} is missing; what would be put back is no installation",
                kept.as_str()
            )),
            None => Ok(()),
        }
    }
}

/// Sequences that are left out at least: as many as a busy ledger takes in minutes.
const AHEAD_LEAST: u64 = 1 << 20;
/// And at most: a broker that is asked which messages are missing names each of them.
const AHEAD_MOST: u64 = 1 << 24;
/// How much faster than on average it may have gone on.
const HASTE: u64 = 4;
/// A stream that is younger says little of what comes.
const SPAN_LEAST: Duration = Duration::from_secs(3_600);

/// Where a stream goes on that was copied `before` that long: above whatever it had stored since, as far as that can be
/// known from how fast it went before.
pub(in crate::commands) fn ahead(extent: &Extent, before: Duration) -> u64 {
    let span = match (extent.first_at, extent.last_at) {
        (Some(first), Some(last)) => Duration::from_millis(last.0.saturating_sub(first.0)),
        _ => Duration::ZERO,
    };
    let span = span.max(SPAN_LEAST).as_secs();
    let stored = extent.last_seq.saturating_sub(extent.first_seq);
    let since = u128::from(stored) * u128::from(before.as_secs()) / u128::from(span);
    let since = u64::try_from(since)
        .unwrap_or(u64::MAX)
        .saturating_mul(HASTE);
    let left_out = since.saturating_add(AHEAD_LEAST).min(AHEAD_MOST);
    extent.last_seq.saturating_add(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: &str, version: u32) -> String {
        serde_json::json!({ "format": format, "version": version, "gridloom": "9.9.9" }).to_string()
    }

    #[test]
    fn newer_version_and_another_format_are_refused_by_name() {
        let newer = Manifest::read(&text(FORMAT, VERSION + 1)).unwrap_err();
        assert!(newer.contains("9.9.9"), "{newer}");
        let other = Manifest::read(&text("something else", VERSION)).unwrap_err();
        assert!(other.contains("something else"), "{other}");
        let damaged = Manifest::read(&text(FORMAT, VERSION)).unwrap_err();
        assert!(damaged.contains("no sense"), "{damaged}");
        assert!(Manifest::read("{").is_err());
    }

    fn of_streams(names: &[&str]) -> Result<Manifest, String> {
        let streams = names.iter().map(|name| {
            serde_json::json!({
                "name": name, "stream": name, "file": name, "bytes": 0, "sha256": "",
                "origin": { "config": {}, "state": null },
            })
        });
        let text = serde_json::json!({
            "format": FORMAT, "version": VERSION, "gridloom": "", "server": "", "namespace": "n",
            "taken_at": "", "taken_at_ms": 1, "history_up_to": 0, "cut": 0,
            "streams": streams.collect::<Vec<_>>(),
        });
        Manifest::read(&text.to_string())
    }

    #[test]
    fn manifest_that_lacks_a_stream_or_names_another_is_refused() {
        let whole = ["submit", "state", "runs", "ledger", "history", "jobs"];
        assert!(of_streams(&whole).is_ok());
        assert!(of_streams(&whole[1..]).is_ok(), "of a second site");
        let without_ledger = of_streams(&["submit", "state", "runs", "history", "jobs"]);
        assert!(without_ledger.unwrap_err().contains("ledger is missing"));
        for other in ["ledger", "shards", "nonsense"] {
            let names = [&whole[..], &[other]].concat();
            let refused = of_streams(&names).unwrap_err();
            assert!(refused.contains(other), "{refused}");
        }
    }

    #[test]
    fn stream_goes_on_above_what_it_may_have_stored_since_and_within_bounds() {
        let hour = 3_600_000;
        let extent = |stored: u64, hours: u64| Extent {
            first_seq: 1,
            last_seq: 1 + stored,
            first_at: Some(UnixMs(1)),
            last_at: Some(UnixMs(1 + hours * hour)),
            ..Extent::default()
        };
        let hours = |n: u64| Duration::from_secs(n * 3_600);
        let left_out = |extent: Extent, before| ahead(&extent, before) - extent.last_seq;
        assert_eq!(left_out(Extent::default(), hours(1)), AHEAD_LEAST);
        // A million in ten hours, ten hours ago: a million more, four times.
        let busy = left_out(extent(1_000_000, 10), hours(10));
        assert_eq!(busy, AHEAD_LEAST + 4_000_000);
        assert_eq!(left_out(extent(1 << 40, 1), hours(1_000)), AHEAD_MOST);
        let last = Extent {
            last_seq: u64::MAX,
            ..Extent::default()
        };
        assert_eq!(ahead(&last, hours(1)), u64::MAX);
    }
}
