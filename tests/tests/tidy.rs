//! The repository itself: what grows, what points nowhere, who names whom. No broker and no processes.
//!
//! | room | what it holds fast |
//! |------|--------------------|
//! | `sizes` | no file over 500 lines and no function over 70 may grow, and none may be added |
//! | `commands` | every command that a page shows can be typed |
//! | `pages` | every page that is named is there, with the section that is named |
//! | `errors` | errors give their cause and do not repeat it, and whoever shows one tells the chain |
//! | `deploy` | alerts and dashboards name metrics that there are, and have their places in the runbook |
//! | `logs` | what a log line says stands fast, and what it is about stands in fields that docs/OPERATIONS.md names |
//! | `durable` | whoever is shown how the broker is run is shown that what it confirms is on its disk |
//! | `metrics` | every metric stands in docs/METRICS.md as it is in the code, and is recorded |
//! | `described` | the description of the API gives no name twice |
//! | `layers` | who may name the client of the broker; what pure rooms may not; the toolchain is the oldest that is promised |

#[path = "tidy/commands.rs"]
mod commands;
#[path = "tidy/deploy.rs"]
mod deploy;
#[path = "tidy/described.rs"]
mod described;
#[path = "tidy/durable.rs"]
mod durable;
#[path = "tidy/errors.rs"]
mod errors;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/logs.rs"]
mod logs;
#[path = "tidy/metrics.rs"]
mod metrics;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/sizes.rs"]
mod sizes;

use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the repository is there")
}

/// Every file with one of these endings, its path from the root, and its text; in the order of paths.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder is read") {
            let path = entry.expect("an entry is read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "node_modules" {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = std::fs::read_to_string(&path).expect("a file is read");
                let path = path.strip_prefix(&root).expect("it is below the root");
                found.push((path.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 10, "{endings:?} in {}", root.display());
    found
}
