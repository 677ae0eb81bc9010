//! Text on a row: cut where it does not fit, and unable to steer the terminal, wherever it comes from.

use gridloom_shared::shown::on_one_line;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::super::cells::Block;
use super::super::look::Look;

/// What paints.
pub(super) struct Pen<'b> {
    pub(super) buffer: &'b mut Buffer,
    pub(super) look: Look,
}

impl<'b> Pen<'b> {
    pub(super) fn new(buffer: &'b mut Buffer, look: Look) -> Pen<'b> {
        Pen { buffer, look }
    }

    /// A text on a row of `area`.
    pub(super) fn line(&mut self, area: Rect, row: u16, text: &str, style: Style) {
        self.at(area, (0, row), usize::from(area.width), text, style);
    }

    /// A text from a column of a row on, at most so many columns of it.
    pub(super) fn at(
        &mut self,
        area: Rect,
        (column, row): (u16, u16),
        width: usize,
        text: &str,
        style: Style,
    ) {
        if row >= area.height || column >= area.width {
            return;
        }
        let width = width.min(usize::from(area.width - column));
        let text = fit(text, width, self.look.cut());
        self.buffer
            .set_stringn(area.x + column, area.y + row, text, width, style);
    }

    /// The title of a pane, and the line behind it.
    pub(super) fn title(&mut self, area: Rect, text: &str, is_here: bool) {
        let look = self.look;
        let mark = if is_here { look.here() } else { " " };
        let text = fit(
            &format!("{mark}{text} "),
            usize::from(area.width),
            look.cut(),
        );
        let left = usize::from(area.width).saturating_sub(width(&text));
        let row = format!("{text}{}", look.rule().repeat(left));
        let style = if is_here { look.title() } else { Style::new() };
        self.line(area, 0, &row, style);
    }

    /// A row of blocks.
    pub(super) fn blocks(&mut self, area: Rect, (column, row): (u16, u16), blocks: &[Block]) {
        for (at, block) in (column..area.width).zip(blocks) {
            let mark = block.mark();
            let (sign, style) = (self.look.sign(mark), self.look.of_mark(mark));
            self.at(area, (at, row), 1, sign, style);
        }
    }

    /// Marks a row as the selected one.
    pub(super) fn pick(&mut self, area: Rect, row: u16) {
        if row < area.height {
            let row = Rect {
                y: area.y + row,
                height: 1,
                ..area
            };
            self.buffer.set_style(row, self.look.picked());
        }
    }

    /// A text over as many rows as it takes.
    pub(super) fn wrapped(&mut self, area: Rect, text: &str) {
        let text = on_one_line(text).into_owned();
        Paragraph::new(text)
            .wrap(Wrap { trim: true })
            .render(area, self.buffer);
    }
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// A text in at most so many columns.
pub(super) fn fit(text: &str, most: usize, cut: &str) -> String {
    let mut text = on_one_line(text).into_owned();
    if width(&text) <= most {
        return text;
    }
    while width(&text) + width(cut) > most && text.pop().is_some() {}
    if most >= width(cut) {
        text.push_str(cut);
    }
    text
}

/// An id in exactly so many columns: its end tells it from others, so that stays.
pub(super) fn id(text: &str, columns: usize, cut: &str) -> String {
    const END: usize = 8;
    let all: Vec<char> = text.chars().collect();
    if all.len() <= columns || columns <= END + 2 {
        return padded(text, columns, cut);
    }
    let begin: String = all[..columns - END - 1].iter().collect();
    let end: String = all[all.len() - END..].iter().collect();
    padded(&format!("{begin}{cut}{end}"), columns, cut)
}

/// A text in exactly so many columns.
pub(super) fn padded(text: &str, columns: usize, cut: &str) -> String {
    let mut text = fit(text, columns, cut);
    let left = columns.saturating_sub(width(&text));
    text.extend(std::iter::repeat_n(' ', left));
    text
}

/// As [`padded`], at its right end.
pub(super) fn right(text: &str, columns: usize, cut: &str) -> String {
    let text = fit(text, columns, cut);
    let left = columns.saturating_sub(width(&text));
    format!("{}{text}", " ".repeat(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns_and_steers_no_terminal() {
        assert_eq!(fit("abcdef", 6, "…"), "abcdef");
        assert_eq!(fit("abcdef", 5, "…"), "abcd…");
        assert_eq!(fit("表表表", 5, "…"), "表表…");
        assert_eq!(fit("a\x1b[2J\n", 20, "~"), "a\\x1b[2J\\n");
        assert_eq!(fit("abc", 0, "…"), "");
        assert_eq!(padded("ab", 4, "…"), "ab  ");
        assert_eq!(right("ab", 4, "…"), "  ab");
    }

    #[test]
    fn id_that_is_cut_keeps_its_end() {
        let text = "carrier-delays_20261129T020000Z";
        assert_eq!(id(text, 20, "…"), "carrier-del…T020000Z");
        assert_eq!(id("short", 20, "…").len(), 20);
    }
}
