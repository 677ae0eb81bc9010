//! Whatever somebody writes who has a worker's password: nobody crashes or grows without bound, runs go on once it
//! stops, and all of it is counted and told.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures_util::StreamExt;
use gridloom_cli::embedded::Options as ServerOptions;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::id::{Fence, HandlerName, QueueName, RunId, Session, WorkerName};
use gridloom_shared::ledger::outcomes::{self, Column, Entry, Status};
use gridloom_shared::ledger::record::{Reason, Record, Takeover, WorkRecord};
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::ledger;
use gridloom_shared::tile::{TileKind, TileRef};
use gridloom_shared::wire;
use gridloom_tests::http::{metric, served_at};
use gridloom_tests::process::{Gridloom, Process};
use gridloom_tests::roles::{Raw, accounts};
use gridloom_tests::scenario::{ACK_DEADLINE, NAMESPACE, Stage, play_on};
use gridloom_tests::seed::Seed;
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(90);
/// Messages of each kind.
const EACH: u64 = 600;
/// What a planner may take more for all that, in bytes: what it keeps of workers is bounded by half of it.
const GROWTH: u64 = 96 << 20;

/// Starts a service as the user whose name it has.
async fn start(stage: &Stage, service: &str) -> anyhow::Result<Process> {
    let url = stage.server.url();
    let url = url.replace("//", &format!("//{service}:{service}@"));
    Gridloom::new([service])?
        .env("GRIDLOOM_NATS", url)
        .env("GRIDLOOM_NAMESPACE", NAMESPACE)
        .env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE)
        .start()
        .await
}

/// A broker with the roles, a planner, two workers and the job `steady`.
async fn play(
    job: &str,
    scenario: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let options = ServerOptions {
        server_config: accounts(NAMESPACE)?,
        ..ServerOptions::default()
    };
    let server = TestServer::start_with(options).await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let planner = start(stage, "planner").await?;
        stage.planners.push(planner);
        for _ in 0..2 {
            let worker = start(stage, "worker").await?;
            stage.workers.push(worker);
        }
        stage.apply(job).await?;
        scenario(stage).await
    })
    .await
}

/// Makes up what no worker would say, the same from the same seed.
struct Spray {
    seed: Seed,
    run: RunId,
}

