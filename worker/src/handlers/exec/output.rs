//! What a command says: reports, which count, and its log, of which the end is kept.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gridloom_shared::ledger::outcomes::{COUNTER_NAME_MAX, COUNTERS_MAX, ROWS};
use gridloom_shared::suggest;
use serde_json::{Map, Number, Value};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::guarded::{KEPT, Tail, end};

/// The counter of what was reported and cannot be read.
const ODD_REPORTS: &str = "odd_reports";
/// Whole numbers up to here are exact when they are written as `3.0`.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// Most bytes of a report that a message repeats.
const SHOWN_MAX: usize = 200;

/// What a command has said so far.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) rows: u64,
    /// By name, in the order of first use.
    counters: Vec<(String, i64)>,
    /// How many values of reports cannot be read.
    pub(super) odd: u64,
    /// The first of them, and why.
    pub(super) fault: Option<String>,
    /// The end of standard error.
    errors: Tail,
    /// The end of standard output, reports left out.
    lines: Tail,
    /// Whether there was a report.
    reported: bool,
    /// The last line that says something, where it is none and looks like one, and why it is none.
    alike: Option<(String, &'static str)>,
}

impl Output {
    /// The end of what it said, at most `most` bytes: its errors, or where there are none its
    /// output.
    pub(super) fn last_words(&self, most: usize) -> String {
        let errors = self.errors(most);
        if errors.is_empty() {
            self.lines(most)
        } else {
            errors
        }
    }

    /// The end of standard error, at most `most` bytes.
    pub(super) fn errors(&self, most: usize) -> String {
        end(&self.errors.text(), most)
    }

    /// The end of standard output without its reports, at most `most` bytes.
    pub(super) fn lines(&self, most: usize) -> String {
        end(&self.lines.text(), most)
    }

    /// What it counted, rows left out, and how much of that cannot be read.
    pub(super) fn counters(&self) -> impl Iterator<Item = (&str, i64)> {
        let odd = (self.odd > 0 && self.has_room()).then(|| {
            let odd = i64::try_from(self.odd).unwrap_or(i64::MAX);
            (ODD_REPORTS, odd)
        });
        let own = self.counters.iter().map(|(name, n)| (name.as_str(), *n));
        own.chain(odd)
    }

    /// Takes one line of standard output, without its end.
    fn line(&mut self, line: &[u8]) {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        match serde_json::from_slice(line) {
            Ok(Value::Object(keys))
                if keys.contains_key("rows") || keys.contains_key("counters") =>
            {
                self.reported = true;
                self.report(keys);
            }
            other => {
                if !line.trim_ascii().is_empty() {
                    self.alike = (!self.reported)
                        .then(|| likeness(line, other.ok().as_ref()))
                        .flatten()
                        .map(|why| (String::from_utf8_lossy(line).trim().to_owned(), why));
                }
                self.lines.add(line);
                self.lines.add(b"\n");
            }
        }
    }

    /// All was said. A last line that looks like a report, of a command that reported nothing else, was meant as one.
    pub(super) fn end(&mut self) {
        if let Some((mut line, why)) = self.alike.take().filter(|_| !self.reported) {
            self.odd = self.odd.saturating_add(1);
            line.truncate(line.floor_char_boundary(SHOWN_MAX));
            self.fault.get_or_insert_with(|| format!("{line}: {why}"));
        }
    }

    fn report(&mut self, mut keys: Map<String, Value>) {
        if let Some(rows) = keys.remove("rows") {
            self.take(ROWS, &rows);
        }
        match keys.remove("counters") {
            None | Some(Value::Null) => {}
            Some(Value::Object(counters)) => {
                counters.iter().for_each(|(name, n)| self.take(name, n));
            }
            Some(other) => self.complain(
                "counters",
                &other,
                "must be an object of names and whole numbers",
            ),
        }
    }

    /// Counts one value, or complains: the command has done its work, whatever it says of it.
    fn take(&mut self, name: &str, value: &Value) {
        let counted = match value {
            Value::Number(number) => whole(number)
                .ok_or("must be a whole number of 64 bits")
                .and_then(|n| self.count(name, n)),
            _ => Err("must be a whole number"),
        };
        if let Err(why) = counted {
            self.complain(name, value, why);
        }
    }

