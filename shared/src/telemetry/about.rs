//! What the work at hand is about: fields that each log line has which is written meanwhile.
//!
//! A span of `tracing` says the same to any logger, and is made, written down and forgotten for each shard where it is
//! wanted at all. There are tens of thousands of shards a second and hardly a line about one, so the logger of this
//! project asks here when it writes a line, and nothing is made before. How that is done: the future takes its fields along to the thread that
//! it is polled on, and takes them away again.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The target of the span that says the same to loggers of other programs. The one of this project leaves it out.
pub const SPAN: &str = "gridloom::shard";

/// Something that lines are about: a shard in the hands of its handler.
pub trait About: Send + Sync {
    /// Names each field, and what it says.
    fn fields(&self, field: &mut dyn FnMut(&'static str, Said<'_>));
}

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A name.
    Name(&'a str),
    /// A number.
    Number(u64),
}

thread_local! {
    static AT_HAND: Cell<Option<Arc<dyn About>>> = const { Cell::new(None) };
}

/// What lines are about, for as long as no thread is at it.
pub struct Concern(Option<Arc<dyn About>>);

impl Concern {
    /// Lines are to be about `what`.
    pub fn of(what: Arc<dyn About>) -> Concern {
        Concern(Some(what))
    }

    /// Lets lines that `work` writes be about it.
    pub fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let _turn = Turn::begin(self);
        work()
    }

    /// Lets lines that `future` writes be about it, wherever it is polled and where it is dropped. A task that it
    /// spawns is one of its own.
    pub fn with<F: Future + Unpin>(self, future: F) -> Concerned<F> {
        Concerned {
            concern: self,
            future: Some(future),
        }
    }
}

impl fmt::Debug for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Concern")
    }
}

/// A future that takes along what it is about.
#[derive(Debug)]
pub struct Concerned<F> {
    concern: Concern,
    /// There until it is dropped.
    future: Option<F>,
}

impl<F: Future + Unpin> Future for Concerned<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Concerned { concern, future } = &mut *self;
        match future {
            Some(future) => concern.during(|| Pin::new(future).poll(context)),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Concerned<F> {
    fn drop(&mut self) {
        let future = self.future.take();
        self.concern.during(|| drop(future));
    }
}

/// While it is there, lines are about what was given; it ends with a panic, too.
struct Turn<'a>(&'a mut Concern);

impl<'a> Turn<'a> {
    fn begin(concern: &'a mut Concern) -> Turn<'a> {
        exchange(concern);
        Turn(concern)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        exchange(self.0);
    }
}

fn exchange(concern: &mut Concern) {
    // A thread that ends runs nothing any more.
    let _ = AT_HAND.try_with(|at_hand| concern.0 = at_hand.replace(concern.0.take()));
}

/// The fields of what this thread is at.
pub fn at_hand(field: &mut dyn FnMut(&'static str, Said<'_>)) {
    let mut now = Concern(None);
    exchange(&mut now);
    if let Some(now) = &now.0 {
        now.fields(field);
    }
    exchange(&mut now);
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use super::*;

    struct Page(u64);

    impl About for Page {
        fn fields(&self, field: &mut dyn FnMut(&'static str, Said<'_>)) {
            field("page", Said::Number(self.0));
        }
    }

    fn now() -> Vec<String> {
        let mut all = Vec::new();
        at_hand(&mut |name, said| all.push(format!("{name} {said:?}")));
        all
    }

    fn is(page: u64) -> bool {
        // Read twice, it is the same.
        now() == [format!("page Number({page})")] && now().len() == 1
    }

    /// Looks whether it is about `page` wherever it is run, and where it is dropped.
    struct Looks(u64);

    impl Drop for Looks {
        fn drop(&mut self) {
            assert!(is(self.0));
        }
    }

    fn looking(page: u64, turns: u64) -> Concerned<impl Future<Output = ()> + Unpin> {
        let mut concern = Concern::of(Arc::new(Page(page)));
        let looks = concern.during(|| {
            assert!(is(page));
            Looks(page)
        });
        concern.with(Box::pin(async move {
            // All of it, to its drop.
            let looks = looks;
            for _ in 1..turns {
                assert!(is(looks.0));
                let mut waited = false;
                poll_fn(|_| match std::mem::replace(&mut waited, true) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                })
                .await;
            }
        }))
    }

    #[test]
    fn futures_of_one_thread_are_each_about_their_own_and_nothing_is_left_behind() {
        let mut futures = [looking(1, 3), looking(2, 3), looking(3, 9)];
        let mut context = Context::from_waker(Waker::noop());
        for turn in 1..=3 {
            for (n, future) in futures.iter_mut().enumerate() {
                let done = Pin::new(future).poll(&mut context).is_ready();
                assert_eq!(done, n < 2 && turn == 3);
                assert!(now().is_empty());
            }
        }
        drop(futures);
        assert!(now().is_empty());
    }

    #[test]
    fn one_within_another_is_about_its_own_until_it_has_ended() {
        let mut outer = Concern::of(Arc::new(Page(1))).with(Box::pin(async {
            looking(2, 1).await;
            assert!(is(1));
        }));
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut outer).poll(&mut context).is_ready());
    }

    #[test]
    fn panic_leaves_nothing_behind() {
        let panics = Box::pin(async { panic!("on purpose") });
        let mut future = Concern::of(Arc::new(Page(1))).with(panics);
        let mut context = Context::from_waker(Waker::noop());
        let polled = std::panic::AssertUnwindSafe(|| Pin::new(&mut future).poll(&mut context));
        assert!(std::panic::catch_unwind(polled).is_err());
        assert!(now().is_empty());
    }
}
