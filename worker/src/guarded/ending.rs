//! How a program ended, as its guard says it on the lifeline: an exit code alone cannot tell a program
//! that ended with 127 from one that was never found.

use std::fmt;

/// Most of a cause that is passed on, in bytes.
const CAUSE_MAX: usize = 1_024;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was never started; the text says why, as it follows "failed to".
    Unstarted(String),
}

impl Ending {
    /// The line that says it, its end included.
    pub fn line(&self) -> String {
        match self {
            Ending::Code(code) => format!("code {code}\n"),
            Ending::Signal(signal) => format!("signal {signal}\n"),
            Ending::Unstarted(cause) => {
                let cause: String = cause
                    .chars()
                    .map(|c| if c == '\n' { ' ' } else { c })
                    .collect();
                format!(
                    "unstarted {}\n",
                    &cause[..cause.floor_char_boundary(CAUSE_MAX)]
                )
            }
        }
    }

    /// What such a line says; `None` for any other text.
    pub fn parse(line: &str) -> Option<Ending> {
        let (word, rest) = line.strip_suffix('\n')?.split_once(' ')?;
        match word {
            "code" => rest.parse().ok().map(Ending::Code),
            "signal" => rest.parse().ok().map(Ending::Signal),
            "unstarted" => Some(Ending::Unstarted(rest.to_owned())),
            _ => None,
        }
    }
}

/// Names of the signals that end programs, where they have the same number everywhere on Linux.
const SIGNALS: &[(i32, &str)] = &[
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
];

fn name(signal: i32) -> Option<&'static str> {
    let known = SIGNALS.iter().find(|(number, _)| *number == signal);
    known.map(|(_, name)| *name)
}

/// For people: what follows "run command x:".
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Code(code) => {
                write!(f, "exit code {code}")?;
                // What a shell adds 128 to may be a code of the program's own as well.
                match (code, name(code - 128)) {
                    (126, _) => f.write_str(" (a shell's word for what is not executable)"),
                    (127, _) => f.write_str(" (a shell's word for a program that it did not find)"),
                    (_, Some(name)) => write!(f, " (a shell's word for {name})"),
                    (_, None) => Ok(()),
                }
            }
            Ending::Signal(signal) => {
                write!(f, "ended by signal {signal}")?;
                name(*signal).map_or(Ok(()), |name| write!(f, " ({name})"))
            }
            Ending::Unstarted(cause) => f.write_str(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        for ending in [
            Ending::Code(255),
            Ending::Signal(9),
            Ending::Unstarted("find program `é`: none".to_owned()),
        ] {
            assert_eq!(Ending::parse(&ending.line()), Some(ending));
        }
        let long = Ending::Unstarted("é\n".repeat(2_000)).line();
        assert!(long.len() < 1_100 && long.ends_with('\n') && long.matches('\n').count() == 1);
        for bad in ["", "code 1", "code\n", "code x\n", "7\n"] {
            assert_eq!(Ending::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn codes_of_a_program_are_no_signals() {
        assert_eq!(Ending::Code(255).to_string(), "exit code 255");
        assert_eq!(Ending::Code(3).to_string(), "exit code 3");
        assert_eq!(
            Ending::Code(137).to_string(),
            "exit code 137 (a shell's word for SIGKILL)"
        );
        assert_eq!(Ending::Signal(9).to_string(), "ended by signal 9 (SIGKILL)");
        assert_eq!(Ending::Signal(60).to_string(), "ended by signal 60");
    }
}
