//! Which ledgers of a site that followed another had ended there: what is purged at the first is still at the second.
//!
//! | at the first | here | what is done |
//! |--------------|------|--------------|
//! | a run was purged and its id forgotten, and the id was used again | the records of both | the older ones go |
//! | an open run's records were removed by hand: it is noted as lost, and its id is free | the run is open | its records go, too |
//! | a run was purged by retention | its records, with the one that gives it up | nothing: whoever leads removes them |

use std::collections::HashSet;
use std::collections::hash_map::{DefaultHasher, HashMap};
use std::hash::{Hash, Hasher};

use gridloom_shared::broker::Broker;
use gridloom_shared::id::{Nonce, RunId};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::reads::lost::{self, Lost};
use gridloom_shared::wire;

/// What became of ledgers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::commands::backup) struct Ended {
    /// Earlier runs whose ids were used again.
    pub(in crate::commands::backup) earlier: u64,
    /// Runs that were lost.
    pub(in crate::commands::backup) lost: u64,
}

/// Ends what had ended.
///
/// # Errors
/// When the broker does not answer.
pub(in crate::commands::backup) async fn end(broker: &Broker) -> anyhow::Result<Ended> {
    let subjects = broker.subjects();
    let ledger = subjects.ledger();
    let mut lost = Lives::of(lost::list(broker).await?);
    let mut ended = Ended::default();
    // Runs with records, by a number that two of them may share: then nothing is found to be removed.
    let mut known = HashSet::new();
    let end = broker.info(&ledger).await?.last_seq;
    let mut reader = broker.reader(&ledger, subjects.ledgers_by(Author::Plan), 1, Some(end));
    while let Some(page) = reader.next_page().await? {
        for raw in page {
            let Some((_, run, _)) = subjects.parse_ledger(&raw.subject) else {
                continue;
            };
            let is_first = known.insert(number(&run));
            let Ok(record) = wire::decode::<PlanRecord>(&raw.payload) else {
                continue;
            };
            if !is_first && matches!(record, PlanRecord::Opened(_)) {
                let all = subjects.ledger_of_run_anywhere(&run);
                let removed = broker.purge_below(&ledger, &all, raw.seq).await?;
                ended.earlier += u64::from(removed > 0);
            }
            lost.hear(&run, &record);
        }
    }
    for (run, life) in lost.0 {
        if life.is_open {
            let all = subjects.ledger_of_run_anywhere(&run);
            broker.purge_below(&ledger, &all, end + 1).await?;
            ended.lost += 1;
        }
    }
    Ok(ended)
}

fn number(run: &RunId) -> u64 {
    let mut hasher = DefaultHasher::new();
    run.hash(&mut hasher);
    hasher.finish()
}

/// Runs that are noted as lost.
struct Lives(HashMap<RunId, Life>);

struct Life {
    /// The number of the run that was lost.
    nonce: Nonce,
    /// Whether that is the last one of its id.
    is_last: bool,
    /// And not over.
    is_open: bool,
}

impl Lives {
    fn of(noted: Vec<Lost>) -> Lives {
        let lives = noted.into_iter().filter_map(|noted| {
            let nonce = noted.nonce?;
            let life = Life {
                nonce,
                is_last: false,
                is_open: false,
            };
            Some((noted.run, life))
        });
        Lives(lives.collect())
    }

    fn hear(&mut self, run: &RunId, record: &PlanRecord) {
        let Some(life) = self.0.get_mut(run) else {
            return;
        };
        if let PlanRecord::Opened(opened) = record {
            life.is_last = opened.nonce == life.nonce;
        }
        life.is_open = life.is_last && !record.is_end();
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::Term;
    use gridloom_shared::job::parse::{self, Format};
    use gridloom_shared::ledger::record::{Closed, EndState, Opened};

    use super::*;

    fn opened(nonce: u64) -> PlanRecord {
        let job = parse::parse("name = \"a\"\nhandler = \"noop\"", Format::Toml).unwrap();
        PlanRecord::Opened(Box::new(Opened {
            nonce: Nonce(nonce),
            job,
            scheduled_at: gridloom_shared::clock::UnixMs(1),
            content: 0,
            term: Term(1),
            first: Vec::new(),
            traceparent: None,
            reports: 1,
        }))
    }

    #[test]
    fn lost_run_is_known_by_its_number_and_one_that_took_its_place_goes_on() {
        let run = RunId::new("a_s_1").unwrap();
        let closed = PlanRecord::Closed(Closed {
            state: EndState::Failed,
            error: None,
            dead: 0,
            term: Term(1),
        });
        for (records, is_open) in [
            (vec![opened(7)], true),
            (vec![opened(7), closed.clone()], false),
            (vec![opened(7), opened(8)], false),
            (vec![opened(6), closed.clone(), opened(7)], true),
            (vec![], false),
        ] {
            let noted = |nonce| Lost {
                run: run.clone(),
                at: String::new(),
                why: String::new(),
                nonce,
            };
            let mut lost = Lives::of(vec![noted(Some(Nonce(7)))]);
            for record in &records {
                lost.hear(&run, record);
            }
            assert_eq!(lost.0[&run].is_open, is_open, "{records:?}");
            assert!(
                Lives::of(vec![noted(None)]).0.is_empty(),
                "nobody knows which"
            );
        }
    }
}
