//! What a user would write for a job: the way back from a job to its file.

use serde_json::{Map, Value, json};

use super::cells;
use super::duration::write_duration;
use crate::job::{AbortAfter, GridSpec, JobSpec, PagesSpec};

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
    });
    if let Some(timeout_ms) = spec.limits.timeout_ms {
        document["limits"]["timeout"] = write_duration(timeout_ms).into();
    }
    match spec.limits.abort_after {
        Some(AbortAfter::Dead(dead)) => {
            document["limits"]["abort_after"] = json!({ "dead": dead });
        }
        Some(AbortAfter::DeadPercent(percent)) => {
            document["limits"]["abort_after"] = json!({ "dead_percent": percent });
        }
        None => {}
    }
    document["params"] = spec.params.clone();
    document
}

/// The same document as TOML; `None` when the parameters hold what TOML cannot say (a null, or a
/// whole number beyond 63 bits).
pub fn to_toml(spec: &JobSpec) -> Option<String> {
    let table = toml::Table::try_from(to_value(spec)).ok()?;
    toml::to_string_pretty(&table).ok()
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
