//! Which versions of records a build reads and writes, as it says itself.
//!
//! A build never writes what the release before it cannot read: a version that is raised is read by one release, and
//! written by the next. So two neighbouring releases work beside each other in any mixture, and either may follow the
//! other (docs/decisions/0042-readers-first.md).

use serde::{Deserialize, Serialize};

/// The versions of one build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Versions {
    /// The newest that it reads; it reads all before that too.
    pub reads: u16,
    /// The one that it writes.
    pub writes: u16,
}

impl Versions {
    /// Those of this source.
    pub const BUILT: Versions = Versions {
        reads: 1,
        writes: 1,
    };

    /// Those of this process.
    #[cfg(not(feature = "wire-next"))]
    pub fn own() -> Versions {
        Versions::BUILT
    }

    /// Those of this process.
    #[cfg(feature = "wire-next")]
    pub fn own() -> Versions {
        super::next::versions()
    }

    /// Whether these are the first ones: builds that say nothing of versions have them.
    pub fn is_first(&self) -> bool {
        *self == Versions::default()
    }
}

/// What a build has that says nothing.
impl Default for Versions {
    fn default() -> Versions {
        Versions {
            reads: 1,
            writes: 1,
        }
    }
}

// A version is read by one release, and written by the next.
const _: () = assert!(
    Versions::BUILT.writes >= 1
        && Versions::BUILT.writes <= Versions::BUILT.reads
        && Versions::BUILT.reads <= Versions::BUILT.writes + 1
);
