//! The units of systemd: what it says of them itself, and their commands as processes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, ensure};
use gridloom_cli::embedded::free_port;
use gridloom_shared::duration::parse_duration;
use gridloom_tests::server;
use tempfile::TempDir;

use super::broker::{Broker, ROLES, password, work};
use super::declared::{Declared, variables};
use super::{root, said, succeeded, text, tool};

/// The units, each with the name under which one is started.
const UNITS: [(&str, &str); 3] = [
    ("gridloom-planner.service", "gridloom-planner.service"),
    ("gridloom-worker@.service", "gridloom-worker@a.service"),
    ("nats-server.service", "nats-server.service"),
];
/// Most that systemd may find exposed, in tenths: it calls 2.0 and less "OK".
const EXPOSED_MOST: &str = "15";

/// What the lines of a unit say, each key with all its values.
fn unit(name: &str) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let text = text(&format!("deploy/systemd/{name}"))?;
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for (key, value) in lines.filter_map(|line| line.split_once('=')) {
        all.entry(key.to_owned())
            .or_default()
            .push(value.to_owned());
    }
    Ok(all)
}

/// The one value of a key.
fn one<'a>(unit: &'a BTreeMap<String, Vec<String>>, key: &str) -> anyhow::Result<&'a str> {
    match unit.get(key).map(Vec::as_slice) {
        Some([value]) => Ok(value),
        other => anyhow::bail!("{key} once: {other:?}"),
    }
}

/// The units as they would be installed, but for the places of programs.
async fn installed() -> anyhow::Result<TempDir> {
    let place = tempfile::tempdir()?;
    let command = gridloom_tests::gridloom()?.display().to_string();
    let broker = server::binary().await?.path.display().to_string();
    for (name, _) in UNITS {
        let text = text(&format!("deploy/systemd/{name}"))?;
        let text = text.replace("/usr/bin/gridloom", &command);
        let text = text.replace("/usr/bin/nats-server", &broker);
        std::fs::write(place.path().join(name), text)?;
    }
    Ok(place)
}

#[tokio::test]
async fn systemd_finds_nothing_wrong_with_the_units() -> anyhow::Result<()> {
    let Some(analyze) = tool("systemd-analyze", "--version") else {
        return Ok(());
    };
    let place = installed().await?;
    for (name, _) in UNITS {
        let verify = ["verify", "--man=no", "--recursive-errors=no"];
        let path = place.path().join(name);
        let output = Command::new(&analyze).args(verify).arg(path).output()?;
        let said = said(&output);
        ensure!(output.status.success() && said.is_empty(), "{name}: {said}");
    }
    Ok(())
}

#[test]
fn units_expose_little() -> anyhow::Result<()> {
    let Some(analyze) = tool("systemd-analyze", "--version") else {
        return Ok(());
    };
    for (name, _) in UNITS {
        let path = root().join("deploy/systemd").join(name);
        let threshold = format!("--threshold={EXPOSED_MOST}");
        let security = ["security", "--offline=true", "--no-pager", &threshold];
        succeeded(Command::new(&analyze).args(security).arg(path))?;
    }
    Ok(())
}

#[test]
fn users_of_the_units_are_made_by_the_file_for_them() -> anyhow::Result<()> {
    let file = "deploy/systemd/gridloom.sysusers.conf";
    let mut users = BTreeSet::new();
    for (name, _) in UNITS {
        users.insert(one(&unit(name)?, "User")?.to_owned());
    }
    let lines = text(file)?;
    let lines = lines.lines().filter_map(|line| line.strip_prefix("u "));
    let made = lines.filter_map(|line| Some(line.split_whitespace().next()?.to_owned()));
    assert_eq!(made.collect::<BTreeSet<_>>(), users);
    let Some(sysusers) = tool("systemd-sysusers", "--version") else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    std::fs::create_dir(place.path().join("etc"))?;
    let root_of = format!("--root={}", place.path().display());
    succeeded(Command::new(sysusers).arg(root_of).arg(root().join(file)))?;
    let passwd = std::fs::read_to_string(place.path().join("etc/passwd"))?;
    for user in users {
        assert!(
            passwd
                .lines()
                .any(|line| line.starts_with(&format!("{user}:"))),
            "{passwd}"
        );
    }
    Ok(())
}

