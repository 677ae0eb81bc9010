//! What a lost and a new connection mean.
//!
//! While disconnected nothing starts and nothing is written: what was handed to the client would be
//! sent later, whoever holds the tile by then. On a new connection, what an earlier one delivered and
//! is not started is dropped; then the takeovers that were missed are read, and only then anything is
//! written or started (docs/PROTOCOL.md §3, §5).

use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::topology::TopologyError;
use gridloom_shared::chain;

use super::errand::{self, Seen};
use super::lanes::{AttachError, Attachment, attach};
use super::{Engine, Event};
use crate::error::RunError;
use crate::health::Part;

/// How long to wait before a broker that could not answer is asked again.
const RETRY: Duration = Duration::from_millis(200);

/// The connection as the engine last saw it.
#[derive(Debug)]
pub(super) struct Link {
    epoch: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Disconnected,
    /// Connected again: missed takeovers are being read.
    CatchingUp,
}

impl Link {
    pub(super) fn new(broker: &Broker) -> Link {
        Link {
            epoch: broker.connection_epoch(),
            state: State::Open,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether anything may be started, written or signalled.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }
}

impl Engine {
    pub(super) fn look_at_link(&mut self) {
        let epoch = self.broker.connection_epoch();
        let connected = self.broker.is_connected();
        if !connected {
            if self.link.state != State::Disconnected {
                self.link.state = State::Disconnected;
                self.health
                    .trouble(Part::Broker, "disconnected from the broker");
            }
            return;
        }
        if epoch != self.link.epoch || self.link.state == State::Disconnected {
            self.link = Link {
                epoch,
                state: State::CatchingUp,
            };
            self.reconnected();
        }
    }

    fn reconnected(&mut self) {
        let epoch = self.link.epoch;
        tracing::info!(
            epoch,
            tiles = self.tiles.len(),
            "new connection: reading the takeovers that were missed"
        );
        let stale = self.tiles.unstarted(|held| held.receipt().epoch != epoch);
        stale.into_iter().for_each(|key| self.drop_unstarted(key));
        (0..self.lanes.len()).for_each(|lane| self.attach(lane, Duration::ZERO));
        self.catch_up(Duration::ZERO);
        self.runs.doubt();
        self.ask_about_runs();
    }

    fn catch_up(&mut self, after: Duration) {
        let mut lowest = std::collections::HashMap::new();
        for (key, held) in self.tiles.iter() {
            let fence = held.fence().0;
            let known = lowest.entry(key.opened).or_insert(fence);
            *known = fence.min(*known);
        }
        let runs = lowest
            .into_iter()
            .filter_map(|(opened, fence)| {
                let run = self.runs.get(opened)?;
                let subject = self.ledger.takeovers_of(opened)?.clone();
                Some((opened, subject, run.takeovers_read().max(fence)))
            })
            .collect();
        let (broker, epoch) = (self.broker.clone(), self.link.epoch);
        self.errands
            .add(errand::catch_up(broker, epoch, runs, after));
    }

    pub(super) fn caught_up(&mut self, epoch: u64, result: Result<Vec<(u64, Seen)>, ReadError>) {
        if epoch != self.link.epoch || self.link.state != State::CatchingUp {
            return;
        }
        match result {
            Ok(all) => {
                let more = all.last().is_some_and(|(_, seen)| seen.more);
                all.into_iter()
                    .for_each(|(run, seen)| self.apply_takeovers(run, seen));
                if more {
                    return self.catch_up(Duration::ZERO);
                }
                self.link.state = State::Open;
                self.health.fine(&Part::Broker);
                for batch in self.ledger.take_parked() {
                    self.send_again(batch);
                }
            }
            Err(error) => {
                tracing::debug!(error = %chain(&error), "cannot read the takeovers that were missed");
                self.catch_up(RETRY);
            }
        }
    }

    /// Asks for the current consumer of a lane and for its floor.
    pub(super) fn attach(&mut self, lane: usize, after: Duration) {
        let state = self.lanes.get_mut(lane);
        if self.draining.is_some() || !state.begin_attach() {
            return;
        }
        let asked = attach(
            self.broker.clone(),
            state.lane().clone(),
            self.settings.ack_deadline,
            state.consumer().cloned(),
        );
        let turns = Arc::clone(&self.attaching);
        let mut queue_made = self.queue_made.subscribe();
        self.errands.add(async move {
            tokio::select! {
                () = errand::pause(after) => {}
                // Whatever it waits for, it may be there now.
                Ok(()) = queue_made.changed() => {}
            }
            let _turn = turns.acquire_owned().await;
            let made = *queue_made.borrow();
            Event::Attached {
                lane,
                made,
                result: Box::new(asked.await),
            }
        });
    }

    /// What the broker said of a lane that was asked for when the queue had been made again `made` times.
    pub(super) fn attached(
        &mut self,
        lane: usize,
        made: u64,
        result: Result<Attachment, AttachError>,
    ) {
        let state = self.lanes.get_mut(lane);
        state.end_attach();
        let part = Part::Lane(state.lane().clone());
        match result {
            Ok(attachment) => {
                let changed = state.settle(&self.broker, attachment);
                if changed {
                    let of = state.lane();
                    tracing::warn!(queue = %of.queue, handler = %of.handler, "another consumer is current now");
                    self.drop_unstarted_of(lane);
                }
                self.health.fine(&part);
                self.health.fine(&Part::Streams);
                if self.lanes.are_there() {
                    self.health.fine(&Part::Worker);
                }
                let queues = self.settings.queues.iter();
                let deadlines = queues.map(|queue| self.lanes.deadline_of(queue));
                self.announcer.goes_by(deadlines);
                // Learned on an earlier connection, it is void.
                if self
                    .lanes
                    .get(lane)
                    .floor(self.broker.connection_epoch())
                    .is_none()
                {
                    self.attach(lane, Duration::ZERO);
                }
            }
            Err(AttachError::Topology(
                error @ (TopologyError::Absent { .. } | TopologyError::Queueless { .. }),
            )) => {
                // All lanes lack the same.
                self.health
                    .trouble(Part::Streams, chain(&error).to_string());
                let is_there = *self.queue_made.borrow() > made;
                let wait = self.lanes.get_mut(lane).wait();
                let after = if is_there { Duration::ZERO } else { wait };
                self.attach(lane, after);
            }
            Err(AttachError::Topology(error)) if !passes(&error) && !state.has_consumer() => {
                self.fault = Some(RunError::Topology(error));
            }
            Err(error) => {
                let why = format!("lane {}: {}", state.lane(), chain(&error));
                let wait = state.wait();
                self.health.trouble(part, why);
                self.attach(lane, wait);
            }
        }
    }

    fn drop_unstarted_of(&mut self, lane: usize) {
        let stale = self.tiles.unstarted(|held| held.lane() == lane);
        stale.into_iter().for_each(|key| self.drop_unstarted(key));
    }
}

/// Whether it may be well by itself: a stream that is not there yet, a broker that cannot answer.
fn passes(error: &TopologyError) -> bool {
    match error {
        TopologyError::Drift(_)
        | TopologyError::TooFewReplicas { .. }
        | TopologyError::Follows { .. }
        | TopologyError::Restoring { .. } => false,
        TopologyError::Create { .. }
        | TopologyError::Look { .. }
        | TopologyError::Absent { .. }
        | TopologyError::Queueless { .. }
        | TopologyError::Number { .. } => true,
    }
}
