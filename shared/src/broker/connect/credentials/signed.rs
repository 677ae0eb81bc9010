//! Credentials that sign: what stands in a credentials file or a seed's file, and what may be wrong with it. Nothing of
//! it is told but what is public: names, public keys, times.

use std::path::Path;

use async_nats::Auth;
use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;

use super::{CREDS, NKEY, ProofError};
use crate::clock::UnixMs;
use crate::secret::{FileError, text_of};

/// What is read of a user's JWT, all of it public.
#[derive(Debug, Default, Deserialize)]
struct Claims {
    #[serde(default)]
    name: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    iss: String,
    /// Seconds since 1970; 0 where it does not expire.
    #[serde(default)]
    exp: u64,
    #[serde(default)]
    nats: Nats,
}

#[derive(Debug, Default, Deserialize)]
struct Nats {
    #[serde(default)]
    issuer_account: String,
}

impl Claims {
    /// The account: it signs its users itself, or by a key of its own.
    fn account(&self) -> &str {
        match self.nats.issuer_account.as_str() {
            "" => &self.iss,
            account => account,
        }
    }
}

pub(super) fn sign_with_file(
    path: &Path,
    nonce: &[u8],
    proof: &mut Auth,
) -> Result<(), ProofError> {
    let text = text_of(CREDS, path)?;
    let wrong = |cause: &str| FileError::new(CREDS, path, cause);
    let jwt = line(&text, "eyJ").ok_or_else(|| {
        wrong("it holds no user's JWT between BEGIN and END: have it written anew (nsc generate creds)")
    })?;
    let key = key(&text).ok_or_else(|| {
        wrong("it holds no seed of a user's key (a line that begins with SU): have it written anew (nsc generate creds)")
    })?;
    let claims =
        claims(jwt).ok_or_else(|| wrong("its JWT cannot be understood: have it written anew"))?;
    if claims.sub != key.public_key() {
        return Err(wrong("its seed is not that of its JWT: have it written anew").into());
    }
    proof.jwt = Some(jwt.to_owned());
    proof.signature = Some(signature(&key, nonce).ok_or_else(|| wrong("its seed cannot sign"))?);
    Ok(())
}

pub(super) fn sign_with_nkey(
    path: &Path,
    nonce: &[u8],
    proof: &mut Auth,
) -> Result<(), ProofError> {
    let wrong = |cause: &str| FileError::new(NKEY, path, cause);
    let key = key(&text_of(NKEY, path)?).ok_or_else(|| {
        wrong("it holds no seed of a user's key: a line that begins with SU, as nk -gen user writes it")
    })?;
    proof.nkey = Some(key.public_key());
    proof.signature = Some(signature(&key, nonce).ok_or_else(|| wrong("it cannot sign"))?);
    Ok(())
}

fn claims_of_file(path: &Path) -> Option<Claims> {
    let text = text_of(CREDS, path).ok()?;
    claims(line(&text, "eyJ")?)
}

/// When the user's JWT expires; `None`: never.
pub(super) fn end_of_file(path: &Path) -> Option<UnixMs> {
    let exp = claims_of_file(path)?.exp;
    (exp > 0).then(|| UnixMs(exp.saturating_mul(1_000)))
}

pub(super) fn advice_of_file(path: &Path, now: UnixMs) -> String {
    let file = path.display();
    let Some(claims) = claims_of_file(path) else {
        return format!("look at {file}");
    };
    let until = UnixMs(claims.exp.saturating_mul(1_000));
    if claims.exp > 0 && until < now {
        return format!(
            "the credentials of user {:?} in {file} expired at {}: put new ones there",
            claims.name,
            until.rfc3339()
        );
    }
    format!(
        "it does not take user {:?} ({}) of account {} in {file}: the user was revoked, or that account is not one of this broker's (any more): put new credentials there, or have the account pushed to it",
        claims.name,
        claims.sub,
        claims.account()
    )
}

pub(super) fn advice_of_nkey(path: &Path) -> String {
    let file = path.display();
    let key = text_of(NKEY, path).ok().and_then(|text| key(&text));
    key.map_or_else(
        || format!("look at {file}"),
        |key| {
            format!(
                "no user of its has the key {} of {file}: add it there, or name another file",
                key.public_key()
            )
        },
    )
}

/// The line that begins so.
fn line<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with(begin))
}

