//! What costs much, and is the same for all who ask at a time: it is made once for them. Whoever made it begin and goes
//! away takes nothing from the others, and what nobody waits for any more is not made.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

/// What was made, and when that was done.
type Made<T> = (Instant, T);
/// The making of it.
type Making<T> = BoxFuture<'static, Made<T>>;

/// See the head of this file.
pub(super) struct Together<T: Clone>(Mutex<State<T>>);

struct State<T: Clone> {
    last: Option<Made<T>>,
    under_way: Option<WeakShared<Making<T>>>,
}

impl<T: Clone> Default for Together<T> {
    fn default() -> Self {
        Together(Mutex::new(State {
            last: None,
            under_way: None,
        }))
    }
}

impl<T: Clone + Send + Sync + 'static> Together<T> {
    /// What was made at most `kept` ago, what is being made, or what `make` makes.
    pub(super) async fn get<F>(&self, kept: Duration, make: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let making = match self.made(kept, make) {
            Ok(made) => return made,
            Err(making) => making,
        };
        let made = making.await;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last = Some(made.clone());
        made.1
    }

    fn made<F>(&self, kept: Duration, make: impl FnOnce() -> F) -> Result<T, Shared<Making<T>>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, made)) = state.last.as_ref().filter(|(at, _)| at.elapsed() < kept) {
            return Ok(made.clone());
        }
        let under_way = state.under_way.as_ref().and_then(WeakShared::upgrade);
        let making = under_way.unwrap_or_else(|| {
            let making = make().map(|made| (Instant::now(), made));
            let making = making.boxed().shared();
            state.under_way = making.downgrade();
            making
        });
        Err(making)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    /// Something that ends once it may, and counts how often it was begun.
    struct Work {
        together: Together<u64>,
        begun: Arc<AtomicU64>,
        may_end: Arc<Semaphore>,
    }

    impl Work {
        fn new() -> Work {
            Work {
                together: Together::default(),
                begun: Arc::default(),
                may_end: Arc::new(Semaphore::new(0)),
            }
        }

        async fn get(&self, kept: Duration) -> u64 {
            let (begun, may_end) = (Arc::clone(&self.begun), Arc::clone(&self.may_end));
            let make = move || async move {
                let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                let _ = may_end.acquire().await;
                number
            };
            self.together.get(kept, make).await
        }
    }

    #[tokio::test]
    async fn all_who_ask_at_a_time_get_what_was_made_once_and_later_ones_what_is_new() {
        let work = Work::new();
        let all = join_all((0..20).map(|_| work.get(LONG)));
        let end = async { work.may_end.add_permits(1) };
        let (all, ()) = tokio::join!(all, end);
        assert_eq!(all, [1; 20]);
        assert_eq!(work.get(LONG).await, 1);
        assert_eq!(work.get(Duration::ZERO).await, 2);
    }

    #[tokio::test]
    async fn whoever_goes_away_takes_nothing_from_the_others() {
        let work = Work::new();
        let (mut first, mut second) = (Box::pin(work.get(LONG)), Box::pin(work.get(LONG)));
        assert_eq!((&mut first).now_or_never(), None);
        assert_eq!((&mut second).now_or_never(), None);
        drop(first);
        work.may_end.add_permits(1);
        assert_eq!(second.await, 1);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_begun_anew() {
        let work = Work::new();
        let mut first = Box::pin(work.get(LONG));
        assert_eq!((&mut first).now_or_never(), None);
        drop(first);
        work.may_end.add_permits(1);
        assert_eq!(work.get(LONG).await, 2);
    }
}
