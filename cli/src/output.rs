//! Everything that is printed: the only room that may. Tables and sentences for people, JSON for
//! programs, both on standard output; notes and errors on standard error.
//!
//! It decides how things look, never what is true. A reader that went away (`gridloom runs | head`)
//! ends the command quietly.
//!
//! What people read may come from anywhere: the output of a command, the name of a worker, a message that was
//! refused. All of it goes through [`shown`] here, once, so that nothing steers a terminal. JSON says the same values, and
//! writes what is no plain text as an escape ([`in_json`]): who looks at it without a program has a terminal, too.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use gridloom_shared::chain;
use gridloom_shared::reads::LeftOut;
use gridloom_shared::shown::{in_json, shown};
use gridloom_shared::telemetry::{self, LogFormat};
use serde::Serialize;

use crate::exit;

mod list;
mod progress;
pub mod screen;
mod story;
mod table;

pub use gridloom_shared::count::{counted, counted_as, grouped, grouped_digits};
pub use gridloom_shared::duration::spoken;
pub use list::List;
pub use progress::Progress;
pub use story::Story;
pub use table::{Align, Table};

/// Things that are left out, of one list, which are named: anybody may make a great many.
const LEFT_OUT: usize = 20;

/// What standard output gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Tables and sentences.
    People,
    /// JSON.
    Programs,
}

/// Where a command prints to.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    form: Form,
}

impl Output {
    /// An output in this form.
    pub fn new(form: Form) -> Output {
        Output { form }
    }

    /// Whether programs read it.
    pub fn is_json(&self) -> bool {
        self.form == Form::Programs
    }

    /// One JSON document, or what people get instead.
    pub fn show<T: Serialize + ?Sized>(&self, document: &T, people: impl FnOnce(&Output)) {
        match self.form {
            Form::Programs => self.document(document),
            Form::People => people(self),
        }
    }

    /// One JSON document over several lines.
    pub fn document<T: Serialize + ?Sized>(&self, document: &T) {
        match serde_json::to_string_pretty(document) {
            Ok(text) => self.json(&format!("{text}\n")),
            Err(error) => self.note(format!("cannot show this as JSON: {}", chain(&error))),
        }
    }

    /// One JSON document on one line, for what streams.
    pub fn line<T: Serialize + ?Sized>(&self, document: &T) {
        match serde_json::to_string(document) {
            Ok(text) => self.json(&format!("{text}\n")),
            Err(error) => self.note(format!("cannot show this as JSON: {}", chain(&error))),
        }
    }

    /// A table, or `otherwise` where it has no rows.
    pub fn table(&self, table: &Table, otherwise: &str) {
        if table.is_empty() {
            self.note(otherwise);
        } else {
            self.say(table.render(width(&io::stdout())));
        }
    }

    /// Whether a table has to fit a terminal.
    pub fn is_terminal(&self) -> bool {
        width(&io::stdout()).is_some()
    }

    /// A line on standard output.
    pub fn say(&self, text: impl AsRef<str>) {
        self.exactly(&line(text.as_ref()));
    }

    /// A picture that was painted, as plain text: made fit to be shown where it was painted.
    pub fn picture(&self, buffer: &ratatui::buffer::Buffer) {
        self.exactly(&screen::text(buffer));
    }

    /// A line on standard error: what is not the answer, but good to know.
    pub fn note(&self, text: impl AsRef<str>) {
        note(text.as_ref());
    }

    /// A question on standard error; the answer is typed behind it.
    pub fn ask(&self, question: &str) {
        tell(&shown(question));
    }

    /// What a list does not tell of.
    pub fn left_out(&self, all: &[LeftOut]) {
        for one in all.iter().take(LEFT_OUT) {
            self.note(one.to_string());
        }
        if all.len() > LEFT_OUT {
            self.note(format!("and {} more", all.len() - LEFT_OUT));
        }
    }

    /// Begins a list that is printed as it comes; see [`List`].
    pub fn list(&self) -> List {
        List::new(*self)
    }

    /// JSON on standard output.
    fn json(&self, text: &str) {
        self.exactly(&in_json(text));
    }

    /// Text on standard output as it is: what was made fit to be shown.
    fn exactly(&self, text: &str) {
        ANSWERED.store(true, Ordering::Relaxed);
        let mut to = io::stdout().lock();
        let printed = to.write_all(text.as_bytes()).and_then(|()| to.flush());
        if let Err(fault) = printed {
            unprinted(&fault);
        }
    }

    /// Shows how a run goes on; see [`Progress`].
    pub fn progress(&self, title: &str) -> Progress {
        Progress::new(*self, title)
    }

    /// Tells something step by step; see [`Story`].
    pub fn story(&self) -> Story {
        Story::new(*self)
    }
}

/// Whether standard output has got something: what comes after it is no answer of its own.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// Tells programs why the command failed, where they were told nothing yet.
pub fn refusal<T: Serialize>(document: &T) {
    if !ANSWERED.load(Ordering::Relaxed) {
        Output::new(Form::Programs).document(document);
    }
}

/// Whether programs read what is said on standard error.
static LOGGED: AtomicBool = AtomicBool::new(false);

/// Lets errors be lines of the log from now on, where all else is one: a service whose log is JSON.
pub fn log_errors() {
    LOGGED.store(true, Ordering::Relaxed);
}

/// Says why the command failed.
pub fn error(message: &str) {
    match LOGGED.load(Ordering::Relaxed) {
        true => telemetry::last_word(LogFormat::Json, message),
        false => note(&format!("gridloom: {message}")),
    }
}

fn line(text: &str) -> String {
    format!("{}\n", shown(text))
}

fn note(text: &str) {
    tell(&line(text));
}

/// What cannot be said on standard error is said nowhere.
fn tell(text: &str) {
    if let Err(fault) = telemetry::at_once(text)
        && fault.kind() == io::ErrorKind::BrokenPipe
    {
        std::process::exit(i32::from(exit::UNREAD));
    }
}

/// The answer did not reach its reader: whoever goes by the exit code must not take it for one.
fn unprinted(fault: &io::Error) -> ! {
    if fault.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(i32::from(exit::UNREAD));
    }
    note(&format!("gridloom: write to standard output: {fault}"));
    std::process::exit(i32::from(exit::FAILED));
}

/// Columns of the terminal that `stream` is; `None` where it is none.
fn width(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Option<u16> {
    if !stream.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

/// `3 of 4 shards done`, or `3 shards done` where nobody knows how many there are.
fn shards_done(done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("{} of {} done", grouped(done), counted(total, "shard")),
        None => format!("{} done", counted(done, "shard")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_people_read_steers_no_terminal() {
        assert_eq!(
            line("worker \x1b]0;owned\x07 said:\n\r\u{9b}2J\0"),
            "worker \\x1b]0;owned\\x07 said:\n\\r\\u{9b}2J\\0\n"
        );
    }

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(spoken(Duration::from_millis(850)), "850 ms");
        assert_eq!(spoken(Duration::from_millis(4_200)), "4.2 s");
        assert_eq!(spoken(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(shards_done(0, Some(1)), "0 of 1 shard done");
        assert_eq!(shards_done(1, None), "1 shard done");
    }
}
