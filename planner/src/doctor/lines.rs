//! The lines that `doctor` can tell and that are not `ok`: each has a key that stays whatever its words become, and
//! under that key its place in docs/OPERATIONS.md.

/// A line that is not `ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// What was looked at.
    pub(super) check: &'static str,
    /// What is wrong with it.
    pub(super) key: &'static str,
}

/// Its key: the broker did not say what was to be looked at.
const UNREAD: &str = "unread";

impl Line {
    /// What was to be looked at could not be.
    pub(super) const fn unread(check: &'static str) -> Line {
        Line { check, key: UNREAD }
    }
}

/// Makes a constant of each, and a list of all for the test.
macro_rules! lines {
    ($($name:ident = $check:literal, $key:literal;)*) => {
        $(pub(super) const $name: Line = Line { check: $check, key: $key };)*

        #[cfg(test)]
        const ALL: &[Line] = &[$($name),*];
    };
}

lines! {
    BROKER_AWAY = "broker", "broker-away";
    FAR = "distance", "far";
    CERTIFICATE_ENDS = "certificates", "certificate-ends";
    STREAM_HEADLESS = "cluster", "stream-headless";
    QUEUE_HEADLESS = "cluster", "queue-headless";
    SERVER_AWAY = "cluster", "server-away";
    SERVER_BEHIND = "cluster", "server-behind";
    ONE_COPY = "cluster", "one-copy";
    SITE_INCOMPLETE = "site", "site-incomplete";
    SITE_SILENT = "site", "site-silent";
    PLANNER_AT_SITE = "planners", "planner-at-site";
    WORKER_AT_SITE = "workers", "worker-at-site";
    STREAM_AT_SITE = "streams", "stream-at-site";
    RESTORE_UNFINISHED = "streams", "restore-unfinished";
    STREAMS_MISSING = "streams", "streams-missing";
    STREAMS_DIFFER = "streams", "streams-differ";
    QUEUE_ON_FILE = "queue", "queue-on-file";
    NO_LEADER = "leadership", "no-leader";
    TAKING_OVER = "leadership", "taking-over";
    NO_STANDBY = "planners", "no-standby";
    LEADER_STUCK = "planners", "leader-stuck";
    STANDBY_STUCK = "planners", "standby-stuck";
    PLANNER_STUCK = "planners", "planner-stuck";
    API_FILES = "planners", "api-files";
    RECORDS_ODD = "records", "odd-records";
    SUBMISSIONS_STUCK = "submissions", "submissions-stuck";
    QUEUE_CLOSED = "submissions", "queue-closed";
    QUEUE_FULL = "queues", "queue-full";
    NO_CONSUMER = "queues", "no-consumer";
    NOBODY_WAITS = "queues", "nobody-waits";
    QUEUE_WITHOUT_WORKERS = "workers", "queue-without-workers";
    HANDLER_MISSING = "handlers", "handler-missing";
    NO_WORKERS = "workers", "no-workers";
    WORKER_TROUBLED = "workers", "worker-troubled";
    WORKERS_SILENT = "workers", "workers-silent";
    REGISTRATION_ODD = "workers", "odd-registration";
    SAME_NAME = "workers", "same-name";
    HANDLERS_DIFFER = "workers", "handlers-differ";
    HANDLERS_APART = "workers", "handlers-apart";
    SETTINGS_DIFFER = "workers", "settings-differ";
    VERSIONS_DIFFER = "workers", "versions-differ";
    BUILDS_DIFFER = "versions", "builds-differ";
    BUILD_TOO_OLD = "versions", "build-too-old";
    COMMAND_TOO_OLD = "versions", "command-too-old";
    RUNS_NEWER = "versions", "runs-newer";
    DEADLINES_DIFFER = "workers", "ack-deadlines-differ";
    JOB_UNREADABLE = "jobs", "job-unreadable";
    NAMES_UNKNOWN = "jobs", "names-unknown";
    SCHEDULE_STOPPED = "schedules", "schedule-stopped";
    ALL_PAUSED = "schedules", "all-paused";
    PAUSED_ITSELF = "schedules", "paused-itself";
    CALENDAR_UNREADABLE = "calendars", "calendar-unreadable";
    CALENDAR_MISSING = "calendars", "calendar-missing";
    FIRE_LATE = "late fires", "fire-late";
    RUN_OVERDUE = "overdue runs", "run-overdue";
    RUN_LOST = "lost runs", "run-lost";
    RUN_SET_ASIDE = "runs set aside", "run-set-aside";
    DEAD_UNSEEN = "dead shards", "dead-unseen";
    CLOCK_OFF = "clock", "clock-off";
    CLOCK_UNTOLD = "clock", "clock-untold";
    CLOCK_JUMPED = "broker's clock", "clock-jumped";
    NO_ECHO = "permissions", "no-echo";
    WRITES_UNANSWERED = "writes", "writes-unanswered";
    READ_ONLY = "writes", "read-only";
    SET_ASIDE = "set aside", "set-aside";
    NUMBER_ODD = "numbers", "odd-number";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Key and check of each row of the table in OPERATIONS.md, with the rest of the row.
    fn rows(page: &str) -> BTreeMap<&str, (&str, &str)> {
        let section = page.split("\n## What `doctor` says\n").nth(1);
        let section = section.and_then(|rest| rest.split("\n## ").next());
        let rows = section.unwrap_or_default().lines().filter_map(|line| {
            let (key, rest) = line
                .strip_prefix("| <a id=\"doctor-")?
                .split_once("\"></a>`")?;
            let (told, rest) = rest.split_once("` | `")?;
            let (check, rest) = rest.split_once("` | ")?;
            (told == key).then_some((key, (check, rest)))
        });
        rows.collect()
    }

    #[test]
    fn every_line_has_its_place_in_the_runbook_and_every_place_its_line() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/", "OPERATIONS.md");
        let page = std::fs::read_to_string(page).unwrap();
        let mut rows = rows(&page);
        assert!(rows.remove(UNREAD).is_some(), "unread has no row");
        for line in ALL {
            let Some((check, rest)) = rows.remove(line.key) else {
                panic!("docs/OPERATIONS.md has no row for {line:?}, or ALL has it twice");
            };
            assert_eq!(check, line.check, "{line:?}");
            let cells: Vec<&str> = rest.split(" | ").map(str::trim).collect();
            assert!(
                cells.len() == 2 && cells.iter().all(|cell| cell.len() > 10),
                "{rest}"
            );
        }
        assert!(
            rows.is_empty(),
            "docs/OPERATIONS.md has rows of no line: {rows:?}"
        );
    }
}
