//! A job's statements with the values of their names, for one shard. What a job says, and what of it cannot be
//! meant, is judged where `job apply` and submissions are judged too: [`gridloom_shared::job::handlers`].
//! Parameters, which a submission may bring, are never anything but values.
//!
//! Whatever is wrong here is wrong for every attempt, so each fault is permanent and says how to
//! mend it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use gridloom_shared::chain;
pub(super) use gridloom_shared::job::handlers::sql::KeyKind;
use gridloom_shared::job::handlers::sql::names::Statement;
use gridloom_shared::job::handlers::sql::{self, Pages, Place, Text};
use gridloom_shared::job::{Fault, JobSpec};
use gridloom_shared::limits::ROWS_MAX;
use gridloom_shared::tile::{Bounds, Key};
use serde_json::Value as Json;

use super::dialect::{Dialect, Speaks};
use super::habit::Habit;
use super::link::Value;
use super::number;
use crate::failure::Failure;
use crate::shard::{Probe, Shard};

/// A job's settings and parameters.
#[derive(Debug, PartialEq)]
pub(super) struct Order {
    said: sql::Order,
}

/// What of an order is the same for all shards of a run: it is read once.
#[derive(Debug)]
pub(super) struct Statements {
    database: String,
    dialect: Dialect,
    is_probed: bool,
    own: BTreeMap<String, Value>,
    statements: Vec<Unbound>,
    pub(super) habit: Habit,
}

/// A statement whose placeholders have no values yet.
#[derive(Debug)]
struct Unbound {
    path: String,
    names: Vec<String>,
    bound: Bound,
}

/// A statement with the values of its placeholders.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) text: Arc<str>,
    pub(super) values: Vec<Value>,
    /// Where PostgreSQL's placeholders stand in the text, and which value each is.
    pub(super) places: Arc<[(Range<usize>, usize)]>,
    pub(super) verb: Arc<str>,
    /// Whether it uses `:after`.
    pub(super) goes_on: bool,
    /// Whether it may leave something on its connection that no reset takes away.
    pub(super) traces: bool,
    /// Whether it may end the transaction that it runs in.
    pub(super) may_end: bool,
}

impl Bound {
    /// A statement of our own, which needs no values.
    pub(super) fn own(text: String) -> Bound {
        Bound {
            text: text.into(),
            values: Vec::new(),
            places: [].into(),
            verb: "".into(),
            goes_on: false,
            traces: false,
            may_end: false,
        }
    }
}

/// The values of names: the job's, and the engine's.
struct Given<'o> {
    own: &'o BTreeMap<String, Value>,
    engine: Vec<(&'static str, Value)>,
}

impl<'o> Given<'o> {
    fn of(own: &'o BTreeMap<String, Value>, shard: &Shard) -> Given<'o> {
        let engine = vec![
            ("slice", integer(shard.slice().into())),
            ("slices", integer(shard.slices().into())),
        ];
        Given { own, engine }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let engine = self.engine.iter().find(|(known, _)| *known == name);
        engine
            .map(|(_, value)| value)
            .or_else(|| self.own.get(name))
    }
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

    /// The statements of a page, for the shard and those like it.
    pub(super) fn statements(self, shard: &Shard, dialect: Dialect) -> Result<Statements, Failure> {
        let is_probed = shard.page().bounds.is_some();
        self.check(place(shard.spec(), is_probed), dialect)?;
        let own = self.own(dialect)?;
        let given = Given::of(&own, shard);
        let statements = self.said.statements.iter();
        let statements = statements.map(|text| Unbound::read(text, dialect, &given));
        Ok(Statements {
            statements: statements.collect::<Result<_, _>>()?,
            database: self.said.database,
            dialect,
            is_probed,
            own,
            habit: Habit::default(),
        })
    }

    /// The query of a probe. The statements are looked at too: better now than after it.
    pub(super) fn query_for(&self, probe: &Probe, dialect: Dialect) -> Result<Bound, Failure> {
        self.check(place(probe.spec(), true), dialect)?;
        let text = self.said.probe.as_ref().ok_or_else(|| {
            let message = "is missing: give a query for the pages, or the job counted pages";
            fault("sql.probe", message)
        })?;
        let own = self.own(dialect)?;
        let mut given = Given::of(&own, probe);
        let after = match (probe.after(), self.key()) {
            (Some(key), _) => key_value(key),
            (None, KeyKind::Integer) => Value::Int(None),
            (None, KeyKind::Text) => Value::Text(None),
        };
        given.engine.push(("after", after));
        Unbound::read(text, dialect, &given)?.bind(&given)
    }

    fn check(&self, place: Place<'_>, dialect: Dialect) -> Result<(), Failure> {
        let found = self.said.check(place, dialect);
        found
            .faults
            .first()
            .map_or(Ok(()), |fault| Err(failure(fault)))
    }

    /// The parameters.
    fn own(&self, dialect: Dialect) -> Result<BTreeMap<String, Value>, Failure> {
        let own = self.said.values.iter();
        own.map(|(name, value)| Ok((name.clone(), own_value(name, value, dialect)?)))
            .collect()
    }
}

impl Statements {
    /// The name of their database.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Whether they were read for shards like this one.
    pub(super) fn are_for(&self, shard: &Shard, dialect: Dialect) -> bool {
        self.dialect == dialect && self.is_probed == shard.page().bounds.is_some()
    }

    /// With the values of the shard.
    pub(super) fn bind(&self, shard: &Shard) -> Result<Vec<Bound>, Failure> {
        let page = shard.page();
        let mut given = Given::of(&self.own, shard);
        given.engine.push(("page", integer(page.number.into())));
        if let Some(Bounds(from, to)) = page.bounds {
            given.engine.push(("page_from", key_value(&from)));
            given.engine.push(("page_to", key_value(&to)));
        }
        if let Some(window) = page.window {
            given.engine.push(("offset", integer(window.offset)));
            let limit = integer(window.size.unwrap_or(ROWS_MAX));
            given.engine.push(("limit", limit));
        }
        self.statements.iter().map(|it| it.bind(&given)).collect()
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

impl Unbound {
    fn read(text: &Text, dialect: Dialect, given: &Given<'_>) -> Result<Unbound, Failure> {
        let written = |name: &str| given.get(name).and_then(number::mysql_placeholder);
        let statement = Statement::read(&text.text, dialect, &written)
            .map_err(|error| fault(&text.path, chain(&error).to_string()))?;
        Ok(Unbound {
            path: text.path.clone(),
            bound: Bound {
                may_end: dialect.may_end(&statement.verb, &statement.text),
                text: statement.text,
                values: Vec::new(),
                places: statement.places.into(),
                verb: statement.verb.into(),
                goes_on: statement.names.iter().any(|name| name == "after"),
                traces: statement.traces,
            },
            names: statement.names,
        })
    }

    fn bind(&self, given: &Given<'_>) -> Result<Bound, Failure> {
        let value = |name: &String| {
            let value = given.get(name).cloned();
            value.ok_or_else(|| {
                fault(
                    &self.path,
                    format!("names :{name}, which has no value here"),
                )
            })
        };
        Ok(Bound {
            values: self.names.iter().map(value).collect::<Result<_, _>>()?,
            ..self.bound.clone()
        })
    }
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
