//! What is said about queue messages, in order, as fast as the client takes it.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::FutureExt;
use gridloom_shared::broker::{Broker, Subject};

use super::tiles::Receipt;

/// What is said about a queue message.
enum Signal {
    /// It is done.
    Ack(Subject),
    /// It is handed back; only on the connection that pulled it.
    Nak(Subject, u64),
    /// The same, to be delivered again after a while.
    NakFor(Subject, u64, Duration),
    /// It is of no use to anybody.
    Terminate(Subject),
}

#[derive(Default)]
pub(super) struct Signals(VecDeque<Signal>);

impl Signals {
    pub(super) fn ack(&mut self, message: Subject) {
        self.0.push_back(Signal::Ack(message));
    }

    pub(super) fn nak(&mut self, receipt: Receipt) {
        self.0.push_back(Signal::Nak(receipt.reply, receipt.epoch));
    }

    pub(super) fn nak_for(&mut self, message: Subject, epoch: u64, pause: Duration) {
        self.0.push_back(Signal::NakFor(message, epoch, pause));
    }

    pub(super) fn terminate(&mut self, message: Subject) {
        self.0.push_back(Signal::Terminate(message));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends what the client takes now; the rest stays.
    pub(super) fn send(&mut self, broker: &Broker) {
        while let Some(signal) = self.0.pop_front() {
            let sent = match &signal {
                Signal::Ack(reply) => broker.ack(reply).now_or_never().map(|_| ()),
                Signal::Nak(reply, epoch) => broker.nak(reply, *epoch).now_or_never().map(|_| ()),
                Signal::NakFor(reply, epoch, pause) => {
                    let sent = broker.nak_for(reply, *epoch, *pause);
                    sent.now_or_never().map(|_| ())
                }
                Signal::Terminate(reply) => broker.terminate(reply).now_or_never().map(|_| ()),
            };
            if sent.is_none() {
                self.0.push_front(signal);
                return;
            }
        }
    }
}
