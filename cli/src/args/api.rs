//! Flags of the HTTP API, and `gridloom token`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use gridloom_planner::api::access::Role;

use crate::setting::{Listen, TokenLines};

/// Settings of the HTTP API.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "HTTP API")]
pub struct ApiFlags {
    /// Address of the HTTP API; others than this machine are let in with tokens only [default: 127.0.0.1:7070, or any
    /// free port where that is taken]
    #[arg(
        id = "api-listen",
        long = "api-listen",
        env = "GRIDLOOM_API_LISTEN",
        value_name = "ADDRESS",
        hide_env_values = true
    )]
    pub listen: Option<Listen>,
    /// What stands before all of its paths, where a proxy leaves it there, as /gridloom [default: nothing]
    #[arg(
        id = "api-base-path",
        long = "api-base-path",
        env = "GRIDLOOM_API_BASE_PATH",
        value_name = "PATH",
        hide_env_values = true
    )]
    pub base_path: Option<String>,
    /// Refuse whatever would change something
    #[arg(
        id = "api-read-only",
        long = "api-read-only",
        env = "GRIDLOOM_API_READ_ONLY",
        value_name = "true|false",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_env_values = true
    )]
    pub read_only: Option<bool>,
    /// Somebody who may ask, as gridloom token prints it: NAME=ROLE:SHA256; one a line in the variable. A name puts
    /// aside one of the file
    #[arg(
        id = "api-token",
        long = "api-token",
        env = "GRIDLOOM_API_TOKENS",
        value_name = "NAME=ROLE:SHA256",
        hide_env_values = true
    )]
    pub tokens: Option<Vec<TokenLines>>,
    /// Its certificate, and those between it and its authority (PEM): it speaks TLS then [default: none]
    #[arg(
        id = "api-tls-cert",
        long = "api-tls-cert",
        env = "GRIDLOOM_API_TLS_CERT",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(
        id = "api-tls-key",
        long = "api-tls-key",
        env = "GRIDLOOM_API_TLS_KEY",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub tls_key: Option<PathBuf>,
}

/// Flags of `token`.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// Whose it is: what stands beside whatever is done with it
    pub name: String,
    /// What it may do: viewer, operator or admin
    #[arg(long, default_value = "viewer")]
    pub role: Role,
}