/// The user's key whose seed stands in `text`.
fn key(text: &str) -> Option<KeyPair> {
    let key = KeyPair::from_seed(line(text, "SU")?).ok()?;
    (key.key_pair_type() == KeyPairType::User).then_some(key)
}

fn signature(key: &KeyPair, nonce: &[u8]) -> Option<Vec<u8>> {
    key.sign(nonce).ok()
}

/// What a JWT says, unchecked: the broker checks it.
fn claims(jwt: &str) -> Option<Claims> {
    let body = jwt.split('.').nth(1)?;
    let bytes = BASE64URL_NOPAD
        .decode(body.trim_end_matches('=').as_bytes())
        .ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creds(key: &KeyPair, sub: &str, exp: u64) -> String {
        let body = serde_json::json!({ "name": "planner", "sub": sub, "iss": "AB", "exp": exp });
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let jwt = format!(
            "{}.{}.sig",
            part("{\"typ\":\"JWT\"}"),
            part(&body.to_string())
        );
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            key.seed().unwrap()
        )
    }

    #[test]
    fn credentials_end_when_the_jwt_of_their_file_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("planner.creds");
        let key = KeyPair::new_user();
        let end = |exp: u64| {
            std::fs::write(&file, creds(&key, &key.public_key(), exp)).unwrap();
            end_of_file(&file)
        };
        assert_eq!(end(1_800_000_000), Some(UnixMs(1_800_000_000_000)));
        assert_eq!(end(0), None, "it never ends");
        assert_eq!(end_of_file(&dir.path().join("absent")), None);
    }

    #[test]
    fn credentials_file_signs_and_what_is_wrong_with_one_is_told_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("planner.creds");
        let (user, account) = (KeyPair::new_user(), KeyPair::new_account());
        std::fs::write(&path, creds(&user, &user.public_key(), 0)).unwrap();
        let mut proof = Auth::new();
        sign_with_file(&path, b"nonce", &mut proof).unwrap();
        user.verify(b"nonce", &proof.signature.unwrap()).unwrap();
        assert!(proof.jwt.unwrap().starts_with("eyJ"));
        let seed = user.seed().unwrap();
        for (bad, words) in [
            ("".to_owned(), "no user's JWT"),
            (seed.clone(), "no user's JWT"),
            (
                creds(&account, &account.public_key(), 0),
                "no seed of a user's key",
            ),
            (creds(&user, "UABC", 0), "not that of its JWT"),
            (format!("eyJhunter2\n{seed}"), "cannot be understood"),
        ] {
            std::fs::write(&path, bad).unwrap();
            let fault = sign_with_file(&path, b"nonce", &mut Auth::new())
                .unwrap_err()
                .to_string();
            assert!(
                fault.contains("planner.creds") && fault.contains(words),
                "{fault}"
            );
            assert!(
                !fault.contains(&seed) && !fault.contains("hunter2"),
                "{fault}"
            );
        }
    }

    #[test]
    fn expired_credentials_are_told_apart_from_those_that_the_broker_does_not_know() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.creds");
        let user = KeyPair::new_user();
        std::fs::write(&path, creds(&user, &user.public_key(), 1_000)).unwrap();
        let advice = |ms| advice_of_file(&path, UnixMs(ms));
        assert!(
            advice(1_000_001).contains("expired at 1970-01-01T00:16:40"),
            "{}",
            advice(1_000_001)
        );
        assert!(advice(999_000).contains("revoked") && advice(999_000).contains("account AB"));
    }

    #[test]
    fn seed_stands_alone_or_between_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.nk");
        let user = KeyPair::new_user();
        for text in [
            format!("{}\n", user.seed().unwrap()),
            format!(
                "-----BEGIN USER NKEY SEED-----\n{}\n------END",
                user.seed().unwrap()
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let mut proof = Auth::new();
            sign_with_nkey(&path, b"nonce", &mut proof).unwrap();
            assert_eq!(proof.nkey, Some(user.public_key()));
            user.verify(b"nonce", &proof.signature.unwrap()).unwrap();
        }
        std::fs::write(&path, "SUhunter2").unwrap();
        let fault = sign_with_nkey(&path, b"", &mut Auth::new())
            .unwrap_err()
            .to_string();
        assert!(
            fault.contains("a.nk") && !fault.contains("hunter2"),
            "{fault}"
        );
    }
}
