//! What a service is that jobs may ask, as the worker's configuration says it: where it is, whom to believe that it is it, and
//! the secrets that are sent there and nowhere else.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use gridloom_shared::chain;
use gridloom_shared::job::handlers::http::Origin;
use gridloom_shared::job::handlers::named::ANY;
use gridloom_shared::secret::{FileError, Secret};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::address::Network;
use super::tls;

/// The secret of a service that tokens are made of. No job names it.
pub(super) const SECRET: &str = "callback";
/// No secret of that kind is shorter.
const SECRET_MIN: usize = 32;

/// A service of the worker's configuration. In a file it is its origin, or a table with these fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpService {
    /// Where it is; `None`: anywhere (`*`).
    pub origin: Option<Origin>,
    /// Authorities to trust in place of the system's: a file in PEM.
    pub ca: Option<PathBuf>,
    /// By the names that jobs use.
    pub secrets: BTreeMap<String, Secret>,
    /// Networks that are refused otherwise.
    pub addresses: Vec<Network>,
    /// Where it finds a planner's API, to call back.
    pub callback: Option<String>,
}

/// Why services of a configuration will not do. No secret is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Nobody could tell them apart.
    #[error("use service {0:?}: {1:?} has the same origin")]
    Twice(String, String),
    /// It would be sent anywhere.
    #[error(
        "use service {0:?}: it has secrets, and an origin of *: name the one that they are sent to"
    )]
    SecretForAll(String),
    /// It cannot be named.
    #[error(
        "use service {0:?}: the name of a secret has letters, digits, _ and -, and begins with a letter"
    )]
    SecretName(String),
    /// It is nothing.
    #[error("use service {service:?}: its secret {name:?} is empty")]
    EmptySecret {
        /// The service.
        service: String,
        /// The secret.
        name: String,
    },
    /// Nobody could tell its callbacks from others'.
    #[error(
        "use service {0:?}: it has a callback, which needs a secret named callback of {SECRET_MIN} characters or more, the same on \
         all workers of the queue (worker.http.{0}.secrets or secret_files; openssl rand -hex 32 prints one)"
    )]
    CallbackSecret(String),
    /// A file cannot be read.
    #[error("use service {0:?}")]
    File(String, #[source] FileError),
}

impl HttpService {
    /// The service at `origin`, or `*` for any.
    ///
    /// # Errors
    /// When it is no origin.
    pub fn at(origin: &str) -> Result<HttpService, String> {
        let origin = origin.trim();
        let origin = (origin != ANY).then(|| Origin::parse(origin));
        let origin = origin.transpose();
        Ok(HttpService {
            origin: origin.map_err(|error| chain(&error).to_string())?,
            ca: None,
            secrets: BTreeMap::new(),
            addresses: Vec::new(),
            callback: None,
        })
    }

    /// What jobs call it by.
    pub(super) fn known_as(&self) -> &str {
        self.origin.as_ref().map_or(ANY, Origin::as_str)
    }

    /// Whether it can be used here.
    pub(super) fn check(&self, name: &str) -> Result<(), HttpError> {
        if self.origin.is_none() && !self.secrets.is_empty() {
            return Err(HttpError::SecretForAll(name.to_owned()));
        }
        if self.callback.is_some() && !self.secrets.contains_key(SECRET) {
            return Err(HttpError::CallbackSecret(name.to_owned()));
        }
        for (secret, place) in &self.secrets {
            let is_sign = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            if !secret.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                || !secret.chars().all(is_sign)
            {
                return Err(HttpError::SecretName(name.to_owned()));
            }
            let text = place.read("the secret");
            let text = text.map_err(|error| HttpError::File(name.to_owned(), error))?;
            if text.is_empty() {
                return Err(HttpError::EmptySecret {
                    service: name.to_owned(),
                    name: secret.clone(),
                });
            }
            if self.callback.is_some() && secret == SECRET && text.len() < SECRET_MIN {
                return Err(HttpError::CallbackSecret(name.to_owned()));
            }
        }
        match &self.ca {
            None => Ok(()),
            Some(path) => tls::authorities(path)
                .map(drop)
                .map_err(|error| HttpError::File(name.to_owned(), error)),
        }
    }
}

