//! Our fires against those that the crate `croner` finds: another reading of the same expressions, by another search, on
//! the zones' clocks as they change from 2020 to 2040. Expressions, zones and instants are drawn by a seed that is always
//! the same; `CRONER_SEED=7 CRONER_ROUNDS=100000` draws others, and more of them.
//!
//! What is drawn is what both read alike. What stays away, and why:
//!
//! | written | croner | here |
//! |---------|--------|------|
//! | `*/2` beside another field of days, in Unix | either is enough | as in Debian's cron: both have to fit |
//! | `L-3`, `L-3W`, ranges that wrap around (`FRI-MON`), `L` alone as a weekday | refused | taken, or in Unix and Spring `L` refused |
//! | `*/2` and `5/2` as a weekday, in Spring | counts from Sunday | counts from Monday to Sunday, as Spring does |
//! | `*/4` as a year | counts from the year 1 | from 1970, as Quartz does |
//! | `SUN-SUN` | each day | Sunday |
//! | `MON-FRI#2`, `5/15` in Unix | taken, where it is told to | refused |
//! | `L` beside `LW` in one list | the one that is not `LW` is lost | both |
//!
//! Where clocks change croner has two classes as well, and other bounds of them: one moment a day is a clock schedule, all
//! else an interval. Where a schedule is of another class here, its `dst` says what croner's class means.
//!
//! Of a time that a gap swallowed croner asks whether the day behind the gap fits, where its own day has to: it loses a
//! Saturday's 23:30 in Nuuk, whose gap ends with the day. Such fires are the only ones that may be missing there. At gaps
//! of more than two hours it gives up: zones that have one in these years (Casey) stay away.

use croner::errors::CronError;
use croner::parser::CronParser;
use croner::time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use croner::{Cron as Croner, JobType};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::schedule::{
    Clock, Cron, CronError as OurError, Dialect, Dst, Fire, Gap, Overlap, Schedule, Zone,
};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, db};
use jiff::{SignedDuration, Timestamp};

/// 2020-01-01 and 2040-01-01.
const YEARS: std::ops::Range<i64> = 1_577_836_800..2_208_988_800;
const ROUNDS: u64 = 2_500;
/// Fires that are compared of each expression.
const FIRES: usize = 12;
const SEED: u64 = 4_711;

/// An instant in a zone, as croner wants to see it.
#[derive(Clone, Debug)]
struct At {
    at: Timestamp,
    zone: TimeZone,
}

impl At {
    fn civil(&self) -> DateTime {
        self.zone.to_datetime(self.at)
    }
}

