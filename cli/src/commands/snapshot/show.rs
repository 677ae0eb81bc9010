//! `gridloom snapshot show`: how a snapshot is read back. It asks no broker.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use gridloom_shared::chain;
use serde_json::Value;

use super::{FORMAT, VERSION, text};
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Align, Output, Table, grouped};

/// What one may be when it is unpacked: it comes from anybody, and a megabyte may become gigabytes.
const BYTES_MAX: u64 = 512 << 20;
/// And how many values it may have, about: each takes some 32 bytes of memory however short it is.
const VALUES_MAX: u64 = 20_000_000;

/// Reads no more than a document may have.
struct Bounded<R> {
    from: R,
    bytes: u64,
    values: u64,
}

impl<R: Read> Bounded<R> {
    fn new(from: R, bytes: u64, values: u64) -> Bounded<R> {
        Bounded {
            from,
            bytes,
            values,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        // Behind each value but the last of a list stands one of them.
        let values = into[..read].iter().filter(|byte| b",[{".contains(byte));
        let left = self.values.checked_sub(values.count() as u64);
        match (self.bytes.checked_sub(read as u64), left) {
            (Some(bytes), Some(values)) => {
                (self.bytes, self.values) = (bytes, values);
                Ok(read)
            }
            (None, _) | (_, None) => Err(io::Error::other(
                "unpacked it is larger than any that gridloom takes",
            )),
        }
    }
}

/// Shows what is in the file at `path`.
///
/// # Errors
/// When it is no snapshot.
pub(super) fn show(context: &Context, path: &Path) -> anyhow::Result<Verdict> {
    let refused = |why: String| Misuse::error(format!("show {}: {why}", path.display()));
    let file = File::open(path).map_err(|error| refused(chain(&error).to_string()))?;
    let unpacked = Bounded::new(GzDecoder::new(file), BYTES_MAX, VALUES_MAX);
    let read = serde_json::from_reader::<_, Value>(BufReader::new(unpacked));
    let document =
        read.map_err(|error| refused(format!("it is no snapshot of gridloom: {}", chain(&error))))?;
    if text(&document["format"]) != FORMAT {
        return Err(refused("it is no snapshot of gridloom".to_owned()));
    }
    if document["version"]
        .as_u64()
        .is_none_or(|version| version > VERSION)
    {
        return Err(refused(format!(
            "gridloom {} made it, which is newer: use that one",
            text(&document["gridloom"])
        )));
    }
    context
        .output
        .show(&document, |output| people(output, &document));
    Ok(Verdict::Fine)
}

fn people(output: &Output, document: &Value) {
    let of = |place: &str| document.pointer(place).map_or_else(|| "-".to_owned(), said);
    output.say(format!(
        "namespace {} at {}: gridloom {}, nats-server {}",
        of("/namespace"),
        of("/taken_at"),
        of("/gridloom"),
        of("/server/version")
    ));
    output.say(format!(
        "leader {} (term {}, lease renewed at {}; register: term {})",
        of("/leader/lease/name"),
        of("/leader/lease/term"),
        of("/leader/renewed_at"),
        of("/leader/register/term")
    ));
    streams(output, document);
    for (place, columns) in LISTED {
        listed(output, document, place, columns);
    }
    for (run, ledger) in document["ledgers"].as_object().into_iter().flatten() {
        let records = ledger["records"].as_array().map_or(0, Vec::len);
        output.say(format!(
            "ledger of {run}: {} records, state {}, audit {}",
            grouped(records as u64),
            said(&ledger["summary"]["state"]),
            if ledger["audit"]["ok"] == true {
                "ok"
            } else {
                "NOT ok"
            }
        ));
    }
    for part in document["unread"].as_array().into_iter().flatten() {
        output.say(format!(
            "not read: {}: {}",
            text(&part["part"]),
            text(&part["reason"])
        ));
    }
    output.note("all of it: gridloom snapshot show FILE --json");
}

/// What is listed, and which fields of it.
const LISTED: [(&str, &[&str]); 7] = [
    ("/planners", &["name", "version", "term", "trouble"]),
    (
        "/workers",
        &[
            "worker",
            "queues",
            "handlers",
            "in_flight",
            "capacity",
            "trouble",
        ],
    ),
    (
        "/queues",
        &[
            "queue",
            "pending",
            "in_flight",
            "redelivered",
            "oldest_s",
            "workers",
        ],
    ),
    ("/jobs", &["job", "revision", "next"]),
    ("/runs/newest", &["run", "state", "opened_at"]),
    ("/lost", &["run", "reason"]),
    ("/unreadable/newest", &["at", "subject", "reason"]),
];

fn streams(output: &Output, document: &Value) {
    let mut table = Table::new([
        ("stream", Align::Left),
        ("messages", Align::Right),
        ("bytes", Align::Right),
        ("limit", Align::Right),
        ("copies", Align::Right),
        ("consumers", Align::Right),
    ]);
    for (name, stream) in document["streams"].as_object().into_iter().flatten() {
        let number = |place: &str| stream.pointer(place).and_then(Value::as_u64);
        let shown = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped);
        table.row([
            name.clone(),
            shown(number("/state/messages")),
            shown(number("/state/bytes")),
            shown(number("/config/max_bytes")),
            shown(number("/config/num_replicas")),
            shown(number("/state/consumer_count")),
        ]);
    }
    output.table(&table, "no streams");
}

/// A table of what stands at `place`, if anything does.
fn listed(output: &Output, document: &Value, place: &str, columns: &[&str]) {
    let rows = document.pointer(place).and_then(Value::as_array);
    let Some(rows) = rows.filter(|rows| !rows.is_empty()) else {
        return;
    };
    output.say(format!(
        "{}:",
        place.trim_start_matches('/').replace("/newest", "")
    ));
    for row in rows {
        let cells = columns.iter().map(|column| (column, said(&row[*column])));
        let cells = cells.filter(|(_, cell)| !cell.is_empty() && cell != "-");
        let cells: Vec<String> = cells
            .map(|(column, cell)| format!("{column} {cell}"))
            .collect();
        output.say(format!("  {}", cells.join("  ")));
    }
}

/// A value in a few words.
fn said(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(said).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => fields.get("in_words").map_or_else(String::new, said),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_unpacks_to_more_than_a_snapshot_is_refused_before_it_is_in_memory() {
        let read = |text: &str, bytes, values| {
            let text = Bounded::new(text.as_bytes(), bytes, values);
            serde_json::from_reader::<_, Value>(text)
        };
        let many = format!("[{}0]", "0,".repeat(99));
        assert!(read(&many, 1_000, 100).is_ok());
        assert!(read(&many, 1_000, 99).is_err_and(|error| error.is_io()));
        assert!(read(&many, 201, 100).is_ok());
        assert!(read(&many, 200, 100).is_err_and(|error| error.is_io()));
    }
}
