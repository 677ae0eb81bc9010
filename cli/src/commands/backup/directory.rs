//! When a directory is whole: it is written beside its place under another name, and gets its own last.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gridloom_shared::broker::copy::PIECE_BYTES;
use gridloom_shared::broker::topology::Kept;
use gridloom_shared::chain;
use sha2::{Digest, Sha256};

use super::manifest::{Manifest, Stored};
use crate::fault::Misuse;

/// The file that tells what the others are.
const MANIFEST: &str = "manifest.json";
/// What stands behind the name of a directory that is not whole.
const UNFINISHED: &str = ".unfinished";

/// A directory that is being written.
#[derive(Debug)]
pub(in crate::commands) struct Unfinished {
    path: PathBuf,
    whole: PathBuf,
}

fn unfinished_of(directory: &Path) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

impl Unfinished {
    /// Makes it: only its owner may look, as params of jobs are in it.
    pub(in crate::commands) fn begin(directory: &Path) -> anyhow::Result<Unfinished> {
        // `a/` is `a`.
        let whole: PathBuf = directory.components().collect();
        if whole.symlink_metadata().is_ok() {
            return Err(Misuse::error(format!(
                "{} is there already: a backup gets a directory of its own, which is not there yet",
                whole.display()
            )));
        }
        let path = unfinished_of(&whole);
        let made = DirBuilder::new().mode(0o700).create(&path);
        match made {
            Ok(()) => Ok(Unfinished { path, whole }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Misuse::error(format!(
                    "{} is there already: another backup writes it, or one was killed; remove it where nobody does",
                    path.display()
                )))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Misuse::error(format!(
                "make {}: the directory that it is to be in is not there; make that first, or mount it",
                path.display()
            ))),
            Err(error) => Err(Misuse::error(format!(
                "make {}: {}",
                path.display(),
                chain(&error)
            ))),
        }
    }

    /// A file for one stream.
    pub(in crate::commands) fn file(&self, kept: Kept) -> anyhow::Result<Writing> {
        let name = format!("{}.stream", kept.as_str());
        let path = self.path.join(&name);
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Writing {
            name,
            path,
            file,
            hash: Sha256::new(),
            bytes: 0,
        })
    }

    /// All of it is there: from now on it is a backup.
    pub(in crate::commands) fn finish(self, manifest: &Manifest) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(manifest).context("write the manifest")?;
        let path = self.path.join(MANIFEST);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.with_context(|| format!("write {}", path.display()))?;
        sync(&self.path)?;
        fs::rename(&self.path, &self.whole)
            .with_context(|| format!("give {} its name", self.whole.display()))?;
        let parent = self
            .whole
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        sync(parent.unwrap_or(Path::new(".")))
    }

    /// Takes it away again. What cannot be removed is told as unfinished by whoever reads it.
    pub(in crate::commands) fn remove(self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), error = %chain(&error), "an unfinished backup stays");
        }
    }
}

/// A directory's entries are on the disk only when it is synced itself.
fn sync(directory: &Path) -> anyhow::Result<()> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.with_context(|| format!("write {}", directory.display()))
}

/// A file that is being written.
#[derive(Debug)]
pub(in crate::commands) struct Writing {
    name: String,
    path: PathBuf,
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Writing {
    pub(in crate::commands) fn write(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        let written = self.file.write_all(piece);
        written.with_context(|| format!("write {}", self.path.display()))?;
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    pub(in crate::commands) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its name, its size and its hash.
    pub(in crate::commands) fn finish(self) -> anyhow::Result<(String, u64, String)> {
        let synced = self.file.sync_all();
        synced.with_context(|| format!("write {}", self.path.display()))?;
        Ok((self.name, self.bytes, digits(&self.hash.finalize())))
    }
}

fn digits(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether it is one that was not finished: somebody may write it still.
pub(in crate::commands) fn is_unfinished(directory: &Path) -> bool {
    directory
        .as_os_str()
        .to_string_lossy()
        .ends_with(UNFINISHED)
}

/// The backup in `directory`, as far as its manifest says what it is.
pub(in crate::commands) fn open(directory: &Path) -> anyhow::Result<Manifest> {
    let path = directory.join(MANIFEST);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Misuse::error(no_backup(directory)));
        }
        Err(error) => {
            return Err(Misuse::error(format!(
                "read {}: {}",
                path.display(),
                chain(&error)
            )));
        }
    };
    let refused = |why| Misuse::error(format!("put back {}: {why}", directory.display()));
    Manifest::read(&text).map_err(refused)
}

