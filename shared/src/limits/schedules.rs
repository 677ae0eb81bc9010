//! The bounds of schedules.

use std::time::Duration;

use super::{ENVELOPE_MAX, KEY_MORE, NAME_MAX, RECORD_MIN, RUN_ID_MAX};

/// Longest cron expression, in bytes: one that names every minute is a sixth of it.
pub const CRON_BYTES_MAX: usize = 1_024;
/// Most cron expressions of one schedule. Each is asked for every fire.
pub const CRON_LIST_MAX: usize = 64;
/// Largest schedule, in bytes of JSON: it stands in each record of the job's fires, beside those that wait.
pub const SCHEDULE_BYTES_MAX: usize = 32 * 1_024;
/// Shortest cadence of a schedule: each fire is a run with a ledger of its own.
pub const EVERY_MIN: Duration = Duration::from_secs(1);
/// Longest cadence: ten years, beyond which a unit was mistaken.
pub const EVERY_MAX: Duration = Duration::from_secs(3_660 * 24 * 3_600);
/// Most times that a schedule names one by one.
pub const AT_LIST_MAX: usize = 256;
/// Most calendars and dates that a schedule is bound to, and most that it is kept off. Each is asked for every fire.
pub const DAYS_LIST_MAX: usize = 64;
/// Most fires after which a schedule may end.
pub const MAX_FIRES_MAX: u64 = 1_000_000_000;
/// Longest while by which a fire may open later than its time, each for `jitter` and `spread`.
pub const SPREAD_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Most fires of one job that wait, and most that are made up for at once: a record of its schedule names each.
pub const FIRES_KEPT_MAX: u32 = 200;
/// Shortest age at which a fire that was missed has expired: below it, an ordinary change of leaders would lose fires.
pub const WINDOW_MIN: Duration = Duration::from_secs(10);
/// Longest such age.
pub const WINDOW_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Most failed runs in a row that a schedule may bear before it pauses.
pub const PAUSE_AFTER_MAX: u32 = 1_000;
/// Most dates and ranges of one calendar.
pub const CALENDAR_DATES_MAX: usize = 1_000;
/// Most times of the day of one calendar.
pub const CALENDAR_WINDOWS_MAX: usize = 24;
/// Of what a calendar said before, so much is kept at most: who changes it more often while no planner is there has
/// fires of that while judged by the oldest that is kept.
pub const CALENDAR_EARLIER_MAX: usize = 8;
/// Bytes of a calendar with what it said before.
pub const CALENDAR_KEPT_BYTES_MAX: usize = RECORD_MIN;
/// So many stretches that calendars take out are passed over in the search for a fire: more than a year of them, where
/// there is one a day, within milliseconds.
pub const STRETCHES_MAX: usize = 512;
/// How late a fire may open without being missed: longer than it takes until another planner leads.
pub const MISFIRE_GRACE: Duration = Duration::from_secs(10);
/// A run that was opened is on record as such within so long, by the next decision or by a record of its own.
pub const CONFIRMED_WITHIN: Duration = Duration::from_secs(600);
/// Most nominal times that are counted or passed over one by one; of more people are told that there are more.
pub const FIRES_COUNTED_MAX: u64 = 10_000;
/// Most fires of one schedule whose run is decided and not known to be open. Until it is, none is decided.
pub const UNOPENED_MAX: usize = 64;
/// Most runs of one schedule of which it is awaited how they end, to count those that fail in a row: of more at once the
/// oldest are not counted.
pub const AWAITED_MAX: usize = 256;
/// Most failed runs that a schedule names that has paused itself.
pub const FAILURES_NAMED_MAX: usize = 5;
/// Most runs by hand of one job that wait for others to be over.
pub const ASKED_KEPT_MAX: usize = 16;
/// Longest reason for which a run by hand is dropped, in bytes: the record of its schedule names it until it was told.
pub const ASKED_REASON_MAX: usize = 256;
/// So many runs by hand that have their answer are known by their places in the submit stream: more than come in again
/// where a message is delivered twice.
pub const ANSWERED_KEPT_MAX: usize = 32;
/// Longest name of a backfill, in bytes: the id of each of its runs has it.
pub const BACKFILL_NAME_MAX: usize = 16;
/// Most nominal times of one backfill: each is a run with a ledger of its own.
pub const BACKFILL_FIRES_MAX: u64 = FIRES_COUNTED_MAX;
/// Most runs of one backfill that are open at once.
pub const BACKFILL_OPEN_MAX: u32 = UNOPENED_MAX as u32;
/// Most backfills of one job that are under way at once.
pub const BACKFILLS_MAX: usize = 8;
/// Most backfills of one job that are remembered; of those that are over the oldest go first.
pub const BACKFILLS_KEPT_MAX: usize = 32;

