//! What a setting may be, whichever way it is given: values that a flag, a variable and the file write in the same way.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use gridloom_planner::api::access::Token;
use gridloom_planner::retention::IDS_LEAST;
use gridloom_shared::address::{self, Address};
use gridloom_shared::broker::connect;
use gridloom_shared::broker::topology::sizes::SizeError;
use gridloom_shared::broker::topology::{Kept, Size};
use gridloom_shared::chain;
use gridloom_shared::duration::parse_duration;
use gridloom_shared::id::ShareName;
use gridloom_shared::job::Shares;
use gridloom_shared::suggest;

/// A length of time, as `500ms` or `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Span, String> {
        match parse_duration(text) {
            Ok(0) => Err("must be longer than nothing".to_owned()),
            Ok(ms) => Ok(Span(Duration::from_millis(ms))),
            Err(error) => Err(chain(&error).to_string()),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Span, String> {
        text.parse()
    }
}

/// How long connecting may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Timeout(pub Duration);

impl FromStr for Timeout {
    type Err = String;
    fn from_str(text: &str) -> Result<Timeout, String> {
        connect::timeout(text).map(Timeout)
    }
}

impl TryFrom<String> for Timeout {
    type Error = String;
    fn try_from(text: String) -> Result<Timeout, String> {
        text.parse()
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStyle {
    /// For people.
    Text,
    /// For a log store.
    Json,
}

/// Where the queue is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// On disk.
    File,
    /// In the broker's memory: faster, and rebuilt from the ledger when the broker restarts.
    Memory,
}

/// Where a service listens, as `127.0.0.1:9100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Listen(pub SocketAddr);

impl FromStr for Listen {
    type Err = String;
    fn from_str(text: &str) -> Result<Listen, String> {
        address::listen(text).map(Listen)
    }
}

impl TryFrom<String> for Listen {
    type Error = String;
    fn try_from(text: String) -> Result<Listen, String> {
        text.parse()
    }
}

/// A token of the HTTP API, as `NAME=ROLE:SHA256`.
///
/// # Errors
/// When it is none.
pub fn token_of(text: &str) -> Result<(String, Token), String> {
    let form = "must be NAME=ROLE:SHA256, as gridloom token prints it";
    let (name, rest) = text.trim().split_once('=').ok_or(form)?;
    let (role, sha256) = rest.split_once(':').ok_or(form)?;
    let token = Token::new(name, role.parse()?, sha256);
    let token = token.map_err(|error| chain(&error).to_string())?;
    Ok((name.to_owned(), token))
}

/// Tokens of the HTTP API, one a line. What a shell or a mounted secret puts behind the last one is no token, and no
/// token at all is no setting.
#[derive(Clone, Debug)]
pub struct TokenLines(pub Vec<(String, Token)>);

impl FromStr for TokenLines {
    type Err = String;
    fn from_str(text: &str) -> Result<TokenLines, String> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let tokens: Vec<_> = lines.map(token_of).collect::<Result<_, _>>()?;
        match tokens.is_empty() {
            true => token_of(text).map(|token| TokenLines(vec![token])),
            false => Ok(TokenLines(tokens)),
        }
    }
}

/// A text that may hold a password, as it was given. It is read where what is wrong with it can be said without
/// showing it.
#[derive(Clone, PartialEq, Eq)]
pub struct Given(pub String);

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given(...)")
    }
}

impl FromStr for Given {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Given, Infallible> {
        Ok(Given(text.to_owned()))
    }
}

/// Databases of the sql handler as `NAME=URL`, one a line: a URL may have blanks in it.
pub(crate) fn databases(text: &str) -> Result<Vec<(String, Address)>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(database).collect()
}

fn database(line: &str) -> Result<(String, Address), String> {
    let form = || "must be NAME=URL, as flights=sqlite:flights.db".to_owned();
    let (name, url) = line.split_once('=').ok_or_else(form)?;
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    if name.is_empty()
        || name.contains(|c: char| c.is_whitespace() || c == ':')
        || !is_scheme(scheme)
    {
        return Err(form());
    }
    let another = |word: &str| {
        let url = word.split_once('=').map_or("", |(_, url)| url);
        url.split_once(':')
            .is_some_and(|(scheme, _)| is_scheme(scheme))
    };
    let listed = |word: &str| {
        let (_, url) = word.split_once('=').unwrap_or_default();
        let kind = url.split_once(':').map_or("", |(scheme, _)| scheme);
        ["sqlite", "postgres", "postgresql", "mysql", "mariadb"].contains(&kind)
    };
    if url.split_whitespace().skip(1).any(another) || url.split(',').skip(1).any(listed) {
        return Err(
            "holds two databases in one line: give each a line of its own, or --database once for each"
                .to_owned(),
        );
    }
    Ok((name.to_owned(), url.into()))
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// The weight of a share, as `NAME=WEIGHT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Share(pub Shares);

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Share, String> {
        let form = || "must be NAME=WEIGHT, as tenant-a=2.0".to_owned();
        let (name, weight) = text.split_once('=').ok_or_else(form)?;
        let name = ShareName::new(name).map_err(|error| chain(&error).to_string())?;
        let weight = weight.parse().map_err(|_| form())?;
        let shares = Shares::new([(name, weight)]).map_err(|error| chain(&error).to_string())?;
        Ok(Share(shares))
    }
}