/// Why there is none.
fn no_backup(directory: &Path) -> String {
    let whole: PathBuf = directory.components().collect();
    let named = is_unfinished(&whole);
    let unfinished = unfinished_of(&whole);
    match (named || unfinished.is_dir(), whole.is_dir()) {
        (true, _) => format!(
            "{} is a backup that was never finished: it was killed, or is still written; take another one",
            if named { &whole } else { &unfinished }.display()
        ),
        (false, true) => format!(
            "{} holds no {MANIFEST}: it is no backup of gridloom",
            whole.display()
        ),
        (false, false) => format!("{} is not there", whole.display()),
    }
}

/// Refuses a file that is not what was written.
pub(in crate::commands) fn check(directory: &Path, stored: &Stored) -> anyhow::Result<()> {
    let path = path_of(directory, stored)?;
    let damaged = |why: String| Misuse::error(format!("{} is damaged: {why}", path.display()));
    let unread = |error: io::Error| damaged(chain(&error).to_string());
    let file = File::open(&path).map_err(unread)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut pieces = Pieces::of(file);
    while let Some(piece) = pieces.next().map_err(unread)? {
        hash.update(&piece);
        bytes += piece.len() as u64;
    }
    let found = digits(&hash.finalize());
    if (bytes, found.as_str()) != (stored.bytes, stored.sha256.as_str()) {
        return Err(damaged(format!(
            "{bytes} bytes with the SHA-256 {found} where {} with {} were written",
            stored.bytes, stored.sha256
        )));
    }
    Ok(())
}

/// The content of a file in pieces.
pub(in crate::commands) fn pieces(directory: &Path, stored: &Stored) -> anyhow::Result<Pieces> {
    let path = path_of(directory, stored)?;
    let file = File::open(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(Pieces::of(file))
}

/// A manifest names files of its own directory, and nothing else.
fn path_of(directory: &Path, stored: &Stored) -> anyhow::Result<PathBuf> {
    let name = Path::new(&stored.file);
    if name.file_name() != Some(name.as_os_str()) {
        return Err(Misuse::error(format!(
            "{} names a file that is not in it: {:?}",
            directory.join(MANIFEST).display(),
            stored.file
        )));
    }
    Ok(directory.join(name))
}

/// A file, piece by piece.
#[derive(Debug)]
pub(in crate::commands) struct Pieces(BufReader<File>);

impl Pieces {
    fn of(file: File) -> Pieces {
        Pieces(BufReader::with_capacity(PIECE_BYTES, file))
    }

    pub(in crate::commands) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let most = PIECE_BYTES as u64;
        let read = self.0.by_ref().take(most).read_to_end(&mut piece)?;
        Ok((read > 0).then_some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_backup_is_told_as_such_and_what_is_none_is_told_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("monday");
        assert!(no_backup(&whole).contains("is not there"));
        let unfinished = Unfinished::begin(&whole).unwrap();
        assert!(no_backup(&whole).contains("never finished"));
        assert!(no_backup(&unfinished_of(&whole)).contains("never finished"));
        assert!(Unfinished::begin(&whole).is_err(), "two write the same");
        unfinished.remove();
        fs::create_dir(&whole).unwrap();
        assert!(no_backup(&whole).contains("no backup of gridloom"));
        assert!(Unfinished::begin(&whole).is_err());
    }

    #[test]
    fn file_that_was_changed_or_cut_or_lies_elsewhere_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished = Unfinished::begin(&dir.path().join("a")).unwrap();
        let mut file = unfinished.file(Kept::Jobs).unwrap();
        file.write(&[7; PIECE_BYTES]).unwrap();
        file.write(b"more").unwrap();
        let (file, bytes, sha256) = file.finish().unwrap();
        let stored = |file: &str| Stored {
            name: "jobs".into(),
            stream: "KV_grid-jobs".into(),
            file: file.to_owned(),
            bytes,
            sha256: sha256.clone(),
            origin: gridloom_shared::broker::copy::Origin {
                config: serde_json::Map::new(),
                state: serde_json::Value::Null,
            },
        };
        let inside = unfinished.path.clone();
        check(&inside, &stored(&file)).unwrap();
        assert!(check(&inside, &stored("../jobs.stream")).is_err());
        let path = inside.join(&file);
        let mut content = fs::read(&path).unwrap();
        content[9] ^= 1;
        fs::write(&path, &content).unwrap();
        assert!(check(&inside, &stored(&file)).is_err());
        content[9] ^= 1;
        content.pop();
        fs::write(&path, &content).unwrap();
        assert!(check(&inside, &stored(&file)).is_err());
    }
}
