//! No file of deploy/ without a test that names it: by its name and its folder, or by the folder that it reads as a
//! whole.

use std::path::{Path, PathBuf};

use super::root;

/// This room names none.
const OWN: &str = "deploy/files.rs";

/// All files below `folder`.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder is read") {
            let path = entry.expect("an entry is read").path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// What git leaves alone, as it is somebody's own: the lines of its list that begin at the root.
fn ignored(root: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_to_string(root.join(".gitignore")).expect("the list is read");
    let paths = list.lines().filter_map(|line| line.strip_prefix('/'));
    paths.map(|path| root.join(path)).collect()
}

/// Whether a test names the file, which is written from the root: by the end of its path in one word of the test
/// (`single.conf`, `cluster/one.conf`), or by one of its folders below deploy/ as a word of its own.
fn is_named(file: &str, tests: &str) -> bool {
    let quoted = |word: &str| tests.contains(&format!("\"{word}\""));
    let Some((folder, name)) = file.rsplit_once('/') else {
        return false;
    };
    let folders = folder.match_indices('/').map(|(at, _)| &folder[..at]);
    let above = folders.skip(1).chain([folder]);
    quoted(name)
        || tests.contains(&format!("/{name}\""))
        || above.filter(|folder| *folder != "deploy").any(quoted)
}

#[test]
fn every_file_of_deploy_is_named_by_a_test() {
    let tests = below(&root().join("tests"));
    let tests = tests.iter().filter(|path| {
        path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with(OWN)
    });
    let tests: String = tests
        .map(|path| std::fs::read_to_string(path).expect("a test is read"))
        .collect();
    let root = root();
    let ignored = ignored(&root);
    assert!(
        ignored.contains(&root.join("deploy/secrets")),
        "{ignored:?}"
    );
    let mut files = below(&root.join("deploy"));
    files.retain(|file| !ignored.iter().any(|path| file.starts_with(path)));
    assert!(files.len() > 10, "{files:?}");
    let names = files.iter().map(|file| {
        let name = file.strip_prefix(&root).expect("it is below the root");
        name.to_string_lossy().into_owned()
    });
    let left: Vec<String> = names.filter(|file| !is_named(file, &tests)).collect();
    assert!(left.is_empty(), "no test names these: {left:#?}");
}

#[test]
fn file_that_no_test_names_is_told() {
    let tests = r#"text("deploy/a/b.conf"); documents_of("deploy/chart"); let all = "deploy";"#;
    for (file, named) in [
        ("deploy/a/b.conf", true),
        ("deploy/chart/templates/x.yaml", true),
        ("deploy/a/c.conf", false),
        ("deploy/d.conf", false),
        ("deploy/charts/x.yaml", false),
    ] {
        assert_eq!(is_named(file, tests), named, "{file}");
    }
}
