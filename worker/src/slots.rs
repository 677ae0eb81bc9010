//! Decides how many tiles to ask for, and of which lane. Pure.
//!
//! A slot is free when its handler has finished; what is finished and not yet acknowledged is
//! bounded apart from that. A worker of one lane has exactly its free slots wait there. With several, slots
//! must not wait on a lane that has nothing while another has, nor its first tile for a round of all lanes:
//!
//! | lanes | what is asked |
//! |---|---|
//! | none is *busy*, a slot is free | each has a **bell**: a pull that waits for one tile, and for which no slot is kept; but for those where others wait ([`crate::bells`]) |
//! | one is busy | it gets all free slots, and they wait for a moment: the next tiles are on their way mostly |
//! | several are busy | each of those, in turn, its share of the free slots, and gets at once what is there, or nothing |
//! | idle ones beside busy ones | one in turn, each [`LOOK`], as if it were busy |
//!
//! A lane is busy from a tile that came until a pull of it brought less than it asked for. So only first tiles
//! of idle lanes can be more than there are slots: two bells may ring at once. Those wait for the next slot.

use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::limits::{UNACKED_MORE, UNACKED_TIMES};

/// While fewer slots than a quarter are free, pulls are at least this far apart.
const PAUSE: Duration = Duration::from_millis(1);
/// While busy lanes take all slots, one of the others is looked at so often.
const LOOK: Duration = Duration::from_millis(100);

/// One lane as the slots see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Whether it can be pulled from now.
    pub(crate) open: bool,
    /// Tiles for which slots are kept, that were asked for and have not come.
    pub(crate) waiting: u32,
    /// Whether a bell of it waits.
    pub(crate) bell: bool,
    /// Whether others have laid bells enough ([`crate::bells`]).
    pub(crate) quiet: bool,
    /// Whether a tile came, and since then no pull brought less than it asked for.
    pub(crate) busy: bool,
}

/// What is asked of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// So many tiles, as they come; slots are kept for them.
    Waiting(u32),
    /// So many tiles that come within a moment; slots are kept for them.
    Briefly(u32),
    /// So many of those that are there; slots are kept for them.
    AtOnce(u32),
    /// One tile when there is one; no slot is kept for it.
    Bell,
}

#[derive(Debug)]
pub(crate) struct Slots {
    concurrency: u32,
    last_pull: Boot,
    last_look: Boot,
    /// The lane whose turn it is to be asked first, and that to be looked at.
    turn: usize,
    look: usize,
}

/// What to pull now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// (lane, what)
    pub(crate) pulls: Vec<(usize, Ask)>,
    /// When to look again, if something was put off.
    pub(crate) again: Option<Boot>,
}

impl Slots {
    pub(crate) fn new(concurrency: u32) -> Slots {
        Slots {
            concurrency,
            last_pull: Boot(Duration::ZERO),
            last_look: Boot(Duration::ZERO),
            turn: 0,
            look: 0,
        }
    }

    /// What to pull at `now`, when `occupied` slots hold a tile and `unacked` tiles are finished and
    /// not yet acknowledged.
    pub(crate) fn plan(
        &mut self,
        lanes: &[Demand],
        occupied: u32,
        unacked: u32,
        now: Boot,
    ) -> Plan {
        let waiting: u32 = lanes.iter().map(|lane| lane.waiting).sum();
        let free = self
            .concurrency
            .saturating_sub(occupied)
            .saturating_sub(waiting);
        let room = (self
            .concurrency
            .saturating_mul(UNACKED_TIMES)
            .saturating_add(UNACKED_MORE))
        .saturating_sub(unacked);
        let free = free.min(room);
        if free == 0 || !lanes.iter().any(|lane| lane.open) {
            return Plan::default();
        }
        let alone = lanes.len() == 1;
        if !alone && !lanes.iter().any(|lane| lane.busy && lane.open) {
            return Plan {
                pulls: bells(lanes),
                again: None,
            };
        }
        let soon = self.last_pull + PAUSE;
        if free < (self.concurrency / 4).max(1) && now < soon {
            return Plan {
                pulls: Vec::new(),
                again: Some(soon),
            };
        }
        self.last_pull = now;
        let pulls = if alone {
            vec![(0, Ask::Waiting(free))]
        } else {
            self.share(lanes, free, now)
        };
        Plan { pulls, again: None }
    }

