//! What docs/HANDLERS.md says in its tables, for the tests of each handler.

const PAGE: &str = include_str!("../../../docs/HANDLERS.md");

/// The rows of the table whose heading begins with these cells, without the marks of code.
pub(super) fn rows(heading: &str) -> Vec<Vec<String>> {
    let mut lines = PAGE.lines().skip_while(|line| !line.starts_with(heading));
    assert!(
        lines.next().is_some(),
        "docs/HANDLERS.md has no table {heading:?}"
    );
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim_matches('|').replace('`', "");
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// The first cells of that table.
pub(super) fn keys(heading: &str) -> Vec<String> {
    rows(heading)
        .into_iter()
        .map(|mut row| row.swap_remove(0))
        .collect()
}

/// Whether the page has this sentence.
pub(super) fn says(sentence: &str) -> bool {
    PAGE.contains(sentence)
}

/// The fields that a message about an unknown one names.
pub(super) fn expected(error: &serde_json::Error) -> Vec<String> {
    let text = gridloom_shared::chain(error).to_string();
    let names = text.split('`').skip(3).step_by(2);
    names.map(str::to_owned).collect()
}
