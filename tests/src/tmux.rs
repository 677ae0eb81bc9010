//! A terminal with a shell in it, as a person has one: a server of tmux of its own, that ends with the test.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::process::{Gridloom, Process};
use crate::wait::{eventually, eventually_some};

const SOON: Duration = Duration::from_secs(30);

/// No line of its own below the picture, and no program of a user's configuration.
const CONFIG: &str = "set -g status off\nset -g exit-empty off\nset -g escape-time 0\n";

/// Whether tmux is here; it is said if not, and in CI that is a failure.
///
/// # Panics
/// In CI, when it is not.
pub fn is_there() -> bool {
    let found = std::process::Command::new("tmux")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = found.is_ok_and(|status| status.success());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "no tmux in CI: install it"
    );
    found
}

/// A terminal.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
    _server: Process,
    _dir: tempfile::TempDir,
}

impl Tmux {
    /// A terminal of that size, with a shell that has these variables and hardly any other.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(
        (columns, rows): (u16, u16),
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Tmux> {
        let dir = tempfile::Builder::new()
            .prefix("gridloom-tmux-")
            .tempdir()?;
        let (config, socket) = (dir.path().join("config"), dir.path().join("socket"));
        std::fs::write(&config, CONFIG)?;
        // In the foreground, so that it ends with whoever watches over it.
        let server = Gridloom::program(
            "tmux",
            [
                "-S".into(),
                socket.clone(),
                "-f".into(),
                config,
                "-D".into(),
            ]
            .map(PathBuf::into_os_string),
        );
        let server = server.start().await?;
        let terminal = Tmux {
            socket,
            _server: server,
            _dir: dir,
        };
        let is_up = async || Ok(terminal.socket.exists().then_some(()));
        eventually_some(SOON, "tmux listens", is_up).await?;
        let mut shell = String::from(
            "exec env -i PATH=\"$PATH\" HOME=/nowhere TERM=screen-256color LANG=C.UTF-8 PS1='at-the-prompt '",
        );
        for (name, value) in variables {
            shell.push_str(&format!(" {name}='{value}'"));
        }
        shell.push_str(" sh");
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let session = ["new-session", "-d", "-x", &columns, "-y", &rows, &shell];
        terminal.order(&session).await?;
        terminal.shows("at-the-prompt").await?;
        Ok(terminal)
    }

    /// What is seen, line by line.
    ///
    /// # Errors
    /// When tmux does not say.
    pub async fn screen(&self) -> anyhow::Result<String> {
        self.order(&["capture-pane", "-p"]).await
    }

    /// Presses keys, each by its name or its letter.
    ///
    /// # Errors
    /// When tmux does not take them.
    pub async fn press(&self, keys: &[&str]) -> anyhow::Result<()> {
        let mut order = vec!["send-keys"];
        order.extend(keys);
        self.order(&order).await?;
        Ok(())
    }

    /// Types a line and sends it off.
    ///
    /// # Errors
    /// As [`Tmux::press`].
    pub async fn line(&self, text: &str) -> anyhow::Result<()> {
        self.order(&["send-keys", "-l", text]).await?;
        self.press(&["Enter"]).await
    }

    /// Makes it as large as that.
    ///
    /// # Errors
    /// When tmux does not.
    pub async fn resize(&self, (columns, rows): (u16, u16)) -> anyhow::Result<()> {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.order(&["resize-window", "-x", &columns, "-y", &rows])
            .await?;
        Ok(())
    }

    /// Waits until this text is seen, and gives all that is seen then.
    ///
    /// # Errors
    /// When it is not by then: shows what was.
    pub async fn shows(&self, text: &str) -> anyhow::Result<String> {
        let mut last = String::new();
        let what = format!("the terminal shows {text:?}");
        let waited = eventually_some(SOON, &what, async || {
            last = self.screen().await?;
            Ok(last.contains(text).then(|| last.clone()))
        })
        .await;
        waited.with_context(|| format!("what it shows:\n{last}"))
    }

    /// Waits until this text is not seen any more.
    ///
    /// # Errors
    /// When it is still there.
    pub async fn hides(&self, text: &str) -> anyhow::Result<()> {
        let what = format!("the terminal shows {text:?} no more");
        let gone = async || Ok(!self.screen().await?.contains(text));
        eventually(SOON, &what, gone).await
    }

    /// Whether the terminal shows its second face, which programs take for a while.
    ///
    /// # Errors
    /// When tmux does not say.
    pub async fn is_taken(&self) -> anyhow::Result<bool> {
        let said = self
            .order(&["display-message", "-p", "#{alternate_on}"])
            .await?;
        Ok(said.trim() == "1")
    }

    async fn order(&self, order: &[&str]) -> anyhow::Result<String> {
        let mut tmux = Command::new("tmux");
        let tmux = tmux.arg("-S").arg(&self.socket).args(order);
        let done = tmux.env_remove("TMUX").output().await?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "tmux {order:?}: {said}");
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }
}
