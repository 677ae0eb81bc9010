use std::path::Path;

use super::*;

/// The description as it stands in the repository.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
/// Set, the test writes it anew.
const REWRITE: &str = "GRIDLOOM_TEST_REWRITE";

#[test]
fn description_in_the_repository_is_that_of_the_operations() {
    let mut described = serde_json::to_string_pretty(&router::description()).unwrap();
    described.push('\n');
    let path = Path::new(KEPT);
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(path, &described).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let differs = kept.lines().zip(described.lines()).find(|(a, b)| a != b);
    assert!(
        kept == described,
        "the API is another than docs/openapi.json says: a change that is wanted is written there by \
         {REWRITE}=1 cargo test -p gridloom-planner description, and told in docs/CHANGELOG.md; the first line that \
         differs: {differs:?}"
    );
}

#[test]
fn every_operation_says_what_it_is_who_may_and_how_it_fails() {
    let described = router::description();
    let mut ids = std::collections::BTreeSet::new();
    for (method, path, role) in router::all() {
        let operation = &described["paths"][&path][method.to_lowercase()];
        let told = |key: &str| operation[key].as_str().is_some_and(|text| !text.is_empty());
        assert!(told("summary") && told("operationId"), "{method} {path}");
        assert!(
            ids.insert(operation["operationId"].to_string()),
            "{method} {path}"
        );
        assert!(
            role.parse::<access::Role>().is_ok(),
            "{method} {path}: {role}"
        );
        let fails = &operation["responses"]["default"]["content"]["application/problem+json"];
        assert!(fails.is_object(), "{method} {path}");
    }
    assert!(!ids.is_empty());
}

#[test]
fn whoever_may_do_something_by_the_table_finds_it_there() {
    let described = router::all();
    for (method, path) in access::OPERATORS {
        let is_there = |(m, p, _): &(String, String, String)| m == method && p == path;
        assert!(
            described.iter().any(is_there),
            "there is no {method} {path}"
        );
    }
}
