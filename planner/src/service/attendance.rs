//! Answers whoever asks who plans, whether this planner leads or not: so that nobody is told to start one where
//! one runs.

use std::time::Duration;

use gridloom_shared::broker::{Broker, Message};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::Session;
use gridloom_shared::planner::Attendance;
use gridloom_shared::wire::{self, Versions};

use super::health::Health;
use crate::alive::Signs;

/// Pause after nobody could be listened to.
const PAUSE: Duration = Duration::from_millis(250);

/// Who answers.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) session: Session,
    pub(super) health: Health,
    pub(super) started_at: UnixMs,
}

impl Facts {
    fn attendance(&self) -> Attendance {
        let (odd, last_odd) = self.health.odd().all();
        Attendance {
            name: self.name.clone(),
            session: self.session,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wire: Versions::own(),
            started_at: self.started_at,
            term: self.health.leads(),
            trouble: self.health.trouble(),
            files: self.health.files(),
            odd,
            last_odd,
        }
    }
}

/// Answers for as long as the planner runs.
pub(super) async fn answer(broker: Broker, facts: Facts, signs: Signs) {
    let everybody = broker.subjects().planner_call();
    loop {
        signs.give();
        match broker.subscribe(everybody.clone()).await {
            Ok(mut questions) => {
                while let Some(question) = signs.waiting(questions.next()).await {
                    say(&broker, &facts, question).await;
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "failed to listen for who asks who plans");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn say(broker: &Broker, facts: &Facts, question: Message) {
    // Whoever asks must not reach by this planner what it may not reach itself.
    let reply = question
        .reply
        .filter(|reply| broker.subjects().takes_answers(reply.as_str()));
    let Some(reply) = reply else {
        return;
    };
    let said = broker.publish(reply, wire::encode(&facts.attendance()));
    if let Err(error) = said.await {
        tracing::debug!(error = %chain(&error), "failed to say who plans");
    }
}
