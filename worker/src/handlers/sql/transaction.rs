//! That no connection with an open transaction is ever used again, whatever happens to the code
//! that opened it.

use tokio::sync::MutexGuard;

use super::database::Database;
use super::link::{Answer, Link, Rows};
use super::order::Bound;
use super::trouble::Trouble;

/// An open transaction. Dropping it (the shard was told to stop, a step failed) closes the
/// connection, so that the database rolls back.
#[derive(Debug)]
pub(super) struct Transaction<'d> {
    link: Option<Link>,
    _turn: Option<MutexGuard<'d, ()>>,
}

impl<'d> Transaction<'d> {
    pub(super) async fn begin(
        database: &'d Database,
        lease: std::time::Duration,
    ) -> Result<Transaction<'d>, Trouble> {
        let turn = database.turn().await;
        let link = database.connect(lease).await?;
        let mut open = Transaction {
            link: Some(link),
            _turn: turn,
        };
        let begun = open.plain(database.dialect().begin()).await;
        begun.map_err(|error| Trouble::of(error, "begin a transaction"))?;
        Ok(open)
    }

    pub(super) async fn run(&mut self, statement: &Bound) -> Result<Answer, sqlx::Error> {
        match &mut self.link {
            // Two rows tell a single one from several.
            Some(link) => {
                link.run(&statement.text, &statement.values, Rows::Keep(2))
                    .await
            }
            None => Err(sqlx::Error::PoolClosed),
        }
    }

    /// Commits. After an error nobody knows whether it did.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.plain("COMMIT").await?;
        // Back to the pool.
        drop(self.link.take());
        Ok(())
    }

    /// Rolls back and keeps the connection if it can.
    pub(super) async fn roll_back(mut self) {
        if self.plain("ROLLBACK").await.is_ok() {
            drop(self.link.take());
        }
    }

    async fn plain(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        match &mut self.link {
            Some(link) => link.plain(text).await,
            None => Err(sqlx::Error::PoolClosed),
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            link.discard();
        }
    }
}
