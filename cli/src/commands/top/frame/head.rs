//! The first lines: which installation this is, who leads, how fast it goes; and what nobody may overlook.

use std::time::Duration;

use gridloom_shared::count::{counted, counted_as, grouped};
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::snapshot::Snapshot;
use super::super::state::State;
use super::pen::{Pen, id};
use crate::output::spoken;

/// Lines that are taken.
pub(super) fn lines(state: &State) -> u16 {
    2 + banners(state).len() as u16
}

pub(super) fn paint(pen: &mut Pen<'_>, area: Rect, state: &State) {
    let look = pen.look;
    let Some(snapshot) = &state.snapshot else {
        pen.line(area, 0, " gridloom top", look.title());
        for (row, words) in (2..).zip(banners(state)) {
            pen.line(area, row, &words, look.banner());
        }
        return;
    };
    // Its term is to be seen, however long its name is.
    let name = if area.width < 100 { 20 } else { 44 };
    pen.line(area, 0, &place(snapshot, name, look.cut()), look.title());
    let numbers = numbers(snapshot, usize::from(area.width));
    pen.line(area, 1, &numbers, Style::new());
    for (row, words) in (2..).zip(banners(state)) {
        pen.line(area, row, &words, look.banner());
    }
}

/// Which installation, on which broker, led by whom.
fn place(snapshot: &Snapshot, name: usize, cut: &str) -> String {
    let server = &snapshot.broker;
    let leads = snapshot.planners.iter().filter(|one| one.term.is_some());
    // One that does not know yet that it is deposed has the lower term.
    let leader = leads.max_by_key(|one| one.term);
    let others = snapshot.planners.len() - usize::from(leader.is_some());
    let leader = match leader {
        Some(planner) => format!(
            "{} leads, term {}",
            id(&planner.planner, name, cut).trim_end(),
            planner.term.unwrap_or_default()
        ),
        None => "nobody leads".to_owned(),
    };
    let others = match others {
        0 => String::new(),
        others => format!(", {}", counted_as(others as u64, "stands by", "stand by")),
    };
    format!(
        " {}  {} ({})  {leader}{others}",
        snapshot.namespace, server.address, server.version
    )
}

/// How fast it goes, and how much there is of everything: said as fully as there is room for.
fn numbers(snapshot: &Snapshot, width: usize) -> String {
    let rate = snapshot.shards_per_s.map(|rate| rate.round() as u64);
    let queues = &snapshot.queues;
    let wait: u64 = queues.iter().map(|queue| queue.pending).sum();
    let held: u64 = queues.iter().map(|queue| queue.in_flight).sum();
    let here = snapshot.workers.iter().filter(|one| one.standing.answers);
    let (mut workers, mut busy, mut slots) = (0, 0, 0);
    for worker in here {
        workers += 1;
        busy += u64::from(worker.standing.in_flight);
        slots += u64::from(worker.standing.capacity);
    }
    let open = snapshot.runs_open;
    let words = |number: fn(u64) -> String| {
        let rate = rate.map_or_else(|| "-".to_owned(), number);
        let (held, wait, busy, slots) = (number(held), number(wait), number(busy), number(slots));
        [
            format!(
                " {rate} shards/s  {} open  tiles: {held} in flight, {wait} wait  {}: {busy}/{slots} slots",
                counted(open, "run"),
                counted(workers, "worker")
            ),
            format!(
                " {rate}/s  {} open  tiles: {held} held, {wait} wait  {}: {busy}/{slots}",
                counted(open, "run"),
                counted(workers, "worker")
            ),
        ]
    };
    let all = [words(grouped), words(rough)].concat();
    let fitting = all.iter().find(|words| words.len() <= width);
    fitting.or(all.last()).cloned().unwrap_or_default()
}

/// A number in at most five columns: 9,999, 123k, 1.2M.
fn rough(number: u64) -> String {
    let tenths = |of: u64, unit: &str| {
        let tenths = number / (of / 10);
        match tenths {
            ..100 => format!("{}.{}{unit}", tenths / 10, tenths % 10),
            _ => format!("{}{unit}", number / of),
        }
    };
    match number {
        ..10_000 => grouped(number),
        10_000..1_000_000 => tenths(1_000, "k"),
        1_000_000..1_000_000_000 => tenths(1_000_000, "M"),
        _ => tenths(1_000_000_000, "G"),
    }
}

/// What nobody may overlook, the gravest first: two lines at most.
fn banners(state: &State) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(since) = state.away_since {
        let away = spoken(state.now.saturating_sub(since).max(Duration::from_secs(1)));
        let at = state.snapshot.as_ref().and_then(|it| clock(&it.at));
        let shown = at.map_or_else(String::new, |at| format!("; shown is {at} UTC"));
        all.push(format!(
            " DISCONNECTED  the broker is away for {away}{shown}; it is tried all the time"
        ));
    }
    let Some(snapshot) = &state.snapshot else {
        return all;
    };
    if state.away_since.is_none() && snapshot.planners.iter().all(|one| one.term.is_none()) {
        let who = match snapshot.planners.len() {
            0 => "no planner answers: nothing new is planned".to_owned(),
            _ => "no planner leads just now: another takes over within seconds".to_owned(),
        };
        all.push(format!(" NO LEADER  {who}"));
    }
    if !snapshot.unread.is_empty() {
        all.push(format!(" NOT READ  {}", snapshot.unread.join("; ")));
    }
    let frozen = snapshot.pauses.iter().find(|pause| pause.job.is_none());
    if let Some(frozen) = frozen {
        all.push(format!(" FROZEN  {}", frozen.words));
    }
    if let Some(first) = snapshot.alarms.first() {
        let more = snapshot.alarms.len() - 1;
        let more = if more == 0 {
            String::new()
        } else {
            format!(" (and {more} more)")
        };
        all.push(format!(" ALARM  {first}{more}"));
    }
    match snapshot.pauses.len() {
        0 => {}
        _ if frozen.is_some() => {}
        1 => all.push(format!(" PAUSED  {}", snapshot.pauses[0].words)),
        many => all.push(format!(
            " PAUSED  the schedules of {} (gridloom job list tells them)",
            counted(many as u64, "job")
        )),
    }
    all.truncate(2);
    all
}

/// The time of day of a moment that is written as RFC 3339.
pub(super) fn clock(at: &str) -> Option<String> {
    Some(at.get(11..19)?.to_owned())
}
