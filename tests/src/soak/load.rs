//! The steady load: runs of every kind, each kind at a pace of its own, whatever became of the ones before.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::wire;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::chaos::field::NAMESPACE;
use crate::chaos::load::{POSTGRES, RETRY, SQLITE, Submitted, effects};
use crate::process::{Output, run_cli};
use crate::seed::Seed;

/// A kind of which so many runs are not judged yet is not asked for again: it does not keep up.
const OPEN_MOST: usize = 200;
/// Between two tries where the broker is away.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(60);
/// What goes on until it is cancelled has gone on for so long then.
const CANCELLED_AFTER: Duration = Duration::from_secs(2);

/// How runs of a kind are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// By a message, as a program does.
    Message,
    /// With `gridloom run --wait`.
    ByHand,
    /// With `gridloom run`; `gridloom cancel` follows.
    Cancels,
}

/// A job, how often a run of it is asked for, how, and what becomes of each.
#[derive(Clone, Debug)]
struct Kind {
    name: &'static str,
    handler: &'static str,
    grid: String,
    rest: String,
    every: Duration,
    asks: Asks,
    ends: RunState,
}

/// What is asked for. About three hundred shards a second, of which a third are tiles of their own.
fn kinds(databases: &[&'static str]) -> Vec<Kind> {
    let noop = |name, every: f64, grid: &str, rest: String| Kind {
        name,
        handler: "noop",
        grid: grid.to_owned(),
        rest,
        every: Duration::from_secs_f64(every),
        asks: Asks::Message,
        ends: RunState::Succeeded,
    };
    let params = |params: &str| format!("{RETRY}[params]\n{params}");
    let one = "slices = 1\npages = { count = 1 }";
    let four = "slices = 2\npages = { count = 2 }\ntile = 1";
    let pages = "slices = 4\npages = { count = 60 }\ntile = 1";
    let tiles = "slices = 8\npages = { count = 250 }";
    let endless = "slices = 4\npages = { count = 100 }\ntile = 1";
    let never =
        "[retry]\nmax_attempts = 2\nbackoff = { initial = \"50ms\" }\n[params]\nfail_percent = 100";
    let mut kinds = vec![
        noop(
            "pages",
            5.0,
            pages,
            params("sleep_ms = 20\nfail_percent = 3"),
        ),
        noop("tiles", 10.0, tiles, RETRY.to_owned()),
        noop("slow", 6.0, four, params("sleep_ms = 1500")),
        noop("small", 0.25, one, RETRY.to_owned()),
        Kind {
            ends: RunState::Failed,
            ..noop("dying", 30.0, four, never.to_owned())
        },
        Kind {
            asks: Asks::ByHand,
            ..noop("by-hand", 20.0, four, params("sleep_ms = 100"))
        },
        Kind {
            asks: Asks::Cancels,
            ends: RunState::Cancelled,
            ..noop(
                "endless",
                20.0,
                endless,
                format!("[limits]\nconcurrency = 4\n{}", params("sleep_ms = 500")),
            )
        },
    ];
    for name in databases.iter().copied() {
        let (grid, settings) = effects(name);
        kinds.push(Kind {
            handler: "sql",
            ..noop(name, 10.0, &grid, format!("{RETRY}{settings}"))
        });
    }
    kinds
}

impl Kind {
    fn job(&self) -> String {
        format!(
            "name = \"{}\"\nhandler = \"{}\"\n[grid]\n{}\n{}",
            self.name, self.handler, self.grid, self.rest
        )
    }
}

/// A run that is not judged yet.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What becomes of it.
    pub ends: RunState,
    /// When it was asked for.
    pub at: UnixMs,
    since: Instant,
}

/// What is asked for and not judged yet, and what was.
#[derive(Debug, Default)]
pub struct Book {
    open: HashMap<RunId, Asked>,
    /// Runs of each job that were not asked for, since too many were open.
    pub passed_over: BTreeMap<String, u64>,
    /// Runs with effects in databases.
    pub effects: Vec<Submitted>,
    /// Runs asked for.
    pub asked: u64,
    /// What commands said that failed.
    pub refused: Vec<String>,
}

impl Book {
    /// Takes out a run that is over.
    pub fn close(&mut self, run: &RunId) -> Option<Asked> {
        self.open.remove(run)
    }

    /// Runs that were asked for longer ago than this and are not judged.
    pub fn older(&self, than: Duration) -> Vec<RunId> {
        let older = self
            .open
            .iter()
            .filter(|(_, asked)| asked.since.elapsed() > than);
        older.map(|(run, _)| run.clone()).collect()
    }

    /// Whether all that was asked for is judged.
    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    fn open_of(&self, job: &str) -> usize {
        self.open.keys().filter(|run| run.job() == job).count()
    }
}