    /// Shares the free slots among the busy lanes, of which there is one at least.
    fn share(&mut self, lanes: &[Demand], mut free: u32, now: Boot) -> Vec<(usize, Ask)> {
        let mut pulls = Vec::new();
        if now.since(self.last_look) >= LOOK {
            let idle = |lane: &Demand| lane.open && !lane.busy && !lane.bell && lane.waiting == 0;
            if let Some(lane) = first_from(lanes, self.look, idle) {
                self.last_look = now;
                self.look = lane + 1;
                pulls.push((lane, Ask::AtOnce(1)));
                free -= 1;
            }
        }
        let count = lanes.len();
        let order = (0..count).map(|step| (self.turn + step) % count);
        let busy: Vec<usize> = order
            .filter(|lane| lanes[*lane].open && lanes[*lane].busy)
            .collect();
        let asked = busy.len().min(free as usize);
        let (each, more) = match asked as u32 {
            0 => (0, 0),
            asked => (free / asked, free % asked),
        };
        for (place, lane) in busy[..asked].iter().enumerate() {
            let tiles = each + u32::from((place as u32) < more);
            let ask = match busy.len() {
                1 => Ask::Briefly(tiles),
                _ => Ask::AtOnce(tiles),
            };
            pulls.push((*lane, ask));
        }
        // Where all are asked, another has the first share the next time.
        let last = if asked < busy.len() {
            busy[..asked].last()
        } else {
            busy.first()
        };
        self.turn = last.map_or(self.turn, |lane| lane + 1);
        pulls
    }
}

fn bells(lanes: &[Demand]) -> Vec<(usize, Ask)> {
    let silent = |lane: &Demand| lane.open && !lane.bell && !lane.quiet && lane.waiting == 0;
    let lanes = lanes.iter().enumerate().filter(|(_, lane)| silent(lane));
    lanes.map(|(lane, _)| (lane, Ask::Bell)).collect()
}

