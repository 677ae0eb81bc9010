//! The broker in the configuration file: its address alone, or a table of all that is said of the way to it.

use std::fmt;
use std::path::PathBuf;

use gridloom_shared::address::Address;
use gridloom_shared::broker::Settings;
use gridloom_shared::broker::connect::TlsUse;
use gridloom_shared::secret::Secret;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::setting::Timeout;

/// Address and way.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Nats {
    pub(in crate::config) url: Option<Address>,
    pub(in crate::config) settings: Settings,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Table {
    url: Option<Address>,
    creds: Option<PathBuf>,
    nkey: Option<PathBuf>,
    user: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    tls: Option<Tls>,
    domain: Option<String>,
    inbox: Option<String>,
    timeout: Option<Timeout>,
}

#[derive(serde::Deserialize)]
#[serde(try_from = "String")]
struct Tls(TlsUse);

impl TryFrom<String> for Tls {
    type Error = String;
    fn try_from(text: String) -> Result<Tls, String> {
        text.parse().map(Tls)
    }
}

/// A secret that stands in the configuration, or in a file that it names.
fn secret(
    key: &str,
    text: Option<String>,
    file: Option<PathBuf>,
) -> Result<Option<Secret>, String> {
    match (text, file) {
        (Some(_), Some(_)) => Err(format!(
            "{key} and {key}_file are both there: give one of them"
        )),
        (None, Some(path)) => Ok(Some(Secret::File(path))),
        (text, None) => Ok(text.map(Secret::Text)),
    }
}

impl TryFrom<Table> for Nats {
    type Error = String;
    fn try_from(table: Table) -> Result<Nats, String> {
        Ok(Nats {
            url: table.url,
            settings: Settings {
                creds: table.creds,
                nkey: table.nkey,
                user: table.user,
                password: secret("password", table.password, table.password_file)?,
                token: secret("token", table.token, table.token_file)?,
                ca: table.ca,
                cert: table.cert,
                key: table.key,
                tls: table.tls.map(|tls| tls.0),
                domain: table.domain,
                inbox: table.inbox,
                timeout: table.timeout.map(|timeout| timeout.0),
            },
        })
    }
}

impl<'d> Deserialize<'d> for Nats {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Nats, D::Error> {
        from.deserialize_any(Either)
    }
}

struct Either;

impl<'d> Visitor<'d> for Either {
    type Value = Nats;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the broker's address, or a table with url, creds, user, ...")
    }

    fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Nats, E> {
        Ok(Nats {
            url: Some(url.into()),
            settings: Settings::default(),
        })
    }

    fn visit_map<M: MapAccess<'d>>(self, map: M) -> Result<Nats, M::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        table.try_into().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::File;

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("gridloom.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn broker_is_an_address_or_a_table() {
        let short = parse("nats = \"nats://a\"").unwrap().nats;
        assert_eq!(short.url.unwrap().exact(), "nats://a");
        let long = parse(
            "[nats]\nurl = \"tls://a,tls://b\"\nuser = \"me\"\npassword_file = \"/run/p\"\nca = \"ca.pem\"\n\
             cert = \"c.pem\"\nkey = \"k.pem\"\ntls = \"first\"\ndomain = \"hub\"\ninbox = \"_INBOX_me\"\ntimeout = \"5s\"",
        )
        .unwrap()
        .nats;
        assert_eq!(long.url.unwrap().exact(), "tls://a,tls://b");
        let shown = format!("{:?}", long.settings);
        for word in [
            "\"me\"",
            "/run/p",
            "ca.pem",
            "c.pem",
            "k.pem",
            "First",
            "hub",
            "_INBOX_me",
            "5s",
        ] {
            assert!(shown.contains(word), "{word}: {shown}");
        }
    }

    #[test]
    fn mistakes_in_the_table_are_told_without_a_secret() {
        for (bad, words) in [
            ("[nats]\nuserr = \"x\"", "did you mean \"user\"?"),
            ("[nats]\ntls = \"maybe\"", "required"),
            ("[nats]\ntimeout = \"soon\"", "line 2"),
            ("[nats]\npassword = 3", "line 2"),
            (
                "[nats]\npassword = \"hunter2\"\npassword_file = \"a\"",
                "line ",
            ),
            ("[nats]\nuser = { password = \"hunter2\" }", "line "),
            ("nats = 3", "line 1"),
        ] {
            let fault = parse(bad).unwrap_err();
            assert!(
                fault.contains(words) && !fault.contains("hunter2"),
                "{bad}: {fault}"
            );
        }
    }
}
