//! Who may do what: tokens, of which only digests are known here, each with a role, and which role an operation asks
//! for. Pure. It must not say why a token is refused: whoever has none learns nothing of those that there are.

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::WorkerName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// No list of tokens is longer: all of them are looked at for each request.
pub const TOKENS_MAX: usize = 1_000;
/// No token that is shown is longer.
const TEXT_MAX: usize = 512;
/// What is sealed begins with this: a digest for something else is none of a session.
const SEALED: &[u8] = b"gridloom session\0";

/// What somebody may do. Each may do what those before it may.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See everything, and change nothing.
    Viewer,
    /// Start and end runs, retry and give up shards, pause and resume schedules.
    Operator,
    /// Define jobs and calendars, which decides what workers execute; and remove what is on record.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        let mut all = Role::ALL.into_iter();
        all.find(|role| role.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no role: viewer, operator or admin"))
    }
}

/// A token, as the configuration names it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    name: String,
    role: Role,
    digest: [u8; 32],
}

/// What is wrong with tokens of a configuration. Says nothing of the digests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Whoever reads the log has to know who did something.
    #[error(
        "token {0:?}: its name must be 1 to 48 of a-z, 0-9 and '-', and begin with a letter or digit"
    )]
    Name(String),
    /// It is no digest.
    #[error(
        "token {0}: sha256 must be the 64 hexadecimal digits that gridloom token prints, not the token itself"
    )]
    Digest(String),
    /// Nobody could tell which of them did something.
    #[error("token {0}: two have that name; each needs one of its own")]
    Twice(String),
    /// There are too many.
    #[error("there are more than {TOKENS_MAX} tokens")]
    TooMany,
}

impl Token {
    /// The token of that name whose SHA-256 digest is `sha256`, in hexadecimal digits.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(name: &str, role: Role, sha256: &str) -> Result<Token, TokenError> {
        // The same rule as for whatever else has a name and acts.
        if WorkerName::new(name).is_err() {
            return Err(TokenError::Name(name.chars().take(64).collect()));
        }
        let digest = HEXLOWER_PERMISSIVE.decode(sha256.as_bytes());
        let digest = digest.ok().and_then(|bytes| bytes.try_into().ok());
        Ok(Token {
            digest: digest.ok_or_else(|| TokenError::Digest(name.to_owned()))?,
            name: name.to_owned(),
            role,
        })
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A digest is no secret, and nobody's business either.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.role)
    }
}

/// The digest of a token, as a configuration has it.
pub fn digest(token: &str) -> String {
    HEXLOWER_PERMISSIVE.encode(&Sha256::digest(token.as_bytes()))
}

/// All tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// Those, if they can be told apart.
    ///
    /// # Errors
    /// When they cannot.
    pub fn new(tokens: Vec<Token>) -> Result<Tokens, TokenError> {
        if tokens.len() > TOKENS_MAX {
            return Err(TokenError::TooMany);
        }
        let mut names = std::collections::BTreeSet::new();
        if let Some(twice) = tokens.iter().find(|token| !names.insert(&token.name)) {
            return Err(TokenError::Twice(twice.name.clone()));
        }
        Ok(Tokens(tokens))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token that is. Takes as long whichever it is, and if it is none.
    pub fn whose(&self, text: &str) -> Option<Who> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let digest = Sha256::digest(text.as_bytes());
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.digest.as_slice().ct_eq(digest.as_slice())) {
                found = Some(token);
            }
        }
        found.map(|token| Who {
            name: token.name.clone(),
            role: token.role,
        })
    }
}

/// What a session is sealed with beside its token.
#[derive(Clone, Copy)]
pub(super) struct Seal<'a> {
    /// The name of the token.
    pub(super) token: &'a str,
    /// The digest of the session's number.
    pub(super) session: &'a [u8; 32],
    /// Its end.
    pub(super) until: UnixMs,
}

impl Token {
    /// All parts are of fixed length: nothing else comes to the same.
    fn seal(&self, of: Seal<'_>) -> [u8; 32] {
        let parts = Sha256::new()
            .chain_update(SEALED)
            .chain_update(self.digest)
            .chain_update(of.session)
            .chain_update(of.until.0.to_be_bytes());
        parts.finalize().into()
    }
}

impl Tokens {
    fn named(&self, name: &str) -> Option<&Token> {
        self.0.iter().find(|token| token.name == name)
    }

    /// That a session was begun with its token: nobody makes it who knows no digest of that.
    pub(super) fn seal(&self, of: Seal<'_>) -> Option<[u8; 32]> {
        self.named(of.token).map(|token| token.seal(of))
    }

    /// Whose token it is, if that seal is its own.
    pub(super) fn sealed(&self, of: Seal<'_>, seal: &[u8]) -> Option<Who> {
        let token = self.named(of.token)?;
        let is_own = token.seal(of).as_slice().ct_eq(seal);
        bool::from(is_own).then(|| Who {
            name: token.name.clone(),
            role: token.role,
        })
    }
}

