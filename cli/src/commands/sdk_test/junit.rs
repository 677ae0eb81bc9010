//! The report as JUnit writes it: one suite, a case for each situation. Pure.

use std::fmt::Write as _;

use super::{PAGE, Report};

/// The whole file.
pub(super) fn text(report: &Report) -> String {
    let suite = report.sdk.as_deref().unwrap_or("gridloom sdk-test");
    let all = report.situations.len();
    let took: u64 = report.situations.iter().map(|told| told.took_ms).sum();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing into a text never fails.
    let _ = writeln!(
        text,
        "<testsuite name=\"{}\" tests=\"{all}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{}\">",
        escaped(suite),
        report.failed,
        report.skipped,
        seconds(took),
    );
    for told in &report.situations {
        let of = format!("{PAGE} {}", told.clause);
        let _ = write!(
            text,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
            escaped(&of),
            escaped(told.name),
            seconds(told.took_ms),
        );
        let note = told.note.as_deref().unwrap_or_default();
        let _ = match told.outcome {
            "failed" => {
                let expected = told.expected.as_deref().unwrap_or_default();
                let came = told.came.as_deref().unwrap_or_default();
                writeln!(
                    text,
                    ">\n    <failure message=\"{}\">{}</failure>\n    <system-out>{}</system-out>\n  </testcase>",
                    escaped(&format!("expected {expected}; came {came}")),
                    escaped(told.about),
                    escaped(&told.wrote),
                )
            }
            "skipped" => writeln!(
                text,
                ">\n    <skipped message=\"{}\"/>\n  </testcase>",
                escaped(note)
            ),
            _ => writeln!(text, "/>"),
        };
    }
    text.push_str("</testsuite>\n");
    text
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Text within a file of XML: what no such file can hold is shown as a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push('\t'),
            sign if sign.is_control() || matches!(sign, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            sign => out.push(sign),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sdk_test::Told;

    #[test]
    fn report_is_xml_whatever_the_program_wrote() {
        let told = |name, outcome| Told {
            name,
            about: "it <stops>",
            clause: "§5 stop",
            outcome,
            took_ms: 1_207,
            expected: Some("\"stopped\"".to_owned()),
            came: Some("a & b".to_owned()),
            note: Some("no IPv6".to_owned()),
            wrote: "\u{1b}[31mred\u{0}\nline".to_owned(),
        };
        let report = Report {
            sdk: Some("python 0.1.0".to_owned()),
            ok: 1,
            failed: 1,
            skipped: 1,
            situations: vec![
                told("one", "ok"),
                told("two", "failed"),
                told("three", "skipped"),
            ],
        };
        let text = text(&report);
        for wanted in [
            "<testsuite name=\"python 0.1.0\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"3.621\">",
            "<testcase classname=\"CHILD-PROTOCOL.md §5 stop\" name=\"one\" time=\"1.207\"/>",
            "<failure message=\"expected &quot;stopped&quot;; came a &amp; b\">it &lt;stops&gt;</failure>",
            "<system-out>?[31mred?&#10;line</system-out>",
            "<skipped message=\"no IPv6\"/>",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
    }
}
