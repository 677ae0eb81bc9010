//! Every file of deploy/nats is started as it says itself that it is, on addresses of the test's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use async_nats::ConnectOptions;
use gridloom_cli::embedded::free_port;
use gridloom_tests::certificates::Authority;
use gridloom_tests::process::{Gridloom, Output, Process};
use gridloom_tests::roles::{ROLES, Raw, deployed, variable};
use gridloom_tests::server::binary;
use gridloom_tests::wait::{eventually, eventually_some};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(60);

/// nats-servers with files of deploy/nats, as people start them. All of it is gone when it is dropped.
struct Deployed {
    servers: Vec<Process>,
    url: String,
    /// How a user is let in: variables of `gridloom`, beside those of user and password.
    env: Vec<(String, String)>,
    authority: Option<PathBuf>,
    dir: TempDir,
}

/// A server's own addresses, in place of those in its file.
struct Ports {
    client: u16,
    http: u16,
    route: u16,
}

impl Ports {
    fn free() -> anyhow::Result<Ports> {
        Ok(Ports {
            client: free_port()?,
            http: free_port()?,
            route: free_port()?,
        })
    }
}

/// A server by its file.
async fn server(file: &Path, ports: &Ports) -> anyhow::Result<Gridloom> {
    let mut server = Gridloom::program(binary().await?.path, ["-c"]);
    server = server.args([file]);
    server = server.args(["-a", "127.0.0.1", "-p", &ports.client.to_string()]);
    server = server.args(["-m", &ports.http.to_string()]);
    for role in ROLES {
        server = server.env(variable(role), role);
    }
    Ok(server)
}

impl Deployed {
    async fn one(file: &Path) -> anyhow::Result<Deployed> {
        let (dir, ports) = (tempfile::tempdir()?, Ports::free()?);
        let server = server(file, &ports).await?;
        let server = server.env("NATS_STORE", dir.path()).start().await?;
        Ok(Deployed {
            servers: vec![server],
            url: format!("nats://127.0.0.1:{}", ports.client),
            env: Vec::new(),
            authority: None,
            dir,
        })
    }

    /// The three of deploy/nats/cluster, with certificates of the test's own.
    async fn three() -> anyhow::Result<Deployed> {
        let dir = tempfile::tempdir()?;
        let authority = Authority::new(dir.path(), "authority")?;
        let shown = authority.sign("server", &["localhost", "127.0.0.1"])?;
        let ports = [Ports::free()?, Ports::free()?, Ports::free()?];
        let routes = ports
            .iter()
            .map(|ports| format!("nats://localhost:{}", ports.route));
        let routes = routes.collect::<Vec<_>>().join(",");
        let mut servers = Vec::new();
        for (name, ports) in ["one", "two", "three"].into_iter().zip(&ports) {
            let file = deployed().join(format!("cluster/{name}.conf"));
            let server = server(&file, ports).await?;
            let listens = format!("nats://localhost:{}", ports.route);
            let server = server.args(["--cluster", &listens, "--routes", &routes]);
            let server = server
                .env("NATS_STORE", dir.path().join(name))
                .env("NATS_TLS_CERT", &shown.cert)
                .env("NATS_TLS_KEY", &shown.key)
                .env("NATS_TLS_CA", &authority.file);
            servers.push(server.start().await?);
        }
        let urls = ports
            .iter()
            .map(|ports| format!("tls://localhost:{}", ports.client));
        let ca = authority.file.display().to_string();
        Ok(Deployed {
            servers,
            url: urls.collect::<Vec<_>>().join(","),
            env: vec![
                ("GRIDLOOM_NATS_CA".into(), ca),
                ("GRIDLOOM_QUEUE_REPLICAS".into(), "3".into()),
            ],
            authority: Some(authority.file.clone()),
            dir,
        })
    }

    /// Whether the servers become a cluster whose JetStream answers.
    async fn forms(&self) -> bool {
        let answers = eventually(SOON, "JetStream answers", async || {
            let raw = self.log_in("planner").await?;
            let info = raw.client.request("$JS.API.INFO", "".into()).await;
            Ok(info.is_ok_and(|info| !info.payload.windows(7).any(|part| part == b"\"error\"")))
        });
        answers.await.is_ok()
    }

    /// A client of that role, as soon as a server answers.
    async fn log_in(&self, role: &str) -> anyhow::Result<Raw> {
        let what = format!("{role} is let in");
        let waited = eventually_some(SOON, &what, async || {
            let mut options = ConnectOptions::with_user_and_password(role.into(), role.into());
            if let Some(authority) = &self.authority {
                options = options
                    .add_root_certificates(authority.clone())
                    .require_tls(true);
            }
            let first = self.url.split(',').next().unwrap_or_default();
            Ok(Raw::with(options, first).await.ok())
        });
        waited.await
    }

    fn gridloom(&self, role: &str, args: &[&str]) -> anyhow::Result<Gridloom> {
        let mut command = Gridloom::new(args.iter().copied())?
            .env("GRIDLOOM_NATS", &self.url)
            .env("GRIDLOOM_NATS_USER", role)
            .env("GRIDLOOM_NATS_PASSWORD", role)
            .dir(self.dir.path());
        for (name, value) in &self.env {
            command = command.env(name, value);
        }
        Ok(command)
    }

    fn said(&self) -> String {
        let said = self.servers.iter().map(Process::stderr);
        said.collect::<Vec<_>>().join("\n---\n")
    }
}