impl Spray {
    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.seed.below(most);
        (0..length).map(|_| self.seed.next_u64() as u8).collect()
    }

    /// Headers that promise more than there is, or more depth than anybody looks into.
    fn giant(&mut self) -> Vec<u8> {
        let head: &[u8] = match self.seed.below(6) {
            0 => b"\x82\xa1v\x01\xa4body\xdf\xff\xff\xff\xff",
            1 => b"\x82\xa1v\x01\xa4body\xdd\xff\xff\xff\xff",
            2 => b"\x82\xa1v\x01\xa4body\xc6\xff\xff\xff\xff",
            3 => b"\x82\xa1v\x01\xa4body\xdb\xff\xff\xff\xff",
            4 => return vec![0x91; 20_000],
            _ => b"\x82\xa1v\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa4body\xc0",
        };
        head.to_vec()
    }

    /// What calls itself newer than anybody is: of the next version, of a far one, of the last that there can be.
    fn newer(&mut self) -> Vec<u8> {
        let body: &[u8] =
            [&b"\xa4body\xc0"[..], b"\xa4next\xc0", b"\xa5other\x01"][self.seed.below(3) as usize];
        let head: &[u8] = [
            &b"\x82\xa1v\x02"[..],
            b"\x82\xa1v\x09",
            b"\x82\xa1v\xcd\xff\xff",
        ][self.seed.below(3) as usize];
        [head, body].concat()
    }

    /// For a key that holds a number.
    fn number_of(&mut self) -> Bytes {
        match self.seed.below(2) {
            0 => self.bytes(40).into(),
            _ => self.newer().into(),
        }
    }

    fn session(&mut self) -> Session {
        Session(self.seed.next_u64())
    }

    /// One of the run's tiles, or none that there is.
    fn tile(&mut self) -> TileRef {
        TileRef {
            wave: [0, 0, 1, u32::MAX][self.seed.below(4) as usize],
            index: [0, 7, 99, u32::MAX][self.seed.below(4) as usize],
        }
    }

    fn number(&mut self) -> u64 {
        [0, 1, u64::MAX, self.seed.next_u64()][self.seed.below(4) as usize]
    }

    /// Outcomes of cells that were never issued, under fences that never were.
    fn outcomes(&mut self) -> WorkRecord {
        let entry = Entry {
            tile: self.tile(),
            kind: TileKind::Page,
            fence: Fence(self.number()),
            slice: 60_000 + self.seed.below(1_000) as u32,
            first: self.seed.below(1 << 30) as u32,
            pages: 1_000,
            status: Status::Done,
            columns: vec![Column::of(
                format!("c{}", self.seed.below(1 << 40)),
                vec![1; 1_000],
            )],
            results: Vec::new(),
        };
        let block = match self.seed.below(8) {
            0 => self.bytes(2_000).into(),
            // Two bytes an entry, as many as there is room for.
            1 => {
                let mut block = vec![0, 0b111_0000, 0];
                block.resize(900_000, 0);
                Bytes::from(block)
            }
            _ => Bytes::from(outcomes::encode([&entry])),
        };
        WorkRecord::Outcomes {
            session: self.session(),
            number: self.number(),
            block,
        }
    }

    fn work(&mut self) -> WorkRecord {
        let (session, number) = (self.session(), self.number());
        match self.seed.below(4) {
            0 => WorkRecord::Started {
                session,
                number,
                tile: self.tile(),
                page: self.seed.next_u64() as u32,
                fence: Fence(self.number()),
            },
            1 => WorkRecord::Returned {
                session,
                number,
                tiles: (0..self.seed.below(500)).map(|_| self.tile()).collect(),
            },
            _ => self.outcomes(),
        }
    }

    fn takeover(&mut self) -> Takeover {
        let reasons = [
            Reason::Count,
            Reason::Floor,
            Reason::Again,
            Reason::Returned,
        ];
        Takeover {
            session: self.session(),
            number: self.number(),
            tiles: (0..self.seed.below(20)).map(|_| self.tile()).collect(),
            reason: reasons[self.seed.below(4) as usize],
        }
    }

    /// A worker that nobody is, on as many lanes as one can have.
    fn presence(&mut self) -> anyhow::Result<Presence> {
        let lanes = 1 + self.seed.below(14);
        let name = |kind: &str, n: u64| format!("{kind}{n:045}");
        Ok(Presence {
            worker: WorkerName::new(format!("liar-{}", self.seed.next_u64()))?,
            session: self.session(),
            queues: std::iter::once(QueueName::new("default"))
                .chain((1..lanes).map(|n| QueueName::new(name("q", n))))
                .collect::<Result<_, _>>()?,
            handlers: (0..lanes)
                .map(|n| HandlerName::new(name("h", n)))
                .collect::<Result<_, _>>()?,
            capacity: 20_000,
            in_flight: self.seed.next_u64() as u32,
            version: "9".repeat(60),
            wire: Default::default(),
            started_at: gridloom_shared::clock::UnixMs(self.seed.next_u64()),
            at: gridloom_shared::clock::UnixMs(self.seed.next_u64()),
            stopping: self.seed.below(2) == 0,
            gone: false,
            named: Default::default(),
            tolls: Vec::new(),
            ack_deadlines_ms: vec![self.seed.next_u64(); lanes as usize],
            knows: vec!["sql/x".into(); 60],
            trouble: "t".repeat(1_000),
        })
    }

    fn payload(&mut self, made: Bytes) -> Bytes {
        match self.seed.below(5) {
            0 => self.bytes(3_000).into(),
            1 => self.giant().into(),
            2 => self.newer().into(),
            _ => made,
        }
    }

    /// One message of each kind that a worker may write.
    fn round(&mut self) -> anyhow::Result<Vec<(String, Bytes)>> {
        let ours = self.seed.below(4) == 0;
        let stranger = format!("nobody_r_{:032x}", self.seed.next_u64());
        let run = if ours { self.run.to_string() } else { stranger };
        let (work, takeover) = (wire::encode(&self.work()), wire::encode(&self.takeover()));
        let presence = self.presence()?;
        let (session, said) = (presence.session, wire::encode(&presence));
        let random = self.seed.next_u64();
        Ok(vec![
            (
                format!("test.ledger.default.{run}.work"),
                self.payload(work),
            ),
            (
                format!("test.ledger.default.{run}.takeover"),
                self.payload(takeover),
            ),
            (format!("test.presence.{session}"), said.clone()),
            (
                format!("test.presence.{session}x"),
                self.payload(said.clone()),
            ),
            (format!("$KV.test-workers.{session}"), self.payload(said)),
            (
                format!("$KV.test-state.floor.default_noop-1.{random}"),
                self.number_of(),
            ),
            (
                "$KV.test-state.consumer.default.noop".into(),
                self.number_of(),
            ),
            ("test.bell.default.noop".into(), self.bytes(200).into()),
            (
                format!("$JS.ACK.test-shards.default_noop-1.1.{random}.{random}.1.1"),
                [&b"+TERM"[..], b"-NAK", b"+ACK", b"+WPI", b"nonsense"]
                    [self.seed.below(5) as usize]
                    .into(),
            ),
        ])
    }
}