impl CronDateTime for At {
    fn to_civil(&self) -> CivilDateTime {
        let civil = self.civil();
        let part = |value: i8| u32::from(value.unsigned_abs());
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(
                civil.year().into(),
                part(civil.month()),
                part(civil.day()),
            ),
            CivilTime::from_parts_unchecked(
                part(civil.hour()),
                part(civil.minute()),
                part(civil.second()),
            ),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.civil().weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(days.unsigned_abs().into())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<At>, CronError> {
        let part = |value: u32| i8::try_from(value).map_err(|_| CronError::InvalidTime);
        let civil = DateTime::new(
            i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?,
            part(civil.month())?,
            part(civil.day())?,
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
            0,
        );
        let civil = civil.map_err(|_| CronError::InvalidDate)?;
        let zone = self.zone.clone();
        let at = |offset: jiff::tz::Offset| {
            let at = offset.to_timestamp(civil);
            let at = at.map_err(|_| CronError::InvalidTime)?;
            Ok(At {
                at,
                zone: zone.clone(),
            })
        };
        Ok(match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => Resolution::Single(at(offset)?),
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
            AmbiguousOffset::Fold { before, after } => {
                Resolution::Ambiguous(at(before)?, at(after)?)
            }
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<At> {
        let at = self.at.checked_add(SignedDuration::from_secs(seconds));
        let zone = self.zone.clone();
        Some(At { at: at.ok()?, zone })
    }

    fn cmp_instant(&self, other: &At) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// Numbers that look drawn by chance, and are always the same.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn from(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    fn one<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).expect("an index")]
    }

    /// A value, or a range, by number or by name.
    fn item(&mut self, (least, most): (u64, u64), names: &[&str]) -> String {
        let (one, other) = (self.from(least, most), self.from(least, most));
        let named = self.below(2) == 0;
        let written = |value: u64| {
            let name = usize::try_from(value - least)
                .ok()
                .and_then(|at| names.get(at));
            match name.filter(|_| named) {
                Some(name) => (*name).to_owned(),
                None => value.to_string(),
            }
        };
        let (first, last) = (one.min(other), one.max(other));
        match self.below(3) {
            _ if first == last => written(one),
            0 => written(one),
            1 => format!("{}-{}", written(first), written(last)),
            _ => {
                let step = self.from(1, (most - least) / 2 + 1);
                format!("{}-{}/{step}", written(first), written(last))
            }
        }
    }

    fn list(&mut self, bounds: (u64, u64), names: &[&str]) -> String {
        let count = self.from(1, 3);
        let items: Vec<String> = (0..count).map(|_| self.item(bounds, names)).collect();
        items.join(",")
    }

    fn field(&mut self, bounds: (u64, u64), names: &[&str]) -> String {
        match self.below(8) {
            0 | 1 => "*".to_owned(),
            2 => format!("*/{}", self.from(1, (bounds.1 - bounds.0) / 2 + 1)),
            3 | 4 => self.from(bounds.0, bounds.1).to_string(),
            _ => self.list(bounds, names),
        }
    }

    fn month_day(&mut self) -> String {
        match self.below(6) {
            0 => "L".to_owned(),
            1 => "LW".to_owned(),
            2 => format!("{}W", self.from(1, 31)),
            3 => format!(
                "{},{}",
                self.from(1, 31),
                self.one(&["L", "LW", "1W", "15W"])
            ),
            _ => self.list((1, 31), &[]),
        }
    }

    fn weekday(&mut self, dialect: Dialect) -> String {
        let (bounds, names): (_, &[&str]) = match dialect {
            Dialect::Quartz => ((1, 7), &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]),
            Dialect::Unix | Dialect::Spring => {
                ((0, 7), &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])
            }
        };
        let day = self.from(bounds.0, bounds.1);
        match self.below(6) {
            0 => format!("{day}L"),
            1 => format!("{day}#{}", self.from(1, 5)),
            2 => format!("FRIL,{}#1", self.one(names)),
            _ => self.list(bounds, names),
        }
    }

    fn days(&mut self, dialect: Dialect) -> (String, String) {
        let free = match dialect {
            Dialect::Unix => "*",
            Dialect::Quartz => "?",
            Dialect::Spring => self.one(&["?", "*"]),
        };
        let (month, week) = (self.month_day(), self.weekday(dialect));
        match self.below(8) {
            0..3 => ("*".to_owned(), free.to_owned()),
            3 | 4 => (free.to_owned(), week),
            5 if dialect != Dialect::Quartz => (month, week),
            6 => (format!("*/{}", self.from(1, 16)), free.to_owned()),
            _ => (month, free.to_owned()),
        }
    }

    fn expression(&mut self, dialect: Dialect) -> String {
        const MONTHS: &[&str] = &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ];
        let (month_day, weekday) = self.days(dialect);
        let second = match self.below(3) {
            0 => self.field((0, 59), &[]),
            _ => "0".to_owned(),
        };
        // A time of day in the hours in which clocks change, or any.
        let (minute, hour) = match self.below(2) {
            0 => (self.from(0, 59).to_string(), self.from(0, 3).to_string()),
            _ => (self.field((0, 59), &[]), self.field((0, 23), &[])),
        };
        let month = match self.below(3) {
            0 => self.field((1, 12), MONTHS),
            _ => "*".to_owned(),
        };
        let year = match self.below(4) {
            0 => format!(" {}", self.list((2_020, 2_060), &[])),
            _ => String::new(),
        };
        match dialect {
            Dialect::Unix => format!("{minute} {hour} {month_day} {month} {weekday}"),
            Dialect::Spring => format!("{second} {minute} {hour} {month_day} {month} {weekday}"),
            Dialect::Quartz => {
                format!("{second} {minute} {hour} {month_day} {month} {weekday}{year}")
            }
        }
    }

    /// An instant near a change of the zone's clocks, where they change.
    fn instant(&mut self, changes: &[Timestamp]) -> UnixMs {
        let near = match changes.len() as u64 {
            0 => YEARS.start + i64::try_from(self.below(630_000_000)).expect("seconds"),
            count => changes[usize::try_from(self.below(count)).expect("an index")].as_second(),
        };
        let reach = [60, 3_600, 10_800, 108_000, 8_640_000][self.below(5) as usize];
        let at = near + i64::try_from(self.below(2 * reach)).expect("seconds") - reach as i64;
        UnixMs(u64::try_from(at * 1_000).expect("after 1970"))
    }
}

