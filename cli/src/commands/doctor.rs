//! `gridloom doctor`: is everything there that the engine needs? What is looked at stands in [`gridloom_planner::doctor`],
//! which the API asks, too. Here is what concerns this command alone: its way to the broker, and how it prints
//! ([`shown`]).

use gridloom_planner::doctor::{self, Asker, Chart};
use gridloom_shared::broker::ConnectError;
use gridloom_shared::chain;

use super::service;
use crate::args::Doctor;
use crate::config::{DEFAULT_NATS, Whence};
use crate::context::Context;
use crate::exit::UNREACHABLE;
use crate::fault::{Verdict, code_of};

mod shown;

/// Checks everything and shows what it found.
///
/// # Errors
/// When the broker cannot be reached at all: the exit code is that of an unreachable broker.
pub async fn run(context: &Context, flags: &Doctor) -> anyhow::Result<Verdict> {
    let broker = match context.ask_whatever_is_there().await {
        Ok(broker) => broker,
        Err(error) => {
            shown::show(&unreached(context, &error), &context.output);
            return match code_of(&error) {
                UNREACHABLE => Ok(Verdict::Unreachable),
                _ => Err(error),
            };
        }
    };
    let expected = service::expected(&context.config, &flags.streams);
    let mut chart = Chart::default();
    doctor::examine(&broker, Asker::Command, expected, &mut chart).await;
    shown::show(&chart, &context.output);
    let sick = chart.is_bad();
    Ok(if sick { Verdict::Failed } else { Verdict::Fine })
}

fn unreached(context: &Context, error: &anyhow::Error) -> Chart {
    let advice = match error.downcast_ref::<ConnectError>() {
        Some(ConnectError::Unreachable { .. }) if context.config.nats_from == Whence::Default => {
            format!(
                "where yours runs elsewhere, name it (--nats, GRIDLOOM_NATS); where none runs, start one (gridloom dev); tried the default {DEFAULT_NATS}"
            )
        }
        Some(ConnectError::Unreachable { .. }) => {
            "see whether nats-server runs there: where it does, the address (--nats, GRIDLOOM_NATS) or the way to it is wrong (port, firewall, TLS); where it does not, start it".to_owned()
        }
        _ => "what is found says what to change: the address, this client's credentials, or the broker's configuration".to_owned(),
    };
    doctor::unreached(chain(&**error).to_string(), advice)
}
