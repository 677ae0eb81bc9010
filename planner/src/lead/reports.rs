//! What becomes of something that was carried out.

use super::*;

impl Lead {
    pub(super) fn report(&mut self, report: Report, now: Now) {
        match report {
            Report::Decided(name) => {
                self.admission.decided(&name);
                self.tell(&name, run::Event::Decided);
            }
            Report::Outrun(name) => {
                self.admission.not_issued(&name);
                self.tell(&name, run::Event::Outrun);
            }
            Report::Unwritable(name, why) => {
                tracing::error!(run = %name, why, "the run ends itself");
                self.admission.not_issued(&name);
                self.tell(&name, run::Event::Unwritable(why));
            }
            Report::Published(name, outcome) => {
                self.landed(
                    &name,
                    outcome,
                    run::Event::Published,
                    run::Event::PublishLost,
                );
            }
            Report::Refilled(name, outcome) => {
                self.landed(&name, outcome, run::Event::Refilled, run::Event::Outrun);
            }
            Report::Ordered {
                run,
                request,
                written,
            } => {
                let book = &mut self.book;
                let answer = self.orders.written(&run, request, written, book);
                self.actions.extend(answer);
                self.touch(&run);
            }
            Report::Halted(name) => self.tell(&name, run::Event::Halted),
            Report::Recalled(name, waves) => self.tell(&name, run::Event::Recalled(waves)),
            Report::Loaded(fold) => self.loaded(*fold, now),
            Report::Listed(name, listing, register) => {
                let open = self.book.contains(&name);
                // The register was rewritten since: what was listed may have changed before that.
                if open && !self.claims.listed(name.clone(), listing, register) {
                    self.tell(&name, run::Event::Outrun);
                }
            }
            Report::Claimed(result) => {
                let claimed = result.is_ok();
                for name in self.claims.claimed(result) {
                    self.tell(&name, run::Event::Outrun);
                }
                if claimed {
                    // The register may have gone with the queue.
                    let concerned = self.book.doubt(None);
                    self.touched.extend(concerned);
                }
            }
        }
    }

    fn landed(&mut self, name: &RunId, outcome: Outcome, stored: run::Event, lost: run::Event) {
        match outcome {
            Outcome::Stored => self.tell(name, stored),
            Outcome::NotTaken => self.tell(name, lost),
            Outcome::Lost(register) => {
                self.tell(name, lost);
                if self.claims.lost(register) {
                    self.actions.push(Action::Claim(self.term()));
                }
            }
            Outcome::Unsendable(why) => {
                tracing::error!(run = %name, why, "the run ends itself");
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
