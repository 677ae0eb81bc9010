//! Keys in another place than their own.

use super::*;

fn faults(text: &str) -> Vec<String> {
    let faults = parse(text, Format::Toml).unwrap_err();
    faults.0.iter().map(ToString::to_string).collect()
}

#[test]
fn key_in_the_wrong_place_is_told_where_it_stands() {
    let text = "name = \"a\"\nhandler = \"noop\"\nslices = 4\npages = { count = 2 }\ntimeout = \"1m\"\nmax_attempts = 2";
    assert_eq!(
        faults(text),
        [
            "max_attempts: is a key of [retry]: retry = { max_attempts = 5 }",
            "pages: is a key of [grid]: grid = { pages = { count = 10 } }",
            "slices: is a key of [grid]: grid = { slices = 16 }",
            "timeout: is a key of [limits]: limits = { timeout = \"10m\" }",
        ]
    );
    let late = "name = \"a\"\n[grid]\nslices = 4\nhandler = \"noop\"";
    let late = faults(late).join("\n");
    assert!(
        late.contains("grid.handler: stands at the top of the file, before its first [table]"),
        "{late}"
    );
    let fires = "name = \"a\"\nhandler = \"noop\"\nat = \"2026-12-01T02:00:00Z\"\nafter = \"1m\"\ncron = \"0 2 * * *\"\nevery = \"1m\"\ntimezone = \"Europe/Berlin\"";
    let fires = faults(fires);
    assert_eq!(fires.len(), 5, "{fires:?}");
    for (told, key) in fires
        .iter()
        .zip(["after", "at", "cron", "every", "timezone"])
    {
        let hint = format!("{key}: is a key of [schedule]: schedule = {{ ");
        assert!(told.starts_with(&hint), "{told}");
    }
    // A slip of the pen stays one.
    let slip = faults("name = \"a\"\nhandler = \"noop\"\n[grid]\nslicse = 4");
    assert_eq!(
        slip,
        ["grid.slicse: is no known key; did you mean `slices`?"]
    );
}

#[test]
fn every_place_that_is_told_is_one() {
    for (key, table, form) in PLACES {
        let file = match *table {
            "" => format!("{form}\nname = \"b\"\nhandler = \"sql\"\nqueue = \"q\""),
            table if form.starts_with('[') => {
                let (_, line) = form.split_once("below it ").unwrap();
                format!("name = \"a\"\nhandler = \"{table}\"\n[{table}]\n{line}")
            }
            "exec" => format!("name = \"a\"\nhandler = \"exec\"\n{form}"),
            _ => format!("name = \"a\"\nhandler = \"noop\"\n{form}"),
        };
        let told = match parse(&file, Format::Toml) {
            Ok(_) => String::new(),
            Err(faults) => faults.to_string(),
        };
        assert!(
            !told.contains("is a key of") && !told.contains("no known key"),
            "{key}: {told}"
        );
    }
}
