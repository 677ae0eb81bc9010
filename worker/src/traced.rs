//! Tells of attempts, where the run's trace is told of, and says which of them. Nothing is decided by it but which place in
//! the trace a handler is told.
//!
//! Bounded, whatever the run's size: the first attempts of a run that a worker executes, then a part of its shards, chosen
//! by a hash, so that all attempts of one are told of or none; and beside those whatever went otherwise than it should.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::Nonce;
use gridloom_shared::ledger::record::{Opened, Reason};
use gridloom_shared::telemetry::spans::{Event, Side, Span, Tracer};
use gridloom_shared::tile::{Cell, TileKind};
use gridloom_shared::trace::{Part, SpanId, Traceparent};

use crate::shard::{End, TileContext};

/// So many attempts of a run are told of, whatever they are.
const FIRST: u32 = 100;
/// Of the others those of one shard in so many.
const ONE_IN: u64 = 64;
/// Most attempts of a run that are told of, whatever they are.
const MOST: u32 = 1_000;
/// Most others of it: those that failed or were stopped, tried again or taken over.
const ODD: u32 = 1_000;

/// Who tells, and as whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telling {
    pub(crate) tracer: Tracer,
    /// The worker's name.
    pub(crate) worker: Arc<str>,
}

/// A run's place in a trace, in this worker.
#[derive(Debug)]
pub(crate) struct RunTrace {
    /// What its first record names.
    given: Traceparent,
    nonce: Nonce,
    /// `None`: nobody listens, or nobody wants it.
    telling: Option<Telling>,
    told: AtomicU32,
    odd: AtomicU32,
}

/// An attempt that goes on, and is told of, or may be.
#[derive(Debug)]
pub(crate) struct Attempt {
    cell: Cell,
    place: Traceparent,
    chosen: bool,
    since: (SystemTime, Boot),
    failed: Option<(&'static str, String)>,
}

impl RunTrace {
    /// That of a run with this first record, if it has one.
    pub(crate) fn of(opened: &Opened, telling: &Telling) -> Option<RunTrace> {
        RunTrace::told(opened.traceparent?, opened.nonce, telling)
    }

    /// One that is told of, where somebody listens who wants it.
    pub(crate) fn told(given: Traceparent, nonce: Nonce, telling: &Telling) -> Option<RunTrace> {
        let told = telling.tracer.of(Some(given)).is_some();
        Some(RunTrace {
            telling: told.then(|| telling.clone()),
            ..RunTrace::untold(given, nonce)
        })
    }

    /// One that nobody tells of.
    pub(crate) fn untold(given: Traceparent, nonce: Nonce) -> RunTrace {
        RunTrace {
            given,
            nonce,
            telling: None,
            told: AtomicU32::new(0),
            odd: AtomicU32::new(0),
        }
    }

    /// An attempt of a page begins. `None` where it is surely not told of.
    pub(crate) fn begin(&self, tile: &TileContext, page: u32) -> Option<Attempt> {
        self.telling.as_ref()?;
        let cell = Cell {
            kind: tile.tile.kind,
            slice: tile.tile.slice,
            page,
        };
        let place = self.given.at(self.nonce, part(tile, cell));
        Some(Attempt {
            cell,
            place,
            chosen: self.chooses(cell),
            since: (SystemTime::now(), Boot::now()),
            failed: None,
        })
    }

    /// The place that a handler is told: under its own attempt, and no more told of than that; where nobody tells of
    /// attempts, where the run itself goes on from.
    pub(crate) fn place_of(&self, attempt: Option<&Attempt>) -> Traceparent {
        match attempt {
            Some(attempt) if attempt.chosen => attempt.place,
            Some(attempt) => attempt.place.unsampled(),
            None => self.given,
        }
    }

    /// The place that a handler is told of a page that begins later, with others of its tile: as it would be now.
    #[cfg(feature = "bridge")]
    pub(crate) fn place_ahead(&self, tile: &TileContext, page: u32) -> Traceparent {
        if self.telling.is_none() {
            return self.given;
        }
        let cell = Cell {
            kind: tile.tile.kind,
            slice: tile.tile.slice,
            page,
        };
        let place = self.given.at(self.nonce, part(tile, cell));
        if self.would_choose(cell) {
            place
        } else {
            place.unsampled()
        }
    }

    fn chooses(&self, cell: Cell) -> bool {
        let chosen = self.would_choose(cell);
        if chosen {
            self.told.fetch_add(1, Ordering::Relaxed);
        }
        chosen
    }

