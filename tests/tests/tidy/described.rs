//! Whatever the description of the API names has a name of its own: of two answers of one name one would be described as
//! the other.

use std::collections::BTreeMap;

use crate::files;

/// What a description gives forms to.
const DERIVED: &str = "ToSchema";

#[test]
fn no_two_answers_are_described_under_one_name() {
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in files(&[".rs"]) {
        let is_ours = path.starts_with("planner/src/") || path.starts_with("shared/src/");
        for name in names(&text).into_iter().filter(|_| is_ours) {
            named.entry(name).or_default().push(path.clone());
        }
    }
    assert!(named.len() > 50, "{named:?}");
    named.retain(|_, paths| paths.len() > 1);
    assert!(
        named.is_empty(),
        "give one of them another name, by #[schema(as = ...)]: {named:?}"
    );
}

/// The names under which types of a file are described.
fn names(text: &str) -> Vec<String> {
    let (mut names, mut derived, mut given) = (Vec::new(), false, None);
    for line in text.lines().map(str::trim) {
        derived |= line.contains(DERIVED) && !line.starts_with("use ");
        if let Some((_, rest)) = line.split_once("schema(as = ") {
            let end = rest.find([')', ',']).unwrap_or(rest.len());
            given = Some(rest[..end].to_owned());
        }
        let words: Vec<&str> = line.split([' ', '<', '(', '{']).collect();
        let kind = words
            .iter()
            .position(|word| ["struct", "enum"].contains(word));
        let Some(kind) = kind.filter(|_| !line.starts_with("//") && !line.starts_with('#')) else {
            continue;
        };
        if std::mem::take(&mut derived) {
            let own = words.get(kind + 1).map(|word| (*word).to_owned());
            names.extend(given.take().or(own));
        }
        given = None;
    }
    names
}

#[test]
fn names_of_a_file_are_found() {
    let text = "use utoipa::ToSchema;\n#[derive(ToSchema)]\n/// A struct.\npub struct A<T> {\n}\nstruct B;\n\
                #[derive(Debug, ToSchema)]\n#[schema(as = D, x)]\npub(super) enum C {";
    assert_eq!(names(text), ["A", "D"]);
}
