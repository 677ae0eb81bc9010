//! Pauses by keys: of the job of the run that is selected, of a job that is chosen from a list, of all.

use gridloom_shared::id::JobName;
use ratatui::crossterm::event::KeyCode;

use super::super::order;
use super::{Over, Pane, State, moved};

/// A job is being chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Choice {
    /// What its name holds.
    pub(in super::super) text: String,
    /// Which of those that hold it is selected.
    pub(in super::super) at: usize,
}

impl State {
    /// Jobs with a schedule whose names hold what was typed.
    pub(in super::super) fn jobs_like(&self, text: &str) -> Vec<&JobName> {
        let wanted = text.to_lowercase();
        let jobs = self.snapshot.iter().flat_map(|seen| &seen.jobs);
        jobs.filter(|job| job.as_str().to_lowercase().contains(&wanted))
            .collect()
    }

    /// Asks about the job of the run that keys are about; where they are about none, which job is meant.
    pub(super) fn pause(&mut self) {
        let is_about_runs = self.detail.is_some() || self.pane == Pane::Runs;
        let run = self.run().filter(|_| is_about_runs);
        match run.map(|run| run.summary.job.clone()) {
            Some(job) => self.ask_pause(&job),
            None => self.choose(),
        }
    }

    fn ask_pause(&mut self, job: &JobName) {
        let pauses = self.snapshot.as_ref().map(|seen| seen.pauses.as_slice());
        self.over = Some(Over::Ask(order::pause(job, pauses.unwrap_or_default())));
    }

    /// Shows the jobs with a schedule.
    pub(super) fn choose(&mut self) {
        match self.jobs_like("").is_empty() {
            true => self.say("no job has a schedule that could be paused"),
            false => self.over = Some(Over::Jobs(Choice::default())),
        }
    }

    /// Asks about all of them.
    pub(super) fn freeze(&mut self) {
        match &self.snapshot {
            Some(seen) => self.over = Some(Over::Ask(order::freeze(&seen.jobs, &seen.pauses))),
            None => self.say("nothing has been read yet"),
        }
    }

    /// What a key does while a job is being chosen.
    pub(super) fn chosen(&mut self, code: KeyCode, mut choice: Choice) -> Option<Over> {
        let many = self.jobs_like(&choice.text).len();
        match code {
            KeyCode::Esc => return None,
            KeyCode::Enter => {
                let jobs = self.jobs_like(&choice.text);
                let Some(job) = jobs.get(choice.at).map(|job| (*job).clone()) else {
                    return Some(Over::Jobs(choice));
                };
                self.ask_pause(&job);
                return self.over.take();
            }
            KeyCode::Down => choice.at = moved(choice.at, 1, many),
            KeyCode::Up => choice.at = moved(choice.at, -1, many),
            KeyCode::Backspace => _ = choice.text.pop(),
            KeyCode::Char(letter) => choice.text.push(letter),
            _ => {}
        }
        choice.at = moved(choice.at, 0, self.jobs_like(&choice.text).len());
        Some(Over::Jobs(choice))
    }
}
