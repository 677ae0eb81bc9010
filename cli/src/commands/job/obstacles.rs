//! What stands in the way of a job's fires: for people as sentences beside the answer.

use gridloom_planner::prospect::obstacles::Pausing;
pub(super) use gridloom_planner::prospect::obstacles::{Around, Obstacles};
use gridloom_shared::job::JobSpec;

use super::super::calendar::users;
use super::stopped;
use crate::context::Context;

/// Tells people what is the case with a job.
pub(super) fn tell(around: &Around, context: &Context, job: &JobSpec) {
    let stopped = around.stopped_of(&job.name);
    stopped.for_each(|stopped| stopped::say(context, stopped));
    let (obstacles, output) = (around.of(job), &context.output);
    if let Some(due) = &obstacles.late {
        output.note(format!(
            "late: no planner has answered for the fire of {due}, or for one since; see gridloom doctor"
        ));
    }
    for run in &obstacles.overdue {
        output.note(format!(
            "overdue: run {run} had to be over; see gridloom show {run}"
        ));
    }
    if let Some(waiting) = users::waits_for(job.name.as_str(), &obstacles.missing_calendars) {
        output.note(format!("{waiting}: {}", users::ADVICE));
    }
    tell_pauses(context, &obstacles.pauses);
}

/// Tells people of pauses.
pub(super) fn tell_pauses(context: &Context, pauses: &[Pausing]) {
    let words = pauses.iter().map(Pausing::words);
    words.for_each(|words| context.output.note(words));
}