/// Brings up a planner and a worker, and has a run made, each as the user that `gridloom` lets in.
async fn works(
    dir: &Path,
    gridloom: impl Fn(&str, &[&str]) -> anyhow::Result<Gridloom>,
) -> anyhow::Result<()> {
    let planner = gridloom("planner", &["planner"])?.start().await?;
    let worker = gridloom("worker", &["worker"])?.start().await?;
    let operator = async |args: &[&str]| -> anyhow::Result<Output> {
        gridloom("operator", args)?
            .start()
            .await?
            .finish(SOON)
            .await
    };
    let job = "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 5 }\n";
    std::fs::write(dir.join("job.toml"), job)?;
    let applied = eventually_some(LONG, "the job is applied", async || {
        let said = operator(&["job", "apply", "job.toml"]).await?;
        Ok((said.code == 0).then_some(said))
    });
    applied.await.with_context(|| planner.stderr())?;
    operator(&["run", "steady", "--wait"]).await?.succeeded()?;
    for said in [planner.stderr(), worker.stderr()] {
        anyhow::ensure!(!said.contains("Permissions Violation"), "{said}");
    }
    Ok(())
}

/// Each role is let in, nobody else is, and the engine works.
async fn serves(deployed: &Deployed) -> anyhow::Result<()> {
    for role in ROLES {
        deployed.log_in(role).await?;
    }
    let stranger = ConnectOptions::with_user_and_password("worker".into(), "no".into());
    let first = deployed.url.split(',').next().unwrap_or_default();
    assert!(stranger.connect(first).await.is_err(), "anybody is let in");
    works(deployed.dir.path(), |role, args| {
        deployed.gridloom(role, args)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_is_started_by_its_file() -> anyhow::Result<()> {
    let deployed = Deployed::one(&deployed().join("single.conf")).await?;
    let served = serves(&deployed).await;
    served.with_context(|| deployed.said())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_are_started_by_their_files_with_tls_between_them() -> anyhow::Result<()> {
    let mut deployed = Deployed::three().await?;
    if !deployed.forms().await {
        // Somebody else may have been given one of its nine ports meanwhile.
        deployed = Deployed::three().await?;
    }
    let served = serves(&deployed).await;
    served.with_context(|| deployed.said())
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
        printed(&["default", "noop", "sql", "exec", "http"], &[]).await?
    );
    let own = [("INBOX", "_INBOX_one"), ("NUMBERS", "2"), ("NAME", "one")];
    let other = printed(&["images", "noop"], &own).await?;
    assert!(other.contains("\"_INBOX_one.>\"") && other.contains("images_noop-2"));
    assert!(
        !other.contains("default") && !other.contains("images_noop-3"),
        "{other}"
    );
    Ok(())
}

/// What the script of the decentralised form needs beside this repository.
fn is_there(program: &str) -> bool {
    let asked = std::process::Command::new(program).arg("--help").output();
    asked.is_ok()
}

/// Runs the script; `false` where it cannot be run here.
#[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
async fn signs(dir: &Path, args: &[&str]) -> anyhow::Result<bool> {
    if !is_there("python3") || !is_there("openssl") {
        anyhow::ensure!(
            std::env::var_os("CI").is_none(),
            "python3 and openssl are needed"
        );
        eprintln!("\n*** NOT RUN: no python3, or no openssl, for deploy/nats/jwt.py ***\n");
        return Ok(false);
    }
    let script = Gridloom::program("python3", [deployed().join("jwt.py")]).args([dir]);
    let script = script.args(args.iter().copied()).start().await?;
    script.finish(SOON).await?.succeeded()?;
    Ok(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn decentralised_form_says_the_same_and_stolen_credentials_are_revoked() -> anyhow::Result<()>
{
    let dir = tempfile::tempdir()?;
    if !signs(dir.path(), &[]).await? {
        return Ok(());
    }
    let mut deployed = Deployed::one(&dir.path().join("nats.conf")).await?;
    let creds = |user: &str| dir.path().join(format!("{user}.creds"));
    let log_in = async |user: &str| -> anyhow::Result<Raw> {
        let options = ConnectOptions::with_credentials_file(creds(user)).await?;
        Raw::with(options, &deployed.url).await
    };
    eventually(SOON, "the server answers", async || {
        Ok(log_in("monitor").await.is_ok())
    })
    .await?;
    let gridloom = |role: &str, args: &[&str]| -> anyhow::Result<Gridloom> {
        Ok(Gridloom::new(args.iter().copied())?
            .env("GRIDLOOM_NATS", &deployed.url)
            .env("GRIDLOOM_NATS_CREDS", creds(role))
            .dir(dir.path()))
    };
    let worked = works(dir.path(), gridloom).await;
    worked.with_context(|| deployed.said())?;
    for (role, subject) in [
        ("operator", "gridloom.term"),
        ("worker", "gridloom.ledger.default.steady_r_1.plan"),
        (
            "worker",
            "$JS.API.CONSUMER.MSG.NEXT.gridloom-shards.other_noop-1",
        ),
        ("submitter", "gridloom.submit.nightly"),
        ("monitor", "$KV.gridloom-jobs.steady"),
    ] {
        log_in(role).await?.may_not_publish(subject).await?;
    }
    let stolen = dir.path().join("stolen.creds");
    std::fs::copy(creds("submitter"), &stolen)?;
    signs(dir.path(), &["--revoke", "submitter"]).await?;
    deployed.servers[0].signal(rustix::process::Signal::HUP)?;
    eventually(SOON, "what was stolen is refused", async || {
        let options = ConnectOptions::with_credentials_file(&stolen).await?;
        Ok(options.connect(&deployed.url).await.is_err())
    })
    .await?;
    let options = ConnectOptions::with_credentials_file(creds("submitter")).await?;
    options.connect(&deployed.url).await?;
    Ok(())
}
