//! What a command says: reports, which count, and its log, of which the end is kept.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Most bytes of a command's log that are kept, and of a line that may be a report.
const KEPT: usize = 64 * 1024;

/// What a command has said so far.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) rows: u64,
    /// By name, in the order of first use.
    pub(super) counters: Vec<(String, i64)>,
    /// The first report that could not be understood.
    pub(super) fault: Option<String>,
    /// The end of standard error.
    errors: Tail,
    /// The end of standard output, reports left out.
    lines: Tail,
}

/// One report.
#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    rows: u64,
    #[serde(default)]
    counters: Map<String, Value>,
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        let fresh = &bytes[bytes.len().saturating_sub(KEPT)..];
        let over = (self.0.len() + fresh.len()).saturating_sub(KEPT);
        self.0.drain(..over);
        self.0.extend(fresh);
    }

    fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

impl Output {
    /// The end of what it said, at most `most` bytes: its errors, or where there are none its
    /// output.
    pub(super) fn last_words(&self, most: usize) -> String {
        let errors = self.errors.text();
        let text = if errors.is_empty() {
            self.lines.text()
        } else {
            errors
        };
        let from = text.ceil_char_boundary(text.len().saturating_sub(most));
        text[from..].to_owned()
    }

    /// Takes one line of standard output, without its end.
    fn line(&mut self, line: &[u8]) {
        let report = match serde_json::from_slice(line) {
            Ok(Value::Object(keys))
                if keys.contains_key("rows") || keys.contains_key("counters") =>
            {
                Value::Object(keys)
            }
            Ok(_) | Err(_) => {
                self.lines.add(line);
                return self.lines.add(b"\n");
            }
        };
        if let Err(fault) = self.report(report) {
            self.fault.get_or_insert(fault);
        }
    }

    fn report(&mut self, report: Value) -> Result<(), String> {
        let report = Report::deserialize(report).map_err(|error| error.to_string())?;
        let over = |name: &str| format!("counter {name:?} of one shard goes beyond 64 bits");
        let rows = self.rows.checked_add(report.rows);
        self.rows = rows.ok_or_else(|| over("rows"))?;
        for (name, value) in report.counters {
            let n = value
                .as_i64()
                .ok_or_else(|| format!("counter {name:?} must be a whole number, found {value}"))?;
            match self.counters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum = sum.checked_add(n).ok_or_else(|| over(&name))?,
                None => self.counters.push((name, n)),
            }
        }
        Ok(())
    }
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
            output.counters,
            [("bytes".to_owned(), 2), ("files".to_owned(), 2)]
        );
        assert_eq!(output.last_words(100), "hello\n{\"level\": \"info\"}\n[1]");
    }

    #[tokio::test]
    async fn report_that_is_none_is_a_fault() {
        for line in [
            &b"{\"rows\": -1}"[..],
            b"{\"rows\": \"x\"}",
            b"{\"counters\": {\"a\": 1.5}}",
        ] {
            assert!(read(line, b"").await.fault.is_some());
        }
    }

    #[tokio::test]
    async fn endless_output_keeps_its_end_only() {
        let mut long = vec![b'x'; 10 * KEPT];
        long.extend_from_slice(b"\n{\"rows\": 2}\nend");
        let output = read(&long, &long).await;
        assert_eq!(output.rows, 2);
        assert!(output.lines.0.len() <= KEPT && output.errors.0.len() <= KEPT);
        assert_eq!(output.last_words(3), "end");
    }
}
