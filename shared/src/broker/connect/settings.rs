//! What people say of the way to the broker beside its address: which of it counts where it is said in several places,
//! and what contradicts itself. Flags, variables, the configuration file and a worker's builder all end here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::credentials::{self, Credentials};
use super::options::addresses;
use super::tls::TlsUse;
use super::{ConnectError, Options};
use crate::chain;
use crate::duration::parse_duration;
use crate::environment::{self, EnvironmentError};
use crate::secret::Secret;

/// A connection that takes longer than this is none.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// Nothing is decided in less.
const TIMEOUT_MIN: Duration = Duration::from_millis(50);

/// What is said of the way to the broker; what is not said is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// A credentials file.
    pub creds: Option<PathBuf>,
    /// The file of an nkey's seed.
    pub nkey: Option<PathBuf>,
    /// A user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// A token.
    pub token: Option<Secret>,
    /// Certificate authorities to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// A client certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// When the connection is encrypted.
    pub tls: Option<TlsUse>,
    /// The JetStream domain.
    pub domain: Option<String>,
    /// The prefix of reply subjects.
    pub inbox: Option<String>,
    /// How long a connection may take.
    pub timeout: Option<Duration>,
}

/// Why settings cannot be followed. Both sides of a contradiction are named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Two ways to log in.
    #[error("log in to the broker by both {0} and {1}: give one of them")]
    Both(String, String),
    /// One that is of no use alone.
    #[error("use {0} without {1}: give both, or neither")]
    Alone(String, String),
    /// One says what cannot be.
    #[error("use {name}: {cause}")]
    Value {
        /// Which.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The address is none.
    #[error("{0}")]
    Address(String),
}

/// A way to log in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Creds,
    Nkey,
    User,
    Token,
}

impl Way {
    const ALL: [Way; 4] = [Way::Creds, Way::Nkey, Way::User, Way::Token];

    fn name(self) -> String {
        match self {
            Way::Creds => named("creds"),
            Way::Nkey => named("nkey"),
            Way::User => named("user"),
            Way::Token => hidden("token"),
        }
    }
}

/// Everything that a setting is called.
fn named(key: &str) -> String {
    let variable = key.to_uppercase();
    format!("{key} (--nats-{key}, GRIDLOOM_NATS_{variable}, nats.{key})")
}

/// The same of one that has no flag of its own.
fn hidden(key: &str) -> String {
    let variable = key.to_uppercase();
    format!("{key} (GRIDLOOM_NATS_{variable}, --nats-{key}-file, nats.{key})")
}

impl Settings {
    /// The settings in the environment.
    ///
    /// # Errors
    /// When one says what cannot be.
    pub fn from_environment() -> Result<Settings, EnvironmentError> {
        let path = |name| Ok(environment::setting(name)?.map(PathBuf::from));
        let text = environment::setting;
        Ok(Settings {
            creds: path("NATS_CREDS")?,
            nkey: path("NATS_NKEY")?,
            user: text("NATS_USER")?,
            password: environment::place_of("NATS_PASSWORD")?,
            token: environment::place_of("NATS_TOKEN")?,
            ca: path("NATS_CA")?,
            cert: path("NATS_CERT")?,
            key: path("NATS_KEY")?,
            tls: environment::parsed("NATS_TLS", str::parse)?,
            domain: text("NATS_DOMAIN")?,
            inbox: text("NATS_INBOX")?,
            timeout: environment::parsed("NATS_TIMEOUT", timeout)?,
        })
    }

    /// These, and what they leave open as it is `below`. How to log in is one thing: a user here puts aside a
    /// credentials file there.
    #[must_use]
    pub fn over(self, below: Settings) -> Settings {
        let silent = self.ways().next().is_none();
        let same = |way: Way| silent || self.says(way);
        Settings {
            creds: self
                .creds
                .clone()
                .or(below.creds.filter(|_| same(Way::Creds))),
            nkey: self.nkey.clone().or(below.nkey.filter(|_| same(Way::Nkey))),
            user: self.user.clone().or(below.user.filter(|_| same(Way::User))),
            password: self
                .password
                .clone()
                .or(below.password.filter(|_| same(Way::User))),
            token: self
                .token
                .clone()
                .or(below.token.filter(|_| same(Way::Token))),
            ca: self.ca.or(below.ca),
            cert: self.cert.or(below.cert),
            key: self.key.or(below.key),
            tls: self.tls.or(below.tls),
            domain: self.domain.or(below.domain),
            inbox: self.inbox.or(below.inbox),
            timeout: self.timeout.or(below.timeout),
        }
    }

