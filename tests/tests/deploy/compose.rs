//! compose.yaml: its services' commands as processes, with the secrets that it mounts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_cli::embedded::free_port;
use gridloom_shared::duration::parse_duration;
use gridloom_tests::process::Gridloom;
use gridloom_tests::wait::eventually;
use gridloom_tests::{http, server};
use serde_json::Value;

use super::broker::{Broker, put_passwords, work};
use super::declared::Declared;
use super::{documents, root, succeeded, text, texts, tool};

const FILE: &str = "deploy/compose.yaml";

fn composed() -> anyhow::Result<Value> {
    let mut all = documents(&text(FILE)?)?;
    all.pop().context("a document")
}

/// The services of our own image.
fn own(composed: &Value) -> anyhow::Result<Vec<(String, Value)>> {
    let services = composed["services"].as_object().context("services")?;
    let own = services
        .iter()
        .filter(|(_, service)| service["image"] == "gridloom:0.1.0");
    Ok(own
        .map(|(name, service)| (name.clone(), service.clone()))
        .collect())
}

/// What a service runs, with the variables that its image brings.
fn declared(name: &str, service: &Value) -> anyhow::Result<Declared> {
    let mut env = BTreeMap::from(super::image::brings()?);
    for (name, value) in service["environment"].as_object().into_iter().flatten() {
        env.insert(name.clone(), value.as_str().context("a text")?.to_owned());
    }
    Ok(Declared {
        name: name.to_owned(),
        args: texts(&service["command"]),
        env,
    })
}

#[test]
fn services_of_the_image_are_as_the_image_is() -> anyhow::Result<()> {
    let composed = composed()?;
    let own = own(&composed)?;
    let names: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["gridloom", "planner", "worker"]);
    for (name, service) in &own {
        assert_eq!(service["user"], "65532:65532", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        let context = root()
            .join("deploy")
            .join(service["build"]["context"].as_str().context("a context")?);
        assert_eq!(context.canonicalize()?, root());
        let dockerfile = service["build"]["dockerfile"]
            .as_str()
            .context("a Dockerfile")?;
        ensure!(context.join(dockerfile).is_file());
        declared(name, service)?.is_known()?;
    }
    let count = |name: &str| composed["services"][name]["deploy"]["replicas"].as_u64();
    assert_eq!((count("planner"), count("worker")), (Some(2), Some(3)));
    let worker = &composed["services"]["worker"];
    let time = |value: &Value| parse_duration(value.as_str().unwrap_or_default());
    let (grace, stop) = (
        time(&worker["environment"]["GRIDLOOM_WORKER_GRACE"])?,
        time(&worker["stop_grace_period"])?,
    );
    assert!(stop >= grace + 15_000, "{stop} ms, and {grace} ms of grace");
    Ok(())
}

/// Each secret, volume and file that a service names is one.
#[test]
fn what_services_name_is_there() -> anyhow::Result<()> {
    let composed = composed()?;
    let services = composed["services"].as_object().context("services")?;
    for (name, service) in services {
        for secret in texts(&service["secrets"]) {
            let file = &composed["secrets"][&secret]["file"];
            assert_eq!(
                file.as_str(),
                Some(format!("./secrets/{secret}").as_str()),
                "{name}"
            );
        }
        // The broker's shell reads its own, one for each role.
        let given = texts(&service["secrets"]);
        let variables = service["environment"].to_string();
        let used = |secret: &String| variables.contains(&format!("/run/secrets/{secret}\""));
        ensure!(
            name == "nats" || given.iter().all(used),
            "{name} is given what it does not use"
        );
        let variables = service["environment"].as_object().into_iter().flatten();
        for value in variables.filter_map(|(_, value)| value.as_str()) {
            let secret = value.strip_prefix("/run/secrets/");
            let named =
                secret.is_none_or(|secret| texts(&service["secrets"]).contains(&secret.to_owned()));
            ensure!(named, "{name} is not given {value}");
        }
        for volume in texts(&service["volumes"]) {
            let (from, _) = volume.split_once(':').context("a volume")?;
            let there = match from.starts_with('.') {
                true => root().join("deploy").join(from).exists(),
                false => composed["volumes"]
                    .as_object()
                    .is_some_and(|all| all.contains_key(from)),
            };
            ensure!(there, "{name}: {volume}");
        }
        for after in service["depends_on"].as_object().into_iter().flatten() {
            ensure!(services.contains_key(after.0), "{name}: {after:?}");
        }
    }
    Ok(())
}

