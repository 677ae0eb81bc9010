//! What a job says: which database and which statements by its settings, which values by its parameters.
//! Parameters, which a submission may bring, are never anything but values.
//!
//! Whatever is wrong here is wrong for every attempt, so each fault is permanent and says how to
//! mend it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gridloom_shared::chain;
use gridloom_shared::limits::ROWS_MAX;
use gridloom_shared::tile::{Bounds, Key};
use serde_json::{Map, Value as Json};

use super::dialect::Dialect;
use super::link::Value;
use super::names::{Statement, Written, as_usual};
use super::number;
use crate::failure::Failure;
use crate::shard::{Probe, Shard};

/// Names that the engine gives; a job's own value may not take one.
const GIVEN: &[&str] = &[
    "slice",
    "slices",
    "page",
    "page_from",
    "page_to",
    "offset",
    "limit",
    "after",
];
/// The settings.
const KEYS: &[&str] = &["database", "statement", "probe", "key"];

/// What bounds the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Integer,
    Text,
}

/// A job's settings and parameters.
#[derive(Debug, PartialEq)]
pub(super) struct Order {
    pub(super) database: String,
    pub(super) key: KeyKind,
    statements: Vec<String>,
    probe: Option<String>,
    values: BTreeMap<String, Json>,
}

/// A statement with the values of its placeholders.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) text: Arc<str>,
    pub(super) values: Vec<Value>,
    pub(super) verb: String,
    /// Whether it uses `:after`.
    pub(super) goes_on: bool,
    /// Whether it may leave something on its connection that no reset takes away.
    pub(super) traces: bool,
}

impl Order {
    pub(super) fn read(shard: &Shard) -> Result<Order, Failure> {
        let nothing = Map::new();
        let settings = shard.settings_value().as_object().unwrap_or(&nothing);
        let params = shard.params_value().as_object().unwrap_or(&nothing);
        if let Some(other) = settings.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let message = format!("is no setting; they are {}", KEYS.join(", "));
            return Err(fault(other, message));
        }
        let database = text(settings, "database")?.ok_or_else(|| {
            fault(
                "database",
                "is missing: name a database of the worker's configuration",
            )
        })?;
        let key = match text(settings, "key")?.as_deref() {
            None | Some("integer") => KeyKind::Integer,
            Some("text") => KeyKind::Text,
            Some(other) => {
                let message = format!("must be \"integer\" or \"text\", found {other:?}");
                return Err(fault("key", message));
            }
        };
        let values = params
            .iter()
            .map(|(name, value)| Ok((own_name(name)?.to_owned(), value.clone())))
            .collect::<Result<_, Failure>>()?;
        Ok(Order {
            database,
            key,
            statements: statements(settings.get("statement"))?,
            probe: text(settings, "probe")?,
            values,
        })
    }

    /// The statements of a page.
    pub(super) fn statements_for(
        &self,
        shard: &Shard,
        dialect: Dialect,
    ) -> Result<Vec<Bound>, Failure> {
        self.check_values_are_used(dialect)?;
        let mut given = self.given(shard, dialect)?;
        let page = shard.page();
        if let Some(Bounds(from, to)) = page.bounds {
            given.insert("page_from", key_value(&from));
            given.insert("page_to", key_value(&to));
        }
        if let Some(window) = page.window {
            given.insert("offset", integer(window.offset));
            given.insert("limit", integer(window.size.unwrap_or(ROWS_MAX)));
        }
        let statements = self.statements.iter();
        statements
            .map(|text| bind("statement", text, dialect, &given))
            .collect()
    }

    /// The query of a probe. The statements are looked at too: better now than after it.
    pub(super) fn query_for(&self, probe: &Probe, dialect: Dialect) -> Result<Bound, Failure> {
        self.check_values_are_used(dialect)?;
        let text = self.probe.as_deref().ok_or_else(|| {
            fault(
                "probe",
                "is missing: give a query for the pages, or the job counted pages",
            )
        })?;
        let mut given = self.given(probe, dialect)?;
        given.remove("page");
        let after = match (probe.after(), self.key) {
            (Some(key), _) => key_value(key),
            (None, KeyKind::Integer) => Value::Int(None),
            (None, KeyKind::Text) => Value::Text(None),
        };
        given.insert("after", after);
        bind("probe", text, dialect, &given)
    }

    fn given(&self, shard: &Shard, dialect: Dialect) -> Result<BTreeMap<&str, Value>, Failure> {
        let own = self.values.iter();
        let mut given: BTreeMap<&str, Value> = own
            .map(|(name, value)| Ok((name.as_str(), own_value(name, value, dialect)?)))
            .collect::<Result<_, Failure>>()?;
        given.insert("slice", integer(shard.slice().into()));
        given.insert("slices", integer(shard.slices().into()));
        given.insert("page", integer(shard.page().number.into()));
        Ok(given)
    }

    fn read_statements(&self, dialect: Dialect) -> Result<Vec<Statement>, Failure> {
        let texts = self.statements.iter();
        texts
            .map(|text| read("statement", text, dialect, &as_usual))
            .collect()
    }

    /// A value that nothing uses is a slip of the pen: running without it would do something else
    /// than was asked for.
    fn check_values_are_used(&self, dialect: Dialect) -> Result<(), Failure> {
        if self.values.is_empty() {
            return Ok(());
        }
        let mut used: BTreeSet<String> = BTreeSet::new();
        for statement in self.read_statements(dialect)? {
            used.extend(statement.names);
        }
        if let Some(text) = &self.probe {
            used.extend(read("probe", text, dialect, &as_usual)?.names);
        }
        let idle = self.values.keys().find(|name| !used.contains(*name));
        idle.map_or(Ok(()), |name| {
            let message =
                format!("is used by no statement: write :{name} where it belongs, or leave it out");
            Err(param_fault(name, message))
        })
    }
}

