//! What lies over the picture: all keys, a question, the jobs.

use std::collections::BTreeSet;

use gridloom_shared::count::counted;
use gridloom_shared::id::JobName;
use ratatui::layout::Rect;
use ratatui::symbols::border;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Widget, Wrap};

use super::super::cells::Mark;
use super::super::order::Ask;
use super::super::state::{Choice, State};
use super::pen::Pen;

/// Jobs that are seen at once.
const JOBS_SHOWN: u16 = 8;

const KEYS: &[(&str, &str)] = &[
    ("up down, j k", "select; PgUp PgDn, Home End or g G too"),
    ("Tab, Shift-Tab", "the next pane, the one before"),
    (
        "Enter",
        "open the selected run, or the one that a line of the log is about",
    ),
    ("Esc", "back; take the filter away"),
    ("c", "cancel the run          gridloom cancel RUN"),
    ("r", "try its dead shards     gridloom retry RUN"),
    (
        "p",
        "pause or resume its job gridloom job pause JOB, job resume JOB",
    ),
    ("P", "the same of any job, chosen from a list"),
    (
        "F",
        "pause or resume all    gridloom job pause --all, job resume --all",
    ),
    ("f", "show only runs that hold a text: id, queue or state"),
    ("s", "sort by newest, dead, left, rate, job"),
    ("q, Ctrl-C", "end"),
];

const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// All keys, and what the signs of a grid mean.
pub(super) fn help(pen: &mut Pen<'_>, area: Rect) {
    let mut lines: Vec<String> = KEYS
        .iter()
        .map(|(key, what)| format!("{key:<15} {what}"))
        .collect();
    lines.push(String::new());
    let signs = Mark::ALL.map(|(mark, words)| format!("{} {words}", pen.look.sign(mark)));
    lines.push(format!("a grid: {}", signs.join(", ")));
    boxed(pen, area, "Keys", &lines);
}

/// A question before anything is done.
pub(super) fn ask(pen: &mut Pen<'_>, area: Rect, ask: &Ask) {
    let lines = [
        ask.question.clone(),
        String::new(),
        format!("The same: {}", ask.order.command()),
        "y does it, every other key does not".to_owned(),
    ];
    boxed(pen, area, "Do it?", &lines);
}

/// The jobs with a schedule, one of which is chosen.
pub(super) fn jobs(pen: &mut Pen<'_>, area: Rect, state: &State, choice: &Choice) {
    let jobs = state.jobs_like(&choice.text);
    let pauses = state.snapshot.iter().flat_map(|seen| &seen.pauses);
    let paused: BTreeSet<&JobName> = pauses.filter_map(|pause| pause.job.as_ref()).collect();
    let (from, many) = super::window(choice.at, JOBS_SHOWN + 1);
    let mut lines = vec![format!("its name holds: {}_", choice.text), String::new()];
    for (at, job) in jobs.iter().enumerate().skip(from).take(many) {
        let mark = if at == choice.at { ">" } else { " " };
        let is = if paused.contains(job) { "  paused" } else { "" };
        lines.push(format!("{mark} {job}{is}"));
    }
    if jobs.is_empty() {
        lines.push("  no job with a schedule is called so".to_owned());
    }
    let left = jobs.len().saturating_sub(from + many);
    lines.push(match left {
        0 => String::new(),
        left => format!("  and {} more", counted(left as u64, "job")),
    });
    lines.push("up and down select, Enter asks, Esc goes back".to_owned());
    boxed(pen, area, "Pause or resume which job?", &lines);
}

fn boxed(pen: &mut Pen<'_>, area: Rect, title: &str, lines: &[String]) {
    let width = area.width.saturating_sub(4).min(92);
    let inner = usize::from(width.saturating_sub(4).max(1));
    let rows: usize = lines
        .iter()
        .map(|line| super::pen::width(line).div_ceil(inner).max(1))
        .sum();
    // Words are not parted: a line may take one row more than its letters do.
    let height = (rows as u16 + 3).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let mut frame = Block::bordered().title(format!(" {title} "));
    if !pen.look.utf8 {
        frame = frame.border_set(ASCII);
    }
    let text: Vec<Line<'_>> = lines.iter().map(|line| Line::raw(line.as_str())).collect();
    Clear.render(place, pen.buffer);
    Paragraph::new(Text::from(text))
        .wrap(Wrap { trim: false })
        .block(frame.padding(ratatui::widgets::Padding::horizontal(1)))
        .render(place, pen.buffer);
}
