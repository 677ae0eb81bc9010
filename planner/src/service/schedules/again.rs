//! Follows keys, from the beginning again after each error: whoever hears of the error forgets what it knows of them.

use futures_util::{Stream, StreamExt};
use gridloom_shared::broker::kv::Watched;
use gridloom_shared::broker::log::FollowError;
use gridloom_shared::chain;

use super::PAUSE;

/// What `first` tells, and after an error what another one from `begin` does. `what` names it in the log.
pub(super) fn again<S>(
    first: S,
    begin: impl Fn() -> S,
    what: &'static str,
) -> impl Stream<Item = S::Item>
where
    S: Stream<Item = Result<Watched, FollowError>> + Unpin,
{
    futures_util::stream::unfold((Some(first), begin), move |(from, begin)| async move {
        let mut from = match from {
            Some(from) => from,
            None => {
                tokio::time::sleep(PAUSE).await;
                begin()
            }
        };
        let watched = from.next().await?;
        if let Err(error) = &watched {
            tracing::warn!(what, error = %chain(error), "these cannot be followed; reading them again");
            return Some((watched, (None, begin)));
        }
        Some((watched, (Some(from), begin)))
    })
}
