//! Addresses that may hold a password: whoever prints one, for whatever reason, prints it without.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;

/// An address of a broker or a database, or several brokers' with commas. `Display` and `Debug` leave user,
/// password and secret options out; [`Address::exact`] has all of it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// All of it, the password too: for whoever connects.
    pub fn exact(&self) -> &str {
        &self.0
    }
}

impl From<String> for Address {
    fn from(text: String) -> Address {
        Address(text)
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Address {
        Address(text.to_owned())
    }
}

impl From<&String> for Address {
    fn from(text: &String) -> Address {
        Address(text.clone())
    }
}

impl FromStr for Address {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Address, Infallible> {
        Ok(text.into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, one) in each(&self.0).into_iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(&without_secrets(&one))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// The address of `text`, at which a service is to listen.
///
/// # Errors
/// When it is none: what it must be, and what a lone port may have meant.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    Err(match port {
        Ok(port) => format!(
            "{text:?} is a port alone: write 127.0.0.1:{port} to be reached from this machine, 0.0.0.0:{port} from others too"
        ),
        Err(_) => format!("{text:?} must be an address with a port, as 127.0.0.1:9100"),
    })
}

/// The addresses of a list. A comma may stand in a password as well: what comes before a host's `@` and begins no
/// address of its own belongs to the one before.
fn each(list: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for part in list.split(',') {
        match all.last_mut() {
            Some(last) if part.contains('@') && !part.contains("://") && !last.contains('@') => {
                last.push(',');
                last.push_str(part);
            }
            _ => all.push(part.to_owned()),
        }
    }
    all
}

fn without_secrets(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, address),
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let (host, options) = match host.split_once('?') {
        Some((host, options)) => (host, Some(options)),
        None => (host, None),
    };
    let options = options.map(|options| {
        let shown: Vec<String> = options.split('&').map(option).collect();
        format!("?{}", shown.join("&"))
    });
    let scheme = scheme.map_or_else(String::new, |scheme| format!("{scheme}://"));
    format!("{scheme}{host}{}", options.unwrap_or_default())
}

fn option(option: &str) -> String {
    let secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["pass", "pwd", "secret", "token", "user"]
            .iter()
            .any(|word| name.contains(word))
    };
    match option.split_once('=') {
        Some((name, _)) if secret(name) => format!("{name}=..."),
        _ => option.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_alone_is_no_address_to_listen_at_and_both_that_it_may_mean_are_told() {
        assert!(listen("127.0.0.1:9100").is_ok() && listen(" [::1]:9100").is_ok());
        for port in ["4222", ":4222"] {
            let error = listen(port).unwrap_err();
            assert!(
                error.contains("127.0.0.1:4222") && error.contains("0.0.0.0:4222"),
                "{error}"
            );
        }
        for bad in ["here", "", "70000", "127.0.0.1", "localhost:1"] {
            assert!(
                listen(bad).unwrap_err().contains("as 127.0.0.1:9100"),
                "{bad}"
            );
        }
    }

    #[test]
    fn whatever_is_printed_has_no_password() {
        for (exact, shown) in [
            (
                "nats://me:hunter2@one:4222,two:4222",
                "nats://one:4222,two:4222",
            ),
            (
                "nats://me:hun@ter2@one:4222,two:4222",
                "nats://one:4222,two:4222",
            ),
            ("nats://me:hun,ter2@one:4222", "nats://one:4222"),
            (
                "nats://hunter2@one,tls://hunter2@two",
                "nats://one,tls://two",
            ),
            ("me:hunter2@one:4222", "one:4222"),
            (
                "postgres://me:hunter2@h/db?sslmode=require",
                "postgres://h/db?sslmode=require",
            ),
            (
                "postgres://h/db?user=me&password=hunter2",
                "postgres://h/db?user=...&password=...",
            ),
            (
                "sqlite:/my dir/x.db?mode=rwc",
                "sqlite:/my dir/x.db?mode=rwc",
            ),
            ("127.0.0.1:4222", "127.0.0.1:4222"),
        ] {
            let address = Address::from(exact);
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("{shown:?}"));
            assert_eq!(address.exact(), exact);
        }
    }
}
