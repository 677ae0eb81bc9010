//! Which older backups go: whole ones of the same namespace, in the same directory. Nothing else is touched.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::directory;
use super::manifest::Manifest;

/// Removes all but the `keep` newest of those that lie beside `directory`, whose manifest is `taken`: that is one of them,
/// whatever clocks say. Returns which went.
///
/// # Errors
/// When the directory above cannot be read, or one cannot be removed.
pub(super) fn newest(
    directory: &Path,
    taken: &Manifest,
    keep: usize,
) -> anyhow::Result<Vec<PathBuf>> {
    let own = directory.canonicalize();
    let own = own.with_context(|| format!("find {}", directory.display()))?;
    let Some(above) = own.parent() else {
        return Ok(Vec::new());
    };
    let read = |path: &Path| format!("read {}", path.display());
    let mut others = Vec::new();
    for entry in fs::read_dir(above).with_context(|| read(above))? {
        let entry = entry.with_context(|| read(above))?;
        // A link is somebody's, and leads elsewhere.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let path = entry.path();
        if !is_directory || path == own || directory::is_unfinished(&path) {
            continue;
        }
        if let Ok(manifest) = directory::open(&path)
            && manifest.namespace == taken.namespace
        {
            others.push((manifest.taken_at_ms, path));
        }
    }
    others.sort();
    let older = others.len().saturating_sub(keep.saturating_sub(1));
    let mut removed = Vec::new();
    for (_, path) in others.into_iter().take(older) {
        let gone = fs::remove_dir_all(&path);
        gone.with_context(|| format!("remove the older backup {}", path.display()))?;
        removed.push(path);
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use gridloom_shared::clock::UnixMs;
    use serde_json::json;

    use super::*;

    fn manifest(namespace: &str, at: u64) -> Manifest {
        let names = ["submit", "state", "runs", "ledger", "history", "jobs"];
        let streams = names.map(|name| {
            json!({
                "name": name, "stream": name, "file": name, "bytes": 0, "sha256": "",
                "origin": { "config": {}, "state": null },
            })
        });
        let text = json!({
            "format": "gridloom backup", "version": 1, "gridloom": "", "server": "", "namespace": namespace,
            "taken_at": "", "taken_at_ms": UnixMs(at), "history_up_to": 0, "cut": 0, "streams": streams,
        });
        Manifest::read(&text.to_string()).unwrap()
    }

    #[test]
    fn oldest_of_the_namespace_go_and_whatever_else_is_there_stays() {
        let above = tempfile::tempdir().unwrap();
        let put = |name: &str, manifest: &Manifest| {
            let directory = above.path().join(name);
            fs::create_dir(&directory).unwrap();
            let text = serde_json::to_string(manifest).unwrap();
            fs::write(directory.join("manifest.json"), text).unwrap();
            directory
        };
        for at in 1..=4 {
            put(&format!("of-{at}"), &manifest("grid", at));
        }
        put("of-others", &manifest("other", 1));
        put("of-5.unfinished", &manifest("grid", 1));
        fs::create_dir(above.path().join("mine")).unwrap();
        // A clock that was set back: it is the newest all the same.
        let taken = manifest("grid", 0);
        let directory = put("now", &taken);
        let removed = newest(&directory, &taken, 3).unwrap();
        let names = |all: &[PathBuf]| -> Vec<String> {
            let names = all
                .iter()
                .map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
            names.collect()
        };
        assert_eq!(names(&removed), ["of-1", "of-2"]);
        for stays in [
            "of-3",
            "of-4",
            "now",
            "of-others",
            "of-5.unfinished",
            "mine",
        ] {
            assert!(above.path().join(stays).is_dir(), "{stays}");
        }
        assert_eq!(newest(&directory, &taken, 9).unwrap().len(), 0);
        assert_eq!(
            names(&newest(&directory, &taken, 1).unwrap()),
            ["of-3", "of-4"]
        );
        assert!(directory.is_dir());
    }
}
