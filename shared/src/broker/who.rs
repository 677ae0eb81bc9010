//! Who the broker takes this client for. Each account has streams of its own: where those of an installation are not
//! there, they may be in another.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::connect::Broker;

/// Where the broker itself answers that.
const USER_INFO: &str = "$SYS.REQ.USER.INFO";
/// Who may not ask gets no answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A user and its account, as the broker calls them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Who {
    /// Its name, or its public key; empty for whoever need not log in.
    #[serde(default)]
    pub user: String,
    /// The account.
    #[serde(default)]
    pub account: String,
}

#[derive(Deserialize)]
struct Answer {
    data: Who,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.user.as_str() {
            "" => write!(f, "account {}", self.account),
            user => write!(f, "account {}, as user {user}", self.account),
        }
    }
}

impl Broker {
    /// Who this client is there; `None` where the broker does not tell, or it may not ask.
    pub async fn who(&self) -> Option<Who> {
        let asked = self.request(USER_INFO, Bytes::new(), PATIENCE);
        let answer: Answer = serde_json::from_slice(&asked.await.ok()?.payload).ok()?;
        Some(answer.data)
    }
}
