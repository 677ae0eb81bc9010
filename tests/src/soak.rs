//! The steady mix for an hour and more: the same work all the time, from runs of one shard to runs that are cancelled,
//! and what it costs in memory and on disk measured all along. What is old is purged after a minute, so everything must
//! become flat; each run is judged by the oracle as soon as it is over.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`load`] | which work there is |
//! | [`follow`] | when the records of a run are judged, before they are purged |
//! | [`late`] | what a shard is that begins after that |
//! | [`gauge`] | what is measured |
//! | [`growth`] | what has grown |
//! | [`report`] | what is told in the end |

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::ledger::summary::RunState;
use tokio::time::{Instant, sleep};

use crate::chaos::fault::{Fault, Strike, Twice};
use crate::chaos::field::{ACK_DEADLINE, Field, PLANNERS, Role, WORKERS};
use crate::chaos::load::databases;
use crate::chaos::{ticks, verdict};
use crate::oracle::executions::Logs;
use crate::oracle::fires::Fires;
use crate::oracle::ledger::Ledger;
use crate::oracle::{self, overlap};
use crate::seed::Seed;

pub mod follow;
pub mod gauge;
pub mod growth;
pub mod late;
pub mod load;
pub mod report;

use follow::Follower;
use gauge::Gauges;
use load::Load;
use report::{Report, Took};

/// Between two looks at what is over.
const LOOK: Duration = Duration::from_secs(1);
/// Between two measurements.
const MEASURED: Duration = Duration::from_secs(10);
/// Between two lines about how it goes.
const TOLD: Duration = Duration::from_secs(60);
/// A run that is not over after this time, not counting what the machine lost, is stuck.
const STUCK: Duration = Duration::from_secs(90);
/// The last part of the time has no faults: it is what the end is compared by.
const QUIET: f64 = 0.9;
/// What may go wrong, where something is to.
const FAULTS: [Fault; 4] = [
    Fault::KillWorker,
    Fault::KillLeader,
    Fault::KillBroker,
    Fault::StopWorker,
];

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// All choices follow from it.
    pub seed: u64,
    /// For how long work is asked for.
    pub lasts: Duration,
    /// Three brokers instead of one.
    pub cluster: bool,
    /// The queue on file instead of in the broker's memory.
    pub on_file: bool,
    /// How often something is killed; never where it is not said.
    pub faults_every: Option<Duration>,
    /// Where to keep what processes wrote and what was measured.
    pub logs: Option<PathBuf>,
}

/// Plays it, and tells `say` each minute how it goes. What is wrong stands in the report.
///
/// # Errors
/// When a process ended by itself, or something cannot be started.
pub async fn run(options: &Options, say: &(dyn Fn(String) + Sync)) -> anyhow::Result<Report> {
    let seed = Seed::new(options.seed);
    let mut field = Box::pin(Field::set(seed, options.cluster, options.on_file)).await?;
    field.logs.clone_from(&options.logs);
    // So short that it is flat after a fifth of the time.
    let kept = (options.lasts / 20).clamp(Duration::from_secs(15), Duration::from_secs(60));
    for name in ["GRIDLOOM_RETENTION_RUNS", "GRIDLOOM_RETENTION_DEAD"] {
        field.settings.push((name, format!("{}s", kept.as_secs())));
    }
    field
        .settings
        .push(("GRIDLOOM_RETENTION_EVERY", "5s".to_owned()));
    let played = Box::pin(play(&mut field, options, say)).await;
    if let Err(error) = field.keep_logs() {
        say(format!("{error:#}"));
    }
    if !played.as_ref().is_ok_and(Report::is_well) {
        say(field.left());
    }
    played.with_context(|| format!("seed {}", options.seed))
}