    /// The options as these settings have them; what they leave open stays.
    ///
    /// # Errors
    /// When they contradict themselves, each other or the address.
    pub fn apply(self, options: &mut Options) -> Result<(), SettingsError> {
        self.check_ways(options)?;
        for (name, path) in [
            ("creds", &self.creds),
            ("nkey", &self.nkey),
            ("ca", &self.ca),
            ("cert", &self.cert),
            ("key", &self.key),
        ] {
            is_path(name, path.as_deref())?;
        }
        if let Some(credentials) = self.credentials()? {
            options.credentials = credentials;
        }
        options.tls.identity = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (Some(_), None) => return Err(SettingsError::Alone(named("cert"), named("key"))),
            (None, Some(_)) => return Err(SettingsError::Alone(named("key"), named("cert"))),
            (None, None) => options.tls.identity.take(),
        };
        options.tls.authority = self.ca.or(options.tls.authority.take());
        options.tls.using = self.tls.unwrap_or(options.tls.using);
        if let Some(domain) = self.domain {
            token("domain", &domain)?;
            options.domain = Some(domain);
        }
        if let Some(prefix) = self.inbox {
            for part in prefix.split('.') {
                token("inbox", part)?;
            }
            options.inbox_prefix = Some(prefix);
        }
        if let Some(timeout) = self.timeout {
            options.attempt = timeout;
            options.wait = timeout;
        }
        Ok(())
    }

    fn says(&self, way: Way) -> bool {
        match way {
            Way::Creds => self.creds.is_some(),
            Way::Nkey => self.nkey.is_some(),
            Way::User => self.user.is_some() || self.password.is_some(),
            Way::Token => self.token.is_some(),
        }
    }

    fn ways(&self) -> impl Iterator<Item = Way> {
        Way::ALL.into_iter().filter(|way| self.says(*way))
    }

    fn check_ways(&self, options: &Options) -> Result<(), SettingsError> {
        let mut ways = self.ways();
        let Some(first) = ways.next() else {
            return Ok(());
        };
        if let Some(second) = ways.next() {
            return Err(SettingsError::Both(first.name(), second.name()));
        }
        let addresses = addresses(options)
            .map_err(|error: ConnectError| SettingsError::Address(chain(&error).to_string()))?;
        if credentials::stand_in(&addresses) {
            let address = "what stands in the address (--nats, GRIDLOOM_NATS, nats.url)";
            return Err(SettingsError::Both(first.name(), address.to_owned()));
        }
        Ok(())
    }

    fn credentials(&self) -> Result<Option<Credentials>, SettingsError> {
        Ok(match (&self.user, &self.password) {
            (Some(user), Some(password)) => Some(Credentials::Password {
                user: user.clone(),
                password: password.clone(),
            }),
            (Some(_), None) => return Err(SettingsError::Alone(named("user"), hidden("password"))),
            (None, Some(_)) => return Err(SettingsError::Alone(hidden("password"), named("user"))),
            (None, None) => {
                let creds = self.creds.clone().map(Credentials::File);
                let nkey = || self.nkey.clone().map(Credentials::Nkey);
                let token = || self.token.clone().map(Credentials::Token);
                creds.or_else(nkey).or_else(token)
            }
        })
    }
}

/// A length of time within which a connection is made.
///
/// # Errors
/// When it is none, or no sensible one.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let ms = parse_duration(text).map_err(|error| format!("{text:?} {}", chain(&error)))?;
    let timeout = Duration::from_millis(ms);
    match (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout) {
        true => Ok(timeout),
        false => Err(format!("{text:?} must be from 50ms to 10m")),
    }
}

/// A part of a subject, which must be neither empty nor a wildcard: the client would not survive it.
fn token(name: &str, token: &str) -> Result<(), SettingsError> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || ".*>".contains(c);
    if token.is_empty() || token.contains(odd) {
        let cause = match name {
            "inbox" => {
                "must be words with dots between them, as _INBOX_worker: no blanks, no * and no >"
            }
            _ => "must be one word: no dots, no blanks, no * and no >",
        };
        return Err(SettingsError::Value {
            name: named(name),
            cause: cause.to_owned(),
        });
    }
    Ok(())
}

