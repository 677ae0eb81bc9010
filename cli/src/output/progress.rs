//! How a run that goes on is shown: a bar on a terminal, elsewhere a line every few seconds, for
//! programs one JSON document for each change.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use gridloom_shared::shown::on_one_line;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;

use super::{Output, grouped, shards_done, spoken, width};

/// How often a line appears where there is no terminal.
const PAUSE: Duration = Duration::from_secs(3);

/// A run in progress, on standard error; JSON goes to standard output.
#[derive(Debug)]
pub struct Progress {
    output: Output,
    title: String,
    bar: Option<ProgressBar>,
    /// Columns of the bar itself; 0 before it has any.
    columns: usize,
    began: Instant,
    /// When a line was last due, and what it said.
    said: (Instant, String),
    line: String,
}

impl Progress {
    pub(super) fn new(output: Output, title: &str) -> Progress {
        let bar = (!output.is_json() && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(unbounded());
            bar.set_prefix(on_one_line(title).into_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let title = title.to_owned();
        Progress {
            output,
            title,
            bar,
            columns: 0,
            began: Instant::now(),
            said: (Instant::now(), String::new()),
            line: String::new(),
        }
    }

    /// Shows that `done` of `total` shards are committed (`None`: not known yet), and a few words
    /// about the rest; programs get `document`, when it differs from the last one.
    pub fn update<T: Serialize>(
        &mut self,
        done: u64,
        total: Option<u64>,
        words: &str,
        document: &T,
    ) {
        if self.output.is_json() {
            let line = serde_json::to_string(document).unwrap_or_default();
            if line != self.line {
                self.output.json(&format!("{line}\n"));
                self.line = line;
            }
            return;
        }
        match &self.bar {
            Some(bar) => {
                let words = on_one_line(words).into_owned();
                if let Some(total) = total {
                    let columns = columns(
                        width(&io::stderr()),
                        &self.title,
                        total,
                        bar.per_sec(),
                        &words,
                    );
                    if self.columns != columns {
                        self.columns = columns;
                        bar.set_style(bounded(columns));
                    }
                    if bar.length() != Some(total) {
                        bar.set_length(total);
                    }
                }
                bar.set_position(done);
                bar.set_message(words);
            }
            None => self.line_for_pipes(done, total, words),
        }
    }

    fn line_for_pipes(&mut self, done: u64, total: Option<u64>, words: &str) {
        let words = if words.is_empty() {
            String::new()
        } else {
            format!(", {words}")
        };
        let line = format!("{}: {}{words}", self.title, shards_done(done, total));
        // A run that is over at once needs no line in between.
        if self.said.0.elapsed() >= PAUSE && self.said.1 != line {
            self.output.note(&line);
            self.said = (Instant::now(), line);
        }
    }

    /// Says something beside the bar. Programs do not hear it on standard output.
    pub fn note(&self, text: &str) {
        self.beside(|| self.output.note(text));
    }

    /// Lets `say` print while the bar is out of the way.
    pub(super) fn beside(&self, say: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    /// Takes the bar away and says how it ended, and why where it went wrong, line by line.
    pub fn finish(self, words: &str, why: &[&str]) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.output.is_json() {
            let took = spoken(self.began.elapsed());
            self.output
                .say(format!("{}: {words} in {took}", self.title));
            for why in why {
                self.output.note(format!("{}: {why}", self.title));
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Columns of a bar that has room.
const BAR_MAX: usize = 24;
/// One that is shorter shows nothing.
const BAR_MIN: usize = 4;

/// Columns of the bar: as many as title, numbers and words leave of the terminal's. The words come first: they
/// would be cut.
fn columns(terminal: Option<u16>, title: &str, total: u64, rate: f64, words: &str) -> usize {
    let letters = |text: &str| text.chars().count();
    let numbers = 2 * grouped(total).len() + "/ 100% ".len() + letters(&spoken_rate(rate));
    let others = letters(&on_one_line(title)) + 1 + 1 + numbers + 1 + letters(words);
    let terminal = terminal.map_or(usize::MAX, usize::from);
    terminal.saturating_sub(others).clamp(BAR_MIN, BAR_MAX)
}

fn spoken_rate(rate: f64) -> String {
    format!("{}/s", grouped(rate.round() as u64))
}

#[expect(
    clippy::expect_used,
    reason = "the template is made up of constants, under test"
)]
fn bounded(columns: usize) -> ProgressStyle {
    let bar = format!("{{bar:{columns}}}");
    ProgressStyle::with_template(&format!(
        "{{prefix}} {bar} {{human_pos}}/{{human_len}} {{percent}}% {{rate}} {{wide_msg}}"
    ))
    .expect("the template is well formed")
    .with_key(
        "rate",
        |state: &ProgressState, text: &mut dyn fmt::Write| {
            // Whole shards; a text that cannot be written is a text less.
            let _ = text.write_str(&spoken_rate(state.per_sec()));
        },
    )
    .progress_chars("━╸─")
}

#[expect(clippy::expect_used, reason = "the template is a constant, under test")]
fn unbounded() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} {spinner} {done} {wide_msg}")
        .expect("the template is well formed")
        .with_key(
            "done",
            |state: &ProgressState, text: &mut dyn fmt::Write| {
                let _ = write!(text, "{}", shards_done(state.pos(), None));
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_well_formed() {
        let _ = (bounded(BAR_MIN), bounded(BAR_MAX), unbounded());
    }

    #[test]
    fn bar_gives_way_to_the_words_of_the_demo_on_eighty_columns() {
        let words = "worker-1 119, worker-2 133, worker-3 100";
        let of = |terminal| columns(terminal, "carrier-delays", 352, 41.0, words);
        let line =
            "carrier-delays ".len() + of(Some(80)) + " 352/352 100% 41/s ".len() + words.len();
        assert!(
            (BAR_MIN..BAR_MAX).contains(&of(Some(80))) && line <= 80,
            "{line}"
        );
        assert_eq!((of(Some(120)), of(None)), (BAR_MAX, BAR_MAX));
        assert_eq!(of(Some(40)), BAR_MIN);
    }
}