/// Everybody who asks for runs.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    book: Arc<Mutex<Book>>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Defines the jobs and begins to ask for runs.
    ///
    /// # Errors
    /// When that cannot be done.
    pub async fn start(
        broker: &Broker,
        url: &str,
        databases: &[&'static str],
        seed: &mut Seed,
    ) -> anyhow::Result<Load> {
        let mut load = Load {
            stop: watch::Sender::new(false),
            book: Arc::default(),
            tasks: JoinSet::new(),
        };
        for kind in kinds(databases) {
            let spec = parse::parse(&kind.job(), Format::Toml);
            let spec = spec.map_err(|faults| anyhow::anyhow!("{faults}"))?;
            broker.jobs().put(kind.name, wire::encode(&spec)).await?;
            let feed = Feed {
                broker: broker.clone(),
                url: url.to_owned(),
                job: spec.name,
                kind,
                seed: Seed::new(seed.next_u64()),
                stop: load.stop.subscribe(),
                book: Arc::clone(&load.book),
            };
            load.tasks.spawn(feed.go_on());
        }
        Ok(load)
    }

    /// What is asked for and not judged yet.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for nothing more.
    pub async fn stop(&mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Asks for runs of one kind.
struct Feed {
    broker: Broker,
    url: String,
    job: JobName,
    kind: Kind,
    seed: Seed,
    stop: watch::Receiver<bool>,
    book: Arc<Mutex<Book>>,
}

impl Feed {
    async fn go_on(mut self) {
        let mut ticks = interval(self.kind.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = self.stop.changed() => return,
            }
            let id = format!("{:016x}", self.seed.next_u64());
            if self.enter(&id) {
                match self.kind.asks {
                    Asks::Message => self.submit(&id).await,
                    Asks::ByHand => self.by_hand(&id, &["--wait"]).await,
                    Asks::Cancels => self.cancel(&id).await,
                }
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is asked for.
    fn enter(&self, id: &str) -> bool {
        let mut book = self.book();
        let name = self.kind.name;
        if book.open_of(name) >= OPEN_MOST {
            *book.passed_over.entry(name.to_owned()).or_default() += 1;
            return false;
        }
        let run = RunId::from_request(&self.job, id);
        if [SQLITE, POSTGRES].contains(&name) {
            let (run, tag) = (run.clone(), id.to_owned());
            book.effects.push(Submitted {
                run,
                job: name.to_owned(),
                tag,
            });
        }
        let asked = Asked {
            ends: self.kind.ends,
            at: UnixMs::now(),
            since: Instant::now(),
        };
        book.open.insert(run, asked);
        book.asked += 1;
        true
    }

    async fn submit(&self, id: &str) {
        let params = match self.kind.handler {
            "sql" => json!({ "tag": id }),
            _ => json!({}),
        };
        let body = json!({ "id": id, "params": params }).to_string();
        let subject = self.broker.subjects().submit_to(&self.job);
        // The same id never makes a second run, so it may be asked for again.
        while let Err(error) = self
            .broker
            .append(subject.clone(), body.clone().into(), None)
            .await
        {
            if *self.stop.borrow() {
                let said = format!("a run of {} was never asked for: {error}", self.job);
                return self.book().refused.push(said);
            }
            sleep(AGAIN).await;
        }
    }

    async fn by_hand(&self, id: &str, more: &[&str]) {
        let mut args = vec!["run", self.kind.name, "--id", id];
        args.extend(more);
        self.command(args.into_iter().map(str::to_owned).collect())
            .await;
    }

    async fn cancel(&self, id: &str) {
        self.by_hand(id, &[]).await;
        sleep(CANCELLED_AFTER).await;
        let run = RunId::from_request(&self.job, id);
        self.command(vec!["cancel".to_owned(), run.to_string()])
            .await;
    }

    /// Types a command until it succeeds: the broker, or who leads, may just be gone.
    async fn command(&self, mut args: Vec<String>) {
        let place = ["--nats", self.url.as_str(), "--namespace", NAMESPACE];
        args.extend(place.map(str::to_owned));
        let mut said = String::new();
        let begun = Instant::now();
        while begun.elapsed() < COMMAND {
            match typed(args.clone()).await {
                Ok(output) if output.code == 0 => return,
                Ok(output) => said = output.stderr,
                Err(error) => said = format!("{error:#}"),
            }
            sleep(AGAIN).await;
        }
        let said = format!("gridloom {}: {said}", args.join(" "));
        self.book().refused.push(said);
    }
}

/// Runs a command to its end, on a thread of its own: what waits for processes does not move between threads.
async fn typed(args: Vec<String>) -> anyhow::Result<Output> {
    let runtime = Handle::current();
    let ended = spawn_blocking(move || runtime.block_on(run_cli(args, COMMAND)));
    ended.await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_a_job() {
        for kind in kinds(&[SQLITE, POSTGRES]) {
            let spec = parse::parse(&kind.job(), Format::Toml);
            let spec = spec.unwrap_or_else(|faults| panic!("{}: {faults}", kind.job()));
            assert_eq!(spec.name.as_str(), kind.name);
        }
    }
}