fn first_from(lanes: &[Demand], from: usize, which: impl Fn(&Demand) -> bool) -> Option<usize> {
    let order = (0..lanes.len()).map(|step| (from + step) % lanes.len());
    order.into_iter().find(|lane| which(&lanes[*lane]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    const IDLE: Demand = Demand {
        open: true,
        waiting: 0,
        bell: false,
        quiet: false,
        busy: false,
    };
    const BUSY: Demand = Demand { busy: true, ..IDLE };
    const RINGS: Demand = Demand { bell: true, ..IDLE };

    fn lane(waiting: u32) -> Demand {
        Demand { waiting, ..BUSY }
    }

    fn pulls(slots: &mut Slots, lanes: &[Demand], occupied: u32, ms: u64) -> Vec<(usize, Ask)> {
        slots.plan(lanes, occupied, 0, at(ms)).pulls
    }

    #[test]
    fn only_lane_has_all_free_slots_wait_and_no_more() {
        let mut slots = Slots::new(16);
        assert_eq!(pulls(&mut slots, &[lane(4)], 2, 5), [(0, Ask::Waiting(10))]);
        assert_eq!(pulls(&mut slots, &[lane(14)], 2, 9), []);
        assert_eq!(
            pulls(&mut Slots::new(16), &[IDLE], 0, 5),
            [(0, Ask::Waiting(16))]
        );
    }

    #[test]
    fn few_free_slots_wait_a_moment_for_more() {
        let mut slots = Slots::new(16);
        slots.plan(&[lane(0)], 0, 0, at(5));
        assert_eq!(
            slots.plan(&[lane(14)], 0, 0, at(5)),
            Plan {
                pulls: vec![],
                again: Some(at(6))
            }
        );
        assert_eq!(pulls(&mut slots, &[lane(12)], 0, 5), [(0, Ask::Waiting(4))]);
        assert_eq!(pulls(&mut slots, &[lane(14)], 0, 6), [(0, Ask::Waiting(2))]);
    }

    #[test]
    fn too_much_unacknowledged_holds_pulls_back() {
        let mut slots = Slots::new(10);
        assert_eq!(slots.plan(&[lane(0)], 0, 4_040, at(5)), Plan::default());
        assert_eq!(
            slots.plan(&[lane(0)], 0, 4_035, at(5)).pulls,
            [(0, Ask::Waiting(5))]
        );
        assert_eq!(slots.plan(&[IDLE; 3], 0, 4_040, at(9)), Plan::default());
    }

    #[test]
    fn lane_that_cannot_be_pulled_from_gets_nothing() {
        let mut slots = Slots::new(10);
        let closed = Demand {
            open: false,
            ..BUSY
        };
        assert_eq!(pulls(&mut slots, &[closed], 0, 5), []);
        assert_eq!(
            pulls(&mut slots, &[closed, BUSY], 0, 9),
            [(1, Ask::Briefly(10))]
        );
        assert_eq!(pulls(&mut slots, &[closed, IDLE], 0, 13), [(1, Ask::Bell)]);
    }

    #[test]
    fn idle_lanes_have_a_bell_each_however_few_slots_there_are() {
        let mut slots = Slots::new(1);
        let all: Vec<_> = (0..50).map(|lane| (lane, Ask::Bell)).collect();
        assert_eq!(pulls(&mut slots, &[IDLE; 50], 0, 5), all);
        assert_eq!(
            pulls(&mut slots, &[RINGS, IDLE, RINGS], 0, 5),
            [(1, Ask::Bell)]
        );
        assert_eq!(pulls(&mut slots, &[IDLE; 50], 1, 9), []);
    }

    #[test]
    fn lane_on_which_others_wait_has_no_bell() {
        let quiet = Demand {
            quiet: true,
            ..IDLE
        };
        let all = [quiet, IDLE, quiet];
        assert_eq!(pulls(&mut Slots::new(4), &all, 0, 5), [(1, Ask::Bell)]);
    }

    #[test]
    fn one_busy_lane_has_all_free_slots() {
        let mut slots = Slots::new(4);
        slots.last_look = at(1);
        let lanes = [RINGS, BUSY, IDLE, RINGS];
        assert_eq!(pulls(&mut slots, &lanes, 1, 5), [(1, Ask::Briefly(3))]);
        let asked = [RINGS, lane(3), IDLE, RINGS];
        assert_eq!(pulls(&mut slots, &asked, 1, 6), []);
    }

    #[test]
    fn busy_lanes_share_the_slots_and_take_turns_where_there_are_too_few() {
        let mut slots = Slots::new(8);
        let three = [BUSY, RINGS, BUSY, BUSY];
        let shares = |pulls: Vec<(usize, Ask)>| {
            let mut tiles = [0; 4];
            for (lane, ask) in pulls {
                match ask {
                    Ask::AtOnce(asked) => tiles[lane] = asked,
                    ask => panic!("{ask:?}"),
                }
            }
            tiles
        };
        assert_eq!(shares(pulls(&mut slots, &three, 0, 5)), [3, 0, 3, 2]);
        assert_eq!(shares(pulls(&mut slots, &three, 0, 9)), [2, 0, 3, 3]);
        let mut slots = Slots::new(1);
        let turns: Vec<_> = (0..6_u64)
            .map(|n| pulls(&mut slots, &three, 0, 5 + n * 2)[0].0)
            .collect();
        assert_eq!(turns, [0, 2, 3, 0, 2, 3]);
    }

    #[test]
    fn idle_lanes_are_looked_at_in_turn_while_others_take_all_slots() {
        let mut slots = Slots::new(1);
        let lanes = [IDLE, BUSY, IDLE, RINGS];
        let mut asked = Vec::new();
        for ms in (100..500).step_by(50) {
            asked.extend(
                pulls(&mut slots, &lanes, 0, ms)
                    .iter()
                    .map(|(lane, _)| *lane),
            );
        }
        assert_eq!(asked, [0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(pulls(&mut slots, &lanes, 1, 900), []);
    }
}
