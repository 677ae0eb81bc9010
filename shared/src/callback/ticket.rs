//! The part of a callback's address that says which attempt it is for, and the token that gives the right to end it. A token
//! follows from a secret that workers have, and from what the attempt is: whoever takes a shard over knows those of the attempts
//! before, without anything kept of them.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{Awaited, Call, Said};
use crate::id::{Namespace, Nonce, RunId, Session};

/// What tokens and proofs begin with: neither is ever taken for the other, nor for anything else of that secret.
const OF_TOKEN: &[u8] = b"gridloom callback token\0";
const OF_SAID: &[u8] = b"gridloom callback said\0";

/// What stands for a token where a service repeats it: as for its other secrets.
const TOLD: &str = "(secret callback)";

/// The right to say what came of one attempt. Shown to nobody but the service that is asked.
#[derive(Clone)]
pub struct Token([u8; 32]);

/// The last part of a callback's address.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The worker that asked: it is most likely to hold the shard yet. No part of what the token is of.
    pub session: Session,
    /// The attempt.
    pub awaited: Awaited,
    /// Its token.
    pub token: Token,
}

/// A key of any length, as one of a block.
fn mac(key: &[u8], begin: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(&Sha256::digest(key));
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(begin);
    mac
}

impl Token {
    /// The token of that attempt in an installation whose workers have that secret.
    pub fn of(secret: &str, namespace: &Namespace, awaited: &Awaited) -> Token {
        let mut mac = mac(secret.as_bytes(), OF_TOKEN);
        // No name has this sign in it, and all that follows is of fixed length: nothing else comes to the same.
        for name in [namespace.as_str(), awaited.run.as_str()] {
            mac.update(name.as_bytes());
            mac.update(b"\0");
        }
        mac.update(&awaited.nonce.0.to_be_bytes());
        for number in [awaited.slice, awaited.page, awaited.attempt] {
            mac.update(&number.to_be_bytes());
        }
        Token(mac.finalize().into_bytes().into())
    }

    /// As it stands in an address.
    pub fn text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn read(text: &str) -> Option<Token> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
        }
        Some(Token(bytes))
    }

    fn proof(&self, said: &[u8]) -> Bytes {
        let mut mac = mac(&self.0, OF_SAID);
        mac.update(said);
        Bytes::copy_from_slice(&mac.finalize().into_bytes())
    }

    /// Whether whoever said that has this token. Takes as long whatever the answer is.
    pub fn proves(&self, call: &Call) -> bool {
        let mut mac = mac(&self.0, OF_SAID);
        mac.update(&call.said);
        mac.verify_slice(&call.proof).is_ok()
    }
}

/// Nothing of it.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Ticket {
    /// What was said, for a worker. Services repeat what they were sent: the token stays here all the same.
    pub fn call(&self, said: &Said) -> Call {
        let said = serde_json::to_string(said).unwrap_or_default();
        let said = Bytes::from(said.replace(&self.token.text(), TOLD));
        Call {
            awaited: self.awaited.clone(),
            proof: self.token.proof(&said),
            said,
        }
    }

    /// As it stands in an address: all signs are such as need no escape.
    pub fn text(&self) -> String {
        let Ticket {
            session,
            awaited: of,
            token,
        } = self;
        format!(
            "{session}.{}.{:016x}.{}.{}.{}.{}",
            of.run,
            of.nonce.0,
            of.slice,
            of.page,
            of.attempt,
            token.text()
        )
    }
}

