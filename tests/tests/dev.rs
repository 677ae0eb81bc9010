//! `gridloom dev` as a user sees it: the first steps of the README, and what `--data` keeps.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_tests::collector::{Collector, Manner};
use gridloom_tests::database;
use gridloom_tests::http::ask;
use gridloom_tests::process::{Gridloom, Output, Process, is_alive, pid_in};
use gridloom_tests::wait::{eventually, eventually_some};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const README: &str = include_str!("../../README.md");
const SOON: Duration = Duration::from_secs(60);

/// The stack, and the broker that it says it has.
async fn dev(dir: &Path, args: &[&str]) -> anyhow::Result<(Process, String)> {
    let dev = Gridloom::new(["--json", "dev"])?.args(args.iter().copied());
    // That is set for other commands, and no wish of this one.
    let dev = dev.env("GRIDLOOM_NATS", "nats://127.0.0.1:1");
    let dev = dev.dir(dir).start().await?;
    let nats = eventually_some(SOON, "the stack says where it is", async || {
        let said = serde_json::from_str::<Value>(dev.stdout().trim()).ok();
        Ok(said.and_then(|said| Some(said["nats"].as_str()?.to_owned())))
    });
    let nats = nats.await.with_context(|| dev.stderr())?;
    Ok((dev, nats))
}

async fn gridloom(nats: &str, dir: &Path, args: &[&str]) -> anyhow::Result<Output> {
    let command = Gridloom::new(["--json", "--nats", nats])?;
    let command = command.args(args.iter().copied()).dir(dir);
    command.start().await?.finish(SOON).await?.succeeded()
}

/// Ends it as Ctrl-C would.
async fn end(mut stack: Process) -> anyhow::Result<()> {
    stack.terminate()?;
    stack.finish(SOON).await?.succeeded()?;
    Ok(())
}

/// The README's first job in any language: what its shell commands make and say.
fn python_job() -> anyhow::Result<&'static str> {
    let (_, section) = README
        .split_once("### In any other language")
        .context("a section")?;
    let (_, block) = section.split_once("```\n").context("a block")?;
    Ok(block.split_once("```").context("its end")?.0)
}

#[tokio::test]
async fn stack_on_another_port_tells_once_which_nats_server_it_uses() -> anyhow::Result<()> {
    // A stack of the tests beside this one may have it, and may end before this one looks: waited for.
    let free = eventually_some(SOON, "the port is this test's", async || {
        Ok(std::net::TcpListener::bind("127.0.0.1:4222").ok())
    });
    // Somebody else's, where it stays in use.
    let _other = free.await.ok();
    let dir = tempfile::tempdir()?;
    let (stack, nats) = dev(dir.path(), &[]).await?;
    assert!(!nats.ends_with(":4222"), "{nats}");
    let said = stack.stderr();
    assert!(said.contains("port 4222 is in use"), "{said}");
    assert_eq!(said.matches("using nats-server").count(), 1, "{said}");
    end(stack).await
}

/// A program with a handler, which says where its process is.
const PROGRAM: &str = r#"
import os, pathlib
import gridloom
worker = gridloom.Worker()
@worker.handler("resize")
def resize(shard):
    shard.rows(shard.page)
    print("resized", shard.page)
pathlib.Path(f"pid-{os.environ['GRIDLOOM_PROCESS']}").write_text(f"{os.getpid()}\n")
if __name__ == "__main__":
    worker.run()
"#;

