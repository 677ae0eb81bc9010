//! Removes from the commit table what stands there about runs that the ledger has purged: none of
//! their shards is executed any more, so nobody asks for their keys again.

use gridloom_shared::id::Nonce;

use super::database::Database;
use super::dialect::Dialect;
use super::trouble::Trouble;

/// Runs of one question.
const RUNS: usize = 200;
/// Rows of one: it holds locks, and in SQLite everybody else up.
const ROWS: usize = 5_000;

/// Removes all rows of `runs`. Says how many.
pub(super) async fn runs(database: &Database, runs: &[Nonce]) -> Result<u64, Trouble> {
    let mut all = 0;
    if !database.has_table() {
        // Not used by this worker.
        return Ok(all);
    }
    for some in runs.chunks(RUNS) {
        let question = question(database.dialect(), some);
        loop {
            let _turn = database.turn().await;
            let lease = std::time::Duration::from_secs(60);
            let mut lent = database.connect(lease).await?;
            let script = lent.link.script(&[&question]).await;
            if let Some(error) = script.error {
                return Err(Trouble::of(&error, "delete from gridloom_commit"));
            }
            database.take_back(lent);
            let gone = script.done.iter().sum::<u64>();
            all += gone;
            if gone == 0 {
                break;
            }
        }
    }
    Ok(all)
}

fn question(dialect: Dialect, runs: &[Nonce]) -> String {
    let runs: Vec<String> = runs
        .iter()
        .map(|nonce| format!("'{:016x}'", nonce.0))
        .collect();
    let which = format!("run_nonce IN ({})", runs.join(", "));
    match dialect {
        Dialect::MySql => format!("DELETE FROM gridloom_commit WHERE {which} LIMIT {ROWS}"),
        Dialect::Postgres | Dialect::Sqlite => format!(
            "DELETE FROM gridloom_commit WHERE (run_nonce, slice, page) IN \
             (SELECT run_nonce, slice, page FROM gridloom_commit WHERE {which} LIMIT {ROWS})"
        ),
    }
}
