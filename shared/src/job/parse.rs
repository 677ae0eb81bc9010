//! Decides what a job file may say: every fault is found in one reading, each with the path of its
//! key and how to mend it.
//!
//! Knows no file system and no broker. What this version does not have yet (open grids) is refused by name, never
//! silently ignored: a job whose part of it was ignored would look applied and never do that.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `fault` | how faults are collected and shown |
//! | `node` | which value a key may hold |
//! | `keys` | where keys stand that are easily written elsewhere |
//! | `cells` | which cells a grid may have |
//! | `limits` | what a job may take, and its place among others |
//! | `params` | how large and how deep parameters may be |
//! | `settings` | what a job says to its handler alone |
//! | `schedule`, `calendar` | when a job may say that it fires, and what a calendar's file may say (feature `schedules`) |
//! | `submit` | what a submission may change |
//! | `former` | how a file of an earlier form is shown in the new one |
//! | `syntax` | how TOML and JSON text become one kind of value |
//! | `document` | what a user would write for a job |

use std::borrow::Borrow;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::id::{HandlerName, JobName, QueueName};
use crate::job::handlers::{self, Said};
use crate::job::{ATTEMPTS_MAX, Backoff, GridSpec, JobSpec, LimitsSpec, RetrySpec, SubmitSpec};

#[cfg(feature = "schedules")]
mod calendar;
mod cells;
mod document;
mod fault;
mod former;
mod keys;
mod limits;
mod node;
mod params;
#[cfg(feature = "schedules")]
mod schedule;
mod settings;
mod submit;
mod syntax;

pub use crate::duration::{DurationError, parse_duration, write_duration};
#[cfg(feature = "files")]
pub use document::to_toml;
pub use document::to_value;
pub use fault::{Fault, Faults};
#[cfg(feature = "schedules")]
pub use schedule::schedule;

use node::{Fields, Node};

pub use crate::limits::{
    BACKOFF_MAX, FACTOR_MAX, PERCENT_MIN, ROWS_MAX, SHARDS_MAX, TIMEOUT_MAX, TIMEOUT_MIN,
};

/// How a job file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML, the form of the documentation.
    #[cfg(feature = "files")]
    Toml,
    /// JSON, with the same keys.
    Json,
}

/// The job that `text` defines.
///
/// # Errors
/// Every fault of the text at once; a text that is not well formed has one, with line and column.
pub fn parse(text: &str, format: Format) -> Result<JobSpec, Faults> {
    document(syntax::read(text, format)?, Some((text, format)))
}

/// The job that `document` defines.
///
/// # Errors
/// Every fault of the document at once.
pub fn from_value(value: Value) -> Result<JobSpec, Faults> {
    document(value, None)
}

fn document(mut document: Value, text: Option<(&str, Format)>) -> Result<JobSpec, Faults> {
    let mut faults = Faults::default();
    leave_out_what_is_stored(&mut document);
    if let Some(former) = former::find(&document, text) {
        faults.0.push(former.fault);
        document = former.renewed;
    }
    let params = document
        .as_object_mut()
        .and_then(|keys| keys.get_mut("params"))
        .map(Value::take);
    let spec = job(&document, params, &mut faults);
    faults.or(spec)
}

/// What `job show --json` tells of a definition that is stored is no part of it: what it prints is a job file.
fn leave_out_what_is_stored(document: &mut Value) {
    if let Value::Object(keys) = document
        && keys.get("revision").is_some_and(Value::is_u64)
        && keys.get("applied_at").is_some_and(Value::is_string)
    {
        keys.retain(|key, _| !["revision", "applied_at", "obstacles"].contains(&key.as_str()));
    }
}

/// The grid that `value` describes, as in a job file's `[grid]`.
///
/// # Errors
/// Every fault at once; paths begin with `grid`.
pub fn grid(value: impl Borrow<Value>) -> Result<GridSpec, Faults> {
    let mut faults = Faults::default();
    let spec = cells::read(&Node::at("grid", value.borrow()), &mut faults);
    faults.or(spec)
}

/// The parameters that `value` holds, as in a job file's `[params]`.
///
/// # Errors
/// When it is no table, too large or too deep; paths begin with `params`.
pub fn params(value: Value) -> Result<Value, Faults> {
    let mut faults = Faults::default();
    let value = params::check(value, &mut faults);
    faults.or(value)
}

/// What a job file may say, beside the table that is called like its handler.
pub(crate) const SECTIONS: &[&str] = &[
    "name", "handler", "queue", "grid", "retry", "limits", "params", "submit", "schedule",
];
/// The keys of `[retry]`, and of its `backoff`.
const RETRY_KEYS: &[&str] = &["max_attempts", "backoff"];
const BACKOFF_KEYS: &[&str] = &["initial", "factor", "max", "jitter"];

/// Whether a job file has a table of this name for what is its owner's alone to say: `[sql]`, `[limits]`.
pub(crate) fn is_section(name: &str) -> bool {
    SECTIONS.contains(&name) || settings::known(name).is_some()
}

