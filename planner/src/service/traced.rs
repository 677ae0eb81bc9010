//! Tells of runs and their waves, where their traces are told of. Nothing is decided by it.

use std::time::{Duration, SystemTime};

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Nonce, RunId};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{Wave, count};
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::telemetry::spans::{Side, Span, Tracer};
use gridloom_shared::trace::{Part, Traceparent};

use crate::lead::event::Outcome;

/// The first waves of a run that are told of; of the others each of that number.
const WAVES: u32 = 64;
/// A run that was meant for a time longer ago than this was not waiting since then: it was missed, or is run again.
const WAITED_MAX: Duration = Duration::from_secs(3_600);

/// Tells of a run that is over, and of the submission or the fire that it came from. All of it at its end and by whoever
/// leads then: so it is told once, whoever led before.
pub(super) fn over(tracer: &Tracer, fold: &Fold) {
    let Some(opening) = fold.opening() else {
        return;
    };
    let opened = &opening.record;
    let (Some(given), nonce) = (tracer.of(opened.traceparent), opened.nonce) else {
        return;
    };
    let (run, job) = (fold.run(), fold.run().job());
    let (from, at) = (opened.scheduled_at, opening.at);
    let waited = Duration::from_millis(at.0.saturating_sub(from.0));
    let from = if waited > WAITED_MAX { at } else { from };
    let kind = kind(run);
    let begun = given.at(nonce, Part::Begin);
    let submitter = given.submitter(nonce);
    let mut said = vec![
        ("gridloom.run", run.to_string().into()),
        ("gridloom.job", job.to_owned().into()),
        (
            "gridloom.scheduled_at",
            opened.scheduled_at.rfc3339().into(),
        ),
    ];
    if kind == "fire" {
        let late_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        said.push(("gridloom.late_ms", late_ms.into()));
    }
    tracer.tell(Span {
        place: begun,
        parent: submitter,
        is_remote: submitter.is_some(),
        name: format!("{kind} {job}"),
        side: Side::Takes,
        from: time(from),
        to: time(at),
        said,
        events: Vec::new(),
        follows: Vec::new(),
        error: None,
    });
    tell_run(tracer, fold, begun, nonce);
}

fn tell_run(tracer: &Tracer, fold: &Fold, begun: Traceparent, nonce: Nonce) {
    let (Some(opening), Some(summary)) = (fold.opening(), RunSummary::of(fold)) else {
        return;
    };
    let (shards, job) = (&summary.shards, &opening.record.job);
    // One that is lost has no end.
    let closed = fold.closing();
    let state = closed.map_or("lost", |(_, closed)| RunState::from(closed.state).as_str());
    let to = closed.map_or_else(SystemTime::now, |(at, _)| time(*at));
    let fine = matches!(summary.state, RunState::Succeeded | RunState::Cancelled);
    let error = summary.error.clone().unwrap_or_else(|| state.to_owned());
    tracer.tell(Span {
        place: begun.at(nonce, Part::Run),
        parent: Some(begun.span),
        is_remote: false,
        name: format!("run {}", job.name),
        side: Side::Neither,
        from: time(opening.at),
        to,
        said: vec![
            ("gridloom.run", summary.run.to_string().into()),
            ("gridloom.job", job.name.to_string().into()),
            ("gridloom.queue", job.queue.to_string().into()),
            ("gridloom.handler", job.handler.to_string().into()),
            ("gridloom.state", state.into()),
            ("gridloom.shards.planned", shards.planned.into()),
            ("gridloom.shards.done", shards.done.into()),
            ("gridloom.shards.dead", shards.dead.into()),
            ("gridloom.shards.retried", shards.retried.into()),
            ("gridloom.shards.taken_over", shards.taken_over.into()),
            ("gridloom.waves", fold.next_wave().into()),
        ],
        events: Vec::new(),
        follows: Vec::new(),
        error: (!fine).then_some(error),
    });
}

/// Tells of a wave that was decided at `from` and is on the queue now, or is not. `place` is where its run is told of.
pub(super) fn wave(
    tracer: &Tracer,
    (run, place, nonce): (&RunId, Option<Traceparent>, Nonce),
    wave: &Wave,
    from: SystemTime,
    outcome: &Outcome,
) {
    let Some(given) = tracer.of(place) else {
        return;
    };
    if wave.n >= WAVES && !wave.n.is_multiple_of(WAVES) {
        return;
    }
    let error = match outcome {
        Outcome::Stored => None,
        Outcome::Lost(_) => Some(
            "nobody knows whether it is on the queue: what lacks is put there again".to_owned(),
        ),
        Outcome::NotTaken => Some("the queue has no room for it".to_owned()),
        Outcome::Unsendable(why) => Some(why.clone()),
    };
    tracer.tell(Span {
        place: given.at(nonce, Part::Wave(wave.n)),
        parent: Some(given.span_of(nonce, Part::Run)),
        is_remote: false,
        name: format!("wave {}", run.job()),
        side: Side::Sends,
        from,
        to: SystemTime::now(),
        said: vec![
            ("gridloom.run", run.to_string().into()),
            ("gridloom.wave", wave.n.into()),
            ("gridloom.tiles", (count(&wave.tiles) as u64).into()),
            ("gridloom.term", wave.term.0.into()),
        ],
        events: Vec::new(),
        follows: Vec::new(),
        error,
    });
}

/// What a run came from, by its id.
fn kind(run: &RunId) -> &'static str {
    let rest = run.as_str().split_once('_').map_or("", |(_, rest)| rest);
    match rest.get(..2) {
        Some("r_" | "s_") => "submit",
        Some("b_") => "backfill",
        _ => "fire",
    }
}

fn time(at: UnixMs) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.0)
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::Term;

    use super::*;

    #[test]
    fn kind_of_a_run_is_told_by_its_id() {
        for (id, wanted) in [
            ("a_s_7", "submit"),
            ("a_r_00ff", "submit"),
            ("a_b_x_20260301T060000Z", "backfill"),
            ("a_20260301T060000Z", "fire"),
        ] {
            assert_eq!(kind(&RunId::new(id).unwrap()), wanted, "{id}");
        }
    }

    #[test]
    fn of_the_waves_of_a_long_run_the_first_are_told_of_and_then_each_64th() {
        let run = RunId::new("a_s_7").unwrap();
        let nonce = Nonce(7);
        let (tracer, mut spans) = Tracer::listened(1.0);
        let place = Traceparent::begin(&run, nonce);
        let now = SystemTime::now();
        for n in 0..1_000 {
            let decided = Wave {
                n,
                folded: 0,
                term: Term(1),
                tiles: Vec::new(),
            };
            wave(
                &tracer,
                (&run, Some(place), nonce),
                &decided,
                now,
                &Outcome::Stored,
            );
        }
        let mut told = Vec::new();
        while let Ok(span) = spans.try_recv() {
            told.push(span.place.span);
        }
        let of_wave = |n| place.span_of(nonce, Part::Wave(n));
        let wanted = (0..64).chain((64..1_000).step_by(64));
        assert_eq!(told, wanted.map(of_wave).collect::<Vec<_>>());
    }
}
