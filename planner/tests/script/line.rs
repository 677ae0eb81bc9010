//! One line of a script: words, some of them in quotes. Whoever reads it takes words away; what is
//! left over at the end was a mistake.

use std::time::Duration;

use gridloom_shared::job::parse::parse_duration;

use super::Told;

pub(super) struct Line {
    words: Vec<String>,
}

impl Line {
    pub(super) fn parse(text: &str) -> Told<Line> {
        let mut words = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (word, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or("a quote has no end")?,
                None => rest.split_once(' ').unwrap_or((rest, "")),
            };
            words.push(word.to_owned());
            rest = after.trim_start();
        }
        Ok(Line { words })
    }

    /// The next word.
    pub(super) fn word(&mut self, what: &str) -> Told<String> {
        if self.words.is_empty() {
            return Err(format!("{what} is missing"));
        }
        Ok(self.words.remove(0))
    }

    /// The next word, where there is one.
    pub(super) fn maybe(&mut self) -> Option<String> {
        (!self.words.is_empty()).then(|| self.words.remove(0))
    }

    /// Whether `word` is among the words.
    pub(super) fn flag(&mut self, word: &str) -> bool {
        let at = self.words.iter().position(|other| other == word);
        at.is_some_and(|at| {
            self.words.remove(at);
            true
        })
    }

    /// The word behind `key`.
    pub(super) fn option(&mut self, key: &str) -> Told<Option<String>> {
        let Some(at) = self.words.iter().position(|word| word == key) else {
            return Ok(None);
        };
        self.words.remove(at);
        if at < self.words.len() {
            Ok(Some(self.words.remove(at)))
        } else {
            Err(format!("{key} of what?"))
        }
    }

    pub(super) fn number_option(&mut self, key: &str) -> Told<Option<u64>> {
        let word = self.option(key)?;
        word.map(|word| number(&word)).transpose()
    }

    pub(super) fn duration_option(&mut self, key: &str) -> Told<Option<Duration>> {
        let word = self.option(key)?;
        word.map(|word| duration(&word)).transpose()
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Told<()> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(format!("{word:?} means nothing here")),
        }
    }
}

pub(super) fn number(word: &str) -> Told<u64> {
    let plain = word.replace('_', "");
    plain.parse().map_err(|_| format!("{word:?} is no number"))
}

pub(super) fn duration(word: &str) -> Told<Duration> {
    let ms = parse_duration(word).map_err(|error| format!("{word:?}: {error}"))?;
    Ok(Duration::from_millis(ms))
}

/// Cells of a run: `0/3..5,1/0` are pages 3 and 4 of slice 0 and page 0 of slice 1; `2` is all of slice 2.
pub(super) fn cells(text: &str) -> Told<Vec<(u32, Option<std::ops::Range<u32>>)>> {
    let small = |word: &str| {
        let number = number(word)?;
        u32::try_from(number).map_err(|error| error.to_string())
    };
    let parts = text.split(',').map(|part| {
        let Some((slice, pages)) = part.split_once('/') else {
            return Ok((small(part)?, None));
        };
        let pages = match pages.split_once("..") {
            Some((from, to)) => small(from)?..small(to)?,
            None => small(pages)?..small(pages)? + 1,
        };
        Ok((small(slice)?, Some(pages)))
    });
    parts.collect()
}