/// A text that is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is no ticket of a callback")]
pub struct TicketError;

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Ticket, TicketError> {
        let parts: Vec<&str> = text.splitn(8, '.').collect();
        let [session, run, nonce, slice, page, attempt, token] = parts[..] else {
            return Err(TicketError);
        };
        let hex = |text: &str| u64::from_str_radix(text, 16).map_err(|_| TicketError);
        let number = |text: &str| text.parse::<u32>().map_err(|_| TicketError);
        let ticket = Ticket {
            session: Session(hex(session)?),
            awaited: Awaited {
                run: RunId::new(run).map_err(|_| TicketError)?,
                nonce: Nonce(hex(nonce)?),
                slice: number(slice)?,
                page: number(page)?,
                attempt: number(attempt)?,
            },
            token: Token::read(token).ok_or(TicketError)?,
        };
        // One attempt has one address.
        match ticket.text() == text {
            true => Ok(ticket),
            false => Err(TicketError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of the workers, and of no others";

    fn awaited() -> Awaited {
        Awaited {
            run: RunId::new("charges_20261120T020000Z").unwrap(),
            nonce: Nonce(7),
            slice: 3,
            page: 0,
            attempt: 2,
        }
    }

    fn token(namespace: &str, awaited: &Awaited) -> Token {
        Token::of(SECRET, &Namespace::new(namespace).unwrap(), awaited)
    }

    fn ticket() -> Ticket {
        Ticket {
            session: Session(255),
            token: token("gridloom", &awaited()),
            awaited: awaited(),
        }
    }

    #[test]
    fn golden_text_of_a_ticket() {
        let text = ticket().text();
        assert_eq!(
            text,
            "00000000000000ff.charges_20261120T020000Z.0000000000000007.3.0.2.\
             8aa4ebfb45d48703af8bfdc2708f248dfc7ebd601a1a4c9c0b2c5e4ca8905ff1"
        );
        let read: Ticket = text.parse().unwrap();
        assert_eq!((read.awaited, read.session), (awaited(), Session(255)));
        assert!(!format!("{:?}", ticket()).contains(&ticket().token.text()));
        for bad in [
            "",
            "a.b",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}0"),
            &format!("{text}.x"),
            &text.replace(".3.", ".03."),
            &text.replace(".3.", ".-3."),
            &text.replace("charges", "char>ges"),
            &text.to_uppercase(),
        ] {
            assert!(bad.parse::<Ticket>().is_err(), "{bad}");
        }
    }

    #[test]
    fn golden_proof_of_what_is_said() {
        let call = ticket().call(&Said::Done {
            rows: Some(7),
            counters: Default::default(),
            result: None,
        });
        let proof: String = call.proof.iter().map(|it| format!("{it:02x}")).collect();
        // A planner of another build says the same to a worker of this one.
        assert_eq!(&call.said[..], br#"{"outcome":"done","rows":7}"#);
        assert_eq!(
            proof,
            "2be94d8394340285c5a450ee81173177c93d0eb5fc3bbb4f3e248d0a07ce1d39"
        );
    }

    #[test]
    fn token_is_of_one_attempt_in_one_installation_and_of_one_secret() {
        let own = ticket();
        let call = own.call(&Said::Done {
            rows: Some(1),
            counters: Default::default(),
            result: None,
        });
        assert!(token("gridloom", &awaited()).proves(&call));
        let others = [
            Awaited {
                slice: 0,
                page: 3,
                ..awaited()
            },
            Awaited {
                attempt: 1,
                ..awaited()
            },
            Awaited {
                nonce: Nonce(8),
                ..awaited()
            },
            Awaited {
                run: RunId::new("charges_20261121T020000Z").unwrap(),
                ..awaited()
            },
        ];
        for other in &others {
            assert!(!token("gridloom", other).proves(&call), "{other:?}");
        }
        assert!(!token("another", &awaited()).proves(&call));
        let secret = Token::of("another", &Namespace::new("gridloom").unwrap(), &awaited());
        assert!(!secret.proves(&call));
    }

    #[test]
    fn token_that_a_service_repeats_is_not_sent_on() {
        let own = ticket();
        let call = own.call(&Said::Failed {
            error: format!("cannot call {}", own.text()),
            kind: super::super::Kind::Retry,
            after_ms: None,
        });
        let text = String::from_utf8(call.said.to_vec()).unwrap();
        assert!(
            !text.contains(&own.token.text()) && text.contains(TOLD),
            "{text}"
        );
        assert!(own.token.proves(&call));
    }

    #[test]
    fn who_overhears_a_callback_can_say_nothing_else_by_it() {
        let failed = ticket().call(&Said::Failed {
            error: "no".to_owned(),
            kind: super::super::Kind::Retry,
            after_ms: None,
        });
        let done = Call {
            said: Bytes::from_static(b"{\"outcome\":\"done\"}"),
            ..failed.clone()
        };
        assert!(ticket().token.proves(&failed));
        assert!(!ticket().token.proves(&done));
        let by_proof = Token(failed.proof[..].try_into().unwrap());
        assert!(!ticket().token.proves(&Call {
            proof: by_proof.proof(&done.said),
            ..done
        }));
    }
}
