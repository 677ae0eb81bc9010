//! The settings of each stream and bucket (docs/PROTOCOL.md §1).

use serde_json::{Map, Value, json};

use super::drift::{self, Drift, STORAGE};
use super::sizes::{Kept, MAX_BYTES, Size};
use super::{Storage, Stream, TopologyOptions};
use crate::broker::subjects::{BucketName, Subjects};
use crate::limits::ALARM_BYTES_MAX;

/// The setting of a stream that takes open batches.
pub(in crate::broker) const OPEN_BATCHES: &str = "allow_batched";
/// The sequence of the first message that is stored in a stream.
pub(super) const FIRST_SEQ: &str = "first_seq";

/// A stream as it should be.
pub(super) struct Wanted {
    pub(super) name: String,
    /// What is compared with what is there: of its size, and of where the queue is kept, only what somebody named.
    pub(super) config: Map<String, Value>,
    /// What it is made with.
    size: Size,
    /// Where it is made.
    storage: Storage,
    /// Whether sequences begin at the microseconds since 1970, so that a stream that is deleted and
    /// made again never uses one twice.
    first_seq_from_clock: bool,
    /// Whether it takes open batches. Not compared: whoever ends those switches it off and on.
    open_batches: bool,
}

impl Wanted {
    pub(super) fn what(&self) -> String {
        format!("stream {}", self.name)
    }

    /// Which of its settings differ.
    pub(super) fn drifts_of(&self, found: &Stream) -> Vec<Drift> {
        drift::between(&self.name, &self.config, &found.config)
    }

    /// What is sent to create it.
    pub(super) fn to_create(&self) -> Value {
        let mut config = self.config.clone();
        config.insert("name".into(), self.name.clone().into());
        config.insert(MAX_BYTES.into(), self.size.setting().into());
        config.insert(STORAGE.into(), self.storage.setting().into());
        if self.first_seq_from_clock {
            let since = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            config.insert(
                FIRST_SEQ.into(),
                u64::try_from(since.as_micros()).unwrap_or(1).into(),
            );
        }
        if self.open_batches {
            config.insert(OPEN_BATCHES.into(), true.into());
        }
        Value::Object(config)
    }
}

/// Every stream and bucket of an installation.
pub(super) fn all(subjects: &Subjects, options: &TopologyOptions) -> Vec<Wanted> {
    let mut all = vec![
        ledger(subjects, options),
        shards(subjects, options),
        submit(subjects, options),
        history(subjects, options),
        alarm(subjects, options),
    ];
    let buckets = [
        (subjects.jobs(), Kept::Jobs),
        (subjects.runs(), Kept::Runs),
        (subjects.state(), Kept::State),
        (subjects.workers(), Kept::Workers),
    ];
    all.extend(
        buckets
            .iter()
            .map(|(name, kept)| bucket(name, *kept, options)),
    );
    all
}

fn stream(name: &str, kept: Kept, options: &TopologyOptions, settings: Value) -> Wanted {
    let mut config = json!({
        "storage": Storage::File.setting(),
        "num_replicas": options.replicas,
        "max_msgs": -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "no_ack": false,
        "sealed": false,
        "deny_delete": false,
        "deny_purge": false,
        "allow_direct": true,
    });
    if let (Value::Object(config), Value::Object(settings)) = (&mut config, settings) {
        config.extend(settings);
    }
    let mut config = match config {
        Value::Object(config) => config,
        _ => Map::new(),
    };
    if let Some(size) = options.sizes.named(kept) {
        config.insert(MAX_BYTES.into(), size.setting().into());
    }
    Wanted {
        name: name.to_owned(),
        config,
        size: options.sizes.made_with(kept, options.queue_made_in()),
        storage: Storage::File,
        first_seq_from_clock: false,
        open_batches: false,
    }
}

/// The queue.
pub(super) fn shards(subjects: &Subjects, options: &TopologyOptions) -> Wanted {
    let settings = json!({
        "subjects": [subjects.all_shards(), subjects.term()],
        "retention": "workqueue",
        "discard": "new",
        "allow_atomic": true,
    });
    let mut shards = Wanted {
        first_seq_from_clock: true,
        open_batches: options.replicas == 1,
        storage: options.queue_made_in(),
        ..stream(subjects.shards().as_str(), Kept::Shards, options, settings)
    };
    match options.queue_storage {
        Some(named) => shards.config.insert(STORAGE.into(), named.setting().into()),
        None => shards.config.remove(STORAGE),
    };
    shards
}

/// The ledger.
pub(super) fn ledger(subjects: &Subjects, options: &TopologyOptions) -> Wanted {
    let settings = json!({
        "subjects": [subjects.all_ledgers(), subjects.all_ids()],
        "retention": "limits",
        "discard": "new",
    });
    Wanted {
        // Workers know a run, and its tiles, by the sequence of its first record.
        first_seq_from_clock: true,
        ..stream(subjects.ledger().as_str(), Kept::Ledger, options, settings)
    }
}

/// No limit on one message: what is too large for a job must arrive, to be answered for.
fn submit(subjects: &Subjects, options: &TopologyOptions) -> Wanted {
    let settings = json!({
        "subjects": [subjects.all_submits()],
        "retention": "workqueue",
        "discard": "new",
    });
    Wanted {
        first_seq_from_clock: true,
        ..stream(subjects.submit().as_str(), Kept::Submit, options, settings)
    }
}

fn history(subjects: &Subjects, options: &TopologyOptions) -> Wanted {
    let settings = json!({
        "subjects": [subjects.all_fires(), subjects.unreadable(), subjects.actions()],
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": options.history_per_subject,
    });
    stream(
        subjects.history().as_str(),
        Kept::History,
        options,
        settings,
    )
}

/// One alarm for each thing that is watched, until a planner replaces it or takes it away: an age would take away those
/// of fires that are far off. The broker refuses `discard: new` beside message schedules.
fn alarm(subjects: &Subjects, options: &TopologyOptions) -> Wanted {
    let settings = json!({
        "subjects": [subjects.all_armed(), subjects.all_raised()],
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "max_msg_size": ALARM_BYTES_MAX,
        "allow_msg_schedules": true,
    });
    stream(subjects.alarm().as_str(), Kept::Alarm, options, settings)
}

/// Whoever may write one key of a bucket that takes roll-ups may remove all others by a header.
pub(super) const ROLLUPS: &str = "allow_rollup_hdrs";

fn bucket(name: &BucketName, kept: Kept, options: &TopologyOptions) -> Wanted {
    let settings = json!({
        "subjects": [name.subject(">")],
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        ROLLUPS: false,
        "deny_delete": true,
    });
    stream(name.stream().as_str(), kept, options, settings)
}
