//! When a job fires: its expression stays, `misfire_strategy` and `executor_block_strategy` become two words of the schedule.

use gridloom_shared::chain;
use gridloom_shared::schedule::Zone;

use super::super::imported::{one_line, quoted};
use super::super::note::Kind;
use super::super::quartz;
use super::super::reading::Reading;

/// The lines of `[schedule]`; `None` where the job is only triggered.
pub(super) fn schedule(reading: &mut Reading<'_>, timezone: Option<&str>) -> Option<String> {
    // Before 2.3 there was nothing else.
    let cron = reading.exact("job_cron");
    let kind = reading.exact("schedule_type");
    let conf = reading.exact("schedule_conf");
    let zone = reading.exact("schedule_timezone");
    let overlap = overlap(reading);
    let misfire = misfire(reading);
    let kind = kind.map(|kind| kind.trim().to_ascii_uppercase());
    let when = match (kind.as_deref(), conf.or(cron)) {
        (Some("NONE"), _) | (None, None) => {
            reading.note(
                Kind::Changed,
                "schedule_type",
                "NONE: it runs when it is told to, gridloom run NAME",
            );
            return None;
        }
        (Some("CRON") | None, Some(cron)) => by_cron(reading, &cron, zone.as_deref(), timezone),
        (Some("FIX_RATE"), Some(seconds)) => {
            let text = "FIX_RATE: fires at even distances, whatever the last run took; there the distance began anew with each trigger and with each start of the job";
            reading.note(Kind::Changed, "schedule_type", text);
            format!("every = {}", quoted(&format!("{}s", seconds.trim())))
        }
        (Some("FIX_DELAY"), Some(seconds)) => {
            reading.note(
                Kind::Changed,
                "schedule_type",
                "FIX_DELAY: counted from the end of the last run",
            );
            format!("after = {}", quoted(&format!("{}s", seconds.trim())))
        }
        (Some(known @ ("CRON" | "FIX_RATE" | "FIX_DELAY")), None) => {
            let text = format!("is not there, although it fires by {known}: when is it to fire?");
            reading.note(Kind::Open, "schedule_conf", text);
            return None;
        }
        (Some(other), _) => {
            let text = format!("{other}: is not known to this import: when is it to fire?");
            reading.note(Kind::Open, "schedule_type", text);
            return None;
        }
    };
    Some(format!("[schedule]\n{when}\n{overlap}{misfire}"))
}

fn by_cron(
    reading: &mut Reading<'_>,
    cron: &str,
    zone: Option<&str>,
    timezone: Option<&str>,
) -> String {
    if cron.split_whitespace().count() < 6 {
        let text = format!(
            "{cron:?} has fewer than six fields, which XXL-JOB refuses: when is it to fire?"
        );
        reading.note(Kind::Open, "schedule_conf", text);
    }
    quartz::tell(reading, "schedule_conf", cron);
    let zone = match zone.map(|zone| (Zone::new(zone.trim()), zone.trim())) {
        Some((Ok(_), zone)) => zone.to_owned(),
        Some((Err(error), _)) => {
            reading.note(Kind::Open, "schedule_timezone", chain(&error).to_string());
            "UTC".to_owned()
        }
        None => timezone.map_or_else(
            || {
                let text = "has no time zone: it fired by the clock of the admin; say which with --timezone";
                reading.note(Kind::Open, "schedule_conf", text);
                "UTC".to_owned()
            },
            str::to_owned,
        ),
    };
    let dst = match quartz::dst(&zone) {
        "" => String::new(),
        line => format!("\n{}", line.trim_end()),
    };
    format!(
        "cron = {}\ntimezone = {}{dst}",
        quoted(&one_line(cron)),
        quoted(&zone)
    )
}

/// What becomes of a fire while a run is open.
fn overlap(reading: &mut Reading<'_>) -> String {
    const FIELD: &str = "executor_block_strategy";
    let said = reading.exact(FIELD);
    let strategy = said.as_deref().map(str::trim).unwrap_or("SERIAL_EXECUTION");
    let (kind, overlap, text) = match strategy.to_ascii_uppercase().as_str() {
        "SERIAL_EXECUTION" => (
            Kind::Changed,
            "queue_all",
            "SERIAL_EXECUTION: fires while a run is open wait for its end, one after another, in the whole cluster; there they waited on each executor by itself, and were lost with it",
        ),
        "DISCARD_LATER" => (
            Kind::Changed,
            "skip",
            "DISCARD_LATER: a fire while a run is open is left out, and is on record as such; there it was a failed trigger",
        ),
        "COVER_EARLY" => (
            Kind::Changed,
            "cancel_running",
            "COVER_EARLY: a fire while a run is open cancels that run; handlers see it (shard.check()), there their thread was interrupted",
        ),
        _ => (
            Kind::Open,
            "queue_all",
            "is not known to this import: what is to become of a fire while a run is open?",
        ),
    };
    reading.note(kind, FIELD, text);
    format!("overlap = \"{overlap}\"\n")
}

/// What becomes of a fire that nobody was there for.
fn misfire(reading: &mut Reading<'_>) -> String {
    const FIELD: &str = "misfire_strategy";
    let said = reading.exact(FIELD);
    let strategy = said.as_deref().map(str::trim).unwrap_or("DO_NOTHING");
    let (kind, policy, text) = match strategy.to_ascii_uppercase().as_str() {
        "DO_NOTHING" => (
            Kind::Changed,
            "skip",
            "DO_NOTHING: a fire that nobody was there for is left out, and is on record as such; there one that was five seconds late was",
        ),
        "FIRE_ONCE_NOW" => (
            Kind::Changed,
            "run_once",
            "FIRE_ONCE_NOW: fires that nobody was there for are made up for by one run, at once; those of more than a day ago are not (misfire.window)",
        ),
        _ => (
            Kind::Open,
            "skip",
            "is not known to this import: what is to become of a fire that nobody was there for?",
        ),
    };
    reading.note(kind, FIELD, text);
    format!("misfire = {{ policy = \"{policy}\" }}\n")
}
