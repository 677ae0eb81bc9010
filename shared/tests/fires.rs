//! Cron expressions against the engines whose dialects they are: tables of what these fired, and the programs that made
//! them, stand in `fires/`. Where Gridloom means something else on purpose it is named here, with its reason.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::schedule::{Clock, Cron, CronError, Dialect, Dst, Schedule, Zone};

/// 2026-01-01 00:00 UTC, after which the tables begin.
const FROM: UnixMs = UnixMs(1_767_225_600_000);
/// Quartz gives up after about a hundred years.
const QUARTZ_ENDS: u64 = 4_102_444_800_000;

fn schedule(cron: Cron) -> Schedule {
    let zone = Zone::new("UTC").expect("UTC");
    Schedule::Clock(Clock::new(vec![cron], zone, Dst::default()).expect("a schedule"))
}

/// Compares each line of a table, but those whose expression is in `different`.
fn compare(table: &str, dialect: Dialect, different: &[&str]) {
    let mut differed = Vec::new();
    for line in table.lines() {
        let (text, wanted) = line.split_once('\t').expect("a line of two columns");
        let fires = fires(text, dialect, wanted.split_whitespace().count());
        let same = match &fires {
            Ok(fires) => fires == wanted,
            Err(CronError::Never(_)) => wanted.is_empty() || wanted == "refused",
            Err(_) => wanted == "refused",
        };
        assert!(
            same || different.contains(&text),
            "{text}\nwanted {wanted}\nfound  {fires:?}"
        );
        if !same {
            differed.push(text);
        }
    }
    assert_eq!(
        differed, different,
        "what differs is in the table, in this order"
    );
}

/// As many fires as the table has, or all where it has less than ten.
fn fires(text: &str, dialect: Dialect, count: usize) -> Result<String, CronError> {
    let schedule = schedule(Cron::parse(text, Some(dialect))?);
    let mut found = schedule.fires_after(FROM).take(10);
    let fires: Vec<String> = found
        .by_ref()
        .take(count)
        .map(|fire| fire.at.to_the_second())
        .collect();
    if let Some(more) = found.next().filter(|fire| fire.at.0 < QUARTZ_ENDS) {
        return Ok(format!(
            "{} and {}",
            fires.join(" "),
            more.at.to_the_second()
        ));
    }
    Ok(fires.join(" "))
}

#[test]
fn quartz_fires_when_quartz_does() {
    let different = [
        // Quartz forgets a step behind a range of names.
        "0 0 0 ? * MON-FRI/2",
        // It takes any number for a year, and never fires.
        "* * * * * ? 1969",
        // It does not look at what stands behind the year.
        "* * * * * ? * *",
    ];
    compare(
        include_str!("fires/quartz.tsv"),
        Dialect::Quartz,
        &different,
    );
}

#[test]
fn unix_fires_when_a_crontab_does() {
    compare(include_str!("fires/unix.tsv"), Dialect::Unix, &[]);
}
