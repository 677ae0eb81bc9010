//! Which shards of this worker a service is to end by a callback, and what becomes of one that comes: it ends the attempt that
//! awaits it, or says why not. It must not end anything else than that attempt: what is said becomes its outcome as if the
//! handler had found it out by itself, under the fence and the lease that it has.

#[cfg(feature = "http")]
mod desk;

#[cfg(feature = "http")]
pub(crate) use desk::{Callbacks, Expected};

/// Without the handler `http` nothing awaits any.
#[cfg(not(feature = "http"))]
#[derive(Debug)]
pub(crate) struct Callbacks;

#[cfg(not(feature = "http"))]
impl Callbacks {
    pub(crate) fn new(
        _namespace: &gridloom_shared::id::Namespace,
        _session: gridloom_shared::id::Session,
    ) -> Callbacks {
        Callbacks
    }

    pub(crate) fn hear(
        &self,
        _call: &gridloom_shared::callback::Call,
    ) -> gridloom_shared::callback::Heard {
        gridloom_shared::callback::Heard::Elsewhere
    }
}
