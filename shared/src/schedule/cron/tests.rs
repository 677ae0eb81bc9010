use std::time::Instant;

use jiff::civil::date;

use super::*;

fn read(text: &str) -> Cron {
    Cron::parse(text, None).expect(text)
}

/// What is wrong with an expression: the field, and how.
fn fault(text: &str, dialect: Option<Dialect>) -> (&'static str, Fault) {
    match Cron::parse(text, dialect) {
        Err(CronError::Field { field, fault, .. }) => (field, fault),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn number_of_fields_tells_the_dialect() {
    // Monday by either count.
    assert_eq!(read("0 0 * * 1"), read("0 0 0 ? * 2"));
    assert_eq!(read("0 0 0 ? * 2"), read("0 0 0 ? * 2 *"));
    let spring = Cron::parse("0 0 0 ? * 1", Some(Dialect::Spring)).expect("spring");
    assert_eq!(spring, read("0 0 * * 1"));
    for (text, dialect) in [
        ("* * * *", None),
        ("* * * * * ? * *", None),
        ("", None),
        ("* * * * * *", Some(Dialect::Unix)),
        ("* * * * *", Some(Dialect::Quartz)),
        ("* * * * * * *", Some(Dialect::Spring)),
    ] {
        let refused = Cron::parse(text, dialect);
        assert!(matches!(refused, Err(CronError::Fields { .. })), "{text}");
    }
}

#[test]
fn dialects_differ_in_how_days_go_together() {
    let from = date(2026, 1, 1).at(0, 0, 0, 0);
    // The first Friday comes before the 13th; a Friday that is a 13th comes in February.
    let either = read("0 0 13 * 5").first_from(from);
    assert_eq!(either, Some(date(2026, 1, 2).at(0, 0, 0, 0)));
    let both = Cron::parse("0 0 0 13 * 5", Some(Dialect::Spring)).expect("spring");
    let friday = date(2026, 2, 13).at(0, 0, 0, 0);
    assert_eq!(both.first_from(from), Some(friday));
    // As Debian's cron has it: a field that begins with a star restricts the other.
    let starred = read("0 0 */13 * 1").first_from(from);
    assert_eq!(starred, Some(date(2026, 4, 27).at(0, 0, 0, 0)));
    let quartz = fault("0 0 0 13 * 6", None);
    assert_eq!(quartz, ("day of week", Fault::BothDays));
}

#[test]
fn an_error_names_field_and_fault() {
    let no_value = |least, most| Fault::NoValue {
        least,
        most,
        names: None,
    };
    for (text, field, wanted) in [
        ("60 * * * *", "minute", no_value(0, 59)),
        ("* 24 * * *", "hour", no_value(0, 23)),
        ("* * * * * ? 1969", "year", no_value(1970, 2099)),
        (
            "5/15 * * * *",
            "minute",
            Fault::OpenStep {
                first: 5,
                last: 59,
                step: 15,
            },
        ),
        ("* * ? * *", "day of month", Fault::Question),
        ("? * * * *", "minute", Fault::Question),
        ("* * * ? * ?", "day of week", Fault::BothOpen),
        ("* * * ? * 6#6", "day of week", Fault::Nth),
        ("* * * 32W * ?", "day of month", Fault::Nearest),
        ("* * L-31 * *", "day of month", Fault::BeforeLast),
        ("* * * * L", "day of week", Fault::LastOfWeek),
        ("* * * * */8", "day of week", Fault::Step { most: 7 }),
    ] {
        assert_eq!(fault(text, None), (field, wanted), "{text}");
    }
    let named = Cron::parse("* * * FOO *", None).expect_err("no month");
    assert_eq!(
        crate::chain(&named).to_string(),
        "month \"FOO\" of the cron expression is not understood: must be 1 to 12, or JAN to DEC"
    );
    let unknown = Cron::parse("@reboot", None);
    assert_eq!(unknown, Err(CronError::Nickname("@reboot".to_owned())));
}

#[test]
fn nicknames_are_what_a_crontab_makes_of_them() {
    assert_eq!(read("@weekly"), read("0 0 * * 0"));
    for name in [
        "@yearly",
        "@annually",
        "@monthly",
        "@daily",
        "@midnight",
        "@hourly",
    ] {
        read(name);
    }
}

#[test]
fn what_never_fires_or_is_hostile_is_refused_at_once() {
    let quick = |text: &str| {
        // Another process may have the processor in between, but not each time.
        let tries = std::iter::repeat_with(|| {
            let began = Instant::now();
            assert!(Cron::parse(text, None).is_err(), "{text:.40}");
            began.elapsed()
        });
        let quick = tries.take(100).any(|took| took.as_millis() < 10);
        assert!(quick, "{text:.40}");
    };
    for never in [
        "0 0 0 31 2 ?",
        "0 0 0 30 2 ?",
        "0 0 31 4,6,9,11 *",
        "0 0 0 29 2 ? 2025",
        "0 0 0 ? 2 6#5 2026-2031",
        "0 0 0 31W 2 ?",
    ] {
        assert!(
            matches!(Cron::parse(never, None), Err(CronError::Never(_))),
            "{never}"
        );
        quick(never);
    }
    quick(&format!("{} * * * *", "*/1,".repeat(15_000)));
    quick(&format!("{} * * * *", "9".repeat(60_000)));
    quick(&"* ".repeat(500));
    quick(&format!("*/{} * * * *", "9".repeat(900)));
    quick(&format!("* * L-{} * *", "9".repeat(900)));
    quick(&format!("* * * * 1#{}", "9".repeat(900)));
    quick(&format!("0 0 0 {}32 2 ?", "30,31,".repeat(150)));
    // As much of it as there is room for is no trouble.
    read(&format!("{}0 * * * *", "*/1,".repeat(250)));
}

#[test]
fn a_day_once_in_forty_years_is_found() {
    // The 29th of February on a Monday, across 2100, which has none.
    let rare = read("0 0 0 29 2 ? *");
    let from = date(2096, 3, 1).at(0, 0, 0, 0);
    assert_eq!(
        rare.first_from(from),
        Some(date(2104, 2, 29).at(0, 0, 0, 0))
    );
    let fifth = read("0 0 0 ? 2 MON#5");
    let from = date(2072, 3, 1).at(0, 0, 0, 0);
    assert_eq!(
        fifth.first_from(from),
        Some(date(2112, 2, 29).at(0, 0, 0, 0))
    );
}

#[test]
fn the_search_looks_at_the_moment_itself_and_ends_with_its_years() {
    let cron = read("30 15 10 28 2 ? 2026-2027");
    let fire = |year| date(year, 2, 28).at(10, 15, 30, 0);
    assert_eq!(cron.first_from(fire(2026)), Some(fire(2026)));
    let after = |year| date(year, 2, 28).at(10, 15, 31, 0);
    assert_eq!(cron.first_from(after(2026)), Some(fire(2027)));
    assert_eq!(cron.first_from(after(2027)), None);
    assert_eq!(
        cron.first_from(date(1999, 1, 1).at(0, 0, 0, 0)),
        Some(fire(2026))
    );
    assert_eq!(read("* * * * *").first_from(DateTime::MAX), None);
}