/// Secrets lie where nothing is committed from, and no builder of an image gets.
#[test]
fn secrets_are_kept_out_of_the_repository_and_of_images() -> anyhow::Result<()> {
    let Some(git) = tool("git", "--version") else {
        return Ok(());
    };
    let ignored = ["check-ignore", "deploy/secrets/planner.password"];
    succeeded(Command::new(git).args(ignored).current_dir(root()))?;
    assert!(text(".dockerignore")?.lines().any(|line| line == "*"));
    Ok(())
}

/// The shell of the broker's container, which puts passwords from files into variables.
async fn broker(composed: &Value, secrets: &Path) -> anyhow::Result<Broker> {
    let service = &composed["services"]["nats"];
    let store = service["environment"]["NATS_STORE"]
        .as_str()
        .context("a store")?;
    let mounts = texts(&service["volumes"]);
    ensure!(
        mounts.contains(&"./nats:/etc/nats:ro".to_owned()),
        "{mounts:?}"
    );
    ensure!(mounts.contains(&format!("nats:{store}")), "{mounts:?}");
    let mut words = texts(&service["entrypoint"]);
    words.extend(texts(&service["command"]));
    let program = words.remove(0);
    let nats = server::binary().await?.path.display().to_string();
    let script = words.pop().context("a script")?;
    let script = script.replace("$$", "$");
    // The test's ports come behind it, as arguments.
    let script = script.trim_end().to_owned() + " \"$@\"";
    let moved = Declared {
        name: "nats".to_owned(),
        args: vec![script],
        env: BTreeMap::from([("NATS_STORE".to_owned(), store.to_owned())]),
    }
    .at(&[
        ("/run/secrets".to_owned(), secrets.display().to_string()),
        (
            "/etc/nats/".to_owned(),
            format!("{}/", root().join("deploy").join("nats").display()),
        ),
        ("exec nats-server".to_owned(), format!("exec '{nats}'")),
        ("0.0.0.0".to_owned(), "127.0.0.1".to_owned()),
    ]);
    words.push(moved.args[0].clone());
    words.push("sh".to_owned());
    let store = store.to_owned();
    Broker::run(&moved, &store, program.into(), words).await
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_services_work_together() -> anyhow::Result<()> {
    let composed = composed()?;
    let secrets = tempfile::tempdir()?;
    put_passwords(secrets.path())?;
    let broker = broker(&composed, secrets.path()).await?;
    let mut services = Vec::new();
    for (name, service) in own(&composed)?
        .iter()
        .filter(|(name, _)| name != "gridloom")
    {
        let count = service["deploy"]["replicas"].as_u64().context("a count")?;
        for _ in 0..count {
            services.push(declared(name, service)?.at(&[
                ("nats://nats:4222".to_owned(), broker.url()),
                (
                    "/run/secrets".to_owned(),
                    secrets.path().display().to_string(),
                ),
                (
                    "0.0.0.0:9464".to_owned(),
                    format!("127.0.0.1:{}", free_port()?),
                ),
            ]));
        }
    }
    assert_eq!(services.len(), 5);
    work(&broker, &services).await
}

/// Grafana is not to be had here: that the files it is given are what it takes is tested beside the metrics.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_takes_the_arguments_that_it_is_given() -> anyhow::Result<()> {
    let Some(prometheus) = tool("prometheus", "--version") else {
        return Ok(());
    };
    let composed = composed()?;
    let service = &composed["services"]["prometheus"];
    let store = tempfile::tempdir()?;
    let config = root()
        .join("deploy")
        .join("prometheus")
        .display()
        .to_string();
    let declared = Declared {
        name: "prometheus".to_owned(),
        args: texts(&service["command"]),
        env: BTreeMap::new(),
    };
    let declared = declared.at(&[
        ("/etc/prometheus".to_owned(), config),
        (
            "path=/prometheus".to_owned(),
            format!("path={}", store.path().display()),
        ),
    ]);
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut running = Gridloom::program(prometheus, declared.args)
        .args([format!("--web.listen-address={address}")])
        .start()
        .await?;
    eventually(Duration::from_secs(30), "it is ready", async || {
        ensure!(running.is_running()?, "{}", running.stderr());
        let answer = http::get(&address, "/-/ready").await;
        Ok(answer.is_ok_and(|answer| answer.contains(" 200 ")))
    })
    .await
}
