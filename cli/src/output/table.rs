//! How a table looks: a header, columns, no lines between. Fits the terminal where there is one;
//! elsewhere a row is one line, so that `grep` and `awk` work.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Width};
use gridloom_shared::shown::shown;

/// Longer words than this are broken where the terminal is narrow.
const WORD_MAX: usize = 16;

/// Which side of its column a value stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a header.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new<const N: usize>(columns: [(&str, Align); N]) -> Table {
        Table {
            columns: columns
                .map(|(name, align)| (name.to_uppercase(), align))
                .into(),
            rows: Vec::new(),
        }
    }

    /// An empty table of two columns without a header: a name and what it is.
    pub fn facts() -> Table {
        Table {
            columns: vec![(String::new(), Align::Left), (String::new(), Align::Left)],
            rows: Vec::new(),
        }
    }

    /// Adds a row; its values in the order of the columns.
    pub fn row<const N: usize>(&mut self, values: [String; N]) {
        self.rows.push(values.into());
    }

    /// Adds a row of a table of facts.
    pub fn fact(&mut self, name: &str, value: impl Into<String>) {
        self.rows.push(vec![name.to_owned(), value.into()]);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, without a line feed at its end; `width` in columns, `None` for any.
    pub fn render(&self, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if let Some(width) = width {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width.max(20));
        }
        if self.columns.iter().any(|(name, _)| !name.is_empty()) {
            table.set_header(self.columns.iter().map(|(name, align)| cell(name, *align)));
        }
        for row in &self.rows {
            let cells = row.iter().zip(&self.columns).map(|(value, (_, align))| {
                // A value over several lines would no longer be one row for `grep`.
                if width.is_none() {
                    cell(&value.replace('\n', " "), *align)
                } else {
                    cell(value, *align)
                }
            });
            table.add_row(cells);
        }
        for (column, (_, align)) in table.column_iter_mut().zip(&self.columns) {
            column.set_padding((0, 2));
            // What a row is called is typed again, and a number is read at a glance: neither is
            // ever cut. Sentences give way, and rather than letters under each other the terminal
            // may break the line.
            let constraint = match (column.index, align) {
                (0, _) | (_, Align::Right) => ColumnConstraint::ContentWidth,
                (_, Align::Left) => {
                    ColumnConstraint::LowerBoundary(Width::Fixed(self.word(column.index)))
                }
            };
            column.set_constraint(constraint);
        }
        table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Table {
    /// Length of the longest word of a column, with the space after it: what it must have at least.
    fn word(&self, column: usize) -> u16 {
        let texts = self.rows.iter().filter_map(|row| row.get(column));
        let words = texts
            .chain([&self.columns[column].0])
            .flat_map(|text| text.split_whitespace());
        let longest = words.map(|word| word.chars().count()).max().unwrap_or(0);
        u16::try_from(longest.min(WORD_MAX) + 2).unwrap_or(u16::MAX)
    }
}

fn cell(text: &str, align: Align) -> Cell {
    let side = match align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    };
    // Here already: columns are as wide as what is shown.
    Cell::new(shown(text)).set_alignment(side)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            ("run", Align::Left),
            ("shards", Align::Right),
            ("error", Align::Left),
        ]);
        table.row(["sum_s_1".into(), "12".into(), String::new()]);
        table.row([
            "sum_s_22".into(),
            "1,200".into(),
            "the database said that it is full".into(),
        ]);
        table
    }

    #[test]
    fn row_is_one_line_where_there_is_no_terminal() {
        let text = table().render(None);
        assert_eq!(
            text,
            "RUN       SHARDS  ERROR\nsum_s_1       12\nsum_s_22   1,200  the database said that it is full"
        );
    }

    #[test]
    fn cells_are_as_wide_as_what_is_shown() {
        let mut table = Table::new([("error", Align::Left), ("n", Align::Right)]);
        table.row(["\x1b[31mred".into(), "1".into()]);
        table.row(["plain".into(), "22".into()]);
        assert_eq!(
            table.render(None),
            "ERROR         N\n\\x1b[31mred   1\nplain        22"
        );
    }

    #[test]
    fn narrow_terminals_are_respected() {
        let text = table().render(Some(40));
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
    }
}
