//! What other planners do: those that were deposed and act on, and those that lead meanwhile.

use std::sync::Arc;

use gridloom_shared::id::{QueueName, RunId, Term};
use gridloom_shared::ledger::orders::{Cancelled, Reopened, Which};
use gridloom_shared::ledger::record::{
    Closed, EndState, PlanRecord, Record, TileRun, Wave, WorkRecord,
};
use gridloom_shared::tile::TileKind;

use super::Told;
use super::errands::Write;
use super::line::{Line, cells};
use super::show::record;
use super::world::World;

impl World {
    /// `rival claims`, `rival wave a 0/0..2 [by 2]`, `rival same a`, `rival cancel a`, `rival retry a`,
    /// `rival close a`, each with `term 9`; `stray a`: a record of a run that nobody opened.
    pub(super) fn rival(&mut self, verb: &str, line: &mut Line) -> Told<()> {
        match verb {
            "rival" => {
                let term = line.number_option("term")?.unwrap_or(self.term + 1);
                let what = line.word("what")?;
                self.rival_does(&what, Term(term), line)
            }
            "stray" => self.stray(line),
            _ => Err(format!("{verb:?} is no verb")),
        }
    }

    fn rival_does(&mut self, what: &str, term: Term, line: &mut Line) -> Told<()> {
        if what == "claims" {
            let register = self.broker.claim(term);
            self.tell('=', &format!("the register is {}", register.seq));
            return Ok(());
        }
        let run = self.named(line)?;
        let request = 1_000 + term.0;
        let record = match what {
            "wave" => PlanRecord::Wave(self.rival_wave(&run, term, line)?),
            "same" => match self.errands.writes.get(&run) {
                Some(Write::Issue(issue)) => {
                    let wave = Arc::unwrap_or_clone(Arc::clone(&issue.wave));
                    PlanRecord::Wave(Wave { term, ..wave })
                }
                _ => return Err("no wave is on its way".to_owned()),
            },
            "cancel" => PlanRecord::Cancelled(Cancelled {
                request,
                aborted: None,
                term,
            }),
            "retry" => PlanRecord::Reopened(Reopened {
                request,
                which: Which::All,
                term,
            }),
            "close" => PlanRecord::Closed(Closed {
                state: EndState::Succeeded,
                error: None,
                dead: 0,
                term,
            }),
            other => return Err(format!("no rival can {other}")),
        };
        self.put(&run, record)
    }

    fn rival_wave(&mut self, run: &RunId, term: Term, line: &mut Line) -> Told<Wave> {
        let pages = line.number_option("by")?.unwrap_or(1) as u32;
        let attempt = line.number_option("attempt")?.unwrap_or(1) as u32;
        let chosen = cells(&line.word("cells")?)?;
        let fold = self.broker.truth.get(run).ok_or("the run has no ledger")?;
        let tiles = chosen.into_iter().map(|(slice, range)| {
            let range = range.ok_or("name the pages")?;
            Ok(TileRun {
                kind: TileKind::Page,
                slice,
                first: range.start,
                pages,
                tiles: range.len() as u32 / pages,
                attempt,
                bounds: Vec::new(),
                after: None,
            })
        });
        Ok(Wave {
            n: fold.next_wave(),
            folded: fold.position(),
            term,
            tiles: tiles.collect::<Told<Vec<_>>>()?,
        })
    }

    fn put(&mut self, run: &RunId, plan: PlanRecord) -> Told<()> {
        let text = record(&plan);
        let queue = self.queue_of(run)?;
        let own = Ok(Record::Plan(plan));
        let sequence = self.broker.append(run, &queue, own, &mut self.checks);
        self.tell('=', &format!("{sequence}: {text}"));
        Ok(())
    }

    fn queue_of(&self, run: &RunId) -> Told<QueueName> {
        let spec = self.runs.values().find(|(id, _)| id == run);
        match spec {
            Some((_, spec)) => Ok(spec.queue.clone()),
            None => QueueName::new("default").map_err(|error| error.to_string()),
        }
    }

    /// `stray ghost wave|work|close`: the run has no first record.
    fn stray(&mut self, line: &mut Line) -> Told<()> {
        let name = line.word("a name")?;
        let run = RunId::new(format!("{name}_s_1")).map_err(|error| error.to_string())?;
        let term = Term(self.term);
        let stray = match line.word("what")?.as_str() {
            "wave" => Record::Plan(PlanRecord::Wave(Wave {
                n: 0,
                folded: 0,
                term,
                tiles: Vec::new(),
            })),
            "retry" => Record::Plan(PlanRecord::Reopened(Reopened {
                request: 1,
                which: Which::All,
                term,
            })),
            "work" => Record::Work(WorkRecord::Returned {
                session: gridloom_shared::id::Session(98),
                number: self.broker.last,
                tiles: Vec::new(),
            }),
            other => return Err(format!("{other} is no record")),
        };
        let queue = self.queue_of(&run)?;
        self.broker
            .append(&run, &queue, Ok(stray), &mut self.checks);
        Ok(())
    }
}
