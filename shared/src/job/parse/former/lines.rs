//! Moves lines of a TOML job file from `[params]` to the table of its handler, comments and all. What is not
//! written line by line is written anew.

use std::ops::Range;

use serde_json::Value;
use toml::de::DeTable;

use super::super::syntax;
use crate::job::parse::Format;

/// The file with `keys` of its parameters in the table `handler`: what is read as `renewed`.
pub(super) fn renew(text: &str, handler: &str, keys: &[&str], renewed: &Value) -> Option<String> {
    // Whatever the lines looked like: what is shown is what was meant, or it is not shown.
    let is_right = |shown: &String| syntax::read(shown, Format::Toml).as_ref() == Ok(renewed);
    moved(text, handler, keys).filter(is_right).or_else(|| {
        let table = toml::Table::try_from(renewed).ok()?;
        toml::to_string_pretty(&table).ok()
    })
}

/// A parameter and the lines that it stands on, its comments above it among them.
struct Entry<'t> {
    key: &'t str,
    lines: Range<usize>,
}

fn moved(text: &str, handler: &str, keys: &[&str]) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let params = table.get_ref().get("params")?.get_ref().as_table()?;
    let mut found: Vec<(&str, Range<usize>)> = params
        .iter()
        .filter(|(_, value)| !value.get_ref().is_table())
        .map(|(key, value)| (key.get_ref().as_ref(), key.span().start..value.span().end))
        .collect();
    found.sort_by_key(|(_, span)| span.start);
    let header = header_above(text, found.first()?.1.start)?;
    let mut from = header.end;
    let mut entries = Vec::with_capacity(found.len());
    for (key, span) in found {
        let to = line_end(text, span.end);
        entries.push(Entry {
            key,
            lines: from..to,
        });
        from = to;
    }
    let piece = |wanted: bool| -> String {
        let chosen = entries
            .iter()
            .filter(|entry| keys.contains(&entry.key) == wanted);
        chosen
            .map(|entry| text.get(entry.lines.clone()).unwrap_or_default())
            .collect()
    };
    let (settings, values) = (piece(true), piece(false));
    let (above, title) = (text.get(..header.start)?, text.get(header.clone())?);
    let below = text.get(from..)?;
    let renamed = title.replacen("[params]", &format!("[{handler}]"), 1);
    if values.is_empty() {
        return Some(format!("{above}{renamed}{settings}{below}"));
    }
    let gap = if settings.ends_with("\n\n") { "" } else { "\n" };
    Some(format!(
        "{above}[{handler}]\n{}{gap}{title}{values}{below}",
        ended(settings)
    ))
}

/// The line `[params]` that is the last one before `at`.
fn header_above(text: &str, at: usize) -> Option<Range<usize>> {
    let mut end = line_start(text, at);
    while end > 0 {
        let start = line_start(text, end - 1);
        if text.get(start..end)?.trim_start().starts_with("[params]") {
            return Some(start..end);
        }
        end = start;
    }
    None
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |end| end + 1)
}

/// Behind the end of the line in which the byte before `at` stands.
fn line_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).and_then(|rest| rest.find('\n'));
    rest.map_or(text.len(), |more| at + more + 1)
}

fn ended(mut lines: String) -> String {
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    lines
}
