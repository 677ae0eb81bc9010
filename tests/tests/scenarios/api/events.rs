//! What is told as it happens: nothing is missed by whoever is cut off, on whichever planner they come back; and readers
//! cost next to nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use gridloom_shared::id::RunId;
use gridloom_tests::process::Process;
use tokio::time::{Instant, timeout};

use super::stream::{Stream, View};
use super::*;

/// How often a reader is cut off.
const CUTS: u32 = 100;
/// How many read at once.
const READERS: usize = 500;

/// A topic, and what is waited for of it.
type Wanted<'w> = (&'w str, &'w dyn Fn(&Value) -> bool);

/// A run that takes a while, of shards of which some fail.
async fn begin(stage: &mut Stage, pages: u32, params: &Value) -> anyhow::Result<RunId> {
    let job = format!(
        "name = \"long\"\nhandler = \"noop\"\n[grid]\nslices = 16\npages = {{ count = {pages} }}\ntile = 1\n\
         [retry]\nmax_attempts = 2\nbackoff = {{ initial = \"200ms\", factor = 1.0 }}"
    );
    let job = stage.apply(&job).await?;
    stage.submit(&job, params).await
}

async fn leads(stage: &Stage) -> anyhow::Result<()> {
    eventually(
        SOON,
        "a planner leads",
        async || Ok(stage.term().await? > 0),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_that_is_cut_off_a_hundred_times_misses_nothing_on_either_planner()
-> anyhow::Result<()> {
    play(async |stage| {
        let planners = [start(stage, &[]).await?, start(stage, &[]).await?];
        stage.start_worker(32, &[]).await?;
        leads(stage).await?;
        let params = json!({ "sleep_ms": 60, "fail_percent": 20 });
        let run = begin(stage, 1_000, &params).await?;
        let topics = format!("run:{run},runs");
        let mut view = View::default();
        for cut in 0..CUTS {
            let planner = &planners[stage.seed.below(2) as usize];
            let mut stream = Stream::open(planner, &topics, view.id.as_deref()).await?;
            let ends = Instant::now()
                + stage
                    .seed
                    .between(Duration::ZERO, Duration::from_millis(400));
            // In the middle of an event, too.
            while let Ok(event) = timeout(ends - Instant::now(), stream.next()).await {
                view.take(&run, &event?.context("the stream ended")?)?;
            }
            if cut % 10 == 9 && view.id.is_some() {
                view.judge(&stage.broker, &run).await?;
            }
        }
        ensure!(
            view.run["state"] == "running",
            "too soon over: {}",
            view.run
        );
        let mut stream = Stream::open(&planners[0], &topics, view.id.as_deref()).await?;
        while view.run["state"] == "running" {
            let event = timeout(SOON, stream.next()).await??;
            view.take(&run, &event.context("the stream ended")?)?;
        }
        view.judge(&stage.broker, &run).await?;
        // Each time it went on where it was: never anew.
        ensure!(view.resets == 1, "{} resets", view.resets);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_standby_go_on_when_the_leader_is_killed() -> anyhow::Result<()> {
    play(async |stage| {
        let leader = start(stage, &[]).await?;
        leads(stage).await?;
        let standby = start(stage, &[]).await?;
        stage.start_worker(8, &[]).await?;
        let run = begin(stage, 60, &json!({ "sleep_ms": 50 })).await?;
        let topics = format!("run:{run},planners");
        let mut view = View::default();
        let mut stream = Stream::open(&standby, &topics, None).await?;
        let mut of_leader = Stream::open(&leader, &topics, None).await?;
        let first = of_leader.until("the first", |_| true).await?;
        stage.planners[0].kill().await?;
        while view.run["state"] != "succeeded" {
            let event = timeout(SOON, stream.next()).await??;
            view.take(&run, &event.context("the stream ended")?)?;
        }
        view.judge(&stage.broker, &run).await?;
        ensure!(view.resets == 1);
        // Whoever read there comes back here, and goes on.
        let mut back = Stream::open(&standby, &topics, Some(&first.id)).await?;
        let event = back.until("what was missed", |_| true).await?;
        ensure!(
            event.kind == "change" && event.of(&format!("run:{run}")).is_some(),
            "{event:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_topic_is_told_when_it_changes() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        leads(stage).await?;
        let topics = "runs,jobs,queues,workers,planners,pauses,dead,run:long_s_1";
        let mut stream = Stream::open(&api, topics, None).await?;
        ensure!(
            stream.head.contains("content-type: text/event-stream"),
            "{}",
            stream.head
        );
        ensure!(!stream.head.contains("content-encoding"), "{}", stream.head);
        let all = stream
            .until("all of it", |event| event.kind == "reset")
            .await?;
        for topic in topics.split(',') {
            ensure!(all.of(topic).is_some(), "{topic}: {all:?}");
        }
        ensure!(all.of("runs") == Some(&json!({ "topic": "runs", "load": true })));
        ensure!(
            all.of("workers")
                .is_some_and(|line| line["items"] == json!([]))
        );
        ensure!(all.of("dead") == Some(&json!({ "topic": "dead", "runs": 0, "shards": 0 })));
        let absent = all
            .of("run:long_s_1")
            .map(|line| kind(&line["problem"]).to_owned());
        ensure!(absent.as_deref() == Some("not-found"), "{all:?}");

        let freeze = json!({ "note": "moving" });
        ensure!(api.order(("POST", "/freeze"), Some(&freeze)).await?.0 < 300);
        stage.start_worker(4, &[]).await?;
        let params = json!({ "fail_percent": 100, "permanent": true });
        let run = begin(stage, 2, &params).await?;
        let failed = |line: &Value| {
            let items = line["items"].as_array().into_iter().flatten();
            let mut items = items.filter(|one| one["run"] == run.as_str());
            items.any(|one| one["state"] == "failed")
        };
        let mut waited_for: Vec<Wanted<'_>> = vec![
            ("pauses", &|line| line["items"][0]["note"] == "moving"),
            ("workers", &|line| {
                line["items"].as_array().is_some_and(|all| all.len() == 1)
            }),
            ("jobs", &|line| line["changed"] == json!(["long"])),
            ("runs", &failed),
            ("dead", &|line| line["runs"] == 1 && line["shards"] == 32),
        ];
        // In whichever order, and several in one event.
        while !waited_for.is_empty() {
            let topics: Vec<&str> = waited_for.iter().map(|(topic, _)| *topic).collect();
            let event = stream.until(&format!("{topics:?}"), |_| true).await?;
            waited_for.retain(|(topic, is_meant)| !event.of(topic).is_some_and(is_meant));
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_was_not_there_is_told_once_it_is() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &["--api-base-path", "/grid", "--api-read-only"]).await;
        // Under another path; what is read-only tells all the same.
        let under = Api {
            address: api?.address,
            token: None,
        };
        eventually(SOON, "it tells", async || {
            let path = "/grid/api/v1/events?topics=runs";
            Ok(Stream::begin(&under, path, None).await.is_ok())
        })
        .await?;

        let api = start(stage, &[]).await?;
        stage.start_worker(4, &[]).await?;
        leads(stage).await?;
        let job = stage
            .apply("name = \"late\"\nhandler = \"noop\"\n[grid]\nslices = 2")
            .await?;
        let run = RunId::from_request(&job, "asked");
        let mut stream = Stream::open(&api, &format!("run:{run}"), None).await?;
        stream
            .until("that it is not there", |event| event.kind == "reset")
            .await?;
        let topic = format!("run:{run}");
        let (post, key) = (("POST", "/jobs/late/runs"), ("idempotency-key", "asked"));
        let submitted = api.ask(post, &[key], Some(&json!({}))).await?;
        ensure!(submitted.status < 300);
        let whole = |line: &Value| line["grid"]["slices"] == 2;
        let told = stream.until("all of it", |event| event.of(&topic).is_some_and(whole));
        let mut view = View::default();
        view.take(&run, &told.await?)?;
        while view.run["state"] != "succeeded" {
            let event = timeout(SOON, stream.next()).await??;
            view.take(&run, &event.context("the stream ended")?)?;
        }
        view.judge(&stage.broker, &run).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_cannot_be_gone_on_from_begin_anew_and_bad_topics_are_problems()
-> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let mut stream = Stream::open(&api, "runs", None).await?;
        let here = stream.until("the first", |_| true).await?.id;
        let of = here.rsplit('.').next().context("which streams")?;
        let (other, ahead) = (format!("1.0.0.0.{of}0"), format!("1.{}.0.0.{of}", u64::MAX));
        for anew in [
            "nonsense",
            "1.0.0.0.0",
            "1.0.0.0",
            other.as_str(),
            ahead.as_str(),
        ] {
            let mut stream = Stream::open(&api, "runs", Some(anew)).await?;
            let first = stream.until(anew, |_| true).await?;
            ensure!(first.kind == "reset", "{anew}: {first:?}");
        }
        let mut stream = Stream::open(&api, "runs,dead", Some(&here)).await?;
        let first = stream.until("what is there", |_| true).await?;
        ensure!(
            first.kind == "change" && first.of("runs") == Some(&unchanged("runs")),
            "{first:?}"
        );
        // Where nothing at all is new, that is said at once: whoever shows it knows that it is up to date.
        let mut stream = Stream::open(&api, "jobs,runs", Some(&here)).await?;
        let first = timeout(SOON, stream.next()).await??;
        let first = first.context("the stream ended")?;
        ensure!(
            (first.kind.as_str(), first.lines)
                == ("change", vec![unchanged("runs"), unchanged("jobs")])
        );
        let many = (0..5).map(|n| format!("run:a_s_{n}"));
        let many = many.collect::<Vec<_>>().join(",");
        for topics in ["", "weather", "run:none", many.as_str()] {
            let reply = api
                .ask(("GET", &format!("/events?topics={topics}")), &[], None)
                .await?;
            ensure!(
                (reply.status, kind(&reply.json())) == (400, "invalid"),
                "{topics}"
            );
        }
        let reply = api.ask(("GET", "/events"), &[], None).await?;
        ensure!((reply.status, kind(&reply.json())) == (400, "invalid"));
        Ok(())
    })
    .await
}

/// What is said of a topic that stands as its reader was told.
fn unchanged(topic: &str) -> Value {
    json!({ "topic": topic, "unchanged": true })
}

/// A run of a job that has one shard, by a request id of its own.
async fn ended(stage: &mut Stage, api: &Api, id: &str) -> anyhow::Result<String> {
    let (post, key) = (("POST", "/jobs/short/runs"), ("idempotency-key", id));
    let submitted = api.ask(post, &[key], Some(&json!({}))).await?;
    ensure!(submitted.status < 300, "{}", submitted.json());
    let run = RunId::from_request(&"short".parse()?, id);
    stage.closed(&run, SOON).await?;
    Ok(run.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_retention_removes_is_told_as_gone_to_those_who_were_away_too()
-> anyhow::Result<()> {
    play(async |stage| {
        let flags = ["--retention-most", "1", "--retention-every", "200ms"];
        let leader = start(stage, &flags).await?;
        leads(stage).await?;
        let standby = start(stage, &flags).await?;
        stage.start_worker(4, &[]).await?;
        stage
            .apply("name = \"short\"\nhandler = \"noop\"\n[grid]\nslices = 1")
            .await?;
        let one = ended(stage, &leader, "one").await?;
        let listed = async |api: &Api| {
            let runs = api.get("/runs").await?;
            anyhow::Ok(runs["items"].as_array().map_or(0, Vec::len))
        };
        ensure!(listed(&leader).await? == 1);
        let mut stream = Stream::open(&leader, "runs", None).await?;
        let here = stream.until("the first", |_| true).await?.id;
        let two = ended(stage, &leader, "two").await?;
        let gone = |run: &str| {
            let run = json!(run);
            move |event: &stream::Event| {
                let gone = event.of("runs").map(|line| &line["gone"]);
                let gone = gone.and_then(Value::as_array);
                gone.is_some_and(|gone| gone.contains(&run))
            }
        };
        let told = stream.until("that the first is gone", gone(&one)).await?;
        ensure!(
            !told.lines[0]["items"].to_string().contains(&one),
            "{told:?}"
        );
        // Whoever was away meanwhile is told, on whichever planner they come back; once is enough.
        for api in [&leader, &standby] {
            let mut back = Stream::open(api, "runs", Some(&here)).await?;
            let event = back.until("what was missed", |_| true).await?;
            ensure!(event.kind == "change" && gone(&one)(&event), "{event:?}");
            let mut back = Stream::open(api, "runs", Some(&event.id)).await?;
            let event = back.until("nothing more", |_| true).await?;
            ensure!(!gone(&one)(&event), "{event:?}");
        }
        ended(stage, &standby, "three").await?;
        stream.until("that the second is gone", gone(&two)).await?;
        Ok(())
    })
    .await
}

/// Seconds of a processor that the thread of a process has used.
fn used(process: &Process, thread: &str) -> anyhow::Result<f64> {
    let tasks = format!("/proc/{}/task", process.pid());
    for task in std::fs::read_dir(tasks)? {
        let path = task?.path();
        if std::fs::read_to_string(path.join("comm"))?.trim() == thread {
            let text = std::fs::read_to_string(path.join("stat"))?;
            let fields = text.rsplit(") ").next().unwrap_or_default();
            let ticks = fields.split(' ').skip(11).take(2);
            let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
            return Ok(ticks / 100.0);
        }
    }
    anyhow::bail!("no thread {thread}")
}

/// A run of a million shards, of which 5,000 a second are issued.
async fn begin_large(stage: &mut Stage) -> anyhow::Result<RunId> {
    let job = stage
        .apply("name = \"big\"\nhandler = \"noop\"\n[grid]\nslices = 64\npages = { count = 15625 }\n[limits]\nrate = \"5000/s\"")
        .await?;
    stage.submit(&job, &json!({ "sleep_ms": 1 })).await
}

/// What the thread of the API uses of a core while so many read, and what each of them gets.
async fn measured(stage: &mut Stage, api: &Api, readers: usize) -> anyhow::Result<f64> {
    const LASTS: Duration = Duration::from_secs(10);
    let run = begin_large(stage).await?;
    let topics = format!("run:{run},runs");
    let mut streams = Vec::new();
    for _ in 0..readers {
        streams.push(Stream::open(api, &topics, None).await?);
    }
    let (events, lines) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // One reads what it is told; the others take it.
    let reading = streams
        .iter_mut()
        .enumerate()
        .map(async |(number, stream)| {
            if number > 0 {
                return stream.pass_over().await;
            }
            while let Ok(Some(event)) = stream.next().await {
                events.fetch_add(1, Ordering::Relaxed);
                lines.fetch_add(event.lines.len(), Ordering::Relaxed);
            }
        });
    let reading = async {
        futures_util::future::join_all(reading).await;
        if readers == 0 {
            std::future::pending::<()>().await;
        }
    };
    let measuring = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let planner = stage.planners.last().context("the planner")?;
        let before = used(planner, "gridloom-api")?;
        let seen = (
            events.load(Ordering::Relaxed),
            lines.load(Ordering::Relaxed),
        );
        let done = |run: Value| run["shards"]["done"].as_u64().unwrap_or(0);
        let path = format!("/runs/{run}");
        let (begun, first) = (Instant::now(), done(api.get(&path).await?));
        tokio::time::sleep(LASTS).await;
        let shards = done(api.get(&path).await?) - first;
        let (passed, after) = (
            begun.elapsed().as_secs_f64(),
            used(planner, "gridloom-api")?,
        );
        let share = (after - before) / passed;
        eprintln!(
            "{readers} readers: {:.1} % of a core; {:.0} shards/s, {:.1} events/s with {:.1} lines/s for each",
            share * 100.0,
            shards as f64 / passed,
            (events.load(Ordering::Relaxed) - seen.0) as f64 / passed,
            (lines.load(Ordering::Relaxed) - seen.1) as f64 / passed,
        );
        anyhow::Ok(share)
    };
    let share = tokio::select! {
        share = measuring => share?,
        () = reading => anyhow::bail!("all readers were cut off"),
    };
    drop(streams);
    ensure!(
        api.order(("POST", &format!("/runs/{run}/cancel")), None)
            .await?
            .0
            < 300
    );
    stage.closed(&run, SOON).await?;
    Ok(share)
}

/// `cargo test --release -p gridloom-tests --test scenarios -- --ignored api::events --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute, for figures"]
async fn five_hundred_readers_cost_less_than_a_tenth_of_a_core() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        stage.start_worker(64, &[]).await?;
        leads(stage).await?;
        let alone = measured(stage, &api, 0).await?;
        let one = measured(stage, &api, 1).await?;
        let many = measured(stage, &api, READERS).await?;
        let cost = many - alone;
        eprintln!(
            "of a core: {alone:.3} for nobody, {one:.3} for one reader, {many:.3} for {READERS}"
        );
        ensure!(cost < 0.1, "{READERS} readers cost {cost:.3} of a core");
        Ok(())
    })
    .await
}
