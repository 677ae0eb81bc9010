//! Which keys of two definitions differ, as a file would say them.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{JobSpec, parse};

/// Longer values are cut for people.
const SHOWN: usize = 60;

/// A key that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Difference {
    /// Keys joined by dots: `limits.concurrency`.
    key: String,
    /// `None`: it was not there.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::anything))]
    before: Option<Value>,
    /// `None`: it is there no more.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::anything))]
    after: Option<Value>,
}

/// What differs between two definitions of a job.
pub fn of(before: &JobSpec, after: &JobSpec) -> Vec<Difference> {
    let mut all = Vec::new();
    let (before, after) = (parse::to_value(before), parse::to_value(after));
    collect("", Some(&before), Some(&after), &mut all);
    all
}

/// The keys that differ.
pub fn keys(before: &JobSpec, after: &JobSpec) -> Vec<String> {
    let all = of(before, after).into_iter();
    all.map(|difference| difference.key).collect()
}

fn collect(key: &str, before: Option<&Value>, after: Option<&Value>, all: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) else {
        all.push(Difference {
            key: key.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        });
        return;
    };
    let added = new.keys().filter(|name| !old.contains_key(*name));
    for name in old.keys().chain(added) {
        let below = match key {
            "" => name.clone(),
            key => format!("{key}.{name}"),
        };
        collect(&below, old.get(name), new.get(name), all);
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |value: &Option<Value>| {
            let Some(value) = value else {
                return "not there".to_owned();
            };
            let text = value.to_string();
            match text.chars().count() {
                0..=SHOWN => text,
                _ => format!("{}...", text.chars().take(SHOWN).collect::<String>()),
            }
        };
        let (before, after) = (side(&self.before), side(&self.after));
        write!(f, "{}: {before} -> {after}", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::from_value;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_key_that_differs_is_told_with_both_values() {
        let job = |more: Value| {
            let mut job = json!({ "name": "a", "handler": "resize" });
            job.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            from_value(job).unwrap()
        };
        let before = job(json!({
            "limits": { "concurrency": 4 }, "params": { "day": 1, "long": "x".repeat(100) },
            "schedule": { "cron": "0 6 * * *" },
        }));
        let after = job(json!({
            "limits": { "concurrency": 8 }, "params": { "day": 1 },
            "schedule": { "cron": "0 5 * * *", "overlap": "allow" },
        }));
        let told: Vec<String> = of(&before, &after)
            .iter()
            .map(ToString::to_string)
            .collect();
        let cut = "x".repeat(SHOWN - 1);
        assert_eq!(
            told,
            [
                "limits.concurrency: 4 -> 8".to_owned(),
                format!("params.long: \"{cut}... -> not there"),
                "schedule.cron: \"0 6 * * *\" -> \"0 5 * * *\"".to_owned(),
                "schedule.overlap: \"skip\" -> \"allow\"".to_owned(),
            ]
        );
        assert_eq!(of(&before, &before), []);
        // A schedule that was not there is one difference.
        let plain = job(json!({ "limits": { "concurrency": 8 }, "params": { "day": 1 } }));
        assert_eq!(of(&plain, &after).len(), 1);
    }
}