fn read(
    key: &str,
    text: &str,
    dialect: Dialect,
    written: Written<'_>,
) -> Result<Statement, Failure> {
    let statement = Statement::read(text, dialect, written)
        .map_err(|error| fault(key, chain(&error).to_string()))?;
    if let Some(why) = dialect.leaves_transaction(&statement.verb) {
        let message = format!("cannot be a {} statement: {why}", statement.verb);
        return Err(fault(key, message));
    }
    Ok(statement)
}

fn bind(
    key: &str,
    text: &str,
    dialect: Dialect,
    given: &BTreeMap<&str, Value>,
) -> Result<Bound, Failure> {
    let written = |name: &str| given.get(name).and_then(number::mysql_placeholder);
    let statement = read(key, text, dialect, &written)?;
    let value = |name: &String| {
        given.get(name.as_str()).cloned().ok_or_else(|| {
            let known: Vec<String> = given.keys().map(|name| format!(":{name}")).collect();
            let known = known.join(", ");
            fault(
                key,
                format!(
                    "names :{name}, which has no value here{}; known are {known}",
                    why(name)
                ),
            )
        })
    };
    Ok(Bound {
        text: Arc::clone(&statement.text),
        values: statement
            .names
            .iter()
            .map(value)
            .collect::<Result<_, _>>()?,
        verb: statement.verb.clone(),
        goes_on: statement.names.iter().any(|name| name == "after"),
        traces: statement.traces,
    })
}

/// Why a name that the engine gives in other places is not given here.
fn why(name: &str) -> &'static str {
    match name {
        "page_from" | "page_to" => " (it has one in pages that were probed)",
        "offset" | "limit" => " (it has one where the grid has rows and a page_size)",
        "after" => " (it has one in a probe)",
        "page" => " (it has one in a statement)",
        _ => "",
    }
}

fn statements(value: Option<&Json>) -> Result<Vec<String>, Failure> {
    let missing = "is missing: give one statement, or a list of statements";
    let found: Option<Vec<String>> = match value {
        None => return Err(fault("statement", missing)),
        Some(Json::String(one)) => Some(vec![one.clone()]),
        Some(Json::Array(list)) => list
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        Some(_) => None,
    };
    found
        .filter(|statements| !statements.is_empty())
        .ok_or_else(|| {
            fault(
                "statement",
                "must be one statement, or a list of statements",
            )
        })
}

fn text(settings: &Map<String, Json>, key: &str) -> Result<Option<String>, Failure> {
    match settings.get(key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(fault(key, "must be text")),
    }
}

fn own_name(name: &str) -> Result<&str, Failure> {
    if GIVEN.contains(&name) {
        return Err(param_fault(
            name,
            format!("must be called otherwise: the engine gives :{name}"),
        ));
    }
    Ok(name)
}

fn own_value(name: &str, value: &Json, dialect: Dialect) -> Result<Value, Failure> {
    Ok(match value {
        Json::Null => Value::Text(None),
        Json::Bool(truth) => Value::Bool(*truth),
        Json::String(text) => Value::Text(Some(text.clone())),
        Json::Number(given) => number::value(given, dialect).ok_or_else(|| {
            let message =
                "must be below 2^63, the largest number of this database: write it as text";
            param_fault(name, message)
        })?,
        Json::Array(_) | Json::Object(_) => Value::Text(Some(value.to_string())),
    })
}

fn key_value(key: &Key) -> Value {
    match key {
        Key::Int(number) => Value::Int(Some(*number)),
        Key::Text(text) => Value::Text(Some(text.clone())),
    }
}

fn integer(number: u64) -> Value {
    Value::Int(Some(i64::try_from(number).unwrap_or(i64::MAX)))
}

fn fault(key: &str, message: impl AsRef<str>) -> Failure {
    Failure::permanent(format!("read sql.{key}: it {}", message.as_ref()))
}

fn param_fault(name: &str, message: impl AsRef<str>) -> Failure {
    Failure::permanent(format!("read params.{name}: it {}", message.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::documented::keys;

    #[test]
    fn page_has_each_name_that_statements_are_given() {
        let mut said: Vec<String> = Vec::new();
        for cell in keys("| name | where |") {
            said.extend(
                cell.split(", ")
                    .map(|name| name.trim_matches(':').to_owned()),
            );
        }
        said.sort();
        let mut given: Vec<&str> = GIVEN.to_vec();
        given.push("NAME"); // the parameters
        given.sort_unstable();
        assert_eq!(said, given);
    }
}
