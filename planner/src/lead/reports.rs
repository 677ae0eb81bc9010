//! What becomes of something that was carried out.
//!
//! What was begun for a run concerns the life of it that it was begun for. One that was lost, or closed
//! by somebody else, and is open again under its id knows nothing of it: a refusal of the old one's wave
//! is none of the new one's.

use super::*;

impl Lead {
    pub(super) fn report(&mut self, life: Option<Life>, report: Report, now: Now) {
        match report {
            Report::Decided(name) => {
                if self.concerns(&name, life) {
                    self.admission.decided(&name);
                    self.tell(&name, run::Event::Decided);
                }
            }
            Report::Outrun(name) => {
                if self.concerns(&name, life) {
                    self.admission.not_issued(&name);
                    self.tell(&name, run::Event::Outrun);
                }
            }
            Report::Unwritable(name, why) => {
                if self.concerns(&name, life) {
                    tracing::error!(run = %name, reason = why, "the run ends itself");
                    self.admission.not_issued(&name);
                    self.tell(&name, run::Event::Unwritable(why));
                }
            }
            Report::Published(name, outcome) => {
                let concerns = self.concerns(&name, life);
                if concerns {
                    self.admission.published(&name, now);
                }
                let events = (run::Event::Published, run::Event::PublishLost);
                self.landed(&name, concerns, outcome, events);
            }
            Report::NoRoom(name) => {
                if self.concerns(&name, life) {
                    self.no_room.get_or_insert(name);
                }
            }
            Report::Refilled(name, outcome) => {
                let concerns = self.concerns(&name, life);
                let events = (run::Event::Refilled, run::Event::NotCompared);
                self.landed(&name, concerns, outcome, events);
            }
            Report::Ordered {
                run,
                request,
                written,
            } => self.ordered((&run, life), request, written),
            Report::Halted(name) => {
                if self.concerns(&name, life) {
                    self.tell(&name, run::Event::Halted);
                }
            }
            Report::Recalled(name, waves) => {
                if self.concerns(&name, life) {
                    self.tell(&name, run::Event::Recalled(waves));
                }
            }
            Report::Loaded(fold) => self.loaded(*fold, now),
            Report::Listed(name, listing, register) => {
                // The register was rewritten since: what was listed may have changed before that.
                if self.concerns(&name, life)
                    && !self.claims.listed(name.clone(), listing, register)
                {
                    self.tell(&name, run::Event::NotCompared);
                }
            }
            Report::Bare(register) => self.claims.stands_alone(register),
            Report::Claimed(result) => self.claimed(result),
        }
    }

    fn ordered(&mut self, run: (&RunId, Option<Life>), request: u64, written: event::Written) {
        let answer = self.orders.written(run, request, written, &mut self.book);
        self.actions.extend(answer);
        self.touch(run.0);
    }

    fn concerns(&self, name: &RunId, life: Option<Life>) -> bool {
        life.is_some() && self.book.life(name) == life
    }

    fn claimed(&mut self, result: Result<Register, ClaimError>) {
        let claimed = result.is_ok();
        for name in self.claims.claimed(result) {
            self.tell(&name, run::Event::NotCompared);
        }
        if claimed {
            // The register may have gone with the queue.
            let concerned = self.book.doubt(None);
            self.claims.doubted(&concerned);
            self.touched.extend(concerned);
        }
    }

    /// A batch of a run has ended. The register is claimed after a lost answer, whatever has become of the
    /// run meanwhile: what is late would land beside a refill.
    fn landed(
        &mut self,
        name: &RunId,
        concerns: bool,
        outcome: Outcome,
        (stored, lost): (run::Event, run::Event),
    ) {
        if let Outcome::Lost(register) = outcome
            && self.claims.lost(register)
        {
            self.actions.push(Action::Claim(self.term()));
        }
        // Whoever is next finds out whether there is room now.
        if outcome == Outcome::Stored || self.no_room.as_ref() == Some(name) {
            self.no_room = None;
        }
        if !concerns {
            return;
        }
        match outcome {
            Outcome::Stored => self.tell(name, stored),
            Outcome::NotTaken => {
                self.tell(name, lost);
                self.parked.add(name.clone());
            }
            Outcome::Lost(_) => self.tell(name, lost),
            Outcome::Unsendable(why) => {
                tracing::error!(run = %name, reason = why, "the run ends itself");
                self.tell(name, stored);
                self.tell(name, run::Event::Unsendable(why));
            }
        }
    }

    fn loaded(&mut self, fold: Fold, now: Now) {
        if self.book.contains(fold.run()) {
            return;
        }
        let (open, answers) = self.orders.loaded(fold, self.term());
        self.actions.extend(answers);
        if let Some(fold) = open {
            self.add(fold, now);
        }
    }
}
