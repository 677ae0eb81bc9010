//! Java's properties, as `java.util.Properties` reads them. A crate that does would bring seven others along for these lines.

use super::{Node, dotted};

/// Whether a text that has no ending is rather this than YAML.
pub(super) fn is_likely(text: &str) -> bool {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    lines.next().is_some_and(|line| {
        let name = line.split(['=', ':', ' ']).next().unwrap_or_default();
        name.contains('.') && line[name.len()..].trim_start().starts_with('=')
    })
}

/// Tables in tables, by the dots of their names; `[0]` is a place in a list, `[a.b]` one name. What is said twice stays so.
pub(super) fn read(text: &str) -> Result<Node, String> {
    let entries = logical(text).into_iter().map(|line| {
        let (name, value) = entry(&line)?;
        Ok((name, Node::Text(value)))
    });
    dotted::tables(entries.collect::<Result<_, String>>()?)
}

/// Lines without comments, those together that a backslash joins.
fn logical(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        let line = line.trim_start();
        if !goes_on && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let joins = line.len() - line.trim_end_matches('\\').len();
        let whole = joins % 2 == 0;
        let part = if whole { line } else { &line[..line.len() - 1] };
        match lines.last_mut() {
            Some(last) if goes_on => last.push_str(part),
            _ => lines.push(part.to_owned()),
        }
        goes_on = !whole;
    }
    lines
}

/// A line's name and value, without their escapes.
fn entry(line: &str) -> Result<(String, String), String> {
    let mut end = line.len();
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if !escaped && (matches!(c, '=' | ':') || c.is_whitespace()) {
            end = at;
            break;
        }
        escaped = c == '\\' && !escaped;
    }
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    Ok((unescaped(&line[..end])?, unescaped(rest)?))
}

fn unescaped(text: &str) -> Result<String, String> {
    // Pairs of UTF-16, as Java writes what is beyond 16 bits.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0; 2];
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let hex: String = chars.by_ref().take(4).collect();
                    let unit = u16::from_str_radix(&hex, 16)
                        .ok()
                        .filter(|_| hex.len() == 4);
                    units.push(unit.ok_or(format!(
                        "\\u{hex} is no character: four hexadecimal digits belong there"
                    ))?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => break,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut buffer));
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_as_java_reads_them() {
        let text =
            "# a comment\n! another\n\na.b = 1 \na.c:x\\\n   y\nd e=f\\u00e9\\t\nk\\=\\:\\ v=w\n";
        let all = read(text).unwrap().flat();
        let all: Vec<(&str, &str)> = all.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(
            all,
            [
                ("a.b", "1 "),
                ("a.c", "xy"),
                ("d", "e=fé\t"),
                ("k=: v", "w")
            ]
        );
        assert!(read("a=\\u12").unwrap_err().contains("four"));
    }

    #[test]
    fn brackets_hold_a_name_with_dots() {
        let all = read("elasticjob.jobs.[my.job].cron=x\na.l[0]=y").unwrap();
        let jobs = all
            .get("elasticjob")
            .and_then(|all| all.get("jobs"))
            .unwrap();
        assert_eq!(
            jobs.get("my.job").and_then(|job| job.get("cron")),
            Some(&Node::Text("x".into()))
        );
        assert_eq!(
            all.get("a").unwrap().get("l").unwrap().flat(),
            [("0".into(), "y".into())]
        );
    }

    #[test]
    fn a_text_without_an_ending_is_told_by_its_first_line() {
        assert!(is_likely("# x\nelasticjob.jobs.a.cron = 0 0 * * * ?\n"));
        assert!(!is_likely("jobName: a.b=c\n"));
        assert!(!is_likely("elasticjob:\n  jobs:\n"));
    }
}
