//! What each command does; one room a group of commands. A room asks the broker, decides what the
//! answer is, and hands it to [`crate::output`].
//!
//! | room | commands |
//! |------|----------|
//! | [`job`] | `job apply`, `list`, `show`, `delete`, `backfill` and what else is said of schedules |
//! | [`calendar`] | `calendar apply`, `list`, `show`, `delete` |
//! | [`mod@run`] | `run`: a submission; `wait`: following it to its end |
//! | [`runs`] | `runs`, `show`, `audit`, `dead list`: what ledgers say |
//! | [`orders`] | `cancel`, `retry`, `dead retry`, `dead drop`: orders to the planner |
//! | [`unreadable`] | `unreadable list`, `drop` |
//! | [`queues`] | `queues`, `workers` |
//! | [`top`] | `top`: all of that on one screen, and orders by keys |
//! | [`log`] | `log` |
//! | [`doctor`] | `doctor` |
//! | [`health`] | `health` |
//! | [`backup`] | `backup`, `restore` |
//! | [`site`] | `site mirror`, `site status`, `site promote` |
//! | [`snapshot`] | `snapshot`, `snapshot show` |
//! | [`import`] | `import elasticjob` |
//! | [`token`] | `token` |
//! | [`sdk_test`] | `sdk-test` |
//! | [`service`] | `planner`, `worker` |
//! | [`dev`] | `dev` |
//! | `revision` | whether a job or calendar is still the one that somebody saw |
//! | `files` | which text a file of a job or a calendar has |
//! | `wanted` | whether somebody really wants it: asked before |

use std::time::Duration;

use anyhow::Context as _;
use gridloom_shared::chain;
use gridloom_shared::command::Verb;
use gridloom_shared::telemetry::{self, LogFormat};

use crate::args::{Dead, Global, Line, Order, variables};
use crate::config::{Config, is_the_variable};
use crate::context::{Asked, Context};
use crate::exit::FAILED;
use crate::fault::{Misuse, Outdated, Verdict, code_of};
use crate::output::{Form, Output, log_errors};

pub mod backup;
pub mod calendar;
pub mod dev;
pub mod doctor;
mod files;
pub mod health;
pub mod import;
pub mod installation;
pub mod job;
pub mod log;
pub mod orders;
pub mod queues;
mod revision;
pub mod run;
pub mod runs;
pub mod sdk_test;
pub mod service;
pub mod site;
pub mod snapshot;
pub mod token;
pub mod top;
pub mod unreadable;
mod wanted;

