//! What a job may say of when it fires.

use std::time::Duration;

use serde_json::Value;

use super::fault::Faults;
use super::keys::SCHEDULE;
use super::node::{Fields, Node};
use crate::id::CalendarName;
use crate::limits::{
    AT_LIST_MAX, CRON_LIST_MAX, DAYS_LIST_MAX, EVERY_MAX, EVERY_MIN, FIRES_KEPT_MAX, MAX_FIRES_MAX,
    PAUSE_AFTER_MAX, SCHEDULE_BYTES_MAX, SPREAD_MAX, TIMEOUT_MAX, WINDOW_MAX, WINDOW_MIN,
};
use crate::schedule::spec::{
    Choices, DIALECTS, Days, FIRES_DEFAULT, GAPS, Misfire, MisfirePolicy, OVERLAPS, OverlapPolicy,
    Spec, UTC, When,
};
use crate::schedule::{Cron, Dialect, Dst, Moment, Plan, Zone, moment};
use crate::{chain, suggest};
use meant::Meant;

mod meant;

const DST_KEYS: &[&str] = &["gap", "overlap"];
const MISFIRE_KEYS: &[&str] = &["policy", "window", "max"];
const WHEN: &str = "cron, every, at and after";

/// The policies, each with what it takes where nothing more is said.
const OVERLAP_POLICIES: Choices<OverlapPolicy> = &[
    ("skip", OverlapPolicy::Skip),
    ("queue_one", OverlapPolicy::QueueOne),
    ("queue_all", OverlapPolicy::QueueAll { max: FIRES_DEFAULT }),
    ("cancel_running", OverlapPolicy::CancelRunning),
    ("allow", OverlapPolicy::Allow),
];
const MISFIRE_POLICIES: Choices<MisfirePolicy> = &[
    ("skip", MisfirePolicy::Skip),
    ("run_once", MisfirePolicy::RunOnce),
    ("run_all", MisfirePolicy::RunAll { max: FIRES_DEFAULT }),
];

/// The schedule that `value` describes, as in a job file's `[schedule]`.
///
/// # Errors
/// Every fault at once, and that it never fires; paths begin with `schedule`.
pub fn schedule(value: &Value) -> Result<Spec, Faults> {
    let spec = keys(value)?;
    let bytes = Value::from(spec.clone()).to_string().len();
    if bytes > SCHEDULE_BYTES_MAX {
        let text = format!(
            "has {bytes} bytes as JSON: at most {SCHEDULE_BYTES_MAX}, as it stands in each record of the job's fires"
        );
        return Err(Faults::one("schedule", text));
    }
    match Plan::without_calendars(&spec) {
        Ok(_) => Ok(spec),
        Err(error) => Err(error.faults()),
    }
}

impl TryFrom<Value> for Spec {
    type Error = Faults;

    /// Reads the keys alone: whether it ever fires was looked at when it was written.
    fn try_from(value: Value) -> Result<Spec, Faults> {
        keys(&value)
    }
}

fn keys(value: &Value) -> Result<Spec, Faults> {
    let mut faults = Faults::default();
    let spec = read(&Node::at("schedule", value), &mut faults);
    faults.or(spec)
}

fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Spec> {
    if Meant::instead_of_table(node, faults) {
        return None;
    }
    let known: Vec<&str> = SCHEDULE.iter().map(|(key, _)| *key).collect();
    let fields = node.fields(&known, &[], faults)?;
    let when = when(node, &fields, faults);
    let timezone = fields.optional("timezone", |node| zone(node, faults));
    let start = fields.optional("start", |node| moment(node, faults));
    let end = fields.optional("end", |node| moment(node, faults));
    let max_fires = fields.optional("max_fires", |node| node.integer(1..=MAX_FIRES_MAX, faults));
    let only = fields.optional("only", |node| list(node, DAYS_LIST_MAX, days, faults));
    let except = fields.optional("except", |node| list(node, DAYS_LIST_MAX, days, faults));
    let spread_within = Duration::ZERO..=SPREAD_MAX;
    let jitter = fields.optional("jitter", |node| node.duration(&spread_within, faults));
    let spread = fields.optional("spread", |node| node.duration(&spread_within, faults));
    let dst = fields.optional("dst", |node| dst(node, faults));
    let overlap = overlap(&fields, faults);
    let misfire = fields.optional("misfire", |node| misfire(node, faults));
    let failures = fields.optional("pause_after_failures", |node| {
        whole(node, PAUSE_AFTER_MAX, faults)
    });
    let deadline = fields.optional("deadline", |node| time(node, faults));
    let within = EVERY_MIN..=TIMEOUT_MAX;
    let finish_within = fields.optional("finish_within", |node| node.duration(&within, faults));
    let spec = Spec {
        when: when?,
        // Said or not, it is the same schedule.
        timezone: timezone?.map(|(_, text)| text).filter(|zone| zone != UTC),
        start: start?,
        end: end?,
        max_fires: max_fires?,
        only: only?.unwrap_or_default(),
        except: except?.unwrap_or_default(),
        jitter_ms: jitter?.unwrap_or_default(),
        spread_ms: spread?.unwrap_or_default(),
        dst: dst?.unwrap_or_default(),
        overlap: overlap?,
        misfire: misfire?.unwrap_or_default(),
        pause_after_failures: failures?,
        deadline: deadline?,
        finish_within_ms: finish_within?,
    };
    belongs(&fields, &spec.when, faults);
    Some(spec)
}

