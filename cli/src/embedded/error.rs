//! Decides how a failure of the embedded broker is told.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::FetchError;

/// Why an embedded broker could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no usable nats-server and none could be fetched.
    #[error(transparent)]
    NoBinary(#[from] FetchError),
    /// A file, directory or process could not be handled.
    #[error("{doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// Another embedded broker holds the store.
    #[error("use the store `{}`: another process uses it; stop that one or name another directory", .0.display())]
    StoreInUse(PathBuf),
    /// The port that was asked for belongs to another process.
    #[error(
        "listen on 127.0.0.1:{0}: the port is in use; stop what uses it or choose another port"
    )]
    PortInUse(u16),
    /// nats-server ended before it answered.
    #[error("start nats-server: it ended with code {code}; it wrote:\n{tail}")]
    Ended {
        /// Its exit code.
        code: u8,
        /// The end of its log.
        tail: String,
    },
    /// nats-server runs but did not answer in time.
    #[error("reach nats-server on port {port} within {}s; it wrote:\n{tail}", within.as_secs())]
    NotReady {
        /// Where it should have answered.
        port: u16,
        /// The time that it had.
        within: Duration,
        /// The end of its log.
        tail: String,
    },
}

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io {
        doing,
        path,
        source,
    }
}
