//! Where alarms are armed, and where the broker raises them.

use super::{ConsumerName, StreamName, Subjects};
use crate::alarm::Watched;

impl ConsumerName {
    /// The consumer of the alarms that were raised: all workers share it.
    pub fn alarms() -> ConsumerName {
        ConsumerName("alarms".to_owned())
    }
}

impl Subjects {
    /// Alarms, armed and raised.
    pub fn alarm(&self) -> StreamName {
        StreamName(self.named("alarm"))
    }

    /// Where the alarm of `watched` is armed.
    pub fn armed(&self, watched: &Watched) -> String {
        self.of_watched("alarm", watched)
    }

    /// Where the broker raises it.
    pub fn raised(&self, watched: &Watched) -> String {
        self.of_watched("late", watched)
    }

    /// Both, as a filter within their stream.
    pub fn armed_or_raised(&self, watched: &Watched) -> String {
        self.of_watched("*", watched)
    }

    /// All alarms that are armed.
    pub fn all_armed(&self) -> String {
        format!("{}.alarm.*.*", self.namespace)
    }

    /// All alarms that were raised.
    pub fn all_raised(&self) -> String {
        format!("{}.late.*.*", self.namespace)
    }

    fn of_watched(&self, what: &str, watched: &Watched) -> String {
        match watched {
            Watched::Fire(job) => format!("{}.{what}.fire.{job}", self.namespace),
            Watched::Run(run) => format!("{}.{what}.run.{run}", self.namespace),
        }
    }
}