fn croner(text: &str, dialect: Dialect) -> Croner {
    let parser = CronParser::builder()
        .alternative_weekdays(dialect == Dialect::Quartz)
        .dom_and_dow(dialect == Dialect::Spring)
        .build();
    parser
        .parse(text)
        .unwrap_or_else(|error| panic!("croner on {text}: {error}"))
}

/// What croner's class of a schedule means, where ours is another.
fn dst(theirs: &Croner) -> Dst {
    let interval = theirs.pattern.hours.values().len() == 24;
    match theirs.determine_job_type() {
        JobType::IntervalWildcard if !interval => Dst {
            gap: Some(Gap::Skip),
            overlap: Some(Overlap::Both),
        },
        JobType::IntervalWildcard | JobType::FixedTime => Dst::default(),
    }
}

fn at(instant: UnixMs, zone: &TimeZone) -> At {
    let ms = i64::try_from(instant.0).expect("in reach");
    let at = Timestamp::from_millisecond(ms).expect("an instant");
    let zone = zone.clone();
    At { at, zone }
}

/// Whether a gap moved it to another day.
fn is_of_another_day(fire: &Fire, zone: &TimeZone) -> bool {
    let day = at(fire.at, zone).civil().date();
    fire.moved_from.is_some_and(|from| from.date() != day)
}

/// Compares what fires after an instant. Returns how many fires agreed, and how many croner lost.
fn compare(text: &str, dialect: Dialect, zone: &str, after: UnixMs) -> (usize, usize) {
    let (theirs, rules) = (croner(text, dialect), TimeZone::get(zone).expect(zone));
    let ours = match Cron::parse(text, Some(dialect)) {
        Ok(ours) => ours,
        // Croner says so too, after seconds.
        Err(OurError::Never(_)) => return (0, 0),
        Err(error) => panic!("{text}: {error}"),
    };
    let place = Zone::new(zone).expect(zone);
    let clock = Clock::new(vec![ours], place, dst(&theirs)).expect("a schedule");
    let schedule = Schedule::Clock(clock);
    let (mut from, mut theirs_from, mut lost) = (after, at(after, &rules), 0);
    let mut agreed = 0;
    while agreed < FIRES {
        let told = || format!("{dialect:?} {text:?} in {zone} after {}", from.rfc3339());
        let fire = schedule.next_after(from);
        let found = theirs.find_next_occurrence(&theirs_from, false).ok();
        let found_at = found
            .as_ref()
            .map(|found| UnixMs(u64::try_from(found.at.as_millisecond()).expect("after 1970")));
        match fire {
            Some(fire) if Some(fire.at) != found_at && is_of_another_day(&fire, &rules) => {
                (lost, from) = (lost + 1, fire.at);
                continue;
            }
            Some(fire) => assert_eq!(Some(fire.at), found_at, "{}", told()),
            // It goes on to the year 5000.
            None => {
                assert!(found_at.is_none(), "{}: croner has {found_at:?}", told());
                break;
            }
        }
        let Some(found) = found else { break };
        (from, theirs_from) = (found_at.unwrap_or_default(), found);
        agreed += 1;
    }
    (agreed, lost)
}

/// When the clocks of a zone change. `None`: they leave out more than two hours at once.
fn changes(zone: &str) -> Option<Vec<Timestamp>> {
    let rules = TimeZone::get(zone).expect(zone);
    let start = Timestamp::from_second(YEARS.start).expect("an instant");
    let mut changes = Vec::new();
    for change in rules.following(start) {
        let at = change.timestamp();
        if at.as_second() >= YEARS.end {
            break;
        }
        let before = at - SignedDuration::from_secs(1);
        let gap = change.offset().seconds() - rules.to_offset(before).seconds();
        if gap > 2 * 3_600 {
            return None;
        }
        changes.push(at);
    }
    Some(changes)
}

