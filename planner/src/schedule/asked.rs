//! Decides what becomes of a run that people ask for with an overlap policy (`gridloom run --overlap`): it goes through the
//! same records as fires do, so that there is one order of all that waits for a job's runs to be over.
//!
//! | policy | a run is open, or about to be |
//! |--------|-------------------------------|
//! | `skip` | refused, with that run's name |
//! | `queue_one` | waits; one by hand that waited like that is refused for it |
//! | `queue_all` | waits behind those by hand that wait |
//! | `cancel_running` | as `queue_one`, and what is open is cancelled |
//!
//! Where `ASKED_KEPT_MAX` wait, one more is refused.
//! A pause holds none of it back, as it is by hand. Of a fire and a run by hand that both wait, the earlier one is next.
//! What somebody cancelled before it was opened, or whose job was deleted, is refused at once; what the job as it is now
//! does not take, when its turn comes: until then the job may be another again.
//! What was asked for stays where it stands until it was carried out or refused for good: so nobody is told twice. What comes in
//! again after that, from the same place in the submit stream and stored there at the same time, has no other answer. (After a
//! power failure under an interval of flushes places come again, with other messages.)
//!
//! Keys are removed without a trace, which a second site that follows this one does not see. So each record says up to which
//! revision all of them have their answer: below the lowest that has none, as keys are seen in the order of their revisions.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::limits::ASKED_KEPT_MAX;
use gridloom_shared::schedule::ByHand;
use gridloom_shared::schedule::record::{
    Behind, Decision, Petition, State, Unopened, Verdict, Why,
};
use gridloom_shared::submission::Stored;

use super::world::{Wish, World};
use super::{Fires, Step};

/// The state of a job that never had a schedule.
pub(super) fn blank(world: &World) -> State {
    let since = world.since();
    State {
        ended: true,
        ..State::new(None, since, since)
    }
}

/// The answer to the first wish that has none.
pub(super) fn answer(fires: &Fires, state: &State, world: &World) -> Option<Step> {
    let mut wishes = world.wishes.iter();
    let wish = wishes.find(|wish| !is_answered(state, world, wish))?;
    if let Some(why) = &wish.fault {
        return Some(refuse(state, wish, why.clone()));
    }
    let Some(run) = fires
        .busy(state, world)
        .filter(|_| wish.overlap != ByHand::Allow)
    else {
        let of = (&wish.run, wish.stored);
        return Some(open(state, of, world.now, None));
    };
    let replaced = match wish.overlap {
        ByHand::Skip => return Some(refuse(state, wish, Why::Overlap { run })),
        ByHand::QueueOne | ByHand::CancelRunning => replaced(state),
        ByHand::QueueAll | ByHand::Allow => None,
    };
    if let Some(place) = replaced {
        let run = wish.run.clone();
        return Some(give_up(state, place, Why::Newer { run }));
    }
    let waiting = waiting(state).count();
    if waiting >= ASKED_KEPT_MAX {
        let waiting = waiting as u64;
        return Some(refuse(state, wish, Why::Full { waiting }));
    }
    let cancelled = wish.overlap == ByHand::CancelRunning;
    Some(wait(state, wish, Behind { run, cancelled }, world.now))
}

/// Opens the run by hand that waited longest, where nothing is in its way any more and no fire waited longer.
pub(super) fn freed(fires: &Fires, state: &State, world: &World, halted: bool) -> Option<Step> {
    let first = waiting(state).next()?;
    let fire = state.queued.first().filter(|_| !halted);
    if fires.busy(state, world).is_some() || fire.is_some_and(|fire| fire.at <= first.since) {
        return None;
    }
    if let Some(why) = fault(world, first) {
        let place = state.asked.iter().position(|asked| asked == first)?;
        return Some(give_up(state, place, why.clone()));
    }
    let of = (&first.run, first.stored());
    let mut after = state.clone();
    after.asked.retain(|asked| asked.run != first.run);
    Some(open(&after, of, world.now, Some(first.behind.clone())))
}

/// Refuses the first run by hand that waits and that nothing can help any more.
pub(super) fn dropped(state: &State, world: &World) -> Option<Step> {
    let lost = |asked: &Petition| {
        let why = fault(world, asked).filter(|why| !matches!(why, Why::Unfit { .. }));
        why.filter(|_| asked.refused.is_none()).cloned()
    };
    let mut all = state.asked.iter().enumerate();
    let (place, why) = all.find_map(|(place, asked)| Some((place, lost(asked)?)))?;
    Some(give_up(state, place, why))
}

