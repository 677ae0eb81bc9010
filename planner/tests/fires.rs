//! Golden scripts of what becomes of nominal times, without a broker: `fires/NAME.txt` holds what happens to a job,
//! `fires/NAME.out` the same lines with the records that follow. One test a file, and
//! for each overlap policy where the script says `OVERLAP`.
//!
//! | line | what happens |
//! |------|--------------|
//! | `apply`, then lines of `[schedule]` further in | the job has this schedule |
//! | `delete` | the job is gone |
//! | `at TIME` | it is that late; the leader decides until there is nothing to decide |
//! | `over`, `fail`, `cancelled` | all open runs of the job end, and how; `over NOMINAL`, `fail NOMINAL`: that one |
//! | `run` | a run by hand is opened |
//! | `ask POLICY` | a run by hand is asked for, with that overlap policy: `nightly_s_1` and so on |
//! | `cancel N` | somebody cancels the one of that number before it is open |
//! | `unfit N`, `fit N` | whether the job takes what was asked for |
//! | `delete job` | as `delete`, and nothing by hand can be opened any more |
//! | `again NUMBER` | the run by hand that was asked for as the NUMBER-th comes in once more, behind its answer |
//! | `lost MANY` | the submit stream lost so many of its last messages: their places come again |
//! | `pause`, `freeze`, `resume [POLICY]`, `thaw` | of the job, of all jobs |
//! | `openings fail`, `openings work` | whether the leader gets to open runs, and to write a pause of its own |
//! | `leader away`, `leader back` | whether there is one; who is back knows the ledger alone |
//! | `forgotten` | nobody knows any more when runs ended but of those that the last record names |
//! | `deposed` | the leader that was sent away last goes on with what it had read |
//! | `wakes` | when the leader looks again by itself |
//! | `calendar`, then lines of a calendar | the calendar `office` says this from now on; `calendar gone`: it is deleted |
//! | `zones`, then lines | the zone database says otherwise from now on: as if the schedule had these lines |
//!
//! `UPDATE_SCRIPTS=1 cargo test -p gridloom-planner --test fires` rewrites the outputs.

#![expect(
    clippy::unwrap_used,
    reason = "what scripts say and where they stand is known"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "fire/check.rs"]
mod check;
#[path = "fire/property.rs"]
mod property;
#[path = "fire/script.rs"]
mod script;
#[path = "fire/show.rs"]
mod show;
#[path = "fire/world.rs"]
mod world;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fires")
}

fn play(name: &str, policy: Option<&str>) {
    let input = folder().join(format!("{name}.txt"));
    let mut text = std::fs::read_to_string(&input).unwrap();
    assert_eq!(text.contains("OVERLAP"), policy.is_some());
    let mut output = name.to_owned();
    if let Some(policy) = policy {
        text = text.replace("OVERLAP", &format!("overlap = \"{policy}\""));
        output = format!("{name}.{policy}");
    }
    let told = script::play(&text).unwrap_or_else(|why| panic!("{output}: {why}"));
    let path = folder().join(format!("{output}.out"));
    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        std::fs::write(&path, told).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        told == expected,
        "the records are others than fires/{output}.out has; now:\n{told}\n\
         If they are meant: UPDATE_SCRIPTS=1 cargo test -p gridloom-planner --test fires {name}"
    );
}

macro_rules! scripts {
    (each: $($each:ident)*; one: $($one:ident)*) => {
        $(
            #[test]
            fn $each() {
                for policy in ["skip", "queue_one", "queue_all", "cancel_running", "allow"] {
                    play(stringify!($each), Some(policy));
                }
            }
        )*

        $(
            #[test]
            fn $one() {
                play(stringify!($one), None);
            }
        )*

        #[test]
        fn every_script_has_its_test() {
            let files = std::fs::read_dir(folder()).unwrap();
            let found: BTreeSet<String> = files
                .filter_map(|file| Some(file.unwrap().file_name().to_str()?.strip_suffix(".txt")?.to_owned()))
                .collect();
            let tested = BTreeSet::from([$(stringify!($each),)* $(stringify!($one)),*].map(str::to_owned));
            assert_eq!(found, tested);
        }
    };
}

scripts! {
    each:
    clock_jumped
    deleted_and_applied_again
    edited
    healthy
    leader_dies_around_a_fire
    paused
    planner_away_for_an_hour
    zones_changed;
    one:
    after_a_run_by_hand
    after_the_last_run
    asked_for_and_dropped
    asked_for_by_hand
    asked_for_by_more_than_may_wait
    asked_for_of_a_job_without_a_schedule
    asked_for_in_a_place_that_came_again
    asked_for_twice
    applied_with_a_clock_that_was_ahead
    applied_with_an_end_that_is_past
    at_times
    calendar_after_the_last_run
    calendar_changes
    calendar_changes_while_nobody_leads
    calendar_comes_late
    calendar_is_deleted
    calendar_is_missing_and_the_job_is_edited
    deleted_while_nobody_led
    edited_inside_an_excluded_stretch
    edited_while_paused
    ends
    excluded
    frozen
    max_fires
    misfire_of_millions
    misfire_run_all
    misfire_run_once
    misfire_skip
    missed_around_an_excluded_day
    moved_by_a_gap
    openings_that_fail
    pauses_after_failures
    paused_inside_a_freeze
    queue_that_is_full
    resumed_while_nobody_led
    resumed_with_all
    resumed_with_once
    resumed_with_skip
}