/// Somebody who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The name of the token.
    pub name: String,
    /// What that may do.
    pub role: Role,
}

impl Who {
    /// Whoever reaches an API without tokens: somebody on its machine.
    pub fn here() -> Who {
        Who {
            name: "local".to_owned(),
            role: Role::Admin,
        }
    }
}

/// What an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The role.
    pub role: Role,
    /// Whether it changes something.
    pub changes: bool,
}

/// What the operation `method` of `path` asks for; `path` as it is described, `/jobs/{job}`.
///
/// What only looks is for everybody with a token. Of the rest the last segment of its path, or the table, decides:
/// what is in neither asks for the highest role.
pub fn needs(method: &str, path: &str) -> Needs {
    if matches!(method, "GET" | "HEAD") {
        return Needs {
            role: Role::Viewer,
            changes: false,
        };
    }
    // Whoever logs in or out changes nothing of the installation; and a callback has its right in its address.
    if path == "/session" || path == CALLBACKS {
        return Needs {
            role: Role::Viewer,
            changes: true,
        };
    }
    let found = OPERATORS.contains(&(method, path));
    Needs {
        role: if found { Role::Operator } else { Role::Admin },
        changes: true,
    }
}

/// Where services say what came of shards.
pub(super) const CALLBACKS: &str = "/callbacks/{callback}";

/// Whether an operation is for whoever has no token: to show one, or with a right that its address gives.
pub(super) fn is_open(method: &str, path: &str) -> bool {
    method == "POST" && matches!(path, "/session" | CALLBACKS)
}

/// What operators may change.
pub(super) const OPERATORS: &[(&str, &str)] = &[
    ("POST", "/jobs/{job}/runs"),
    ("POST", "/jobs/{job}/pause"),
    ("POST", "/jobs/{job}/resume"),
    ("POST", "/jobs/{job}/backfills"),
    ("DELETE", "/jobs/{job}/backfills/{backfill}"),
    ("POST", "/runs/{run}/cancel"),
    ("POST", "/runs/{run}/retry"),
    ("POST", "/dead/retry"),
    ("POST", "/dead/drop"),
    ("POST", "/freeze"),
    ("DELETE", "/freeze"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let token = |name, role, text: &str| Token::new(name, role, &digest(text)).unwrap();
        Tokens::new(Vec::from([
            token("ada", Role::Admin, "a-secret"),
            token("bob", Role::Viewer, "b-secret"),
        ]))
        .unwrap()
    }

    #[test]
    fn token_is_known_by_its_digest_and_by_nothing_else() {
        let tokens = tokens();
        let who = tokens.whose("b-secret").unwrap();
        assert_eq!((who.name.as_str(), who.role), ("bob", Role::Viewer));
        for none in [
            "",
            "b-secre",
            "b-secret ",
            &digest("b-secret"),
            &"b".repeat(600),
        ] {
            assert_eq!(tokens.whose(none), None, "{none}");
        }
        assert_eq!(Tokens::default().whose(""), None);
        // Nobody is given one so long, and it is not looked at.
        let of = |text: &str| {
            let token = Token::new("eve", Role::Viewer, &digest(text)).unwrap();
            let tokens = Tokens::new(Vec::from([token])).unwrap();
            tokens.whose(text).is_some()
        };
        let longest = "e".repeat(TEXT_MAX);
        assert_eq!((of(&longest), of(&format!("{longest}e"))), (true, false));
        assert!(!format!("{tokens:?}").contains(&digest("a-secret")));
    }

    #[test]
    fn tokens_that_cannot_be_told_apart_or_are_none_are_refused() {
        let hex = digest("x");
        let a = Token::new("a", Role::Viewer, &hex).unwrap();
        let twice = Tokens::new(Vec::from([a.clone(), a.clone()]));
        assert_eq!(twice, Err(TokenError::Twice("a".to_owned())));
        assert_eq!(
            Tokens::new(std::iter::repeat_n(a, TOKENS_MAX + 1).collect()),
            Err(TokenError::TooMany)
        );
        for bad in ["", "Ada", "a b"] {
            let error = Token::new(bad, Role::Viewer, &hex);
            assert!(matches!(error, Err(TokenError::Name(_))), "{bad}");
        }
        for bad in ["", "glt_abc", &hex[1..], &format!("{hex}0")] {
            let error = Token::new("a", Role::Viewer, bad).unwrap_err();
            assert_eq!(error, TokenError::Digest("a".to_owned()));
        }
    }

    #[test]
    fn what_nobody_has_decided_asks_for_the_highest_role() {
        let of = |method, path| (needs(method, path).role, needs(method, path).changes);
        assert_eq!(of("GET", "/whatever"), (Role::Viewer, false));
        assert_eq!(of("POST", "/runs/{run}/cancel"), (Role::Operator, true));
        assert_eq!(of("PUT", "/jobs/{job}"), (Role::Admin, true));
        assert_eq!(of("POST", "/whatever"), (Role::Admin, true));
    }
}
