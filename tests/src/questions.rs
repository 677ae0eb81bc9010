//! What others ask the ledger: a client of the broker hears each question, as the broker does.

use std::time::Duration;

use anyhow::Context;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::plain::Subscription;
use serde_json::Value;

/// A question about nothing: whatever was asked before it was heard before it.
const MARK: &str = "nothing";
const SOON: Duration = Duration::from_secs(10);

/// Hears what is asked about the ledger's records.
#[derive(Debug)]
pub struct Questions {
    broker: Broker,
    heard: Subscription,
}

impl Questions {
    /// Hears it from now on.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn listen(broker: &Broker) -> anyhow::Result<Questions> {
        let heard = broker.subscribe("$JS.API.>").await?;
        let broker = broker.clone();
        let mut questions = Questions { broker, heard };
        questions.so_far().await?;
        Ok(questions)
    }

    /// What was asked since, in order. Whoever asks for the last record on a subject names it in another place, and is
    /// not told of.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn so_far(&mut self) -> anyhow::Result<Vec<Value>> {
        let ledger = self.broker.subjects().ledger();
        let places = ["DIRECT.GET", "STREAM.MSG.GET"].map(|by| format!("$JS.API.{by}.{ledger}"));
        self.broker.first(&ledger, MARK).await?;
        let mut asked = Vec::new();
        loop {
            let next = tokio::time::timeout(SOON, self.heard.next()).await;
            let message = next.context("hear the mark")?.context("hear on")?;
            if !places.iter().any(|place| *place == *message.subject) {
                continue;
            }
            let question: Value = serde_json::from_slice(&message.payload)?;
            if question["next_by_subj"] == MARK {
                return Ok(asked);
            }
            asked.push(question);
        }
    }
}

/// Whether the broker has to look through the records of others for it.
pub fn is_broad(question: &Value) -> bool {
    question.to_string().contains(['*', '>'])
}
