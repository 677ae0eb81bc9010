//! The picture: which pane has how much room, and what is painted there. Pure: the same state makes the same picture.
//!
//! | room | what it paints |
//! |------|----------------|
//! | `head` | where this is, who leads, how fast it goes; what nobody may overlook |
//! | `queues`, `runs`, `workers`, `log` | a pane each |
//! | `detail` | a run that is open |
//! | `over` | the keys, a question |
//! | `pen` | text on a row, cut where it does not fit |

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::look::Look;
use super::snapshot::{Snapshot, Wanted};
use super::state::{Over, Pane, State};
use pen::Pen;

mod detail;
mod head;
mod log;
mod over;
mod pen;
mod queues;
mod runs;
mod workers;

/// Less cannot be painted.
const LEAST: (u16, u16) = (60, 16);
/// From so many columns on queues and workers stand beside each other.
const WIDE: u16 = 120;
/// The last lines: what was said, and keys.
const FOOT: u16 = 2;

/// What has which room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    head: Rect,
    queues: Rect,
    runs: Rect,
    workers: Rect,
    log: Rect,
    /// All panes together.
    body: Rect,
    foot: Rect,
}

impl Plan {
    /// `None`: there is not enough.
    fn of(area: Rect, state: &State) -> Option<Plan> {
        if !fits(area) {
            return None;
        }
        let head = head::lines(state).min(4);
        let rows = |from: u16, many: u16| Rect {
            x: area.x,
            y: area.y + from,
            width: area.width,
            height: many,
        };
        let body = rows(head, area.height - head - FOOT);
        let many = |pane| state.lines_with_title(pane);
        let is_wide = area.width >= WIDE;
        let wanted = match is_wide {
            true => {
                let beside = many(Pane::Queues).max(many(Pane::Workers));
                [beside, many(Pane::Runs), 0, many(Pane::Log)]
            }
            false => Pane::ALL.map(many),
        };
        let [queues, runs, workers, log] = heights(body.height, wanted);
        let at = |from: u16, many: u16| Rect {
            y: body.y + from,
            ..rows(0, many)
        };
        let (mut first, mut second) = (at(0, queues), at(queues + runs, workers));
        if is_wide {
            first.width = area.width / 2;
            second = Rect {
                x: area.x + first.width + 1,
                width: area.width - first.width - 1,
                ..at(0, queues)
            };
        }
        Some(Plan {
            head: rows(0, head),
            queues: first,
            runs: at(queues, runs),
            workers: second,
            log: at(queues + runs + workers, log),
            body,
            foot: rows(area.height - FOOT, FOOT),
        })
    }
}

/// Rows of each pane: what it wants where there is room for all, else its least first, then line by line to whoever wants
/// more, runs before others. What nobody wants goes to the last.
fn heights(room: u16, wanted: [u16; 4]) -> [u16; 4] {
    const LEAST: [u16; 4] = [2, 4, 2, 2];
    const TURNS: [usize; 5] = [1, 3, 0, 1, 2];
    let mut given = [0; 4];
    let mut left = room;
    for (pane, least) in LEAST.into_iter().enumerate() {
        if wanted[pane] > 0 {
            given[pane] = least.min(left);
            left -= given[pane];
        }
    }
    while left > 0 {
        let before = left;
        for pane in TURNS {
            if left > 0 && given[pane] < wanted[pane] {
                given[pane] += 1;
                left -= 1;
            }
        }
        if left == before {
            given[3] += left;
            left = 0;
        }
    }
    given
}

/// Whether all of it has room.
pub(super) fn fits(area: Rect) -> bool {
    area.width >= LEAST.0 && area.height >= LEAST.1
}

/// That it has not.
pub(super) fn too_small(area: Rect) -> String {
    let (columns, rows) = LEAST;
    let (width, height) = (area.width, area.height);
    format!("gridloom top needs {columns} columns and {rows} lines: there are {width} and {height}")
}

/// What of the installation such a picture shows.
pub(super) fn wanted(area: Rect, state: &State) -> Wanted {
    let Some(plan) = Plan::of(area, state) else {
        return Wanted::default();
    };
    let (from, many) = window(state.picked(Pane::Runs), plan.runs.height);
    let listed = state.listed().into_iter().skip(from).take(many);
    Wanted {
        runs: match &state.detail {
            Some(_) => Vec::new(),
            None => listed.map(|run| run.id().clone()).collect(),
        },
        strip: runs::strip(area.width),
        detail: state.detail.clone(),
        grid: detail::grid(plan.body),
    }
}

/// The first line that is seen below a title, and how many are.
fn window(picked: usize, height: u16) -> (usize, usize) {
    let many = usize::from(height.saturating_sub(1));
    ((picked + 1).saturating_sub(many), many)
}

/// Paints all of it.
pub(super) fn paint(buffer: &mut Buffer, area: Rect, state: &State, look: Look) {
    let mut pen = Pen::new(buffer, look);
    let Some(plan) = Plan::of(area, state) else {
        pen.wrapped(area, &format!("{}. q ends it.", too_small(area)));
        return;
    };
    head::paint(&mut pen, plan.head, state);
    match (&state.snapshot, &state.detail) {
        (None, _) => {
            pen.line(plan.body, 0, " reading ...", look.quiet());
        }
        (Some(_), Some(run)) => detail::paint(&mut pen, plan.body, state, run),
        (Some(snapshot), None) => panes(&mut pen, &plan, state, snapshot),
    }
    foot(&mut pen, plan.foot, state);
    match &state.over {
        Some(Over::Help) => over::help(&mut pen, area),
        Some(Over::Ask(ask)) => over::ask(&mut pen, area, ask),
        Some(Over::Jobs(choice)) => over::jobs(&mut pen, area, state, choice),
        Some(Over::Filter(_)) | None => {}
    }
}

fn panes(pen: &mut Pen<'_>, plan: &Plan, state: &State, snapshot: &Snapshot) {
    queues::paint(pen, plan.queues, state, snapshot);
    runs::paint(pen, plan.runs, state, snapshot);
    workers::paint(pen, plan.workers, state, snapshot);
    log::paint(pen, plan.log, state, snapshot);
}

fn foot(pen: &mut Pen<'_>, area: Rect, state: &State) {
    let look = pen.look;
    match (&state.over, state.said()) {
        (Some(Over::Filter(_)), _) => {
            let words = format!(
                " filter: {}_  (run, job, queue or state; Enter takes it, Esc not)",
                state.filter
            );
            pen.line(area, 0, &words, look.title());
        }
        (_, Some(said)) => pen.line(area, 0, &format!(" {said}"), look.title()),
        (_, None) => {
            let selected = match state.pane {
                _ if state.detail.is_some() => String::new(),
                Pane::Queues => queues::selected(state),
                Pane::Runs => runs::selected(state, area.width, look.cut()),
                Pane::Workers => workers::selected(state),
                Pane::Log => log::selected(state),
            };
            pen.line(area, 0, &format!(" {selected}"), look.quiet());
        }
    }
    let keys = match state.detail {
        Some(_) => {
            " Esc back  c cancel  r retry dead  p pause job  j k failures  ? keys  q end".to_owned()
        }
        None => " Tab  Enter open  c cancel  r retry  p pause  F freeze  f filter  ? keys  q end"
            .to_owned(),
    };
    pen.line(area, 1, &keys, look.title());
}

#[cfg(test)]
pub(super) mod made_up;
#[cfg(test)]
mod tests;
