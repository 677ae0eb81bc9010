//! A job of another scheduler as it is here: its file, and what the workers have to be told for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gridloom_shared::chain;
use gridloom_shared::job::handlers::BUILT_IN;
use gridloom_shared::job::parse::{self, Format};
use gridloom_worker::handlers::exec::ExecCommand;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::note::{Kind, Note};

/// Most bytes of a name.
pub(super) const NAME_MAX: usize = 48;
/// Where job files go, and those of jobs that were disabled.
const JOBS: &str = "jobs";
const PAUSED: &str = "paused";
pub(super) const DIRS: [&str; 2] = [JOBS, PAUSED];
/// How each file begins that an import wrote.
pub(super) const FROM: &str = "# From ";
/// Where scripts go whose text was kept in the other scheduler.
const SCRIPTS: &str = "scripts";

/// A job as it is here.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Imported {
    /// What it is called here.
    pub(super) name: String,
    /// What it was called there.
    pub(super) was: String,
    /// The same for people, with where that was.
    #[serde(skip)]
    pub(super) from: String,
    /// The name that its code may ask for and `params` do not say, as it is called so here, too.
    #[serde(skip)]
    pub(super) known_as: Option<String>,
    /// Whether it was disabled there, so that it is to be paused here.
    pub(super) paused: bool,
    pub(super) notes: Vec<Note>,
    /// What was said of it.
    #[serde(skip)]
    pub(super) description: String,
    #[serde(flatten)]
    pub(super) code: Code,
    /// The queue of its workers, where that is not the usual one.
    #[serde(skip)]
    pub(super) queue: Option<String>,
    /// All below name, handler and queue, but what its code is told.
    #[serde(skip)]
    pub(super) body: String,
    /// The lines of `[params]`, if there are any.
    #[serde(skip)]
    pub(super) params: String,
}

/// What executes its shards.
#[derive(Clone, Debug)]
pub(super) enum Code {
    /// A handler of the workers' own.
    Own(Own),
    /// A built-in handler without what it needs, which somebody has to say.
    Nothing(String),
    /// A command, as it is typed, and whose context it is told in its last argument.
    Line {
        line: String,
        context: Option<&'static str>,
    },
    /// A script that was kept there.
    Script(Script),
    /// A request.
    Request(Request),
}

/// A handler of the workers' own.
#[derive(Clone, Debug)]
pub(super) struct Own {
    /// What it is called here.
    pub(super) handler: String,
    /// What it is there, as it is written: several may have one name here.
    pub(super) original: String,
    /// The field that says so.
    pub(super) field: &'static str,
}

/// A script, and how it is run.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The ending of its file's name.
    pub(super) ending: &'static str,
    /// Its text.
    pub(super) text: String,
    /// What runs it.
    pub(super) interpreter: &'static str,
    /// What it was given as its first argument.
    pub(super) argument: String,
}

/// A request to a service.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The table `[http]` of the job.
    pub(super) table: String,
    /// Where it goes, if its address is one.
    pub(super) origin: Option<String>,
}

impl Imported {
    /// Where its file goes.
    pub(super) fn place(&self) -> PathBuf {
        self.file_in(if self.paused { PAUSED } else { JOBS })
    }

    /// Where its file would be if it were paused and is not, or is and were not.
    pub(super) fn other_place(&self) -> PathBuf {
        self.file_in(if self.paused { JOBS } else { PAUSED })
    }

    fn file_in(&self, dir: &str) -> PathBuf {
        PathBuf::from(dir).join(format!("{}.toml", self.name))
    }