#[tokio::test]
async fn stack_has_the_handlers_of_a_program_and_ends_with_it() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("program.py"), PROGRAM)?;
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python/src");
    let dev = Gridloom::new(["--json", "dev", "--port", "0", "--processes", "2"])?;
    let dev = dev.args(["--", "python3", "program.py"]).dir(dir.path());
    let mut stack = dev.env("PYTHONPATH", sdk).start().await?;
    let said = eventually_some(SOON, "the stack says what it has", async || {
        Ok(serde_json::from_str::<Value>(stack.stdout().trim()).ok())
    });
    let said = said.await.with_context(|| stack.stderr())?;
    assert_eq!(said["handlers"], serde_json::json!(["noop", "resize"]));
    let nats = said["nats"].as_str().context("an address")?;
    let job = "name = \"r\"\nhandler = \"resize\"\n[grid]\npages = { count = 5 }";
    std::fs::write(dir.path().join("job.toml"), job)?;
    gridloom(nats, dir.path(), &["job", "apply", "job.toml"]).await?;
    let run = gridloom(nats, dir.path(), &["run", "r", "--wait"]).await?;
    let last = run.stdout.lines().last().unwrap_or_default();
    assert_eq!(serde_json::from_str::<Value>(last)?["rows"], 10);
    eventually(SOON, "what the program writes is shown", async || {
        Ok(stack.stderr().contains("resized 4"))
    })
    .await?;
    let pids = ["pid-0", "pid-1"].map(|name| dir.path().join(name));
    eventually(SOON, "both are there", async || {
        Ok(pids.iter().all(|pid| pid_in(pid).is_some()))
    })
    .await?;
    stack.terminate()?;
    stack.finish(SOON).await?.succeeded()?;
    for pid in pids {
        let pid = pid_in(&pid).context("a pid")?;
        assert!(!is_alive(pid));
    }
    Ok(())
}

#[tokio::test]
async fn stack_whose_program_does_not_start_says_why() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let dev = Gridloom::new(["dev", "--port", "0", "--", "python3", "no-such-program.py"])?;
    let ended = dev.dir(dir.path()).start().await?.finish(SOON).await?;
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.contains("No such file or directory"),
        "{}",
        ended.stderr
    );
    Ok(())
}

#[tokio::test]
async fn port_0_is_whichever_is_free_and_the_console_is_where_it_is_said() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (stack, nats) = dev(dir.path(), &["--port", "0"]).await?;
    assert!(!nats.ends_with(":0"), "{nats}");
    // Its console answers where it says.
    let said: Value = serde_json::from_str(stack.stdout().trim())?;
    let console = said["console"].as_str().context("console")?;
    let address = console.strip_prefix("http://").context("an address")?;
    let page = ask(address.trim_end_matches('/'), ("GET", "/"), &[], None).await?;
    assert!(page.status == 200, "{page:?}");
    assert!(String::from_utf8_lossy(&page.body).contains("Gridloom"));
    end(stack).await
}

/// The first job file of the README, with the schedule that it has.
#[tokio::test]
async fn first_job_of_the_readme_fires_and_the_stack_says_when() -> anyhow::Result<()> {
    let (_, section) = README
        .split_once("## A first job of your own")
        .context("a section")?;
    let (_, file) = section.split_once("```toml\n").context("a file")?;
    let (file, _) = file.split_once("```").context("its end")?;
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("hello.toml"), file)?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let (text, url) = (port.to_string(), format!("nats://127.0.0.1:{port}"));
    let collector = Collector::start(Manner::Takes).await?;
    let dev = Gridloom::new(["dev", "--port", &text])?.dir(dir.path());
    let dev = dev.env("GRIDLOOM_OTLP_ENDPOINT", collector.url());
    let stack = dev.start().await?;
    let up = async || Ok(stack.stdout().contains("Ctrl-C ends it").then_some(()));
    eventually_some(SOON, "the stack is there", up).await?;
    let applied = gridloom(&url, dir.path(), &["job", "apply", "hello.toml"])
        .await?
        .json()?;
    assert_eq!(
        applied[0]["schedule"]["next"].as_array().map(Vec::len),
        Some(5),
        "{applied}"
    );
    assert_eq!(applied[0]["warnings"], serde_json::json!([]));
    let told = async || {
        Ok(stack
            .stdout()
            .contains("fires     hello next ")
            .then_some(()))
    };
    eventually_some(SOON, "the stack says when it fires", told).await?;
    let wanted = ["gridloom-planner", "gridloom-worker"];
    let run = gridloom(&url, dir.path(), &["run", "hello", "--wait"]);
    run.await?;
    let told = || collector.told().into_iter().map(|span| span.service);
    eventually(SOON, "planner and worker tell of the run", async || {
        let told: BTreeSet<String> = told().collect();
        Ok(wanted.iter().all(|service| told.contains(*service)))
    })
    .await?;
    end(stack).await
}

