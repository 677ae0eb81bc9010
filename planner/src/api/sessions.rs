//! Sessions of browsers. One is begun with a token, and is a number by chance that the browser alone has. What planners know
//! of it stands in the broker under its digest: each of them knows it, and none any more once it was ended at any of them.
//! It must keep neither the token nor the number.
//!
//! A session is over at its end, when somebody logs out, and when its token is taken away or is another: it is sealed by
//! that token ([`Tokens::seal`]), so nobody who can write to the broker and knows no digest of a token makes one or has one last longer.
//!
//! Where there is no connection to the broker, one that was known before is believed: nothing can be told or ordered
//! then but that there is none.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::Entry;
use gridloom_shared::clock::UnixMs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::timeout;

use super::access::{Seal, Tokens, Who};
use super::link::Api;
use super::problem::{Answer, Problem};

/// How long one lasts: a day's work.
pub(super) const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions of one token: of more, the oldest are over.
const OF_A_TOKEN_MAX: usize = 100;
/// Sessions that are known while there is no connection.
const KNOWN_MAX: usize = 1_024;
/// How often it is looked whether the session of a stream still lasts.
const LOOK: Duration = Duration::from_secs(15);
/// What each number begins with: whoever finds one somewhere knows what it is.
const PREFIX: &str = "gls_";

/// The number of a session.
#[derive(Clone)]
pub(super) struct Id {
    text: String,
    digest: [u8; 32],
}

impl Id {
    /// The number that a browser shows; `None`: it is none.
    pub(super) fn read(text: &str) -> Option<Id> {
        let fine = text.strip_prefix(PREFIX).is_some_and(|digits| {
            digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        fine.then(|| Id::of(text.to_owned()))
    }

    fn by_chance() -> Id {
        let chance = || uuid::Uuid::new_v4().simple();
        Id::of(format!("{PREFIX}{}{}", chance(), chance()))
    }

    fn of(text: String) -> Id {
        let digest = Sha256::digest(text.as_bytes()).into();
        Id { text, digest }
    }

    /// As the browser keeps it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn key(&self, broker: &Broker) -> String {
        let digest = HEXLOWER.encode(&self.digest);
        broker.subjects().session_key(&digest)
    }
}

/// What the broker keeps of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// The name of its token.
    token: String,
    /// Its end.
    until: UnixMs,
    /// That it was begun with that token, in hexadecimal digits.
    seal: String,
}

impl Kept {
    /// A session that begins `now`; `None`: there is no token of that name.
    fn begin(id: &Id, tokens: &Tokens, token: &str, now: UnixMs) -> Option<Kept> {
        let until = now + LASTS;
        let of = Seal {
            token,
            session: &id.digest,
            until,
        };
        Some(Kept {
            seal: HEXLOWER.encode(&tokens.seal(of)?),
            token: token.to_owned(),
            until,
        })
    }

    /// Whose it is; `None`: it is over.
    fn whose(&self, id: &Id, tokens: &Tokens, now: UnixMs) -> Option<Who> {
        let seal = HEXLOWER.decode(self.seal.as_bytes()).ok()?;
        let of = Seal {
            token: &self.token,
            session: &id.digest,
            until: self.until,
        };
        tokens
            .sealed(of, &seal)
            .filter(|_| now < self.until && self.until <= now + LASTS)
    }
}

/// What is known of sessions here.
pub(super) struct Sessions {
    known: Mutex<HashMap<[u8; 32], Kept>>,
    /// Hears that one was ended.
    ended: watch::Sender<()>,
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions {
            known: Mutex::default(),
            ended: watch::Sender::new(()),
        }
    }
}

impl Sessions {
    /// Begins a session of whoever showed the token of that name.
    pub(super) async fn begin(&self, broker: &Broker, tokens: &Tokens, token: &str) -> Answer<Id> {
        let (id, now) = (Id::by_chance(), UnixMs::now());
        let kept = Kept::begin(&id, tokens, token, now);
        let kept = kept.ok_or_else(|| Problem::invalid("token: was taken away just now"))?;
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        tidy(broker, token, now).await?;
        broker.state().create(&id.key(broker), text.into()).await?;
        self.know(&id, Some(kept), now);
        Ok(id)
    }

    /// Whose a session is; `None`: there is no such session, or no more.
    pub(super) async fn whose(
        &self,
        broker: Option<&Broker>,
        tokens: &Tokens,
        id: &Id,
    ) -> Answer<Option<Who>> {
        let now = UnixMs::now();
        let kept = match broker {
            Some(broker) => {
                let there = broker.state().get_of_leader(&id.key(broker)).await?;
                let kept = there.as_ref().and_then(read);
                self.know(id, kept.clone(), now);
                kept
            }
            None => Some(
                self.known()
                    .get(&id.digest)
                    .cloned()
                    .ok_or_else(Problem::away)?,
            ),
        };
        Ok(kept.and_then(|kept| kept.whose(id, tokens, now)))
    }