    /// Gives it another name. Its code finds the one that it had.
    pub(super) fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
        if let Some(was) = self.known_as.take() {
            let lines = [job_name(&was), std::mem::take(&mut self.params)];
            self.params = lines.join("\n").trim_end().to_owned();
        }
    }

    /// What fires as it does, and does nothing: beside the other scheduler, to compare.
    pub(super) fn shadow(mut self) -> Imported {
        self.from += ", as a shadow: it fires, and does nothing";
        self.code = Code::Nothing("noop".to_owned());
        self.params.clear();
        self
    }

    /// Its job file.
    pub(super) fn file(&self) -> String {
        let mut text = format!("{FROM}{}.\n", one_line(&self.from));
        if !self.description.is_empty() {
            let _ = writeln!(text, "# {}", one_line(&self.description));
        }
        let (name, handler) = (quoted(&self.name), quoted(self.code.handler()));
        let _ = writeln!(text, "name = {name}\nhandler = {handler}");
        if let Some(queue) = &self.queue {
            let _ = writeln!(text, "queue = {}", quoted(queue));
        }
        text.push_str(&self.body);
        if !self.params.is_empty() {
            let _ = writeln!(text, "[params]\n{}", self.params);
        }
        match &self.code {
            Code::Own(_) | Code::Nothing(_) => {}
            Code::Line { context, .. } => {
                let _ = writeln!(text, "[exec]\ncommand = {name}");
                if let Some(context) = context {
                    let _ = writeln!(text, "context = \"{context}\"");
                }
            }
            Code::Script(_) => {
                let _ = writeln!(text, "[exec]\ncommand = {name}");
            }
            Code::Request(request) => text.push_str(&request.table),
        }
        text
    }

    /// Its line in the workers' `[worker.exec]`, if it has a command; scripts lie below `within`.
    pub(super) fn command(&self, within: &Path) -> Option<String> {
        let line = match &self.code {
            // One that is refused would keep the worker from starting.
            Code::Line { line, .. } if ExecCommand::from_line(line).is_err() => {
                return Some(format!("# {} = {}", self.name, quoted(&one_line(line))));
            }
            Code::Line { line, .. } => quoted(line),
            Code::Script(script) => {
                let shell = format!(
                    "exec {} \"$1\" \"$2\" \"$GRIDLOOM_SLICE\" \"$GRIDLOOM_SLICES\"",
                    script.interpreter
                );
                let place = within.join(self.script()?.0).display().to_string();
                let args = ["-c", &shell, "sh", &place, &script.argument].map(quoted);
                format!("{{ program = \"sh\", args = [{}] }}", args.join(", "))
            }
            Code::Own(_) | Code::Nothing(_) | Code::Request(_) => return None,
        };
        Some(format!("{} = {line}", self.name))
    }

    /// Its line in the workers' `[worker.http]`, if it asks a service.
    pub(super) fn service(&self) -> Option<&str> {
        match &self.code {
            Code::Request(request) => request.origin.as_deref(),
            Code::Own(_) | Code::Nothing(_) | Code::Line { .. } | Code::Script(_) => None,
        }
    }

    /// The script that it has as a text, and where that goes.
    pub(super) fn script(&self) -> Option<(PathBuf, &str)> {
        let Code::Script(script) = &self.code else {
            return None;
        };
        let file = format!("{}.{}", self.name, script.ending);
        Some((PathBuf::from(SCRIPTS).join(file), &script.text))
    }

    /// The same, with what would be refused of its file, and of its command.
    pub(super) fn checked(mut self) -> Imported {
        if let Code::Line { line, .. } = &self.code
            && let Err(error) = ExecCommand::from_line(line)
        {
            let text = format!(
                "{line:?} is no command of the workers ({}): it stands in gridloom.toml as a comment",
                chain(&error)
            );
            self.notes.push(Note::of(Kind::Open, "", text));
        }
        if let Err(faults) = parse::parse(&self.file(), Format::Toml) {
            self.notes.extend(faults.0.iter().map(|fault| {
                Note::of(
                    Kind::Open,
                    "",
                    format!("its job file would be refused: {fault}"),
                )
            }));
        }
        self
    }
}

impl Code {
    /// The handler's name.
    fn handler(&self) -> &str {
        match self {
            Code::Own(own) => &own.handler,
            Code::Nothing(handler) => handler,
            Code::Line { .. } | Code::Script(_) => "exec",
            Code::Request(_) => "http",
        }
    }
}

/// For programs: the handler, and what it is told.
impl Serialize for Code {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        let mut map = into.serialize_map(None)?;
        map.serialize_entry("handler", self.handler())?;
        match self {
            Code::Own(_) | Code::Nothing(_) => {}
            Code::Line { line, .. } => map.serialize_entry("script", line)?,
            Code::Script(script) => map.serialize_entry("script", script.interpreter)?,
            Code::Request(request) => map.serialize_entry("service", &request.origin)?,
        }
        map.end()
    }
}

/// The parameter by which code finds the name that its job had.
pub(super) fn job_name(was: &str) -> String {
    format!("jobName = {}", quoted(was))
}

/// A text as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A text without what would end its line, or cannot stand in a comment.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// The handler of what is called so in Java. The names of the built-in handlers are theirs: a class `Http` is `http-job`.
pub(super) fn handler_of(text: &str) -> String {
    match name_of(text) {
        name if BUILT_IN.contains(&name.as_str()) => format!("{name}-job"),
        name => name,
    }
}

/// A name as they are here, of one as they are in Java.
pub(super) fn name_of(text: &str) -> String {
    let mut name = whole(text);
    name.truncate(NAME_MAX);
    name.trim_end_matches('-').to_owned()
}

/// What is to be said besides of a name that is longer than they are here.
pub(super) fn cut(text: &str) -> String {
    match whole(text).len() > NAME_MAX {
        true => format!("; a name has {NAME_MAX} signs at most, and what stands behind is cut off"),
        false => String::new(),
    }
}

/// A name in the signs that they have here, however long.
fn whole(text: &str) -> String {
    let mut name = String::new();
    let mut before = None::<char>;
    for c in text.chars() {
        let begins_word = c.is_ascii_uppercase()
            && before.is_some_and(|before| before.is_ascii_lowercase() || before.is_ascii_digit());
        if (begins_word || !c.is_ascii_alphanumeric()) && !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        }
        before = Some(c);
    }
    name.trim_end_matches('-').to_owned()
}

/// What tests look at.
#[cfg(test)]
impl Imported {
    /// The job that its file says.
    pub(super) fn spec(&self) -> gridloom_shared::job::JobSpec {
        parse::parse(&self.file(), Format::Toml)
            .unwrap_or_else(|faults| panic!("{faults}\n{}", self.file()))
    }

    /// Kind and field of each note.
    pub(super) fn said(&self) -> Vec<(Kind, &str)> {
        let notes = self.notes.iter();
        notes.map(|note| (note.kind, note.field.as_str())).collect()
    }

    /// Whether somebody has to say something.
    pub(super) fn is_open(&self) -> bool {
        self.said().iter().any(|(kind, _)| *kind == Kind::Open)
    }
}
