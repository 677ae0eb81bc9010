//! How things look: a sign for each meaning, and a colour beside it where colours are wanted. Nothing is told by a colour
//! alone. Pure.

use ratatui::style::{Color, Modifier, Style};

use super::cells::Mark;

/// How things look on this terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether colours are wanted.
    pub(super) colour: bool,
    /// Whether it shows more than ASCII.
    pub(super) utf8: bool,
}

impl Look {
    /// By the variables `NO_COLOR`, and `LC_ALL`, `LC_CTYPE` and `LANG`, the first of them that says something.
    pub(super) fn of(no_color: Option<&str>, locales: [Option<&str>; 3]) -> Look {
        let said = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
        let locale = locales.into_iter().flatten().find(|text| !text.is_empty());
        let locale = locale.map(str::to_lowercase);
        Look {
            colour: !said(no_color),
            // Whoever says nothing has a terminal of today.
            utf8: locale.is_none_or(|it| it.contains("utf-8") || it.contains("utf8")),
        }
    }

    /// The sign of a block.
    pub(super) fn sign(self, mark: Mark) -> &'static str {
        match (mark, self.utf8) {
            (Mark::Dead, _) => "X",
            (Mark::Retrying, _) => "r",
            (Mark::GivenUp, _) => "-",
            (Mark::Cancelled, _) => "/",
            (Mark::Done, true) => "█",
            (Mark::Done, false) => "#",
            (Mark::Part, true) => "▓",
            (Mark::Part, false) => "=",
            (Mark::InFlight, true) => "▒",
            (Mark::InFlight, false) => "+",
            (Mark::NotIssued, true) => "·",
            (Mark::NotIssued, false) => ".",
        }
    }

    /// How a block is painted.
    pub(super) fn of_mark(self, mark: Mark) -> Style {
        match mark {
            Mark::Dead => self.grave(),
            Mark::Retrying => self.colour(Color::Yellow),
            Mark::Done | Mark::Part => self.colour(Color::Green),
            Mark::InFlight => self.colour(Color::Cyan),
            Mark::GivenUp | Mark::Cancelled | Mark::NotIssued => self.quiet(),
        }
    }

    /// What somebody should look at.
    pub(super) fn grave(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What is there and matters less.
    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Titles.
    pub(super) fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The selected line.
    pub(super) fn picked(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What nobody may overlook.
    pub(super) fn banner(self) -> Style {
        self.colour(Color::Yellow)
            .add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// The line that parts two panes.
    pub(super) fn rule(self) -> &'static str {
        if self.utf8 { "─" } else { "-" }
    }

    /// What marks the pane where one is.
    pub(super) fn here(self) -> &'static str {
        if self.utf8 { "▶" } else { ">" }
    }

    /// What stands where a text was cut.
    pub(super) fn cut(self) -> &'static str {
        if self.utf8 { "…" } else { "~" }
    }

    fn colour(self, colour: Color) -> Style {
        match self.colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_signs_go_by_what_the_terminal_says() {
        let of = |no_color, lang| Look::of(no_color, [None, Some(""), lang]);
        let all = Look {
            colour: true,
            utf8: true,
        };
        assert_eq!(of(None, Some("de_DE.UTF-8")), all);
        assert_eq!(of(Some(""), None), all);
        assert!(!of(Some("1"), None).colour);
        assert!(!of(None, Some("C")).utf8);
        let over = Look::of(None, [Some("C.utf8"), None, Some("C")]);
        assert!(over.utf8);
    }

    #[test]
    fn every_meaning_has_a_sign_of_its_own_and_no_colour_where_none_is_wanted() {
        for utf8 in [true, false] {
            let look = Look {
                colour: false,
                utf8,
            };
            let signs = Mark::ALL.map(|(mark, _)| look.sign(mark));
            let different: std::collections::BTreeSet<_> = signs.iter().collect();
            assert_eq!(different.len(), Mark::ALL.len());
            assert!(utf8 || signs.iter().all(|sign| sign.is_ascii()));
            let styles = Mark::ALL.map(|(mark, _)| look.of_mark(mark));
            assert!(styles.iter().all(|style| style.fg.is_none()));
        }
    }
}
