//! Whoever is shown how the broker is run is shown that what it confirms is on its disk: in every page, every file of
//! deploy/, and what the command starts by itself.

use crate::files;

const ALWAYS: &str = "sync_interval: always";
/// Where JetStream is configured.
const BLOCK: &str = "jetstream {";
/// Pages that say how it is run without a block.
const SAY_SO: &[&str] = &[
    "README.md",
    "deploy/helm/gridloom/values.yaml",
    "deploy/helm/gridloom/templates/NOTES.txt",
    "docs/OPERATIONS.md",
    "docs/GUARANTEES.md",
];
/// What starts a broker by itself for whoever tries it, and hands it the line by its name.
const START_ONE: &[&str] = &["cli/src/commands/dev/broker.rs", "cli/src/demo/stack.rs"];

/// Stretches of a page that stand by themselves: its blocks of code, or all of a file that is no page.
fn parts<'t>(path: &str, text: &'t str) -> Vec<&'t str> {
    match path.ends_with(".md") {
        true => text.split("```").collect(),
        false => vec![text],
    }
}

/// Parts in which a broker is configured that does not flush what it confirms, or is started without a word of it.
fn faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for part in parts(path, text) {
        let blocks = part.matches(BLOCK).count();
        if blocks > part.matches(ALWAYS).count() {
            faults.push(format!("{path}: a block `{BLOCK}` without `{ALWAYS}`"));
        }
        if part.contains("nats-server -js") {
            faults.push(format!(
                "{path}: `nats-server -js` has nobody say `{ALWAYS}`"
            ));
        }
    }
    faults
}

#[test]
fn broker_that_is_shown_has_on_its_disk_what_it_confirms() {
    let all = files(&[
        ".md", ".conf", ".py", ".yaml", ".yml", ".txt", ".tpl", ".env", ".service",
    ]);
    let shown = all.iter().filter(|(path, _)| {
        path.starts_with("deploy/") || path.starts_with("docs/") || path == "README.md"
    });
    let shown: Vec<_> = shown.collect();
    let blocks = shown.iter().filter(|(_, text)| text.contains(BLOCK));
    assert!(blocks.count() >= 5, "where is JetStream configured now?");
    let told: Vec<String> = shown
        .iter()
        .flat_map(|(path, text)| faults(path, text))
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    for page in SAY_SO {
        let text = shown.iter().find(|(path, _)| path == page);
        assert!(
            text.is_some_and(|(_, text)| text.contains(ALWAYS)),
            "{page} does not say {ALWAYS}"
        );
    }
    for (path, text) in files(&[".rs"]) {
        let starts = START_ONE.contains(&path.as_str());
        assert!(
            !starts || text.contains("embedded::SYNC_ALWAYS"),
            "{path} does not say {ALWAYS}"
        );
    }
}

#[test]
fn broker_that_is_shown_otherwise_is_told() {
    let page = "a\n```\njetstream { store_dir: x }\n```\nsync_interval: always\n";
    assert_eq!(faults("README.md", page).len(), 1);
    assert_eq!(
        faults("a.conf", "jetstream {\n sync_interval: always }\n").len(),
        0
    );
    assert_eq!(faults("README.md", "```\nnats-server -js\n```").len(), 1);
}