fn fault<'a>(world: &'a World, asked: &Petition) -> Option<&'a Why> {
    world.wish(&asked.run)?.fault.as_ref()
}

/// Whether something by hand waits for what is open to be cancelled.
pub(super) fn cancels(state: &State) -> bool {
    waiting(state).any(|asked| asked.behind.cancelled)
}

fn waiting(state: &State) -> impl Iterator<Item = &Petition> {
    state.asked.iter().filter(|asked| asked.refused.is_none())
}

/// Whether a wish has its answer, or waits for it.
fn is_answered(state: &State, world: &World, wish: &Wish) -> bool {
    let run = &wish.run;
    if state.is_answered(wish.stored) {
        return true;
    }
    let mut asked = state.asked.iter().map(|asked| &asked.run);
    let mut opened = state.unopened.iter().map(|fire| &fire.run);
    asked.any(|asked| asked == run) || opened.any(|opened| opened == run) || world.runs.knows(run)
}

/// Says in `state`, which comes after `before`, up to which revision all keys have their answer.
pub(super) fn count(before: Option<&State>, state: &mut State, world: &World) {
    // One below what was counted has none: the bucket was made anew, and revisions began again.
    let is_anew = |before: &State| {
        let mut wishes = world.wishes.iter();
        wishes.any(|wish| wish.revision <= before.asked_up_to && !is_answered(before, world, wish))
    };
    if before.is_some_and(is_anew) {
        state.asked_seen = 0;
    }
    let seen = world.wishes.iter().map(|wish| wish.revision).max();
    state.asked_seen = state.asked_seen.max(seen.unwrap_or_default());
    let open = world.wishes.iter();
    let open = open.filter(|wish| !is_answered(state, world, wish));
    let lowest = open.map(|wish| wish.revision).min();
    state.asked_up_to = lowest.map_or(state.asked_seen, |lowest| lowest.saturating_sub(1));
}

/// The run by hand that waits and makes room for a newer one.
fn replaced(state: &State) -> Option<usize> {
    let gives_way = |asked: &Petition| {
        asked.refused.is_none() && matches!(asked.overlap, ByHand::QueueOne | ByHand::CancelRunning)
    };
    state.asked.iter().position(gives_way)
}

/// Remembers that what stood at a place in the submit stream has its answer.
fn answered(state: &mut State, stored: Stored) {
    // One that waited when no places were on record yet.
    if stored.0 != 0 {
        state.answer(stored);
    }
}

fn open(
    state: &State,
    (run, stored): (&RunId, Stored),
    now: UnixMs,
    after: Option<Behind>,
) -> Step {
    let (mut state, run) = (state.clone(), run.clone());
    answered(&mut state, stored);
    state.unopened.push(Unopened {
        at: now,
        run: run.clone(),
    });
    let answer = Verdict::Opened { after };
    (Decision::Asked { run, answer }, state)
}

fn wait(state: &State, wish: &Wish, behind: Behind, now: UnixMs) -> Step {
    let mut state = state.clone();
    state.asked.push(Petition {
        run: wish.run.clone(),
        sequence: wish.stored.0,
        stored_at: wish.stored.1,
        overlap: wish.overlap,
        since: now,
        behind: behind.clone(),
        refused: None,
    });
    let (run, answer) = (wish.run.clone(), Verdict::Queued { behind });
    (Decision::Asked { run, answer }, state)
}

fn refuse(state: &State, wish: &Wish, why: Why) -> Step {
    let mut state = state.clone();
    answered(&mut state, wish.stored);
    state.asked.push(Petition {
        run: wish.run.clone(),
        sequence: wish.stored.0,
        stored_at: wish.stored.1,
        overlap: wish.overlap,
        since: UnixMs::default(),
        behind: Behind {
            run: wish.run.clone(),
            cancelled: false,
        },
        refused: Some(why.clone()),
    });
    let (run, answer) = (wish.run.clone(), Verdict::Refused { why });
    (Decision::Asked { run, answer }, state)
}

/// Refuses one that waits.
fn give_up(state: &State, place: usize, why: Why) -> Step {
    let mut state = state.clone();
    let asked = &mut state.asked[place];
    asked.refused = Some(why.clone());
    let (run, stored) = (asked.run.clone(), asked.stored());
    answered(&mut state, stored);
    let answer = Verdict::Refused { why };
    (Decision::Asked { run, answer }, state)
}
