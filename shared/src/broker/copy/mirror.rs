//! A stream that follows one of the same name in another JetStream domain, and what is known of how far it is.
//!
//! It takes no subjects and is given none: nothing is published here until it is put back as a stream of its own
//! ([`super::back`]). The settings that it is to have then stand in its metadata. Purges do not come over: what the first
//! site has removed is here until a planner removes it again.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{CopyError, Extent, Origin, REPLICAS, failed};
use crate::broker::api::{ApiError, code};
use crate::broker::connect::Broker;
use crate::broker::subjects::{ANY, StreamName, api};
use crate::chain;
use crate::clock::UnixMs;

/// A mirror that has heard nothing for longer has lost its origin.
pub const SILENT: Duration = Duration::from_secs(30);
/// Where the settings of the origin stand.
const SETTINGS: &str = "gridloom-origin";
/// When the origin was made.
const MADE: &str = "gridloom-origin-made";

/// A mirror as it is.
#[derive(Clone, Debug)]
pub struct Mirrored {
    /// The domain of what it follows.
    pub domain: String,
    /// How much it holds.
    pub extent: Extent,
    /// Messages that it knows of and does not have.
    pub lag: u64,
    /// How long it has heard nothing; `None`: it never has.
    pub silent: Option<Duration>,
    /// When it heard something last, by the clock here. What is done with it later may take long: that it was silent for so
    /// long is of the moment of asking.
    pub heard: Option<UnixMs>,
    /// What it is put back with.
    pub settings: Map<String, Value>,
    /// When what it follows was made, where it was told.
    pub made: Option<String>,
}

/// A stream of another domain.
#[derive(Clone, Debug, Deserialize)]
pub struct Seen {
    /// What it is and holds.
    #[serde(flatten)]
    pub origin: Origin,
    /// When it was made, as the broker writes it: another time is another stream of that name.
    #[serde(default, rename = "created")]
    pub made: String,
}

impl Mirrored {
    /// Whether that is another stream than the one which it began to follow: made anew since, or put back from a backup.
    /// What it follows then is no continuation of what it has.
    pub fn is_of_another(&self, seen: &Seen) -> bool {
        self.made.as_ref().is_some_and(|made| *made != seen.made)
    }

    /// How many messages that one has which are not here, as far as sequences tell; its last message stands at `last`, 0:
    /// it has none.
    pub fn missing(&self, seen: &Seen, last: u64) -> u64 {
        let (here, there) = (self.extent.last_seq, seen.origin.extent());
        match here.max(1) < there.first_seq {
            // Nothing has come over of what is there: the sequences before were never used, or are gone.
            true => there.messages,
            false => last.saturating_sub(here),
        }
    }
}

#[derive(Deserialize)]
struct Info {
    config: Map<String, Value>,
    state: Value,
    #[serde(default)]
    mirror: Option<Following>,
}

#[derive(Deserialize)]
struct Last {
    message: Sequence,
}

#[derive(Deserialize)]
struct Sequence {
    seq: u64,
}

#[derive(Deserialize)]
struct Following {
    #[serde(default)]
    lag: u64,
    /// Nanoseconds; below zero: never.
    #[serde(default)]
    active: i64,
}

impl Following {
    fn silent(&self) -> Option<Duration> {
        let nanos = u64::try_from(self.active).ok()?;
        Some(Duration::from_nanos(nanos))
    }
}

/// The moment that lies so long before `at`.
fn before(at: UnixMs, long: Duration) -> UnixMs {
    let long = u64::try_from(long.as_millis()).unwrap_or(u64::MAX);
    UnixMs(at.0.saturating_sub(long))
}

impl Broker {
    /// Makes `stream` follow the one of that name in `domain`, in so many copies.
    ///
    /// # Errors
    /// When that one cannot be seen, or this one not be made.
    pub async fn mirror(
        &self,
        stream: &StreamName,
        domain: &str,
        replicas: usize,
    ) -> Result<(), CopyError> {
        let seen = self.seen_in(stream, domain).await;
        let Seen { origin, made } = seen.map_err(|cause| failed(stream, cause))?;
        let mut config = origin.config.clone();
        for key in ["subjects", "first_seq", "metadata"] {
            config.remove(key);
        }
        let settings = Value::Object(origin.config).to_string();
        config.insert(REPLICAS.into(), replicas.into());
        config.insert("deny_delete".into(), false.into());
        // What was purged there stays here: a limit of there would stop it.
        config.insert("max_bytes".into(), (-1).into());
        config.insert("metadata".into(), json!({ SETTINGS: settings, MADE: made }));
        let external = json!({ "api": api::of_domain(domain) });
        config.insert(
            "mirror".into(),
            json!({ "name": stream.as_str(), "external": external }),
        );
        let made = self.api::<Value>(api::stream_create(stream), &config);
        made.await.map_err(|cause| failed(stream, cause))?;
        Ok(())
    }

    /// What `stream` of `domain` is and holds.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn seen_in(&self, stream: &StreamName, domain: &str) -> Result<Seen, ApiError> {
        self.api(api::stream_info_in(domain, stream), &()).await
    }

    /// The sequence of the last message that `stream` of `domain` holds; 0: none. Not that of the last that was ever stored:
    /// a stream that was put back goes on far ahead, and nothing of that comes over before something is written.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn last_in(&self, stream: &StreamName, domain: &str) -> Result<u64, ApiError> {
        let question = json!({ "last_by_subj": ANY });
        let asked = self.api::<Last>(api::message_get_in(domain, stream), &question);
        match asked.await {
            Ok(last) => Ok(last.message.seq),
            Err(error) if error.err_code() == Some(code::NO_MESSAGE) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// How far `stream` follows; `None`: it follows none, or is not there.
    ///
    /// # Errors
    /// When the broker does not say.
    pub async fn mirrored(&self, stream: &StreamName) -> Result<Option<Mirrored>, ApiError> {
        let asked = UnixMs::now();
        let info = match self.api::<Info>(api::stream_info(stream), &()).await {
            Ok(info) => info,
            Err(error) if error.is_stream_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let place = |key: &str| info.config.get("mirror")?.pointer(key)?.as_str();
        let domain = place("/external/api").and_then(api::domain_of);
        let said = |key: &str| info.config.get("metadata")?.get(key)?.as_str();
        let (Some(domain), Some(settings)) = (domain, said(SETTINGS)) else {
            return Ok(None);
        };
        let settings = serde_json::from_str(settings)
            .map_err(|error| ApiError::Answer(chain(&error).to_string()))?;
        let following = info.mirror;
        let silent = following.as_ref().and_then(Following::silent);
        Ok(Some(Mirrored {
            domain: domain.to_owned(),
            extent: Extent::of(&info.state),
            lag: following.map_or(0, |mirror| mirror.lag),
            silent,
            heard: silent.map(|silent| before(asked, silent)),
            settings,
            made: said(MADE).map(str::to_owned),
        }))
    }
}
