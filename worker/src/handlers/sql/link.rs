//! How values go into a database and come out of it, over one connection of any of the three kinds.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use gridloom_shared::exact::Decimal;
use sqlx::{AssertSqlSafe, Column, Connection, Either, Error, Executor, Row, TypeInfo, ValueRef};

use super::dialect::Limits;
#[cfg(feature = "postgres")]
use super::session::Session;

/// A value that is bound to a placeholder.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Real(f64),
    /// As `number` says how.
    Decimal(Decimal),
    Bool(bool),
}

/// A decimal number as PostgreSQL takes it.
#[cfg(feature = "postgres")]
struct Numeric(Decimal);

#[cfg(feature = "postgres")]
impl sqlx::Type<sqlx::Postgres> for Numeric {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        const NUMERIC: sqlx::postgres::types::Oid = sqlx::postgres::types::Oid(1700);
        sqlx::postgres::PgTypeInfo::with_oid(NUMERIC)
    }
}

#[cfg(feature = "postgres")]
impl sqlx::Encode<'_, sqlx::Postgres> for Numeric {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        buffer.extend_from_slice(&super::numeric::to_wire(&self.0));
        Ok(sqlx::encode::IsNull::No)
    }
}

/// A value of a row, as far as the engine understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
    /// Anything else, by the name of its type.
    Other(String),
}

/// A text of that type, as it is beside a value of ours, which is a plain one: what is compared otherwise there than
/// among its own is none.
fn plain(kind: &str, text: String) -> Cell {
    // Without regard to case among its own, and with it beside a text; by number, and by letters.
    if kind.eq_ignore_ascii_case("citext") || kind == "ENUM" {
        return Cell::Other(kind.to_owned());
    }
    Cell::Text(text)
}

/// What came back for one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Returned {
    /// Rows that it changed, as the database counts them.
    pub(super) affected: u64,
    /// Names of the columns, where there was a row.
    pub(super) columns: Vec<String>,
    /// The first rows, as many as were asked for.
    pub(super) rows: Vec<Vec<Cell>>,
    /// Whether there were more rows than that.
    pub(super) more: bool,
}

/// So many rows tell a single one from several.
pub(super) const SEVERAL: usize = 2;

/// How many rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Keep so many, and go on to the end of the statement: an error may come late.
    Keep(usize),
    /// Stop after so many.
    Only(usize),
}

/// Follows a text of several statements to its end or first error, with any driver.
macro_rules! follow {
    ($link:ident, $text:ident) => {{
        let mut script = Script::default();
        let mut steps = $link.fetch_many($text);
        loop {
            match steps.try_next().await {
                Ok(Some(Either::Left(done))) => script.done.push(done.rows_affected()),
                Ok(Some(Either::Right(_))) => {}
                Ok(None) => break,
                Err(error) => {
                    script.error = Some(error);
                    break;
                }
            }
        }
        drop(steps);
        script
    }};
}

/// Integers that a driver does not read as 64 bits.
macro_rules! narrow {
    (sqlite, $row:ident, $place:ident) => {
        None::<i64>
    };
    (postgres, $row:ident, $place:ident) => {
        match $row.try_get::<i32, _>($place) {
            Ok(whole) => Some(i64::from(whole)),
            Err(_) => $row.try_get::<i16, _>($place).ok().map(i64::from),
        }
    };
    (mysql, $row:ident, $place:ident) => {
        $row.try_get::<u64, _>($place)
            .ok()
            .and_then(|whole| i64::try_from(whole).ok())
    };
}

