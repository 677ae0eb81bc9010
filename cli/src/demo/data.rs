//! How the demo's data gets into SQLite, and what a single plain query says about it.
//!
//! The data comes with the program (see `cli/data/README.md`), so that the demo works from any
//! directory. Nothing here knows of jobs and workers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

/// Flights in the data.
pub(super) const FLIGHTS: u64 = 336_776;

const ARCHIVE: &[u8] = include_bytes!("../../data/flights.csv.gz");
const COLUMNS: usize = 10;
/// Rows that one statement inserts: a statement may have 32,766 values.
const ROWS_AT_ONCE: usize = 500;

const TABLES: &str = "
CREATE TABLE flights (
    id INTEGER PRIMARY KEY, flight_date TEXT NOT NULL, carrier TEXT NOT NULL, flight INTEGER,
    tailnum TEXT, origin TEXT NOT NULL, dest TEXT, dep_delay_min INTEGER, arr_delay_min INTEGER,
    distance_miles INTEGER
);
CREATE TABLE carrier_totals (
    carrier TEXT PRIMARY KEY, flights INTEGER NOT NULL,
    departed INTEGER NOT NULL, dep_delay_min INTEGER NOT NULL,
    arrived INTEGER NOT NULL, arr_delay_min INTEGER NOT NULL,
    beaten_by INTEGER NOT NULL
) WITHOUT ROWID;
";
const INDEX: &str = "CREATE INDEX flights_of_a_day ON flights (flight_date, origin, dep_delay_min)";

/// What the job adds up, page by page.
const TOTALS: &str = "
SELECT carrier, flights, departed, dep_delay_min, arrived, arr_delay_min, beaten_by
FROM carrier_totals ORDER BY flights DESC, carrier";

/// The same in one go and in other words.
const PLAIN: &str = "
SELECT carrier, count(*) AS flights,
       count(dep_delay_min) AS departed, coalesce(sum(dep_delay_min), 0) AS dep_delay_min,
       count(arr_delay_min) AS arrived, coalesce(sum(arr_delay_min), 0) AS arr_delay_min,
       coalesce(sum(CASE WHEN dep_delay_min IS NOT NULL THEN place - 1 END), 0) AS beaten_by
FROM (SELECT carrier, dep_delay_min, arr_delay_min,
             rank() OVER (PARTITION BY flight_date, origin ORDER BY dep_delay_min NULLS LAST) AS place
      FROM flights) AS placed
GROUP BY carrier ORDER BY flights DESC, carrier";

/// What is known of one carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carrier {
    /// Its two letters.
    pub(super) code: String,
    /// Flights, with those that were cancelled.
    pub(super) flights: u64,
    departed: u64,
    dep_delay_min: i64,
    arrived: u64,
    arr_delay_min: i64,
    beaten_by: i64,
}

impl Carrier {
    /// Mean delay of a departure, in minutes.
    pub(super) fn mean_departure_delay(&self) -> f64 {
        mean(self.dep_delay_min, self.departed)
    }

    /// Mean delay of an arrival, in minutes.
    pub(super) fn mean_arrival_delay(&self) -> f64 {
        mean(self.arr_delay_min, self.arrived)
    }

    /// How many flights of the same day and airport left with less delay than this carrier's, in
    /// the mean.
    pub(super) fn mean_beaten_by(&self) -> f64 {
        mean(self.beaten_by, self.departed)
    }
}

fn mean(sum: i64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { sum as f64 / of as f64 }
}

/// The demo's database.
#[derive(Clone, Debug)]
pub(super) struct Database {
    path: PathBuf,
}

