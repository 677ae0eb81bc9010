//! How a field is read: what it says, what stands for a placeholder, and that it was looked at.

use std::collections::HashSet;

use super::node::{Node, plain};
use super::note::{Kind, Note};

/// What a job is told that its kind asks for.
const PROPS: &str = "props";

/// A job of another scheduler, read field by field.
pub(super) struct Reading<'f> {
    job: &'f Node,
    pub(super) notes: Vec<Note>,
    /// The fields that were looked at, plain.
    seen: Vec<String>,
    /// What stands below `props`, once it was looked at.
    props: Option<Vec<(String, String)>>,
}

impl<'f> Reading<'f> {
    /// `named` is the field that says what it is called.
    pub(super) fn of(job: &'f Node, named: &str) -> Reading<'f> {
        Reading {
            job,
            notes: Vec::new(),
            seen: vec![plain(named)],
            props: None,
        }
    }

    pub(super) fn note(&mut self, kind: Kind, field: &str, text: impl Into<String>) {
        self.notes.push(Note::of(kind, field, text));
    }

    pub(super) fn node(&mut self, field: &str) -> Option<&'f Node> {
        self.seen.push(plain(field));
        let node = self.job.get(field);
        node.filter(|node| **node != Node::Nothing)
    }

    /// A text, with what stands for placeholders of Spring (`${NAME:default}`).
    pub(super) fn text(&mut self, field: &str) -> Option<String> {
        let node = self.node(field)?;
        let Some(text) = node.text() else {
            self.note(Kind::Open, field, "is no text: what is meant?");
            return None;
        };
        let text = self.filled(field, text)?;
        (!text.trim().is_empty()).then_some(text)
    }

    /// The text with the defaults of its placeholders; `None`: one has none, and somebody has to say what is meant.
    fn filled(&mut self, field: &str, text: &str) -> Option<String> {
        let Some(filled) = with_defaults(text) else {
            let asked = format!("{text:?} has a placeholder: which value is meant?");
            self.note(Kind::Open, field, asked);
            return None;
        };
        if filled != text {
            let text = format!("{}: its default was taken: {filled:?}", text.trim());
            self.note(Kind::Changed, field, text);
        }
        Some(filled)
    }

    /// The texts below `props`, by their names, with what stands for placeholders. One without a default stays as it is written.
    pub(super) fn props(&mut self) -> Vec<(String, String)> {
        if self.props.is_none() {
            let written = self.node(PROPS).map(Node::flat).unwrap_or_default();
            let read = written.into_iter().map(|(name, text)| {
                let filled = self.filled(&format!("{PROPS}.{name}"), &text);
                (name, filled.unwrap_or(text))
            });
            self.props = Some(read.collect());
        }
        self.props.clone().unwrap_or_default()
    }

    /// `true` or `false`, in the words that Spring takes for them; false where nothing is said, as these forms have it, whatever the builder's defaults are.
    pub(super) fn flag(&mut self, field: &str) -> bool {
        match self.text(field).as_deref().map(str::trim) {
            None => false,
            Some(word) if is_one_of(word, &["true", "yes", "on", "1"]) => true,
            Some(word) if is_one_of(word, &["false", "no", "off", "0"]) => false,
            Some(other) => {
                let text = format!("{other:?} is neither true nor false: taken for false");
                self.note(Kind::Open, field, text);
                false
            }
        }
    }

    /// A text as it is written, with whatever stands in it.
    pub(super) fn exact(&mut self, field: &str) -> Option<String> {
        let text = self.node(field)?.text()?;
        (!text.trim().is_empty()).then(|| text.to_owned())
    }

    /// What [`Reading::text`] gives, of a field of which somebody else says what is to be said.
    pub(super) fn same_text(&mut self, field: &str) -> Option<String> {
        let text = with_defaults(self.node(field)?.text()?)?;
        (!text.trim().is_empty()).then_some(text)
    }

    /// Fields that were not looked at need an answer.
    pub(super) fn ask_of_the_rest(&mut self) {
        let Node::Table(entries) = self.job else {
            return;
        };
        let mut said = HashSet::new();
        for (field, node) in entries {
            if *node != Node::Nothing && !self.seen.contains(&plain(field)) {
                let text = "is not known to this import: does the job depend on it?";
                self.notes.push(Note::of(Kind::Open, field, text));
            }
            if !said.insert(plain(field)) {
                let text = "is said twice, and the later one was taken: which is meant?";
                self.notes.push(Note::of(Kind::Open, field, text));
            }
        }
    }

    /// Says of a field that is there why it is not needed.
    pub(super) fn dropped(&mut self, field: &str, usual: &[&str], why: &str) {
        if let Some(text) = self.text(field)
            && !usual.contains(&text.as_str())
        {
            self.note(Kind::Dropped, field, format!("{text}: {why}"));
        }
    }
}

/// The text with the default of each placeholder in its place; `None`: one has no default, or another one in it.
fn with_defaults(text: &str) -> Option<String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, from)) = rest.split_once("${") {
        let (inner, behind) = from.split_once('}')?;
        let (_, default) = inner.split_once(':').filter(|_| !inner.contains("${"))?;
        filled.push_str(before);
        filled.push_str(default);
        rest = behind;
    }
    Some(filled + rest)
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}
