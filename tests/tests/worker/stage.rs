//! A broker, and a test that acts as the planner of one run: it writes what a planner writes and
//! publishes what a planner publishes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use gridloom_shared::broker::batch::{Outgoing, Published};
use gridloom_shared::broker::term::Register;
use gridloom_shared::broker::topology::consumers::{AckDeadline, ensure_lane};
use gridloom_shared::broker::topology::{self, TopologyOptions};
use gridloom_shared::broker::{Broker, Options};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{
    Fence, HandlerName, JobName, Namespace, Nonce, QueueName, RunId, Session, Term,
};
use gridloom_shared::job::{GridSpec, JobSpec, LimitsSpec, PagesSpec, RetrySpec, SubmitSpec};
use gridloom_shared::lane::Lane;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{
    Again, Author, Opened, PlanRecord, Record, TileRun, Wave, WorkRecord,
};
use gridloom_shared::tile::{Tile, TileKind};
use gridloom_shared::wire;
use gridloom_tests::scenario::on_file;
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;
use gridloom_worker::{Builder, Failure, RunError, Stop, Worker};
use tokio::task::JoinHandle;

/// Long enough for a slow machine; nothing waits for it when all is well.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What handlers noted, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.all().iter().filter(|noted| *noted == text).count()
    }

    pub(crate) async fn until(&self, text: &str) -> anyhow::Result<()> {
        eventually(SOON, &format!("{text:?} is noted"), async || {
            Ok(self.count(text) > 0)
        })
        .await
    }
}

pub(crate) struct Stage {
    pub(crate) server: TestServer,
    pub(crate) broker: Broker,
    pub(crate) queue: QueueName,
    pub(crate) lane: Lane,
    pub(crate) run: RunId,
    nonce: Nonce,
    opened: u64,
    last_plan: u64,
    waves: u32,
    register: Register,
}

/// What a handler does that takes this long and succeeds.
pub(crate) async fn pause(ms: u64) -> Result<(), Failure> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(())
}

/// A job for handler `h` with `slices` × `pages` cells, whose failures are due again far later.
pub(crate) fn job(slices: u32, pages: PagesSpec) -> anyhow::Result<JobSpec> {
    let mut retry = RetrySpec::default();
    retry.backoff.initial_ms = 600_000;
    Ok(JobSpec {
        name: JobName::new("job")?,
        handler: HandlerName::new("h")?,
        queue: QueueName::new("default")?,
        grid: GridSpec {
            slices,
            pages,
            tile: None,
        },
        retry,
        limits: LimitsSpec::default(),
        settings: serde_json::json!({}),
        params: serde_json::json!({}),
        submit: SubmitSpec::default(),
        schedule: None,
    })
}

/// `tiles` tiles of `pages` pages each, from page 0 of `slice` on.
pub(crate) fn tiles(slice: u32, tiles: u32, pages: u32) -> TileRun {
    TileRun {
        kind: TileKind::Page,
        slice,
        first: 0,
        pages,
        tiles,
        attempt: 1,
        bounds: Vec::new(),
        after: None,
    }
}

impl Stage {
    /// A new broker on which a run of `job` is open.
    pub(crate) async fn open(job: JobSpec) -> anyhow::Result<Stage> {
        Stage::open_with(job, &TopologyOptions::default()).await
    }

    /// The same, with a queue that is there after a restart of the broker: nobody fills one again here.
    pub(crate) async fn open_on_file(job: JobSpec) -> anyhow::Result<Stage> {
        Stage::open_with(job, &on_file()).await
    }

    async fn open_with(job: JobSpec, topology: &TopologyOptions) -> anyhow::Result<Stage> {
        let server = TestServer::start().await?;
        let options = Options::new(server.url(), Namespace::new("gridloom")?, "test-planner");
        let broker = Broker::connect(&options).await?;
        topology::ensure(&broker, topology).await?;
        let lane = Lane::of(&job);
        let consumer = ensure_lane(&broker, &lane, AckDeadline::AsIs).await?;
        // What is published from now on may be certainly first.
        broker.floor(&consumer.name).await?;
        let register = broker.claim_term(Term(1), Session::random()).await?;
        let mut stage = Stage {
            server,
            broker,
            queue: lane.queue.clone(),
            lane,
            run: RunId::from_submission(&job.name, 7),
            nonce: Nonce::random(),
            opened: 0,
            last_plan: 0,
            waves: 0,
            register,
        };
        stage.open_run(job, 7).await?;
        Ok(stage)
    }

    /// Opens another run, and goes on with that.
    pub(crate) async fn open_run(&mut self, job: JobSpec, number: u64) -> anyhow::Result<()> {
        self.open_run_of(job, number, std::convert::identity).await
    }

    /// The same, with what is made of its first record.
    pub(crate) async fn open_run_of(
        &mut self,
        job: JobSpec,
        number: u64,
        made: impl FnOnce(Bytes) -> Bytes,
    ) -> anyhow::Result<()> {
        self.lane = Lane::of(&job);
        self.queue = job.queue.clone();
        self.run = RunId::from_submission(&job.name, number);
        self.nonce = Nonce::random();
        self.waves = 0;
        let opened = Opened {
            nonce: self.nonce,
            job,
            scheduled_at: UnixMs::now(),
            content: 1,
            term: Term(1),
            first: Vec::new(),
            traceparent: None,
            reports: 1,
        };
        let record = made(wire::encode(&PlanRecord::Opened(Box::new(opened))));
        let subjects = self.broker.subjects();
        let plan = subjects.ledger_of(&self.queue, &self.run, Author::Plan);
        self.opened = self.broker.append(plan, record, Some(0)).await?;
        self.last_plan = self.opened;
        Ok(())
    }