/// The same for PostgreSQL, and what each statement returned of whole numbers: counters are nothing else.
#[cfg(feature = "postgres")]
async fn follow_numbers(link: &mut sqlx::PgConnection, text: sqlx::RawSql) -> Answers {
    let mut answers = Answers::default();
    let mut next = Returned::default();
    let mut steps = link.fetch_many(text);
    loop {
        match steps.try_next().await {
            Ok(Some(Either::Left(done))) => {
                next.affected = done.rows_affected();
                answers.done.push(std::mem::take(&mut next));
            }
            Ok(Some(Either::Right(row))) => {
                next.add(Rows::Keep(SEVERAL), |next| {
                    let columns = row.columns().iter();
                    next.columns = columns.map(|column| column.name().to_owned()).collect();
                    let cell = |place| match row.try_get::<Option<i64>, _>(place) {
                        Ok(whole) => whole.map_or(Cell::Null, Cell::Int),
                        Err(_) => narrow!(postgres, row, place)
                            .map_or_else(|| Cell::Other(String::new()), Cell::Int),
                    };
                    (0..row.len()).map(cell).collect()
                });
            }
            Ok(None) => break,
            Err(error) => {
                answers.error = Some(error);
                break;
            }
        }
    }
    drop(steps);
    answers
}

/// How far a text of several statements came.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Rows that each statement changed that was done.
    pub(super) done: Vec<u64>,
    /// Why the one after them was not.
    pub(super) error: Option<Error>,
}

/// The same, and what each returned.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) done: Vec<Returned>,
    pub(super) error: Option<Error>,
}