    fn would_choose(&self, cell: Cell) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        let first = Part::Attempt {
            cell,
            attempt: 1,
            taken: None,
        };
        told < FIRST || {
            let SpanId(hash) = self.given.span_of(self.nonce, first);
            told < MOST && u64::from_be_bytes(hash).is_multiple_of(ONE_IN)
        }
    }

    /// An attempt has ended: returned, or was `stopped`. One that failed has failed, whoever said so.
    pub(crate) fn end(&self, attempt: Attempt, tile: &TileContext, stopped: bool) {
        let Some(telling) = &self.telling else { return };
        let odd = stopped || attempt.failed.is_some() || tile.tile.attempt > 1 || tile.is_taken();
        let is_told = attempt.chosen || odd && self.odd.fetch_add(1, Ordering::Relaxed) < ODD;
        if !is_told {
            return;
        }
        let (from, since) = attempt.since;
        let (cell, run) = (attempt.cell, &tile.run);
        let outcome = match &attempt.failed {
            Some(_) => "failed",
            None if stopped => "stopped",
            None => "done",
        };
        let mut said = vec![
            ("gridloom.run", run.run.to_string().into()),
            ("gridloom.job", run.job.name.to_string().into()),
            ("gridloom.slice", cell.slice.into()),
            ("gridloom.page", cell.page.into()),
            ("gridloom.attempt", tile.tile.attempt.into()),
            ("gridloom.wave", tile.tile.wave.into()),
            ("gridloom.fence", tile.fence.0.into()),
            ("gridloom.worker", telling.worker.to_string().into()),
            ("gridloom.outcome", outcome.into()),
        ];
        if let Some((kind, _)) = &attempt.failed {
            said.push(("error.type", (*kind).into()));
        }
        let why = tile.hold.ended().map_or("told to stop", End::text);
        let error = attempt.failed.map(|(_, text)| text);
        let error = error.or_else(|| stopped.then(|| why.to_owned()));
        telling.tracer.tell(Span {
            place: attempt.place,
            parent: Some(self.given.span_of(self.nonce, Part::Run)),
            is_remote: true,
            name: match cell.kind {
                TileKind::Page => format!("shard {}", run.job.name),
                TileKind::Probe => format!("probe {}", run.job.name),
            },
            side: Side::Takes,
            from,
            to: from + Boot::now().since(since),
            said,
            events: taken_over(tile, from),
            follows: self.follows(tile, cell),
            error,
        });
    }

    /// The wave that issued it, and the attempt before it.
    fn follows(&self, tile: &TileContext, cell: Cell) -> Vec<SpanId> {
        let wave = self.given.span_of(self.nonce, Part::Wave(tile.tile.wave));
        let before = (tile.tile.attempt > 1).then(|| {
            let attempt = tile.tile.attempt - 1;
            let taken = None;
            let before = Part::Attempt {
                cell,
                attempt,
                taken,
            };
            self.given.span_of(self.nonce, before)
        });
        std::iter::once(wave).chain(before).collect()
    }
}

impl Attempt {
    /// It failed.
    pub(crate) fn fail(&mut self, kind: &'static str, text: &str) {
        self.failed = Some((kind, text.to_owned()));
    }
}

/// What a tile's attempt at a page is in its trace: another holder's is another.
fn part(tile: &TileContext, cell: Cell) -> Part {
    Part::Attempt {
        cell,
        attempt: tile.tile.attempt,
        taken: tile.is_taken().then_some(tile.fence),
    }
}

