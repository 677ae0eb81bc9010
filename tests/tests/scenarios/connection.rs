//! The way to the broker of real processes: every kind of credentials as flags, variables and file; what is said to who
//! stands in another account; credentials that change under those who work; and that no secret is ever shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use gridloom_cli::embedded::Options;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_tests::accounts::{Account, Operator};
use gridloom_tests::certificates::Authority;
use gridloom_tests::http::{get, served_at};
use gridloom_tests::logged::OWN_WORD;
use gridloom_tests::process::{Gridloom, Output, Process};
use gridloom_tests::scenario::{ACK_DEADLINE, NAMESPACE, play_on};
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;
use nkeys::KeyPair;
use serde_json::json;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);

/// One of those that are a way to the broker.
type Variable = (&'static str, String);

async fn start(config: String) -> anyhow::Result<TestServer> {
    let options = Options {
        server_config: config,
        ..Options::default()
    };
    TestServer::start_with(options).await
}

fn command(server: &TestServer, args: &[&str], way: &[Variable]) -> anyhow::Result<Gridloom> {
    let command = Gridloom::new(args.iter().copied())?
        .env("GRIDLOOM_NATS", server.url())
        .env("GRIDLOOM_NAMESPACE", NAMESPACE);
    let set = |command: Gridloom, (name, value): &Variable| command.env(*name, value);
    Ok(way.iter().fold(command, set))
}

async fn said(server: &TestServer, args: &[&str], way: &[Variable]) -> anyhow::Result<Output> {
    command(server, args, way)?
        .start()
        .await?
        .finish(SOON)
        .await
}

async fn ready(process: &Process) -> anyhow::Result<String> {
    let address = served_at(process).await?;
    eventually(SOON, "it is ready", async || {
        Ok(get(&address, "/ready").await?.contains("200 OK"))
    })
    .await?;
    Ok(address)
}

fn written(dir: &Path, name: &str, text: &str) -> anyhow::Result<String> {
    let path = dir.join(name);
    std::fs::write(&path, text)?;
    text_of(&path)
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("a path that is text")?.to_owned())
}

