//! How large and how deep parameters and settings may be: they travel in every run's first record.

use serde_json::Value;

use super::fault::Faults;
use super::node::Node;
use crate::job::{PARAMS_DEPTH, PARAMS_MAX};

pub(super) fn check(params: Value, faults: &mut Faults) -> Option<Value> {
    bounded("params", PARAMS_MAX, params, faults)
}

/// `value`, if it is a table of at most `most` bytes. `path` is where it stands.
pub(super) fn bounded(path: &str, most: usize, value: Value, faults: &mut Faults) -> Option<Value> {
    if !value.is_object() {
        Node::at(path, &value).refuse("a table", faults);
        return None;
    }
    if deeper(&value, PARAMS_DEPTH) {
        let message = format!("must be nested at most {PARAMS_DEPTH} deep");
        faults.add(path, message);
        return None;
    }
    let size = serde_json::to_vec(&value).map_or(usize::MAX, |text| text.len());
    if size > most {
        let message = format!(
            "must be at most {most} bytes as JSON, found {size}: keep the data where the \
             workers can read it and say here where that is"
        );
        faults.add(path, message);
        return None;
    }
    Some(value)
}

/// Whether `value` has more than `levels` tables and lists inside one another. Looks no deeper than
/// that, so that a hostile value cannot exhaust the stack.
fn deeper(value: &Value, levels: usize) -> bool {
    let inner = |value| deeper(value, levels - 1);
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(inner),
        Value::Object(keys) => levels == 0 || keys.values().any(inner),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
