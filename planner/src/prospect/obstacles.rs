//! What stands in the way of a job's fires: for people as sentences beside the answer, for programs as fields of it.

use gridloom_shared::alarm::{Alarm, Watched};
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{CalendarName, JobName, RunId};
use gridloom_shared::job::JobSpec;
use gridloom_shared::reads::ListError;
use gridloom_shared::reads::fires::{self, Stopped};
use gridloom_shared::reads::pauses::{self, Paused};
use gridloom_shared::reads::{alarms, calendars};
use gridloom_shared::schedule::Calendars;
use serde::Serialize;

/// What is the case with one job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Obstacles {
    /// Pauses that last, that of all jobs first.
    pub pauses: Vec<Pausing>,
    /// Calendars that its schedule waits for.
    pub missing_calendars: Vec<CalendarName>,
    /// When the fire was to open that no planner has answered for, or one before it (RFC 3339).
    pub late: Option<String>,
    /// Runs that are not over, and had to be.
    pub overdue: Vec<RunId>,
    /// Why nothing is decided of its fires any more: their last record makes no sense. Left out where nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub stopped: Option<Option<String>>,
}

/// A pause that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Pausing {
    /// Of all jobs.
    all: bool,
    /// Of this one.
    job: Option<JobName>,
    /// Who has paused.
    by: String,
    /// What they said.
    note: String,
    /// Since when, RFC 3339.
    since: String,
    /// Until when, RFC 3339.
    until: Option<String>,
    #[serde(skip)]
    end: Option<UnixMs>,
}

/// What is the case with all jobs.
pub struct Around {
    pauses: Vec<Paused>,
    calendars: Calendars,
    alarms: Vec<Alarm>,
    /// The last records of these were looked at.
    looked_at: Vec<JobName>,
    stopped: Vec<Stopped>,
}

impl Around {
    /// Looks also at the last records of `jobs`: of all it would take too long.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn look(broker: &Broker, jobs: &[&JobName]) -> Result<Around, ListError> {
        let mut stopped = Vec::new();
        for job in jobs {
            stopped.extend(fires::stopped::find(broker, Some(job)).await?);
        }
        Ok(Around {
            pauses: pauses::list(broker).await?,
            calendars: calendars::known(broker).await?,
            alarms: alarms::raised(broker).await?,
            looked_at: jobs.iter().map(|job| (*job).clone()).collect(),
            stopped,
        })
    }

    /// What is the case with one of them.
    pub fn of(&self, job: &JobSpec) -> Obstacles {
        let mut stopped = self.stopped.iter();
        let stopped = stopped.find(|stopped| stopped.job == job.name);
        let mut obstacles = Obstacles {
            stopped: self
                .looked_at
                .contains(&job.name)
                .then(|| stopped.map(Stopped::found)),
            pauses: self.pauses_of(&job.name),
            missing_calendars: calendars::missing(job, &self.calendars),
            ..Obstacles::default()
        };
        for alarm in &self.alarms {
            match &alarm.watched {
                Watched::Fire(name) if *name == job.name => {
                    obstacles.late = Some(alarm.due.rfc3339());
                }
                Watched::Run(run) if run.job() == job.name.as_str() => {
                    obstacles.overdue.push(run.clone());
                }
                Watched::Fire(_) | Watched::Run(_) => {}
            }
        }
        obstacles
    }

    /// The calendars that there are.
    pub fn calendars(&self) -> &Calendars {
        &self.calendars
    }

    /// What is said of a job whose last record makes no sense.
    pub fn stopped_of<'a>(&'a self, job: &'a JobName) -> impl Iterator<Item = &'a Stopped> {
        self.stopped
            .iter()
            .filter(move |stopped| stopped.job == *job)
    }

    fn pauses_of(&self, job: &JobName) -> Vec<Pausing> {
        let concern = |paused: &&Paused| paused.job.as_ref().is_none_or(|paused| paused == job);
        let pauses = self.pauses.iter().filter(concern);
        pauses.map(Pausing::of).collect()
    }
}

impl Pausing {
    /// A pause that is on record.
    pub fn of(paused: &Paused) -> Pausing {
        Pausing {
            all: paused.job.is_none(),
            job: paused.job.clone(),
            by: paused.pause.by.clone(),
            note: paused.pause.note.clone(),
            since: paused.since().rfc3339(),
            until: paused.pause.until.map(UnixMs::rfc3339),
            end: paused.pause.until,
        }
    }