    /// Ends a session, at all planners.
    pub(super) async fn end(&self, broker: &Broker, id: &Id) -> Answer<()> {
        broker.state().forget(&id.key(broker)).await?;
        self.known().remove(&id.digest);
        self.ended.send_replace(());
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], Kept>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn know(&self, id: &Id, kept: Option<Kept>, now: UnixMs) {
        let mut known = self.known();
        known.remove(&id.digest);
        if known.len() >= KNOWN_MAX {
            known.retain(|_, kept| now < kept.until);
        }
        if let Some(kept) = kept.filter(|_| known.len() < KNOWN_MAX) {
            known.insert(id.digest, kept);
        }
    }
}

/// What tells this installation from others that a browser meets on the same host: where its sessions are kept was made then,
/// and of that name.
pub(super) async fn installation(broker: &Broker) -> Answer<String> {
    let place = broker.state().name().stream();
    let made = broker.info(&place).await?.created;
    let digest = Sha256::digest(format!("{place} {made}"));
    Ok(HEXLOWER.encode(&digest[..8]))
}

/// Waits until a session is over, for a stream of it. Never ends for whoever came with a token.
pub(super) async fn over(api: Api, id: Option<Id>) {
    let Some(id) = id else {
        return std::future::pending().await;
    };
    let mut ended = api.sessions.ended.subscribe();
    loop {
        let _ = timeout(LOOK, ended.changed()).await;
        let tokens = api.tokens();
        let whose = api.sessions.whose(api.broker(), &tokens, &id);
        if let Ok(None) = whose.await {
            return;
        }
    }
}

fn read(entry: &Entry) -> Option<Kept> {
    serde_json::from_slice(entry.value.as_ref()?).ok()
}

/// Removes sessions that are over, and of a token that has too many the oldest, before it gets another.
async fn tidy(broker: &Broker, token: &str, now: UnixMs) -> Answer<()> {
    let state = broker.state();
    let all = state.entries(broker.subjects().all_sessions()).await?;
    for key in doomed(&all, token, now) {
        state.forget(key).await?;
    }
    Ok(())
}

