//! The way to the broker of real processes: what is said of it in flags, variables and file; what is said to who stands
//! in another account; and credentials that change under those who work.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use gridloom_cli::embedded::Options;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_tests::certificates::Authority;
use gridloom_tests::http::{get, served_at};
use gridloom_tests::process::{Gridloom, Output, Process};
use gridloom_tests::scenario::{NAMESPACE, play_on};
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;
use nkeys::KeyPair;
use serde_json::json;

const LONG: Duration = Duration::from_secs(60);
pub(super) const SOON: Duration = Duration::from_secs(30);

/// One of those that are a way to the broker.
pub(super) type Variable = (&'static str, String);

pub(super) async fn start(config: String) -> anyhow::Result<TestServer> {
    let options = Options {
        server_config: config,
        ..Options::default()
    };
    TestServer::start_with(options).await
}

pub(super) fn command(
    server: &TestServer,
    args: &[&str],
    way: &[Variable],
) -> anyhow::Result<Gridloom> {
    let command = Gridloom::new(args.iter().copied())?
        .env("GRIDLOOM_NATS", server.url())
        .env("GRIDLOOM_NAMESPACE", NAMESPACE);
    let set = |command: Gridloom, (name, value): &Variable| command.env(*name, value);
    Ok(way.iter().fold(command, set))
}

pub(super) async fn said(
    server: &TestServer,
    args: &[&str],
    way: &[Variable],
) -> anyhow::Result<Output> {
    command(server, args, way)?
        .start()
        .await?
        .finish(SOON)
        .await
}

pub(super) async fn ready(process: &Process) -> anyhow::Result<String> {
    let address = served_at(process).await?;
    eventually(SOON, "it is ready", async || {
        Ok(get(&address, "/ready").await?.contains("200 OK"))
    })
    .await?;
    Ok(address)
}

pub(super) fn written(dir: &Path, name: &str, text: &str) -> anyhow::Result<String> {
    let path = dir.join(name);
    std::fs::write(&path, text)?;
    text_of(&path)
}

pub(super) fn text_of(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("a path that is text")?.to_owned())
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

/// One user of the broker, who may hear answers only on a prefix of its own, which the system's authorities vouch for.
#[tokio::test(flavor = "multi_thread")]
async fn flags_lead_in_with_an_inbox_of_one_s_own_and_authorities_of_the_system()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let authority = Authority::new(dir.path(), "ours")?;
    let block = authority.sign("here", &["127.0.0.1"])?.block("");
    let server = start(format!(
        "{block}authorization {{ users: [ {{ user: me, password: hunter2, permissions: {{\n\
         publish: {{ allow: [ \">\" ] }}, subscribe: {{ allow: [ \"{NAMESPACE}.>\", \"_INBOX_me.>\" ] }} }} }} ] }}"
    ))
    .await?;
    let password = written(dir.path(), "password", "hunter2")?;
    let flags = [
        "--nats-user",
        "me",
        "--nats-password-file",
        &password,
        "--nats-inbox",
        "_INBOX_me",
        "--nats-tls",
        "required",
        "--nats-timeout",
        "20s",
    ];
    let trusting = [("SSL_CERT_FILE", text_of(&authority.file)?)];
    let with = |args: &[&'static str]| command(&server, &[args, &flags[..]].concat(), &trusting);
    let planner = with(&["planner"])?.start().await?;
    ready(&planner).await?;
    let worker = with(&["worker"])?.start().await?;
    ready(&worker).await?;
    let doctor = with(&["doctor"])?.start().await?.finish(SOON).await?;
    let doctor = doctor.succeeded()?;
    for said in [planner.stderr(), worker.stderr(), doctor.stderr] {
        assert!(!said.contains("Permissions Violation"), "{said}");
    }
    let unknown = said(&server, &["doctor", "--nats-timeout", "20s"], &[]).await?;
    assert!(
        unknown.code == 3 && unknown.stdout.contains("is not trusted here"),
        "{unknown:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn run_in_a_domain_is_done_although_a_worker_is_killed() -> anyhow::Result<()> {
    let server = TestServer::start_with(Options {
        jetstream_config: "domain: hub".into(),
        ..Options::default()
    })
    .await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let planner = stage.gridloom(&["planner", "--nats-domain", "hub"])?;
        stage.planners.push(planner.start().await?);
        for _ in 0..2 {
            stage.start_worker(4, &["--nats-domain", "hub"]).await?;
        }
        let job = "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 100 }\ntile = 4";
        let job = stage.apply(job).await?;
        let run = stage.submit(&job, &json!({"sleep_ms": 20})).await?;
        stage.done(&run, 40, SOON).await?;
        stage.workers[0].kill().await?;
        stage.closed(&run, LONG).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
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
