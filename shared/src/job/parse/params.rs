//! How large and how deep parameters may be: they travel in every run's first record.

use serde_json::Value;

use super::fault::Faults;
use super::node::Node;
use crate::job::{PARAMS_DEPTH, PARAMS_MAX};

pub(super) fn check(params: Value, faults: &mut Faults) -> Option<Value> {
    if !params.is_object() {
        Node::at("params", &params).refuse("a table", faults);
        return None;
    }
    if deeper(&params, PARAMS_DEPTH) {
        let message = format!("must be nested at most {PARAMS_DEPTH} deep");
        faults.add("params", message);
        return None;
    }
    let size = serde_json::to_vec(&params).map_or(usize::MAX, |text| text.len());
    if size > PARAMS_MAX {
        let message = format!(
            "must be at most {PARAMS_MAX} bytes as JSON, found {size}: keep the data where the \
             workers can read it and say here where that is"
        );
        faults.add("params", message);
        return None;
    }
    Some(params)
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
