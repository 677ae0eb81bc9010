//! How something that is told step by step looks: a time, a word that says who, a sentence; and a
//! bar below it while a run goes on. On a terminal in colours; programs get the sentences on
//! standard error and nothing of them on standard output.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use gridloom_shared::shown::shown;
use serde::Serialize;

use super::{Output, Progress, Table, shards_done};

/// The width of the word that says who.
const WHO: usize = 8;
/// How often a line tells of the progress where there is no terminal.
const PAUSE: Duration = Duration::from_secs(2);

/// How a sentence is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Plain,
    Good,
    Bad,
}

/// A story that is told as it happens.
#[derive(Debug)]
pub struct Story {
    output: Output,
    began: Instant,
    colours: bool,
    progress: Option<Progress>,
    /// When a line last told of the progress, where there is no terminal.
    told: Option<Instant>,
}

impl Story {
    pub(super) fn new(output: Output) -> Story {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colours = wanted && !output.is_json() && io::stdout().is_terminal();
        Story {
            output,
            began: Instant::now(),
            colours,
            progress: None,
            told: None,
        }
    }

    /// A line without time and word.
    pub fn line(&self, text: &str) {
        self.beside(|| {
            if self.output.is_json() {
                self.output.note(text)
            } else {
                self.output.say(text)
            }
        });
    }

    /// A line that stands out.
    pub fn title(&self, text: &str) {
        self.as_painted(&self.painted("1", text));
    }

    /// What happened.
    pub fn step(&self, who: &str, text: &str) {
        self.tell(who, text, Tone::Plain);
    }

    /// What happened that nobody wishes for.
    pub fn alarm(&self, who: &str, text: &str) {
        self.tell(who, text, Tone::Bad);
    }

    /// What was looked at, and whether it is as it must be.
    pub fn check(&self, who: &str, text: &str, good: bool) {
        let (tone, mark) = if good {
            (Tone::Good, "ok")
        } else {
            (Tone::Bad, "WRONG")
        };
        let mark = format!(": {}", self.painted(tone.code(), mark));
        self.tell_marked(who, text, &mark, tone);
    }

    /// A table, set in a little.
    pub fn table(&self, table: &Table) {
        let text = table.render(None);
        let lines: Vec<_> = text
            .lines()
            .map(|line| format!("          {line}"))
            .collect();
        self.line(&lines.join("\n"));
    }

    /// Shows below the story how many of the shards of `title` are done, and a few words about the
    /// rest; programs get `document` where it differs from the last one.
    pub fn progress<T: Serialize>(
        &mut self,
        title: &str,
        (done, total): (u64, Option<u64>),
        words: &str,
        document: &T,
    ) {
        let output = self.output;
        if output.is_json() || io::stderr().is_terminal() {
            let progress = self.progress.get_or_insert_with(|| output.progress(title));
            return progress.update(done, total, words, document);
        }
        if self.told.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.told = Some(Instant::now());
            self.step("run", &format!("{} ({words})", shards_done(done, total)));
        }
    }

    /// Takes the progress away.
    pub fn progressed(&mut self) {
        self.progress = None;
    }

    /// The document that programs get in the end, on one line.
    pub fn result<T: Serialize>(&self, document: &T) {
        if self.output.is_json() {
            self.output.line(document);
        }
    }

    fn tell(&self, who: &str, text: &str, tone: Tone) {
        self.tell_marked(who, text, "", tone);
    }

    fn tell_marked(&self, who: &str, text: &str, mark: &str, tone: Tone) {
        let time = format!("{:6.1} s", self.began.elapsed().as_secs_f64());
        let (time, who) = (
            self.painted("2", &time),
            self.painted(tone.code(), &format!("{who:WHO$}")),
        );
        self.as_painted(&format!("{time}  {who}  {}{mark}", shown(text)));
    }

    /// A text fit to be shown, in a colour where there are colours.
    fn painted(&self, code: &str, text: &str) -> String {
        let text = shown(text);
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.into_owned()
        }
    }

    /// A line of painted parts; without colours it is as any other.
    fn as_painted(&self, text: &str) {
        if self.colours {
            self.beside(|| self.output.exactly(&format!("{text}\n")));
        } else {
            self.line(text);
        }
    }

    fn beside(&self, say: impl FnOnce()) {
        match &self.progress {
            Some(progress) => progress.beside(say),
            None => say(),
        }
    }
}

impl Tone {
    /// As terminals name colours.
    fn code(self) -> &'static str {
        match self {
            Tone::Plain => "36",
            Tone::Good => "32",
            Tone::Bad => "1;31",
        }
    }
}
