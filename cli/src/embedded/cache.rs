//! Decides where fetched binaries are kept, and who may put one there.
//!
//! A binary enters the cache by one rename of a directory that is complete and has answered, and
//! only under the lock; looking needs no lock.

use std::env;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;

use super::binary::{self, Binary, PINNED, Source};

const EXECUTABLE: &str = "nats-server";
const UNFINISHED: &str = "fetch-";
const LOCK_TRIED_EVERY: Duration = Duration::from_millis(50);

/// Gridloom's directory in the user's cache.
pub(super) fn of_user() -> Option<PathBuf> {
    let given = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let base = given.or_else(|| {
        let home = env::home_dir().filter(|home| !home.as_os_str().is_empty())?;
        Some(home.join(if cfg!(target_os = "macos") {
            "Library/Caches"
        } else {
            ".cache"
        }))
    });
    base.map(|base| base.join("gridloom"))
}

/// The pinned binary, if it is there and answers.
pub(super) async fn look(cache: &Path) -> Option<Binary> {
    let path = home(cache).join(EXECUTABLE);
    let version = binary::ask(&path).await.ok()?;
    (version == PINNED).then_some(Binary {
        path,
        version,
        source: Source::Cache,
    })
}

/// The right to change the cache; given back when dropped, or when its process ends.
#[derive(Debug)]
pub(super) struct Lock {
    cache: PathBuf,
    _file: File,
}

impl Lock {
    /// Waits for the lock; `waiting` is told once if another has it.
    pub(super) async fn take(cache: &Path, waiting: impl FnOnce() + Send) -> io::Result<Lock> {
        std::fs::create_dir_all(cache)?;
        let file = File::create(cache.join("fetch.lock"))?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {}
            }
            if let Some(tell) = waiting.take() {
                tell();
            }
            sleep(LOCK_TRIED_EVERY).await;
        }
        Ok(Lock {
            cache: cache.to_path_buf(),
            _file: file,
        })
    }

    /// A new directory beside the binary's future place, so that a rename can bring it there.
    pub(super) fn unfinished(&self) -> io::Result<TempDir> {
        for entry in std::fs::read_dir(&self.cache)?.flatten() {
            // Left by a fetch that was killed: nobody else fetches while we hold the lock.
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) && entry.path().is_dir()
            {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.cache)
    }

    /// Moves the fetched executable to its place. `unfinished` is on the same file system.
    pub(super) async fn keep(
        &self,
        fetched: &Path,
        unfinished: &Path,
    ) -> io::Result<Option<Binary>> {
        let complete = unfinished.join("complete");
        std::fs::create_dir(&complete)?;
        std::fs::rename(fetched, complete.join(EXECUTABLE))?;
        File::open(complete.join(EXECUTABLE))?.sync_all()?;
        let home = home(&self.cache);
        if home.exists() {
            // It did not answer, or there would have been no fetch.
            std::fs::rename(&home, unfinished.join("broken"))?;
        }
        std::fs::rename(&complete, &home)?;
        Ok(look(&self.cache).await)
    }
}

fn home(cache: &Path) -> PathBuf {
    cache.join(format!("nats-server-{PINNED}"))
}