/// Keys that say something only beside others.
fn belongs(fields: &Fields<'_>, when: &When, faults: &mut Faults) {
    let is_cron = matches!(when, When::Cron { .. });
    let has_civil = is_cron || matches!(when, When::At(_));
    for (key, fits, of) in [
        ("dialect", is_cron, "`cron`"),
        ("dst", has_civil, "`cron` and `at`"),
    ] {
        if let Some(node) = fields.get(key).filter(|_| !fits) {
            faults.add(node.path(), format!("is for {of} alone: leave it out"));
        }
    }
}

fn when(node: &Node<'_>, fields: &Fields<'_>, faults: &mut Faults) -> Option<When> {
    let dialect = fields.optional("dialect", |node| choice(node, DIALECTS, faults));
    let keys = ["cron", "every", "at", "after"].map(|key| fields.get(key));
    if keys.iter().flatten().count() > 1 {
        let message = format!("says several of {WHEN}: must be only one of them");
        faults.add(node.path(), message);
        return None;
    }
    match keys {
        [Some(cron), ..] => {
            let dialect = dialect?;
            let one = |node: &Node<'_>, faults: &mut Faults| expression(node, dialect, faults);
            let expressions = list(&cron, CRON_LIST_MAX, one, faults)?;
            Some(When::Cron {
                expressions,
                dialect,
            })
        }
        [_, Some(every), ..] => {
            let period_ms = seconds(&every, faults)?;
            Some(When::Every { period_ms })
        }
        [_, _, Some(at), _] => list(&at, AT_LIST_MAX, time_of_day, faults).map(When::At),
        [_, _, _, Some(after)] => {
            let wait_ms = seconds(&after, faults)?;
            Some(When::After { wait_ms })
        }
        [None, None, None, None] => {
            let message = format!("must say when it fires: one of {WHEN}");
            faults.add(node.path(), message);
            None
        }
    }
}

/// One of what `read` reads, or a list of them.
fn list<'v, T>(
    node: &Node<'v>,
    most: usize,
    read: impl Fn(&Node<'v>, &mut Faults) -> Option<T>,
    faults: &mut Faults,
) -> Option<Vec<T>> {
    let Value::Array(items) = node.value() else {
        return Some(vec![read(node, faults)?]);
    };
    if items.is_empty() || items.len() > most {
        let found = items.len();
        let message = format!("must have 1 to {most} entries, found {found}");
        faults.add(node.path(), message);
        return None;
    }
    let places = items.iter().enumerate();
    let all: Vec<Option<T>> = places
        .map(|(place, value)| read(&node.item(place, value), faults))
        .collect();
    all.into_iter().collect()
}

fn expression(node: &Node<'_>, dialect: Option<Dialect>, faults: &mut Faults) -> Option<String> {
    let Some(text) = node.value().as_str() else {
        node.refuse("a cron expression such as \"30 9 * * MON-FRI\"", faults);
        return None;
    };
    match Cron::parse(text, dialect) {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            let hint = Meant::by_cron(text).unwrap_or_default();
            faults.add(node.path(), format!("{}{hint}", chain(&error)));
            None
        }
    }
}

/// A time zone, and how it was written: a slip of the pen is told what it may mean.
pub(super) fn zone(node: &Node<'_>, faults: &mut Faults) -> Option<(Zone, String)> {
    let Some(text) = node.value().as_str() else {
        node.refuse(
            "a time zone such as \"Europe/Berlin\" or \"+02:00\"",
            faults,
        );
        return None;
    };
    match Zone::new(text) {
        Ok(zone) => Some((zone, text.to_owned())),
        Err(error) => {
            faults.add(node.path(), chain(&error).to_string());
            None
        }
    }
}

/// What a text says. `must` is said where it is none.
fn text<T>(
    node: &Node<'_>,
    read: impl Fn(&str) -> Option<T>,
    must: &str,
    faults: &mut Faults,
) -> Option<T> {
    let found = node.value().as_str().and_then(read);
    if found.is_none() {
        node.refuse(must, faults);
    }
    found
}

const MOMENT: &str = "a time of 1970 to 9998 to the second, as \"2026-12-01T02:00:00Z\", or \"2026-12-01T02:00:00\" by the clocks of `timezone`";

fn moment(node: &Node<'_>, faults: &mut Faults) -> Option<Moment> {
    text(node, |text| text.parse().ok(), MOMENT, faults)
}

