//! What the jobs bucket has of one job.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::Entry;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::job::JobSpec;
use gridloom_shared::schedule::Spec;

/// What the jobs bucket has of a job.
#[derive(Debug)]
pub(in super::super) enum Defined {
    /// Not seen yet.
    Unseen,
    /// It makes no sense, for this reason: nothing is decided until it does.
    Nonsense(String),
    /// It is gone since then.
    Gone(UnixMs),
    /// It is there since then: without its schedule, which stands beside it.
    There(Box<JobSpec>, Option<Box<Spec>>, UnixMs),
}

impl Defined {
    /// What `entry` says of its job.
    pub(in super::super) fn read(broker: &Broker, entry: &Entry) -> Defined {
        let Some(value) = entry.value.as_deref() else {
            return Defined::Gone(entry.at);
        };
        let mut job = match broker.decode::<JobSpec>(&entry.key, value) {
            Ok(job) => Box::new(job),
            Err(error) => return Defined::Nonsense(chain(&error).to_string()),
        };
        match job.schedule.take().map(Spec::try_from) {
            None => Defined::There(job, None, entry.at),
            Some(Ok(spec)) => Defined::There(job, Some(Box::new(spec)), entry.at),
            Some(Err(error)) => Defined::Nonsense(chain(&error).to_string()),
        }
    }

    /// Whether it has a schedule, or may have one that is not understood.
    pub(in super::super) fn may_fire(&self) -> bool {
        matches!(self, Defined::Nonsense(_) | Defined::There(_, Some(_), _))
    }
}
