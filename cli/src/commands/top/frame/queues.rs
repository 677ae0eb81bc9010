//! Queues with their lanes.

use std::time::Duration;

use gridloom_shared::count::{counted, grouped};
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::snapshot::Snapshot;
use super::super::state::{Pane, QueueLine, State, queue_lines};
use super::pen::{Pen, padded, right};
use super::window;
use crate::output::spoken;

pub(super) fn paint(pen: &mut Pen<'_>, area: Rect, state: &State, snapshot: &Snapshot) {
    let (is_here, look) = (state.pane == Pane::Queues, pen.look);
    let name = usize::from(area.width).saturating_sub(52).clamp(12, 40);
    let cells = |cells: [&str; 5]| {
        let [queue, wait, held, oldest, workers] = cells;
        format!(
            "{} {} {} {}  {workers}",
            padded(queue, name, look.cut()),
            right(wait, 9, look.cut()),
            right(held, 9, look.cut()),
            right(oldest, 9, look.cut()),
        )
    };
    let title = cells(["Queues", "wait", "in flight", "oldest", "workers"]);
    pen.title(area, &title, is_here);
    let picked = state.picked(Pane::Queues);
    let (from, many) = window(picked, area.height);
    let lines = queue_lines(snapshot);
    if lines.is_empty() {
        pen.line(
            area,
            1,
            "  no queues yet; a job or a worker brings the first one",
            look.quiet(),
        );
    }
    for (at, line) in lines.iter().enumerate().skip(from).take(many) {
        let row = (at - from) as u16 + 1;
        let (text, style) = match line {
            QueueLine::Queue(queue) => {
                let oldest = queue
                    .oldest_s
                    .map(|age| spoken(Duration::from_secs_f64(age.max(0.0))));
                let workers = match queue.workers {
                    0 if queue.pending > 0 => "none: start one".to_owned(),
                    workers => grouped(workers as u64),
                };
                let text = cells([
                    queue.queue.as_str(),
                    &grouped(queue.pending),
                    &grouped(queue.in_flight),
                    oldest.as_deref().unwrap_or("-"),
                    &workers,
                ]);
                let lacks = queue.workers == 0 && queue.pending > 0;
                (text, if lacks { look.grave() } else { Style::new() })
            }
            QueueLine::Lane(lane) => {
                let lacks = lane.workers == 0 && lane.pending > 0;
                let workers = match lacks {
                    true => "none has it".to_owned(),
                    false => grouped(lane.workers as u64),
                };
                let text = cells([
                    &format!("  {}", lane.handler),
                    &grouped(lane.pending),
                    &grouped(lane.in_flight),
                    "",
                    &workers,
                ]);
                (text, if lacks { look.grave() } else { look.quiet() })
            }
        };
        pen.line(area, row, &format!(" {text}"), style);
        if is_here && at == picked {
            pen.pick(area, row);
        }
    }
}

/// The selected line in full.
pub(super) fn selected(state: &State) -> String {
    let Some(snapshot) = &state.snapshot else {
        return String::new();
    };
    match queue_lines(snapshot).get(state.picked(Pane::Queues)) {
        Some(QueueLine::Queue(queue)) => format!(
            "queue {}: {} delivered more than once",
            queue.queue,
            counted(queue.redelivered, "tile")
        ),
        Some(QueueLine::Lane(lane)) => format!(
            "tiles for handler {}: {} delivered more than once",
            lane.handler,
            counted(lane.redelivered, "tile")
        ),
        None => String::new(),
    }
}
