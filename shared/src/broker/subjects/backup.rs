//! Names of what is there while a backup is put back, and no longer.

use super::{StreamName, Subjects};

impl Subjects {
    /// The stream of one message that tells where a stream goes on that is put back.
    pub fn ahead(&self) -> StreamName {
        StreamName(self.named("ahead"))
    }

    /// The message of [`Subjects::ahead`].
    pub fn ahead_mark(&self) -> String {
        format!("{}.ahead", self.namespace)
    }

    /// A stream that is there while a backup is put back: it marks what is not whole.
    pub fn restoring(&self) -> StreamName {
        StreamName(self.named("restoring"))
    }

    /// What [`Subjects::restoring`] would take.
    pub fn restoring_mark(&self) -> String {
        format!("{}.restoring", self.namespace)
    }
}
