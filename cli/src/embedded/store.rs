//! Decides where an embedded broker keeps its streams, and that one server at a time does.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::error::{Error, io_error};

/// A directory that is either the caller's or ours to remove.
#[derive(Debug)]
pub(super) enum Store {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Store {
    /// Opens the wanted directory, or a new one in the system's place for such.
    pub(super) fn open(wanted: Option<&Path>) -> Result<Store, Error> {
        match wanted {
            Some(path) => {
                std::fs::create_dir_all(path).map_err(io_error("make the directory", path))?;
                let path = path.canonicalize().map_err(io_error("find", path))?;
                Ok(Store::Kept(path))
            }
            None => tempfile::Builder::new()
                .prefix("gridloom-nats-")
                .tempdir()
                .map(Store::Temporary)
                .map_err(io_error("make a directory in", &std::env::temp_dir())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Store::Kept(path) => path,
            Store::Temporary(dir) => dir.path(),
        }
    }

    /// Takes the store for this process alone, as long as the file is open.
    pub(super) fn lock(&self) -> Result<File, Error> {
        let store = self.path();
        let path = store.join("gridloom.lock");
        let file = File::create(&path).map_err(io_error("make", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => Err(Error::StoreInUse(store.to_path_buf())),
            Err(std::fs::TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
        }
    }
}
