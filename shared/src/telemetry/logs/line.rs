//! How a log line looks. One record is one line, and nothing in it steers a terminal: its values may come from
//! anywhere.
//!
//! JSON has every field at the top, whether the line itself says it, the work at hand or a span that it stands in:
//! whoever looks for a run in a log store looks for one key.

use std::fmt::{self, Write as _};

use serde_json::Value;
use tracing::Level;
use tracing::field::{Field, Visit};

use super::LogFormat;
use crate::chain;
use crate::clock::UnixMs;
use crate::shown::{in_json, on_one_line};
use crate::telemetry::about::Said;

/// Most bytes of one value; the end is what tells most of a long one.
const VALUE_MAX: usize = 8 * 1024;
/// What a line of JSON has beside its fields. A field of such a name is told under another.
const OWN: [&str; 3] = ["timestamp", "level", "target"];
/// What the text of a line is called.
const MESSAGE: &str = "message";

/// What is said, in the order in which it was. What is said first of a name counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    pub(super) fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        if self.get(name).is_none() {
            self.0.push((name, ended(value.into())));
        }
    }

    pub(super) fn said(&mut self, name: &'static str, said: Said<'_>) {
        match said {
            Said::Name(text) => self.add(name, Value::String(text.to_owned())),
            Said::Number(number) => self.add(name, number),
        }
    }

    /// Those of something around it.
    pub(super) fn within(&mut self, outer: &Fields) {
        for (name, value) in &outer.0 {
            if self.get(name).is_none() {
                self.0.push((name, value.clone()));
            }
        }
    }

    /// Says something anew, of a span.
    pub(super) fn replace(&mut self, newer: Fields) {
        self.0.retain(|(name, _)| newer.get(name).is_none());
        self.0.extend(newer.0);
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find_map(|(known, value)| (*known == name).then_some(value))
    }
}

/// The end of a text that is too long.
fn ended(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > VALUE_MAX => {
            let from = text.ceil_char_boundary(text.len() - VALUE_MAX);
            Value::String(text[from..].to_owned())
        }
        value => value,
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field.name(), chain(value).to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match u64::try_from(value) {
            Ok(number) => self.add(field.name(), number),
            // Most readers of JSON would make another number of it.
            Err(_) => self.add(field.name(), value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.add(field.name(), Value::Number(number)),
            None => self.add(field.name(), value.to_string()),
        }
    }
}

/// The line, with its end: when, how bad it is, and in which place of the source it was said.
pub(super) fn line(
    format: LogFormat,
    coloured: bool,
    (at, level, target): (UnixMs, Level, &str),
    fields: &Fields,
) -> String {
    match format {
        LogFormat::Json => json(at, level, target, fields),
        LogFormat::Text => text(coloured, at, level, fields),
    }
}

fn json(at: UnixMs, level: Level, target: &str, fields: &Fields) -> String {
    let mut line = String::with_capacity(256);
    let mut put = |name: &str, value: &dyn fmt::Display| {
        let between = if line.is_empty() { '{' } else { ',' };
        // Writing into a text does not fail.
        let _ = write!(line, "{between}{}:{value}", Value::from(name));
    };
    put("timestamp", &Value::from(at.rfc3339()));
    put("level", &Value::from(level.as_str()));
    put("target", &Value::from(target));
    put(MESSAGE, fields.get(MESSAGE).unwrap_or(&Value::from("")));
    for (name, value) in &fields.0 {
        match *name {
            MESSAGE => {}
            own if OWN.contains(&own) => put(&format!("field.{own}"), value),
            name => put(name, value),
        }
    }
    let mut line = in_json(&line).into_owned();
    line.push_str("}\n");
    line
}

fn text(coloured: bool, at: UnixMs, level: Level, fields: &Fields) -> String {
    let mut line = String::with_capacity(256);
    let paint = |code: &'static str| if coloured { code } else { "" };
    let (dim, slanted, plain) = (paint("\x1b[2m"), paint("\x1b[3m"), paint("\x1b[0m"));
    let colour = paint(match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    });
    let at = at.rfc3339();
    // Writing into a text does not fail.
    let _ = write!(
        line,
        "{dim}{at}{plain} {colour}{:>5}{plain}",
        level.as_str()
    );
    if let Some(message) = fields.get(MESSAGE) {
        let _ = write!(line, " {}", of(message));
    }
    for (name, value) in fields.0.iter().filter(|(name, _)| *name != MESSAGE) {
        let _ = write!(
            line,
            " {slanted}{name}{plain}{dim}={plain}{}",
            quoted(value)
        );
    }
    line.push('\n');
    line
}

fn of(value: &Value) -> String {
    match value {
        Value::String(text) => on_one_line(text).into_owned(),
        other => other.to_string(),
    }
}

/// A value of several words in quotes, so that it is seen where it ends: nothing in it ends it earlier.
fn quoted(value: &Value) -> String {
    let said = of(value);
    if !said.is_empty() && !said.contains([' ', '"', '=']) {
        return said;
    }
    let mut escaped = String::with_capacity(said.len() + 2);
    escaped.push('"');
    let text = value.as_str().unwrap_or(&said);
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped.push('"');
    on_one_line(&escaped).into_owned()
}
