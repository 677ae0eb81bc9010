//! A job's statements with the values of their names, for one shard. What a job says, and what of it cannot be
//! meant, is judged where `job apply` and submissions are judged too: [`gridloom_shared::job::handlers`].
//! Parameters, which a submission may bring, are never anything but values.
//!
//! Whatever is wrong here is wrong for every attempt, so each fault is permanent and says how to
//! mend it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gridloom_shared::chain;
pub(super) use gridloom_shared::job::handlers::sql::KeyKind;
use gridloom_shared::job::handlers::sql::names::Statement;
use gridloom_shared::job::handlers::sql::{self, Pages, Place, Text};
use gridloom_shared::job::{Fault, JobSpec};
use gridloom_shared::limits::ROWS_MAX;
use gridloom_shared::tile::{Bounds, Key};
use serde_json::Value as Json;

use super::dialect::Dialect;
use super::link::Value;
use super::number;
use crate::failure::Failure;
use crate::shard::{Probe, Shard};

/// A job's settings and parameters.
#[derive(Debug, PartialEq)]
pub(super) struct Order {
    said: sql::Order,
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
        let said = sql::Order::read(shard.settings_value(), shard.params_value());
        let said = said.map_err(|fault| failure(&fault))?;
        Ok(Order { said })
    }

    /// The name of its database.
    pub(super) fn database(&self) -> &str {
        &self.said.database
    }

    /// What bounds the pages.
    pub(super) fn key(&self) -> KeyKind {
        self.said.key
    }

    /// The statements of a page.
    pub(super) fn statements_for(
        &self,
        shard: &Shard,
        dialect: Dialect,
    ) -> Result<Vec<Bound>, Failure> {
        let page = shard.page();
        self.check(place(shard.spec(), page.bounds.is_some()), dialect)?;
        let mut given = self.given(shard, dialect)?;
        if let Some(Bounds(from, to)) = page.bounds {
            given.insert("page_from", key_value(&from));
            given.insert("page_to", key_value(&to));
        }
        if let Some(window) = page.window {
            given.insert("offset", integer(window.offset));
            given.insert("limit", integer(window.size.unwrap_or(ROWS_MAX)));
        }
        let statements = self.said.statements.iter();
        statements.map(|text| bind(text, dialect, &given)).collect()
    }

    /// The query of a probe. The statements are looked at too: better now than after it.
    pub(super) fn query_for(&self, probe: &Probe, dialect: Dialect) -> Result<Bound, Failure> {
        self.check(place(probe.spec(), true), dialect)?;
        let text = self.said.probe.as_ref().ok_or_else(|| {
            let message = "is missing: give a query for the pages, or the job counted pages";
            fault("sql.probe", message)
        })?;
        let mut given = self.given(probe, dialect)?;
        given.remove("page");
        let after = match (probe.after(), self.key()) {
            (Some(key), _) => key_value(key),
            (None, KeyKind::Integer) => Value::Int(None),
            (None, KeyKind::Text) => Value::Text(None),
        };
        given.insert("after", after);
        bind(text, dialect, &given)
    }

    fn check(&self, place: Place<'_>, dialect: Dialect) -> Result<(), Failure> {
        let found = self.said.check(place, dialect);
        found
            .faults
            .first()
            .map_or(Ok(()), |fault| Err(failure(fault)))
    }

    fn given(&self, shard: &Shard, dialect: Dialect) -> Result<BTreeMap<&str, Value>, Failure> {
        let own = self.said.values.iter();
        let mut given: BTreeMap<&str, Value> = own
            .map(|(name, value)| Ok((name.as_str(), own_value(name, value, dialect)?)))
            .collect::<Result<_, Failure>>()?;
        given.insert("slice", integer(shard.slice().into()));
        given.insert("slices", integer(shard.slices().into()));
        given.insert("page", integer(shard.page().number.into()));
        Ok(given)
    }
}

/// Where statements run: `is_probed` says what the shard is, whatever the job's grid says.
fn place(job: &JobSpec, is_probed: bool) -> Place<'_> {
    let mut place = Place::of(&job.grid, None);
    if is_probed {
        (place.pages, place.several) = (Pages::Probed, true);
    }
    place
}

fn bind(text: &Text, dialect: Dialect, given: &BTreeMap<&str, Value>) -> Result<Bound, Failure> {
    let written = |name: &str| given.get(name).and_then(number::mysql_placeholder);
    let statement = Statement::read(&text.text, dialect, &written)
        .map_err(|error| fault(&text.path, chain(&error).to_string()))?;
    let value = |name: &String| {
        let value = given.get(name.as_str()).cloned();
        value.ok_or_else(|| {
            fault(
                &text.path,
                format!("names :{name}, which has no value here"),
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
        goes_on: statement.names.iter().any(|name| name == "after"),
        traces: statement.traces,
        verb: statement.verb,
    })
}

fn own_value(name: &str, value: &Json, dialect: Dialect) -> Result<Value, Failure> {
    Ok(match value {
        Json::Null => Value::Text(None),
        Json::Bool(truth) => Value::Bool(*truth),
        Json::String(text) => Value::Text(Some(text.clone())),
        Json::Number(given) => number::value(given, dialect).ok_or_else(|| {
            let message =
                "must be below 2^63, the largest number of this database: write it as text";
            fault(&format!("params.{name}"), message)
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

fn failure(Fault { path, message }: &Fault) -> Failure {
    fault(path, message)
}

fn fault(path: &str, message: impl AsRef<str>) -> Failure {
    Failure::permanent(format!("read {path}: it {}", message.as_ref()))
}

#[cfg(test)]
mod tests {
    use gridloom_shared::job::handlers::sql::GIVEN;

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
