//! The walk of docs/OPERATIONS.md, typed as it stands there, in an empty directory; only its ports are others.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_cli::embedded::free_port;
use gridloom_tests::process::{Gridloom, Output};
use gridloom_tests::prometheus::{promtool, tool as of_prometheus};
use gridloom_tests::server;

use super::{not_run, root, text, tool};

/// The first section that is typed.
const SECTION: &str = "## A cluster on one machine, from an empty directory";
/// What its brokers are started with, which it calls by their names.
const BROKERS: [(&str, &str); 3] = [
    ("broker one ", "deploy/nats/cluster/one.conf"),
    ("broker two ", "deploy/nats/cluster/two.conf"),
    ("broker three ", "deploy/nats/cluster/three.conf"),
];
/// What these include.
const INCLUDED: &str = "deploy/nats/cluster/common.conf";
/// All of it: three brokers, five services, a run, deaths of three of them, each service and each broker replaced once.
const WITHIN: Duration = Duration::from_secs(360);
/// The other one: two sites, of which the first is lost.
const SITES: &str = "#### To see it once";
/// Whose users they have.
const ROLES: &str = "deploy/nats/roles.conf";
/// Ports that it names.
const PORTS_OF_SITES: [&str; 9] = [
    "4222", "4223", "7422", "8222", "8223", "9464", "9465", "9466", "9467",
];
/// Ports that the first one names.
const PORTS: [&str; 15] = [
    "4222", "4223", "4224", "6222", "6223", "6224", "8222", "8223", "8224", "9464", "9465", "9466",
    "9467", "9468", "9090",
];

/// What is typed in a section, in its order, with free ports for those that it names.
fn typed(section: &str, ports: &[&str]) -> anyhow::Result<String> {
    let page = text("docs/OPERATIONS.md")?;
    let (_, section) = page.split_once(section).context("the section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    ensure!(blocks.len() > 3, "{blocks:?}");
    let mut script = blocks.concat();
    let mut taken = BTreeMap::new();
    for port in ports {
        ensure!(script.contains(port), "nothing is typed about port {port}");
        let mut free = free_port()?;
        while taken.contains_key(&free) {
            free = free_port()?;
        }
        taken.insert(free, *port);
    }
    // No other number of the script may be hit: marked first, then put in.
    for port in ports {
        script = script.replace(port, &format!("@{port}@"));
    }
    for (free, port) in taken {
        script = script.replace(&format!("@{port}@"), &free.to_string());
    }
    Ok(script)
}

/// Types a script in a directory that is empty but for the programs it takes. What it said; `None` where a tool is missing
/// here, which is told.
async fn walked(script: &str, into: &str) -> anyhow::Result<Option<Output>> {
    let wanted = [
        ("openssl", "version"),
        ("bash", "--version"),
        ("curl", "--version"),
    ];
    if wanted
        .iter()
        .any(|(name, asked)| tool(name, asked).is_none())
    {
        not_run("the walk of OPERATIONS.md");
        return Ok(None);
    }
    let place = tempfile::tempdir()?;
    let bin = place.path().join("bin");
    std::fs::create_dir(&bin)?;
    std::os::unix::fs::symlink(gridloom_tests::gridloom()?, bin.join("gridloom"))?;
    std::os::unix::fs::symlink(server::binary().await?.path, bin.join("nats-server"))?;
    let path = std::env::var("PATH")?;
    let walk = Gridloom::program("bash", ["-c", &format!("set -eu\n{script}")])
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("REPO", root())
        .dir(place.path());
    let walked = walk.start().await?.finish(WITHIN).await?;
    let logs = std::fs::read_dir(place.path().join(into))?;
    let mut told = String::new();
    for log in logs {
        let path = log?.path();
        if path.extension().is_some_and(|ending| ending == "log") {
            told += &format!(
                "\n== {}\n{}",
                path.display(),
                std::fs::read_to_string(&path)?
            );
        }
    }
    Ok(Some(walked.succeeded().context(told)?))
}

/// Something that ends later than the walk may.
const BESIDE: &str = "sleep 300 >/dev/null 2>&1 &\ntrap \"kill $!\" EXIT\n";
/// Fails where a variable of the walk is still set.
const LEFT: &str = "test -z \"${GRIDLOOM_NATS-}${GRIDLOOM_NATS_CA-}${GRIDLOOM_QUEUE_REPLICAS-}\"\n";
/// Fails where Prometheus is here and has watched nothing of it.
const WATCHED: &str = "test -e prometheus.log || ! command -v prometheus > found\n";
/// What the page shows at the end of a run.
const PROOF: &str = "every cell of the grid is committed exactly once";

#[tokio::test(flavor = "multi_thread")]
async fn walk_through_the_page_works_from_an_empty_directory() -> anyhow::Result<()> {
    let script = typed(SECTION, &PORTS)?;
    ensure!(script.contains("$REPO/deploy/nats/cluster/$1.conf"));
    text(INCLUDED)?;
    for (order, config) in BROKERS {
        ensure!(script.contains(order) && text(config)?.contains("include ./common.conf"));
    }
    // What else runs in that shell, as Prometheus does, is not waited for; and nothing of it is left to the other walk.
    let script = format!("{BESIDE}{script}{LEFT}{WATCHED}");
    let Some(walked) = walked(&script, "walk").await? else {
        return Ok(());
    };
    // Of the run in which things were killed, of that in which they were upgraded, and of that with another password.
    let said = &walked.stdout;
    assert_eq!(said.matches(PROOF).count(), 3, "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_of_a_site_as_the_page_has_it_leaves_a_run_that_goes_on_at_the_other()
-> anyhow::Result<()> {
    let script = typed(SITES, &PORTS_OF_SITES)?;
    ensure!(
        script.contains("$REPO/deploy/nats/roles.conf $REPO/deploy/nats/worker-default.conf")
            && !text(ROLES)?.is_empty()
    );
    let Some(walked) = walked(&script, "sites").await? else {
        return Ok(());
    };
    assert!(walked.stdout.contains(PROOF), "{}", walked.stdout);
    Ok(())
}

#[tokio::test]
async fn prometheus_takes_the_configuration_that_stands_in_the_walk() -> anyhow::Result<()> {
    if of_prometheus("promtool").is_err() {
        not_run("what OPERATIONS.md tells Prometheus");
        return Ok(());
    }
    let page = text("docs/OPERATIONS.md")?;
    let section = page.split(SECTION).nth(1).context("the section")?;
    let (section, _) = section.split_once("\n## ").context("its end")?;
    let config = section.split("cat > prometheus.yml <<END\n").nth(1);
    let (config, _) = config
        .context("a configuration")?
        .split_once("\nEND\n")
        .context("its end")?;
    let clone = root().display().to_string();
    ensure!(config.contains("$REPO/"), "{config}");
    let place = tempfile::tempdir()?;
    let config = config.replace("$REPO", &clone);
    std::fs::write(place.path().join("prometheus.yml"), &config)?;
    let asked = ["check", "config", "prometheus.yml"];
    ensure!(section.contains(&format!("promtool {}", asked.join(" "))));
    let said = promtool(place.path(), &asked, "").await?;
    ensure!(said.contains("1 rule files found"), "{said}");
    // It looks at all five, where they listen.
    for port in ["9464", "9465", "9466", "9467", "9468"] {
        ensure!(
            config.contains(&format!("\"127.0.0.1:{port}\"")),
            "{config}"
        );
    }
    Ok(())
}