/// Services as `NAME=ORIGIN`, one a line.
///
/// # Errors
/// With the first that is none.
pub fn named_services(text: &str) -> Result<Vec<(String, HttpService)>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let one = |line: &str| {
        let form = || "must be NAME=ORIGIN, as shop=https://api.example".to_owned();
        let (name, origin) = line.split_once('=').ok_or_else(form)?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == ':') {
            return Err(form());
        }
        Ok((name.to_owned(), HttpService::at(origin)?))
    };
    lines.map(one).collect()
}

/// Secrets as `SERVICE.NAME=VALUE`, one a line: the service, the secret's name, and the secret.
///
/// # Errors
/// With the first that is none, and nothing of it.
pub fn named_secrets(text: &str) -> Result<Vec<(String, String, Secret)>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let one = |line: &str| {
        let form = || "must be SERVICE.NAME=VALUE, as shop.token=...".to_owned();
        let (place, value) = line.split_once('=').ok_or_else(form)?;
        let (service, name) = place.split_once('.').ok_or_else(form)?;
        if service.is_empty() || name.is_empty() || value.is_empty() {
            return Err(form());
        }
        Ok((service.to_owned(), name.to_owned(), Secret::from(value)))
    };
    lines.map(one).collect()
}

impl<'de> Deserialize<'de> for HttpService {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Forms)
    }
}

