//! What each log line says of the shard that it is about: everything that a handler logs, whoever wrote it, and
//! whatever else is logged meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::Either;
use gridloom_shared::telemetry::about::{About, Concern, SPAN, Said};
use tracing::Instrument;
use tracing::instrument::Instrumented;

use super::{Inner, Shard, TileContext};

impl About for TileContext {
    fn fields(&self, field: &mut dyn FnMut(&'static str, Said<'_>)) {
        self.fields_of(self.page.load(Ordering::Relaxed), field);
    }
}

impl About for Inner {
    fn fields(&self, field: &mut dyn FnMut(&'static str, Said<'_>)) {
        self.tile.fields_of(self.page, field);
    }
}

impl TileContext {
    fn fields_of(&self, page: u32, field: &mut dyn FnMut(&'static str, Said<'_>)) {
        let (run, tile) = (&self.run, &self.tile);
        field("run", Said::Name(run.run.as_str()));
        field("job", Said::Name(run.job.name.as_str()));
        field("slice", Said::Number(tile.slice.into()));
        field("page", Said::Number(page.into()));
        field("attempt", Said::Number(tile.attempt.into()));
        field("worker", Said::Name(&run.worker));
    }
}

impl Shard {
    /// Lets each log line that `future` writes say which shard it is about: `run`, `job`, `slice`, `page`, `attempt`
    /// and `worker`. A handler itself always runs so; a task that it spawns is told so by this.
    ///
    /// Another logger than this project's ([`Builder::main`](crate::Builder::main) starts that) finds the fields in a
    /// span of the level `info`, with the target `gridloom::shard`.
    pub fn logged<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let what: Arc<dyn About> = Arc::<Inner>::clone(&self.0);
        let future: Pin<Box<F>> = Box::pin(future);
        Concern::of(what).with(self.spanned(|| future))
    }

    /// Lets the future stand in the span for other loggers. Nothing stands around it where nobody wants the span.
    pub(crate) fn spanned<F: Future>(
        &self,
        make: impl FnOnce() -> F,
    ) -> Either<F, Instrumented<F>> {
        let span = tracing::info_span!(
            target: SPAN,
            "shard",
            run = %self.run(),
            job = %self.job(),
            slice = self.slice(),
            page = self.0.page,
            attempt = self.attempt(),
            worker = %self.0.tile.run.worker,
        );
        if span.is_disabled() {
            return Either::Left(make());
        }
        let future = span.in_scope(make);
        Either::Right(future.instrument(span))
    }
}
