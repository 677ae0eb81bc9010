//! How a client proves who it is. What stands in files is read at each connection anew, so that it can be changed
//! under a process that runs.

#[cfg(not(feature = "nkeys"))]
use std::path::Path;
use std::path::PathBuf;

use async_nats::{Auth, ServerAddr};

use crate::clock::UnixMs;
use crate::secret::{FileError, Secret};

#[cfg(feature = "nkeys")]
mod signed;

/// What is read, for people.
const CREDS: &str = "the credentials file";
const NKEY: &str = "the nkey's seed";
const PASSWORD: &str = "the password";
const TOKEN: &str = "the token";

/// How a client proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all, or by what stands in the URL.
    #[default]
    None,
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
    /// A credentials file, as `nsc` writes it: the user's JWT and the seed of its key.
    File(PathBuf),
    /// The seed of a user's key, in a file.
    Nkey(PathBuf),
}

/// Why there is nothing to log in with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProofError {
    /// A file is of no use.
    #[error(transparent)]
    File(#[from] FileError),
    /// This program cannot sign.
    #[cfg_attr(
        feature = "nkeys",
        expect(dead_code, reason = "a program with the feature can")
    )]
    #[error("sign with {0}")]
    WithoutNkeys(&'static str),
}

impl Credentials {
    /// What the first address says that says anything, where nothing else was said: the client takes none of it by
    /// itself.
    pub(super) fn or_of(&self, addresses: &[ServerAddr]) -> Credentials {
        match self {
            Credentials::None => in_url(addresses),
            given => given.clone(),
        }
    }

    /// What the broker is told, which has asked for a signature of `nonce`.
    pub(super) fn proof(&self, nonce: &[u8]) -> Result<Auth, ProofError> {
        let mut proof = Auth::new();
        match self {
            Credentials::None => {}
            Credentials::Password { user, password } => {
                proof.username = Some(user.clone());
                proof.password = Some(password.read(PASSWORD)?);
            }
            Credentials::Token(token) => proof.token = Some(token.read(TOKEN)?),
            Credentials::File(path) => sign_with_file(path, nonce, &mut proof)?,
            Credentials::Nkey(path) => sign_with_nkey(path, nonce, &mut proof)?,
        }
        Ok(proof)
    }

    /// When they are over; `None`: never, or nobody can tell from here.
    pub(super) fn end(&self) -> Option<UnixMs> {
        match self {
            Credentials::File(path) => end_of_file(path),
            Credentials::None
            | Credentials::Password { .. }
            | Credentials::Token(_)
            | Credentials::Nkey(_) => None,
        }
    }

    /// Whose they are, for people.
    pub(super) fn who(&self) -> String {
        match self {
            Credentials::None => "a client without credentials".to_owned(),
            Credentials::Password { user, .. } => format!("user {user}"),
            Credentials::Token(_) => "who has this token".to_owned(),
            Credentials::File(path) | Credentials::Nkey(path) => {
                format!("the user of {}", path.display())
            }
        }
    }

    /// What may be wrong with them when the broker does not take them, and what to change.
    pub(super) fn advice(&self) -> String {
        match self {
            Credentials::None => {
                "it wants to know who this client is: give it creds, nkey, user and password, token or a client certificate (docs/CONFIG.md, Connecting)"
                    .to_owned()
            }
            Credentials::Password { user, password } => format!(
                "user {user:?} and the password {} are none of its: check both, or add the user there",
                password.whence()
            ),
            Credentials::Token(token) => {
                format!("the token {} is not its: check it", token.whence())
            }
            Credentials::File(path) => advice_of_file(path, UnixMs::now()),
            Credentials::Nkey(path) => advice_of_nkey(path),
        }
    }
}

#[cfg(feature = "nkeys")]
use signed::{advice_of_file, advice_of_nkey, end_of_file, sign_with_file, sign_with_nkey};

#[cfg(not(feature = "nkeys"))]
fn sign_with_file(_: &Path, _: &[u8], _: &mut Auth) -> Result<(), ProofError> {
    Err(ProofError::WithoutNkeys(CREDS))
}

#[cfg(not(feature = "nkeys"))]
fn sign_with_nkey(_: &Path, _: &[u8], _: &mut Auth) -> Result<(), ProofError> {
    Err(ProofError::WithoutNkeys(NKEY))
}

#[cfg(not(feature = "nkeys"))]
fn advice_of_file(path: &Path, _: UnixMs) -> String {
    format!("check {}", path.display())
}

#[cfg(not(feature = "nkeys"))]
fn end_of_file(_: &Path) -> Option<UnixMs> {
    None
}

#[cfg(not(feature = "nkeys"))]
fn advice_of_nkey(path: &Path) -> String {
    format!("check {}", path.display())
}

/// Whether an address names a user, or a token.
pub(super) fn stand_in(addresses: &[ServerAddr]) -> bool {
    in_url(addresses) != Credentials::None
}

fn in_url(addresses: &[ServerAddr]) -> Credentials {
    let said = addresses.iter().find_map(|address| {
        let user = decoded(address.username()?);
        Some(match address.password() {
            Some(password) => Credentials::Password {
                user,
                password: decoded(password).into(),
            },
            None => Credentials::Token(user.into()),
        })
    });
    said.unwrap_or_default()
}

/// Text of a URL, in which `%40` stands for `@`.
fn decoded(text: &str) -> String {
    let (mut plain, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let digit = |n: usize| char::from(*after.get(n)?).to_digit(16);
        match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                plain.extend(u8::try_from(high * 16 + low));
                rest = &after[2..];
            }
            (byte, ..) => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str) -> String {
        let addresses: Vec<ServerAddr> = url.split(',').map(|one| one.parse().unwrap()).collect();
        format!("{:?}", Credentials::None.or_of(&addresses))
    }

    #[test]
    fn credentials_stand_in_any_of_the_addresses() {
        assert_eq!(said("nats://one:4222"), "None");
        let user = said("nats://one,nats://me:hunter2@two:4222");
        assert!(
            user.contains("\"me\"") && !user.contains("hunter2"),
            "{user}"
        );
        assert!(said("nats://hunter2@one:4222").starts_with("Token"));
        assert!(!said("nats://hunter2@one:4222").contains("hunter2"));
    }

    #[test]
    fn what_a_url_cannot_hold_is_decoded() {
        assert_eq!(decoded("p%40s%2fs"), "p@s/s");
        assert_eq!(decoded("100%"), "100%");
    }

    #[test]
    fn advice_names_the_user_and_where_the_password_stands_and_no_secret() {
        let given = Credentials::Password {
            user: "me".into(),
            password: "hunter2".into(),
        };
        let advice = given.advice();
        assert!(
            advice.contains("\"me\"") && !advice.contains("hunter2"),
            "{advice}"
        );
        let token = Credentials::Token(Secret::File("/run/token".into()));
        assert!(token.advice().contains("/run/token"));
    }
}
