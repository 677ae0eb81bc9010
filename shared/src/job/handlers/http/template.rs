//! Texts with placeholders, `{slice}`: where they stand, and what they name. What is no placeholder stands as it is
//! written, and `{{` is a `{`.

use std::fmt;

use crate::limits::PARAM_NAME_MAX;

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `{NAME}`: what the engine gives, or the parameter of that name.
    Named(String),
    /// `{NAME[slice]}`: what of the parameter, a list or a table by numbers, is the slice's own.
    OfSlice(String),
    /// `{secret.NAME}`: a secret of the worker's configuration.
    Secret(String),
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Placeholder),
}

/// A text with placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

/// Something that can only be meant as a placeholder, and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{{{0}}} is no placeholder: write {{NAME}} for a parameter or for what the engine gives, {{NAME[slice]}} for what \
         of a parameter is the slice's own, {{secret.NAME}} for a secret, and {{{{ for a {{ that is none"
)]
pub struct TemplateError(String);

impl Template {
    /// The pieces of `text`.
    ///
    /// # Errors
    /// With the first that looks like a placeholder and is none.
    pub fn read(text: &str) -> Result<Template, TemplateError> {
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('{') {
                plain.push('{');
                rest = after;
                continue;
            }
            match after.split_once('}').filter(|(inner, _)| is_meant(inner)) {
                Some((inner, behind)) => {
                    let value = placeholder(inner);
                    let value = value.ok_or_else(|| TemplateError(shortened(inner)))?;
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Value(value));
                    rest = behind;
                }
                None => {
                    plain.push('{');
                    rest = after;
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template(pieces))
    }

    /// What it names.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Value(value) => Some(value),
        })
    }

    /// Its one placeholder, where it is nothing else.
    pub fn only(&self) -> Option<&Placeholder> {
        match self.0.as_slice() {
            [Piece::Value(value)] => Some(value),
            _ => None,
        }
    }

    /// The text in front of its first placeholder.
    pub fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// The text with what `value` says in the place of each placeholder. What it says is not looked at again.
    ///
    /// # Errors
    /// Those of `value`.
    pub fn fill<E>(
        &self,
        mut value: impl FnMut(&Placeholder) -> Result<String, E>,
    ) -> Result<String, E> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Value(name) => text.push_str(&value(name)?),
            }
        }
        Ok(text)
    }
}

/// As it is written.
impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placeholder::Named(name) => write!(f, "{{{name}}}"),
            Placeholder::OfSlice(name) => write!(f, "{{{name}[slice]}}"),
            Placeholder::Secret(name) => write!(f, "{{secret.{name}}}"),
        }
    }
}

/// A text in which nothing is a placeholder.
pub fn escaped(text: &str) -> String {
    text.replace('{', "{{")
}

/// Whether what stands between braces can only be meant as a placeholder: JSON and most other texts have none such.
fn is_meant(inner: &str) -> bool {
    inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && inner
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.[]".contains(c))
}

fn placeholder(inner: &str) -> Option<Placeholder> {
    if let Some(name) = inner.strip_prefix("secret.") {
        return is_name(name).then(|| Placeholder::Secret(name.to_owned()));
    }
    if let Some(name) = inner.strip_suffix("[slice]") {
        return is_name(name).then(|| Placeholder::OfSlice(name.to_owned()));
    }
    is_name(inner).then(|| Placeholder::Named(inner.to_owned()))
}

/// Whether a placeholder may name it so.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.len() <= PARAM_NAME_MAX
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

fn shortened(text: &str) -> String {
    text.chars().take(PARAM_NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<String, TemplateError> {
        let template = Template::read(text)?;
        template.fill(|name| Ok(format!("<{name}>")))
    }

    #[test]
    fn placeholders_are_found_and_all_else_stays_as_it_is() {
        for (text, wanted) in [
            ("/a/{slice}/{b-c}", "/a/<{slice}>/<{b-c}>"),
            ("{secret.key}{x[slice]}", "<{secret.key}><{x[slice]}>"),
            ("{\"a\": {\"b\": {slice}}}", "{\"a\": {\"b\": <{slice}>}}"),
            ("{{slice} {} { x } {1}", "{slice} {} { x } {1}"),
            ("{a b} {a", "{a b} {a"),
            ("", ""),
        ] {
            assert_eq!(told(text).as_deref(), Ok(wanted), "{text}");
        }
        for text in [
            "{params.day}",
            "{x[page]}",
            "{secret.}",
            "{a.b.c}",
            "{secret.a.b}",
        ] {
            assert!(told(text).is_err(), "{text}");
        }
    }

    #[test]
    fn value_that_looks_like_a_placeholder_is_none() {
        let template = Template::read("{a}").unwrap();
        let filled = template.fill(|_| Ok::<_, ()>("{slice}".to_owned()));
        assert_eq!(filled.unwrap(), "{slice}");
        assert_eq!(told(&escaped("{slice} {{x}")).unwrap(), "{slice} {{x}");
    }

    #[test]
    fn text_of_one_placeholder_alone_is_told_from_others() {
        let only = |text: &str| Template::read(text).unwrap().only().cloned();
        assert_eq!(only("{a}"), Some(Placeholder::Named("a".into())));
        assert_eq!(
            (only(" {a}"), only("{a}{b}"), only("a")),
            (None, None, None)
        );
        assert_eq!(
            Template::read("http://h{a}").unwrap().beginning(),
            "http://h"
        );
    }
}
