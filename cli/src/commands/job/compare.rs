//! The next fires of a schedule that is changed and of the one that it becomes, side by side: what falls away, what is
//! new. Pure.

use std::collections::BTreeMap;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::schedule::Nominal;
use serde::Serialize;

use super::clock::{Coming, TOLD};
use crate::output::{Align, Output, Table};

/// What becomes of a fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Becomes {
    /// Both schedules have it.
    Stays,
    /// Both have it, and it opens at another time.
    OpensOtherwise,
    /// The new one has it not.
    FallsAway,
    /// The old one had it not.
    New,
}

/// One nominal time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    scheduled_at: String,
    before: Option<Side>,
    after: Option<Side>,
    change: Becomes,
}

/// How one of the schedules has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Side {
    /// By the clocks of its zone.
    local: String,
    opens_at: String,
    /// When that is, for people; `None`: at its time.
    #[serde(skip)]
    opens: Option<String>,
}

/// The next fires of both after `from`: the first few of each, and whether the other has them too.
pub(super) fn rows(before: Option<&Coming>, after: Option<&Coming>, from: UnixMs) -> Vec<Row> {
    let both = [before, after];
    let mut times: BTreeMap<UnixMs, [Option<Nominal>; 2]> = BTreeMap::new();
    for coming in both.into_iter().flatten() {
        for nominal in coming.fires(from).take(TOLD) {
            times.entry(nominal.at).or_default();
        }
    }
    for (at, sides) in &mut times {
        *sides = both.map(|coming| coming?.has(*at, from));
    }
    let rows = times.into_iter().map(|(at, [old, new])| Row {
        scheduled_at: at.rfc3339(),
        change: match (&old, &new) {
            (Some(old), Some(new)) if old.opens_at == new.opens_at => Becomes::Stays,
            (Some(_), Some(_)) => Becomes::OpensOtherwise,
            (_, None) => Becomes::FallsAway,
            (None, Some(_)) => Becomes::New,
        },
        before: before.and_then(|coming| Some(side(coming, &old?))),
        after: after.and_then(|coming| Some(side(coming, &new?))),
    });
    rows.collect()
}

fn side(coming: &Coming, nominal: &Nominal) -> Side {
    let shown = coming.plan.shown(nominal);
    Side {
        local: shown.local,
        opens_at: nominal.opens_at.rfc3339(),
        opens: shown.opens,
    }
}

/// Shows them to people.
pub(super) fn say(output: &Output, rows: &[Row]) {
    output.table(
        &table(rows),
        "neither has a time of its own: each fire follows from the end of the run before it, or none comes",
    );
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new([
        ("before", Align::Left),
        ("after", Align::Left),
        ("", Align::Left),
    ]);
    for row in rows {
        let cell = |side: &Option<Side>| {
            let local = side.as_ref().map(|side| side.local.clone());
            local.unwrap_or_else(|| "-".to_owned())
        };
        let opens = row.after.as_ref().and_then(|after| after.opens.as_deref());
        let mark = match row.change {
            Becomes::Stays => String::new(),
            Becomes::OpensOtherwise => format!("opens {}", opens.unwrap_or("at its time")),
            Becomes::FallsAway => "falls away".to_owned(),
            Becomes::New => "new".to_owned(),
        };
        table.row([cell(&row.before), cell(&row.after), mark]);
    }
    table
}

#[cfg(test)]
mod tests {
    use gridloom_shared::job::parse::from_value;
    use gridloom_shared::schedule::Calendars;
    use serde_json::{Value, json};

    use super::*;

    /// 2026-03-01 00:00 UTC, a Sunday.
    const MARCH: UnixMs = UnixMs(1_772_323_200_000);

    fn coming(schedule: &Value) -> Coming {
        let job = json!({ "name": "nightly", "handler": "resize", "schedule": schedule });
        Coming::of(&from_value(job).unwrap(), &Calendars::new(), None).unwrap()
    }

    fn shown(before: &Value, after: Option<&Value>) -> String {
        let (before, after) = (coming(before), after.map(coming));
        table(&rows(Some(&before), after.as_ref(), MARCH)).render(Some(80))
    }

    #[test]
    fn each_side_has_its_next_five_and_what_differs_is_marked() {
        let text = shown(
            &json!({ "cron": "0 6 * * *" }),
            Some(
                &json!({ "cron": "0 6 * * MON-FRI", "timezone": "Europe/Berlin", "except": "2026-03-03" }),
            ),
        );
        let wanted = "\
BEFORE                          AFTER
Sun 2026-03-01 06:00:00 +00:00  -                               falls away
-                               Mon 2026-03-02 06:00:00 +01:00  new
Mon 2026-03-02 06:00:00 +00:00  -                               falls away
Tue 2026-03-03 06:00:00 +00:00  -                               falls away
-                               Wed 2026-03-04 06:00:00 +01:00  new
Wed 2026-03-04 06:00:00 +00:00  -                               falls away
-                               Thu 2026-03-05 06:00:00 +01:00  new
Thu 2026-03-05 06:00:00 +00:00  -                               falls away
-                               Fri 2026-03-06 06:00:00 +01:00  new
-                               Mon 2026-03-09 06:00:00 +01:00  new";
        assert_eq!(text, wanted);
    }

    #[test]
    fn fire_that_the_other_side_has_beyond_its_next_five_stays() {
        let text = shown(
            &json!({ "cron": "0 0 * * *" }),
            Some(&json!({ "cron": "0 */6 * * *" })),
        );
        let stays = "Thu 2026-03-05 00:00:00 +00:00  Thu 2026-03-05 00:00:00 +00:00\n";
        assert!(text.contains(stays), "{text}");
        assert!(!text.contains("falls away"), "{text}");
        assert_eq!(text.matches("new").count(), 4, "{text}");
    }

    #[test]
    fn max_fires_and_the_end_of_a_schedule_take_fires_away() {
        let daily = json!({ "cron": "0 0 * * *" });
        let text = shown(
            &daily,
            Some(&json!({ "cron": "0 0 * * *", "max_fires": 2 })),
        );
        assert_eq!(text.matches("falls away").count(), 3, "{text}");
        assert_eq!(shown(&daily, None).matches("falls away").count(), 5);
        let text = shown(
            &daily,
            Some(&json!({ "cron": "0 0 * * *", "spread": "1h" })),
        );
        assert_eq!(text.matches("opens 00:").count(), 5, "{text}");
    }
}