    fn count(&mut self, name: &str, n: i64) -> Result<(), &'static str> {
        const OVER: &str = "goes beyond 64 bits: count in a larger unit";
        if name == ROWS {
            let rows = u64::try_from(n).map_err(|_| "must be no less than 0")?;
            let sum = self
                .rows
                .checked_add(rows)
                .filter(|sum| *sum <= i64::MAX as u64);
            self.rows = sum.ok_or(OVER)?;
            return Ok(());
        }
        let room = self.has_room();
        match self.counters.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum = sum.checked_add(n).ok_or(OVER)?,
            None if name.is_empty() || name.len() > COUNTER_NAME_MAX => {
                return Err("has a name that is empty or longer than 48 bytes");
            }
            None if !room => {
                return Err(
                    "is one more than the 15 counters that a shard may have beside its rows",
                );
            }
            None => self.counters.push((name.to_owned(), n)),
        }
        Ok(())
    }

    /// Whether there may be one more; rows are one of them.
    fn has_room(&self) -> bool {
        self.counters.len() + 1 < COUNTERS_MAX
    }

    fn complain(&mut self, name: &str, value: &Value, why: &str) {
        self.odd = self.odd.saturating_add(1);
        self.fault.get_or_insert_with(|| {
            let mut shown = value.to_string();
            shown.truncate(shown.floor_char_boundary(SHOWN_MAX));
            let name = &name[..name.floor_char_boundary(SHOWN_MAX)];
            format!("{name:?}: {shown}: {why}")
        });
    }
}

/// Why a line that is no report looks like one; `None` where it does not. Logs are written as JSON, too.
fn likeness(line: &[u8], value: Option<&Value>) -> Option<&'static str> {
    let line = line.trim_ascii();
    match value {
        Some(Value::Object(keys)) => {
            let slip = |key: &String| suggest::slip(key, ["rows", "counters"]).is_some();
            let numbers = !keys.is_empty() && keys.values().all(Value::is_number);
            (numbers || keys.keys().any(slip)).then_some(
                "has neither \"rows\" nor \"counters\": {\"rows\": 10, \"counters\": {\"bytes\": 3}}",
            )
        }
        None if line.starts_with(b"{") && line.ends_with(b"}") => Some(
            "is no JSON, in which names stand in double quotes (json.dumps in Python): {\"rows\": 10}",
        ),
        _ => None,
    }
}

/// A number without a fraction, also if it is written with one.
fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let number = number.as_f64()?;
        (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i64)
    })
}

/// Reads standard output to its end.
pub(super) async fn read_reports(from: Option<impl AsyncRead + Unpin>, output: &Mutex<Output>) {
    let Some(mut from) = from else { return };
    let mut chunk = vec![0; 8 * 1024];
    let mut line: Vec<u8> = Vec::new();
    // What is longer than a report may be is log; its parts are kept as they come.
    let mut too_long = false;
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        let mut output = lock(output);
        let mut rest = &chunk[..read];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            if std::mem::take(&mut too_long) {
                output.lines.add(&line);
                output.lines.add(b"\n");
            } else {
                output.line(&line);
            }
            line.clear();
        }
        line.extend_from_slice(rest);
        if line.len() > KEPT {
            output.lines.add(&line);
            line.clear();
            too_long = true;
        }
    }
    if !line.is_empty() {
        let mut output = lock(output);
        if too_long {
            output.lines.add(&line);
        } else {
            output.line(&line);
        }
    }
}

/// Reads standard error to its end.
pub(super) async fn read_log(from: Option<impl AsyncRead + Unpin>, output: &Mutex<Output>) {
    let Some(mut from) = from else { return };
    let mut chunk = vec![0; 8 * 1024];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        lock(output).errors.add(&chunk[..read]);
    }
}

