//! Starts a real Prometheus for a test, and runs its promtool: from Debian's package `prometheus`, or wherever `PATH` has
//! them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_cli::embedded::free_port;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::process::{Gridloom, Process};
use crate::wait::eventually;

/// How long it may take to start.
const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// A running Prometheus. It ends with the test.
#[derive(Debug)]
pub struct Prometheus {
    address: String,
    process: Process,
    _dir: TempDir,
}

/// Where a tool of Prometheus is.
///
/// # Errors
/// When it is nowhere.
pub fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|place| place.join(name));
    let found = places.find(|place| place.is_file());
    found.with_context(|| format!("find {name}: install Debian's package prometheus"))
}

/// Runs promtool in a directory, with something on its standard input. Returns all that it said.
///
/// # Errors
/// When it is not there, or says that something is wrong.
pub async fn promtool(dir: &Path, args: &[&str], input: &str) -> anyhow::Result<String> {
    let mut child = Command::new(tool("promtool")?)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start promtool")?;
    let mut stdin = child.stdin.take().context("write to promtool")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "promtool {args:?}: {said}");
    Ok(said)
}

impl Prometheus {
    /// Starts it with this configuration, beside which stand these files, and waits until it serves.
    ///
    /// # Errors
    /// When it is not there, or does not start.
    pub async fn start(config: &str, files: &[(&str, &str)]) -> anyhow::Result<Prometheus> {
        let program = tool("prometheus")?;
        let dir = tempfile::Builder::new()
            .prefix("gridloom-prometheus-")
            .tempdir()?;
        let place = dir.path().join("prometheus.yml");
        std::fs::write(&place, config)?;
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text)?;
        }
        let address = format!("127.0.0.1:{}", free_port().context("find a free port")?);
        let args = [
            format!("--config.file={}", place.display()),
            format!("--storage.tsdb.path={}", dir.path().join("data").display()),
            format!("--web.listen-address={address}"),
            "--log.level=warn".to_owned(),
        ];
        let process = Gridloom::program(program, args).start().await?;
        let prometheus = Prometheus {
            address,
            process,
            _dir: dir,
        };
        eventually(STARTED_WITHIN, "Prometheus serves", async || {
            Ok(prometheus.get("/-/ready").await.is_ok())
        })
        .await
        .with_context(|| prometheus.process.stderr())?;
        Ok(prometheus)
    }

    /// What an expression says now: each series with its labels and value.
    ///
    /// # Errors
    /// When it does not answer, or makes nothing of the expression.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/api/v1/query?query={}", encoded(expression));
        let answer = self.get(&path).await?;
        let result = answer["data"]["result"].as_array().cloned();
        result.with_context(|| format!("{expression}: {answer}"))
    }

    /// The alerts that fire or are about to.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let answer = self.get("/api/v1/alerts").await?;
        let alerts = answer["data"]["alerts"].as_array().cloned();
        alerts.with_context(|| format!("alerts: {answer}"))
    }

    /// The alerts of this name that fire.
    ///
    /// # Errors
    /// When Prometheus does not answer.
    pub async fn firing(&self, name: &str) -> anyhow::Result<Vec<Value>> {
        let alerts = self.alerts().await?;
        let fires =
            |alert: &Value| alert["labels"]["alertname"] == name && alert["state"] == "firing";
        Ok(alerts.into_iter().filter(fires).collect())
    }

    /// By HTTP/1.0: answers come whole.
    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nhost: prometheus\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.contains(" 200 "), "{path}: {answer}");
        Ok(serde_json::from_str(body).unwrap_or_default())
    }
}

/// As it stands in an address.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let bytes = text.bytes();
    bytes
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