/// How large a stream may become, as `NAME=SIZE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxBytes(pub Kept, pub Size);

impl FromStr for MaxBytes {
    type Err = String;
    fn from_str(text: &str) -> Result<MaxBytes, String> {
        let form = || "must be NAME=SIZE, as ledger=10GiB".to_owned();
        let (name, size) = text.trim().split_once('=').ok_or_else(form)?;
        let kept = Kept::called(name.trim()).ok_or_else(|| {
            let known = Kept::ALL.map(Kept::as_str);
            format!(
                "there is no stream {name:?}: it must be one of {}{}",
                known.join(", "),
                suggest::hint(name, known)
            )
        })?;
        Ok(MaxBytes(kept, size_of(size.trim())?))
    }
}

/// The size that `text` says.
pub(crate) fn size_of(text: &str) -> Result<Size, String> {
    text.parse()
        .map_err(|error: SizeError| format!("{text:?} {}", chain(&error)))
}

/// How long ids are remembered: for a day at least, as a request may be sent again.
///
/// # Errors
/// When it is less.
pub fn check_ids(ids: &Span) -> Result<(), String> {
    if ids.0 < IDS_LEAST {
        return Err("must be a day at least (24h): an id that is forgotten may run twice".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_stand_one_a_line() {
        let of = |text: &str| {
            databases(text).map(|all| {
                all.into_iter()
                    .map(|(_, url)| url.exact().to_owned())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(
            of("a=postgres://u:p=1@host/db").unwrap(),
            ["postgres://u:p=1@host/db"]
        );
        assert_eq!(
            of("d=sqlite:/my dir/x.db").unwrap(),
            ["sqlite:/my dir/x.db"]
        );
        assert_eq!(of("d=sqlite:/a,b/x=1.db").unwrap(), ["sqlite:/a,b/x=1.db"]);
        assert_eq!(
            of("\n a=sqlite:x \nb=mysql://h/b?x=y").unwrap(),
            ["sqlite:x", "mysql://h/b?x=y"]
        );
        for bad in [
            "a",
            "=x:",
            "a=x",
            "postgres://u:hunter2@h/db?x=y:z",
            "a=sqlite:x b=sqlite:y",
            "a=sqlite:a.db,b=sqlite:b.db",
            "a=sqlite:a.db,b=postgres://u:hunter2@h/db",
        ] {
            let fault = of(bad).unwrap_err();
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn tokens_stand_one_a_line_and_a_last_line_may_be_empty() {
        let sha256 = "ab".repeat(32);
        let of = |text: &str| text.parse::<TokenLines>().map(|tokens| tokens.0.len());
        assert_eq!(of(&format!("ada=admin:{sha256}\n")), Ok(1));
        assert_eq!(
            of(&format!("\nada=admin:{sha256}\r\n\neve=viewer:{sha256}\n ")),
            Ok(2)
        );
        // No token is no setting: an API that everybody may use is not made by an empty variable.
        for bad in ["", "\n \n", "ada", "ada=admin:xyz"] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn shares_and_spans_are_read_from_one_word() {
        assert!("tenant-a=2".parse::<Share>().is_ok());
        for bad in ["tenant-a", "tenant-a=", "tenant-a=0", "=2", "tenant-a=nan"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
        assert!("0s".parse::<Span>().is_err());
    }

    #[test]
    fn sizes_are_read_from_one_word() {
        assert_eq!(
            "ledger=10GiB".parse(),
            Ok(MaxBytes(Kept::Ledger, Size::Bytes(10 << 30)))
        );
        for (bad, words) in [
            ("ledger", "NAME=SIZE"),
            ("leger=1GiB", "did you mean \"ledger\"?"),
            ("ledger=1", "at least 4MiB"),
            ("ledger=much", "\"much\" must be a size"),
        ] {
            let fault = bad.parse::<MaxBytes>().unwrap_err();
            assert!(fault.contains(words), "{fault}");
        }
    }
}
