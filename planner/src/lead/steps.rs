//! What an open run has done next: its step as an order to the shell, and the verdict over a listing.

use gridloom_shared::lane::Lane;

use super::*;

impl Lead {
    /// Lets a run do what is next. Returns how many tiles and shards that issues.
    pub(super) fn step(&mut self, name: &RunId, room: Room, now: Now) -> Option<(usize, u64)> {
        let (term, register) = (self.term(), self.claims.register());
        let room = Room {
            record: self.record,
            ..room
        };
        let run = self.book.get_mut(name)?;
        let action = run.step(room, self.position, term, now.broker)?;
        let queue = run.queue().clone();
        let opening = run.fold().opening()?;
        let (nonce, opened) = (opening.record.nonce, opening.sequence);
        let name = name.clone();
        let mut issues = None;
        self.actions.push(match action {
            run::Action::Refill => compare(&mut self.claims, name, queue),
            run::Action::Recall { waves } => Action::Recall {
                run: name,
                queue,
                waves,
            },
            run::Action::Halt { sequence } => Action::Halt {
                holders: self.crew.living(&queue, now.boot),
                run: name,
                queue,
                sequence,
            },
            run::Action::Abort {
                cancelled,
                expected,
            } => Action::Write(Order {
                run: name,
                queue,
                record: PlanRecord::Cancelled(cancelled),
                expected,
                request: 0,
            }),
            run::Action::Close { closed, expected } => Action::Close {
                run: name,
                queue,
                closed,
                expected,
            },
            run::Action::Decide { wave, expected } => {
                issues = Some(size(&wave));
                let is_small = wave.n == 0 && wave.len() <= FROZEN_TILES;
                let frozen = is_small.then(|| begin::frozen(&opening.record)).flatten();
                Action::Issue(Issue {
                    run: name,
                    lane: Lane::of(&opening.record.job),
                    nonce,
                    opened,
                    wave,
                    frozen,
                    traceparent: opening.record.traceparent,
                    expected,
                    register,
                })
            }
        });
        issues
    }

    pub(super) fn judge_listings(&mut self) {
        for (name, listing) in self.claims.ripe(self.position) {
            if self.book.contains(&name) {
                self.judge(name, listing);
            }
        }
    }

    fn judge(&mut self, name: RunId, listing: Listing) {
        let register = self.claims.register();
        let Some(run) = self.book.get(&name).filter(|run| run.is_compared()) else {
            return;
        };
        let tiles = refill::missing(run.fold(), &listing);
        let Some(opening) = run.fold().opening() else {
            return;
        };
        let (queue, lane) = (run.queue().clone(), Lane::of(&opening.record.job));
        let cancelled = run.fold().cancelled().is_some();
        let run_is_newer = run.fold().is_newer();
        if refill::is_held_apart(run.fold(), &listing)
            && let Some(run) = self.book.get_mut(&name)
        {
            run.take(run::Event::HeldApart);
        }
        // What was cancelled meanwhile is about to be removed from the queue; and what is missing is known to who reads
        // all of it alone: it is looked at again.
        let unknown = run_is_newer || listing.newer;
        if tiles.is_empty() || cancelled || unknown {
            return self.tell(&name, run::Event::Refilled);
        }
        self.actions.push(if listing.held.is_none() {
            Action::Ask {
                run: name,
                queue,
                listing,
                register,
            }
        } else {
            tracing::info!(run = %name, tiles = tiles.len(), "published again");
            if let Some(run) = self.book.get_mut(&name) {
                run.take(run::Event::RefillBegun);
            }
            Action::Refill {
                run: name,
                lane,
                tiles,
                register,
            }
        });
    }
}

/// Lists the queue, or asks the workers at once where that would surely be empty.
fn compare(claims: &mut Claims, run: RunId, queue: QueueName) -> Action {
    let register = claims.register();
    if claims.is_bare(&run) {
        return Action::Ask {
            run,
            queue,
            listing: Listing::of_nothing(),
            register,
        };
    }
    Action::List {
        run,
        queue,
        register,
    }
}

/// How many tiles and shards a wave has.
fn size(wave: &Wave) -> (usize, u64) {
    let shards = wave.tiles.iter().map(|tiles| match tiles.kind {
        TileKind::Page => u64::from(tiles.pages) * u64::from(tiles.tiles),
        TileKind::Probe => u64::from(tiles.tiles),
    });
    (wave.len(), shards.sum())
}
