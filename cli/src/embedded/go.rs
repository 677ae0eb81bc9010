//! Decides how Go builds nats-server where there is no pip; Go's checksum database pins the source.

use std::path::Path;
use std::time::Duration;

use super::binary::PINNED;
use super::way::Way;

/// Settings of the user that would build for another machine or against other sources.
const CONTRADICTING: &[&str] = &["GOOS", "GOARCH", "GOFLAGS", "GOWORK", "GO111MODULE"];

/// The one way to build it into `dir`.
pub(super) fn ways(dir: &Path) -> Vec<Way> {
    let bin = dir.join("go-bin");
    vec![Way {
        saying: "with Go (built from source, once, into the cache; this takes a minute or two)",
        program: "go",
        before: &[],
        probe: "version",
        args: vec![
            "install".into(),
            format!("github.com/nats-io/nats-server/v2@v{PINNED}").into(),
        ],
        leaves: bin.join("nats-server"),
        env: vec![("GOBIN", bin.into()), ("CGO_ENABLED", "0".into())],
        env_remove: CONTRADICTING,
        within: Duration::from_secs(900),
    }]
}
