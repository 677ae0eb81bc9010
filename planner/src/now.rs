//! What time it is, told to everything that decides: nothing here reads a clock by itself.

use gridloom_shared::clock::{Boot, UnixMs};

use crate::broker_clock::BrokerClock;

/// One moment, by both clocks that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// By the boot clock of this process: waits and rates.
    pub boot: Boot,
    /// By the broker's clock: due times, which are compared with its stamps. Zero while it is not
    /// known or in doubt, so that nothing is due then.
    pub broker: UnixMs,
}

impl Now {
    /// Now. Only the shell asks.
    pub fn read(clock: &BrokerClock) -> Now {
        let boot = Boot::now();
        Now {
            boot,
            broker: clock.at(boot).unwrap_or_default(),
        }
    }
}
