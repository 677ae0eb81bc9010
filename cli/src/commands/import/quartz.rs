//! Expressions of Quartz that stay as they are, and fire otherwise there: what their jobs say so that they fire as before, and what is
//! said where no job can. ElasticJob has Quartz itself, XXL-JOB a copy of how it reads expressions.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::schedule::Zone;

use super::note::Kind;
use super::reading::Reading;

/// The line of `[schedule]` by which it fires as Quartz does where clocks change, if those of the zone do: `java.util.Calendar` leaves a
/// time out that is none, and takes one that comes twice for the second.
pub(super) fn dst(zone: &str) -> &'static str {
    let changes = |zone: Zone| zone.change_after(UnixMs::now()).is_some();
    match Zone::new(zone).is_ok_and(changes) {
        true => "dst = { gap = \"skip\", overlap = \"second\" }\n",
        false => "",
    }
}

/// Says which days of an expression are others there.
pub(super) fn tell(reading: &mut Reading<'_>, field: &str, cron: &str) {
    let cron = cron.to_ascii_uppercase();
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let &[_, _, _, days, _, week, ..] = &fields[..] else {
        return;
    };
    for day in days.split(',').filter(|day| is_late_weekday(day)) {
        let text = format!(
            "{day}: in a month that is too short for it Quartz fires on the last weekday; here that month has no such day (LW is the last weekday of each)"
        );
        reading.note(Kind::Changed, field, text);
    }
    for (days, sign) in [(days, 'W'), (week, '#')] {
        if days.contains(',') && days.contains(sign) {
            let text = format!(
                "{days}: of a list with {sign} in it Quartz fires on one day alone, and never on the others; here on each"
            );
            reading.note(Kind::Changed, field, text);
        }
    }
}

/// `29W` to `31W`.
fn is_late_weekday(day: &str) -> bool {
    let day = day.strip_suffix('W').map(str::parse::<u8>);
    day.is_some_and(|day| day.is_ok_and(|day| day > 28))
}

#[cfg(test)]
mod tests {
    use super::super::node::Node;
    use super::*;

    fn told(cron: &str) -> usize {
        let node = Node::Table(Vec::new());
        let mut reading = Reading::of(&node, "id");
        tell(&mut reading, "cron", cron);
        let kinds = reading.notes.iter().map(|note| note.kind);
        assert!(kinds.clone().all(|kind| kind == Kind::Changed), "{cron}");
        kinds.count()
    }

    #[test]
    fn days_that_are_others_there_are_told() {
        for (cron, notes) in [
            ("0 0 2 29W * ?", 1),
            ("0 0 2 31w * ? *", 1),
            ("0 0 2 1,15W * ?", 1),
            ("0 0 2 1,31W * ?", 2),
            ("0 0 2 ? * MON#1,FRI", 1),
            ("0 0 2 28W * ?", 0),
            ("0 0 2 LW * ?", 0),
            ("0 0 2 1,15 * ?", 0),
            ("0 0 2 ? * 6#3", 0),
            ("0 0 2 ? * MON,WED", 0),
            ("31W", 0),
        ] {
            assert_eq!(told(cron), notes, "{cron}");
        }
    }

    #[test]
    fn job_says_what_becomes_of_times_where_clocks_change_if_they_do() {
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
            assert!(dst(zone).starts_with("dst = "), "{zone}");
        }
        for zone in ["UTC", "+08:00", "Asia/Shanghai", "Nowhere/At_All"] {
            assert_eq!(dst(zone), "", "{zone}");
        }
    }
}
