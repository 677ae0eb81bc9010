//! What a user would write for a job: the way back from a job to its file.

use serde_json::{Map, Value, json};

use super::cells;
use crate::duration::write_duration;
#[cfg(feature = "files")]
use crate::exact::Decimal;
use crate::job::{AbortAfter, GridSpec, JobSpec, LimitsSpec, PagesSpec};

/// The document that [`from_value`](super::from_value) reads as `spec`, all defaults written out.
pub fn to_value(spec: &JobSpec) -> Value {
    let backoff = &spec.retry.backoff;
    let mut document = json!({
        "name": spec.name.as_str(),
        "handler": spec.handler.as_str(),
        "queue": spec.queue.as_str(),
        "grid": grid(&spec.grid),
        "retry": {
            "max_attempts": spec.retry.max_attempts,
            "backoff": {
                "initial": write_duration(backoff.initial_ms),
                "factor": backoff.factor,
                "max": write_duration(backoff.max_ms),
                "jitter": backoff.jitter,
            },
        },
        "limits": limits(&spec.limits),
    });
    if spec
        .settings
        .as_object()
        .is_some_and(|settings| !settings.is_empty())
    {
        document[spec.handler.as_str()] = spec.settings.clone();
    }
    document["params"] = spec.params.clone();
    if let Some(schedule) = &spec.schedule {
        document["schedule"] = fires(schedule);
    }
    document["submit"] = json!(spec.submit);
    document
}

/// The same document as TOML; `None` when the parameters hold what TOML cannot say (a null, or a
/// whole number beyond 63 bits), or would say otherwise.
#[cfg(feature = "files")]
pub fn to_toml(spec: &JobSpec) -> Option<String> {
    let document = to_value(spec);
    if is_written_otherwise(&document) {
        return None;
    }
    let table = toml::Table::try_from(document).ok()?;
    toml::to_string_pretty(&table).ok()
}

#[cfg(feature = "schedules")]
fn fires(schedule: &Value) -> Value {
    // One that this build cannot read is shown as it is kept.
    let spec = crate::schedule::Spec::try_from(schedule.clone());
    spec.map_or_else(|_| schedule.clone(), |spec| spec.written_out())
}

#[cfg(not(feature = "schedules"))]
fn fires(schedule: &Value) -> Value {
    schedule.clone()
}

/// Whether TOML would write another number than JSON does: some floats have two shortest texts.
#[cfg(feature = "files")]
fn is_written_otherwise(value: &Value) -> bool {
    match value {
        Value::Number(number) if number.is_f64() => number.as_f64().is_some_and(|float| {
            let in_toml = Decimal::parse(&float.to_string());
            in_toml.as_ref() != Some(&Decimal::of(number))
        }),
        Value::Array(values) => values.iter().any(is_written_otherwise),
        Value::Object(values) => values.values().any(is_written_otherwise),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn limits(spec: &LimitsSpec) -> Value {
    let timeout = spec.timeout_ms.map(write_duration);
    let abort_after = spec.abort_after.map(|limit| match limit {
        AbortAfter::Dead(dead) => json!({ "dead": dead }),
        AbortAfter::DeadPercent(percent) => json!({ "dead_percent": percent }),
        AbortAfter::Never => json!(false),
    });
    let said = [
        ("timeout", timeout.map(Value::from)),
        ("abort_after", abort_after),
        ("concurrency", spec.concurrency.map(Value::from)),
        ("rate", spec.rate.map(|rate| rate.to_string().into())),
        ("priority", Some(spec.priority.get().into())),
        (
            "share",
            spec.share.as_ref().map(|name| name.as_str().into()),
        ),
        (
            "resource",
            spec.resource.as_ref().map(|name| name.as_str().into()),
        ),
    ];
    let known = said
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(known.collect())
}

fn grid(spec: &GridSpec) -> Value {
    let mut grid = Map::new();
    grid.insert("slices".to_owned(), spec.slices.into());
    grid.insert("pages".to_owned(), pages(spec));
    if let Some(tile) = spec.tile {
        grid.insert("tile".to_owned(), tile.into());
    }
    Value::Object(grid)
}

fn pages(spec: &GridSpec) -> Value {
    match &spec.pages {
        PagesSpec::Count { count } => json!({ "count": count }),
        PagesSpec::Rows { rows, page_size } => {
            let total = rows
                .iter()
                .fold(0, |total: u64, more| total.saturating_add(*more));
            if cells::spread(total, spec.slices) == *rows {
                json!({ "rows": total, "page_size": page_size })
            } else {
                json!({ "rows": rows, "page_size": page_size })
            }
        }
        PagesSpec::Probe => json!({ "probe": true }),
    }
}