async fn play(
    field: &mut Field,
    options: &Options,
    say: &(dyn Fn(String) + Sync),
) -> anyhow::Result<Report> {
    if let Err(error) = field.start_postgres() {
        say(format!("without PostgreSQL: {error:#}"));
    }
    for _ in 0..PLANNERS {
        field.start(Role::Planner).await?;
    }
    for _ in 0..WORKERS {
        field.start(Role::Worker).await?;
    }
    let databases = databases(&field.database(), field.postgres()).await?;
    let ticking = ticks::start(&field.broker, true).await?;
    let mut seed = Seed::new(field.seed.next_u64());
    let url = field.brokers.url();
    let load = Load::start(&field.broker, &url, &databases, &mut seed).await?;
    let mut soak = Soak {
        load,
        follower: Follower::new(&ticking),
        executions: Logs::default(),
        gauges: Gauges::default(),
        report: Report::new(options),
        begun: Instant::now(),
        since: UnixMs::now(),
        seed: options.seed,
    };
    soak.go_on(field, options, say).await?;
    soak.load.stop().await;
    for job in &ticking {
        field.broker.jobs().delete(job.as_str(), None).await?;
    }
    say(format!("{:6.0} s nothing more is asked for", soak.at()));
    soak.drain(field).await?;
    field.all_whole()?;
    soak.end(field).await?;
    if let Some(dir) = &options.logs {
        std::fs::create_dir_all(dir)?;
        soak.gauges.write(&dir.join("measured.csv"))?;
    }
    Ok(soak.report)
}

/// What goes on.
struct Soak {
    load: Load,
    follower: Follower,
    executions: Logs,
    gauges: Gauges,
    report: Report,
    begun: Instant,
    since: UnixMs,
    seed: u64,
}

impl Soak {
    fn at(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    async fn go_on(
        &mut self,
        field: &mut Field,
        options: &Options,
        say: &(dyn Fn(String) + Sync),
    ) -> anyhow::Result<()> {
        let end = self.begun + options.lasts;
        let last_fault = self.begun + options.lasts.mul_f64(QUIET);
        let (mut measured, mut told) = (self.begun, self.begun + TOLD);
        let mut fault = options.faults_every.map(|every| self.begun + every);
        while Instant::now() < end {
            let now = Instant::now();
            if measured <= now {
                measured += MEASURED;
                field.all_whole()?;
                self.gauges.measure(field, self.at()).await?;
            }
            self.judge(field).await?;
            if told <= now {
                told += TOLD;
                say(self.progress(field));
            }
            if let (Some(at), Some(every)) = (fault, options.faults_every)
                && at <= now
                && now < last_fault
            {
                fault = Some(at + every);
                Box::pin(self.trouble(field, say)).await?;
            }
            sleep(LOOK).await;
        }
        self.gauges.measure(field, self.at()).await
    }

    fn progress(&self, field: &Field) -> String {
        let (asked, waiting) = {
            let book = self.load.book();
            (book.asked, self.follower.open())
        };
        format!(
            "{:6.0} s {asked} runs asked for, {} judged, {waiting} open or just over, {} shards; {} breaches; the machine lost {:.1?}; {}",
            self.at(),
            self.report.runs(),
            self.report.shards,
            self.report.breaches.len(),
            field.pulse.lost().total(),
            self.gauges.now()
        )
    }

    /// One fault, until it is healed.
    async fn trouble(
        &mut self,
        field: &mut Field,
        say: &(dyn Fn(String) + Sync),
    ) -> anyhow::Result<()> {
        let fault = FAULTS[field.seed.below(FAULTS.len() as u64) as usize];
        let strike = Box::pin(field.strike(fault, &[], &mut Twice::new())).await?;
        let Some(Strike { whom, lasts, .. }) = &strike else {
            return Ok(());
        };
        say(format!(
            "{:6.0} s {fault:?} of {whom} for {lasts:.1?}",
            self.at()
        ));
        self.report.faults += 1;
        sleep(*lasts).await;
        if let Some(strike) = &strike {
            Box::pin(field.heal(strike)).await?;
        }
        Ok(())
    }

    /// Judges the runs that are over, and says which never are.
    async fn judge(&mut self, field: &Field) -> anyhow::Result<()> {
        // The broker may just be gone.
        if self.follower.read(&field.broker).await.is_err() {
            return Ok(());
        }
        self.executions.read(&field.executions())?;
        // Before more runs are: of these nothing was taken yet.
        self.judge_late(field);
        for ledger in self.follower.settled() {
            self.judge_run(field, &ledger);
        }
        let lost = field.pulse.lost().allowance(self.since, UnixMs::now());
        let stuck = self.load.book().older(STUCK + lost);
        for run in stuck {
            let known = self.load.book().close(&run).is_some();
            if known {
                let what = format!("run {run} is not over {STUCK:?} after it was asked for");
                self.report.breaches.push(what);
            }
        }
        Ok(())
    }

    /// What began of runs that were judged.
    fn judge_late(&mut self, field: &Field) {
        let is_over = |run: &str| self.follower.is_over(run);
        for (run, execution) in self.executions.take_of(is_over, &field.lives) {
            match late::judge(&run, &execution, &field.lives) {
                Ok(()) => self.report.awoken += 1,
                Err(breach) => self.report.breaches.push(breach),
            }
        }
    }

    fn judge_run(&mut self, field: &Field, ledger: &Ledger) {
        let run = &ledger.run;
        let asked = self.load.book().close(run);
        let none = std::collections::HashSet::new();
        let verdict = oracle::judge_records(ledger, &[], false, self.seed, &none);
        let executions = self.executions.take(run.as_str(), &field.lives);
        let found = overlap::judge(ledger, &executions, &field.lives, ACK_DEADLINE, &none);
        self.report.executions += executions.len() as u64;
        self.report.overlaps += found.explained.len() as u64;
        if !found.breaches.is_empty() {
            let told = oracle::histories(run, self.seed, &found.breaches, ledger);
            self.report.breaches.push(told);
        }
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(error) => return self.report.breaches.push(format!("{error:#}")),
        };
        let state = verdict.summary.state;
        let expected = match &asked {
            Some(asked) => asked.ends == state,
            None if run.job() == "tick-cancel-running" => {
                [RunState::Succeeded, RunState::Cancelled].contains(&state)
            }
            None => run.job().starts_with("tick-") && state == RunState::Succeeded,
        };
        if !expected {
            let what = format!("run {run} is {state:?}: {:?}", verdict.summary);
            self.report.breaches.push(what);
        }
        let ended = ledger.entries.last().map_or(UnixMs(0), |entry| entry.at);
        let took = asked.map(|asked| Took {
            at: self.begun.elapsed().as_secs_f64(),
            seconds: ended.0.saturating_sub(asked.at.0) as f64 / 1_000.0,
        });
        self.report.judged(run.job(), &verdict, took);
    }

