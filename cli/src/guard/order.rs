//! Decides what a guard's command line means. Starts nothing.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::Fault;

/// What the guard is to run, and how to stop it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) grace: Duration,
    pub(super) pid_file: Option<PathBuf>,
    /// The program's working directory.
    pub(super) dir: Option<PathBuf>,
    /// Whether the lifeline is told how the program ended.
    pub(super) report: bool,
}

impl Charge {
    pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Charge, Fault> {
        let mut args = args.into_iter();
        let mut grace = Duration::ZERO;
        let (mut pid_file, mut dir, mut report) = (None, None, false);
        let program = loop {
            let word = args.next();
            match word.as_deref().and_then(OsStr::to_str) {
                Some("--grace-ms") => grace = milliseconds(args.next().as_deref())?,
                Some("--pid-file") => pid_file = Some(args.next().ok_or_else(no_value)?.into()),
                Some("--dir") => dir = Some(args.next().ok_or_else(no_value)?.into()),
                Some("--report") => report = true,
                Some("--") => break args.next(),
                Some(flag) if flag.starts_with('-') => {
                    return Err(Fault::Usage(format!("understand `{flag}`")));
                }
                _ => break word,
            }
        };
        Ok(Charge {
            program: program.ok_or_else(|| Fault::Usage("find a program to run".to_owned()))?,
            args: args.collect(),
            grace,
            pid_file,
            dir,
            report,
        })
    }
}

fn no_value() -> Fault {
    Fault::Usage("find the value of the last flag".to_owned())
}

fn milliseconds(value: Option<&OsStr>) -> Result<Duration, Fault> {
    value
        .ok_or_else(no_value)?
        .to_str()
        .and_then(|text| text.parse().ok())
        .map(Duration::from_millis)
        .ok_or_else(|| Fault::Usage("read the milliseconds of `--grace-ms`".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Charge, Fault> {
        Charge::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn flags_end_where_the_program_begins() {
        let order = parse(&["--grace-ms", "250", "sh", "--grace-ms", "--", "x"]).unwrap();
        assert_eq!(order.program, "sh");
        assert_eq!(order.args, ["--grace-ms", "--", "x"]);
        assert_eq!(order.grace, Duration::from_millis(250));
    }

    #[test]
    fn two_dashes_let_a_program_begin_with_a_dash() {
        let order = parse(&["--pid-file", "p", "--", "-odd", "a"]).unwrap();
        assert_eq!(order.program, "-odd");
        assert_eq!(order.args, ["a"]);
        assert_eq!(order.pid_file, Some(PathBuf::from("p")));
    }

    #[test]
    fn missing_program_and_unreadable_flags_are_usage_faults() {
        for words in [
            &[][..],
            &["--"],
            &["--grace-ms"],
            &["--grace-ms", "soon", "sh"],
            &["--wrong", "sh"],
        ] {
            assert_eq!(parse(words).unwrap_err().code(), 125);
        }
    }
}
