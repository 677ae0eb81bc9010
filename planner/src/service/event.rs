//! What the loop of a planner hears.

use gridloom_shared::presence::Presence;

use crate::lead;

/// Everything that the loop hears.
#[derive(Debug)]
pub(super) enum Event {
    /// A worker announced itself.
    Presence(Box<Presence>),
    /// From a leadership: its number, and what happened in it.
    Lead(u64, lead::event::Event),
}