    /// Until all that was asked for is judged, and all schedules are over with their runs.
    async fn drain(&mut self, field: &Field) -> anyhow::Result<()> {
        let begun = Instant::now();
        let since = UnixMs::now();
        loop {
            self.judge(field).await?;
            let mut ticks = self.follower.ticks.values();
            let over = ticks.all(follow::Ticks::are_over);
            let done = self.load.book().is_done() && over && self.follower.open() == 0;
            let lost = field.pulse.lost().allowance(since, UnixMs::now());
            if done {
                return Ok(());
            }
            if begun.elapsed() > STUCK + lost {
                let open = self.follower.open();
                let what = format!("{open} runs are open {STUCK:?} after the last was asked for");
                self.report.breaches.push(what);
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }

    /// What can be judged only at the end.
    async fn end(&mut self, field: &mut Field) -> anyhow::Result<()> {
        self.executions.read(&field.executions())?;
        self.judge_late(field);
        for (job, ticks) in std::mem::take(&mut self.follower.ticks) {
            let fires = Fires::of(&field.broker, &job, ticks.records, ticks.runs).await?;
            self.report.fires += fires.records.len() as u64;
            if let Err(breach) = fires.judge() {
                let breach = format!("fires of {job}: {breach:#}");
                self.report.breaches.push(breach);
            }
        }
        let effects = std::mem::take(&mut self.load.book().effects);
        let found = verdict::effects(&field.database(), field.postgres(), &effects).await?;
        self.report.breaches.extend(found);
        self.report.breaches.append(&mut self.follower.breaches);
        self.report.breaches.extend(field.alarms());
        self.report.late = self.follower.late;
        self.report.lost = field.pulse.lost().total();
        let book = std::mem::take(&mut *self.load.book());
        self.report.breaches.extend(book.refused);
        for (job, times) in book.passed_over {
            let what = format!("{times} runs of {job} were not asked for: it does not keep up");
            self.report.breaches.push(what);
        }
        self.report.measured(&self.gauges);
        Ok(())
    }
}
