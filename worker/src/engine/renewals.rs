//! Renews leases, and ends them when their time is over.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt;
use gridloom_shared::broker::{Broker, Message, PublishError, Subscription};
use gridloom_shared::clock::Boot;

use super::Engine;
use super::errand::Ask;
use super::tiles::{Holding, TileKey};
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

    /// Whose signal was answered.
    fn answered(&mut self, answer: &Message) -> Option<(Holding, Boot)> {
        let id = answer.subject.rsplit('.').next()?.parse().ok()?;
        self.pending.remove(&id)
    }

    fn forget(&mut self, now: Boot, after: Duration) {
        self.pending.retain(|_, (_, sent)| now.since(*sent) < after);
    }
}

impl Engine {
    pub(super) fn tick(&mut self) {
        self.now = Boot::now();
        let mut due = self.tiles.tick(self.now);
        for (key, loss) in std::mem::take(&mut due.lost) {
            self.lose(key, loss);
        }
        std::mem::take(&mut due.back)
            .into_iter()
            .for_each(|key| self.hand_back(key));
        self.renew(&due.renew);
        self.look_for_lost(due);
        if self.runs.are_idle() {
            self.ledger.try_again();
        }
        let longest = self.lanes.longest_deadline();
        self.takeovers.forget(self.now, longest);
        self.renewals.forget(self.now, longest);
        let running = self.tiles.running();
        self.announcer.running(running);
        self.show();
        self.announce();
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
            let Some(held) = self.tiles.get(*key) else {
                continue;
            };
            let sent = Boot::now();
            let reply = self.renewals.note(held.holding(), sent);
            self.broker
                .still_at_it(&held.receipt().reply, Some(reply.into()))
                .now_or_never();
            for copy in held.copies() {
                self.broker.still_at_it(&copy.reply, None).now_or_never();
            }
            if !runs.contains(&key.opened) {
                runs.push(key.opened);
            }
        }
        for run in runs {
            self.look(run, Ask::Anybody);
        }
    }

    pub(super) fn renewed(&mut self, answer: &Message) {
        let Some((holding, sent)) = self.renewals.answered(answer) else {
            return;
        };
        // That nobody was there is no answer of the consumer.
        if answer.status.is_some() {
            return self.unheard(holding, sent);
        }
        let Some(held) = self.tiles.of_mut(holding) else {
            return;
        };
        let action = held.hear(LeaseEvent::RenewalAnswered { sent }, Boot::now());
        self.act(holding.tile, action);
    }

    pub(super) fn act(&mut self, key: TileKey, action: Option<Action>) {
        match action {
            Some(Action::Abandon(loss)) => self.lose(key, loss),
            Some(Action::Renew) => self.renew(&[key]),
            Some(Action::Ask) => {
                self.look(key.opened, Ask::Leader);
            }
            None => {}
        }
    }
}