    /// Decides a wave and publishes its tiles.
    pub(crate) async fn wave(&mut self, tiles: Vec<TileRun>) -> anyhow::Result<Vec<Tile>> {
        let wave = Wave {
            n: self.waves,
            folded: self.last_plan,
            term: Term(1),
            tiles,
        };
        let record = wire::encode(&PlanRecord::Wave(wave.clone()));
        let subject = self
            .broker
            .subjects()
            .ledger_of(&self.queue, &self.run, Author::Plan);
        self.last_plan = self
            .broker
            .append(subject, record, Some(self.last_plan))
            .await?;
        self.waves += 1;
        let fence = Fence(self.last_plan);
        let tiles: Vec<Tile> = wave
            .expand(&self.run, self.nonce, fence, self.opened, Again::No)
            .collect();
        self.publish(&tiles).await?;
        Ok(tiles)
    }

    /// Takes the run's tiles off the queue.
    pub(crate) async fn empty_queue(&self) -> anyhow::Result<()> {
        let subject = self.broker.subjects().shard(&self.lane, &self.run);
        let purge = serde_json::json!({ "filter": subject }).to_string();
        let shards = self.broker.subjects().shards();
        let client = self.server.client().await?;
        client
            .request(format!("$JS.API.STREAM.PURGE.{shards}"), purge.into())
            .await?;
        Ok(())
    }

    /// Appends what a worker reports.
    pub(crate) async fn report(&self, record: &WorkRecord) -> anyhow::Result<()> {
        let subjects = self.broker.subjects();
        let subject = subjects.ledger_of(&self.queue, &self.run, Author::Work);
        let record = wire::encode(record);
        self.broker.append(subject, record, None).await?;
        Ok(())
    }

    /// Publishes tiles as they are.
    pub(crate) async fn publish(&self, tiles: &[Tile]) -> anyhow::Result<()> {
        let subject = self.broker.subjects().shard(&self.lane, &self.run);
        let message = |tile| Outgoing {
            subject: subject.clone().into(),
            payload: wire::encode(tile),
        };
        let messages: Vec<_> = tiles.iter().map(message).collect();
        match self.broker.publish_batch(&messages, self.register).await {
            Published::Stored => Ok(()),
            other => bail!("tiles were not stored: {other:?}"),
        }
    }

    /// A worker of this broker, to be completed.
    pub(crate) fn worker(&self) -> Builder {
        Worker::builder()
            .nats(self.server.url())
            .ignore_signals()
            .name("under-test")
    }

    /// Every record of the run, in order.
    pub(crate) async fn records(&self) -> anyhow::Result<Vec<(u64, UnixMs, Record)>> {
        let ledger = self.broker.subjects().ledger();
        let filter = self.broker.subjects().ledger_of_run(&self.queue, &self.run);
        let mut records = Vec::new();
        for record in self.broker.read(&ledger, filter, 1, None).await? {
            let (_, _, author) = self
                .broker
                .subjects()
                .parse_ledger(&record.subject)
                .context("subject")?;
            records.push((
                record.seq,
                record.at,
                Record::decode(author, &record.payload)?,
            ));
        }
        Ok(records)
    }

    /// What they add up to.
    pub(crate) async fn fold(&self) -> anyhow::Result<Fold> {
        let mut fold = Fold::new(self.run.clone());
        for (sequence, at, record) in self.records().await? {
            fold.apply(sequence, at, &record);
        }
        Ok(fold)
    }

    /// How many tiles workers said to have given back.
    pub(crate) async fn returned(&self) -> anyhow::Result<usize> {
        let tiles = |record: &Record| match record {
            Record::Work(WorkRecord::Returned { tiles, .. }) => tiles.len(),
            _ => 0,
        };
        Ok(self
            .records()
            .await?
            .iter()
            .map(|(_, _, record)| tiles(record))
            .sum())
    }

    /// How many tiles are on the queue, waiting or held.
    pub(crate) async fn queued(&self) -> anyhow::Result<u64> {
        let shards = self.broker.subjects().shards();
        let filter = self.broker.subjects().all_shards();
        Ok(self
            .broker
            .subjects_of(&shards, &filter)
            .await?
            .values()
            .sum())
    }

    /// Waits until every tile is acknowledged, and gives the fold; no record was unexpected.
    pub(crate) async fn until_acknowledged(&self) -> anyhow::Result<Fold> {
        let empty = eventually(SOON, "the queue is empty", async || {
            Ok(self.queued().await? == 0)
        })
        .await;
        let fold = self.fold().await?;
        empty.with_context(|| format!("{:?}", fold.counts()))?;
        ensure!(fold.counts().unexpected == 0, "{:?}", fold.counts());
        ensure!(
            fold.open_tiles().is_empty(),
            "acknowledged without an outcome: {:?}",
            fold.open_tiles()
        );
        Ok(fold)
    }
}

/// A worker that runs in the background.
pub(crate) struct Running {
    stop: Stop,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    pub(crate) fn start(builder: Builder) -> anyhow::Result<Running> {
        let worker = builder.build()?;
        Ok(Running {
            stop: worker.stop_handle(),
            task: tokio::spawn(worker.run()),
        })
    }

    /// Stops it and waits until it has ended.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.stop();
        tokio::time::timeout(SOON, self.task)
            .await
            .context("wait until the worker has stopped")???;
        Ok(())
    }
}