fn doomed<'a>(all: &'a [Entry], token: &str, now: UnixMs) -> Vec<&'a str> {
    // What a newer build wrote makes no sense here, and is over by its age.
    let is_over = |entry: &&Entry| read(entry).map_or(entry.at + LASTS, |kept| kept.until) <= now;
    let (mut doomed, mut lasting): (Vec<&Entry>, Vec<&Entry>) = all.iter().partition(is_over);
    lasting.retain(|entry| read(entry).is_some_and(|kept| kept.token == token));
    lasting.sort_by_key(|entry| entry.at);
    let too_many = (lasting.len() + 1).saturating_sub(OF_A_TOKEN_MAX);
    doomed.extend(lasting.into_iter().take(too_many));
    doomed.into_iter().map(|entry| entry.key.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::access::{Role, Token, digest};
    use super::*;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    fn tokens(texts: &[(&str, Role, &str)]) -> Tokens {
        let token = |(name, role, text): &(&str, Role, &str)| {
            Token::new(name, *role, &digest(text)).unwrap()
        };
        Tokens::new(texts.iter().map(token).collect()).unwrap()
    }

    fn entry(n: u64, kept: &Kept) -> Entry {
        Entry {
            key: format!("session.{n}"),
            value: Some(serde_json::to_vec(kept).unwrap().into()),
            revision: n,
            at: UnixMs(NOW.0 + n),
        }
    }

    #[test]
    fn session_lasts_until_its_end_and_no_longer_than_its_token() {
        let both = tokens(&[("ada", Role::Admin, "a"), ("bob", Role::Viewer, "b")]);
        let id = Id::by_chance();
        let kept = Kept::begin(&id, &both, "bob", NOW).unwrap();
        let whose = |tokens: &Tokens, now| kept.whose(&id, tokens, now);
        assert_eq!(whose(&both, NOW).unwrap().name, "bob");
        let last = UnixMs((NOW + LASTS).0 - 1);
        assert_eq!(whose(&both, last).unwrap().role, Role::Viewer);
        assert_eq!(whose(&both, NOW + LASTS), None);
        // It may do what its token may now.
        let raised = tokens(&[("bob", Role::Operator, "b")]);
        assert_eq!(whose(&raised, NOW).unwrap().role, Role::Operator);
        let another = tokens(&[("bob", Role::Viewer, "c"), ("eve", Role::Viewer, "b")]);
        assert_eq!(whose(&another, NOW), None);
        assert_eq!(whose(&Tokens::default(), NOW), None);
    }

    #[test]
    fn what_stands_in_the_broker_is_no_session_of_another_name_number_or_time() {
        let both = tokens(&[("ada", Role::Admin, "a"), ("bob", Role::Viewer, "b")]);
        let id = Id::by_chance();
        let kept = Kept::begin(&id, &both, "bob", NOW).unwrap();
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains(id.text()) && !text.contains(&digest("b")));
        let changed = [
            Kept {
                token: "ada".to_owned(),
                ..kept.clone()
            },
            Kept {
                until: kept.until + LASTS,
                ..kept.clone()
            },
            Kept {
                until: UnixMs(kept.until.0 - 1),
                ..kept.clone()
            },
            Kept {
                seal: String::new(),
                ..kept.clone()
            },
            Kept {
                seal: digest("b"),
                ..kept.clone()
            },
        ];
        for changed in changed {
            assert_eq!(changed.whose(&id, &both, NOW), None, "{changed:?}");
        }
        assert_eq!(kept.whose(&Id::by_chance(), &both, NOW), None);
        assert!(kept.whose(&id, &both, NOW).is_some());
    }

    #[test]
    fn session_that_somebody_made_who_knows_a_digest_lasts_no_longer_than_another() {
        let all = tokens(&[("bob", Role::Viewer, "b")]);
        let id = Id::by_chance();
        let until = NOW + LASTS + Duration::from_millis(1);
        let of = Seal {
            token: "bob",
            session: &id.digest,
            until,
        };
        let made = Kept {
            token: "bob".to_owned(),
            until,
            seal: HEXLOWER.encode(&all.seal(of).unwrap()),
        };
        assert_eq!(made.whose(&id, &all, NOW), None);
        assert!(made.whose(&id, &all, UnixMs(NOW.0 + 1)).is_some());
    }

    #[test]
    fn number_is_read_as_it_was_made_and_no_other_text_is_one() {
        let id = Id::by_chance();
        assert_eq!(Id::read(id.text()).unwrap().digest, id.digest);
        let text = id.text();
        let longer = format!("{text}0");
        let token = text.replace("gls_", "glt_");
        for none in ["", "gls_", &text[1..], &longer, &token, "gls_*", "gls_>"] {
            assert!(Id::read(none).is_none(), "{none}");
        }
    }

    #[test]
    fn what_is_over_and_the_oldest_of_too_many_are_removed() {
        let all = tokens(&[("ada", Role::Admin, "a"), ("bob", Role::Viewer, "b")]);
        let begin = |token, now| Kept::begin(&Id::by_chance(), &all, token, now).unwrap();
        let over = UnixMs(NOW.0 - LASTS.as_millis() as u64);
        let mut entries = Vec::from([entry(0, &begin("ada", over)), entry(1, &begin("ada", NOW))]);
        let nonsense = Entry {
            value: Some("nonsense".into()),
            ..entry(2, &begin("ada", NOW))
        };
        entries.push(nonsense.clone());
        entries.push(Entry {
            at: over,
            key: "session.old".to_owned(),
            ..nonsense
        });
        let most = OF_A_TOKEN_MAX as u64;
        entries.extend((10..10 + most + 2).map(|n| entry(n, &begin("bob", NOW))));
        let doomed_now = |token| doomed(&entries, token, NOW);
        assert_eq!(doomed_now("ada"), ["session.0", "session.old"]);
        assert_eq!(
            doomed_now("bob"),
            [
                "session.0",
                "session.old",
                "session.10",
                "session.11",
                "session.12"
            ]
        );
    }

    #[test]
    fn so_many_are_known_and_no_more() {
        let all = tokens(&[("ada", Role::Admin, "a")]);
        let sessions = Sessions::default();
        let know = |now| {
            let id = Id::by_chance();
            let kept = Kept::begin(&id, &all, "ada", now);
            sessions.know(&id, kept, now);
            id
        };
        let first = know(NOW);
        (0..2 * KNOWN_MAX).for_each(|_| drop(know(NOW)));
        assert_eq!(sessions.known().len(), KNOWN_MAX);
        sessions.know(&first, None, NOW);
        assert_eq!(sessions.known().len(), KNOWN_MAX - 1);
        know(NOW + LASTS);
        know(NOW + LASTS);
        assert_eq!(sessions.known().len(), 2);
    }
}
