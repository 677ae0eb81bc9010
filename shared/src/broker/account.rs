//! How much the account holds in JetStream, and may.

use serde::Deserialize;

use super::api::ApiError;
use super::connect::Broker;
use super::subjects;

/// How much an account holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// On file.
    pub file: u64,
    /// The most that it may; `None`: no limit of its own.
    pub file_limit: Option<u64>,
    /// In memory.
    pub memory: u64,
    /// The most that it may; `None`: no limit of its own.
    pub memory_limit: Option<u64>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    storage: u64,
    #[serde(default)]
    memory: u64,
    #[serde(default)]
    limits: Limits,
}

#[derive(Default, Deserialize)]
struct Limits {
    /// Not above zero: no limit.
    #[serde(default)]
    max_storage: i64,
    #[serde(default)]
    max_memory: i64,
}

impl Broker {
    /// How much the account holds. Where it has limits by number of replicas, the broker says no others.
    ///
    /// # Errors
    /// When the broker does not say.
    pub async fn account(&self) -> Result<AccountState, ApiError> {
        let info: Info = self
            .api(subjects::api::ACCOUNT_INFO.to_owned(), &())
            .await?;
        let limit = |bytes: i64| u64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
        Ok(AccountState {
            file: info.storage,
            file_limit: limit(info.limits.max_storage),
            memory: info.memory,
            memory_limit: limit(info.limits.max_memory),
        })
    }
}
