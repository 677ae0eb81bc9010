//! What may be said of the way to the broker beside its address.

use std::path::PathBuf;

use clap::Args;
use gridloom_shared::broker::connect::{Settings, TlsUse};
use gridloom_shared::environment::{self, EnvironmentError};
use gridloom_shared::secret::Secret;

use crate::setting::Timeout;

/// Flags of the way to the broker. No password and no token: other users see the flags of a process.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct NatsFlags {
    /// A credentials file, as nsc writes it, to log in with
    #[arg(
        long = "nats-creds",
        global = true,
        env = "GRIDLOOM_NATS_CREDS",
        value_name = "FILE"
    )]
    #[arg(hide_env_values = true, hide_short_help = true)]
    pub creds: Option<PathBuf>,
    /// A file with the seed of a user's nkey, to log in with
    #[arg(
        long = "nats-nkey",
        global = true,
        env = "GRIDLOOM_NATS_NKEY",
        value_name = "FILE"
    )]
    #[arg(hide_env_values = true, hide_short_help = true)]
    pub nkey: Option<PathBuf>,
    /// A user, to log in with; its password stands in GRIDLOOM_NATS_PASSWORD or in a file
    #[arg(
        long = "nats-user",
        global = true,
        env = "GRIDLOOM_NATS_USER",
        value_name = "NAME"
    )]
    #[arg(hide_env_values = true, hide_short_help = true)]
    pub user: Option<String>,
    /// A file with that user's password
    #[arg(
        long = "nats-password-file",
        global = true,
        env = "GRIDLOOM_NATS_PASSWORD_FILE"
    )]
    #[arg(value_name = "FILE", hide_env_values = true, hide_short_help = true)]
    pub password_file: Option<PathBuf>,
    /// A file with a token to log in with; or the token itself in GRIDLOOM_NATS_TOKEN
    #[arg(
        long = "nats-token-file",
        global = true,
        env = "GRIDLOOM_NATS_TOKEN_FILE"
    )]
    #[arg(value_name = "FILE", hide_env_values = true, hide_short_help = true)]
    pub token_file: Option<PathBuf>,
    /// Certificate authorities (PEM) to trust [default: the system's]
    #[arg(
        long = "nats-ca",
        global = true,
        env = "GRIDLOOM_NATS_CA",
        value_name = "FILE"
    )]
    #[arg(hide_env_values = true, hide_short_help = true)]
    pub ca: Option<PathBuf>,
    /// A client certificate (PEM)
    #[arg(
        long = "nats-cert",
        global = true,
        env = "GRIDLOOM_NATS_CERT",
        value_name = "FILE"
    )]
    #[arg(hide_env_values = true, hide_short_help = true)]
    pub cert: Option<PathBuf>,
    /// The client certificate's key (PEM)
    #[arg(
        long = "nats-key",
        global = true,
        env = "GRIDLOOM_NATS_KEY",
        value_name = "FILE"
    )]
    #[arg(hide_env_values = true, hide_short_help = true)]
    pub key: Option<PathBuf>,
    /// When the connection is encrypted: prefer (where the broker asks for it), required, or first (a broker with
    /// handshake_first) [default: prefer; required with --nats-ca or --nats-cert]
    #[arg(
        long = "nats-tls",
        global = true,
        env = "GRIDLOOM_NATS_TLS",
        value_name = "WHEN"
    )]
    #[arg(hide_env_values = true, hide_short_help = true)]
    pub tls: Option<TlsUse>,
    /// The JetStream domain of the streams, where the broker is reached over a leaf node
    #[arg(
        long = "nats-domain",
        global = true,
        env = "GRIDLOOM_NATS_DOMAIN",
        value_name = "NAME"
    )]
    #[arg(hide_env_values = true, hide_short_help = true)]
    pub domain: Option<String>,
    /// What subjects for answers begin with, where permissions bind a user to its own [default: _INBOX]
    #[arg(
        long = "nats-inbox",
        global = true,
        env = "GRIDLOOM_NATS_INBOX",
        value_name = "PREFIX"
    )]
    #[arg(hide_env_values = true, hide_short_help = true)]
    pub inbox: Option<String>,
    /// How long connecting may take [default: 3s for commands, 10s for services]
    #[arg(
        long = "nats-timeout",
        global = true,
        env = "GRIDLOOM_NATS_TIMEOUT",
        value_name = "TIME"
    )]
    #[arg(hide_env_values = true, hide_short_help = true)]
    pub timeout: Option<Timeout>,
}

impl NatsFlags {
    /// What flags and variables say, those of secrets too.
    ///
    /// # Errors
    /// When a variable is no text, or a secret stands in one and in a file as well.
    pub fn settings(&self) -> Result<Settings, EnvironmentError> {
        Ok(Settings {
            creds: self.creds.clone(),
            nkey: self.nkey.clone(),
            user: self.user.clone(),
            password: secret("NATS_PASSWORD", self.password_file.as_ref())?,
            token: secret("NATS_TOKEN", self.token_file.as_ref())?,
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            tls: self.tls,
            domain: self.domain.clone(),
            inbox: self.inbox.clone(),
            timeout: self.timeout.map(|timeout| timeout.0),
        })
    }

    /// A flag that was typed here and now, as far as it can be told from its variable.
    pub fn typed(&self) -> Option<&'static str> {
        let differs = |variable: &str, given: Option<&std::ffi::OsStr>| {
            given.is_some() && std::env::var_os(variable).as_deref() != given
        };
        let path = |variable: &str, given: &Option<PathBuf>| {
            differs(variable, given.as_ref().map(|path| path.as_os_str()))
        };
        let text = |variable: &str, given: &Option<String>| {
            differs(variable, given.as_ref().map(|text| text.as_ref()))
        };
        let typed = [
            ("--nats-creds", path("GRIDLOOM_NATS_CREDS", &self.creds)),
            ("--nats-nkey", path("GRIDLOOM_NATS_NKEY", &self.nkey)),
            ("--nats-user", text("GRIDLOOM_NATS_USER", &self.user)),
            (
                "--nats-password-file",
                path("GRIDLOOM_NATS_PASSWORD_FILE", &self.password_file),
            ),
            (
                "--nats-token-file",
                path("GRIDLOOM_NATS_TOKEN_FILE", &self.token_file),
            ),
            ("--nats-ca", path("GRIDLOOM_NATS_CA", &self.ca)),
            ("--nats-cert", path("GRIDLOOM_NATS_CERT", &self.cert)),
            ("--nats-key", path("GRIDLOOM_NATS_KEY", &self.key)),
            ("--nats-domain", text("GRIDLOOM_NATS_DOMAIN", &self.domain)),
            ("--nats-inbox", text("GRIDLOOM_NATS_INBOX", &self.inbox)),
            (
                "--nats-tls",
                self.tls.is_some() && is_unset("GRIDLOOM_NATS_TLS"),
            ),
            (
                "--nats-timeout",
                self.timeout.is_some() && is_unset("GRIDLOOM_NATS_TIMEOUT"),
            ),
        ];
        typed
            .iter()
            .find(|(_, typed)| *typed)
            .map(|(flag, _)| *flag)
    }
}

fn is_unset(variable: &str) -> bool {
    std::env::var_os(variable).is_none()
}

/// The secret of the variable `name`, or the file that a flag or its variable names.
fn secret(name: &'static str, file: Option<&PathBuf>) -> Result<Option<Secret>, EnvironmentError> {
    let variable = environment::place_of(name)?;
    Ok(file.cloned().map(Secret::File).or(variable))
}
