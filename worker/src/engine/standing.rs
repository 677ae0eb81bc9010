//! How a run stands, by the planner's last record of it: whether its tiles may be run.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::ledger::record::{EndState, PlanRecord};

/// How a run stands by the planner's last record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    GoesOn(u64),
    /// It was cancelled, by the record at this sequence or before it.
    Cancelled(u64),
    /// It ended without success: it may have been aborted.
    Failed(u64),
}

impl Standing {
    fn of(sequence: u64, record: &PlanRecord) -> Standing {
        match record {
            PlanRecord::Cancelled(_) => Standing::Cancelled(sequence),
            PlanRecord::Closed(closed) => match closed.state {
                EndState::Cancelled => Standing::Cancelled(sequence),
                EndState::Failed => Standing::Failed(sequence),
                EndState::Succeeded => Standing::GoesOn(sequence),
            },
            PlanRecord::Dropped(dropped) if dropped.closed => Standing::Failed(sequence),
            PlanRecord::Dropped(_)
            | PlanRecord::Opened(_)
            | PlanRecord::Wave(_)
            | PlanRecord::Reopened(_)
            | PlanRecord::Retired(_)
            | PlanRecord::Forgotten(_) => Standing::GoesOn(sequence),
        }
    }

    /// As the ledger says now.
    pub(super) async fn read(broker: &Broker, subject: &str) -> Result<Standing, ReadError> {
        let last = broker
            .last_of_leader(&broker.subjects().ledger(), subject)
            .await?;
        // What a newer planner wrote, or nothing: the run is not known to be cancelled.
        Ok(last.map_or(Standing::GoesOn(0), |last| {
            match broker.decode::<PlanRecord>(&last.subject, &last.payload) {
                Ok(record) => Standing::of(last.seq, &record),
                Err(_) => Standing::GoesOn(last.seq),
            }
        }))
    }
}
