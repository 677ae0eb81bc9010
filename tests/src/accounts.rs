//! Decentralised accounts of a test's own, as `nsc` makes them: an operator, accounts, users and their credentials
//! files.

use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// Who signs accounts.
pub struct Operator {
    key: KeyPair,
    system: KeyPair,
}

/// Users with something of their own to say and store.
pub struct Account {
    name: String,
    key: KeyPair,
    has_jetstream: bool,
    revoked: Vec<String>,
}

/// One user.
pub struct User {
    /// Its key.
    pub key: KeyPair,
    jwt: String,
}

impl Operator {
    /// One with a system account.
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Operator {
        Operator {
            key: KeyPair::new_operator(),
            system: KeyPair::new_account(),
        }
    }

    /// What a nats-server is told that trusts this operator and knows these accounts.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn config(&self, accounts: &[&Account]) -> anyhow::Result<String> {
        let own =
            json!({ "type": "operator", "version": 2, "system_account": self.system.public_key() });
        let operator = signed(
            &self.key,
            &self.key.public_key(),
            "operator",
            &own,
            &json!({}),
        )?;
        let system = Account {
            name: "SYS".to_owned(),
            key: KeyPair::from_seed(&self.system.seed()?)?,
            has_jetstream: false,
            revoked: Vec::new(),
        };
        let mut preload = String::new();
        for account in accounts.iter().copied().chain([&system]) {
            let jwt = account.jwt(&self.key)?;
            preload += &format!("{}: {jwt}\n", account.key.public_key());
        }
        Ok(format!(
            "operator: {operator}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{\n{preload}}}\n",
            self.system.public_key()
        ))
    }
}

impl Account {
    /// One with JetStream.
    pub fn new(name: &str) -> Account {
        Account {
            name: name.to_owned(),
            key: KeyPair::new_account(),
            has_jetstream: true,
            revoked: Vec::new(),
        }
    }

    /// The same without.
    #[must_use]
    pub fn without_jetstream(mut self) -> Account {
        self.has_jetstream = false;
        self
    }

    /// Its public key.
    pub fn public_key(&self) -> String {
        self.key.public_key()
    }

    /// Takes a user's rights away.
    pub fn revoke(&mut self, user: &User) {
        self.revoked.push(user.key.public_key());
    }

    /// A new user, whose credentials hold until then (seconds since 1970), or for ever.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn user(&self, name: &str, until: Option<u64>) -> anyhow::Result<User> {
        self.user_with(name, until, &json!({}), &json!({}))
    }

    /// The same, who may publish and subscribe only so: `{ "allow": [...] }`.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn user_with(
        &self,
        name: &str,
        until: Option<u64>,
        publish: &Value,
        subscribe: &Value,
    ) -> anyhow::Result<User> {
        let key = KeyPair::new_user();
        let own = json!({
            "type": "user", "version": 2, "pub": publish, "sub": subscribe,
            "subs": -1, "data": -1, "payload": -1,
        });
        let more = until.map_or_else(|| json!({}), |until| json!({ "exp": until }));
        let jwt = signed(&self.key, &key.public_key(), name, &own, &more)?;
        Ok(User { key, jwt })
    }

    fn jwt(&self, operator: &KeyPair) -> anyhow::Result<String> {
        let storage = if self.has_jetstream { -1 } else { 0 };
        let revoked: serde_json::Map<String, Value> = self
            .revoked
            .iter()
            .map(|key| (key.clone(), json!(u32::MAX)))
            .collect();
        let own = json!({
            "type": "account", "version": 2, "revocations": revoked,
            "limits": {
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                "conn": -1, "leaf": -1, "mem_storage": storage, "disk_storage": storage,
                "streams": -1, "consumer": -1,
            },
        });
        signed(
            operator,
            &self.key.public_key(),
            &self.name,
            &own,
            &json!({}),
        )
    }
}

impl User {
    /// The text of its credentials file.
    ///
    /// # Errors
    /// When its key has no seed.
    pub fn creds(&self) -> anyhow::Result<String> {
        Ok(format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            self.jwt,
            self.key.seed()?
        ))
    }

    /// Writes its credentials file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let path = dir.join(format!("{name}.creds"));
        std::fs::write(&path, self.creds()?)?;
        Ok(path)
    }
}

fn signed(by: &KeyPair, of: &str, name: &str, own: &Value, more: &Value) -> anyhow::Result<String> {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let mut claims = json!({
        "jti": format!("{name}-{of}"), "iat": 1_700_000_000, "iss": by.public_key(), "name": name, "sub": of,
        "nats": own,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        claims[key.as_str()] = value.clone();
    }
    let signed = format!("{}.{}", part(&head), part(&claims));
    let signature = BASE64URL_NOPAD.encode(&by.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}