/// Answers whatever is asked of any worker, with nonsense: those who are nobody seem to live.
async fn answer_for_everybody(raw: &Raw) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let mut asked = Vec::new();
    for subject in [
        "test.probe.*",
        "test.holdings.*",
        "test.roll-call",
        "test.broadcast",
    ] {
        asked.push(raw.client.subscribe(subject).await?);
    }
    let client = raw.client.clone();
    Ok(tokio::spawn(async move {
        let mut asked = futures_util::stream::select_all(asked);
        while let Some(question) = asked.next().await {
            if let Some(reply) = question.reply {
                let _ = client.publish(reply, "nonsense".into()).await;
            }
        }
    }))
}

/// What `doctor` says of `check`.
async fn doctor(stage: &Stage, check: &str) -> anyhow::Result<Vec<Value>> {
    let said = stage.cli(&["doctor", "--json"], LONG).await?.json()?;
    let all = said.as_array().context("a list of checks")?;
    let found = all.iter().filter(|found| found["check"] == check);
    Ok(found.cloned().collect())
}

async fn all_kinds_are_counted(planner: &str) -> anyhow::Result<()> {
    eventually(SOON, "all kinds are counted", async || {
        for kind in ["work", "takeover", "presence", "registration"] {
            let name = format!("gridloom_records_odd_total{{kind=\"{kind}\"}}");
            let counted = metric(planner, &name).await?;
            if counted.is_none_or(|count| count < 1.0) {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

/// What calls itself newer is nonsense. Whoever is announced has a build.
async fn nobody_waits_for_a_newer_build(stage: &Stage, planner: &str) -> anyhow::Result<()> {
    let versions = doctor(stage, "versions").await?;
    let well = |line: &Value| line["result"] == "ok" || line["key"] == "builds-differ";
    assert!(versions.iter().all(well), "{versions:?}");
    let newer = metric(planner, "gridloom_newer_version").await?;
    assert_eq!(newer, Some(0.0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_worker_may_write_stops_nobody_and_is_told() -> anyhow::Result<()> {
    let job = "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 100 }\ntile = 4\n\
        [retry]\nmax_attempts = 20\n";
    play(job, async |stage| {
        let job = gridloom_shared::id::JobName::new("steady")?;
        let run = stage.submit(&job, &json!({"sleep_ms": 100})).await?;
        stage.done(&run, 20, SOON).await?;
        let before = stage.planners[0].peak().context("a planner")?;
        let hostile = Raw::connect(&stage.server.url(), "worker").await?;
        let answering = answer_for_everybody(&hostile).await?;
        let mut spray = Spray {
            seed: Seed::from_env()?,
            run: run.clone(),
        };
        for _ in 0..EACH {
            for (subject, payload) in spray.round()? {
                hostile.client.publish(subject, payload).await?;
            }
        }
        hostile.client.flush().await?;
        let address = served_at(&stage.planners[0]).await?;
        all_kinds_are_counted(&address).await?;
        let found = doctor(stage, "records").await?;
        assert!(
            found.len() == 1 && found[0]["result"] == "note",
            "{found:?}"
        );
        nobody_waits_for_a_newer_build(stage, &address).await?;
        let numbers = doctor(stage, "numbers").await?;
        assert!(numbers.len() <= 6, "{numbers:?}");
        let mut workers = doctor(stage, "workers").await?;
        workers.retain(|line| line["key"] == "odd-registration");
        assert_eq!(workers.len(), 6, "five, and how many more: {workers:?}");
        let listed = stage.cli(&["workers"], LONG).await?.succeeded()?;
        let told = listed.stderr.matches("is left out").count();
        assert_eq!(told, 20, "{}", listed.stderr);
        answering.abort();
        drop(hostile);
        stage.closed(&run, LONG).await?;
        let audit = stage
            .cli(&["audit", run.as_str(), "--json"], SOON)
            .await?
            .json()?;
        for (what, count) in [("committed", 400), ("lost_cells", 0), ("twice_cells", 0)] {
            assert_eq!(audit[what], count, "{audit}");
        }
        assert!(audit["unexpected_records"].as_u64() > Some(0), "{audit}");
        let grown = stage.planners[0].peak().context("a planner")? - before;
        assert!(grown < GROWTH, "the planner took {grown} bytes more");
        for process in stage.planners.iter_mut().chain(&mut stage.workers) {
            assert!(process.is_running()?);
            let said = process.stderr();
            assert!(!said.contains("panicked"), "{said}");
            let told = said.matches("makes no sense; told once a minute").count();
            assert!(told < 5, "it was told {told} times");
        }
        // And the next run is as any other.
        let next = stage.submit(&job, &json!({})).await?;
        stage.closed(&next, LONG).await?;
        let audit = stage.cli(&["audit", next.as_str()], SOON).await?;
        audit.succeeded()?;
        Ok(())
    })
    .await
}

/// The fence under which a run's only tile was done: its wave's, or a takeover's where the machine was slow.
async fn fence_of_success(stage: &Stage, run: &RunId) -> anyhow::Result<Fence> {
    let mut fence = None;
    let take = |entry: ledger::Entry| {
        if let Ok(Record::Work(WorkRecord::Outcomes { block, .. })) = &entry.record
            && let Ok(entries) = outcomes::decode(block)
        {
            let done = entries.iter().find(|entry| entry.status == Status::Done);
            fence = fence.or(done.map(|done| done.fence));
        }
    };
    ledger::of_run(&stage.broker, run, 0, take).await?;
    fence.context("an outcome")
}

#[tokio::test(flavor = "multi_thread")]
async fn success_that_is_forged_beside_a_real_one_is_told_as_a_breach() -> anyhow::Result<()> {
    let job = "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 4 }\ntile = 4\n";
    play(job, async |stage| {
        let job = gridloom_shared::id::JobName::new("steady")?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        stage
            .cli(&["audit", run.as_str()], SOON)
            .await?
            .succeeded()?;
        let fence = fence_of_success(stage, &run).await?;
        let forged = Entry {
            tile: TileRef { wave: 0, index: 0 },
            kind: TileKind::Page,
            fence,
            slice: 0,
            first: 0,
            pages: 4,
            status: Status::Done,
            columns: Vec::new(),
            results: Vec::new(),
        };
        let record = WorkRecord::Outcomes {
            session: Session(7),
            number: 1,
            block: outcomes::encode([&forged]).into(),
        };
        let hostile = Raw::connect(&stage.server.url(), "worker").await?;
        let subject = format!("test.ledger.default.{run}.work");
        hostile
            .client
            .request(subject, wire::encode(&record))
            .await?;
        let audit = stage.cli(&["audit", run.as_str(), "--json"], SOON).await?;
        assert_eq!(audit.code, 1, "{}", audit.stdout);
        assert_eq!(audit.json()?["twice_cells"], 4);
        Ok(())
    })
    .await
}
