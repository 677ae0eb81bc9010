//! The settings of the HTTP API.

use std::collections::BTreeMap;

use gridloom_planner::api::access::{Token, Tokens};
use gridloom_planner::api::{self, Settings};
use gridloom_planner::doctor::Expected;
use gridloom_shared::{chain, environment};

use super::{Config, misuse};
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
            tokens: self.tokens(flags)?,
            expected: Expected::default(),
            planner: planner.to_owned(),
        };
        let checked = settings.check();
        checked.map_err(|error| Misuse::error(chain(&error).to_string()))?;
        Ok(settings)
    }

    /// Those of the file, and over them by name those of a flag, or else of the variable or the file that it names.
    fn tokens(&self, flags: &ApiFlags) -> anyhow::Result<Tokens> {
        let wrong = |fault: String| Misuse::error(format!("read the tokens of the API: {fault}"));
        let mut of_file = Vec::new();
        for token in &self.file.api.tokens {
            let read = Token::new(&token.name, token.role, &token.sha256);
            of_file.push(read.map_err(|error| wrong(chain(&error).to_string()))?);
        }
        let secret = environment::secret_of_file("API_TOKENS").map_err(|error| misuse(&error))?;
        let lines = secret.iter().flat_map(|text| text.lines());
        let lines = lines.filter(|line| !line.trim().is_empty()).map(token_of);
        let of_lines = lines.collect::<Result<Vec<_>, String>>().map_err(wrong)?;
        let given = flags.tokens.clone().unwrap_or(of_lines);
        let named: BTreeMap<&String, ()> = given.iter().map(|(name, _)| (name, ())).collect();
        let kept = of_file.into_iter();
        let kept = kept.filter(|token| !named.contains_key(&token.name().to_owned()));
        let all = kept.chain(given.iter().map(|(_, token)| token.clone()));
        Tokens::new(all.collect()).map_err(|error| wrong(chain(&error).to_string()))
    }
}
