//! What looks at the queue's stream tell: that it is gone, or that its register has to move up. Pure.

use gridloom_shared::broker::log::StreamState;

use crate::lead::event::Event;

/// Most sequences between the first message of the queue's stream and the last. The broker keeps a bit for each that is
/// gone in between, and looks through them when the register at the bottom goes: a million take 0.13 s, in which the
/// stream stands still.
const WORN: u64 = 1 << 22;
/// So many looks in a row have to find it gone: a stream of a cluster is not found for a moment at an election.
const LOOKS: u32 = 2;

/// What one look found.
#[derive(Debug)]
pub(super) enum Found {
    /// The stream.
    There(StreamState),
    /// No stream.
    Gone,
    /// Nothing: the broker did not say.
    Untold,
}

/// All looks of one leadership.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// How often in a row it was gone, or had not even the register.
    lost: u32,
    /// The bottom of which it was told that too much lies above it.
    worn: u64,
}

impl Looks {
    /// What there is to tell after one more.
    pub(super) fn next(&mut self, found: &Found) -> Option<Event> {
        let lost = match found {
            // Told once of each bottom.
            Found::There(queue) if is_worn(queue) && self.worn != queue.first_seq => {
                (self.worn, self.lost) = (queue.first_seq, 0);
                return Some(Event::QueueWorn);
            }
            Found::There(queue) => queue.messages == 0,
            Found::Gone => true,
            Found::Untold => false,
        };
        self.lost = if lost { self.lost + 1 } else { 0 };
        (self.lost == LOOKS).then(|| {
            self.lost = 0;
            Event::QueueLost
        })
    }
}

fn is_worn(queue: &StreamState) -> bool {
    queue.last_seq.saturating_sub(queue.first_seq) > WORN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(first_seq: u64, last_seq: u64, messages: u64) -> Found {
        Found::There(StreamState {
            first_seq,
            last_seq,
            messages,
            ..StreamState::default()
        })
    }

    fn told(looks: &mut Looks, found: &Found) -> &'static str {
        match looks.next(found) {
            None => "",
            Some(Event::QueueWorn) => "worn",
            Some(Event::QueueLost) => "lost",
            Some(event) => panic!("{event:?}"),
        }
    }

    #[test]
    fn register_with_too_much_above_it_is_told_once_of_each_bottom() {
        let mut looks = Looks::default();
        assert_eq!(told(&mut looks, &there(7, 7 + WORN, 40)), "");
        assert_eq!(told(&mut looks, &there(7, 8 + WORN, 40)), "worn");
        // It is being written anew: nothing more is to be done about it.
        assert_eq!(told(&mut looks, &there(7, 9 + WORN, 40)), "");
        let bottom = 10 + WORN;
        assert_eq!(told(&mut looks, &there(bottom, bottom + WORN, 1)), "");
        assert_eq!(
            told(&mut looks, &there(bottom, bottom + WORN + 1, 1)),
            "worn"
        );
    }

    #[test]
    fn queue_is_lost_where_two_looks_in_a_row_find_nothing() {
        let mut looks = Looks::default();
        for found in [Found::Gone, there(1, 9, 1), Found::Gone, Found::Untold] {
            assert_eq!(told(&mut looks, &found), "", "{found:?}");
        }
        assert_eq!(told(&mut looks, &Found::Gone), "");
        assert_eq!(told(&mut looks, &there(1, 9, 0)), "lost");
        assert_eq!(told(&mut looks, &Found::Gone), "");
        assert_eq!(told(&mut looks, &Found::Gone), "lost");
    }
}
