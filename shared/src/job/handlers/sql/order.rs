//! What a job's settings and parameters say: which database and which statements, which values.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::names::Statement;
use super::values::GIVEN;
use super::{Findings, Read};
use crate::job::Fault;

/// The settings.
const KEYS: &[&str] = &["database", "statement", "probe", "key"];

/// What bounds the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Integers of 64 bits.
    Integer,
    /// Texts.
    Text,
}

/// A statement as a job says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Where it stands: `sql.statement[1]`.
    pub path: String,
    /// What stands there.
    pub text: String,
}

/// A job's settings and parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// A name of the worker's configuration.
    pub database: String,
    /// What bounds the pages.
    pub key: KeyKind,
    /// At least one.
    pub statements: Vec<Text>,
    /// The query for the pages.
    pub probe: Option<Text>,
    /// The parameters.
    pub values: BTreeMap<String, Value>,
}

impl Order {
    /// Reads settings and parameters.
    ///
    /// # Errors
    /// The first thing in them that is no setting, or no parameter.
    pub fn read(settings: &Value, params: &Value) -> Result<Order, Fault> {
        let nothing = Map::new();
        let settings = settings.as_object().unwrap_or(&nothing);
        let params = params.as_object().unwrap_or(&nothing);
        if let Some(other) = settings.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let message = format!("is no setting; they are {}", KEYS.join(", "));
            return Err(fault(other, message));
        }
        let database = text(settings, "database")?.ok_or_else(|| {
            let message = "is missing: name a database of the worker's configuration";
            fault("database", message)
        })?;
        let key = match text(settings, "key")?.as_ref().map(|key| key.text.as_str()) {
            None | Some("integer") => KeyKind::Integer,
            Some("text") => KeyKind::Text,
            Some(other) => {
                let message = format!("must be \"integer\" or \"text\", found {other:?}");
                return Err(fault("key", message));
            }
        };
        if let Some(taken) = params.keys().find(|name| GIVEN.contains(&name.as_str())) {
            let message = format!("must be called otherwise: the engine gives :{taken}");
            return Err(Fault::new(format!("params.{taken}"), message));
        }
        let values = params.iter();
        Ok(Order {
            database: database.text,
            key,
            statements: statements(settings.get("statement"))?,
            probe: text(settings, "probe")?,
            values: values
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })
    }

    /// That pages are not bounded by integers where a statement takes their bounds for something else.
    pub(super) fn check_key(&self, read: &Read<'_>, found: &mut Findings) {
        if self.key == KeyKind::Text {
            return check_casts(read, found);
        }
        let all = read.statements.iter().chain(&read.probe);
        let odd = all.filter_map(|(path, Statement { not_integer, .. })| {
            not_integer.as_ref().map(|odd| (*path, odd))
        });
        for (path, (name, kind)) in odd {
            let message = format!(
                "takes :{name} for a {kind}, and the pages are bounded by integers: say key = \"text\" in [sql] \
                 (and cast a {kind} that is no text to text, in the probe too), or cast it to bigint"
            );
            found.fault(path, message);
        }
    }
}

/// A number whose text bounds the pages is compared as a number by MySQL and SQLite where the statement does not cast it
/// too: in an order in which pages lie in one another.
fn check_casts(read: &Read<'_>, found: &mut Findings) {
    let casts = |(_, probe): &(_, Statement)| probe.converts_columns;
    let forgets = !read.statements.iter().any(|(_, it)| it.converts);
    if forgets && read.statements_name("page_from") && read.probe.as_ref().is_some_and(casts) {
        found.warning(
            super::STATEMENT,
            "casts nothing, as the probe does: where that is the key, a page is found by one value and compared by \
             another, and rows are done twice or never. Compare the expression by which the probe orders",
        );
    }
}

fn statements(value: Option<&Value>) -> Result<Vec<Text>, Fault> {
    let must = "must be one statement, or a list of statements";
    let one = |path: String, text: &Value| match text {
        Value::String(text) => Ok(Text {
            path,
            text: text.clone(),
        }),
        _ => Err(fault("statement", must)),
    };
    match value {
        None => {
            let message = "is missing: give one statement, or a list of statements";
            Err(fault("statement", message))
        }
        Some(Value::Array(list)) if list.is_empty() => Err(fault("statement", must)),
        Some(Value::Array(list)) => {
            let places = list.iter().enumerate();
            places
                .map(|(place, text)| one(format!("{}[{place}]", super::STATEMENT), text))
                .collect()
        }
        Some(text) => Ok(vec![one(super::STATEMENT.to_owned(), text)?]),
    }
}

fn text(settings: &Map<String, Value>, key: &str) -> Result<Option<Text>, Fault> {
    match settings.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(Text {
            path: format!("sql.{key}"),
            text: text.clone(),
        })),
        Some(_) => Err(fault(key, "must be text")),
    }
}

fn fault(key: &str, message: impl Into<String>) -> Fault {
    Fault::new(format!("sql.{key}"), message)
}
