//! What a command of the worker's configuration is, how it may be written, and whether it can be run here.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gridloom_shared::chain;
use gridloom_shared::duration::parse_duration;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::words::{self, LineError};

/// How long a command that is out of time may take after SIGTERM, unless something else is said.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(5);
/// The most that may be said: the attempt, and what waits for its slot, wait as long.
pub const GRACE_MAX: Duration = Duration::from_secs(300);

/// A command of the worker's configuration. In a file it is a line with a program and its arguments, or a
/// table with these fields.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecCommand {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables that it gets besides the worker's own.
    pub env: BTreeMap<String, String>,
    /// Its working directory; the worker's own where none is said.
    pub dir: Option<PathBuf>,
    /// How long it may take after SIGTERM when its attempt is out of time; then comes SIGKILL. At most
    /// [`GRACE_MAX`].
    pub grace: Duration,
}

impl Default for ExecCommand {
    fn default() -> Self {
        ExecCommand {
            program: PathBuf::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            grace: GRACE_DEFAULT,
        }
    }
}

/// Without the values of variables: there may be passwords among them.
impl fmt::Debug for ExecCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecCommand")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("env", &self.env.keys())
            .field("dir", &self.dir)
            .field("grace", &self.grace)
            .finish()
    }
}

impl ExecCommand {
    /// The command that stands in one line: a program and its arguments, in quotes where they have blanks.
    ///
    /// # Errors
    /// When there is none, or something in it that only a shell would understand.
    pub fn from_line(line: &str) -> Result<ExecCommand, LineError> {
        match words::line(line.trim())? {
            (words, "") => of_words(words),
            _ => Err(LineError::Shell('\n')),
        }
    }
}

fn of_words(words: Vec<String>) -> Result<ExecCommand, LineError> {
    let mut words = words.into_iter();
    let program = words.next().filter(|program| !program.is_empty());
    Ok(ExecCommand {
        program: program.ok_or(LineError::Nothing)?.into(),
        args: words.collect(),
        ..ExecCommand::default()
    })
}

/// Commands as `NAME=PROGRAM ARGS...`, one a line.
///
/// # Errors
/// With the first that is none.
pub fn named_commands(text: &str) -> Result<Vec<(String, ExecCommand)>, LineError> {
    let mut commands = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, line) = rest.split_once('=').ok_or(LineError::NoName)?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(LineError::NoName);
        }
        let (words, behind) = words::line(line)?;
        commands.push((name.to_owned(), of_words(words)?));
        rest = behind.trim_start();
    }
    Ok(commands)
}

impl<'de> Deserialize<'de> for ExecCommand {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Forms)
    }
}

/// A line or a table.
struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = ExecCommand;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a command: \"PROGRAM ARGS...\", or a table with program, and args, env, dir, grace where they are needed",
        )
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<ExecCommand, E> {
        ExecCommand::from_line(line).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ExecCommand, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ExecCommand {
            program: table.program,
            args: table.args,
            env: table.env,
            dir: table.dir,
            grace: table.grace.map_or(GRACE_DEFAULT, |span| span.0),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    program: PathBuf,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    dir: Option<PathBuf>,
    #[serde(default)]
    grace: Option<Grace>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Grace(Duration);

impl TryFrom<String> for Grace {
    type Error = String;
    fn try_from(text: String) -> Result<Grace, String> {
        let grace = parse_duration(&text).map_err(|error| chain(&error).to_string())?;
        match Duration::from_millis(grace) {
            grace if grace <= GRACE_MAX => Ok(Grace(grace)),
            _ => Err("must be at most 5m".to_owned()),
        }
    }
}

/// Why a command cannot be run on this machine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("find its directory {}: there is none", .0.display())]
    NoDirectory(PathBuf),
    #[error("find its program {}: there is none{}", .0.display(), in_path(.0))]
    NoProgram(PathBuf),
    #[error("run its program {}: it is not executable (chmod +x)", .0.display())]
    NotExecutable(PathBuf),
    #[error("run it: its program is an empty text")]
    Nothing,
    #[error("wait {0:?} after SIGTERM: its grace must be at most 5m")]
    Grace(Duration),
}

fn in_path(program: &Path) -> &'static str {
    if is_path(program) { "" } else { " in PATH" }
}

