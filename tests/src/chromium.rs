//! Drives a headless Chromium: from Debian's package `chromium`, or wherever `PATH` has it. It is spoken to through two
//! pipes, in JSON, and remembers what pages complained of and whom they asked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

/// How long an answer may take: the first one waits for its start.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// How long a page may take for what is waited for.
const SOON: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How it is started: the debugging pipe is on the descriptors 3 and 4, which a shell puts there.
const SHELL: &str = "exec \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null";

/// A running Chromium with one page. It ends with the test.
#[derive(Debug)]
pub struct Chromium {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    asked: u64,
    session: Option<String>,
    faults: Vec<String>,
    hosts: BTreeSet<String>,
    _dir: TempDir,
    _room: SemaphorePermit<'static>,
}

/// So many at once: each paints on all cores that there are, and of four of them nobody is answered in time.
static ROOM: Semaphore = Semaphore::const_new(2);

/// Where Chromium is.
///
/// # Errors
/// When it is nowhere.
pub fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|place| place.join("chromium"));
    let found = places.find(|place| place.is_file());
    found.context("find chromium: install Debian's package chromium")
}

impl Chromium {
    /// Starts it, with an empty page, once there is room. A test starts one alone: two may wait for each other.
    ///
    /// # Errors
    /// When it is not there, or does not start.
    pub async fn start() -> anyhow::Result<Chromium> {
        let room = ROOM.acquire().await?;
        let dir = tempfile::Builder::new()
            .prefix("gridloom-chromium-")
            .tempdir()?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", SHELL, "sh"])
            .arg(program()?)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", dir.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start chromium")?;
        let to = child.stdin.take().context("a pipe to chromium")?;
        let from = child.stdout.take().context("a pipe from chromium")?;
        let mut chromium = Chromium {
            child,
            to,
            from: BufReader::new(from),
            asked: 0,
            session: None,
            faults: Vec::new(),
            hosts: BTreeSet::new(),
            _dir: dir,
            _room: room,
        };
        chromium.attach().await?;
        Ok(chromium)
    }

    async fn attach(&mut self) -> anyhow::Result<()> {
        let made = self
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await?;
        let wanted = json!({ "targetId": made["targetId"], "flatten": true });
        let attached = self.call("Target.attachToTarget", wanted).await?;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for part in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{part}.enable"), json!({})).await?;
        }
        Ok(())
    }

    /// Has it do something.
    ///
    /// # Errors
    /// When it does not do it.
    pub async fn call(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).await.context("ask chromium")?;
        let answer = timeout(ANSWERS_WITHIN, self.answer()).await;
        let answer = answer.with_context(|| format!("{method}: no answer"))??;
        ensure!(
            answer["error"].is_null(),
            "{method}: {}",
            answer["error"]["message"]
        );
        Ok(answer["result"].clone())
    }

    async fn answer(&mut self) -> anyhow::Result<Value> {
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).await?;
            ensure!(bytes.pop() == Some(0), "chromium has ended");
            let message: Value = serde_json::from_slice(&bytes)?;
            if message["id"] == self.asked {
                return Ok(message);
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.faults.push(params["exceptionDetails"].to_string());
            }
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                let entry = &params["entry"];
                let url = entry["url"].as_str().unwrap_or_default();
                // A problem that the API tells is an answer, which pages show.
                if !url.contains("/api/v1/") {
                    self.faults.push(format!("{} {url}", entry["text"]));
                }
            }
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                self.faults.push(params["args"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                let host = url.split_once("://").map(|(_, rest)| rest);
                let host = host.and_then(|rest| rest.split('/').next());
                self.hosts.extend(host.map(str::to_owned));
            }
            _ => {}
        }
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn open(&mut self, url: &str) -> anyhow::Result<()> {
        let went = self.call("Page.navigate", json!({ "url": url })).await?;
        ensure!(went["errorText"].is_null(), "{url}: {}", went["errorText"]);
        Ok(())
    }

    /// What an expression of the page comes to; a promise is waited for. Where it throws it is tried again: what it looks for
    /// may be about to be painted.
    ///
    /// # Errors
    /// When it still throws by then.
    pub async fn js(&mut self, expression: &str) -> anyhow::Result<Value> {
        let deadline = Instant::now() + SOON;
        loop {
            let told = self.evaluate(expression).await;
            if told.is_ok() || Instant::now() > deadline {
                return told;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let wanted =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let told = self.call("Runtime.evaluate", wanted).await?;
        let thrown = &told["exceptionDetails"];
        ensure!(thrown.is_null(), "{expression}: {thrown}");
        Ok(told["result"]["value"].clone())
    }

    /// Waits until an expression of the page is true.
    ///
    /// # Errors
    /// When it is not by then: shows what the page says instead.
    pub async fn until(&mut self, expression: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + SOON;
        loop {
            // A page that is just being left has nothing of it.
            if self
                .evaluate(expression)
                .await
                .is_ok_and(|value| value == true)
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                let text = self.js("document.body.innerText").await?;
                bail!("{expression} is not so, but: {text} {:?}", self.faults);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the page says these words.
    ///
    /// # Errors
    /// When it does not: shows what it says instead.
    pub async fn says(&mut self, words: &str) -> anyhow::Result<()> {
        self.until(&format!(
            "document.body.innerText.includes({})",
            json!(words)
        ))
        .await
    }

    /// Presses a button, or follows a link, that is called so.
    ///
    /// # Errors
    /// When there is none.
    pub async fn press(&mut self, name: &str) -> anyhow::Result<()> {
        let find = format!(
            "[...document.querySelectorAll('dialog[open] button, dialog[open] a')].concat([...document.querySelectorAll('button, a')])\
             .find((each) => each.innerText.trim() === {} && !each.disabled)",
            json!(name)
        );
        self.until(&format!("Boolean({find})")).await?;
        self.js(&format!("{find}.click()")).await?;
        Ok(())
    }

    /// Presses the button of the question that is open, once it may be pressed.
    ///
    /// # Errors
    /// When there is none.
    pub async fn confirm(&mut self) -> anyhow::Result<()> {
        let button = "document.querySelector('dialog[open] button[type=submit]:not(:disabled)')";
        self.until(&format!("Boolean({button})")).await?;
        self.js(&format!("{button}.click()")).await?;
        Ok(())
    }

    /// Types into the field that a selector finds.
    ///
    /// # Errors
    /// When there is none.
    pub async fn fill(&mut self, selector: &str, text: &str) -> anyhow::Result<()> {
        let field = format!("document.querySelector({})", json!(selector));
        self.until(&format!("Boolean({field})")).await?;
        let fill = format!(
            "(() => {{ const field = {field}; field.value = {}; field.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()",
            json!(text)
        );
        self.js(&fill).await?;
        Ok(())
    }

    /// How wide its window is, and which of the two looks the system asks for.
    ///
    /// # Errors
    /// When it cannot be so.
    pub async fn look(&mut self, width: u32, scheme: &str) -> anyhow::Result<()> {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size)
            .await?;
        let scheme = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": [scheme] }),
        )
        .await?;
        Ok(())
    }

    /// Puts a picture of the whole page into a file.
    ///
    /// # Errors
    /// When it is not painted, or not written.
    pub async fn picture(&mut self, file: &Path) -> anyhow::Result<()> {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let taken = self.call("Page.captureScreenshot", whole).await?;
        let taken = taken["data"].as_str().context("a picture")?;
        let bytes = BASE64.decode(taken.as_bytes()).context("a picture")?;
        let written = std::fs::write(file, bytes);
        written.with_context(|| format!("write {}", file.display()))
    }

    /// What pages have complained of since this was asked last.
    pub fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// Whom pages have asked so far.
    pub fn hosts(&self) -> &BTreeSet<String> {
        &self.hosts
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.session = None;
        // It may be gone before it has answered.
        let _ = self.call("Browser.close", json!({})).await;
        timeout(ANSWERS_WITHIN, self.child.wait()).await??;
        Ok(())
    }
}