impl From<Script> for Answers {
    fn from(script: Script) -> Answers {
        let returned = |affected| Returned {
            affected,
            ..Returned::default()
        };
        Answers {
            done: script.done.into_iter().map(returned).collect(),
            error: script.error,
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) enum Link {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(Session),
    #[cfg(feature = "mysql")]
    MySql(sqlx::MySqlConnection),
}

impl Link {
    /// Runs one statement with its values.
    pub(super) async fn run(
        &mut self,
        text: &Arc<str>,
        values: &[Value],
        rows: Rows,
    ) -> Result<Returned, Error> {
        match self {
            #[cfg(feature = "sqlite")]
            Link::Sqlite(link) => sqlite(link, text, values, rows).await,
            #[cfg(feature = "postgres")]
            Link::Postgres(of) => postgres(&mut of.link, text, values, rows).await,
            #[cfg(feature = "mysql")]
            Link::MySql(link) => mysql(link, text, values, rows).await,
        }
    }

    /// Runs statements that have no values, in one question.
    pub(super) async fn script(&mut self, statements: &[impl AsRef<str>]) -> Script {
        let text = sqlx::raw_sql(AssertSqlSafe(one_text(statements)));
        match self {
            #[cfg(feature = "sqlite")]
            Link::Sqlite(link) => follow!(link, text),
            #[cfg(feature = "postgres")]
            Link::Postgres(of) => {
                let link = &mut of.link;
                follow!(link, text)
            }
            #[cfg(feature = "mysql")]
            Link::MySql(link) => follow!(link, text),
        }
    }

    /// As [`Link::script`]; in PostgreSQL with the whole numbers that came back.
    pub(super) async fn ask(&mut self, statements: &[String]) -> Answers {
        match self {
            #[cfg(feature = "postgres")]
            Link::Postgres(of) => {
                let text = sqlx::raw_sql(AssertSqlSafe(one_text(statements)));
                follow_numbers(&mut of.link, text).await
            }
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            other => other.script(statements).await.into(),
        }
    }

    /// Whether the server looks while it works whether we are still there.
    pub(super) fn notices(&self) -> bool {
        match self {
            #[cfg(feature = "postgres")]
            Link::Postgres(of) => of.notices(),
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => false,
        }
    }

    /// What a transaction that may wait for so long has to tell its session.
    pub(super) fn limits(&self, waits: Duration) -> Limits {
        match self {
            #[cfg(feature = "postgres")]
            Link::Postgres(of) => of.limits(waits),
            #[cfg(any(feature = "sqlite", feature = "mysql"))]
            _ => Limits::Waits(waits),
        }
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        let _ = match self {
            #[cfg(feature = "sqlite")]
            Link::Sqlite(link) => link.close().await,
            #[cfg(feature = "postgres")]
            Link::Postgres(of) => of.link.close().await,
            #[cfg(feature = "mysql")]
            Link::MySql(link) => link.close().await,
        };
    }
}

fn one_text(statements: &[impl AsRef<str>]) -> String {
    let mut text = String::new();
    for statement in statements {
        text.push_str(statement.as_ref());
        text.push_str("; ");
    }
    text
}

impl Returned {
    /// Adds a row; `false` when no further ones are wanted.
    fn add(&mut self, rows: Rows, row: impl FnOnce(&mut Returned) -> Vec<Cell>) -> bool {
        let (Rows::Keep(most) | Rows::Only(most)) = rows;
        if self.rows.len() < most {
            let row = row(self);
            self.rows.push(row);
            return true;
        }
        self.more = true;
        matches!(rows, Rows::Keep(_))
    }
}

/// The same function for each driver: the traits that could say it once are longer than it.
macro_rules! driver {
    ($name:ident, $database:ty, $persistent:literal) => {
        async fn $name(
            link: &mut <$database as sqlx::Database>::Connection,
            text: &Arc<str>,
            values: &[Value],
            rows: Rows,
        ) -> Result<Returned, Error> {
            // The text is the job's author's; no value is ever written into it.
            let mut query = sqlx::query::<$database>(AssertSqlSafe(Arc::clone(text)));
            query = query.persistent($persistent);
            for value in values {
                query = match value {
                    Value::Int(value) => query.bind(*value),
                    Value::Text(value) => query.bind(value.clone()),
                    Value::Real(value) => query.bind(*value),
                    Value::Decimal(value) => query.bind(decimal!($name, value)),
                    Value::Bool(value) => query.bind(*value),
                };
            }
            let mut answer = Returned::default();
            let mut steps = link.fetch_many(query);
            while let Some(step) = steps.try_next().await? {
                match step {
                    Either::Left(done) => answer.affected += done.rows_affected(),
                    Either::Right(row) => {
                        let wanted = answer.add(rows, |answer| {
                            if answer.columns.is_empty() {
                                let columns = row.columns().iter();
                                answer.columns =
                                    columns.map(|column| column.name().to_owned()).collect();
                            }
                            let kind = |place: usize| {
                                let value = row.try_get_raw(place);
                                let name = value.map(|value| value.type_info().name().to_owned());
                                name.unwrap_or_default()
                            };
                            let cell = |place: usize| {
                                if let Ok(whole) = row.try_get::<Option<i64>, _>(place) {
                                    whole.map_or(Cell::Null, Cell::Int)
                                } else if let Ok(text) = row.try_get::<Option<String>, _>(place) {
                                    let text = text.map(|text| {
                                        plain(&kind(place), trimmed!($name, kind(place), text))
                                    });
                                    text.unwrap_or(Cell::Null)
                                } else {
                                    narrow!($name, row, place)
                                        .map_or_else(|| Cell::Other(kind(place)), Cell::Int)
                                }
                            };
                            (0..row.len()).map(cell).collect()
                        });
                        if !wanted {
                            break;
                        }
                    }
                }
            }
            drop(steps);
            Ok(answer)
        }
    };
}

/// A decimal number as a driver takes it.
macro_rules! decimal {
    (postgres, $value:ident) => {
        Numeric($value.clone())
    };
    ($other:ident, $value:ident) => {
        $value.to_string()
    };
}

/// A text without what its type pads it with: PostgreSQL compares `char(n)` with a text as if that were not there.
macro_rules! trimmed {
    (postgres, $kind:expr, $text:ident) => {
        match $kind.as_str() {
            "CHAR" => $text.trim_end_matches(' ').to_owned(),
            _ => $text,
        }
    };
    ($other:ident, $kind:expr, $text:ident) => {
        $text
    };
}

#[cfg(feature = "sqlite")]
driver!(sqlite, sqlx::Sqlite, true);
// Nameless statements are read anew each time. Kept ones outlive their tables: after a migration a plan no
// longer fits, and behind a pooler a name may be another session's. They are also kept by their text, with
// the types of the first values: a whole number would be read from the bytes of a decimal one.
#[cfg(feature = "postgres")]
driver!(postgres, sqlx::Postgres, false);
#[cfg(feature = "mysql")]
driver!(mysql, sqlx::MySql, true);