/// Whoever gives credentials themselves in the place of their file must not find them in a log.
fn is_path(name: &str, path: Option<&Path>) -> Result<(), SettingsError> {
    let text = path.map(Path::to_string_lossy).unwrap_or_default();
    let seed = text.len() >= 56
        && text.starts_with('S')
        && text.chars().all(|c| c.is_ascii_alphanumeric());
    if text.contains("-----") || text.contains('\n') || text.starts_with("eyJ") || seed {
        return Err(SettingsError::Value {
            name: named(name),
            cause: "it is no path of a file but what belongs into one: write it there, readable by its owner alone, and give the path".to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Namespace;

    fn options(url: &str) -> Options {
        Options::new(url, Namespace::new("n").unwrap(), "test")
    }

    fn refused(settings: Settings) -> String {
        let error = settings.apply(&mut options("nats://h")).unwrap_err();
        error.to_string()
    }

    fn some(path: &str) -> Option<PathBuf> {
        Some(path.into())
    }

    #[test]
    fn contradictions_name_both_sides() {
        let creds = || Settings {
            creds: some("a.creds"),
            ..Settings::default()
        };
        let both = refused(Settings {
            user: Some("me".into()),
            ..creds()
        });
        assert!(
            both.contains("--nats-creds") && both.contains("GRIDLOOM_NATS_USER"),
            "{both}"
        );
        let both = refused(Settings {
            token: Some("hunter2".into()),
            ..creds()
        });
        assert!(
            both.contains("creds (") && both.contains("--nats-token-file"),
            "{both}"
        );
        assert!(!both.contains("hunter2"));
        for (settings, one, other) in [
            (
                Settings {
                    cert: some("c"),
                    ..Settings::default()
                },
                "cert (",
                "without key (",
            ),
            (
                Settings {
                    key: some("c"),
                    ..Settings::default()
                },
                "key (",
                "without cert (",
            ),
            (
                Settings {
                    user: Some("u".into()),
                    ..Settings::default()
                },
                "user (",
                "without password (",
            ),
            (
                Settings {
                    password: Some("hunter2".into()),
                    ..Settings::default()
                },
                "password (",
                "without user (",
            ),
        ] {
            let alone = refused(settings);
            assert!(alone.contains(one) && alone.contains(other), "{alone}");
        }
        let url = creds()
            .apply(&mut options("nats://me:hunter2@h"))
            .unwrap_err()
            .to_string();
        assert!(
            url.contains("creds (") && url.contains("address") && !url.contains("hunter2"),
            "{url}"
        );
    }

    #[test]
    fn way_to_log_in_is_one_setting_and_the_nearer_one_counts() {
        let near = Settings {
            creds: some("near.creds"),
            domain: Some("near".into()),
            ..Settings::default()
        };
        let far = Settings {
            user: Some("far".into()),
            password: Some("hunter2".into()),
            domain: Some("far".into()),
            inbox: Some("_INBOX_far".into()),
            ..Settings::default()
        };
        let mut both = options("nats://h");
        near.clone().over(far.clone()).apply(&mut both).unwrap();
        assert_eq!(both.credentials, Credentials::File("near.creds".into()));
        assert_eq!(
            (both.domain.as_deref(), both.inbox_prefix.as_deref()),
            (Some("near"), Some("_INBOX_far"))
        );
        // A password beside the user of the file belongs to it.
        let password = Settings {
            password: Some("other".into()),
            ..Settings::default()
        };
        let mut mixed = options("nats://h");
        password.over(far).apply(&mut mixed).unwrap();
        let wanted = Credentials::Password {
            user: "far".into(),
            password: "other".into(),
        };
        assert_eq!(mixed.credentials, wanted);
    }

    #[test]
    fn what_the_client_would_not_survive_is_refused_with_its_name() {
        for bad in ["", "a b", "a.", "a..b", ">", "a.*"] {
            let refused = refused(Settings {
                inbox: Some(bad.into()),
                ..Settings::default()
            });
            assert!(refused.contains("--nats-inbox"), "{bad}: {refused}");
        }
        let domain = refused(Settings {
            domain: Some("a.b".into()),
            ..Settings::default()
        });
        assert!(domain.contains("GRIDLOOM_NATS_DOMAIN"), "{domain}");
        assert!(timeout("10ms").is_err() && timeout("11m").is_err() && timeout("soon").is_err());
        assert_eq!(timeout("5s"), Ok(Duration::from_secs(5)));
    }

    #[test]
    fn credentials_in_the_place_of_their_file_are_refused_unseen() {
        let seed = format!("SU{}", "A".repeat(56));
        for content in ["-----BEGIN NATS USER JWT-----", "eyJ0eXAi.x.y", &seed] {
            let refused = refused(Settings {
                creds: some(content),
                ..Settings::default()
            });
            assert!(
                refused.contains("no path") && !refused.contains(content),
                "{refused}"
            );
        }
    }
}
