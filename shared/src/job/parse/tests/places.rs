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
    // Twice the same is told once.
    let unknown = faults("name = \"a\"\nhandler = \"noop\"\nzzz = 1");
    assert_eq!(unknown[0].matches("noop").count(), 1, "{unknown:?}");
    // A slip of the pen stays one.
    let slip = faults("name = \"a\"\nhandler = \"noop\"\n[grid]\nslicse = 4");
    assert_eq!(
        slip,
        ["grid.slicse: is no known key; did you mean `slices`?"]
    );
}

#[test]
fn every_place_that_is_told_is_one() {
    let schedule = keys::SCHEDULE.iter();
    let schedule = schedule.map(|(key, form)| (*key, "schedule", *form));
    for (key, table, form) in keys::PLACES.iter().copied().chain(schedule) {
        let file = match table {
            "" => format!("{form}\nname = \"b\"\nhandler = \"sql\"\nqueue = \"q\""),
            table if form.starts_with('[') => {
                let (_, line) = form.split_once("below it ").unwrap();
                format!("name = \"a\"\nhandler = \"{table}\"\n[{table}]\n{line}")
            }
            "exec" | "http" => format!("name = \"a\"\nhandler = \"{table}\"\n{form}"),
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

#[test]
fn each_key_of_a_schedule_is_told_its_place_at_the_top_and_is_written_as_it_says() {
    for (key, form) in keys::SCHEDULE {
        let told = faults(&format!("name = \"a\"\nhandler = \"noop\"\n{key} = 1"));
        assert_eq!(told, [format!("{key}: is a key of [schedule]: {form}")]);
        let file = format!("name = \"a\"\nhandler = \"noop\"\n{form}");
        assert!(form.contains(&format!("{key} = ")), "{form}");
        parse(&file, Format::Toml).expect(form);
    }
    // In a table that may have meant another one of that name.
    let told = faults("name = \"a\"\nhandler = \"noop\"\n[retry]\njitter = 0.5");
    assert!(told[0].contains("no known key"), "{told:?}");
}
