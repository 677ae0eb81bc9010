//! Workers: how they are, how many of their slots are busy, and with what.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::snapshot::{Snapshot, Worker};
use super::super::state::{Pane, State};
use super::pen::{Pen, id, padded, right};
use super::window;

/// Columns of the bar of slots.
const BAR: usize = 8;

pub(super) fn paint(pen: &mut Pen<'_>, area: Rect, state: &State, snapshot: &Snapshot) {
    let (is_here, look) = (state.pane == Pane::Workers, pen.look);
    let name = usize::from(area.width / 4).clamp(14, 40);
    let title = format!(
        "{} {} {} slots",
        padded("Workers", name, look.cut()),
        padded("state", 9, look.cut()),
        right("busy", BAR + 3, look.cut())
    );
    pen.title(area, &title, is_here);
    if snapshot.workers.is_empty() {
        pen.line(
            area,
            1,
            "  no workers answer; start one with gridloom worker",
            look.quiet(),
        );
    }
    let picked = state.picked(Pane::Workers);
    let (from, many) = window(picked, area.height);
    for (at, worker) in snapshot.workers.iter().enumerate().skip(from).take(many) {
        let row = (at - from) as u16 + 1;
        let of = &worker.standing;
        let text = format!(
            " {} {} {} {}/{}  {}",
            id(&of.worker, name, look.cut()),
            padded(word(worker), 9, look.cut()),
            padded(&bar(of.in_flight, of.capacity), BAR + 2, look.cut()),
            of.in_flight,
            of.capacity,
            at_what(worker)
        );
        let is_grave = !of.answers || !of.trouble.is_empty() || worker.namesake;
        let style = if is_grave { look.grave() } else { Style::new() };
        pen.line(area, row, &text, style);
        if is_here && at == picked {
            pen.pick(area, row);
        }
    }
}

fn word(worker: &Worker) -> &'static str {
    match &worker.standing {
        of if !of.answers => "silent",
        of if of.stopping => "stopping",
        of if !of.trouble.is_empty() => "trouble",
        _ => "here",
    }
}

/// `[###-----]`: told without a colour, and in letters of every terminal.
fn bar(busy: u32, slots: u32) -> String {
    let full = (busy.min(slots) as usize * BAR).div_ceil(slots.max(1) as usize);
    format!("[{}{}]", "#".repeat(full), "-".repeat(BAR - full))
}

/// What it runs, or what it could.
fn at_what(worker: &Worker) -> String {
    let of = &worker.standing;
    if !of.answers || !of.trouble.is_empty() {
        return of.trouble.clone();
    }
    let holds = worker.holds.iter();
    let holds: Vec<String> = holds
        .map(|it| format!("{} ({})", it.run, it.tiles))
        .collect();
    match holds.is_empty() {
        true => format!("queue {}", of.queues.join(" ")),
        false => holds.join(", "),
    }
}

/// The selected worker in full.
pub(super) fn selected(state: &State) -> String {
    let workers = state.snapshot.as_ref().map(|it| it.workers.as_slice());
    let picked = state.picked(Pane::Workers);
    let Some(worker) = workers.and_then(|workers| workers.get(picked)) else {
        return String::new();
    };
    let of = &worker.standing;
    let name = match worker.namesake {
        true => ", another has its name: give each its own (--name)",
        false => "",
    };
    let last = match of.answers {
        true => String::new(),
        false => format!(", last heard of at {}", of.last_seen),
    };
    format!(
        "{} {}: queues {}, handlers {}{name}{last}",
        of.worker,
        of.version,
        of.queues.join(" "),
        of.handlers.join(" ")
    )
}