/// An origin or a table.
struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = HttpService;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a service: \"https://HOST\", or a table with origin, and ca, secrets, secret_files, addresses, callback where they are needed",
        )
    }

    fn visit_str<E: Error>(self, origin: &str) -> Result<HttpService, E> {
        HttpService::at(origin).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HttpService, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        let service = HttpService::at(&table.origin).map_err(A::Error::custom)?;
        let callback = table.callback.as_deref().map(callback_address).transpose();
        let mut secrets: BTreeMap<String, Secret> = table.secrets;
        for (name, path) in table.secret_files {
            if secrets.insert(name, Secret::File(path)).is_some() {
                return Err(A::Error::custom(
                    "a name stands in secrets and in secret_files: leave one of them out",
                ));
            }
        }
        Ok(HttpService {
            ca: table.ca,
            secrets,
            addresses: table.addresses,
            callback: callback.map_err(A::Error::custom)?,
            ..service
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    origin: String,
    #[serde(default)]
    ca: Option<PathBuf>,
    #[serde(default, deserialize_with = "texts")]
    secrets: BTreeMap<String, Secret>,
    #[serde(default)]
    secret_files: BTreeMap<String, PathBuf>,
    #[serde(default)]
    addresses: Vec<Network>,
    #[serde(default)]
    callback: Option<String>,
}

fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(from)?;
    Ok(texts
        .into_iter()
        .map(|(name, text)| (name, Secret::Text(text)))
        .collect())
}

/// Where the service finds a planner's API, as a configuration says it.
fn callback_address(text: &str) -> Result<String, String> {
    let form = || {
        "callback: must be the address of a planner's API as the service reaches it, as https://gridloom.example".to_owned()
    };
    let url = Url::parse(text.trim()).map_err(|_| form())?;
    let plain = url.username().is_empty() && url.password().is_none();
    let ends = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !plain || !ends {
        return Err(form());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_that_of_an_api_and_nothing_else() {
        for (text, wanted) in [
            ("https://gridloom.example", "https://gridloom.example"),
            ("http://10.0.0.1:7070/", "http://10.0.0.1:7070"),
            ("https://h/base/", "https://h/base"),
        ] {
            assert_eq!(callback_address(text).unwrap(), wanted);
        }
        for bad in [
            "",
            "h",
            "ftp://h",
            "https://me:hunter2@h",
            "https://h/?a=b",
            "https://h/#a",
        ] {
            let fault = callback_address(bad).unwrap_err();
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn services_and_secrets_stand_one_a_line() {
        let services = named_services("a=https://API.example\n\n any=*\n").unwrap();
        let known: Vec<&str> = services.iter().map(|(_, it)| it.known_as()).collect();
        assert_eq!(known, ["https://api.example", "*"]);
        for bad in [
            "a",
            "=https://h",
            "https://h",
            "a=https://h/path",
            "a=ftp://h",
            "a b=https://h",
        ] {
            assert!(named_services(bad).is_err(), "{bad}");
        }
        let secrets = named_secrets("shop.token=a=b c\n").unwrap();
        assert_eq!(
            secrets,
            [("shop".into(), "token".into(), Secret::from("a=b c"))]
        );
        for bad in [
            "hunter2",
            "shop=hunter2",
            "shop.token=",
            ".token=hunter2",
            "shop.=hunter2",
        ] {
            let fault = named_secrets(bad).unwrap_err();
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn what_cannot_be_used_here_is_told_before_a_job_needs_it_and_no_secret_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = dir.path().join("nothing");
        std::fs::write(&nothing, "hunter2").unwrap();
        let of = |text: &str| serde_json::from_str::<HttpService>(text).unwrap();
        let sound = of(r#"{"origin": "https://h", "secrets": {"a": "hunter2"}}"#);
        assert_eq!(sound.check("s"), Ok(()));
        assert!(!format!("{sound:?}").contains("hunter2"), "{sound:?}");
        let any = of(r#"{"origin": "*", "secrets": {"a": "hunter2"}}"#);
        assert_eq!(any.check("s"), Err(HttpError::SecretForAll("s".into())));
        let empty = of(r#"{"origin": "https://h", "secrets": {"a": ""}}"#);
        assert!(matches!(
            empty.check("s"),
            Err(HttpError::EmptySecret { .. })
        ));
        let odd = of(r#"{"origin": "https://h", "secrets": {"a b": "x"}}"#);
        assert!(matches!(odd.check("s"), Err(HttpError::SecretName(_))));
        for more in ["\"ca\"", "\"secret_files\""] {
            let path = match more {
                "\"ca\"" => format!("{:?}", nothing.display().to_string()),
                _ => "{\"a\": \"/no/such\"}".to_owned(),
            };
            let service = of(&format!("{{\"origin\": \"https://h\", {more}: {path}}}"));
            let fault = service.check("s").unwrap_err();
            let fault = chain(&fault).to_string();
            assert!(fault.contains("use service \"s\": read"), "{fault}");
            assert!(!fault.contains("hunter2"), "{fault}");
        }
        let called = |secret: &str| {
            let secrets = format!("{{\"callback\": {secret:?}}}");
            of(&format!(
                r#"{{"origin": "https://h", "callback": "https://g", "secrets": {secrets}}}"#
            ))
        };
        assert_eq!(called(&"x".repeat(SECRET_MIN)).check("s"), Ok(()));
        for short in ["hunter2", &"x".repeat(SECRET_MIN - 1)] {
            let fault = called(short).check("s").unwrap_err();
            assert_eq!(fault, HttpError::CallbackSecret("s".into()));
            assert!(!chain(&fault).to_string().contains("hunter2"), "{fault}");
        }
        let none = of(r#"{"origin": "https://h", "callback": "https://g"}"#);
        assert_eq!(none.check("s"), Err(HttpError::CallbackSecret("s".into())));
        let odd = r#"{"origin": "https://h", "callback": "https://me:hunter2@g"}"#;
        let fault = serde_json::from_str::<HttpService>(odd).unwrap_err();
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
        let twice =
            r#"{"origin": "https://h", "secrets": {"a": "x"}, "secret_files": {"a": "/x"}}"#;
        assert!(serde_json::from_str::<HttpService>(twice).is_err());
    }
}
