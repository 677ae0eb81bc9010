//! The settings of the HTTP API.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use gridloom_planner::api::access::{Token, Tokens};
use gridloom_planner::api::certificate::Certificate;
use gridloom_planner::api::{self, Settings, TokenSource};
use gridloom_planner::doctor::Expected;
use gridloom_shared::secret::Secret;
use gridloom_shared::{chain, environment};

use super::{Config, File, misuse};
use crate::args::ApiFlags;
use crate::fault::Misuse;
use crate::setting::token_of;

impl Config {
    /// How the API of the planner of that name is set up.
    ///
    /// # Errors
    /// When its tokens cannot be told apart, or it must not be served so.
    pub fn api(&self, flags: &ApiFlags, planner: &str) -> anyhow::Result<Settings> {
        let file = &self.file.api;
        let listen = flags.listen.or(file.listen);
        let settings = Settings {
            listen: listen.map_or(api::Listen::Usual, |listen| api::Listen::At(listen.0)),
            base_path: flags
                .base_path
                .clone()
                .or_else(|| file.base_path.clone())
                .unwrap_or_default(),
            read_only: flags.read_only.or(file.read_only).unwrap_or(false),
            tokens: tokens(&self.file, given(flags).as_deref())?,
            token_source: self.token_source(flags)?,
            certificate: certificate(
                flags.tls_cert.clone().or_else(|| file.tls_cert.clone()),
                flags.tls_key.clone().or_else(|| file.tls_key.clone()),
            )?,
            expected: Expected::default(),
            planner: planner.to_owned(),
        };
        let checked = settings.check();
        checked.map_err(|error| Misuse::error(chain(&error).to_string()))?;
        Ok(settings)
    }

    /// Where tokens may change under a planner that runs.
    fn token_source(&self, flags: &ApiFlags) -> anyhow::Result<Option<TokenSource>> {
        let of_file = match environment::place_of("API_TOKENS").map_err(|error| misuse(&error))? {
            Some(Secret::File(path)) => Some(path),
            Some(Secret::Text(_)) | None => None,
        };
        let path = self.path.clone();
        let files: Vec<PathBuf> = path.iter().cloned().chain(of_file).collect();
        if files.is_empty() {
            return Ok(None);
        }
        let given = given(flags);
        let read = move || {
            let file = path
                .as_deref()
                .map_or_else(|| Ok(File::default()), File::read);
            let tokens = file.and_then(|file| tokens(&file, given.as_deref()));
            tokens.map_err(|error| chain(&*error).to_string())
        };
        Ok(Some(TokenSource {
            files,
            read: Arc::new(read),
        }))
    }
}

/// A certificate and its key, or neither.
fn certificate(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> anyhow::Result<Option<Certificate>> {
    let lacks = |what: &str, setting: &str, flag: &str| {
        Misuse::error(format!(
            "serve the API over TLS: {what} is named without the other: a certificate and its key go together; add {setting} in the configuration, or {flag}"
        ))
    };
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(Certificate { certificate, key })),
        (Some(_), None) => Err(lacks("the certificate", "api.tls_key", "--api-tls-key")),
        (None, Some(_)) => Err(lacks("the key", "api.tls_cert", "--api-tls-cert")),
    }
}

/// Those of the flag, or else of the variable.
fn given(flags: &ApiFlags) -> Option<Vec<(String, Token)>> {
    let lines = flags.tokens.as_ref()?.iter();
    Some(lines.flat_map(|lines| lines.0.iter().cloned()).collect())
}

/// Those of the file, and over them by name those of a flag, or else of the variable or the file that it names.
fn tokens(file: &File, flag: Option<&[(String, Token)]>) -> anyhow::Result<Tokens> {
    let wrong = |fault: String| Misuse::error(format!("read the tokens of the API: {fault}"));
    let mut of_file = Vec::new();
    for token in &file.api.tokens {
        let read = Token::new(&token.name, token.role, &token.sha256);
        of_file.push(read.map_err(|error| wrong(chain(&error).to_string()))?);
    }
    let secret = environment::secret_of_file("API_TOKENS").map_err(|error| misuse(&error))?;
    let lines = secret.iter().flat_map(|text| text.lines());
    let lines = lines.filter(|line| !line.trim().is_empty()).map(token_of);
    let of_lines = lines.collect::<Result<Vec<_>, String>>().map_err(wrong)?;
    let given = flag.unwrap_or(&of_lines);
    let named: BTreeMap<&String, ()> = given.iter().map(|(name, _)| (name, ())).collect();
    let kept = of_file.into_iter();
    let kept = kept.filter(|token| !named.contains_key(&token.name().to_owned()));
    let all = kept.chain(given.iter().map(|(_, token)| token.clone()));
    Tokens::new(all.collect()).map_err(|error| wrong(chain(&error).to_string()))
}