fn is_path(program: &Path) -> bool {
    program.as_os_str().as_encoded_bytes().contains(&b'/')
}

/// Whether `command` could be run now.
pub(super) fn check(command: &ExecCommand) -> Result<(), Unusable> {
    if command.program.as_os_str().is_empty() {
        return Err(Unusable::Nothing);
    }
    if command.grace > GRACE_MAX {
        return Err(Unusable::Grace(command.grace));
    }
    if let Some(dir) = command.dir.as_ref().filter(|dir| !dir.is_dir()) {
        return Err(Unusable::NoDirectory(dir.clone()));
    }
    let mut found = candidates(command).filter(|path| path.is_file()).peekable();
    if found.peek().is_none() {
        return Err(Unusable::NoProgram(command.program.clone()));
    }
    if found.any(|path| is_executable(&path)) {
        Ok(())
    } else {
        Err(Unusable::NotExecutable(command.program.clone()))
    }
}

/// Where the program may be: seen from its working directory, or in `PATH`.
fn candidates(command: &ExecCommand) -> Box<dyn Iterator<Item = PathBuf>> {
    let program = command.program.clone();
    let seen_from = command.dir.clone().unwrap_or_default();
    if is_path(&program) {
        return Box::new(std::iter::once(seen_from.join(program)));
    }
    let path: OsString = match command.env.get("PATH") {
        Some(path) => path.into(),
        None => std::env::var_os("PATH").unwrap_or_else(|| OsStr::new("/bin:/usr/bin").into()),
    };
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    Box::new(
        places
            .into_iter()
            .map(move |place| seen_from.join(place).join(&program)),
    )
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(program: &str) -> ExecCommand {
        ExecCommand {
            program: program.into(),
            ..ExecCommand::default()
        }
    }

    #[test]
    fn commands_stand_one_a_line() {
        let commands = named_commands("a=./a.sh 'x y'\n\n b=sh -c 'echo 1\necho 2'\n").unwrap();
        let (names, commands): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(commands[0].args, ["x y"]);
        assert_eq!(commands[1].args, ["-c", "echo 1\necho 2"]);
        for bad in ["a", "=./a", "a b=./c", "./a.sh x=1"] {
            assert_eq!(named_commands(bad), Err(LineError::NoName), "{bad}");
        }
        assert_eq!(named_commands("a="), Err(LineError::Nothing));
        assert_eq!(named_commands("a= ''"), Err(LineError::Nothing));
    }

    #[test]
    fn what_cannot_be_run_here_is_said_before_a_job_needs_it() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        assert_eq!(check(&of("sh")), Ok(()));
        assert_eq!(check(&of("/bin/sh")), Ok(()));
        assert_eq!(check(&of("")), Err(Unusable::Nothing));
        assert!(matches!(
            check(&of("no-such-program")),
            Err(Unusable::NoProgram(_))
        ));
        assert!(matches!(
            check(&of("/no/such")),
            Err(Unusable::NoProgram(_))
        ));
        assert!(matches!(check(&of("/bin")), Err(Unusable::NoProgram(_))));
        let file = of(plain.to_str().unwrap());
        assert!(matches!(check(&file), Err(Unusable::NotExecutable(_))));
        let within = |dir: &Path, program| ExecCommand {
            dir: Some(dir.to_owned()),
            ..of(program)
        };
        assert!(matches!(
            check(&within(dir.path(), "./plain")),
            Err(Unusable::NotExecutable(_))
        ));
        let missing = check(&within(&dir.path().join("x"), "/bin/sh"));
        assert!(matches!(missing, Err(Unusable::NoDirectory(_))));
        let elsewhere = ExecCommand {
            env: [("PATH".to_owned(), dir.path().display().to_string())].into(),
            ..of("sh")
        };
        assert!(matches!(check(&elsewhere), Err(Unusable::NoProgram(_))));
    }

    #[test]
    fn variables_are_not_shown() {
        let command = ExecCommand {
            env: [("PGPASSWORD".to_owned(), "hunter2".to_owned())].into(),
            args: vec!["--token=hunter2".to_owned()],
            ..of("sh")
        };
        let shown = format!("{command:?}");
        assert!(
            shown.contains("PGPASSWORD") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
