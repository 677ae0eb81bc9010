//! When a job fires: its expression stays, its time zone gets another name, and `misfire` becomes two words.

use gridloom_shared::chain;
use gridloom_shared::schedule::Zone;

use super::super::imported::{one_line, quoted};
use super::super::note::Kind;
use super::super::quartz;
use super::super::reading::Reading;

/// The lines of `[schedule]`: nothing where the job is only triggered.
pub(super) fn schedule(reading: &mut Reading<'_>, timezone: Option<&str>) -> String {
    let zone = zone(reading);
    let misfire = reading.flag("misfire");
    let Some(cron) = reading.text("cron") else {
        if reading.notes.iter().all(|note| note.field != "cron") {
            reading.note(
                Kind::Changed,
                "cron",
                "is not there: it runs when it is told to, gridloom run NAME",
            );
        }
        return String::new();
    };
    if cron.split_whitespace().count() < 6 {
        let text = format!(
            "{cron:?} has fewer than six fields, which ElasticJob refuses: when is it to fire?"
        );
        reading.note(Kind::Open, "cron", text);
    }
    quartz::tell(reading, "cron", &cron);
    let zone = zone
        .or_else(|| timezone.map(str::to_owned))
        .unwrap_or_else(|| {
            // Of one that is there and is none it was asked already.
            if reading.notes.iter().all(|note| note.field != "timeZone") {
                let text = "is not there: it fired by the clocks of its machine; say which with --timezone";
                reading.note(Kind::Open, "timeZone", text);
            }
            "UTC".to_owned()
        });
    let (overlap, policy) = match misfire {
        true => ("queue_one", "run_once"),
        false => ("skip", "skip"),
    };
    let text = match misfire {
        true => {
            "true: a fire while a run is open waits for its end, without waiting for the next one; one that nobody was there for is made up for at once"
        }
        false => {
            "false: a fire while a run is open, and one that nobody was there for, are left out, and each is on record as such"
        }
    };
    reading.note(Kind::Changed, "misfire", text);
    let dst = quartz::dst(&zone);
    let (cron, zone) = (quoted(&one_line(&cron)), quoted(&zone));
    format!(
        "[schedule]\ncron = {cron}\ntimezone = {zone}\noverlap = \"{overlap}\"\nmisfire = {{ policy = \"{policy}\" }}\n{dst}"
    )
}

/// The job's own time zone, in our words: `GMT+8` and `GMT+08:00` are offsets here.
fn zone(reading: &mut Reading<'_>) -> Option<String> {
    let text = reading.text("timeZone")?;
    let there = text.trim();
    let short = there
        .strip_prefix("GMT")
        .or_else(|| there.strip_prefix("UTC"))
        .unwrap_or(there);
    let zone = match short.split_at_checked(1) {
        None => "UTC".to_owned(),
        Some((sign @ ("+" | "-"), offset)) => {
            let (hours, minutes) = offset.split_once(':').unwrap_or(match offset.len() {
                3 | 4 => offset.split_at(offset.len() - 2),
                _ => (offset, "00"),
            });
            format!("{sign}{hours:0>2}:{minutes:0>2}")
        }
        Some(_) => there.to_owned(),
    };
    match Zone::new(&zone) {
        Ok(_) => Some(zone),
        Err(error) => {
            reading.note(
                Kind::Open,
                "timeZone",
                format!("{}; Java took an unknown one for GMT", chain(&error)),
            );
            None
        }
    }
}