/// How long after its opening the alarm of a fire is raised that has no answer: longer than an election of the broker
/// and a change of leaders together.
pub const ALARM_AFTER: Duration = Duration::from_secs(40);
/// An alarm stays as it is where it would be right about the next fire too, which is then late by at least so much; and
/// so long before it would be raised a planner that is there puts it off. Longer than a change of leaders takes.
pub const ALARM_MARGIN: Duration = Duration::from_secs(15);
/// So long after an alarm of a fire was raised a worker looks whether it still stands: longer than a planner waits until
/// it believes in a broker's clock that jumped.
pub const ALARM_CONFIRMED: Duration = Duration::from_secs(20);
/// A run that is over so soon after it had to be is in time: its end has to be recorded and heard of.
pub const OVERDUE_GRACE: Duration = Duration::from_secs(5);
/// Largest alarm, its headers included.
pub const ALARM_BYTES_MAX: usize = 4_096;

/// Largest record of a schedule: beside a schedule of many expressions fewer fires wait.
pub const FIRES_RECORD_MAX: usize = RECORD_MIN;
/// So many fires may wait beside the largest schedule.
pub const FIRES_KEPT_SURELY: usize = 32;
/// Bytes of a fire that waits, in the record of its schedule.
pub const FIRE_BYTES: usize = RUN_ID_MAX + 104;
/// Bytes of a run by hand that waits, likewise.
const ASKED_BYTES: usize = 2 * RUN_ID_MAX + 128 + ASKED_REASON_MAX;
/// Bytes of a date or range of a calendar.
const DATES_BYTES: usize = 21 + KEY_MORE;
/// Bytes of a schedule: most are its expressions.
pub(super) const SCHEDULE_BYTES: usize = CRON_LIST_MAX * (CRON_BYTES_MAX + KEY_MORE)
    + 2 * DAYS_LIST_MAX * (NAME_MAX + KEY_MORE)
    + ENVELOPE_MAX;

const _: () = {
    assert!(
        FIRES_KEPT_MAX as usize * FIRE_BYTES + ASKED_KEPT_MAX * ASKED_BYTES + ENVELOPE_MAX
            <= RECORD_MIN,
        "the fires and runs by hand that wait fit into the record of their schedule"
    );
    assert!(
        NAME_MAX + "_b_".len() + BACKFILL_NAME_MAX + "_20260101T000000000Z".len() <= RUN_ID_MAX,
        "the run of a backfill has an id"
    );
    assert!(
        BACKFILLS_MAX < BACKFILLS_KEPT_MAX,
        "a backfill that is under way is remembered"
    );
    assert!(
        CALENDAR_DATES_MAX * DATES_BYTES + ENVELOPE_MAX <= RECORD_MIN,
        "a calendar fits into a message"
    );
    assert!(
        AT_LIST_MAX * 32 <= CRON_LIST_MAX * CRON_BYTES_MAX,
        "of a schedule, expressions are the largest"
    );
    assert!(
        ALARM_MARGIN.as_secs() < ALARM_AFTER.as_secs()
            && OVERDUE_GRACE.as_secs() < ALARM_CONFIRMED.as_secs(),
        "an alarm is put off before it is raised"
    );
    assert!(
        8 * RUN_ID_MAX + 512 <= ALARM_BYTES_MAX,
        "an alarm names its subject, its target and its run"
    );
    assert!(
        WINDOW_MIN.as_secs() < WINDOW_MAX.as_secs() && EVERY_MIN.as_secs() < EVERY_MAX.as_secs()
    );
};
