//! Who is there: asked once, so that every check goes by the same answer, and none advises to start what runs.

use gridloom_shared::broker::{Broker, PublishError};
use gridloom_shared::count::counted;
use gridloom_shared::id::QueueName;
use gridloom_shared::lane::Lane;
use gridloom_shared::planner::Attendance;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::workers::{Listed, WorkerStanding};
use gridloom_shared::reads::{LeftOut, planners, workers};

/// Names that are told of many.
const NAMED: usize = 3;

/// Planners and workers.
pub(super) struct Staff {
    /// The planners that answer, leader and standbys.
    pub(super) planners: Vec<Attendance>,
    /// The workers that answer.
    pub(super) workers: Vec<Presence>,
    /// Workers that are registered and do not answer.
    pub(super) silent: Vec<WorkerStanding>,
    /// Registrations that cannot be read.
    pub(super) left_out: Vec<LeftOut>,
}

impl Staff {
    /// Asks everybody.
    ///
    /// # Errors
    /// When nobody can be asked.
    pub(super) async fn ask(broker: &Broker) -> Result<Staff, PublishError> {
        let (planners, workers) =
            tokio::try_join!(planners::roll_call(broker), workers::roll_call(broker))?;
        // Where there is no bucket yet, nobody is registered.
        let listed = workers::list_beside(broker, &workers).await;
        let Listed {
            workers: listed,
            left_out,
        } = listed.unwrap_or_default();
        Ok(Staff {
            planners,
            workers,
            silent: listed.into_iter().filter(|one| !one.answers).collect(),
            left_out,
        })
    }

    /// The workers that take work.
    pub(super) fn at_work(&self) -> Vec<Presence> {
        let taking = self.workers.iter().filter(|worker| !worker.stopping);
        taking.cloned().collect()
    }

    /// The workers of `queue` that take work.
    pub(super) fn of_queue(&self, queue: &QueueName) -> Vec<&Presence> {
        let taking = self.workers.iter().filter(|worker| !worker.stopping);
        taking
            .filter(|worker| worker.queues.contains(queue))
            .collect()
    }

    /// Whether a worker that takes no more work still has what it needs for `lane`.
    pub(super) fn is_being_finished(&self, lane: &Lane) -> bool {
        let finishes =
            |worker: &Presence| worker.stopping && worker.serves(&lane.queue, &lane.handler);
        self.workers.iter().any(finishes)
    }

    /// The names of silent workers of `queue`.
    pub(super) fn silent_of(&self, queue: &QueueName) -> Vec<&str> {
        let silent = self.silent.iter();
        silent
            .filter(|worker| worker.queues.iter().any(|of| of == queue.as_str()))
            .map(|worker| worker.worker.as_str())
            .collect()
    }

    /// The names of the planners that answer.
    pub(super) fn planners_named(&self) -> String {
        named(self.planners.iter().map(|planner| planner.name.as_str()))
    }
}

/// `a`, `a and b`, `a, b, c and 4 more`.
pub(super) fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if more > 0 {
        return format!("{} and {} more", names.join(", "), more);
    }
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => String::new(),
    }
}

/// `answers`, or what several do.
pub(super) fn answer(many: usize) -> &'static str {
    if many == 1 { "answers" } else { "answer" }
}

/// What is to be done where `queue` has nobody who takes its work.
pub(super) fn advice_for_none(staff: &Staff, queue: &QueueName) -> String {
    let silent = staff.silent_of(queue);
    if silent.is_empty() {
        return format!("start one: gridloom worker --queue {queue}");
    }
    let all = counted(silent.len() as u64, "worker");
    format!(
        "{all} of it registered and silent now ({}): where it still runs, its log says what keeps it from the broker; where it does not, start one: gridloom worker --queue {queue}",
        named(silent)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_told_by_some() {
        assert_eq!(named(["a"]), "a");
        assert_eq!(named(["a", "b"]), "a and b");
        assert_eq!(named(["a", "b", "c"]), "a, b and c");
        assert_eq!(named(["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
        assert_eq!(named([]), "");
    }
}
