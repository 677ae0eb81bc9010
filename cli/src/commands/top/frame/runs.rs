//! Runs, each with its grid in one row, how far it is, how fast, and what it waits for.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::count::{counted, counted_as, grouped};
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::cells;
use super::super::snapshot::{Run, Snapshot};
use super::super::state::{Pane, State};
use super::pen::{Pen, id, right, width};
use super::window;
use crate::output::spoken;

/// Blocks of the grid beside a run.
pub(super) fn strip(width: u16) -> usize {
    usize::from(width / 8).clamp(12, 32)
}

/// Columns of the ids.
fn ids(width: u16) -> usize {
    usize::from(width / 4).clamp(18, 44)
}

/// Columns of the shards.
fn counts(width: u16) -> usize {
    if width < 100 { 14 } else { 21 }
}

pub(super) fn paint(pen: &mut Pen<'_>, area: Rect, state: &State, snapshot: &Snapshot) {
    let (is_here, look) = (state.pane == Pane::Runs, pen.look);
    let listed = state.listed();
    let filter = match state.filter.as_str() {
        "" => String::new(),
        text => format!(
            ", filter \"{text}\": {} of {}",
            listed.len(),
            snapshot.runs.len()
        ),
    };
    let open = grouped(snapshot.runs_open);
    let waits = match state.waiting().count() {
        0 => String::new(),
        many => format!(
            ", {} to be opened",
            counted_as(many as u64, "waits", "wait")
        ),
    };
    let sort = state.sort.word();
    let title = format!("Runs {open} open{waits}, sorted by {sort}{filter}");
    pen.title(area, &title, is_here);
    if listed.is_empty() && waits.is_empty() {
        let words = match state.filter.is_empty() {
            true => "  no runs yet; start one with gridloom run JOB",
            false => "  no run holds that text; Esc takes the filter away",
        };
        pen.line(area, 1, words, look.quiet());
    }
    let picked = state.picked(Pane::Runs);
    let (from, many) = window(picked, area.height);
    for (at, run) in listed.iter().enumerate().skip(from).take(many) {
        let row = (at - from) as u16 + 1;
        paint_run(pen, area, row, run);
        if is_here && at == picked {
            pen.pick(area, row);
        }
    }
    let shown = listed.len().saturating_sub(from).min(many);
    for (at, waits) in state.waiting().take(many - shown).enumerate() {
        let row = (shown + at) as u16 + 1;
        let ids = ids(area.width);
        let run = id(waits.run.as_str(), ids, look.cut());
        pen.at(area, (1, row), ids, &run, Style::new());
        let words = format!("{}: {}", waits.state, waits.words());
        let column = 2 + ids as u16;
        pen.at(
            area,
            (column, row),
            usize::from(area.width),
            &words,
            look.quiet(),
        );
    }
}

fn paint_run(pen: &mut Pen<'_>, area: Rect, row: u16, run: &Run) {
    let look = pen.look;
    let (ids, blocks) = (ids(area.width), strip(area.width));
    pen.at(
        area,
        (1, row),
        ids,
        &id(run.id().as_str(), ids, look.cut()),
        Style::new(),
    );
    let mut column = 2 + ids as u16;
    let made_up;
    let strip = match run.strip.as_slice() {
        [] => {
            made_up = cells::of_numbers(&run.summary, blocks);
            &made_up
        }
        strip => strip,
    };
    pen.blocks(area, (column, row), &strip[..strip.len().min(blocks)]);
    column += blocks as u16 + 1;
    let counts = counts(area.width);
    let of = if run.all_known { "" } else { "+" };
    let shards = format!(
        "{}/{}{of}",
        grouped(run.summary.shards.done),
        grouped(run.summary.grid.shards)
    );
    pen.at(
        area,
        (column, row),
        counts,
        &right(&shards, counts, look.cut()),
        Style::new(),
    );
    column += counts as u16 + 1;
    let percent = format!("{:>3}%", (run.part() * 100.0).floor() as u64);
    pen.at(area, (column, row), 4, &percent, Style::new());
    column += 6;
    let is_grave = run.dead() > 0 || !run.waits.is_empty();
    let style = if is_grave { look.grave() } else { Style::new() };
    pen.at(
        area,
        (column, row),
        usize::from(area.width),
        &standing(run),
        style,
    );
}

/// How it goes, in few words.
pub(super) fn standing(run: &Run) -> String {
    let mut parts = Vec::new();
    if run.dead() > 0 {
        parts.push(format!("{} dead", grouped(run.dead())));
    }
    match (run.is_open(), run.waits.first()) {
        (false, _) => parts.insert(0, run.summary.state.as_str().to_owned()),
        (true, _) if run.cancelling => parts.push("being cancelled".to_owned()),
        (true, Some(wait)) => parts.push(format!("waits: {wait}")),
        (true, None) => {
            let rate = run.shards_per_s.map(|rate| match rate {
                0.0 => "0/s".to_owned(),
                ..10.0 => format!("{rate:.1}/s"),
                _ => format!("{}/s", grouped(rate.round() as u64)),
            });
            parts.extend(rate);
            let left = run.eta_s.map(|eta| spoken(Duration::from_secs(eta)));
            parts.extend(left.map(|left| format!("{left} left")));
        }
    }
    parts.join(", ")
}

/// How long it took, or has taken by `now`.
pub(super) fn took(run: &Run, now: &str) -> Option<String> {
    let ms = |text: &str| UnixMs::from_rfc3339(text).map(|at| at.0);
    let from = ms(run.summary.opened_at.as_deref()?)?;
    let to = ms(run.summary.closed_at.as_deref().unwrap_or(now))?;
    Some(spoken(Duration::from_millis(to.saturating_sub(from))))
}

/// The selected run on a line of its own, its id shortened before what it waits for is cut: that stands in its row.
pub(super) fn selected(state: &State, columns: u16, cut: &str) -> String {
    let (Some(run), Some(snapshot)) = (state.run(), &state.snapshot) else {
        return String::new();
    };
    let shards = &run.summary.shards;
    let took = took(run, &snapshot.at).map_or_else(String::new, |took| format!(", {took}"));
    let flight = match (run.is_open(), shards.outstanding) {
        (true, many @ 1..) => format!(", {} in flight", counted(many, "shard")),
        _ => String::new(),
    };
    let standing = format!("{}{flight}{took}", standing(run));
    let room = usize::from(columns).saturating_sub(3 + width(&standing));
    let id = id(run.id().as_str(), room.max(ids(columns)), cut);
    format!("{}: {standing}", id.trim_end())
}
