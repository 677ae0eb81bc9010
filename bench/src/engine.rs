//! One run of the engine: from its submission to its last record, and the proof that it did what it
//! was asked to. A run that lacks a shard is no measurement.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use gridloom_shared::broker::subjects::Author;
use gridloom_shared::broker::{Broker, Subscription};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::job::{PagesSpec, parse};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{self, EndState, PlanRecord, Record, Wave};
use gridloom_shared::wire;
use serde_json::{Value, json};

use crate::stack::{self, QUEUE};

/// Slices of the measured grids.
pub(crate) const SLICES: u32 = 16;
/// The longest that nothing may be heard of a run.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job of no-op shards.
#[derive(Debug)]
pub(crate) struct Grid {
    pub(crate) name: JobName,
    /// How many shards its runs have: a multiple of the slices.
    pub(crate) shards: u64,
}

/// What happens to a run while it is measured.
pub(crate) enum Step {
    /// So many of its shards have been planned.
    Planned(u64),
    /// It is over.
    Over,
}

/// Submits runs and sees them through.
#[derive(Debug)]
pub(crate) struct Engine {
    broker: Broker,
    plans: Subscription,
    submitted: u64,
}

impl Engine {
    /// Listens to what planners write.
    pub(crate) async fn new(broker: Broker) -> anyhow::Result<Engine> {
        let plans = broker
            .subscribe(broker.subjects().ledgers_by(Author::Plan))
            .await?;
        Ok(Engine {
            broker,
            plans,
            submitted: 0,
        })
    }

    /// Defines a job with about `shards` shards, `tile` pages a tile.
    pub(crate) async fn apply(&self, shards: u64, tile: u32) -> anyhow::Result<Grid> {
        let pages = (shards / u64::from(SLICES))
            .max(1)
            .next_multiple_of(u64::from(tile));
        self.apply_job(json!({
            "name": format!("noop-{tile}-{shards}"),
            "handler": "noop",
            "queue": QUEUE,
            "grid": { "slices": SLICES, "pages": { "count": pages }, "tile": tile },
        }))
        .await
    }

    /// Defines a job of counted pages.
    pub(crate) async fn apply_job(&self, job: Value) -> anyhow::Result<Grid> {
        let spec = parse::from_value(job)?;
        let PagesSpec::Count { count } = spec.grid.pages else {
            bail!("job {} has no counted pages", spec.name);
        };
        stack::define(&self.broker, &spec).await?;
        Ok(Grid {
            name: spec.name,
            shards: u64::from(count) * u64::from(spec.grid.slices),
        })
    }

    /// Runs `grid` once. Returns the time from the submission's first byte to the closing record;
    /// `watch` hears of each step on the way.
    pub(crate) async fn measure(
        &mut self,
        grid: &Grid,
        watch: impl FnMut(Step),
    ) -> anyhow::Result<Duration> {
        self.measure_with(grid, json!({}), watch).await
    }

    /// As [`Engine::measure`]; `body` is what the submission says beside its id.
    pub(crate) async fn measure_with(
        &mut self,
        grid: &Grid,
        body: Value,
        watch: impl FnMut(Step),
    ) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let run = self.submit(grid, body).await?;
        self.until_closed(&run, watch).await?;
        let took = begun.elapsed();
        self.prove(&run, grid).await?;
        Ok(took)
    }

    /// Submits a run of `grid`'s job; `body` is what the submission says beside its id.
    pub(crate) async fn submit(&mut self, grid: &Grid, mut body: Value) -> anyhow::Result<RunId> {
        self.submitted += 1;
        let id = format!("{}-{}", std::process::id(), self.submitted);
        let run = RunId::from_request(&grid.name, &id);
        let subject = self.broker.subjects().submit_to(&grid.name);
        body["id"] = id.into();
        let body = body.to_string();
        self.broker.append(subject, body.into(), None).await?;
        Ok(run)
    }

    /// Waits for the last record of a run.
    pub(crate) async fn until_closed(
        &mut self,
        run: &RunId,
        mut watch: impl FnMut(Step),
    ) -> anyhow::Result<()> {
        let mut planned = 0;
        let closed = loop {
            let record = self.next_plan(run).await?;
            if let Some(wave) = record.wave(1) {
                planned += shards_in(&wave);
                watch(Step::Planned(planned));
            }
            if let PlanRecord::Closed(closed) = record {
                break closed;
            }
        };
        watch(Step::Over);
        ensure!(
            closed.state == EndState::Succeeded,
            "run {run} ended as {:?}: {:?}",
            closed.state,
            closed.error
        );
        Ok(())
    }

    async fn next_plan(&mut self, run: &RunId) -> anyhow::Result<PlanRecord> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.plans.next()).await;
            let message =
                message.with_context(|| format!("hear of run {run} within {PATIENCE:?}"))?;
            let message = message.context("hear of the run: the connection is closed")?;
            let Some((_, of, _)) = self.broker.subjects().parse_ledger(&message.subject) else {
                continue;
            };
            if of == *run {
                return Ok(wire::decode(&message.payload)?);
            }
        }
    }

    /// When how many shards of a run were issued, by the broker's stamps.
    pub(crate) async fn issued(&self, run: &RunId) -> anyhow::Result<Vec<(UnixMs, u64)>> {
        let subjects = self.broker.subjects();
        let plan = subjects.plan_of_run_anywhere(run);
        let records = self.broker.read(&subjects.ledger(), &plan, 1, None).await?;
        let waves = records.iter().filter_map(|stored| {
            let record = wire::decode::<PlanRecord>(&stored.payload).ok()?;
            let wave = record.wave(stored.seq)?;
            Some((stored.at, shards_in(&wave)))
        });
        Ok(waves.collect())
    }

    /// Folds the run's ledger: every shard of the grid must be done, and nothing else.
    pub(crate) async fn prove(&self, run: &RunId, grid: &Grid) -> anyhow::Result<()> {
        let subjects = self.broker.subjects();
        let mut fold = Fold::new(run.clone());
        let mut reader = self.broker.reader(
            &subjects.ledger(),
            subjects.ledger_of_run_anywhere(run),
            1,
            None,
        );
        while let Some(page) = reader.next_page().await? {
            for stored in page {
                let Some((.., author)) = subjects.parse_ledger(&stored.subject) else {
                    continue;
                };
                let author = match author {
                    Author::Plan => record::Author::Plan,
                    Author::Work => record::Author::Work,
                    Author::Takeover => record::Author::Takeover,
                };
                fold.apply(
                    stored.seq,
                    stored.at,
                    &Record::decode(author, &stored.payload)?,
                );
            }
        }
        let counts = fold.counts();
        if counts.done != grid.shards
            || counts.planned != grid.shards
            || counts.late + counts.unexpected > 0
        {
            bail!(
                "run {run} of {} shards is no measurement: {counts:?}",
                grid.shards
            );
        }
        Ok(())
    }
}

fn shards_in(wave: &Wave) -> u64 {
    wave.tiles
        .iter()
        .map(|run| u64::from(run.tiles) * u64::from(run.pages))
        .sum()
}
