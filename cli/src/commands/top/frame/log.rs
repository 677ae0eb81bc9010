//! What has happened since this began, the last first.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::snapshot::{Happening, Snapshot};
use super::super::state::{Pane, State};
use super::head::clock;
use super::pen::Pen;
use super::window;

pub(super) fn paint(pen: &mut Pen<'_>, area: Rect, state: &State, snapshot: &Snapshot) {
    let (is_here, look) = (state.pane == Pane::Log, pen.look);
    pen.title(area, "Log (UTC), the last first", is_here);
    if snapshot.events.is_empty() {
        pen.line(
            area,
            1,
            "  nothing has happened since this began",
            look.quiet(),
        );
    }
    let picked = state.picked(Pane::Log);
    let (from, many) = window(picked, area.height);
    for (at, event) in snapshot.events.iter().enumerate().skip(from).take(many) {
        let row = (at - from) as u16 + 1;
        let style = if event.grave {
            look.grave()
        } else {
            Style::new()
        };
        pen.line(area, row, &format!(" {}", words(event)), style);
        if is_here && at == picked {
            pen.pick(area, row);
        }
    }
}

fn words(event: &Happening) -> String {
    let at = clock(&event.at).unwrap_or_default();
    // Beside its colour.
    let mark = if event.grave { "!" } else { " " };
    format!("{at} {mark} {}", event.what)
}

/// The selected line in full.
pub(super) fn selected(state: &State) -> String {
    let events = state.snapshot.as_ref().map(|it| it.events.as_slice());
    let event = events.and_then(|events| events.get(state.picked(Pane::Log)));
    event.map_or_else(String::new, |event| event.what.clone())
}
