//! Which runs are over, which are half gone, and of which only what workers said late is left.
//!
//! All plans are listed each time, and the last record of those that have grown is read. What is found may be
//! old by the time it is used: every use is under compare-and-swap, or asks again.

use std::collections::{HashMap, HashSet};

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::ledger::retired::Retired;

use super::SweepError;
use crate::retention::Kept;

/// Where a ledger is.
pub(super) type Place = (QueueName, RunId);

/// A run that was over before this leadership.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) place: Place,
    /// Ledger sequence of its last record.
    pub(super) sequence: u64,
    /// What that record says.
    pub(super) end: End,
}

/// How the plan of a run ends that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was closed at that time.
    Closed(UnixMs),
    /// Dead shards were given up since: so many were not, questions among them.
    GivenUp {
        /// How many.
        left: u64,
    },
}

/// What was found.
#[derive(Debug)]
pub(super) struct Listed {
    /// Up to where the ledger went when the leadership began.
    began: u64,
    plans: HashMap<Place, Found>,
    strays: HashSet<Place>,
    ended: Vec<Ended>,
}

#[derive(Debug)]
struct Found {
    records: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    Over {
        end: u64,
        closed_at: UnixMs,
        dead: u64,
    },
    Retired {
        sequence: u64,
        retired: Retired,
    },
}

impl Listed {
    /// Nothing yet, of a leadership that began at a sequence of the ledger.
    pub(super) fn new(began: u64) -> Listed {
        Listed {
            began,
            plans: HashMap::new(),
            strays: HashSet::new(),
            ended: Vec::new(),
        }
    }

    /// Reads on.
    pub(super) async fn read(&mut self, broker: &Broker) -> Result<(), SweepError> {
        let found = places(broker, Author::Plan).await?;
        self.plans
            .retain(|place, plan| found.get(place) == Some(&plan.records));
        let subjects = broker.subjects();
        let grown = found
            .keys()
            .filter(|place| !self.plans.contains_key(*place));
        let grown: Vec<String> = grown
            .map(|(queue, run)| subjects.ledger_of(queue, run, Author::Plan))
            .collect();
        for last in broker.surely_last(&subjects.ledger(), &grown).await? {
            let Some((queue, run, _)) = subjects.parse_ledger(&last.subject) else {
                continue;
            };
            let place = (queue, run);
            let state = match broker.decode(&last.subject, &last.payload) {
                Ok(PlanRecord::Retired(retired)) => State::Retired {
                    sequence: last.seq,
                    retired,
                },
                Ok(record) if record.is_end() => {
                    let (sequence, left) = (last.seq, record.dead_left());
                    if sequence <= self.began {
                        let end = if matches!(record, PlanRecord::Dropped(_)) {
                            End::GivenUp { left }
                        } else {
                            End::Closed(last.at)
                        };
                        self.ended.push(Ended {
                            place: place.clone(),
                            sequence,
                            end,
                        });
                    }
                    State::Over {
                        end: sequence,
                        closed_at: last.at,
                        dead: left,
                    }
                }
                Ok(_) | Err(_) => State::Open,
            };
            let records = found.get(&place).copied().unwrap_or(0);
            self.plans.insert(place, Found { records, state });
        }
        self.strays = places(broker, Author::Work).await?.into_keys().collect();
        self.strays
            .extend(places(broker, Author::Takeover).await?.into_keys());
        self.strays.retain(|place| !found.contains_key(place));
        Ok(())
    }

    /// What is known of a plan was not so: it is read again. A ledger that was purged by hand, and has as many
    /// records again, looks as it did.
    pub(super) fn doubt(&mut self, place: &Place) {
        self.plans.remove(place);
    }

    /// Some of the runs that were over before this leadership, at most `most`; `None`: all were looked at.
    pub(super) fn ended(&self, most: usize) -> Option<&[Ended]> {
        let some = &self.ended[..self.ended.len().min(most)];
        (!some.is_empty()).then_some(some)
    }

    /// So many of them were looked at.
    pub(super) fn forget_ended(&mut self, most: usize) {
        let most = self.ended.len().min(most);
        self.ended.drain(..most);
    }

    /// Runs that are over and have their records.
    pub(super) fn kept(&self) -> Vec<Kept> {
        let over = self.plans.iter().filter_map(|((queue, run), plan)| {
            let State::Over {
                end,
                closed_at,
                dead,
            } = plan.state
            else {
                return None;
            };
            Some(Kept {
                run: run.clone(),
                queue: queue.clone(),
                end,
                closed_at,
                dead,
            })
        });
        over.collect()
    }

    /// Runs that were given up and are not all gone, with that record and its sequence.
    pub(super) fn half_gone(&self) -> Vec<(Place, (u64, Retired))> {
        let retired = self.plans.iter().filter_map(|(place, plan)| {
            let State::Retired { sequence, retired } = &plan.state else {
                return None;
            };
            Some((place.clone(), (*sequence, retired.clone())))
        });
        retired.collect()
    }

    /// The runs of which planners have written anything that is there.
    pub(super) fn runs(&self) -> HashSet<&RunId> {
        self.plans.keys().map(|(_, run)| run).collect()
    }

    /// Runs without a plan of which workers' records are there.
    pub(super) fn strays(&self) -> impl Iterator<Item = &Place> {
        self.strays.iter()
    }
}

/// Ledgers with records of `author`, each with their number.
async fn places(broker: &Broker, author: Author) -> Result<HashMap<Place, u64>, SweepError> {
    let subjects = broker.subjects();
    let found = broker
        .subjects_of(&subjects.ledger(), &subjects.ledgers_by(author))
        .await?;
    let places = found.iter().filter_map(|(subject, records)| {
        let (queue, run, _) = subjects.parse_ledger(subject)?;
        Some(((queue, run), *records))
    });
    Ok(places.collect())
}
