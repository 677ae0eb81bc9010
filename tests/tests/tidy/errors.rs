//! Errors say what they failed at, and give their cause: each cause is told once, and none is lost.

use crate::files;

/// The crates that people hear of.
const CRATES: &[&str] = &["shared/src/", "planner/src/", "worker/src/", "cli/src/"];
/// What tells the words of an error's first level alone.
const BARE: &[&str] = &[
    "%error",
    "{error}",
    "{error:",
    " error.to_string()",
    "(error.to_string()",
];

/// What decides, without its tests and comments.
fn decides(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines();
    let told = lines.filter(|line| !line.trim_start().starts_with("//"));
    told.map(|line| format!("{line}\n")).collect()
}

fn of_crates() -> impl Iterator<Item = (String, String)> {
    let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/");
    files(&[".rs"])
        .into_iter()
        .filter(move |(path, _)| CRATES.iter().any(|part| path.starts_with(part)) && !is_test(path))
        .map(|(path, text)| (path, decides(&text)))
}

#[test]
fn whoever_shows_an_error_tells_its_causes() {
    let mut told = Vec::new();
    for (path, text) in of_crates() {
        let bare = text.lines().filter(|line| {
            // Whatever the error is called.
            let logged = line.contains("error = %") && !line.contains("error = %chain(");
            logged || BARE.iter().any(|bare| line.contains(bare))
        });
        told.extend(bare.map(|line| format!("{path}: {}", line.trim())));
    }
    assert!(
        told.is_empty(),
        "say error = %chain(&error) in a log and chain(&error) elsewhere:\n{}",
        told.join("\n")
    );
}

/// One way in which an error is told: its `#[error(...)]`, and the fields that follow.
struct Variant {
    path: String,
    words: String,
    fields: String,
}

/// All variants of all types that derive their words.
fn variants() -> Vec<Variant> {
    let mut found = Vec::new();
    for (path, text) in of_crates() {
        for after in text.split("thiserror::Error").skip(1) {
            let end = ["\n}", ";\n"]
                .iter()
                .filter_map(|end| after.find(end))
                .min();
            let of_type = &after[..end.unwrap_or(after.len())];
            for variant in of_type.split("#[error(").skip(1) {
                let (words, fields) = variant.split_once(")]").unwrap_or((variant, ""));
                found.push(Variant {
                    path: path.clone(),
                    words: words.to_owned(),
                    fields: fields.to_owned(),
                });
            }
        }
    }
    found
}

fn is_given(field: &str) -> bool {
    field.contains("#[source]") || field.contains("#[from]")
}

impl Variant {
    /// The fields that hold an error: their names, and whether they are given as the cause.
    fn causes(&self) -> Vec<(String, bool)> {
        let mut causes = Vec::new();
        let mut marked = false;
        let fields = self.fields.replace("{ ", "{\n").replace(", ", "\n");
        for line in fields.lines().map(str::trim) {
            let (name, of) = match (line.split_once(": "), line.split_once('(')) {
                (Some((name, of)), _) => (name.trim_start_matches("pub "), of),
                (None, Some((_, of))) => ("0", of),
                (None, None) => ("", ""),
            };
            let given = marked || name == "source" || is_given(of);
            marked = is_given(line) && name.is_empty();
            let of = of.trim_end_matches(|end: char| !end.is_alphanumeric());
            if ["Error", "Fault", "Faults"]
                .iter()
                .any(|end| of.ends_with(end))
            {
                causes.push((name.to_owned(), given));
            }
        }
        causes
    }

    fn shows(&self, field: &str) -> bool {
        let text = &self.words;
        let shown = [
            format!("{{{field}}}"),
            format!("{{{field}:"),
            format!(".{field}"),
        ];
        shown.iter().any(|shown| text.contains(shown))
    }
}

#[test]
fn errors_give_their_cause_and_do_not_repeat_it() {
    let all = variants();
    assert!(all.len() > 80, "{} ways are found", all.len());
    let mut held = 0;
    let mut told = Vec::new();
    for variant in all {
        let causes = variant.causes();
        held += causes.len();
        if variant.words.trim() == "transparent" {
            continue;
        }
        for (field, given) in causes {
            let wrong = match given {
                true if variant.shows(&field) => "repeats its cause",
                true => continue,
                false => "does not give its cause as source()",
            };
            told.push(format!(
                "{}: {} {wrong}",
                variant.path,
                variant.words.trim()
            ));
        }
    }
    assert!(held > 40, "{held} causes are found");
    assert!(
        told.is_empty(),
        "the words of an error are its own level's, and chain(&error) tells the others:\n{}",
        told.join("\n")
    );
}
