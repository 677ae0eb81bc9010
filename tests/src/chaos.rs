//! The seeded mix: faults of every kind while runs go on, a quarter of the time quiet, every fault
//! healed at the end, then all work drained, then judged.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`field`] | what runs, and what was done to it |
//! | [`fault`] | what goes wrong |
//! | [`load`] | which work there is |
//! | [`ticks`] | what fires by the clock meanwhile |
//! | [`steady`] | how fast work goes on |
//! | [`verdict`] | what is right |

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use tokio::time::{Instant, sleep, sleep_until};

use crate::oracle::ledger::Ledger;
use crate::seed::Seed;
use crate::wait::eventually;

pub mod fault;
pub mod field;
pub mod load;
pub mod steady;
pub mod ticks;
pub mod verdict;

use fault::{Fault, SETTLES_MOST, Strike, Twice};
use field::Field;
use load::Load;
use steady::Window;
use verdict::{Tally, Times};

/// What a worker and the ledger need for a commit on a busy machine.
const COMMITTED: Duration = Duration::from_millis(500);
/// How long all runs may take to close once everything is healed and nothing more is asked for.
const DRAIN: Duration = Duration::from_secs(60);
/// How long processes that were just started may take until all of them are at work.
const WARM: Duration = Duration::from_secs(60);
/// How long the rate is measured before the first fault.
const BEFORE: Duration = Duration::from_secs(8);
/// Where the machine lost more of a time than this part, the rate is not that of the engine.
const AWAY: f64 = 0.3;
/// How long it is measured in a quiet period, and after the last fault.
const MEASURED: Duration = Duration::from_secs(4);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// All choices follow from it.
    pub seed: u64,
    /// How long after its begin there may be a new fault. The first eight seconds have none.
    pub lasts: Duration,
    /// Three brokers instead of one.
    pub cluster: bool,
    /// The queue on file instead of in the broker's memory.
    pub on_file: bool,
    /// What may go wrong; with nothing, all periods are quiet.
    pub faults: Vec<Fault>,
    /// Whether jobs fire by the clock meanwhile.
    pub ticks: bool,
    /// Where to keep what processes wrote.
    pub logs: Option<PathBuf>,
}

/// Plays a mix, and tells `say` of each fault. Judging finds breaches; they stand in the tally.
///
/// # Errors
/// When a process ended by itself, runs do not close, or something cannot be started.
pub async fn run(options: &Options, say: &(dyn Fn(String) + Sync)) -> anyhow::Result<Tally> {
    let seed = Seed::new(options.seed);
    let mut field = Box::pin(Field::set(seed, options.cluster, options.on_file)).await?;
    field.logs.clone_from(&options.logs);
    let played = Box::pin(play(&mut field, options, say)).await;
    if let Err(error) = field.keep_logs() {
        say(format!("{error:#}"));
    }
    if !played.as_ref().is_ok_and(|tally| tally.breaches.is_empty()) {
        say(field.left());
    }
    played.with_context(|| format!("seed {}", options.seed))
}

async fn play(
    field: &mut Field,
    options: &Options,
    say: &(dyn Fn(String) + Sync),
) -> anyhow::Result<Tally> {
    if let Err(error) = field.start_postgres() {
        say(format!("without PostgreSQL: {error:#}"));
    }
    Box::pin(field.start_actors()).await?;
    let mut load_seed = Seed::new(field.seed.next_u64());
    let mut load = Load::start(
        &field.broker,
        &field.database(),
        field.postgres(),
        &mut load_seed,
    )
    .await?;
    let ticking = ticks::start(&field.broker, options.ticks).await?;
    let mut times = Times::default();
    let mut twice = Twice::new();
    warm(field, &load).await?;
    let begun = Instant::now();
    let end = begun + options.lasts;
    while !measure(field, &mut times, BEFORE, None).await && Instant::now() < end {}
    let mut last = Vec::new();
    let mut settled = Instant::now();
    while Instant::now() < end {
        if options.faults.is_empty() || field.seed.below(4) == 0 {
            sleep_until(settled).await;
            measure(field, &mut times, MEASURED, Some(&last)).await;
            continue;
        }
        last = field.choose(&options.faults);
        let settles = Box::pin(trouble(field, &last, &load, &mut twice, begun, say)).await?;
        settled = settled.max(Instant::now() + settles);
        field.all_whole()?;
        let pause = field.seed.between(Duration::ZERO, Duration::from_secs(1));
        sleep(pause).await;
    }
    times.healed = UnixMs::now();
    tell(say, begun, "all is healed");
    sleep_until(settled).await;
    measure(field, &mut times, MEASURED, Some(&last)).await;
    if !load.drain(DRAIN, &field.pulse).await {
        bail!("{}", stuck(field, &load).await);
    }
    times.lost = field.pulse.lost();
    tell(say, begun, "all is drained");
    let broken = ticks::judge(&field.broker, &ticking, say).await?;
    field.all_whole()?;
    let asked = load.asked();
    let mut tally = Box::pin(verdict::judge(
        &field.broker,
        &asked,
        &field.executions(),
        &field.lives,
        &twice,
        &times,
        options.seed,
    ))
    .await?;
    tally.breaches.extend(broken);
    tally.breaches.extend(field.alarms());
    tally
        .breaches
        .extend(verdict::effects(&field.database(), field.postgres(), &asked).await?);
    Ok(tally)
}

