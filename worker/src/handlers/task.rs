//! What a command is told about its shard, on standard input and as variables, and a service in what it is sent.

use gridloom_shared::tile::{Bounds, Key};
#[cfg(feature = "exec")]
use gridloom_shared::trace::VARIABLE;
use serde_json::{Value, json};

use crate::shard::Shard;

/// The shard as a JSON object, and the place in a trace that it is a part of.
pub(super) struct Task {
    shard: Value,
    #[cfg(feature = "exec")]
    traceparent: Option<String>,
}

impl Task {
    pub(super) fn of(shard: &Shard) -> Task {
        let page = shard.page();
        let (from, to) = match &page.bounds {
            Some(Bounds(from, to)) => (key(from), key(to)),
            None => (Value::Null, Value::Null),
        };
        let shard_as_json = json!({
            "run": shard.run().as_str(),
            "job": shard.job().as_str(),
            "slice": shard.slice(),
            "slices": shard.slices(),
            "page": page.number,
            "attempt": shard.attempt(),
            "fence": shard.fence().0,
            "page_from": from,
            "page_to": to,
            "offset": page.window.map(|window| window.offset),
            "limit": page.window.and_then(|window| window.size),
            "params": shard.params_value(),
        });
        Task {
            shard: shard_as_json,
            #[cfg(feature = "exec")]
            traceparent: shard.traceparent(),
        }
    }

    /// The shard by the words of docs/HANDLERS.md.
    #[cfg(feature = "http")]
    pub(super) fn value(&self) -> &Value {
        &self.shard
    }

    /// The command's standard input, and what a service is sent.
    pub(super) fn input(&self) -> Vec<u8> {
        format!("{}\n", self.shard).into_bytes()
    }

    /// The same as variables; what is null has none. That of the trace has the name by which any program looks for it.
    #[cfg(feature = "exec")]
    pub(super) fn variables(&self) -> impl Iterator<Item = (String, String)> {
        let entries = self.shard.as_object().into_iter().flatten();
        let entries = entries.filter_map(|(key, value)| {
            let text = match value {
                Value::Null => return None,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some((format!("GRIDLOOM_{}", key.to_ascii_uppercase()), text))
        });
        let traceparent = self.traceparent.iter();
        entries.chain(traceparent.map(|place| (VARIABLE.to_owned(), place.clone())))
    }
}

fn key(key: &Key) -> Value {
    match key {
        Key::Int(number) => json!(number),
        Key::Text(text) => json!(text),
    }
}

#[cfg(all(test, feature = "exec"))]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Trial;

    #[test]
    fn shard_is_told_alike_on_input_and_in_variables() {
        let params = json!({"width": 7, "text": "x\ny"});
        let trial = Trial::new("sizes", "exec")
            .slices(4)
            .slice(1)
            .page(7)
            .params(params.clone());
        let shard = trial.bounds(Key::Int(5), Key::Text("é".into())).shard();
        let task = Task::of(&shard);
        let variables: BTreeMap<String, String> = task.variables().collect();
        assert_eq!(variables["GRIDLOOM_SLICE"], "1");
        assert_eq!(variables["GRIDLOOM_PAGE_TO"], "é");
        assert_eq!(variables["GRIDLOOM_PARAMS"], params.to_string());
        assert!(!variables.contains_key("GRIDLOOM_OFFSET"));
        assert!(!variables.contains_key(VARIABLE));
        let input = String::from_utf8(task.input()).unwrap();
        let line = input.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'));
        let read: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&read["page"], &read["page_from"]), (&json!(7), &json!(5)));
        assert_eq!(read["params"], params);
    }

    #[test]
    fn command_is_told_of_the_trace_by_the_name_that_any_program_looks_for() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let told = |header| {
            let task = Task::of(&Trial::new("sizes", "exec").traceparent(header).shard());
            let variables: BTreeMap<String, String> = task.variables().collect();
            variables.get("TRACEPARENT").cloned()
        };
        assert_eq!(told(header).as_deref(), Some(header));
        assert_eq!(told("nonsense"), None);
    }
}
