//! Judges what a mix left: every run by the oracle, executions at the same time, how soon all came
//! to its end, and the effects in the database.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, PgConnection};

use super::fault::Twice;
use super::field::ACK_DEADLINE;
use super::load::{EFFECT_PAGES, EFFECT_SLICES, POSTGRES, SQLITE, Submitted};
use super::steady::{self, Rates, Window};
use crate::oracle::ledger::Ledger;
use crate::oracle::overlap::{self, Lives};
use crate::oracle::{self, executions, liveness};
use crate::pulse::Lost;

/// Beyond an ack deadline and the longest backoff of the jobs.
const LIVENESS: Duration = Duration::from_millis(2_000 + 250 + 10_000);

/// What was found and counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Runs that were judged.
    pub runs: usize,
    /// Shards that were committed.
    pub committed: u64,
    /// Second successes that a takeover explains.
    pub repeated: u64,
    /// Tiles that were taken over.
    pub takeovers: u64,
    /// Executions.
    pub executions: usize,
    /// Executions at the same time that a lost lease explains, each with its cause.
    pub overlaps: Vec<String>,
    /// How fast the steady job went on.
    pub rates: Rates,
    /// Time that the machine lost, by its [`Pulse`](crate::pulse::Pulse).
    pub lost: Duration,
    /// Windows that do not count for that.
    pub uncounted: usize,
    /// Rules that were broken, each with the history of its shards.
    pub breaches: Vec<String>,
}

/// When something was, as the broker's clock has it.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// End of the last fault.
    pub healed: UnixMs,
    /// What the rates are counted in.
    pub windows: Vec<Window>,
    /// Windows in which the machine was away too long.
    pub uncounted: usize,
    /// What the machine lost.
    pub lost: Lost,
}

/// Judges `asked`, all of which is closed.
///
/// # Errors
/// When the broker or a file cannot be read. What is broken stands in the tally.
pub async fn judge(
    broker: &Broker,
    asked: &[Submitted],
    executions: &Path,
    lives: &Lives,
    twice: &Twice,
    times: &Times,
    seed: u64,
) -> anyhow::Result<Tally> {
    let mut logs = executions::read(executions, lives)?;
    let mut tally = Tally {
        lost: times.lost.total(),
        uncounted: times.uncounted,
        ..Tally::default()
    };
    let mut commits = Vec::new();
    let none = HashSet::new();
    for Submitted { run, job, .. } in asked {
        let excused = twice.get(run).unwrap_or(&none);
        tally.runs += 1;
        let verdict = oracle::judge_except(broker, run, None, seed, excused).await;
        match verdict.and_then(oracle::Verdict::succeeded) {
            Ok(verdict) => {
                tally.committed += verdict.audit.committed;
                tally.repeated += verdict.audit.repeated;
                tally.takeovers += verdict.audit.takeovers;
            }
            Err(error) => tally.breaches.push(format!("{error:#}")),
        }
        let ledger = Ledger::read(broker, run).await?;
        let of_run = logs.remove(run.as_str()).unwrap_or_default();
        tally.executions += of_run.len();
        let found = overlap::judge(&ledger, &of_run, lives, ACK_DEADLINE, excused);
        let explained = found.explained.into_iter();
        tally
            .overlaps
            .extend(explained.map(|cause| format!("{run}: {cause}")));
        let mut breaches = found.breaches;
        let mut within = LIVENESS;
        if job == steady::NAME {
            within += steady::QUEUED;
            commits.extend(liveness::commits(&ledger));
        }
        breaches.extend(liveness::judge(&ledger, times.healed, within, &times.lost));
        if !breaches.is_empty() {
            tally
                .breaches
                .push(oracle::histories(run, seed, &breaches, &ledger));
        }
    }
    tally.rates = Rates::of(&times.windows, &commits);
    tally.breaches.extend(tally.rates.breach());
    Ok(tally)
}

/// Of how many rows each cell of each tag is.
const COUNTED: &str = "SELECT tag, slice, page, count(*) FROM effects GROUP BY 1, 2, 3";
/// One of [`COUNTED`].
type Row = (String, i64, i64, i64);

/// Judges the databases: each shard of each run wrote its row once, and nothing else did.
///
/// # Errors
/// When one cannot be read.
pub async fn effects(
    sqlite: &Path,
    postgres: Option<&str>,
    asked: &[Submitted],
) -> anyhow::Result<Vec<String>> {
    let url = format!("sqlite:{}", sqlite.display());
    let mut database = SqliteConnection::connect(&url)
        .await
        .context("open the effects")?;
    let rows = sqlx::query_as(COUNTED).fetch_all(&mut database).await?;
    let mut breaches = once_each(&rows, SQLITE, asked);
    if let Some(url) = postgres {
        let mut database = PgConnection::connect(url)
            .await
            .context("open the effects in PostgreSQL")?;
        let rows = sqlx::query_as(COUNTED).fetch_all(&mut database).await?;
        breaches.extend(once_each(&rows, POSTGRES, asked));
    }
    Ok(breaches)
}

fn once_each(rows: &[Row], job: &str, asked: &[Submitted]) -> Vec<String> {
    let mut of_tag: HashMap<&str, u32> = HashMap::new();
    let mut breaches = Vec::new();
    for (tag, slice, page, count) in rows {
        *of_tag.entry(tag).or_default() += 1;
        if *count != 1 {
            breaches.push(format!(
                "effect of page {page} of slice {slice} of {tag}: {count} times"
            ));
        }
    }
    let runs = asked.iter().filter(|asked| asked.job == job);
    for Submitted { run, tag, .. } in runs {
        let found = of_tag.remove(tag.as_str()).unwrap_or(0);
        if found != EFFECT_SLICES * EFFECT_PAGES {
            breaches.push(format!("run {run} has {found} effects"));
        }
    }
    breaches.extend(
        of_tag
            .keys()
            .map(|tag| format!("effects of {tag}, which was no run")),
    );
    breaches
}