fn tell(say: &(dyn Fn(String) + Sync), begun: Instant, what: &str) {
    say(format!("{:6.1} s {what}", begun.elapsed().as_secs_f32()));
}

/// Waits until every steady worker has committed something.
async fn warm(field: &Field, load: &Load) -> anyhow::Result<()> {
    eventually(WARM, "all steady workers are at work", async || {
        let mut sessions = HashSet::new();
        for asked in load.asked() {
            if asked.job == steady::NAME {
                sessions.extend(Ledger::read(&field.broker, &asked.run).await?.sessions());
            }
        }
        Ok(sessions.len() >= steady::WORKERS)
    })
    .await
}

/// Measures the rate for some time. `false`: the machine itself was away for much of it, or shortly
/// before, and that says nothing.
async fn measure(
    field: &Field,
    times: &mut Times,
    time: Duration,
    after: Option<&[Fault]>,
) -> bool {
    let from = UnixMs::now();
    sleep(time).await;
    let until = UnixMs::now();
    // What is under way now is counted by its commit, which no fault may take away.
    sleep(steady::SHARD + COMMITTED).await;
    let since = UnixMs(from.0 - SETTLES_MOST.as_millis() as u64);
    let lost = field.pulse.lost().between(since, until);
    let counts = lost.as_secs_f64() < AWAY * (SETTLES_MOST + time).as_secs_f64();
    if counts {
        let after = after.map(<[Fault]>::to_vec);
        times.windows.push(Window { from, until, after });
    } else {
        times.uncounted += 1;
    }
    counts
}

/// One or two faults at once, until both are healed. Returns for how long work may be slower then.
async fn trouble(
    field: &mut Field,
    faults: &[Fault],
    load: &Load,
    twice: &mut Twice,
    begun: Instant,
    say: &(dyn Fn(String) + Sync),
) -> anyhow::Result<Duration> {
    let runs: Vec<RunId> = load.open().into_iter().map(|asked| asked.run).collect();
    let mut strikes: Vec<(Instant, Strike)> = Vec::new();
    for fault in faults {
        let strike = Box::pin(field.strike(*fault, &runs, twice)).await?;
        let at = begun.elapsed().as_secs_f32();
        match strike {
            Some(strike) => {
                let lasts = strike.lasts.as_secs_f32();
                say(format!(
                    "{at:6.1} s {fault:?} of {} for {lasts:.1} s",
                    strike.whom
                ));
                strikes.push((Instant::now() + strike.lasts, strike));
            }
            None => say(format!("{at:6.1} s {fault:?}: nobody to hit")),
        }
    }
    strikes.sort_by_key(|(end, _)| *end);
    for (end, strike) in &strikes {
        sleep_until(*end).await;
        Box::pin(field.heal(strike)).await?;
    }
    let settles = strikes.iter().map(|(_, strike)| field.settles(strike));
    Ok(settles.max().unwrap_or_default())
}

/// Which runs do not close, and how far they are.
async fn stuck(field: &Field, load: &Load) -> String {
    let lost = field.pulse.lost().total();
    let mut text = format!(
        "runs are open {DRAIN:?} after the last was asked for (the machine lost {lost:.1?} since the begin):"
    );
    for asked in load.open() {
        let standing = match Ledger::read(&field.broker, &asked.run).await {
            Ok(ledger) => format!("{:?}", ledger.summary()),
            Err(error) => format!("{error:#}"),
        };
        text += &format!("\n{}: {standing}", asked.run);
    }
    let shards = field.broker.subjects().shards();
    text + &format!("\nthe queue: {:?}", field.broker.info(&shards).await)
}
