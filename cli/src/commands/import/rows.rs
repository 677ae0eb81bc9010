//! How the rows of a table are read that somebody has exported: as CSV with the names of its columns, or as JSON in whatever form a
//! tool writes it.

use std::path::Path;

use csv::ReaderBuilder;
use gridloom_shared::chain;

use super::node::{self, Node, plain};

/// What separates the columns of files that are called CSV.
const SEPARATORS: &[u8] = b",;\t";
/// What stands for nothing.
const NOTHING: &[&str] = &["NULL", "\\N", "(null)", "[NULL]"];

/// The rows of a file that have one of these columns.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(path: &Path, text: &str, known: &[&str]) -> Result<Vec<Node>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '[']) {
        let mut rows = Vec::new();
        for document in node::read(path, text)? {
            collect(document, known, &mut rows);
        }
        return Ok(rows);
    }
    let head = text.lines().next().unwrap_or_default();
    let count = |separator: u8| head.bytes().filter(|byte| *byte == separator).count();
    let separator = SEPARATORS.iter().copied().max_by_key(|byte| count(*byte));
    let mut reader = ReaderBuilder::new()
        .delimiter(separator.unwrap_or(b','))
        .from_reader(text.as_bytes());
    let names = reader
        .headers()
        .map_err(|error| chain(&error).to_string())?;
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    if !names.iter().any(|name| is_known(name, known)) {
        return Err(format!(
            "its first line must be the names of the columns ({}, ...): export the table with them",
            known.join(", ")
        ));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| chain(&error).to_string())?;
        let cells = record.iter().map(|cell| match NOTHING.contains(&cell) {
            true => Node::Nothing,
            false => Node::Text(cell.to_owned()),
        });
        rows.push(Node::Table(names.iter().cloned().zip(cells).collect()));
    }
    Ok(rows)
}

fn is_known(name: &str, known: &[&str]) -> bool {
    known.iter().any(|known| plain(known) == plain(name))
}

/// Finds rows wherever a tool has put them: in a list, below `data`, below the table's name.
fn collect(node: Node, known: &[&str], rows: &mut Vec<Node>) {
    match node {
        Node::List(nodes) => nodes
            .into_iter()
            .for_each(|node| collect(node, known, rows)),
        Node::Table(entries) => {
            let is_row = entries.iter().any(|(name, _)| is_known(name, known));
            match is_row {
                true => rows.push(Node::Table(entries)),
                false => entries
                    .into_iter()
                    .for_each(|(_, node)| collect(node, known, rows)),
            }
        }
        Node::Nothing | Node::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["executor_handler", "glue_type"];

    fn cell(rows: &[Node], row: usize, name: &str) -> Option<String> {
        rows[row].get(name).and_then(Node::text).map(str::to_owned)
    }

    #[test]
    fn rows_are_found_in_every_form_in_which_tools_write_them() {
        let text = |text: &str| Some(text.to_owned());
        for (name, file) in [
            (
                "a.csv",
                "id,executor_handler,executor_param\n007,a,\"x,\ny\"\n8,b,NULL\n",
            ),
            (
                "-",
                "\u{feff}id;executor_handler;executor_param\n007;a;\"x,\ny\"\n8;b;\\N\n",
            ),
            (
                "a.tsv",
                "\"id\"\t\"executor_handler\"\t\"executor_param\"\n007\ta\t\"x,\ny\"\n8\tb\tNULL\n",
            ),
            (
                "a.json",
                r#"[{"id": "007", "executor_handler": "a", "executor_param": "x,\ny"}, {"id": 8, "executor_handler": "b", "executor_param": null}]"#,
            ),
            (
                "rows.jsonl",
                "{\"id\": \"007\", \"executor_handler\": \"a\", \"executor_param\": \"x,\\ny\"}\n{\"id\": 8, \"executor_handler\": \"b\"}\n",
            ),
            (
                "-",
                r#"{"recordsTotal": 2, "data": [{"id": "007", "executorHandler": "a", "executorParam": "x,\ny"}, {"id": 8, "executorHandler": "b"}]}"#,
            ),
            (
                "-",
                r#"[{"type": "header"}, {"type": "table", "name": "xxl_job_info", "data": [
                    {"id": "007", "executor_handler": "a", "executor_param": "x,\ny"}, {"id": 8, "executor_handler": "b"}]}]"#,
            ),
        ] {
            let rows = read(Path::new(name), file, KNOWN).unwrap();
            assert_eq!(rows.len(), 2, "{file}");
            assert_eq!(cell(&rows, 0, "id"), text("007"));
            assert_eq!(cell(&rows, 0, "executor_param"), text("x,\ny"));
            assert_eq!(cell(&rows, 1, "executor_handler"), text("b"));
            assert_eq!(cell(&rows, 1, "executor_param"), None);
        }
    }

    #[test]
    fn what_is_no_table_is_told() {
        let refused = |text: &str| read(Path::new("a.csv"), text, KNOWN).unwrap_err();
        assert!(refused("1,2,3\n").contains("names of the columns"));
        assert!(refused("").contains("names of the columns"));
        assert!(refused("id,executor_handler\n1\n").contains("1 field"));
        assert!(read(Path::new("a.json"), "{\"a\": [", KNOWN).is_err());
        assert_eq!(read(Path::new("a.json"), "{\"a\": []}", KNOWN), Ok(vec![]));
    }
}