/// Does what `line` says.
///
/// # Errors
/// When it could not be done; [`crate::fault::code_of`] gives the exit code.
pub fn run(line: Line) -> anyhow::Result<Verdict> {
    let form = if line.global.json {
        Form::Programs
    } else {
        Form::People
    };
    if matches!(line.order, Order::Dev(_) | Order::Demo(_))
        && let Some(flag) = names_a_broker(&line.global)
    {
        return Err(Misuse::error(format!(
            "this starts a broker of its own, for as long as it runs, and needs no credentials: leave {flag} out, or start gridloom planner and gridloom worker with it",
        )));
    }
    let context = Context {
        config: Config::load(&line.global)?,
        output: Output::new(form),
        asked: Asked::default(),
    };
    let usual = match &line.order {
        // The client's own news are told by the engine, better.
        Order::Planner(_) | Order::Worker(_) => "info,async_nats=warn",
        // What the program writes is what its author looks for.
        Order::Dev(flags) if !flags.child.command.is_empty() => "warn,child=info",
        // It tells of everything that dies, itself.
        Order::Demo(_) => "error",
        // A line of a log in the midst of a picture is read by nobody.
        Order::Top(flags) if top::is_a_picture(form, flags) => "off",
        _ => "warn",
    };
    let filter = context.config.log.as_deref().unwrap_or(usual);
    let format = context.config.log_format;
    let is_service = matches!(line.order, Order::Planner(_) | Order::Worker(_));
    // What still waits is written when this function ends.
    let logs = match is_service {
        true => telemetry::logs_exactly(format, filter).map(Some),
        false => telemetry::logs_at_once(format, filter).map(|()| None),
    };
    let _logs = logs.map_err(|error| Misuse::error(chain(&error).to_string()))?;
    if is_service && format == LogFormat::Json {
        log_errors();
    }
    for fault in variables::unknown() {
        tracing::warn!(reason = fault, "a variable does nothing");
    }
    let mut runtime = match &line.order {
        // One loop and short tasks: handing them from thread to thread takes longer than they do.
        Order::Planner(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    // What these need are no streams.
    let makes_them = matches!(&line.order, Order::Restore(_) | Order::Site(_));
    let runtime = runtime.enable_all().build().context("start the runtime")?;
    let verdict = runtime.block_on(async {
        let done = Box::pin(dispatch(&context, line.order)).await;
        match whole(&context, done) {
            Ok(verdict) => Ok(verdict),
            Err(error) if makes_them => Err(error),
            Err(error) => Err(installation::explained(&context, error).await),
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    verdict
}

/// What a newer build wrote is not in what was said: a person and a program are told so.
fn whole(context: &Context, done: anyhow::Result<Verdict>) -> anyhow::Result<Verdict> {
    let Some(newer) = context.asked.newer() else {
        return done;
    };
    match done {
        Ok(verdict @ (Verdict::Fine | Verdict::Failed)) => {
            crate::output::error(&Outdated(newer.told()).to_string());
            Ok(match verdict {
                Verdict::Fine => Verdict::Outdated,
                verdict => verdict,
            })
        }
        Err(error) if code_of(&error) == FAILED => {
            let told = format!("{}: {}", newer.told(), chain(&*error));
            Err(Outdated(told).into())
        }
        done => done,
    }
}

/// The flag by which a broker was named here and now, or the way to it: a variable that is set for other commands is no
/// wish of this one.
fn names_a_broker(flags: &Global) -> Option<&'static str> {
    match &flags.nats {
        Some(nats) if !is_the_variable(nats) => Some("--nats"),
        _ => flags.connection.typed(),
    }
}

async fn dispatch(context: &Context, order: Order) -> anyhow::Result<Verdict> {
    match order {
        Order::Demo(flags) => Box::pin(crate::demo::run(context, &flags)).await,
        Order::Dev(flags) => Box::pin(dev::run(context, &flags)).await,
        Order::Planner(flags) => Box::pin(service::planner(context, &flags)).await,
        Order::Worker(flags) => Box::pin(service::worker(context, &flags)).await,
        Order::Job(order) => job::run(context, order).await,
        Order::Calendar(order) => calendar::run(context, order).await,
        Order::Run(flags) => Box::pin(run::run(context, flags)).await,
        Order::Runs(flags) => runs::list(context, &flags).await,
        Order::Show(of) => runs::show(context, &of).await,
        Order::Audit(of) => runs::audit(context, &of.run).await,
        Order::Cancel(of) => orders::of_run(context, Verb::Cancel, &of.run).await,
        Order::Retry(of) => orders::of_run(context, Verb::Retry, &of.run).await,
        Order::Dead(Dead::List(which)) => runs::dead(context, &which).await,
        Order::Dead(Dead::Retry(of)) => orders::dead(context, Verb::Retry, of).await,
        Order::Dead(Dead::Drop(of)) => orders::dead(context, Verb::Drop, of).await,
        Order::Unreadable(order) => unreadable::run(context, order).await,
        Order::Queues => queues::queues(context).await,
        Order::Workers => queues::workers(context).await,
        Order::Doctor(flags) => doctor::run(context, &flags).await,
        Order::Health(flags) => health::run(context, &flags).await,
        Order::Backup(flags) => Box::pin(backup::backup(context, &flags)).await,
        Order::Site(order) => Box::pin(site::run(context, order)).await,
        Order::Top(flags) => Box::pin(top::run(context, flags)).await,
        Order::Log(flags) => log::list(context, &flags).await,
        Order::Import(order) => import::run(context, &order),
        Order::Token(flags) => token::run(context, &flags),
        Order::SdkTest(flags) => sdk_test::run(context, flags).await,
        Order::Snapshot(flags) => Box::pin(snapshot::run(context, &flags)).await,
        Order::Restore(flags) => Box::pin(backup::restore(context, &flags)).await,
    }
}
