//! Which shards kill their workers (protocol.md §5). Pure; the planner's fold and a worker's reading of
//! the ledger ask the same of it, record by record, and so agree.
//!
//! A page that was announced by `started` and whose tile is taken over for its delivery count, with no
//! outcome of it and no `returned` of that session, has taken its worker with it. Other reasons for a
//! takeover, a broker's restart above all, accuse nobody.
//!
//! | record about the tile | what it changes |
//! |---|---|
//! | `started` by its holder | that page is accused if the tile is taken over now; nothing before the first takeover |
//! | `returned` by a session | the session lives: what was taken from it for its count is explained, what it was accused by is withdrawn |
//! | takeover, reason `count` | its holder may have crashed; the page is accused, the third time it is condemned |
//! | takeover, another reason | nobody is accused of what was started before |

use crate::id::Session;
use crate::ledger::record::Reason;

/// So many workers a page has to kill until it is dead.
pub const CRASHES_MAX: usize = 3;

/// What is suspected of the pages of one tile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    /// Who took the tile over last; nobody yet, and its first holder has it, whose session no record names.
    holder: Option<Session>,
    takers: Vec<Session>,
    /// Those from whom it was taken because they may have crashed.
    silent: Vec<Option<Session>>,
    suspected: bool,
    started: Option<(Session, u64)>,
    accused: Vec<(Session, u64)>,
}

impl Suspicion {
    /// Holders of the tile that may have crashed: it was taken from them for its delivery count, and they
    /// have not said that they live.
    pub fn crashes(&self) -> usize {
        self.silent.len()
    }

    /// The tile's holder is about to execute `page`.
    pub fn started(&mut self, session: Session, page: u64) {
        if self.suspected {
            self.started = Some((session, page));
        }
    }

    /// `session` has lost the tile, or gave it back, alive.
    pub fn returned(&mut self, session: Session) {
        self.started = self.started.filter(|(by, _)| *by != session);
        self.accused.retain(|(by, _)| *by != session);
        let as_holder = Some(session).filter(|session| self.takers.contains(session));
        self.silent.retain(|holder| *holder != as_holder);
    }

    /// `session` took the tile over, when the pages that are `left` lacked an outcome. Returns the page that
    /// is condemned by it.
    pub fn taken_over(
        &mut self,
        session: Session,
        reason: Reason,
        left: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let started = self.started.take();
        let before = self.holder.replace(session);
        self.takers.push(session);
        if reason != Reason::Count {
            return None;
        }
        self.suspected = true;
        self.silent.push(before);
        let (session, page) = started.filter(|(_, page)| left(*page))?;
        self.accused.push((session, page));
        let times = self.accused.iter().filter(|(_, by)| *by == page).count();
        (times >= CRASHES_MAX).then_some(page)
    }
}

/// The error of a page that was condemned.
pub fn verdict() -> String {
    format!("crashed: {CRASHES_MAX} workers died while they executed it alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `session` takes the tile over, of which pages below 10 are left.
    fn taken(suspicion: &mut Suspicion, session: u64, reason: Reason) -> Option<u64> {
        suspicion.taken_over(Session(session), reason, |page| page < 10)
    }

    /// `session` takes the tile over, announces `page` and dies of it.
    fn killed(suspicion: &mut Suspicion, session: u64, page: u64) -> Option<u64> {
        let condemned = taken(suspicion, session, Reason::Count);
        suspicion.started(Session(session), page);
        condemned
    }

    #[test]
    fn page_is_condemned_by_the_third_worker_that_it_kills() {
        let mut tile = Suspicion::default();
        for session in 1..=3 {
            assert_eq!(killed(&mut tile, session, 4), None);
        }
        assert_eq!(taken(&mut tile, 4, Reason::Count), Some(4));
        assert_eq!(tile.crashes(), 4);
    }

    #[test]
    fn neighbours_are_not_condemned_with_it() {
        let mut tile = Suspicion::default();
        killed(&mut tile, 99, 3);
        for session in 0..2 {
            assert_eq!(killed(&mut tile, session, 4), None);
            assert_eq!(killed(&mut tile, session + 10, 5), None);
        }
    }

    #[test]
    fn broker_outage_and_finished_page_accuse_nobody() {
        let mut tile = Suspicion::default();
        for session in 0..9 {
            let reason = [Reason::Floor, Reason::Again, Reason::Returned][session as usize % 3];
            assert_eq!(taken(&mut tile, session, reason), None);
            tile.started(Session(session), 4);
            let done = |page| page > 4;
            let condemned = tile.taken_over(Session(session + 10), Reason::Count, done);
            assert_eq!(condemned, None);
        }
    }

    #[test]
    fn session_that_returns_the_tile_lives_even_if_it_says_so_late() {
        let mut tile = Suspicion::default();
        for session in 1..=3 {
            assert_eq!(killed(&mut tile, session, 4), None);
        }
        tile.returned(Session(1));
        assert_eq!(killed(&mut tile, 4, 4), None);
        tile.returned(Session(4));
        assert_eq!(killed(&mut tile, 5, 4), None);
        assert_eq!(taken(&mut tile, 6, Reason::Count), Some(4));
    }

    #[test]
    fn holder_that_says_that_it_lives_has_not_crashed() {
        let mut tile = Suspicion::default();
        taken(&mut tile, 1, Reason::Count);
        taken(&mut tile, 2, Reason::Again);
        taken(&mut tile, 3, Reason::Count);
        assert_eq!(tile.crashes(), 2);
        tile.returned(Session(1));
        assert_eq!(
            tile.crashes(),
            2,
            "the tile was not taken from it for its count"
        );
        tile.returned(Session(2));
        assert_eq!(tile.crashes(), 1);
        tile.returned(Session(77));
        assert_eq!(
            tile.crashes(),
            0,
            "who never took it over was its first holder"
        );
    }
}