fn lock(output: &Mutex<Output>) -> MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(stdout: &[u8], stderr: &[u8]) -> Output {
        let output = Mutex::new(Output::default());
        tokio::join!(
            read_reports(Some(stdout), &output),
            read_log(Some(stderr), &output)
        );
        output.into_inner().unwrap()
    }

    #[tokio::test]
    async fn reports_add_up_among_other_lines() {
        let said = b"hello\n{\"rows\": 10, \"counters\": {\"bytes\": 3}}\n{\"level\": \"info\"}\n\
            {\"counters\": {\"bytes\": -1, \"files\": 2}}\n[1]\n{\"rows\": 1}";
        let output = read(said, b"").await;
        assert_eq!((output.rows, output.fault.as_deref()), (11, None));
        assert_eq!(
            output.counters().collect::<Vec<_>>(),
            [("bytes", 2), ("files", 2)]
        );
        assert_eq!(output.last_words(100), "hello\n{\"level\": \"info\"}\n[1]");
        let output = read(b"out\n{\"rows\": 1}", b"err").await;
        assert_eq!(
            (output.lines(2), output.errors(9)),
            ("ut".into(), "err".into())
        );
        assert_eq!(output.last_words(9), "err");
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_counted_and_the_rest_counts() {
        for (value, odd) in [
            (r#"{"rows": -1}"#, 1),
            (r#"{"rows": "ten"}"#, 1),
            (r#"{"rows": null}"#, 1),
            (r#"{"rows": 1e300}"#, 1),
            (r#"{"counters": {"a": 1.5}}"#, 1),
            (r#"{"counters": {"a": 18446744073709551615, "b": {}}}"#, 2),
            (r#"{"counters": {"": 1}}"#, 1),
            (r#"{"counters": 7}"#, 1),
            (r#"{"rows": 3.0, "counters": {"a": -2.0, "rows": 1}}"#, 0),
        ] {
            let output = read(format!("{{\"rows\": 5}}\n{value}").as_bytes(), b"").await;
            assert_eq!(output.odd, odd, "{value}: {:?}", output.fault);
            assert_eq!(output.fault.is_some(), odd > 0);
            assert_eq!(output.rows, if odd == 0 { 9 } else { 5 });
            let counted = output.counters().find(|(name, _)| *name == ODD_REPORTS);
            assert_eq!(counted.map(|(_, n)| n), (odd > 0).then_some(odd as i64));
        }
    }

    #[tokio::test]
    async fn last_line_that_looks_like_a_report_is_odd_where_there_is_no_other() {
        for (said, odd, words) in [
            ("{'rows': 5}", 1, "double quotes"),
            ("hello\n{rows: 5}\n\n", 1, "double quotes"),
            ("{\"row\": 5}", 1, "neither"),
            ("{\"bytes\": 5, \"files\": 2}", 1, "neither"),
            ("{\"Rows\": \"5\"}", 1, "neither"),
            ("{'rows': 5}\nbye", 0, ""),
            ("{\"level\": \"info\", \"n\": 5}", 0, ""),
            ("{}", 0, ""),
            ("{ open", 0, ""),
            ("{\"rows\": 5}\n{'rows': 6}", 0, ""),
            ("{'rows': 5}\n{\"rows\": 6}", 0, ""),
        ] {
            let mut output = read(said.as_bytes(), b"").await;
            output.end();
            assert_eq!(output.odd, odd, "{said}: {:?}", output.fault);
            assert!(output.fault.unwrap_or_default().contains(words), "{said}");
        }
    }

    #[tokio::test]
    async fn more_than_a_shard_may_report_fails_nothing() {
        let many: Vec<String> = (0..20)
            .map(|n| format!("{{\"counters\": {{\"c{n}\": 1}}}}"))
            .collect();
        let output = read(many.join("\n").as_bytes(), b"").await;
        assert_eq!(
            (output.counters().count(), output.odd),
            (COUNTERS_MAX - 1, 5)
        );
        let over = read(
            format!(
                "{{\"counters\": {{\"a\": {0}}}}}\n{{\"counters\": {{\"a\": {0}}}}}",
                i64::MAX
            )
            .as_bytes(),
            b"",
        )
        .await;
        assert_eq!(over.counters().next(), Some(("a", i64::MAX)));
        assert_eq!(over.odd, 1);
    }

    #[tokio::test]
    async fn endless_output_keeps_its_end_only() {
        let mut long = vec![b'x'; 10 * KEPT];
        long.extend_from_slice(b"\n{\"rows\": 2}\nend");
        let output = read(&long, &long).await;
        assert_eq!(output.rows, 2);
        assert!(output.lines.text().len() <= KEPT && output.errors.text().len() <= KEPT);
        assert_eq!(output.last_words(3), "end");
    }
}
