//! Listens to takeovers by others: broadcasts, and the ledger where one may have been missed.

use std::time::Duration;

use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::{Broker, Message, PublishError, Subscription};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{Fence, RunId};
use gridloom_shared::ledger::record::{Author, Takeover};
use gridloom_shared::tile::TileRef;
use gridloom_shared::wire;

use super::errand::{self, Ask, Seen};
use super::tiles::{Phase, TileKey};
use super::{Engine, Event};
use crate::lease::Event as LeaseEvent;
use crate::takeover::heard::Heard;

/// What is heard of takeovers.
pub(super) struct Takeovers {
    broadcasts: Subscription,
    /// Of tiles that are not held here.
    heard: Heard,
}

impl Takeovers {
    pub(super) async fn new(broker: &Broker) -> Result<Takeovers, PublishError> {
        let all = broker.subjects().ledgers_by(Author::Takeover);
        Ok(Takeovers {
            broadcasts: broker.subscribe(all).await?,
            heard: Heard::default(),
        })
    }

    pub(super) async fn next(&mut self) -> Option<Message> {
        self.broadcasts.next().await
    }

    /// Whether a takeover of a tile that is not held here was heard lately.
    pub(super) fn were_heard(&self, run: &RunId, place: TileRef) -> bool {
        self.heard.contains(run, place)
    }

    /// Whether a takeover of a tile that was pulled at `pulled` may have been heard and forgotten.
    pub(super) fn may_have_forgotten(&self, pulled: Boot) -> bool {
        self.heard.may_have_forgotten(pulled)
    }

    /// Forgets what is older than `keep`.
    pub(super) fn forget(&mut self, now: Boot, keep: Duration) {
        self.heard.forget(now, keep);
    }
}

impl Engine {
    /// A takeover was published. Where it stands in the ledger is not known.
    pub(super) fn hear(&mut self, message: &Message) {
        let Some((_, run, _)) = self.broker.subjects().parse_ledger(&message.subject) else {
            return;
        };
        let Ok(takeover) = wire::decode::<Takeover>(&message.payload) else {
            return;
        };
        if takeover.session == self.session {
            return;
        }
        for place in takeover.tiles {
            self.hear_of(&run, place, None);
        }
    }

    /// Takeovers of a run that were read.
    pub(super) fn apply_takeovers(&mut self, opened: u64, seen: Seen) {
        let Some(run) = self.runs.get_mut(opened) else {
            return;
        };
        run.note_takeovers(seen.up_to);
        let id = run.id().clone();
        for (sequence, takeover) in seen.takeovers {
            if takeover.session != self.session {
                takeover
                    .tiles
                    .iter()
                    .for_each(|place| self.hear_of(&id, *place, Some(Fence(sequence))));
            }
        }
    }

    fn hear_of(&mut self, run: &RunId, place: TileRef, by: Option<Fence>) {
        let key = self
            .runs
            .opened_of(run)
            .map(|opened| TileKey { opened, place });
        let Some((key, held)) = key.and_then(|key| Some((key, self.tiles.get_mut(key)?))) else {
            self.takeovers.heard.note(run, place, self.now);
            return;
        };
        let unclaimed = matches!(
            held.phase(),
            Phase::Context | Phase::Claiming | Phase::Paused(_)
        );
        if held.reason().is_some() && unclaimed {
            // Ours is yet to stand in the ledger; whose is newer is looked up then.
            held.suspect();
            return;
        }
        let event = match by {
            Some(by) => LeaseEvent::TakenOver { by },
            None => LeaseEvent::Heard,
        };
        let action = held.hear(event, self.now);
        self.act(key, action);
    }

    /// Reads the takeovers of a run that were not read yet. Whether that was begun.
    pub(super) fn look(&mut self, opened: u64, ask: Ask) -> bool {
        let Some(run) = self.runs.get(opened) else {
            return false;
        };
        if run.is_looking() && ask == Ask::Anybody {
            return false;
        }
        self.look_after(opened, run.takeovers_read().max(opened), ask)
    }

    /// Reads the takeovers of a run that stand after `known`. Whether that was begun.
    pub(super) fn look_after(&mut self, opened: u64, known: u64, ask: Ask) -> bool {
        let subject = self.ledger.takeovers_of(opened).cloned();
        let (Some(run), Some(subject)) = (self.runs.get_mut(opened), subject) else {
            return false;
        };
        run.set_looking(true);
        let broker = self.broker.clone();
        self.errands.add(async move {
            Event::Looked {
                run: opened,
                ask,
                result: errand::look(&broker, &subject, known, ask).await,
            }
        });
        true
    }

    pub(super) fn looked(&mut self, opened: u64, ask: Ask, result: Result<Seen, ReadError>) {
        if let Some(run) = self.runs.get_mut(opened) {
            run.set_looking(false);
        }
        match result {
            Ok(seen) => {
                let (more, up_to) = (seen.more, seen.up_to);
                self.apply_takeovers(opened, seen);
                if more && self.look_after(opened, up_to, ask) {
                    return;
                }
                if ask == Ask::Instead {
                    self.asked_instead(opened, !more);
                }
            }
            Err(error) => {
                let run = self.runs.get(opened).map(|run| run.id().as_str());
                tracing::debug!(run, error = %chain(&error), "cannot read takeovers");
                if ask == Ask::Instead {
                    self.asked_instead(opened, false);
                }
            }
        }
    }
}
