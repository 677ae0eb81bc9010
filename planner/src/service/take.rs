//! Takes the leadership over, in the order of docs/PROTOCOL.md §7: the term register is written, then
//! the ledger is read (what was folded of it while standing by need not be read again), and only then
//! do the feeds begin.

use gridloom_shared::id::Term;
use tracing::Span;

use super::act::Act;
use super::alarms::{self, Watch};
use super::doors::Keeper;
use super::envoy::Envoy;
use super::error::TakeError;
use super::failover::{self, Workers};
use super::feeds::commands::commands;
use super::gauges::{Gauges, Position};
use super::schedules::roll::Roll;
use super::standby::{Folded, Known};
use super::task::Task;
use super::tasks::Tasks;
use super::vanished::{self, Removed};
use super::{feeds, numbers, schedules, sweep};
use crate::admission::Flow;
use crate::lead::Lead;
use crate::now::Now;
use crate::pulse::Pulse;
use crate::retention::Retention;

/// A leadership: what decides, and what carries it out.
pub(super) struct Leadership {
    pub(super) lead: Lead,
    pub(super) act: Act,
    pub(super) workers: Workers,
    pub(super) keeper: Keeper,
    pub(super) roll: Roll,
    pub(super) gauges: Gauges,
    /// What its lines of the log are about: its term.
    pub(super) span: Span,
}

/// How a leadership is set up.
pub(super) struct Setup {
    pub(super) term: Term,
    pub(super) retention: Retention,
    pub(super) flow: Flow,
    /// Its tasks: none yet.
    pub(super) tasks: Tasks,
    /// What was known while standing by.
    pub(super) known: Known,
    pub(super) span: Span,
}

impl Leadership {
    pub(super) async fn take(
        envoy: Envoy,
        workers: Workers,
        (keeper, pulse): (Keeper, Pulse),
        setup: Setup,
    ) -> Result<Leadership, TakeError> {
        let broker = envoy.broker.clone();
        let register = envoy.secure(setup.term).await?.register;
        let ledger = broker.info(&broker.subjects().ledger()).await?;
        let position = ledger.last_seq;
        let Known { folded, schedules } = setup.known;
        let was_warm = folded.is_some();
        let folded = match folded {
            Some(folded) => folded.read_on(&broker, &ledger).await?,
            None => Folded::read(&broker, &ledger).await?,
        };
        let now = Now::read(&envoy.clock);
        let lead = |runs| Lead::new(setup.term, register, position, runs, setup.flow, now);
        let lead = folded.into_lead(lead);
        let mut act = Act::new(envoy.clone(), workers.clone(), setup.tasks);
        act.feed(Task::Ledger, |signs| {
            feeds::ledger(envoy.clone(), position, pulse, signs)
        });
        act.feed(Task::Submissions, |signs| {
            feeds::submissions(envoy.clone(), setup.term, signs)
        });
        act.feed(Task::Queue, |signs| feeds::queue(envoy.clone(), signs));
        act.feed(Task::Orders, |signs| commands(envoy.clone(), signs));
        let read = Position::default();
        act.feed(Task::QueueNumbers, |signs| {
            let (clock, read) = (envoy.clock.clone(), read.clone());
            numbers::watch(broker.clone(), clock, read, signs)
        });
        let (roll, open) = (Roll::default(), lead.book().names().cloned().collect());
        let watch = Watch::default();
        act.feed(Task::Schedules, |signs| {
            let said = (roll.clone(), open);
            schedules::keep(
                envoy.clone(),
                setup.term,
                said,
                (watch.clone(), schedules),
                signs,
            )
        });
        act.feed(Task::Alarms, |signs| {
            alarms::keep(envoy.clone(), watch, signs)
        });
        let clock = envoy.clock.clone();
        let removed = Removed::default();
        act.feed(Task::Retention, |signs| {
            let swept = (setup.term, position, removed.clone());
            sweep::sweep(broker, setup.retention, clock, swept, signs)
        });
        act.feed(Task::OpenRuns, |signs| {
            vanished::watch(envoy.clone(), removed, was_warm, signs)
        });
        act.feed(Task::Workers, |signs| {
            failover::watch(envoy, workers.clone(), signs)
        });
        Ok(Leadership {
            lead,
            act,
            workers,
            keeper,
            roll,
            gauges: Gauges::of(read),
            span: setup.span,
        })
    }
}
