//! The walk of docs/OPERATIONS.md, typed as it stands there, in an empty directory; only its ports are others.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_cli::embedded::free_port;
use gridloom_tests::process::Gridloom;
use gridloom_tests::server;

use super::{not_run, root, text, tool};

/// The section that is typed.
const SECTION: &str = "## A cluster on one machine, from an empty directory";
/// What its brokers are started with, which it calls by their names.
const BROKERS: [(&str, &str); 3] = [
    ("broker one ", "deploy/nats/cluster/one.conf"),
    ("broker two ", "deploy/nats/cluster/two.conf"),
    ("broker three ", "deploy/nats/cluster/three.conf"),
];
/// What these include.
const INCLUDED: &str = "deploy/nats/cluster/common.conf";
/// All of it: three brokers, five services, a run, deaths of three of them.
const WITHIN: Duration = Duration::from_secs(240);
/// Ports that it names.
const PORTS: [&str; 14] = [
    "4222", "4223", "4224", "6222", "6223", "6224", "8222", "8223", "8224", "9464", "9465", "9466",
    "9467", "9468",
];

/// What is typed, in its order.
fn typed() -> anyhow::Result<String> {
    let page = text("docs/OPERATIONS.md")?;
    let (_, section) = page.split_once(SECTION).context("the section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    ensure!(blocks.len() > 6, "{blocks:?}");
    let mut script = blocks.concat();
    ensure!(script.contains("$REPO/deploy/nats/cluster/$1.conf"));
    text(INCLUDED)?;
    for (order, config) in BROKERS {
        ensure!(script.contains(order) && text(config)?.contains("include ./common.conf"));
    }
    let mut taken = BTreeMap::new();
    for port in PORTS {
        ensure!(script.contains(port), "nothing is typed about port {port}");
        let mut free = free_port()?;
        while taken.contains_key(&free) {
            free = free_port()?;
        }
        taken.insert(free, port);
    }
    // No other number of the script may be hit: marked first, then put in.
    for port in PORTS {
        script = script.replace(port, &format!("@{port}@"));
    }
    for (free, port) in taken {
        script = script.replace(&format!("@{port}@"), &free.to_string());
    }
    Ok(script)
}

#[tokio::test(flavor = "multi_thread")]
async fn walk_through_the_page_works_from_an_empty_directory() -> anyhow::Result<()> {
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
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let bin = place.path().join("bin");
    std::fs::create_dir(&bin)?;
    std::os::unix::fs::symlink(gridloom_tests::gridloom()?, bin.join("gridloom"))?;
    std::os::unix::fs::symlink(server::binary().await?.path, bin.join("nats-server"))?;
    let path = std::env::var("PATH")?;
    let script = format!("set -eu\n{}", typed()?);
    let walk = Gridloom::program("bash", ["-c", &script])
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("REPO", root())
        .dir(place.path());
    let walked = walk.start().await?.finish(WITHIN).await?;
    let logs = std::fs::read_dir(place.path().join("walk"))?;
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
    let walked = walked.succeeded().context(told)?;
    // What the page shows of it at its end.
    let said = &walked.stdout;
    let proof = "every cell of the grid is committed exactly once";
    assert!(said.contains(proof), "{said}");
    Ok(())
}
