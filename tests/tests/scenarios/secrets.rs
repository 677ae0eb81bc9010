//! Every kind of credentials leads planner, worker and commands to the broker, and nothing of a secret is ever shown: not
//! in logs however loud, not in answers, not in metrics, not in a list of processes.

use anyhow::Context;
use gridloom_tests::accounts::{Account, Operator};
use gridloom_tests::certificates::Authority;
use gridloom_tests::http::get;
use gridloom_tests::logged::OWN_WORD;
use gridloom_tests::process::{Gridloom, Process};
use gridloom_tests::scenario::{ACK_DEADLINE, NAMESPACE};
use gridloom_tests::server::TestServer;
use nkeys::KeyPair;
use tempfile::TempDir;

use super::connection::{SOON, Variable, command, ready, said, start, text_of, written};

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