/// What the planner opened once the worker takes no more work would lie open, in the way of the next fires.
#[tokio::test]
async fn stack_that_stops_plans_no_more_while_its_worker_ends_what_it_has() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut stack, nats) = dev(dir.path(), &["--log", "error"]).await?;
    let job = "name = \"slow\"\nhandler = \"noop\"\n[params]\nsleep_ms = 8000\n[schedule]\nevery = \"1s\"\noverlap = \"allow\"";
    std::fs::write(dir.path().join("slow.toml"), job)?;
    gridloom(&nats, dir.path(), &["job", "apply", "slow.toml"]).await?;
    let run = eventually_some(SOON, "a run has begun", async || {
        let runs = gridloom(&nats, dir.path(), &["runs"]).await?.json()?;
        let run = runs[0]["run"].as_str().unwrap_or_default().to_owned();
        if run.is_empty() {
            return Ok(None);
        }
        let shown = gridloom(&nats, dir.path(), &["show", &run]).await?.json()?;
        Ok((shown["longest"][0].is_object() && shown["planner_answers"] == true).then_some(run))
    })
    .await?;
    stack.terminate()?;
    eventually_some(SOON, "the worker goes on, and nobody plans", async || {
        let shown = gridloom(&nats, dir.path(), &["show", &run]).await?.json()?;
        let held = shown["longest"][0].is_object();
        Ok((held && shown["planner_answers"] == false).then_some(()))
    })
    .await?;
    stack.finish(SOON).await?.succeeded()?;
    Ok(())
}

/// The README's job on a million rows: its statements, its file, what it is said to come to.
#[tokio::test]
async fn sql_job_of_the_readme_raises_each_of_a_million_rows_once() -> anyhow::Result<()> {
    let Ok(server) = database::postgres() else {
        assert!(std::env::var_os("CI").is_none(), "no PostgreSQL in CI");
        return Ok(());
    };
    let mut link = eventually_some(SOON, "PostgreSQL answers", async || {
        Ok(PgConnection::connect(&server.url).await.ok())
    })
    .await?;
    let (_, section) = README.split_once("### In SQL").context("a section")?;
    let (section, _) = section.split_once("\n### ").context("its end")?;
    let (_, made) = section.split_once("```sql\n").context("a table")?;
    let (made, rest) = made.split_once("```").context("its end")?;
    sqlx::raw_sql(AssertSqlSafe(made.to_owned()))
        .execute(&mut link)
        .await?;
    let (_, block) = rest.split_once("```\n").context("a job")?;
    let (files, typed) = block
        .split_once("export GRIDLOOM_WORKER_DATABASES=")
        .context("it")?;
    let (name, _) = typed.split_once('=').context("a name")?;
    let dir = tempfile::tempdir()?;
    let made = Gridloom::program("/bin/sh", ["-e", "-c", files]).dir(dir.path());
    made.start().await?.finish(SOON).await?.succeeded()?;
    let known = format!("{name}={}", server.url);
    let (stack, nats) = dev(dir.path(), &["--database", &known]).await?;
    let commands = typed
        .lines()
        .filter_map(|line| line.strip_prefix("gridloom "));
    let mut said = String::new();
    for line in commands.filter(|line| !line.starts_with("dev")) {
        let words = line.split('#').next().unwrap_or_default();
        let args: Vec<&str> = words.split_whitespace().collect();
        said = gridloom(&nats, dir.path(), &args).await?.stdout;
    }
    end(stack).await?;
    let last: Value = serde_json::from_str(said.lines().last().context("what came of it")?)?;
    assert_eq!(
        (&last["rows"], &last["shards"]["done"]),
        (&1_000_000.into(), &1_000.into())
    );
    let once = "SELECT count(*) FROM prices WHERE cents = 105";
    let once: i64 = sqlx::query_scalar(once).fetch_one(&mut link).await?;
    assert_eq!(once, 1_000_000);
    Ok(())
}

