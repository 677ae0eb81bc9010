//! Values that a flag, a variable and the file write in the same way.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use gridloom_shared::id::ShareName;
use gridloom_shared::job::Shares;
use gridloom_shared::job::parse::parse_duration;

use super::Exec;

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
            Err(error) => Err(error.to_string()),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Span, String> {
        text.parse()
    }
}

/// A database of the sql handler, as `NAME=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// What jobs call it.
    pub name: String,
    /// Where it is.
    pub url: String,
}

impl FromStr for Database {
    type Err = String;
    fn from_str(text: &str) -> Result<Database, String> {
        match text.split_once('=') {
            Some((name, url)) if !name.is_empty() && url.contains(':') => Ok(Database {
                name: name.to_owned(),
                url: url.to_owned(),
            }),
            _ => Err("must be NAME=URL, as flights=sqlite:flights.db".to_owned()),
        }
    }
}

/// The weight of a share, as `NAME=WEIGHT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Share(pub Shares);

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Share, String> {
        let form = || "must be NAME=WEIGHT, as tenant-a=2.0".to_owned();
        let (name, weight) = text.split_once('=').ok_or_else(form)?;
        let name = ShareName::new(name).map_err(|error| error.to_string())?;
        let weight = weight.parse().map_err(|_| form())?;
        let shares = Shares::new([(name, weight)]).map_err(|error| error.to_string())?;
        Ok(Share(shares))
    }
}

/// A command of the exec handler, as `NAME=PROGRAM ARGS...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What jobs call it.
    pub name: String,
    /// What it runs.
    pub exec: Exec,
}

impl FromStr for Command {
    type Err = String;
    fn from_str(text: &str) -> Result<Command, String> {
        let form = || {
            "must be NAME=PROGRAM with its arguments, as resize=\"./resize.sh --fast\"".to_owned()
        };
        let (name, line) = text.split_once('=').ok_or_else(form)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().filter(|_| !name.is_empty()).ok_or_else(form)?;
        let exec = Exec {
            program: PathBuf::from(program),
            args: words.collect(),
            ..Exec::default()
        };
        Ok(Command {
            name: name.to_owned(),
            exec,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_databases_are_read_from_one_word() {
        let command: Command = "resize=./resize.sh --fast x=1".parse().unwrap();
        assert_eq!(command.exec.program, PathBuf::from("./resize.sh"));
        assert_eq!(command.exec.args, ["--fast", "x=1"]);
        let database: Database = "a=postgres://u:p=1@host/db".parse().unwrap();
        assert_eq!(database.url, "postgres://u:p=1@host/db");
        assert!("a".parse::<Database>().is_err());
        assert!("=x:".parse::<Database>().is_err());
        assert!("a=".parse::<Command>().is_err());
        assert!("tenant-a=2".parse::<Share>().is_ok());
        for bad in ["tenant-a", "tenant-a=", "tenant-a=0", "=2", "tenant-a=nan"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
        assert!("0s".parse::<Span>().is_err());
    }
}