fn number(name: &str, otherwise: u64) -> u64 {
    let said = std::env::var(name).ok();
    said.map_or(otherwise, |said| said.parse().expect("a number"))
}

#[test]
fn croner_finds_the_same_fires_in_each_zone_around_its_changes() {
    let mut draw = Draw(number("CRONER_SEED", SEED));
    let names = db().available().map(|name| name.as_str().to_owned());
    let zones: Vec<(String, Vec<Timestamp>)> = names
        .filter_map(|name| changes(&name).map(|changes| (name, changes)))
        .collect();
    assert!(zones.len() > 400, "{} zones", zones.len());
    let (mut agreed, mut lost) = (0, 0);
    for round in 0..number("CRONER_ROUNDS", ROUNDS) {
        let dialect = [Dialect::Unix, Dialect::Quartz, Dialect::Spring][(round % 3) as usize];
        let text = draw.expression(dialect);
        let at = usize::try_from(draw.below(zones.len() as u64)).expect("an index");
        let (zone, changes) = &zones[at];
        let after = draw.instant(changes);
        let (same, missing) = compare(&text, dialect, zone, after);
        (agreed, lost) = (agreed + same, lost + missing);
    }
    assert!(agreed > 20_000, "{agreed} fires agree");
    assert!(lost < 20, "croner lost {lost}");
}

/// Expressions, zones and instants at which rules meet.
const MEET: &[(&str, Dialect, &str, &str)] = &[
    (
        "30 2 * * *",
        Dialect::Unix,
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
    ),
    (
        "30 2 * * *",
        Dialect::Unix,
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
    ),
    (
        "*/30 * * * *",
        Dialect::Unix,
        "Australia/Lord_Howe",
        "2026-04-04T12:00:00Z",
    ),
    (
        "*/30 * * * *",
        Dialect::Unix,
        "Australia/Lord_Howe",
        "2026-10-03T12:00:00Z",
    ),
    (
        "30 0 * * *",
        Dialect::Unix,
        "Africa/Cairo",
        "2026-04-22T12:00:00Z",
    ),
    (
        "45 1 * * *",
        Dialect::Unix,
        "Antarctica/Troll",
        "2026-03-27T12:00:00Z",
    ),
    (
        "0 15 2 ? * 1L",
        Dialect::Quartz,
        "America/New_York",
        "2026-01-01T00:00:00Z",
    ),
    (
        "0 0 2 1W * ?",
        Dialect::Quartz,
        "Europe/Lisbon",
        "2026-01-01T00:00:00Z",
    ),
    (
        "0 0 3 13 * FRI",
        Dialect::Spring,
        "America/Santiago",
        "2026-01-01T00:00:00Z",
    ),
    (
        "0 9 13 * 5",
        Dialect::Unix,
        "Asia/Tehran",
        "2026-01-01T00:00:00Z",
    ),
    ("0 0 29 2 *", Dialect::Unix, "UTC", "2026-01-01T00:00:00Z"),
];

fn time(text: &str) -> UnixMs {
    let at: Timestamp = text.parse().expect(text);
    UnixMs(u64::try_from(at.as_millisecond()).expect("after 1970"))
}

#[test]
fn croner_finds_the_same_fires_where_rules_meet() {
    for (text, dialect, zone, after) in MEET {
        let compared = compare(text, *dialect, zone, time(after));
        assert_eq!(compared, (FIRES, 0), "{text}");
    }
}

#[test]
fn croner_finds_nothing_where_nothing_fires() {
    for text in ["0 0 31 4,6 *", "0 0 30 2 *"] {
        let refused = Cron::parse(text, Some(Dialect::Unix));
        assert!(matches!(refused, Err(OurError::Never(_))), "{text}");
        // It looks as far as the year 5000.
        let begin = at(UnixMs(0), &TimeZone::UTC);
        let found = croner(text, Dialect::Unix).find_next_occurrence(&begin, false);
        assert!(found.is_err(), "{text}");
    }
}

#[test]
fn croner_loses_what_a_gap_moves_to_a_day_that_does_not_fit() {
    let friday = time("2026-03-27T12:00:00Z");
    let (agreed, lost) = compare("30 23 * * SAT", Dialect::Unix, "America/Nuuk", friday);
    assert_eq!((agreed, lost), (FIRES, 1));
}
