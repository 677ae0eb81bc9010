//! What jobs of the built-in handlers cannot mean, whatever a worker's configuration says: found in the
//! definition alone, so that it is told when the job is applied and not by its shards.
//!
//! One answer for all who ask: the parser of job files, whoever reads a submission (the command line and the
//! planner), and the handlers themselves. Knows no database and no command: only workers do.
//!
//! The names of the built-in handlers are theirs: a job file's `[sql]` has been read as the settings of the
//! built-in handler ever since, so a handler of one's own has another name.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`sql`] | what statements may name, and whether they tell slices and pages apart |
//! | [`http`] | which requests there are, and what they may name |
//! | [`named`] | what names of databases, commands and services are for |
//! | [`noop`] | which parameters it takes |

use serde_json::Value;

use super::{Fault, GridSpec, JobSpec, SubmitSpec};

pub mod http;
pub mod named;
pub mod noop;
pub mod sql;

/// Their names: no handler of one's own has one, whether a worker has that handler or not.
pub const BUILT_IN: [&str; 4] = ["noop", "sql", "exec", "http"];

/// What was found in a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What makes every run of it fail, or do something else than what it says.
    pub faults: Vec<Fault>,
    /// What may be meant, and often is not.
    pub warnings: Vec<Fault>,
}

/// What is judged: the parts of a definition that say what a handler does.
#[derive(Clone, Copy, Debug)]
pub struct Said<'j> {
    /// The handler's name.
    pub handler: &'j str,
    /// Its settings.
    pub settings: &'j Value,
    /// What it is given.
    pub params: &'j Value,
    /// The job's cells.
    pub grid: &'j GridSpec,
    /// What submissions may bring yet; `None`: nothing, as the run has begun.
    pub submit: Option<&'j SubmitSpec>,
}

impl<'j> Said<'j> {
    /// By a job that is applied: submissions may bring more parameters.
    pub fn by_job(job: &'j JobSpec) -> Said<'j> {
        Said {
            submit: Some(&job.submit),
            ..Said::by_run(job)
        }
    }

    /// By the job that a run is frozen to.
    pub fn by_run(job: &'j JobSpec) -> Said<'j> {
        Said {
            handler: job.handler.as_str(),
            settings: &job.settings,
            params: &job.params,
            grid: &job.grid,
            submit: None,
        }
    }
}

/// What is wrong with what is said to a built-in handler. Of other handlers nothing is known.
pub fn check(said: Said<'_>) -> Findings {
    match said.handler {
        "sql" => sql::check(said),
        "exec" => exec(said),
        "http" => http::check(said),
        "noop" => noop::check(said),
        _ => Findings::default(),
    }
}

fn exec(said: Said<'_>) -> Findings {
    let mut found = Findings::default();
    if said.grid.is_probed() {
        found.fault(
            "grid.pages",
            "must be { count = 100 } or { rows = 1000000, page_size = 1000 }: a command is asked for no pages, so \
             exec has no probe",
        );
    }
    found
}

impl Findings {
    fn fault(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault::new(path, message));
    }

    fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Fault::new(path, message));
    }
}

#[cfg(test)]
mod tests;
