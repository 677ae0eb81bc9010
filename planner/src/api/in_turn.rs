//! Readings of something that grows: one after another, each for all who came before it began. So none of them sees less than was
//! there when it came, and however many ask at a time, there are two readings: the one under way, and the one that is next.
//! Whoever goes away takes nothing from the others, and what nobody waits for any more is not read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

/// A reading, for all who wait for it.
type Reading<E> = BoxFuture<'static, Result<(), E>>;

/// See the head of this file.
pub(super) struct InTurn<E: Clone> {
    /// Who reads has it.
    turn: Arc<tokio::sync::Mutex<()>>,
    last: Mutex<Option<Asked<E>>>,
}

/// A reading that was asked for, and whether it has begun.
struct Asked<E: Clone> {
    begun: Arc<AtomicBool>,
    reading: WeakShared<Reading<E>>,
}

impl<E: Clone> Default for InTurn<E> {
    fn default() -> Self {
        InTurn {
            turn: Arc::default(),
            last: Mutex::default(),
        }
    }
}

impl<E: Clone + Send + Sync + 'static> InTurn<E> {
    /// Waits for a reading that begins from now on: one that others wait for, or what `read` makes.
    pub(super) async fn read<F>(&self, read: impl FnOnce() -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.next(read).await
    }

    fn next<F>(&self, read: impl FnOnce() -> F) -> Shared<Reading<E>>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = last
            .as_ref()
            .filter(|asked| !asked.begun.load(Ordering::SeqCst));
        if let Some(reading) = waits.and_then(|asked| asked.reading.upgrade()) {
            return reading;
        }
        let (turn, begun) = (Arc::clone(&self.turn), Arc::new(AtomicBool::new(false)));
        let (begins, read) = (Arc::clone(&begun), read());
        let reading = async move {
            let _turn = turn.lock().await;
            begins.store(true, Ordering::SeqCst);
            read.await
        };
        let reading = reading.boxed().shared();
        *last = reading.downgrade().map(|reading| Asked { begun, reading });
        reading
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use futures_util::future::join_all;
    use futures_util::poll;
    use tokio::sync::Semaphore;

    use super::*;

    /// Something that is read, counts how often that was begun, and ends once it may.
    struct Book {
        turns: InTurn<u64>,
        begun: Arc<AtomicU64>,
        may_end: Arc<Semaphore>,
    }

    impl Book {
        fn new() -> Book {
            Book {
                turns: InTurn::default(),
                begun: Arc::default(),
                may_end: Arc::new(Semaphore::new(0)),
            }
        }

        /// The number of the reading is its error, so that it is seen who got which.
        async fn read(&self) -> u64 {
            let (begun, may_end) = (Arc::clone(&self.begun), Arc::clone(&self.may_end));
            let read = move || async move {
                let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                if let Ok(one) = may_end.acquire().await {
                    one.forget();
                }
                Err(number)
            };
            self.turns.read(read).await.unwrap_err()
        }
    }

    #[tokio::test]
    async fn all_who_come_while_one_reads_share_the_next_reading() {
        let book = Book::new();
        let mut first = Box::pin(book.read());
        assert!(poll!(&mut first).is_pending());
        let mut others = Box::pin(join_all((0..100).map(|_| book.read())));
        assert!(poll!(&mut others).is_pending());
        book.may_end.add_permits(2);
        let (first, others) = tokio::join!(first, others);
        assert_eq!((first, others), (1, vec![2; 100]));
        book.may_end.add_permits(1);
        assert_eq!(
            book.read().await,
            3,
            "what was read is not what is there now"
        );
    }

    #[tokio::test]
    async fn whoever_goes_away_takes_nothing_from_those_who_wait_for_the_same() {
        let book = Book::new();
        let mut reads = Box::pin(book.read());
        assert!(poll!(&mut reads).is_pending());
        let (mut impatient, mut patient) = (Box::pin(book.read()), Box::pin(book.read()));
        assert!(poll!(&mut impatient).is_pending() && poll!(&mut patient).is_pending());
        drop(impatient);
        book.may_end.add_permits(2);
        assert_eq!(tokio::join!(reads, patient), (1, 2));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_holds_up_nobody() {
        let book = Book::new();
        let mut reads = Box::pin(book.read());
        assert!(poll!(&mut reads).is_pending());
        let mut waits = Box::pin(book.read());
        assert!(poll!(&mut waits).is_pending());
        drop((reads, waits));
        book.may_end.add_permits(1);
        assert_eq!(book.read().await, 2);
    }
}