/// A day alone is no time to fire at.
fn time_of_day(node: &Node<'_>, faults: &mut Faults) -> Option<Moment> {
    let read = |text: &str| {
        let moment: Moment = text.parse().ok()?;
        Some(moment).filter(|moment| !matches!(moment, Moment::Day(_)))
    };
    text(node, read, MOMENT, faults)
}

fn time(node: &Node<'_>, faults: &mut Faults) -> Option<jiff::civil::Time> {
    let must = "a time of day such as \"06:00\"";
    text(node, moment::time, must, faults)
}

fn days(node: &Node<'_>, faults: &mut Faults) -> Option<Days> {
    let must = "the name of a calendar, a date as \"2026-12-24\", a range as \"2026-12-24/2026-12-26\", or such of each year as \"12-24\" and \"12-24/01-06\"";
    text(node, read_days, must, faults)
}

fn read_days(text: &str) -> Option<Days> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return text.parse().ok().map(Days::Dates);
    }
    CalendarName::new(text).ok().map(Days::Calendar)
}

/// A length of time of whole seconds, in milliseconds: so nominal times are whole seconds too.
fn seconds(node: &Node<'_>, faults: &mut Faults) -> Option<u64> {
    if Meant::cron_as_cadence(node, faults) {
        return None;
    }
    let ms = node.duration(&(EVERY_MIN..=EVERY_MAX), faults)?;
    if ms % 1_000 != 0 {
        node.refuse("a duration of whole seconds", faults);
        return None;
    }
    Some(ms)
}

fn whole(node: &Node<'_>, max: u32, faults: &mut Faults) -> Option<u32> {
    let found = node.integer(1..=u64::from(max), faults)?;
    u32::try_from(found).ok()
}

fn choice<T: Copy>(node: &Node<'_>, choices: Choices<T>, faults: &mut Faults) -> Option<T> {
    let said = node.value().as_str();
    let found = choices.iter().find(|(word, _)| Some(*word) == said);
    if found.is_none() {
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let (last, others) = words.split_last()?;
        let must = format!("{} or {last}", others.join(", "));
        let known = choices.iter().map(|(word, _)| *word);
        let hint = said.map(|said| suggest::hint(&said.replace([' ', '-'], "_"), known));
        node.refuse_with(must, &hint.unwrap_or_default(), faults);
    }
    found.map(|(_, choice)| *choice)
}

fn dst(node: &Node<'_>, faults: &mut Faults) -> Option<Dst> {
    let fields = node.fields(DST_KEYS, &[], faults)?;
    let gap = fields.optional("gap", |node| choice(node, GAPS, faults));
    let overlap = fields.optional("overlap", |node| choice(node, OVERLAPS, faults));
    Some(Dst {
        gap: gap?,
        overlap: overlap?,
    })
}

fn overlap(fields: &Fields<'_>, faults: &mut Faults) -> Option<OverlapPolicy> {
    let policy = fields.optional("overlap", |node| choice(node, OVERLAP_POLICIES, faults));
    let max = fields.optional("queue_max", |node| whole(node, FIRES_KEPT_MAX, faults));
    let (policy, max) = (policy?.unwrap_or_default(), max?);
    match (policy, max) {
        (OverlapPolicy::QueueAll { .. }, Some(max)) => Some(OverlapPolicy::QueueAll { max }),
        (policy, None) => Some(policy),
        (_, Some(_)) => {
            let message = "is for `overlap = \"queue_all\"` alone: leave it out";
            faults.add("schedule.queue_max", message);
            None
        }
    }
}

fn misfire(node: &Node<'_>, faults: &mut Faults) -> Option<Misfire> {
    let usual = Misfire::default();
    if Meant::policy_of_misfire(node, MISFIRE_POLICIES, faults) {
        return None;
    }
    let fields = node.fields(MISFIRE_KEYS, &[], faults)?;
    let policy = fields.optional("policy", |node| choice(node, MISFIRE_POLICIES, faults));
    let within = WINDOW_MIN..=WINDOW_MAX;
    let window = fields.optional("window", |node| node.duration(&within, faults));
    let max = fields.optional("max", |node| whole(node, FIRES_KEPT_MAX, faults));
    let policy = policy?.unwrap_or(usual.policy);
    let (window, max) = (window?, max?);
    if policy == MisfirePolicy::Skip && window.is_some() {
        let message = "says how old a fire may be that is made up for, and `policy = \"skip\"` makes up for none: leave one of them out";
        faults.add(node.path_of("window"), message);
    }
    let policy = match (policy, max) {
        (MisfirePolicy::RunAll { .. }, Some(max)) => MisfirePolicy::RunAll { max },
        (policy, None) => policy,
        (policy, Some(_)) => {
            let message = "is for `policy = \"run_all\"` alone: leave it out";
            faults.add(node.path_of("max"), message);
            policy
        }
    };
    Some(Misfire {
        policy,
        window_ms: window.unwrap_or(usual.window_ms),
    })
}

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
