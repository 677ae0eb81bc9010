//! graphile_worker with the settings of its own throughput benchmark: 500 jobs at once, a local queue of
//! 5,000, completions together every 5 ms.
//!
//! `prepare`, `enqueue JOBS`, `work JOBS`, `latency RATE SECONDS`, each with `PEER_URL`. `begin` and `end` on
//! standard output are what the script takes the time of; `latency` prints the waits in milliseconds.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, WorkerContext,
    WorkerOptions, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::{Instant, interval, sleep};

type Outcome = Result<(), Box<dyn Error>>;

const SCHEMA: &str = "graphile_worker";
const CONNECTIONS: u32 = 20;
const AT_ONCE: usize = 500;
const LOCAL_QUEUE: usize = 5_000;
/// Jobs that are enqueued by one statement.
const BATCH: u64 = 5_000;
const LOOK: Duration = Duration::from_millis(2);

/// What handlers have seen.
#[derive(Clone, Debug)]
struct Seen {
    since: Instant,
    done: Arc<AtomicU64>,
    waits: Arc<Mutex<Vec<f64>>>,
}

#[derive(Deserialize, Serialize)]
struct Nothing {
    sent: Option<f64>,
}

impl TaskHandler for Nothing {
    const IDENTIFIER: &'static str = "nothing";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(seen) = context.get_ext::<Seen>() {
            if let Some(sent) = self.sent {
                let mut waits = seen.waits.lock().unwrap_or_else(PoisonError::into_inner);
                waits.push(seen.now() - sent);
            }
            seen.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), String>(())
    }
}

impl Seen {
    fn new() -> Seen {
        Seen {
            since: Instant::now(),
            done: Arc::default(),
            waits: Arc::default(),
        }
    }

    /// In milliseconds.
    fn now(&self) -> f64 {
        self.since.elapsed().as_secs_f64() * 1e3
    }

    async fn has(&self, jobs: u64) {
        while self.done.load(Ordering::Relaxed) < jobs {
            sleep(LOOK).await;
        }
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let url = std::env::var("PEER_URL")?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .connect(&url)
        .await?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).map_or("", String::as_str).parse::<u64>();
    match args.first().map(String::as_str) {
        Some("prepare") => Ok(utils(&pool).migrate().await?),
        Some("enqueue") => enqueue(&pool, number(1)?).await,
        Some("work") => work(&pool, number(1)?).await,
        Some("latency") => latency(&pool, number(1)?, number(2)?).await,
        _ => Err("prepare, enqueue JOBS, work JOBS or latency RATE SECONDS".into()),
    }
}

fn utils(pool: &PgPool) -> WorkerUtils {
    WorkerUtils::new(pool.clone(), SCHEMA)
}

async fn enqueue(pool: &PgPool, jobs: u64) -> Outcome {
    let utils = utils(pool);
    println!("begin");
    let mut left = jobs;
    while left > 0 {
        let batch: Vec<RawJobSpec> = (0..left.min(BATCH))
            .map(|_| RawJobSpec {
                identifier: Nothing::IDENTIFIER.to_owned(),
                payload: serde_json::json!({}),
                spec: JobSpec::default(),
            })
            .collect();
        utils.add_raw_jobs(&batch).await?;
        left -= batch.len() as u64;
    }
    println!("end");
    Ok(())
}

/// Starts the worker; it ends with the process.
async fn start(pool: &PgPool, seen: &Seen) -> Outcome {
    let worker = WorkerOptions::default()
        .database(pool.clone())
        .schema(SCHEMA)
        .concurrency(AT_ONCE)
        .poll_interval(Duration::from_millis(5))
        .local_queue(LocalQueueConfig::default().with_size(LOCAL_QUEUE))
        .complete_job_batch_delay(Duration::from_millis(5))
        .add_extension(seen.clone())
        .define_job::<Nothing>()
        .init()
        .await?;
    tokio::spawn(async move {
        let ended = worker.run().await;
        eprintln!("the worker ended: {ended:?}");
        std::process::exit(1);
    });
    Ok(())
}

async fn work(pool: &PgPool, jobs: u64) -> Outcome {
    let seen = Seen::new();
    println!("begin");
    start(pool, &seen).await?;
    seen.has(jobs).await;
    let open = "SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)";
    while sqlx::query_scalar::<_, bool>(open).fetch_one(pool).await? {
        sleep(LOOK).await;
    }
    println!("end");
    Ok(())
}

async fn latency(pool: &PgPool, rate: u64, seconds: u64) -> Outcome {
    let seen = Seen::new();
    start(pool, &seen).await?;
    sleep(Duration::from_secs(1)).await;
    let utils = Arc::new(utils(pool));
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(rate)?);
    for _ in 0..rate * seconds {
        ticks.tick().await;
        let (utils, job) = (
            Arc::clone(&utils),
            Nothing {
                sent: Some(seen.now()),
            },
        );
        tokio::spawn(async move {
            if let Err(error) = utils.add_job(job, JobSpec::default()).await {
                eprintln!("failed to enqueue: {error}");
                std::process::exit(1);
            }
        });
    }
    seen.has(rate * seconds).await;
    let waits = seen.waits.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{}", serde_json::to_string(&*waits)?);
    Ok(())
}