impl Database {
    /// The database in `dir`, which may not be there yet.
    pub(super) fn within(dir: &Path) -> Database {
        Database {
            path: dir.join("flights.db"),
        }
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// As the worker's configuration names it.
    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    /// Makes it and puts all flights in. Returns how many there are.
    pub(super) async fn load(&self) -> anyhow::Result<u64> {
        let doing = || format!("load the flights into {}", self.path.display());
        self.try_load().await.with_context(doing)
    }

    async fn try_load(&self) -> anyhow::Result<u64> {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Whoever loses power now starts the demo again.
            .synchronous(SqliteSynchronous::Off)
            .disable_statement_logging();
        let mut link = options.connect().await?;
        sqlx::raw_sql(TABLES).execute(&mut link).await?;
        let mut transaction = link.begin().await?;
        let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(ARCHIVE));
        let mut rows = Vec::with_capacity(ROWS_AT_ONCE);
        let mut count = 0;
        for row in reader.records() {
            rows.push(row?);
            count += 1;
            if rows.len() == ROWS_AT_ONCE {
                insert(&mut transaction, &rows).await?;
                rows.clear();
            }
        }
        if !rows.is_empty() {
            insert(&mut transaction, &rows).await?;
        }
        sqlx::raw_sql(INDEX).execute(&mut *transaction).await?;
        transaction.commit().await?;
        link.close().await?;
        Ok(count)
    }

    /// What the job has added up.
    pub(super) async fn totals(&self) -> anyhow::Result<Vec<Carrier>> {
        self.carriers(TOTALS).await.context("read the totals")
    }

    /// What they must be.
    pub(super) async fn plain(&self) -> anyhow::Result<Vec<Carrier>> {
        self.carriers(PLAIN)
            .await
            .context("add up all flights in one query")
    }

    async fn carriers(&self, query: &'static str) -> anyhow::Result<Vec<Carrier>> {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .disable_statement_logging();
        let mut link = options.connect().await?;
        let rows = sqlx::query(query).fetch_all(&mut link).await?;
        link.close().await?;
        let carriers = rows.iter().map(|row| {
            let counted =
                |column| Ok::<_, anyhow::Error>(u64::try_from(row.try_get::<i64, _>(column)?)?);
            Ok(Carrier {
                code: row.try_get("carrier")?,
                flights: counted("flights")?,
                departed: counted("departed")?,
                dep_delay_min: row.try_get("dep_delay_min")?,
                arrived: counted("arrived")?,
                arr_delay_min: row.try_get("arr_delay_min")?,
                beaten_by: row.try_get("beaten_by")?,
            })
        });
        carriers.collect()
    }
}

async fn insert(link: &mut SqliteConnection, rows: &[csv::StringRecord]) -> anyhow::Result<()> {
    // The text is the same for all full statements, so it is prepared once.
    let mut query = sqlx::query(AssertSqlSafe(insertion(rows.len())));
    for row in rows {
        anyhow::ensure!(
            row.len() == COLUMNS,
            "a row of the data has {} columns",
            row.len()
        );
        for (column, text) in row.iter().enumerate() {
            let number = matches!(column, 0 | 3 | 7 | 8 | 9);
            query = match (text.is_empty(), number) {
                (true, _) => query.bind(None::<i64>),
                (false, true) => query.bind(text.parse::<i64>()?),
                (false, false) => query.bind(text.to_owned()),
            };
        }
    }
    query.execute(link).await?;
    Ok(())
}

fn insertion(rows: usize) -> String {
    let mut text = String::from("INSERT INTO flights VALUES ");
    for row in 0..rows {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{}(?{})",
            if row == 0 { "" } else { "," },
            ",?".repeat(COLUMNS - 1)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_flights_are_loaded_and_the_plain_query_counts_them() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::within(dir.path());
        assert_eq!(database.load().await.unwrap(), FLIGHTS);
        let carriers = database.plain().await.unwrap();
        assert_eq!(
            carriers.iter().map(|carrier| carrier.flights).sum::<u64>(),
            FLIGHTS
        );
        assert_eq!(carriers.len(), 16);
        assert!((1.0..60.0).contains(&carriers[0].mean_departure_delay()));
        assert!(database.totals().await.unwrap().is_empty());
    }
}