#[tokio::test]
async fn python_job_of_the_readme_runs_as_typed_and_data_outlives_the_stack() -> anyhow::Result<()>
{
    let dir = tempfile::tempdir()?;
    let block = python_job()?;
    let (files, rest) = block.split_once("gridloom dev --exec '").context("dev")?;
    let (command, rest) = rest.split_once('\'').context("its command")?;
    let made = Gridloom::program("/bin/sh", ["-e", "-c", files]).dir(dir.path());
    made.start().await?.finish(SOON).await?.succeeded()?;
    let flags = ["--data", "kept", "--exec", command];
    let (stack, nats) = dev(dir.path(), &flags).await?;
    let typed = rest
        .lines()
        .filter_map(|line| line.strip_prefix("gridloom "));
    let mut ran = 0;
    for line in typed {
        let words = line.split('#').next().unwrap_or_default();
        let args: Vec<&str> = words.split_whitespace().collect();
        gridloom(&nats, dir.path(), &args).await?;
        ran += 1;
    }
    assert_eq!(ran, 2);
    let before = gridloom(&nats, dir.path(), &["runs"]).await?.json()?;
    end(stack).await?;
    ensure!(dir.path().join("kept/jetstream").is_dir());

    let (stack, nats) = dev(dir.path(), &flags).await?;
    let after = gridloom(&nats, dir.path(), &["runs"]).await?.json()?;
    end(stack).await?;
    assert_eq!(after, before);
    let (state, rows) = (&after[0]["state"], &after[0]["rows"]);
    assert_eq!((state, rows), (&"succeeded".into(), &1_000.into()));
    Ok(())
}

/// Children of a process that nobody has waited for.
fn zombies(parent: i32) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else {
            continue;
        };
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = fields.split_whitespace();
        let is_zombie = fields.next() == Some("Z");
        if is_zombie && fields.next() == Some(parent.to_string().as_str()) {
            all.push(stat);
        }
    }
    Ok(all)
}

#[tokio::test]
async fn stack_whose_broker_is_killed_starts_it_again_and_gives_up_one_that_does_not_stay()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut stack, nats) = dev(dir.path(), &["--data", "kept", "--log", "error"]).await?;
    // What it confirms is on the disk, as GUARANTEES.md says of it.
    let told = std::fs::read_to_string(dir.path().join("kept/nats.conf"))?;
    assert!(told.contains("sync_interval: always"), "{told}");
    let job = "name = \"hello\"\nhandler = \"noop\"\ngrid = { slices = 4 }";
    std::fs::write(dir.path().join("hello.toml"), job)?;
    gridloom(&nats, dir.path(), &["job", "apply", "hello.toml"]).await?;
    let pid_file = dir.path().join("kept/nats.pid");
    for killed in 1..=6 {
        let pid = pid_in(&pid_file).context("a broker")?;
        kill_process(pid, Signal::KILL)?;
        if killed == 6 {
            break;
        }
        eventually(SOON, "the stack has a broker again", async || {
            let said = stack.stderr();
            Ok(said.matches("the broker is there again").count() == killed)
        })
        .await?;
        let said = stack.stderr();
        assert!(
            said.contains("ended by signal 9: starting it again"),
            "{said}"
        );
        if killed == 1 {
            // On the same port, and with what its store had.
            gridloom(&nats, dir.path(), &["run", "hello", "--wait"]).await?;
            assert_eq!(zombies(stack.pid().as_raw_nonzero().get())?, [""; 0]);
        }
    }
    assert_eq!(stack.wait(SOON).await?, 1);
    let said = stack.stderr();
    assert!(said.contains("its last words"), "{said}");
    Ok(())
}