    /// Who has paused.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// As people read it.
    pub fn words(&self) -> String {
        let what = match &self.job {
            None => "the schedules of all jobs are".to_owned(),
            Some(job) => format!("the schedule of job {job} is"),
        };
        let until = self.until.as_ref().map(|until| format!(" until {until}"));
        format!(
            "{what} paused by {} since {}{}: {}",
            self.by,
            self.since,
            until.unwrap_or_default(),
            self.note
        )
    }
}

impl Obstacles {
    /// The pause that holds back what opens at this time, if one does.
    pub fn holds_back(&self, opens_at: UnixMs) -> Option<&Pausing> {
        let mut pauses = self.pauses.iter();
        pauses.find(|pause| pause.end.is_none_or(|end| opens_at < end))
    }

    /// A time after which the next fire is not held back by a pause; `None`: all are, until somebody resumes them.
    pub fn fires_after(&self, now: UnixMs) -> Option<UnixMs> {
        match self.longest_pause().map(|pause| pause.end) {
            None => Some(now),
            // What is due when it ends is held back no more.
            Some(end) => end.map(|end| now.max(UnixMs(end.0.saturating_sub(1)))),
        }
    }

    /// The pause that lasts longest, if there is one.
    pub fn longest_pause(&self) -> Option<&Pausing> {
        let pauses = self.pauses.iter();
        pauses.max_by_key(|pause| (pause.end.is_none(), pause.end))
    }

    /// Whether the job itself is paused.
    pub fn is_paused_itself(&self) -> bool {
        self.pauses.iter().any(|pause| !pause.all)
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::job::parse::from_value;
    use gridloom_shared::schedule::pause::Pause;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_in_the_way_of_a_job_is_told_in_fields_and_of_no_other() {
        let job = |name: &str, schedule| {
            from_value(json!({ "name": name, "handler": "resize", "schedule": schedule })).unwrap()
        };
        let nightly = job("nightly", json!({ "every": "1h", "except": "office" }));
        let other = job("other", json!({ "every": "1h" }));
        let paused = |name: Option<&str>, until| Paused {
            job: name.map(|name| JobName::new(name).unwrap()),
            pause: Pause {
                by: "ada".to_owned(),
                note: "moved".to_owned(),
                from: None,
                until,
                resumed: None,
            },
            written: UnixMs(1_000),
        };
        let run = RunId::new("nightly_20260101T000000Z").unwrap();
        let alarm = |watched| Alarm {
            watched,
            scheduled_at: UnixMs(0),
            due: UnixMs(0),
            at: UnixMs(0),
        };
        let around = Around {
            pauses: vec![
                paused(None, Some(UnixMs(9_000))),
                paused(Some("nightly"), None),
            ],
            calendars: Calendars::new(),
            alarms: vec![
                alarm(Watched::Fire(nightly.name.clone())),
                alarm(Watched::Run(run)),
            ],
            looked_at: vec![nightly.name.clone()],
            stopped: Vec::new(),
        };
        let obstacles = around.of(&nightly);
        let pause = |all: bool, until: Option<&str>| {
            json!({
                "all": all, "job": (!all).then_some("nightly"), "by": "ada", "note": "moved", "since": "1970-01-01T00:00:01.000Z", "until": until,
            })
        };
        let wanted = json!({
            "pauses": [pause(true, Some("1970-01-01T00:00:09.000Z")), pause(false, None)],
            "missing_calendars": ["office"],
            "late": "1970-01-01T00:00:00.000Z",
            "overdue": ["nightly_20260101T000000Z"], "stopped": null,
        });
        assert_eq!(serde_json::to_value(&obstacles).unwrap(), wanted);
        assert!(obstacles.is_paused_itself());
        let other = around.of(&other);
        let wanted = json!({
            "pauses": [pause(true, Some("1970-01-01T00:00:09.000Z"))],
            "missing_calendars": [], "late": null, "overdue": [],
        });
        assert_eq!(serde_json::to_value(&other).unwrap(), wanted);
        assert!(!other.is_paused_itself());
        assert!(other.holds_back(UnixMs(8_999)).is_some());
        assert_eq!(other.holds_back(UnixMs(9_000)), None, "it is over by then");
        // One that nobody has resumed lasts longer than any other.
        assert_eq!(obstacles.fires_after(UnixMs(1)), None);
        assert_eq!(obstacles.longest_pause().map(|it| it.all), Some(false));
        assert_eq!(other.fires_after(UnixMs(1)), Some(UnixMs(8_999)));
        assert_eq!(other.fires_after(UnixMs(9_001)), Some(UnixMs(9_001)));
        let none = Obstacles::default();
        assert_eq!(none.fires_after(UnixMs(1)), Some(UnixMs(1)));
    }
}
