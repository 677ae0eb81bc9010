//! What the handler `noop` is given.

use serde::Deserialize;

use super::{Findings, Said};
use crate::job::given;
use crate::suggest;

/// The parameters of `noop`; all may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// How long a shard takes.
    pub sleep_ms: u64,
    /// How long it blocks its thread.
    pub block_ms: u64,
    /// How many of a hundred attempts fail.
    pub fail_percent: f64,
    /// How often each shard fails before it succeeds.
    pub fail_attempts: u32,
    /// Whether failures are not tried again.
    pub permanent: bool,
}

/// The names of the parameters.
const KEYS: &[&str] = &[
    "sleep_ms",
    "block_ms",
    "fail_percent",
    "fail_attempts",
    "permanent",
];

pub(super) fn check(said: Said<'_>) -> Findings {
    let mut found = Findings::default();
    let given = said.params.as_object();
    let unknown = given
        .into_iter()
        .flat_map(|given| given.keys())
        .filter(|name| !KEYS.contains(&name.as_str()));
    for name in unknown {
        let hint = suggest::hint(name, KEYS.iter().copied());
        let known = KEYS.join(", ");
        let message = format!("is no parameter of noop, which takes {known}{hint}");
        found.fault(format!("params.{name}"), message);
    }
    if found.faults.is_empty()
        && let Err(fault) = given::read::<Params>("params", said.params)
    {
        found.faults.push(fault);
    }
    if said.grid.is_probed() {
        found.warning(
            "grid.pages",
            "noop finds no pages when it is asked: a run ends at once, without a shard; say { count = 100 }",
        );
    }
    found
}