/// What is told of a takeover, if the tile was taken over.
fn taken_over(tile: &TileContext, at: SystemTime) -> Vec<Event> {
    let reason = tile.taken.map(|reason| match reason {
        Reason::Count => "count",
        Reason::Floor => "floor",
        Reason::Again => "again",
        Reason::Returned => "returned",
    });
    let event = reason.map(|reason| Event {
        name: "takeover",
        at,
        said: vec![
            ("gridloom.reason", reason.into()),
            ("gridloom.fence", tile.fence.0.into()),
        ],
    });
    event.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crew::tests::run_of;
    use crate::shard::Shard;
    use crate::{Failure, Trial};
    use gridloom_shared::id::Fence;
    use tokio::sync::mpsc::Receiver;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn trial() -> (Trial, Receiver<Span>) {
        let (tracer, spans) = Tracer::listened(0.0);
        let telling = Telling {
            tracer,
            worker: "w".into(),
        };
        let trial = Trial::new("a", "b").traceparent(GIVEN).telling(telling);
        (trial, spans)
    }

    fn taken(spans: &mut Receiver<Span>) -> Vec<Span> {
        std::iter::from_fn(|| spans.try_recv().ok()).collect()
    }

    fn says(span: &Span, name: &str) -> String {
        let said = span.said.iter().find(|(known, _)| *known == name);
        format!("{:?}", said.map(|(_, value)| value))
    }

    #[tokio::test]
    async fn first_attempts_of_a_run_are_told_of_then_a_part_of_the_shards_and_all_that_fail() {
        let (trial, mut spans) = trial();
        let places = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&places);
        let handler = move |shard: Shard| {
            seen.lock().unwrap().push(shard.traceparent().unwrap());
            let fails = shard.page().number % 100 == 99;
            async move {
                match fails {
                    true => Err(Failure::permanent("no")),
                    false => Ok(()),
                }
            }
        };
        run_of(&trial.tile(10_000), handler).await;
        let told = taken(&mut spans);
        let failed = told.iter().filter(|span| span.error.is_some()).count();
        assert_eq!(failed, 100);
        let others = told.len() - failed;
        assert!((200..=310).contains(&others), "{others}");
        assert!(says(&told[99], "error.type").contains("permanent"));
        // What handlers call is told of where they are, and not otherwise.
        let places = places.lock().unwrap();
        let sampled = places.iter().filter(|place| place.ends_with("-01"));
        assert!((others..=others + 12).contains(&sampled.count()));
        let first = told[0].place.to_string();
        assert_eq!(places[0], first);
    }

    #[tokio::test]
    async fn of_a_run_however_large_no_more_than_a_bounded_number_is_told() {
        let (trial, mut spans) = trial();
        run_of(&trial.tile(70_000), async |_: Shard| Ok(())).await;
        assert_eq!(taken(&mut spans).len(), MOST as usize);
        // Nor where all goes wrong.
        let (trial, mut spans) = self::trial();
        run_of(&trial.tile(10_000), async |_: Shard| {
            Err(Failure::permanent("no"))
        })
        .await;
        let told = taken(&mut spans).len();
        assert!(
            (ODD + FIRST..=ODD + FIRST + 310).contains(&(told as u32)),
            "{told}"
        );
    }

    #[tokio::test]
    async fn holder_that_took_over_is_told_of_apart_and_with_the_reason() {
        let fine = async |_: Shard| Ok(());
        let (trial, mut spans) = trial();
        let trial = trial.attempt(1, Fence(7));
        run_of(&trial, fine).await;
        run_of(
            &trial.clone().attempt(1, Fence(9)).taken(Reason::Count),
            fine,
        )
        .await;
        run_of(&trial.clone().attempt(2, Fence(11)), fine).await;
        drop(trial);
        let told = taken(&mut spans);
        let [first, second, third] = &told[..] else {
            panic!("{told:#?}");
        };
        assert_ne!(first.place.span, second.place.span);
        assert_eq!((first.parent, first.events.len()), (second.parent, 0));
        assert_eq!(second.events[0].name, "takeover");
        assert!(third.follows.contains(&first.place.span));
        assert!(says(third, "gridloom.worker").contains('w'));
    }

    #[tokio::test]
    async fn attempt_that_blocked_its_thread_past_its_limit_has_failed_and_one_that_lost_its_lease_was_stopped()
     {
        let (trial, mut spans) = trial();
        let late = trial.clone().timeout(std::time::Duration::from_secs(3_600));
        let engine = late.clone();
        let blocks = move |_: Shard| {
            engine.overdue();
            async { Ok(()) }
        };
        assert_eq!(run_of(&late, blocks).await, 0);
        let trial = trial.lease(std::time::Duration::from_secs(3_600));
        let thief = trial.clone();
        let stolen = move |_: Shard| {
            thief.lose_lease();
            async { Err(Failure::retry("told to stop")) }
        };
        run_of(&trial, stolen).await;
        let told = taken(&mut spans);
        let [late, stolen] = &told[..] else {
            panic!("{told:#?}");
        };
        assert!(says(late, "gridloom.outcome").contains("failed"));
        assert!(says(late, "error.type").contains("timeout"));
        assert!(says(stolen, "gridloom.outcome").contains("stopped"));
    }

    #[tokio::test]
    async fn handler_goes_on_where_the_run_does_if_nobody_tells_of_attempts() {
        let fine = async |shard: Shard| {
            assert_eq!(shard.traceparent().as_deref(), Some(GIVEN));
            Ok(())
        };
        let trial = Trial::new("a", "b").traceparent(GIVEN);
        let finished = run_of(&trial, fine).await;
        assert_eq!(finished, 1);
        let without = async |shard: Shard| {
            assert_eq!(shard.traceparent(), None);
            Ok(())
        };
        assert_eq!(run_of(&Trial::new("a", "b"), without).await, 1);
    }
}
