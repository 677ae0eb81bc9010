//! The roles of `deploy/nats`, for brokers under test: accounts and users as they are deployed, with passwords that
//! are the users' names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_nats::{Client, ConnectOptions, Event};

use crate::wait::eventually;

/// Every role.
pub const ROLES: [&str; 5] = ["planner", "operator", "worker", "submitter", "monitor"];
/// How long the broker may take to refuse something.
const REFUSED: Duration = Duration::from_secs(10);

/// The directory of what is deployed.
pub fn deployed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats")
}

/// The variable that holds the password of `role`.
pub fn variable(role: &str) -> String {
    format!("NATS_{}_PASSWORD", role.to_uppercase())
}

/// The accounts of `roles.conf` for `namespace`, and in that of the streams a user `anybody` who may do everything and
/// whom all are who give no name.
///
/// # Errors
/// When the files cannot be read.
pub fn accounts(namespace: &str) -> anyhow::Result<String> {
    let read = |name: &str| {
        let file = deployed().join(name);
        std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
    };
    let mut text = read("roles.conf")?.replace(
        "include ./worker-default.conf",
        &read("worker-default.conf")?,
    );
    for role in ROLES {
        text = text.replace(&format!("${}", variable(role)), &format!("\"{role}\""));
    }
    let anybody = "users: [\n      { user: \"anybody\", password: \"\" }";
    let text = text
        .replace("gridloom", namespace)
        .replacen("users: [", anybody, 1);
    Ok(format!("no_auth_user: \"anybody\"\n{text}"))
}

/// A plain client of one role, that notes what it is refused.
#[derive(Debug)]
pub struct Raw {
    /// The client.
    pub client: Client,
    refused: Arc<Mutex<BTreeSet<String>>>,
}

impl Raw {
    /// Logs in as `role` at `url`, with a password that is its name.
    ///
    /// # Errors
    /// When the broker does not let it in.
    pub async fn connect(url: &str, role: &str) -> anyhow::Result<Raw> {
        Raw::with(
            ConnectOptions::with_user_and_password(role.into(), role.into()),
            url,
        )
        .await
    }

    /// The same with credentials of the test's own.
    ///
    /// # Errors
    /// When the broker does not let it in.
    pub async fn with(options: ConnectOptions, url: &str) -> anyhow::Result<Raw> {
        let refused = Arc::<Mutex<BTreeSet<String>>>::default();
        let noted = Arc::clone(&refused);
        let options = options.event_callback(move |event| {
            if let Event::ServerError(error) = event {
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.insert(error.to_string().to_lowercase());
            }
            async {}
        });
        let client = options.connect(url).await;
        let client = client.with_context(|| format!("connect to {url}"))?;
        Ok(Raw { client, refused })
    }

    /// Waits until the broker has refused to let it publish on `subject`, which it tries.
    ///
    /// # Errors
    /// When it was not refused.
    pub async fn may_not_publish(&self, subject: &str) -> anyhow::Result<()> {
        self.client
            .publish(subject.to_owned(), "forged".into())
            .await?;
        self.client.flush().await?;
        self.is_refused("publish", subject).await
    }

    /// The same of listening there.
    ///
    /// # Errors
    /// When it was not refused.
    pub async fn may_not_hear(&self, subject: &str) -> anyhow::Result<()> {
        let _heard = self.client.subscribe(subject.to_owned()).await?;
        self.client.flush().await?;
        self.is_refused("subscription", subject).await
    }

    async fn is_refused(&self, what: &str, subject: &str) -> anyhow::Result<()> {
        let told = format!("permissions violation for {what} to \"{subject}\"").to_lowercase();
        let waited = format!("the broker refuses {what} to {subject}");
        eventually(REFUSED, &waited, async || {
            let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(refused.iter().any(|refused| refused.contains(&told)))
        })
        .await
    }

    /// What it was refused so far.
    pub fn refusals(&self) -> Vec<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().cloned().collect()
    }
}
