//! Feeds the orders that people give.

use std::time::Duration;

use gridloom_shared::broker::Message;
use gridloom_shared::chain;
use gridloom_shared::command::{Answer, Command};
use gridloom_shared::wire;

use super::super::envoy::Envoy;
use crate::alive::Signs;
use crate::lead::event::{Event, Request};

/// Pause after something failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Feeds the orders that people give. Everything that comes is answered.
pub(in crate::service) async fn commands(envoy: Envoy, signs: Signs) {
    let subject = envoy.broker.subjects().all_commands();
    loop {
        signs.give();
        match envoy.broker.subscribe(subject.clone()).await {
            Ok(mut commands) => {
                while let Some(message) = signs.waiting(commands.next()).await {
                    if !take(&envoy, message).await {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(error = %chain(&error), "failed to listen for orders"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn take(envoy: &Envoy, message: Message) -> bool {
    let Some(reply) = message.reply.clone() else {
        tracing::warn!(subject = %message.subject, "an order that wants no answer is not carried out");
        return true;
    };
    match understand(envoy, &message) {
        Ok(command) => {
            envoy
                .say(Event::Ordered(Box::new(Request { command, reply })))
                .await
        }
        Err(reason) => {
            tracing::warn!(subject = %message.subject, reason, "an order that cannot be understood");
            let answer = wire::encode(&Answer::Misuse { reason });
            if let Err(error) = envoy.broker.publish(reply, answer).await {
                tracing::debug!(error = %chain(&error), "failed to answer an order");
            }
            true
        }
    }
}

fn understand(envoy: &Envoy, message: &Message) -> Result<Command, String> {
    let command: Command = wire::decode(&message.payload).map_err(|error| {
        format!(
            "the order cannot be understood: as one it is {}",
            chain(&error)
        )
    })?;
    if message.subject.as_str() != envoy.broker.subjects().command(command.verb) {
        return Err(format!(
            "an order to {} does not belong on subject {}",
            command.verb.as_str(),
            message.subject
        ));
    }
    if command.request == 0 {
        return Err(
            "an order needs a number other than 0, the same whenever it is sent".to_owned(),
        );
    }
    Ok(command)
}
