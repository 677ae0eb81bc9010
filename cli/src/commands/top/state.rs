//! What is shown, what is selected, and what a key changes of that. Pure: time and news come from outside.
//!
//! | what is open | keys |
//! |--------------|------|
//! | the panes | select, `Tab`, `Enter`, orders, `f`, `s`, `?`, `q` |
//! | a run | select a failure, orders, `Esc` back |
//! | a question | `y` orders, everything else does not |
//! | the filter | text, `Enter` takes it, `Esc` takes it back |
//! | the jobs | text, select, `Enter` asks, `Esc` back |
//! | the keys | anything closes them |

use std::time::Duration;

use gridloom_shared::id::RunId;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::order::{self, Ask, Order};
use super::snapshot::{Detail, Run, Snapshot};

mod jobs;
mod listed;

pub(super) use jobs::Choice;
pub(super) use listed::{QueueLine, Sort, queue_lines};

/// What was said of an order stays so long.
const SAID: Duration = Duration::from_secs(15);
/// Lines that a page key moves.
const PAGE: usize = 10;

/// Where one can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    /// Queues with their lanes.
    Queues,
    /// Runs.
    #[default]
    Runs,
    /// Workers.
    Workers,
    /// What has happened.
    Log,
}

impl Pane {
    /// All, in their order.
    pub(super) const ALL: [Pane; 4] = [Pane::Queues, Pane::Runs, Pane::Workers, Pane::Log];

    fn next(self, step: usize) -> Pane {
        let at = Pane::ALL.iter().position(|pane| *pane == self).unwrap_or(0);
        Pane::ALL[(at + step) % Pane::ALL.len()]
    }
}

/// What lies over the panes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// All keys.
    Help,
    /// A text that runs have to hold, while it is typed; and the one before.
    Filter(String),
    /// The jobs with a schedule, one of which is chosen.
    Jobs(Choice),
    /// A question.
    Ask(Ask),
}

/// What a key asks of whoever can do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Todo {
    /// Nothing but a new picture.
    Nothing,
    /// To end.
    Quit,
    /// That.
    Do(Order),
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// What was seen last; `None` before anything was.
    pub(super) snapshot: Option<Snapshot>,
    /// Since when the broker is away, on the clock of `now`.
    pub(super) away_since: Option<Duration>,
    /// How long this goes on.
    pub(super) now: Duration,
    /// Where one is.
    pub(super) pane: Pane,
    /// The run that is open.
    pub(super) detail: Option<RunId>,
    /// What lies over that.
    pub(super) over: Option<Over>,
    /// Whether none of it is seen, as the terminal has no room for it.
    pub(super) is_hidden: bool,
    /// What runs have to hold.
    pub(super) filter: String,
    /// How they are sorted.
    pub(super) sort: Sort,
    picked_run: Option<RunId>,
    /// Selected lines, by pane; that of the runs where its run is gone.
    picked: [usize; 4],
    /// The selected failure of the run that is open.
    pub(super) failure: usize,
    said: Option<(String, Duration)>,
    /// Orders that are under way.
    doing: Vec<Order>,
}

impl State {
    /// Takes in what was seen.
    pub(super) fn take(&mut self, snapshot: Snapshot) {
        self.snapshot = Some(snapshot);
        self.follow();
    }

    /// Notes whether the broker is there.
    pub(super) fn linked(&mut self, is_connected: bool) {
        self.away_since = match (is_connected, self.away_since) {
            (true, _) => None,
            (false, None) => Some(self.now),
            (false, since) => since,
        };
    }

    /// Says something at the bottom.
    pub(super) fn say(&mut self, words: impl Into<String>) {
        self.said = Some((words.into(), self.now));
    }

    /// What is said at the bottom.
    pub(super) fn said(&self) -> Option<String> {
        if let Some(order) = self.doing.last() {
            return Some(format!("{} ...  ({})", order.doing(), order.command()));
        }
        let (words, at) = self.said.as_ref()?;
        (self.now.saturating_sub(*at) < SAID).then(|| words.clone())
    }

    /// What came of an order.
    pub(super) fn done(&mut self, order: &Order, words: &str) {
        self.doing.retain(|doing| doing != order);
        self.say(format!("{words}  ({})", order.command()));
    }

    /// Nobody knows what came of orders.
    pub(super) fn broken(&mut self, words: &str) {
        self.doing.clear();
        self.say(words);
    }

