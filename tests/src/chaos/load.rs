//! Work all the time: a few runs are always open, and each that closes is followed by another.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, QueueName, RunId};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::wire;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::steady;
use crate::pulse::Pulse;
use crate::seed::Seed;
use crate::wait::eventually_some;

/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Retries that no number of faults uses up.
pub const RETRY: &str =
    "[retry]\nmax_attempts = 100\nbackoff = { initial = \"50ms\", max = \"200ms\" }\n";
/// The jobs with effects, and what workers call their databases.
pub const SQLITE: &str = "effects";
/// See [`SQLITE`].
pub const POSTGRES: &str = "effects-postgres";
/// No key: a repetition must show.
const TABLE: &str =
    "CREATE TABLE effects (tag TEXT NOT NULL, slice BIGINT NOT NULL, page BIGINT NOT NULL)";
/// How long a PostgreSQL that was just started may take until it answers.
const ANSWERS: Duration = Duration::from_secs(60);
/// Cells of each of their runs.
pub const EFFECT_SLICES: u32 = 4;
/// See [`EFFECT_SLICES`].
pub const EFFECT_PAGES: u32 = 15;

/// The jobs as they are defined, and how many runs of each are open at once. Short shards, some of
/// which fail; shards that take most of an ack deadline; effects in databases; and the steady job.
fn jobs(databases: &[&str]) -> Vec<(String, usize)> {
    let job = |name: &str, handler: &str, grid: &str, rest: &str| {
        let text =
            format!("name = \"{name}\"\nhandler = \"{handler}\"\n[grid]\n{grid}\n{RETRY}{rest}");
        (text, 1)
    };
    let steady = format!(
        "name = \"{0}\"\nqueue = \"{0}\"\nhandler = \"noop\"\n[grid]\n{1}\n{RETRY}[params]\nsleep_ms = {2}",
        steady::NAME,
        steady::GRID,
        steady::SHARD.as_millis()
    );
    let mut jobs = vec![
        (steady, steady::OPEN),
        job(
            "short",
            "noop",
            "slices = 4\npages = { count = 60 }\ntile = 3",
            "[params]\nsleep_ms = 20\nfail_percent = 3",
        ),
        job(
            "slow",
            "noop",
            "slices = 2\npages = { count = 2 }\ntile = 1",
            "[params]\nsleep_ms = 1500",
        ),
    ];
    for name in databases {
        let (grid, settings) = effects(name);
        jobs.push(job(name, "sql", &grid, &settings));
    }
    jobs
}

/// Grid and settings of the job with effects in this database.
pub fn effects(database: &str) -> (String, String) {
    (
        format!("slices = {EFFECT_SLICES}\npages = {{ count = {EFFECT_PAGES} }}\ntile = 2"),
        format!(
            "[sql]\ndatabase = \"{database}\"\nstatement = \"INSERT INTO effects VALUES (:tag, :slice, :page)\""
        ),
    )
}

/// A run that was asked for.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: String,
    /// What its effects are marked with.
    pub tag: String,
}

/// Makes the table of the effects in each database, and says what workers call them.
///
/// # Errors
/// When that cannot be done.
pub async fn databases(sqlite: &Path, postgres: Option<&str>) -> anyhow::Result<Vec<&'static str>> {
    let options = SqliteConnectOptions::new()
        .filename(sqlite)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let mut made = SqliteConnection::connect_with(&options).await?;
    sqlx::query(TABLE).execute(&mut made).await?;
    made.close().await?;
    let mut databases = vec![SQLITE];
    if let Some(url) = postgres {
        let mut made = eventually_some(ANSWERS, "PostgreSQL answers", async || {
            Ok(PgConnection::connect(url).await.ok())
        })
        .await?;
        sqlx::query(TABLE).execute(&mut made).await?;
        databases.push(POSTGRES);
    }
    Ok(databases)
}

