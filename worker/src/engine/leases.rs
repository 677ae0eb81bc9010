//! Renews leases, ends them, and listens to takeovers by others.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::{Broker, Message, PublishError, Subscription};
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{Fence, RunId};
use gridloom_shared::ledger::record::Takeover;
use gridloom_shared::tile::TileRef;
use gridloom_shared::wire;

use super::errand::{self, Ask, Seen};
use super::held::{Holding, Phase, TileKey};
use super::{Engine, Event, HashMap};
use crate::lease::{Action, Event as LeaseEvent};

/// In-progress signals that were sent and not answered. One inbox serves them all.
pub(super) struct Renewals {
    inbox: String,
    answers: Subscription,
    last: u64,
    pending: HashMap<u64, (Holding, Boot)>,
}

impl Renewals {
    pub(super) async fn new(broker: &Broker) -> Result<Renewals, PublishError> {
        let inbox = broker.new_inbox();
        let answers = broker.subscribe(format!("{inbox}.*")).await?;
        Ok(Renewals {
            inbox,
            answers,
            last: 0,
            pending: HashMap::new(),
        })
    }

    pub(super) async fn next(&mut self) -> Option<Message> {
        self.answers.next().await
    }

    fn note(&mut self, holding: Holding, sent: Boot) -> String {
        self.last += 1;
        self.pending.insert(self.last, (holding, sent));
        format!("{}.{}", self.inbox, self.last)
    }

    fn answered(&mut self, answer: &Message) -> Option<(Holding, Boot)> {
        let id = answer.subject.rsplit('.').next()?.parse().ok()?;
        let found = self.pending.remove(&id)?;
        // Nobody was there: that is no answer of the consumer.
        answer.status.is_none().then_some(found)
    }

    fn forget(&mut self, now: Boot, after: Duration) {
        self.pending.retain(|_, (_, sent)| now.since(*sent) < after);
    }
}

impl Engine {
    pub(super) fn tick(&mut self) {
        self.now = Boot::now();
        let now = self.now;
        let (mut renew, mut lost, mut back) = (Vec::new(), Vec::new(), Vec::new());
        for (key, held) in &mut self.tiles {
            match (held.phase, held.lease.step(LeaseEvent::Tick, now)) {
                (_, Some(Action::Abandon(loss))) => lost.push((*key, loss)),
                (Phase::Paused(until), _) if now >= until => back.push(*key),
                (Phase::Paused(_), _) | (_, Some(Action::Ask) | None) => {}
                (_, Some(Action::Renew)) => renew.push(*key),
            }
        }
        lost.into_iter()
            .for_each(|(key, loss)| self.lose(key, loss));
        back.into_iter().for_each(|key| self.hand_back(key));
        self.renew(&renew);
        self.try_ledger();
        let longest = self
            .queues
            .iter()
            .map(|queue| queue.ack_deadline)
            .max()
            .unwrap_or_default();
        self.heard.forget(now, longest);
        self.renewals.forget(now, longest);
        self.facts.in_flight.store(self.running, Ordering::Relaxed);
        self.meters.running.set(f64::from(self.running));
        self.name_held();
        self.tick_drain();
    }

    /// Sends in-progress signals, and asks for the last takeover of each run concerned: a broadcast
    /// may have been missed, and the broker answers renewals of a tile that another holds as well.
    fn renew(&mut self, keys: &[TileKey]) {
        if !self.link.is_open() {
            return;
        }
        let mut runs = Vec::new();
        for key in keys {
            let Some(held) = self.tiles.get(key) else {
                continue;
            };
            let sent = Boot::now();
            let reply = self.renewals.note(held.holding(), sent);
            self.broker
                .publish_with_reply(
                    held.receipt.reply.clone(),
                    reply,
                    Bytes::from_static(b"+WPI"),
                )
                .now_or_never();
            for copy in &held.copies {
                self.broker
                    .publish(copy.reply.clone(), Bytes::from_static(b"+WPI"))
                    .now_or_never();
            }
            if !runs.contains(&key.opened) {
                runs.push(key.opened);
            }
        }
        runs.into_iter()
            .for_each(|run| self.look(run, Ask::Anybody));
    }

    pub(super) fn renewed(&mut self, answer: &Message) {
        let Some((holding, sent)) = self.renewals.answered(answer) else {
            return;
        };
        let held = self
            .tiles
            .get_mut(&holding.tile)
            .filter(|held| held.generation == holding.generation);
        let Some(held) = held else { return };
        let action = held
            .lease
            .step(LeaseEvent::RenewalAnswered { sent }, Boot::now());
        if let Some(hold) = &held.hold {
            hold.prolong(held.lease.end());
        }
        self.act(holding.tile, action);
    }

    fn act(&mut self, key: TileKey, action: Option<Action>) {
        match action {
            Some(Action::Abandon(loss)) => self.lose(key, loss),
            Some(Action::Renew) => self.renew(&[key]),
            Some(Action::Ask) => self.look(key.opened, Ask::Leader),
            None => {}
        }
    }

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
        run.takeovers_read = run.takeovers_read.max(seen.up_to);
        let id = run.id.clone();
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
        let Some((key, held)) = key.and_then(|key| Some((key, self.tiles.get_mut(&key)?))) else {
            self.heard.note(run, place, self.now);
            return;
        };
        let unclaimed = matches!(
            held.phase,
            Phase::Context | Phase::Claiming | Phase::Paused(_)
        );
        if held.reason.is_some() && unclaimed {
            // Ours is yet to stand in the ledger; whose is newer is looked up then.
            held.suspect = true;
            return;
        }
        let event = match by {
            Some(by) => LeaseEvent::TakenOver { by },
            None => LeaseEvent::Heard,
        };
        let action = held.lease.step(event, self.now);
        self.act(key, action);
    }

    /// Reads the takeovers of a run that were not read yet.
    pub(super) fn look(&mut self, opened: u64, ask: Ask) {
        let Some(run) = self.runs.get(opened) else {
            return;
        };
        if run.looking && ask == Ask::Anybody {
            return;
        }
        self.look_after(opened, run.takeovers_read.max(opened), ask);
    }

    /// Reads the takeovers of a run that stand after `known`.
    pub(super) fn look_after(&mut self, opened: u64, known: u64, ask: Ask) {
        let Some(run) = self.runs.get_mut(opened) else {
            return;
        };
        run.looking = true;
        let (broker, subject) = (self.broker.clone(), run.takeover.clone());
        self.errands.push(Box::pin(async move {
            Event::Looked {
                run: opened,
                result: errand::look(&broker, &subject, known, ask).await,
            }
        }));
    }

    pub(super) fn looked(&mut self, opened: u64, result: Result<Seen, ReadError>) {
        if let Some(run) = self.runs.get_mut(opened) {
            run.looking = false;
        }
        match result {
            Ok(seen) => self.apply_takeovers(opened, seen),
            Err(error) => tracing::debug!(%error, "cannot read takeovers"),
        }
    }
}