fn job(document: &Value, given: Option<Value>, faults: &mut Faults) -> Option<JobSpec> {
    let root = Node::root(document);
    let known = sections(document);
    let fields = root.fields(&known, &[], faults)?;
    let name = fields.need("name", "a job needs a name", faults);
    let name = name.and_then(|node| node.name(JobName::new, faults));
    let built_in =
        "say which code runs it: sql, exec, http, noop, or one that your workers register";
    let handler = fields.need("handler", built_in, faults);
    let handler = handler.and_then(|node| handler_name(&node, faults));
    let queue = fields.get("queue").map_or_else(
        || QueueName::new("default").ok(),
        |node| node.name(QueueName::new, faults),
    );
    let grid = fields
        .get("grid")
        .map_or_else(|| Some(cells::whole()), |node| cells::read(&node, faults));
    let retry = fields
        .get("retry")
        .map_or_else(|| Some(RetrySpec::default()), |node| retry(&node, faults));
    let limits = fields.get("limits").map_or_else(
        || Some(LimitsSpec::default()),
        |node| limits::read(&node, faults),
    );
    let is_probed = grid.as_ref().is_some_and(GridSpec::is_probed);
    let settings = handler
        .as_ref()
        .and_then(|handler| settings::read(&fields, handler.as_str(), is_probed, faults));
    let params = given.map_or_else(
        || Some(Value::Object(Map::new())),
        |value| params::check(value, faults),
    );
    let submit = fields.get("submit").map_or_else(
        || Some(SubmitSpec::default()),
        |node| submit::read(&node, faults),
    );
    if let (Some(handler), Some(settings), Some(params), Some(grid), Some(submit)) =
        (&handler, &settings, &params, &grid, &submit)
    {
        let said = Said {
            handler: handler.as_str(),
            settings,
            params,
            grid,
            submit: Some(submit),
        };
        faults.0.extend(handlers::check(said).faults);
    }
    let schedule = document
        .get("schedule")
        .map(|schedule| fires(schedule, faults));
    Some(JobSpec {
        name: name?,
        handler: handler?,
        queue: queue?,
        grid: grid?,
        retry: retry?,
        limits: limits?,
        settings: settings?,
        params: params?,
        submit: submit?,
        schedule: match schedule {
            Some(schedule) => Some(schedule?),
            None => None,
        },
    })
}

/// The schedule in the one form in which it is kept.
#[cfg(feature = "schedules")]
fn fires(value: &Value, faults: &mut Faults) -> Option<Value> {
    match schedule(value) {
        Ok(spec) => Some(Value::from(spec)),
        Err(found) => {
            faults.0.extend(found.0);
            None
        }
    }
}

#[cfg(not(feature = "schedules"))]
fn fires(_: &Value, faults: &mut Faults) -> Option<Value> {
    faults.add("schedule", "this program is built without schedules");
    None
}

/// The keys that `document` may have.
fn sections(document: &Value) -> Vec<&str> {
    let built_in = settings::BUILT_IN.iter().map(|(name, _)| *name);
    let own = document.get("handler").and_then(Value::as_str);
    let own = own.filter(|own| settings::known(own).is_none());
    SECTIONS
        .iter()
        .copied()
        .chain(built_in)
        .chain(own)
        .collect()
}

/// A handler's settings stand in the table that is called like it: so it is not called like another key.
fn handler_name(node: &Node<'_>, faults: &mut Faults) -> Option<HandlerName> {
    let name = node.name(HandlerName::new, faults)?;
    let is_taken = SECTIONS.contains(&name.as_str());
    if is_taken {
        node.refuse("a name that is no key of a job file", faults);
        return None;
    }
    Some(name)
}

fn retry(node: &Node<'_>, faults: &mut Faults) -> Option<RetrySpec> {
    let usual = RetrySpec::default();
    let fields = node.fields(RETRY_KEYS, &[], faults)?;
    let attempts = fields.get("max_attempts").map_or_else(
        || Some(u64::from(usual.max_attempts)),
        |node| node.integer(1..=u64::from(ATTEMPTS_MAX), faults),
    );
    let backoff = fields.get("backoff").map_or_else(
        || Some(usual.backoff.clone()),
        |node| backoff(&node, faults),
    );
    Some(RetrySpec {
        max_attempts: u32::try_from(attempts?).ok()?,
        backoff: backoff?,
    })
}

fn backoff(node: &Node<'_>, faults: &mut Faults) -> Option<Backoff> {
    let usual = RetrySpec::default().backoff;
    let fields = node.fields(BACKOFF_KEYS, &[], faults)?;
    let within = Duration::ZERO..=BACKOFF_MAX;
    let initial = milliseconds(&fields, "initial", within.clone(), faults);
    let max = milliseconds(&fields, "max", within, faults);
    let factor = fields.get("factor").map_or_else(
        || Some(usual.factor),
        |node| node.number(1.0..=FACTOR_MAX, faults),
    );
    let jitter = fields
        .get("jitter")
        .map_or_else(|| Some(usual.jitter), |node| node.number(0.0..=1.0, faults));
    let initial_ms = initial?.unwrap_or(usual.initial_ms);
    let max = max?;
    if let Some(max) = max.filter(|max| *max < initial_ms) {
        let (initial, max) = (write_duration(initial_ms), write_duration(max));
        faults.add(
            node.path_of("max"),
            format!("must be at least `initial` ({initial}), found \"{max}\""),
        );
    }
    Some(Backoff {
        initial_ms,
        factor: factor?,
        max_ms: max.unwrap_or(usual.max_ms.max(initial_ms)),
        jitter: jitter?,
    })
}

/// `Some(None)`: left out; `None`: faulty.
fn milliseconds(
    fields: &Fields<'_>,
    key: &str,
    within: RangeInclusive<Duration>,
    faults: &mut Faults,
) -> Option<Option<u64>> {
    fields.optional(key, |node| node.duration(&within, faults))
}

#[cfg(test)]
mod tests;