    /// Whether an order is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.doing.is_empty()
    }

    /// The line that is selected in a pane.
    pub(super) fn picked(&self, pane: Pane) -> usize {
        let at = self.picked[pane as usize];
        at.min(self.lines(pane).saturating_sub(1))
    }

    /// The run that keys are about: the one that is open, or the selected one.
    pub(super) fn run(&self) -> Option<&Run> {
        if let Some(run) = &self.detail {
            let detail = self.opened().map(|detail| &detail.run);
            return detail.or_else(|| self.find(run));
        }
        self.listed().get(self.picked(Pane::Runs)).copied()
    }

    /// What is known of the run that is open, once that was read.
    pub(super) fn opened(&self) -> Option<&Detail> {
        let detail = self.snapshot.as_ref()?.detail.as_ref()?;
        (Some(detail.run.id()) == self.detail.as_ref()).then_some(detail)
    }

    fn find(&self, run: &RunId) -> Option<&Run> {
        let runs = &self.snapshot.as_ref()?.runs;
        runs.iter().find(|one| one.id() == run)
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent) -> Todo {
        if key.kind == KeyEventKind::Release {
            return Todo::Nothing;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Todo::Quit;
        }
        // What a terminal's own keys mean is no order.
        if key
            .modifiers
            .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
        {
            return Todo::Nothing;
        }
        // Nobody answers a question that nobody sees.
        if self.is_hidden {
            return match key.code {
                KeyCode::Char('q') => Todo::Quit,
                _ => Todo::Nothing,
            };
        }
        match self.over.take() {
            Some(Over::Help) => Todo::Nothing,
            Some(Over::Ask(ask)) => self.answer(key.code, ask),
            Some(Over::Jobs(choice)) => {
                self.over = self.chosen(key.code, choice);
                Todo::Nothing
            }
            Some(Over::Filter(before)) => {
                self.over = self.typed(key.code, before);
                self.follow();
                Todo::Nothing
            }
            None => self.plain(key.code),
        }
    }

    fn answer(&mut self, code: KeyCode, ask: Ask) -> Todo {
        if !matches!(code, KeyCode::Char('y' | 'Y')) {
            self.say("nothing was done");
            return Todo::Nothing;
        }
        if self.doing.contains(&ask.order) {
            return Todo::Nothing;
        }
        self.doing.push(ask.order.clone());
        Todo::Do(ask.order)
    }

    fn typed(&mut self, code: KeyCode, before: String) -> Option<Over> {
        match code {
            KeyCode::Enter => return None,
            KeyCode::Esc => {
                self.filter = before;
                return None;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
        Some(Over::Filter(before))
    }

    fn plain(&mut self, code: KeyCode) -> Todo {
        match code {
            KeyCode::Char('q') => return Todo::Quit,
            KeyCode::Char('?') => self.over = Some(Over::Help),
            KeyCode::Esc => match self.detail.take() {
                Some(_) => self.failure = 0,
                None => self.filter.clear(),
            },
            KeyCode::Char('c') => self.ask(order::cancel),
            KeyCode::Char('r') => self.ask(order::retry),
            KeyCode::Char('p') => self.pause(),
            KeyCode::Char('P') => self.choose(),
            KeyCode::Char('F') => self.freeze(),
            KeyCode::Char('j') | KeyCode::Down => self.step(1),
            KeyCode::Char('k') | KeyCode::Up => self.step(-1),
            KeyCode::PageDown => self.step(PAGE as isize),
            KeyCode::PageUp => self.step(-(PAGE as isize)),
            KeyCode::Char('g') | KeyCode::Home => self.step(isize::MIN),
            KeyCode::Char('G') | KeyCode::End => self.step(isize::MAX),
            KeyCode::Enter if self.detail.is_some() => (self.detail, self.failure) = (None, 0),
            _ if self.detail.is_some() => {}
            KeyCode::Tab => self.pane = self.pane.next(1),
            KeyCode::BackTab => self.pane = self.pane.next(Pane::ALL.len() - 1),
            KeyCode::Enter => self.open(),
            KeyCode::Char('f') => self.over = Some(Over::Filter(self.filter.clone())),
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                self.follow();
            }
            _ => {}
        }
        Todo::Nothing
    }

    /// Asks whether that is to be done with the run that keys are about.
    fn ask(&mut self, ask: impl FnOnce(&Run) -> Result<Ask, String>) {
        let is_about_runs = self.detail.is_some() || self.pane == Pane::Runs;
        let asked = match self.run().filter(|_| is_about_runs) {
            Some(run) => ask(run),
            None if is_about_runs => Err("no run is selected".to_owned()),
            None => Err("orders are about runs: go to them with Tab".to_owned()),
        };
        match asked {
            Ok(ask) => self.over = Some(Over::Ask(ask)),
            Err(why) => self.say(why),
        }
    }

    /// Opens the run that is selected, or that the selected line is about.
    fn open(&mut self) {
        let run = match self.pane {
            Pane::Runs => self.run().map(|run| run.id().clone()),
            Pane::Log => {
                let events = self.snapshot.as_ref().map(|it| it.events.as_slice());
                let event = events.and_then(|events| events.get(self.picked(Pane::Log)));
                event.and_then(|event| event.run.clone())
            }
            Pane::Queues | Pane::Workers => None,
        };
        if let Some(run) = run {
            (self.detail, self.failure) = (Some(run), 0);
        }
    }

    fn step(&mut self, by: isize) {
        if self.detail.is_some() {
            let failures = self.opened().map_or(0, |it| it.failures.errors.len());
            self.failure = moved(self.failure, by, failures);
            return;
        }
        let lines = self.lines(self.pane);
        self.picked[self.pane as usize] = moved(self.picked(self.pane), by, lines);
        if self.pane == Pane::Runs {
            let at = self.picked(Pane::Runs);
            self.picked_run = self.listed().get(at).map(|run| run.id().clone());
        }
    }

    /// Keeps the run selected that was, wherever it stands now.
    fn follow(&mut self) {
        let listed = self.listed();
        let at = listed
            .iter()
            .position(|run| Some(run.id()) == self.picked_run.as_ref());
        let at = at.unwrap_or_else(|| self.picked(Pane::Runs));
        let picked = listed.get(at).map(|run| run.id().clone());
        self.picked[Pane::Runs as usize] = at;
        // The first run of all is not taken for one that somebody has chosen.
        if self.picked_run.is_some() {
            self.picked_run = picked;
        }
    }
}

/// A place that was moved, among so many.
fn moved(at: usize, by: isize, many: usize) -> usize {
    at.saturating_add_signed(by).min(many.saturating_sub(1))
}

#[cfg(test)]
mod tests;