/// What a unit of Gridloom starts, with the settings that stand beside it as an example.
fn declared(name: &str, settings: &str) -> anyhow::Result<Declared> {
    let unit = unit(name)?;
    let words = one(&unit, "ExecStart")?.strip_prefix("/usr/bin/gridloom ");
    let words = words.context("it starts gridloom")?.split(' ');
    let (env, aside) = variables(&text(&format!("deploy/systemd/{settings}"))?);
    let all = env.iter().chain(&aside);
    let example = Declared {
        name: format!("{settings}, with what is put aside"),
        args: Vec::new(),
        env: all
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    };
    example.is_known()?;
    let kind = settings
        .strip_suffix(".env")
        .context("a file of settings")?;
    let named = one(&unit, "EnvironmentFile")?;
    ensure!(
        named.starts_with(&format!("/etc/gridloom/{kind}")),
        "{named}"
    );
    Ok(Declared {
        name: name.to_owned(),
        args: words.map(str::to_owned).collect(),
        env,
    })
}

#[test]
fn worker_has_time_to_stop() -> anyhow::Result<()> {
    let worker = declared("gridloom-worker@.service", "worker.env")?;
    let grace = parse_duration(&worker.env["GRIDLOOM_WORKER_GRACE"])?;
    let unit = unit("gridloom-worker@.service")?;
    let stop: u64 = one(&unit, "TimeoutStopSec")?.parse()?;
    assert!(
        stop * 1000 >= grace + 15_000,
        "{stop} s, and {grace} ms of grace"
    );
    Ok(())
}

/// What the unit of the broker starts, with a password for each role where its file of settings has none.
fn broker() -> anyhow::Result<Declared> {
    let unit = unit("nats-server.service")?;
    let words = one(&unit, "ExecStart")?.strip_prefix("/usr/bin/nats-server ");
    let words = words.context("it starts nats-server")?.split(' ');
    assert_eq!(one(&unit, "EnvironmentFile")?, "/etc/nats/nats.env");
    let settings = text("deploy/systemd/nats.env")?;
    let lines = settings.lines().filter(|line| !line.starts_with('#'));
    let mut env = BTreeMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once('=')) {
        let role = name
            .strip_prefix("NATS_")
            .and_then(|rest| rest.strip_suffix("_PASSWORD"));
        let value = match role {
            Some(role) => format!("\"{}\"", password(&role.to_lowercase())),
            None => value.to_owned(),
        };
        env.insert(name.to_owned(), value);
    }
    assert_eq!(env.len(), ROLES.len() + 1, "{env:?}");
    let declared = Declared {
        name: "nats-server.service".to_owned(),
        args: words.map(str::to_owned).collect(),
        env,
    };
    let nats = root().join("deploy").join("nats").display().to_string();
    Ok(declared.at(&[("/etc/nats".to_owned(), nats)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_units_work_together() -> anyhow::Result<()> {
    let broker = Broker::as_declared(&broker()?, "/var/lib/nats").await?;
    let secrets = broker.dir.path().display().to_string();
    let places = |port: u16, own: &str| {
        let here = format!("127.0.0.1:{port}");
        [
            ("nats://127.0.0.1:4222".to_owned(), broker.url()),
            ("/etc/gridloom".to_owned(), secrets.clone()),
            (own.to_owned(), here),
        ]
    };
    let planner = declared("gridloom-planner.service", "planner.env")?;
    let worker = declared("gridloom-worker@.service", "worker.env")?;
    // They listen apart on one machine, as they are.
    assert_ne!(
        planner.env["GRIDLOOM_LISTEN"],
        worker.env["GRIDLOOM_LISTEN"]
    );
    let planner = planner.at(&places(free_port()?, "127.0.0.1:9464"));
    let worker = worker.at(&places(free_port()?, "127.0.0.1:9465"));
    work(&broker, &[planner, worker]).await
}
