//! Which shards kill their workers (docs/PROTOCOL.md §5). Pure; the planner's fold and a worker's reading of
//! the ledger ask the same of it, record by record, and so agree.
//!
//! A page that was announced by `started` and whose tile is taken over for its delivery count, with no
//! outcome of it and no `returned` of that session, has taken its worker with it. Other reasons for a
//! takeover, a broker's restart above all, accuse nobody.
//!
//! | record about the tile | what it changes |
//! |---|---|
//! | `started` by its holder | that page is accused if the tile is taken over now; nothing before the first takeover |
//! | `returned` by a session | the session lives: what it was accused by is withdrawn |
//! | takeover, reason `count` | one takeover more; the page is accused, the fourth time it is condemned |
//! | takeover, another reason | nobody is accused of what was started before |

use crate::id::Session;
use crate::ledger::record::Reason;

/// So many accusations condemn a page.
pub const CRASHES_MAX: usize = 4;
/// Accused so often it runs with nothing beside it: the last two workers that died of a page that is condemned
/// ran nothing else. Whoever announces a page knows of all accusations that still stand behind its record.
const ALONE_FROM: usize = 2;

/// What is suspected of the pages of one tile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    takeovers: u32,
    started: Option<(Session, u64)>,
    accused: Vec<(Session, u64)>,
}

impl Suspicion {
    /// Takeovers of the tile that suggest a crash of its holder.
    pub fn takeovers(&self) -> u32 {
        self.takeovers
    }

    /// Whether a page of those that are `left` stands accused of two deaths. It must not be executed beside
    /// another then: nobody is condemned for a neighbour.
    pub fn isolates(&self, left: impl Fn(u64) -> bool) -> bool {
        let mut pages = self.accused.iter().map(|(_, page)| *page);
        pages.any(|page| left(page) && self.deaths(page) >= ALONE_FROM)
    }

    fn deaths(&self, page: u64) -> usize {
        self.accused.iter().filter(|(_, by)| *by == page).count()
    }

    /// The tile's holder is about to execute `page`.
    pub fn started(&mut self, session: Session, page: u64) {
        if self.takeovers > 0 {
            self.started = Some((session, page));
        }
    }

    /// `session` has lost the tile, or gave it back, alive.
    pub fn returned(&mut self, session: Session) {
        self.started = self.started.filter(|(by, _)| *by != session);
        self.accused.retain(|(by, _)| *by != session);
    }

    /// The tile was taken over, when the pages that are `left` lacked an outcome. Returns the page that
    /// is condemned by it.
    pub fn taken_over(&mut self, reason: Reason, left: impl Fn(u64) -> bool) -> Option<u64> {
        let started = self.started.take();
        if reason != Reason::Count {
            return None;
        }
        self.takeovers += 1;
        let (session, page) = started.filter(|(_, page)| left(*page))?;
        self.accused.push((session, page));
        (self.deaths(page) >= CRASHES_MAX).then_some(page)
    }
}

/// The error of a page that was condemned.
pub fn verdict() -> String {
    format!(
        "crashed: {CRASHES_MAX} workers died while they executed it, the last of them with nothing beside it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed(suspicion: &mut Suspicion, session: u64, page: u64) -> Option<u64> {
        suspicion.started(Session(session), page);
        suspicion.taken_over(Reason::Count, |page| page < 10)
    }

    #[test]
    fn page_is_condemned_by_the_fourth_announced_death_and_alone_for_the_last_two() {
        let mut tile = Suspicion::default();
        assert_eq!(killed(&mut tile, 99, 4), None, "it was not announced");
        for session in 1..=4 {
            assert_eq!(tile.isolates(|_| true), session > 2);
            let condemned = killed(&mut tile, session, 4);
            assert_eq!(condemned, Some(4).filter(|_| session == 4));
        }
        assert!(!tile.isolates(|page| page != 4));
        assert_eq!(tile.takeovers(), 5);
    }

    #[test]
    fn neighbours_are_not_condemned_with_it() {
        let mut tile = Suspicion::default();
        killed(&mut tile, 99, 3);
        for session in 0..3 {
            assert_eq!(killed(&mut tile, session, 4), None);
            assert_eq!(killed(&mut tile, session + 10, 5), None);
        }
    }

    #[test]
    fn broker_outage_and_finished_page_accuse_nobody() {
        let mut tile = Suspicion::default();
        for session in 0..9 {
            tile.started(Session(session), 4);
            let reason = [Reason::Floor, Reason::Again, Reason::Returned][session as usize % 3];
            assert_eq!(tile.taken_over(reason, |page| page < 10), None);
            tile.started(Session(session), 4);
            assert_eq!(tile.taken_over(Reason::Count, |page| page > 4), None);
        }
    }

    #[test]
    fn session_that_returns_the_tile_lives_even_if_it_says_so_late() {
        let mut tile = Suspicion::default();
        killed(&mut tile, 99, 4);
        for session in 1..=3 {
            assert_eq!(killed(&mut tile, session, 4), None);
        }
        tile.returned(Session(1));
        assert_eq!(killed(&mut tile, 4, 4), None);
        tile.started(Session(5), 4);
        tile.returned(Session(5));
        assert_eq!(tile.taken_over(Reason::Count, |page| page < 10), None);
        assert_eq!(killed(&mut tile, 6, 4), Some(4));
    }

    #[test]
    fn page_is_isolated_no_more_once_a_session_says_that_it_lives() {
        let mut tile = Suspicion::default();
        for session in 0..3 {
            assert_eq!(killed(&mut tile, session, 4), None);
        }
        assert!(tile.isolates(|_| true));
        tile.returned(Session(1));
        assert!(!tile.isolates(|_| true));
    }

    #[test]
    fn deaths_over_several_pages_isolate_none() {
        let mut tile = Suspicion::default();
        for page in 3..9 {
            assert_eq!(killed(&mut tile, page, page), None);
            assert!(!tile.isolates(|_| true));
        }
    }
}
