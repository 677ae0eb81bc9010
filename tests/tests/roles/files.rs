//! Every file of deploy/nats is started as it says itself that it is, on addresses of the test's own.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use gridloom_cli::embedded::free_port;
use gridloom_tests::process::{Gridloom, Output, Process};
use gridloom_tests::roles::{ROLES, Raw, deployed, variable};
use gridloom_tests::server::binary;
use gridloom_tests::wait::eventually_some;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

/// A nats-server with a file of deploy/nats, as people start it. All of it is gone when it is dropped.
struct Deployed {
    server: Process,
    url: String,
    dir: TempDir,
}

impl Deployed {
    async fn start(file: &str) -> anyhow::Result<Deployed> {
        let dir = tempfile::tempdir()?;
        let (port, http) = (free_port()?, free_port()?);
        let file = deployed().join(file);
        let args = ["-c", file.to_str().context("a path")?, "-a", "127.0.0.1"].map(str::to_owned);
        let ports = ["-p".into(), port.to_string(), "-m".into(), http.to_string()];
        let mut server = Gridloom::program(binary().await?.path, args.into_iter().chain(ports));
        server = server.env("NATS_STORE", dir.path());
        for role in ROLES {
            server = server.env(variable(role), role);
        }
        Ok(Deployed {
            server: server.start().await?,
            url: format!("nats://127.0.0.1:{port}"),
            dir,
        })
    }

    /// A client of that role, as soon as the server answers.
    async fn log_in(&self, role: &str) -> anyhow::Result<Raw> {
        let what = format!("{role} is let in");
        let waited = eventually_some(SOON, &what, async || {
            Ok(Raw::connect(&self.url, role).await.ok())
        });
        waited.await.with_context(|| self.server.stderr())
    }

    fn gridloom(&self, role: &str, args: &[&str]) -> anyhow::Result<Gridloom> {
        let url = self.url.replace("//", &format!("//{role}:{role}@"));
        Ok(Gridloom::new(args.iter().copied())?
            .env("GRIDLOOM_NATS", url)
            .dir(self.dir.path()))
    }

    async fn operator(&self, args: &[&str]) -> anyhow::Result<Output> {
        self.gridloom("operator", args)?
            .start()
            .await?
            .finish(SOON)
            .await
    }
}

/// Brings up a planner and a worker, and has a run made.
async fn works(deployed: &Deployed) -> anyhow::Result<()> {
    for role in ROLES {
        deployed.log_in(role).await?;
    }
    let stranger = async_nats::ConnectOptions::with_user_and_password("worker".into(), "no".into());
    assert!(
        stranger.connect(&deployed.url).await.is_err(),
        "anybody is let in"
    );
    let planner = deployed.gridloom("planner", &["planner"])?.start().await?;
    let worker = deployed.gridloom("worker", &["worker"])?.start().await?;
    let job = "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 5 }\n";
    std::fs::write(deployed.dir.path().join("job.toml"), job)?;
    let applied = eventually_some(SOON, "the job is applied", async || {
        let said = deployed.operator(&["job", "apply", "job.toml"]).await?;
        Ok((said.code == 0).then_some(said))
    });
    applied.await?;
    deployed
        .operator(&["run", "steady", "--wait"])
        .await?
        .succeeded()?;
    for said in [planner.stderr(), worker.stderr()] {
        anyhow::ensure!(!said.contains("Permissions Violation"), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_is_started_by_its_file() -> anyhow::Result<()> {
    let mut deployed = Deployed::start("single.conf").await?;
    let worked = works(&deployed).await;
    worked.with_context(|| deployed.server.stderr())?;
    deployed.server.kill().await
}

/// What worker.sh prints with these arguments.
async fn printed(args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut script = Gridloom::program(deployed().join("worker.sh"), args.iter().copied());
    for (name, value) in env {
        script = script.env(*name, *value);
    }
    Ok(script
        .start()
        .await?
        .finish(SOON)
        .await?
        .succeeded()?
        .stdout)
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn account_of_workers_is_what_its_script_prints() -> anyhow::Result<()> {
    let file = read(&deployed().join("worker-default.conf"))?;
    assert_eq!(
        file,
        printed(&["default", "noop", "sql", "exec"], &[]).await?
    );
    Ok(())
}
