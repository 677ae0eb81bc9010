//! Does nothing: for trying things out. Its parameters make it slow or make it fail.

use std::time::Duration;

use gridloom_shared::job::handlers::noop::Params;

use crate::failure::Failure;
use crate::handler::{Handler, ProbedPages};
use crate::shard::{Probe, Shard};

/// The handler `noop`.
///
/// Parameters, all optional: `sleep_ms` (how long a shard takes), `block_ms` (how long it blocks its
/// thread as no handler should), `fail_percent` (how many of a
/// hundred attempts fail, spread by a hash of shard and attempt), `fail_attempts` (each shard fails
/// this many times, then succeeds), `permanent` (failures are not tried again).
#[derive(Clone, Copy, Debug, Default)]
pub struct Noop;

impl Handler for Noop {
    async fn run(&self, shard: Shard) -> Result<(), Failure> {
        // The usual case has none, and a million a second.
        if shard
            .params_value()
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
        {
            return Ok(());
        }
        let params: Params = shard.params()?;
        if params.sleep_ms > 0 {
            tokio::time::sleep(Duration::from_millis(params.sleep_ms)).await;
        }
        if params.block_ms > 0 {
            std::thread::sleep(Duration::from_millis(params.block_ms));
        }
        if shard.attempt() <= params.fail_attempts || unlucky(&shard, params.fail_percent) {
            let text = format!("noop was told to fail attempt {}", shard.attempt());
            return Err(if params.permanent {
                Failure::permanent(text)
            } else {
                Failure::retry(text)
            });
        }
        Ok(())
    }

    async fn probe(&self, _probe: Probe) -> Result<ProbedPages, Failure> {
        Ok(ProbedPages::default())
    }
}

/// Whether this attempt of this shard is among the failing ones: always the same answer for the same
/// attempt.
fn unlucky(shard: &Shard, percent: f64) -> bool {
    if percent <= 0.0 {
        return false;
    }
    let key = format!(
        "{}/{}/{}/{}",
        shard.nonce().0,
        shard.slice(),
        shard.page().number,
        shard.attempt()
    );
    f64::from(gridloom_shared::slicing::slice_of(&key, 10_000)) < percent * 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Trial;

    #[test]
    fn page_has_each_parameter_with_its_default() {
        let rows = crate::handlers::documented::rows("| parameter |");
        let names: Vec<&String> = rows.iter().map(|row| &row[0]).collect();
        let error = serde_json::from_str::<Params>(r#"{"other": 1}"#).unwrap_err();
        assert_eq!(
            names,
            crate::handlers::documented::expected(&error)
                .iter()
                .collect::<Vec<_>>()
        );
        let defaults: serde_json::Map<_, _> = rows
            .iter()
            .map(|row| (row[0].clone(), serde_json::from_str(&row[1]).unwrap()))
            .collect();
        let said: Params = serde_json::from_value(defaults.into()).unwrap();
        assert_eq!(format!("{said:?}"), format!("{:?}", Params::default()));
    }

    #[tokio::test]
    async fn succeeds_unless_told_otherwise() {
        assert!(Noop.run(Trial::new("a", "noop").shard()).await.is_ok());
    }

    #[tokio::test]
    async fn fails_as_often_as_it_was_told() {
        let trial = Trial::new("a", "noop").params(json!({"fail_attempts": 2}));
        for (attempt, succeeds) in [(1, false), (2, false), (3, true)] {
            let shard = trial
                .clone()
                .attempt(attempt, gridloom_shared::id::Fence(1))
                .shard();
            assert_eq!(Noop.run(shard).await.is_ok(), succeeds);
        }
        let half = Trial::new("a", "noop").params(json!({"fail_percent": 50.0}));
        let mut failed = 0;
        for page in 0..1_000 {
            failed += u32::from(Noop.run(half.clone().page(page).shard()).await.is_err());
        }
        assert!((400..600).contains(&failed), "{failed}");
    }
}
