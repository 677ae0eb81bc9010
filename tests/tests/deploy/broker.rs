//! A broker as deploy/nats configures it, on ports of its own, with a password for each role.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use gridloom_cli::embedded::free_port;
use gridloom_tests::http;
use gridloom_tests::process::{Gridloom, Process};
use gridloom_tests::server;
use gridloom_tests::wait::eventually;
use tempfile::TempDir;

use super::declared::Declared;
use super::root;

const UP_WITHIN: Duration = Duration::from_secs(20);
/// Who is known to it.
pub(super) const ROLES: [&str; 5] = ["planner", "operator", "worker", "submitter", "monitor"];

/// The password of a role: of digits alone, which nats-server takes for a number where it is not in quotes.
pub(super) fn password(role: &str) -> String {
    let place = ROLES.iter().position(|known| *known == role);
    format!("2026112{}", place.unwrap_or(ROLES.len()))
}

/// Puts the passwords into files of `place`, named like the roles.
pub(super) fn put_passwords(place: &Path) -> std::io::Result<()> {
    ROLES.iter().try_for_each(|role| {
        let file = place.join(format!("{role}.password"));
        std::fs::write(file, password(role))
    })
}

/// The broker. It is gone when this is dropped.
pub(super) struct Broker {
    process: Process,
    /// Where its clients come.
    pub(super) port: u16,
    /// Where it says how it is.
    pub(super) monitoring: u16,
    /// Its streams, and passwords in files.
    pub(super) dir: TempDir,
}

impl Broker {
    /// Starts one with the configuration of a single server.
    pub(super) async fn start() -> anyhow::Result<Broker> {
        let config = root().join("deploy/nats/single.conf");
        let mut declared = Declared {
            name: "deploy/nats/single.conf".to_owned(),
            args: vec!["--config".to_owned(), config.display().to_string()],
            env: Default::default(),
        };
        for role in ROLES {
            let name = format!("NATS_{}_PASSWORD", role.to_uppercase());
            declared.env.insert(name, format!("\"{}\"", password(role)));
        }
        declared
            .env
            .insert("NATS_STORE".to_owned(), "/store".to_owned());
        Broker::as_declared(&declared, "/store").await
    }

    /// Starts the nats-server that a file declares, but on ports of the test's own; where it says `store` it keeps its
    /// streams in a directory of the test's own.
    pub(super) async fn as_declared(declared: &Declared, store: &str) -> anyhow::Result<Broker> {
        let program = server::binary().await?.path;
        let args = declared.args.clone();
        Broker::run(declared, store, program, args).await
    }

    /// As [`Broker::as_declared`], by another program, which starts nats-server in its turn.
    pub(super) async fn run(
        declared: &Declared,
        store: &str,
        program: PathBuf,
        args: Vec<String>,
    ) -> anyhow::Result<Broker> {
        let (port, monitoring) = (free_port()?, free_port()?);
        let dir = tempfile::tempdir()?;
        put_passwords(dir.path())?;
        let mut command = Gridloom::program(program, args);
        for (name, value) in &declared.env {
            let value = value.replace(store, &dir.path().display().to_string());
            command = command.env(name, value);
        }
        let ports = ["-p", &port.to_string(), "-m", &monitoring.to_string()];
        let mut process = command.args(ports).start().await?;
        let address = format!("127.0.0.1:{monitoring}");
        let up = async || {
            ensure!(
                process.is_running()?,
                "{}: {}",
                declared.name,
                process.stderr()
            );
            let answer = http::get(&address, "/healthz").await;
            Ok(answer.is_ok_and(|answer| answer.contains("200 OK")))
        };
        eventually(UP_WITHIN, "the broker is well", up).await?;
        Ok(Broker {
            process,
            port,
            monitoring,
            dir,
        })
    }

    /// The address for clients.
    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A command of an operator.
    pub(super) fn operator(&self, args: &[&str]) -> anyhow::Result<Gridloom> {
        let file = self.dir.path().join("operator.password");
        let command = Gridloom::new(["--json"])?.args(args.iter().copied());
        Ok(command
            .env("GRIDLOOM_NATS", self.url())
            .env("GRIDLOOM_NATS_USER", "operator")
            .env("GRIDLOOM_NATS_PASSWORD_FILE", file))
    }

    /// What it wrote.
    pub(super) fn said(&self) -> String {
        self.process.stderr()
    }
}

/// Starts planners and workers, waits until each can work, and has them do a run: proof that what they were given is
/// all that they need.
pub(super) async fn work(broker: &Broker, services: &[Declared]) -> anyhow::Result<()> {
    let mut running = Vec::new();
    for service in services {
        let mut process = service.start().await?;
        service.ready(&mut process).await?;
        running.push(process);
    }
    let place = tempfile::tempdir()?;
    let job = "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 5 }\n";
    std::fs::write(place.path().join("steady.toml"), job)?;
    for args in [
        vec!["job", "apply", "steady.toml"],
        vec!["run", "steady", "--wait"],
    ] {
        let command = broker.operator(&args)?.dir(place.path());
        command
            .start()
            .await?
            .finish(Duration::from_secs(40))
            .await?
            .succeeded()?;
    }
    for process in &running {
        let said = process.stderr();
        ensure!(
            !said.contains("Permissions Violation"),
            "{said}\n{}",
            broker.said()
        );
        ensure!(!said.contains("is no known setting"), "{said}");
    }
    Ok(())
}
