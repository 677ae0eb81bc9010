//! What the configuration file may say of the HTTP API.

use std::path::PathBuf;

use gridloom_planner::api::access::Role;
use serde::Deserialize;

use crate::setting::Listen;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Api {
    pub(in super::super) listen: Option<Listen>,
    pub(in super::super) base_path: Option<String>,
    pub(in super::super) read_only: Option<bool>,
    pub(in super::super) tokens: Vec<Token>,
    pub(in super::super) tls_cert: Option<PathBuf>,
    pub(in super::super) tls_key: Option<PathBuf>,
}

/// Somebody who may ask.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Token {
    pub(in super::super) name: String,
    pub(in super::super) role: Role,
    pub(in super::super) sha256: String,
}
