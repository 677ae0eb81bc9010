//! Where the copies of each stream are, as the broker tells everybody who may look at streams. It judges nothing.

use serde::Deserialize;

use super::Kept;
use crate::broker::api::ApiError;
use crate::broker::connect::Broker;
use crate::broker::subjects::api;

/// The copies of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// The stream, as the broker calls it.
    pub stream: String,
    /// How many it is to have.
    pub wanted: usize,
    /// Whether they are in the servers' memory: a server that was started again has none until another gives it one.
    pub in_memory: bool,
    /// The server that leads it; `None`: none does, or the broker has no names for that as it stands alone.
    pub leader: Option<String>,
    /// Those beside the leader's.
    pub others: Vec<Follower>,
}

/// A copy beside the leader's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Follower {
    /// The server that has it.
    #[serde(rename = "name")]
    pub server: String,
    /// Whether it has all that the leader has.
    pub current: bool,
    /// Whether that server is away, as far as the broker knows: of one that was killed it knows that after a minute or two.
    pub offline: bool,
    /// How long the leader has not heard of it, in nanoseconds.
    #[serde(rename = "active")]
    pub silent_ns: u64,
}

#[derive(Deserialize)]
struct Info {
    config: Config,
    #[serde(default)]
    cluster: Members,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    num_replicas: usize,
    #[serde(default)]
    storage: String,
}

#[derive(Default, Deserialize)]
struct Members {
    #[serde(default)]
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Follower>,
}

/// Those of all streams and buckets that are there.
///
/// # Errors
/// When the broker does not say.
pub async fn copies(broker: &Broker) -> Result<Vec<Copies>, ApiError> {
    let mut all = Vec::new();
    for kept in Kept::ALL {
        let stream = kept.stream(broker.subjects());
        match broker.api::<Info>(api::stream_info(&stream), &()).await {
            Ok(info) => all.push(Copies {
                stream: stream.to_string(),
                wanted: info.config.num_replicas,
                in_memory: info.config.storage == "memory",
                leader: info.cluster.leader.filter(|leader| !leader.is_empty()),
                others: info.cluster.replicas,
            }),
            Err(error) if error.is_stream_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