/// The runs that are kept open.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Submitted>>>,
    open: Arc<Mutex<Vec<Submitted>>>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Defines the jobs and begins to ask for runs.
    ///
    /// # Errors
    /// When that cannot be done.
    pub async fn start(
        broker: &Broker,
        sqlite: &Path,
        postgres: Option<&str>,
        seed: &mut Seed,
    ) -> anyhow::Result<Load> {
        let databases = databases(sqlite, postgres).await?;
        let mut load = Load {
            stop: Arc::default(),
            asked: Arc::default(),
            open: Arc::default(),
            tasks: JoinSet::new(),
        };
        for (toml, open) in jobs(&databases) {
            let spec = parse::parse(&toml, Format::Toml);
            let spec = spec.map_err(|faults| anyhow::anyhow!("{faults}"))?;
            let bucket = broker.jobs();
            bucket.put(spec.name.as_str(), wire::encode(&spec)).await?;
            for _ in 0..open {
                let feed = Feed {
                    broker: broker.clone(),
                    job: spec.name.clone(),
                    queue: spec.queue.clone(),
                    seed: Seed::new(seed.next_u64()),
                    stop: Arc::clone(&load.stop),
                    asked: Arc::clone(&load.asked),
                    open: Arc::clone(&load.open),
                };
                load.tasks.spawn(feed.go_on());
            }
        }
        Ok(load)
    }

    /// Runs that were asked for so far.
    pub fn asked(&self) -> Vec<Submitted> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Runs that are not closed yet.
    pub fn open(&self) -> Vec<Submitted> {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks for nothing more, and waits until all runs are closed. `false` when they are not in time,
    /// not counting what the machine lost.
    pub async fn drain(&mut self, within: Duration, pulse: &Pulse) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        let (begun, since) = (Instant::now(), UnixMs::now());
        while !self.tasks.is_empty() {
            let end = || begun + within + pulse.lost().allowance(since, UnixMs::now());
            let closed = tokio::time::timeout_at(end(), self.tasks.join_next()).await;
            if closed.is_err() && Instant::now() >= end() {
                return false;
            }
        }
        true
    }
}

struct Feed {
    broker: Broker,
    job: JobName,
    queue: QueueName,
    seed: Seed,
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Submitted>>>,
    open: Arc<Mutex<Vec<Submitted>>>,
}

impl Feed {
    async fn go_on(mut self) {
        let lock = |list: &Arc<Mutex<Vec<Submitted>>>, change: &dyn Fn(&mut Vec<Submitted>)| {
            change(&mut list.lock().unwrap_or_else(PoisonError::into_inner));
        };
        while !self.stop.load(Ordering::Relaxed) {
            let tag = format!("{:016x}", self.seed.next_u64());
            let asked = Submitted {
                run: RunId::from_request(&self.job, &tag),
                job: self.job.to_string(),
                tag: tag.clone(),
            };
            let body = json!({ "id": tag, "params": self.params(&tag) }).to_string();
            lock(&self.open, &|open| open.push(asked.clone()));
            lock(&self.asked, &|list| list.push(asked.clone()));
            let subject = self.broker.subjects().submit_to(&self.job);
            // The same id never makes a second run, so it may be asked for again.
            while self
                .broker
                .append(subject.clone(), body.clone().into(), None)
                .await
                .is_err()
            {
                sleep(LOOK).await;
            }
            while !self.is_closed(&asked.run).await {
                sleep(LOOK).await;
            }
            lock(&self.open, &|open| {
                open.retain(|open| open.run != asked.run)
            });
        }
    }

    fn params(&self, tag: &str) -> serde_json::Value {
        if [SQLITE, POSTGRES].contains(&self.job.as_str()) {
            json!({ "tag": tag })
        } else {
            json!({})
        }
    }

    async fn is_closed(&self, run: &RunId) -> bool {
        let subjects = self.broker.subjects();
        let plan = subjects.ledger_of(&self.queue, run, Author::Plan);
        // The broker may just be gone.
        let last = self.broker.last_of_leader(&subjects.ledger(), &plan).await;
        last.ok()
            .flatten()
            .is_some_and(|last| matches!(wire::decode(&last.payload), Ok(PlanRecord::Closed(_))))
    }
}
