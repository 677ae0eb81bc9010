//! Which streams and buckets a backup holds, in which order they are read (decision 39), and which of them a second site
//! follows. It reads nothing.

use super::Kept;

/// Those that hold what nothing else holds, in the order in which they are read while all goes on.
///
/// | before | after | why |
/// |--------|-------|-----|
/// | submit | state | a submission is acknowledged once it stands in a key, or its run in the ledger |
/// | state | ledger, history | a key of a run by hand goes once it is opened or refused on record; a backfill's is written before its runs are opened |
/// | runs | ledger | a summary follows from records: an older one is written again |
/// | ledger | history | a fire is on record before its run is opened; records of later than the ledger are taken out again |
/// | history | jobs | a record follows from a definition |
///
/// The queue, its registers and consumers are made from the ledger; alarms are armed and workers registered again.
pub const IN_ORDER: [Kept; 6] = [
    Kept::Submit,
    Kept::State,
    Kept::Runs,
    Kept::Ledger,
    Kept::History,
    Kept::Jobs,
];

/// What a second site follows: all of a backup, but submissions. A stream from which what was answered is removed cannot
/// be followed.
pub fn followed() -> impl Iterator<Item = Kept> {
    IN_ORDER.into_iter().filter(|kept| *kept != Kept::Submit)
}