fn without_spaces(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A way in, what of it is secret, and the broker that it leads to.
struct Case {
    name: &'static str,
    config: String,
    way: Vec<Variable>,
    secrets: Vec<String>,
}

fn cases(dir: &TempDir) -> anyhow::Result<Vec<Case>> {
    let dir = dir.path();
    let user = |more: &str| {
        format!(
            "authorization {{ users: [ {{ user: \"me\", password: \"hunter2-word\" }} ] }}\n{more}"
        )
    };
    let authority = Authority::new(dir, "ours")?;
    let (here, mine) = (
        authority.sign("here", &["127.0.0.1"])?,
        authority.sign("mine", &["mine"])?,
    );
    let ca = text_of(&authority.file)?;
    let mutual = here.block(&format!("ca_file: \"{ca}\"\nverify: true"));
    let key = std::fs::read_to_string(&mine.key)?;
    let nkey = KeyPair::new_user();
    let (operator, account) = (Operator::new(), Account::new("grid"));
    let jwt = account.user("worker", None)?;
    // What stands between the lines that say what it is.
    let inside = |text: &str| -> Vec<String> {
        without_spaces(text)
            .into_iter()
            .filter(|word| word.len() > 40)
            .collect()
    };
    let password = "hunter2-word".to_owned();
    Ok(vec![
        Case {
            name: "a password in the environment, and a client certificate",
            config: user(&mutual),
            way: vec![
                ("GRIDLOOM_NATS_USER", "me".into()),
                ("GRIDLOOM_NATS_PASSWORD", password.clone()),
                ("GRIDLOOM_NATS_CA", ca),
                ("GRIDLOOM_NATS_CERT", text_of(&mine.cert)?),
                ("GRIDLOOM_NATS_KEY", text_of(&mine.key)?),
            ],
            secrets: inside(&key).into_iter().chain([password.clone()]).collect(),
        },
        Case {
            name: "a token in a file",
            config: "authorization { token: \"hunter2-word\" }".into(),
            way: vec![(
                "GRIDLOOM_NATS_TOKEN_FILE",
                written(dir, "token", "hunter2-word\n")?,
            )],
            secrets: vec![password.clone()],
        },
        Case {
            name: "an nkey",
            config: format!(
                "authorization {{ users: [ {{ nkey: {} }} ] }}",
                nkey.public_key()
            ),
            way: vec![(
                "GRIDLOOM_NATS_NKEY",
                written(dir, "seed.nk", &nkey.seed()?)?,
            )],
            secrets: vec![nkey.seed()?],
        },
        Case {
            name: "a credentials file",
            config: operator.config(&[&account])?,
            way: vec![("GRIDLOOM_NATS_CREDS", text_of(&jwt.write(dir, "jwt")?)?)],
            secrets: inside(&jwt.creds()?),
        },
    ])
}

/// Everything that is seen of a process from outside.
async fn shown(process: &mut Process) -> anyhow::Result<String> {
    let address = ready(process).await?;
    let mut shown = get(&address, "/metrics").await?;
    let line = std::fs::read(format!("/proc/{}/cmdline", process.pid()))?;
    shown += &String::from_utf8_lossy(&line);
    process.terminate()?;
    process.wait(SOON).await?;
    Ok(shown + &process.stdout() + &process.stderr())
}

/// Runs all of them, and fails where one shows a secret.
async fn shows_none(case: &Case, server: &TestServer) -> anyhow::Result<()> {
    let trace = ["--log", "trace"];
    let with = |args: &[&'static str]| [args, &trace[..]].concat();
    let mut planner = command(server, &with(&["planner"]), &case.way)?
        .start()
        .await?;
    ready(&planner).await?;
    let worker = command(server, &with(&["worker"]), &case.way)?;
    let mut worker = worker
        .env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE)
        .start()
        .await?;
    ready(&worker).await?;
    // One of a user's own takes the same variables.
    let own = Gridloom::program(gridloom_tests::gridloom()?, [OWN_WORD]);
    let own = case
        .way
        .iter()
        .fold(own, |own, (name, value)| own.env(*name, value));
    let own = own
        .env("GRIDLOOM_NATS", server.url())
        .env("GRIDLOOM_NAMESPACE", NAMESPACE);
    let own = own
        .env("GRIDLOOM_LISTEN", "127.0.0.1:0")
        .env("GRIDLOOM_LOG", "trace");
    let mut own = own.start().await?;
    let doctor = said(server, &with(&["doctor"]), &case.way)
        .await?
        .succeeded()?;
    let workers = said(server, &with(&["workers", "--json"]), &case.way)
        .await?
        .succeeded()?;
    let mut all = doctor.stdout + &doctor.stderr + &workers.stdout + &workers.stderr;
    all += &shown(&mut own).await?;
    all += &shown(&mut worker).await?;
    all += &shown(&mut planner).await?;
    assert!(
        all.contains("TRACE") || all.contains("DEBUG"),
        "it says all"
    );
    for secret in &case.secrets {
        assert!(
            !all.contains(secret),
            "{}: {secret} is shown: {all}",
            case.name
        );
    }
    Ok(())
}

/// The same of the reason why somebody is not let in.
async fn denies_without(case: &Case, other: &TestServer) -> anyhow::Result<()> {
    for args in [
        &["doctor", "--json", "--log", "trace"][..],
        &["planner", "--log", "trace"],
    ] {
        let soon = vec![("GRIDLOOM_NATS_TIMEOUT", "1s".to_owned())];
        let way = [case.way.clone(), soon].concat();
        let denied = said(other, args, &way).await?;
        assert_eq!(denied.code, 3, "{}: {denied:?}", case.name);
        let all = denied.stdout + &denied.stderr;
        for secret in &case.secrets {
            assert!(
                !all.contains(secret),
                "{}: {secret} is shown: {all}",
                case.name
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_serves_planner_worker_and_commands_and_no_secret_is_ever_shown()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let cases = cases(&dir)?;
    assert!(cases.iter().all(|case| !case.secrets.is_empty()));
    let other =
        start("authorization { users: [ { user: \"nobody\", password: \"else\" } ] }".into())
            .await?;
    for case in &cases {
        let server = start(case.config.clone()).await?;
        shows_none(case, &server).await.with_context(|| case.name)?;
        denies_without(case, &other).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictions_and_files_of_no_use_are_wrong_settings_that_name_what_is_wrong()
-> anyhow::Result<()> {
    let server = TestServer::start().await?;
    let dir = tempfile::tempdir()?;
    let garbage = written(dir.path(), "garbage.creds", "hunter2")?;
    let missing = text_of(&dir.path().join("missing.creds"))?;
    let creds = |path: &str| vec![("GRIDLOOM_NATS_CREDS", path.to_owned())];
    let user = ("GRIDLOOM_NATS_USER", "me".to_owned());
    let password = ("GRIDLOOM_NATS_PASSWORD", "hunter2".to_owned());
    for (way, words) in [
        (creds(&missing), vec![missing.as_str(), "No such file"]),
        (creds(&garbage), vec![garbage.as_str(), "no user's JWT"]),
        (
            [creds(&garbage), vec![user.clone(), password.clone()]].concat(),
            vec!["--nats-creds", "--nats-user"],
        ),
        (
            vec![user.clone()],
            vec!["--nats-user", "GRIDLOOM_NATS_PASSWORD"],
        ),
        (
            vec![("GRIDLOOM_NATS_CERT", garbage.clone())],
            vec!["--nats-cert", "--nats-key"],
        ),
        (
            vec![("GRIDLOOM_NATS_CA", garbage.clone())],
            vec![garbage.as_str(), "no certificate"],
        ),
        (
            vec![
                user,
                password.clone(),
                ("GRIDLOOM_NATS_PASSWORD_FILE", garbage.clone()),
            ],
            vec!["GRIDLOOM_NATS_PASSWORD:", "GRIDLOOM_NATS_PASSWORD_FILE"],
        ),
    ] {
        for args in [["doctor"], ["planner"], ["worker"]] {
            let refused = said(&server, &args, &way).await?;
            let all = format!("{}{}", refused.stdout, refused.stderr);
            assert_eq!(refused.code, 2, "{args:?}: {all}");
            for words in &words {
                assert!(all.contains(words), "{words}: {all}");
            }
            assert!(!all.contains("hunter2"), "{all}");
        }
    }
    let own = said(&server, &["dev", "--nats-creds", &missing], &[]).await?;
    assert!(
        own.code == 2 && own.stderr.contains("--nats-creds"),
        "{own:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_file_lead_to_the_broker_and_a_flag_puts_them_aside() -> anyhow::Result<()>
{
    let server = start(
        "authorization { users: [ { user: \"me\", password: \"hunter2\" }, { user: \"you\", password: \"other\" } ] }".into(),
    )
    .await?;
    let dir = tempfile::tempdir()?;
    written(
        dir.path(),
        "gridloom.toml",
        "[nats]\nurl = \"nats://nowhere.invalid\"\nuser = \"me\"\npassword = \"hunter2\"\ninbox = \"_INBOX_me\"",
    )?;
    let doctor = |args: &[&str]| {
        let command = command(&server, &[&["doctor"], args].concat(), &[]);
        anyhow::Ok(command?.dir(dir.path()))
    };
    let run = async |command: Gridloom| command.start().await?.finish(SOON).await;
    // Nothing is there yet: it says so, and in which account.
    let told = run(doctor(&[])?).await?;
    assert!(
        told.stdout.contains("none yet in account $G, as user me"),
        "{told:?}"
    );
    let other = written(dir.path(), "other", "other")?;
    let told = run(doctor(&[
        "--nats-user",
        "you",
        "--nats-password-file",
        &other,
    ])?)
    .await?;
    assert!(told.stdout.contains("as user you"), "{told:?}");
    let wrong = written(dir.path(), "wrong", "wrong")?;
    let told = run(doctor(&[
        "--nats-user",
        "you",
        "--nats-password-file",
        &wrong,
    ])?)
    .await?;
    assert!(told.code == 3 && told.stdout.contains(&wrong), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_another_account_are_not_there_and_everybody_says_where_he_looked()
-> anyhow::Result<()> {
    let server = start(
        "accounts { A: { jetstream: enabled, users: [ { user: a, password: a } ] }\n\
         B: { jetstream: enabled, users: [ { user: b, password: b } ] } }"
            .into(),
    )
    .await?;
    let of = |name: &str| {
        vec![
            ("GRIDLOOM_NATS_USER", name.to_owned()),
            ("GRIDLOOM_NATS_PASSWORD", name.to_owned()),
        ]
    };
    let planner = command(&server, &["planner"], &of("a"))?.start().await?;
    ready(&planner).await?;
    let doctor = said(&server, &["doctor"], &of("b")).await?;
    assert!(
        doctor.stdout.contains("none yet in account B, as user b"),
        "{doctor:?}"
    );
    assert!(doctor.stdout.contains("which account"), "{doctor:?}");
    let jobs = said(&server, &["job", "list"], &of("b")).await?;
    assert!(
        jobs.code == 2 && jobs.stderr.contains("the account"),
        "{jobs:?}"
    );
    let worker = command(&server, &["worker"], &of("b"))?.start().await?;
    let address = served_at(&worker).await?;
    eventually(SOON, "the worker says why it is not ready", async || {
        Ok(get(&address, "/ready")
            .await?
            .contains("the account that this client logs in to"))
    })
    .await?;
    let second = command(&server, &["planner"], &of("b"))?.start().await?;
    ready(&second).await?;
    assert!(
        second
            .stderr()
            .contains("the account that this planner logs in to"),
        "{}",
        second.stderr()
    );
    Ok(())
}

/// A broker whose users are changed: a password and an nkey. Whoever gives no name may do everything.
fn users(password: &str, nkey: &KeyPair) -> String {
    format!(
        "users: [ {{ user: \"anybody\", password: \"\" }}, {{ user: \"planner\", password: \"{password}\" }}, {{ nkey: {} }} ]",
        nkey.public_key()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_change_under_those_who_work_cost_nothing() -> anyhow::Result<()> {
    let (old, new) = (KeyPair::new_user(), KeyPair::new_user());
    let before = users("first", &old);
    let server = start(format!(
        "no_auth_user: \"anybody\"\nauthorization {{\n{before}\n}}"
    ))
    .await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let password = PathBuf::from(written(stage.dir(), "password", "first\n")?);
        let seed = PathBuf::from(written(stage.dir(), "seed.nk", &old.seed()?)?);
        let planner = stage.gridloom(&["planner", "--nats-user", "planner"])?;
        let planner = planner.args(["--nats-password-file", &text_of(&password)?]);
        stage.planners.push(planner.start().await?);
        for _ in 0..2 {
            stage.start_worker(4, &["--nats-nkey", &text_of(&seed)?]).await?;
        }
        let job = "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 100 }\ntile = 4";
        let job = stage.apply(job).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 20})).await?;
        stage.done(&run, 40, SOON).await?;
        let after = users("second", &new);
        stage.server.reload(|config| config.replace(&before, &after)).await?;
        eventually(SOON, "each says that it is not let in", async || {
            let mut all = stage.planners.iter().chain(&stage.workers);
            Ok(all.all(|process| process.stderr().contains("does not let this client in")))
        })
        .await?;
        assert!(stage.planners[0].stderr().contains("password in "));
        assert!(stage.workers[0].stderr().contains(&old.public_key()));
        std::fs::write(&seed, new.seed()?)?;
        std::fs::write(&password, "second\n")?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        for process in stage.planners.iter_mut().chain(&mut stage.workers) {
            assert!(process.is_running()?);
        }
        Ok(())
    })
    .await
}
