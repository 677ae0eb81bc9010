//! A run that is open: its numbers, its grid, why attempts failed, what is held longest.

use gridloom_shared::count::{counted, grouped};
use gridloom_shared::id::RunId;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::cells::Mark;
use super::super::snapshot::{Detail, Run};
use super::super::state::State;
use super::head::clock;
use super::pen::Pen;
use super::runs::{standing, took};

/// Lines above the grid, with its title.
const ABOVE: u16 = 6;
/// Lines below it: the signs, failures and what is held, with their titles.
const BELOW: u16 = 9;

/// Rows and columns of the grid.
pub(super) fn grid(body: Rect) -> (usize, usize) {
    let rows = body.height.saturating_sub(ABOVE + BELOW).max(3);
    (usize::from(rows), usize::from(body.width.saturating_sub(2)))
}

pub(super) fn paint(pen: &mut Pen<'_>, area: Rect, state: &State, run: &RunId) {
    pen.title(area, &format!("Run {run}"), true);
    let Some(detail) = state.opened() else {
        let look = pen.look;
        pen.line(area, 1, "  reading its ledger ...", look.quiet());
        return;
    };
    let now = state.snapshot.as_ref().map_or("", |it| it.at.as_str());
    numbers(pen, area, detail, now);
    let mut row = cells(pen, area, detail);
    row = held(pen, area, row, detail);
    failures(pen, area, row, (detail, state.failure));
}

fn numbers(pen: &mut Pen<'_>, area: Rect, detail: &Detail, now: &str) {
    let look = pen.look;
    let run = &detail.run;
    let summary = &run.summary;
    let shards = &summary.shards;
    let took = took(run, now).unwrap_or_default();
    let opened = summary.opened_at.as_deref().and_then(clock);
    pen.line(
        area,
        1,
        &format!(
            "  job {}, queue {}, handler {}; opened {} UTC, {took}",
            summary.job,
            summary.queue,
            detail.handler,
            opened.unwrap_or_default()
        ),
        Style::new(),
    );
    let known = if run.all_known { "" } else { " known so far" };
    let numbers = [
        (shards.outstanding, "in flight"),
        (run.dead(), "dead"),
        (shards.given_up, "given up"),
        (shards.retried, "retried"),
        (shards.taken_over, "taken over"),
        (shards.late, "late"),
    ];
    let numbers = numbers.iter().filter(|(number, _)| *number > 0);
    let numbers = numbers.map(|(number, word)| format!(", {} {word}", grouped(*number)));
    let words = format!(
        "  {} of {}{known} done{}",
        grouped(shards.done),
        counted(summary.grid.shards, "shard"),
        numbers.collect::<String>()
    );
    pen.line(area, 2, &words, Style::new());
    let is_grave = run.dead() > 0 || !run.waits.is_empty();
    let style = if is_grave { look.grave() } else { look.title() };
    pen.line(area, 3, &format!("  {}", standing(run)), style);
    pen.line(area, 4, &format!("  {}", more(run)), Style::new());
}

/// Why it failed, what else it waits for, or what its handler counts.
fn more(run: &Run) -> String {
    if let Some(error) = &run.summary.error {
        return error.clone();
    }
    if run.waits.len() > 1 {
        let waits = run.waits.iter().skip(1).map(ToString::to_string);
        return format!("and: {}", waits.collect::<Vec<_>>().join("; "));
    }
    let rows = (run.summary.rows != 0).then(|| format!("rows {}", run.summary.rows));
    let counters = run.summary.counters.iter();
    let counters = counters.map(|(name, sum)| format!("{name} {sum}"));
    rows.into_iter()
        .chain(counters)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The first row that is free behind it.
fn cells(pen: &mut Pen<'_>, area: Rect, detail: &Detail) -> u16 {
    let cells = &detail.cells;
    let each = |many: u32, one: &str| match many {
        1 => format!("1 {one}"),
        many => format!("{many} {one}s"),
    };
    let title = format!(
        "Grid: slices down, pages across; a sign is {} by {}",
        each(cells.slices_a_row, "slice"),
        each(cells.pages_a_column, "page")
    );
    let mut row = ABOVE - 1;
    let part = |row: u16| Rect {
        y: area.y + row.min(area.height),
        height: area.height.saturating_sub(row),
        ..area
    };
    pen.title(part(row), &title, false);
    row += 1;
    for blocks in &cells.rows {
        pen.blocks(area, (1, row), blocks);
        row += 1;
    }
    let look = pen.look;
    let signs = Mark::ALL.map(|(mark, words)| format!("{} {words}", look.sign(mark)));
    pen.line(area, row, &format!(" {}", signs.join("  ")), look.quiet());
    row + 1
}

fn held(pen: &mut Pen<'_>, area: Rect, mut row: u16, detail: &Detail) -> u16 {
    let look = pen.look;
    for held in detail.held.iter().take(2) {
        let since = held.since.as_deref().or(held.issued_at.as_deref());
        let since = since.and_then(clock).unwrap_or_default();
        let words = format!(
            " held longest: shard {} by {} since {since} UTC, attempt {}",
            held.shard, held.worker, held.attempt
        );
        pen.line(area, row, &words, look.quiet());
        row += 1;
    }
    row
}

fn failures(pen: &mut Pen<'_>, area: Rect, row: u16, (detail, picked): (&Detail, usize)) {
    let look = pen.look;
    let of = &detail.failures;
    let part = Rect {
        y: area.y + row.min(area.height),
        height: area.height.saturating_sub(row),
        ..area
    };
    let retries = of.retries.as_ref().map_or_else(String::new, |retries| {
        let due = clock(&retries.first_due).unwrap_or_default();
        format!(
            "; {} to be tried again, from {due} UTC on",
            counted(retries.shards, "shard")
        )
    });
    let more = match of.more_errors {
        0 => String::new(),
        more => format!(" and {} more", grouped(more)),
    };
    let different = counted(of.errors.len() as u64, "different error");
    pen.title(
        part,
        &format!("Failures: {different}{more}{retries}"),
        false,
    );
    let (from, many) = super::window(picked, part.height);
    for (at, error) in of.errors.iter().enumerate().skip(from).take(many) {
        let row = (at - from) as u16 + 1;
        let about = if error.alike { "" } else { "about " };
        let words = format!(
            " {about}{}x {}  (last: shard {}, attempt {})",
            grouped(error.failures),
            error.error,
            error.last.shard,
            error.last.attempt
        );
        pen.line(part, row, &words, Style::new());
        if at == picked {
            pen.pick(part, row);
        }
    }
    if of.errors.is_empty() {
        pen.line(part, 1, "  no attempt has failed", look.quiet());
    }
}
