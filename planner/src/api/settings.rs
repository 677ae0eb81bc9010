//! Where the API listens, and for whom it is there. What would put it before everybody is refused at the start.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::access::Tokens;
use super::certificate::{Certificate, CertificateError};
use crate::doctor::Expected;

/// Where it is unless somebody says otherwise.
pub const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7_070);

/// What all paths begin with, behind the base path.
pub(super) const ROOT: &str = "/api/v1";
/// How often it is looked whether it has ended.
pub(super) const LOOK: Duration = Duration::from_millis(5);
/// How long an answer that is under way may take at the end.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(1);
/// How long anybody waits for that end: what does not come to it must not keep a planner from ending.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(3);
/// How long an answer may take: an audit of a long run reads all of its ledger.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Bytes of what is sent at most: a job file with all the parameters that it may have is smaller.
pub(super) const BODY_MAX: usize = 1 << 20;
/// Items of a page, unless somebody asks for more or fewer, and at most.
pub(super) const PAGE: u32 = 100;
/// See [`PAGE`].
pub(super) const PAGE_MAX: u32 = 1_000;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nobody said: [`USUAL`], or any free port of this machine where that is taken.
    Usual,
    /// There and nowhere else.
    At(SocketAddr),
}

impl Listen {
    /// The address.
    pub fn address(self) -> SocketAddr {
        match self {
            Listen::Usual => USUAL,
            Listen::At(address) => address,
        }
    }
}

/// Where tokens stand that may change while the API is served.
#[derive(Clone)]
pub struct TokenSource {
    /// The files that they come from.
    pub files: Vec<PathBuf>,
    /// Reads all of them; an error says what is wrong, and nothing of what stands there.
    pub read: Arc<dyn Fn() -> Result<Tokens, String> + Send + Sync>,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.files).finish()
    }
}

/// How the API is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: Listen,
    /// What stands before all paths, as `/gridloom`: that of a proxy which leaves it there. Empty: nothing.
    pub base_path: String,
    /// Whether whatever would change something is refused.
    pub read_only: bool,
    /// Who may ask. Without any, whoever reaches the address may do everything.
    pub tokens: Tokens,
    /// Where these come from, if that may change.
    pub token_source: Option<TokenSource>,
    /// What is shown to whoever asks, over TLS. `None`: they are answered in clear.
    pub certificate: Option<Certificate>,
    /// What an examination expects of the streams.
    pub expected: Expected,
    /// Name of the planner.
    pub planner: String,
}

/// Why the API must not be served so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// It could be reached from elsewhere by everybody.
    #[error(
        "serve the API on {0}: others than this machine reach that address, and no tokens are set; make one with gridloom token and name it under [api] in the configuration, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// The base path cannot be one.
    #[error(
        "serve the API under {0:?}: a base path begins with '/', does not end with one, and has letters, digits, '-', '_', '.' and '/' alone, as /gridloom; and no part of it is '.' or '..', which browsers and proxies take out before they ask: write where they lead to (/b in place of /a/../b)"
    )]
    BasePath(String),
    /// It has no certificate to show.
    #[error("serve the API over TLS")]
    Certificate(#[from] CertificateError),
}

impl Settings {
    /// Those of a planner of that name, where nobody said anything.
    pub fn usual(planner: impl Into<String>) -> Settings {
        Settings {
            listen: Listen::Usual,
            base_path: String::new(),
            read_only: false,
            tokens: Tokens::default(),
            token_source: None,
            certificate: None,
            expected: Expected::default(),
            planner: planner.into(),
        }
    }

    /// Whether others than this machine reach it.
    pub(super) fn is_reached_from_elsewhere(&self) -> bool {
        !self.listen.address().ip().to_canonical().is_loopback()
    }

    /// Whether it may be served so.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.is_reached_from_elsewhere() && self.tokens.is_empty() {
            return Err(SettingsError::Open(self.listen.address()));
        }
        self.certificate
            .as_ref()
            .map_or(Ok(()), Certificate::check)?;
        let path = self.base_path.as_str();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        let fine = path.is_empty()
            || path.starts_with('/')
                && !path.ends_with('/')
                && !path.contains("//")
                && !path.split('/').any(|part| part == "." || part == "..")
                && path.bytes().all(plain);
        match fine {
            true => Ok(()),
            false => Err(SettingsError::BasePath(path.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::{Role, Token};
    use super::*;

    #[test]
    fn nothing_is_served_to_other_machines_without_tokens() {
        let at = |text: &str, tokens: &[Token]| {
            let settings = Settings {
                listen: Listen::At(text.parse().unwrap()),
                tokens: Tokens::new(tokens.to_vec()).unwrap(),
                ..Settings::usual("p")
            };
            settings.check()
        };
        let token = Token::new("ada", Role::Viewer, &"0".repeat(64)).unwrap();
        for here in [
            "127.0.0.1:0",
            "127.9.9.9:1",
            "[::1]:0",
            "[::ffff:127.0.0.1]:0",
        ] {
            assert_eq!(at(here, &[]), Ok(()), "{here}");
        }
        for open in ["0.0.0.0:0", "[::]:0", "10.0.0.1:1", "[::ffff:10.0.0.1]:0"] {
            assert!(
                matches!(at(open, &[]), Err(SettingsError::Open(_))),
                "{open}"
            );
            assert_eq!(at(open, std::slice::from_ref(&token)), Ok(()), "{open}");
        }
    }

    #[test]
    fn base_path_is_one_or_is_refused() {
        let under = |path: &str| {
            let base_path = path.to_owned();
            Settings {
                base_path,
                ..Settings::usual("p")
            }
            .check()
        };
        for fine in ["", "/a", "/a/b-c_d.e", "/a/..b", "/.a", "/...", "/a..b/c."] {
            assert_eq!(under(fine), Ok(()), "{fine}");
        }
        for bad in [
            "a", "/", "/a/", "/a//b", "/a b", "/{a}", "/a?b", "/..", "/.", "/a/../b", "/a/./b",
            "/a/..", "/a/.", "/../a",
        ] {
            assert!(
                matches!(under(bad), Err(SettingsError::BasePath(_))),
                "{bad}"
            );
        }
    }
}
