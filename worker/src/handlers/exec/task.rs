//! What a command is told about its shard: on standard input and as variables.

use gridloom_shared::clock::Boot;
use gridloom_shared::tile::{Bounds, Key};
use gridloom_shared::trace::VARIABLE;
use serde_json::{Value, json};

use crate::shard::Shard;

/// The shard as a JSON object, and the place in a trace that it is a part of.
pub(super) struct Task {
    shard: Value,
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
            traceparent: shard.traceparent(),
        }
    }

    /// What the guard reads: the length of the program's standard input and until when it may run,
    /// a line's end, and the input itself.
    pub(super) fn payload(&self, until: Boot) -> Vec<u8> {
        let line = format!("{}\n", self.shard);
        format!("{} {}\n{line}", line.len(), micros(until)).into_bytes()
    }

    /// The same as variables; what is null has none. That of the trace has the name by which any program looks for it.
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

/// A moment as the guard reads it.
pub(super) fn micros(moment: Boot) -> u128 {
    moment.0.as_micros()
}

fn key(key: &Key) -> Value {
    match key {
        Key::Int(number) => json!(number),
        Key::Text(text) => json!(text),
    }
}

#[cfg(test)]
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
        let until = Boot(std::time::Duration::from_secs(7));
        let payload = String::from_utf8(task.payload(until)).unwrap();
        let (opening, line) = payload.split_once('\n').unwrap();
        let (length, until) = opening.split_once(' ').unwrap();
        assert_eq!(until, "7000000");
        assert_eq!(length.parse::<usize>().unwrap(), line.len());
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
