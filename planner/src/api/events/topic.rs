//! What a stream of events may be about, and how much of it. Pure.

use std::fmt;
use std::sync::Arc;

use gridloom_shared::chain;
use gridloom_shared::id::RunId;

use super::super::problem::{Answer, Problem};

/// Topics of one stream.
const TOPICS_MAX: usize = 16;
/// Runs among them.
const RUNS_MAX: usize = 4;
/// What the topic of a run begins with.
const RUN: &str = "run:";

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// A run, cell by cell.
    Run(RunId),
    /// Which runs there are, and how they stand.
    Runs,
    /// Which jobs are defined.
    Jobs,
    /// What is looked at again and again.
    Seen(Sight),
}

/// What there is to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sight {
    Queues,
    Workers,
    Planners,
    Pauses,
    Dead,
}

/// All topics that have one word.
const WORDS: [(&str, Topic); 7] = [
    ("runs", Topic::Runs),
    ("jobs", Topic::Jobs),
    ("queues", Topic::Seen(Sight::Queues)),
    ("workers", Topic::Seen(Sight::Workers)),
    ("planners", Topic::Seen(Sight::Planners)),
    ("pauses", Topic::Seen(Sight::Pauses)),
    ("dead", Topic::Seen(Sight::Dead)),
];

impl Topic {
    fn read(text: &str) -> Answer<Topic> {
        if let Some(run) = text.strip_prefix(RUN) {
            let run = RunId::new(run);
            return run
                .map(Topic::Run)
                .map_err(|error| Problem::invalid(format!("topics: {}", chain(&error))));
        }
        let found = WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, topic)| topic.clone()).ok_or_else(|| {
            let words = WORDS.iter().map(|(word, _)| *word);
            let words = words.collect::<Vec<_>>().join(", ");
            let text: String = text.chars().take(64).collect();
            Problem::invalid(format!(
                "topics: {text:?} is none; there are {RUN}RUN, {words}"
            ))
        })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::Run(run) => write!(f, "{RUN}{run}"),
            word => {
                let found = WORDS.iter().find(|(_, topic)| topic == word);
                f.write_str(found.map_or("", |(word, _)| word))
            }
        }
    }
}

/// The topics that a text names, each once and in order.
pub(super) fn read(text: &str) -> Answer<Arc<[Topic]>> {
    let named = text.split(',').map(str::trim).filter(|one| !one.is_empty());
    let mut topics = named.map(Topic::read).collect::<Answer<Vec<Topic>>>()?;
    topics.sort();
    topics.dedup();
    let of_runs = topics.iter().filter(|one| matches!(one, Topic::Run(_)));
    let of_runs = of_runs.count();
    match topics.len() {
        0 => Err(Problem::invalid(
            "topics: name at least one, as topics=runs,queues",
        )),
        many if many > TOPICS_MAX || of_runs > RUNS_MAX => Err(Problem::invalid(format!(
            "topics: {TOPICS_MAX} at most, and {RUNS_MAX} runs among them; open another stream for the others"
        ))),
        _ => Ok(topics.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        let topics = read(text).ok()?;
        let words = topics.iter().map(Topic::to_string);
        Some(words.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn topics_are_read_as_they_are_written_and_each_is_there_once() {
        let all = WORDS.iter().map(|(word, _)| *word);
        let all = all.collect::<Vec<_>>().join(",");
        assert_eq!(told(&all), Some(all));
        let wanted = Some("run:a_s_1,runs,dead".to_owned());
        assert_eq!(told("dead, runs,run:a_s_1,runs,"), wanted);
    }

    #[test]
    fn too_many_none_or_unknown_topics_are_refused() {
        let runs = |many: usize| {
            let named = (0..many).map(|n| format!("run:a_s_{n}"));
            named.collect::<Vec<_>>().join(",")
        };
        assert!(read(&runs(RUNS_MAX)).is_ok());
        for bad in [
            "",
            ",",
            "run",
            "run:",
            "run:*",
            "Runs",
            "log",
            &runs(RUNS_MAX + 1),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
