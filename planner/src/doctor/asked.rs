//! What several checks go by, and what has to be waited for: asked once, and all of it at a time. A namespace of ten thousand
//! jobs takes longer to read than everything else together.

use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::{Broker, PublishError};
use gridloom_shared::chain;
use gridloom_shared::reads::jobs::{self, StoredJob};

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::Line;
use super::planners::{self, Lease};
use super::staff::Staff;

/// See the head of this file.
pub(super) struct Asked {
    /// Who is there.
    pub(super) staff: Staff,
    /// Whether somebody rewrites the lease.
    pub(super) lease: Result<Lease, ReadError>,
    jobs: Result<Vec<StoredJob>, ReadError>,
}

impl Asked {
    /// Asks for all of it.
    ///
    /// # Errors
    /// When nobody can be asked who is there.
    pub(super) async fn ask(broker: &Broker) -> Result<Asked, PublishError> {
        let (staff, lease, jobs) = tokio::try_join!(
            Staff::ask(broker),
            async { Ok(planners::watch(broker).await) },
            async { Ok(jobs::list(broker).await) },
        )?;
        Ok(Asked { staff, lease, jobs })
    }

    /// The jobs that are defined. Where they cannot be read that is told, and the checks that go by them have none.
    pub(super) fn jobs(&self, chart: &mut Chart) -> &[StoredJob] {
        match &self.jobs {
            Ok(jobs) => jobs,
            Err(error) => {
                chart.bad(
                    Line::unread("jobs"),
                    chain(error).to_string(),
                    LOOK_AT_BROKER,
                );
                &[]
            }
        }
    }
}
