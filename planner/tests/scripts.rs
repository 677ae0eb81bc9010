//! Golden scripts of a leadership's decisions, without a broker: `scripts/NAME.txt` holds what happens,
//! `scripts/NAME.out` the same lines with what the leadership does about each. One test a file.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`line`] | one line of a script: its words |
//! | [`broker`] | ledger, queue and register, as a broker would hold them |
//! | [`errands`] | what a leadership has begun and is not done with |
//! | [`world`] | all of it together: the leadership, the workers, time |
//! | [`verbs`], [`ends`], [`records`], [`rivals`] | what the lines mean |
//! | [`jobs`] | the job that an `open` line describes |
//! | [`simulate`] | seconds of ordinary work in one line |
//! | [`show`] | actions as text |
//! | [`check`] | what must hold over the whole story |
//!
//! `UPDATE_SCRIPTS=1 cargo test -p gridloom-planner --test scripts` rewrites the outputs. The language is
//! described in docs/TESTING.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "script/broker.rs"]
mod broker;
#[path = "script/check.rs"]
mod check;
#[path = "script/ends.rs"]
mod ends;
#[path = "script/errands.rs"]
mod errands;
#[path = "script/jobs.rs"]
mod jobs;
#[path = "script/line.rs"]
mod line;
#[path = "script/records.rs"]
mod records;
#[path = "script/rivals.rs"]
mod rivals;
#[path = "script/show.rs"]
mod show;
#[path = "script/simulate.rs"]
mod simulate;
#[path = "script/verbs.rs"]
mod verbs;
#[path = "script/world.rs"]
mod world;

/// What a line came to, or why it cannot be.
type Told<T> = Result<T, String>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

fn script(name: &str) {
    let (input, output) = (
        folder().join(format!("{name}.txt")),
        folder().join(format!("{name}.out")),
    );
    let text = match std::fs::read_to_string(&input) {
        Ok(text) => text,
        Err(error) => panic!("{}: {error}", input.display()),
    };
    let told = match world::play(&text) {
        Ok(told) => told,
        Err(why) => panic!("{name}: {why}"),
    };
    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        if let Err(error) = std::fs::write(&output, told) {
            panic!("{}: {error}", output.display());
        }
        return;
    }
    let expected = std::fs::read_to_string(&output).unwrap_or_default();
    assert!(
        told == expected,
        "{name}: the decisions are others than scripts/{name}.out has (- expected, + decided):\n{}\n\
         If they are meant: UPDATE_SCRIPTS=1 cargo test -p gridloom-planner --test scripts {name}",
        difference(&expected, &told)
    );
}

/// The lines in which two texts differ, with some around them.
fn difference(old: &str, new: &str) -> String {
    const AROUND: usize = 3;
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(&new).take_while(same).count();
    let most = old.len().min(new.len()) - head;
    let ends = old.iter().rev().zip(new.iter().rev());
    let tail = ends.take(most).take_while(same).count();
    let before = &old[head.saturating_sub(AROUND)..head];
    let after = &old[old.len() - tail..(old.len() - tail + AROUND).min(old.len())];
    let mut text = format!("  (line {})\n", head + 1);
    let mut add = |mark: &str, lines: &[&str]| {
        for line in lines {
            text.push_str(&format!("{mark} {line}\n"));
        }
    };
    add(" ", before);
    add("-", &old[head..old.len() - tail]);
    add("+", &new[head..new.len() - tail]);
    add(" ", after);
    text
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                script(stringify!($name));
            }
        )*

        #[test]
        fn every_script_has_its_test() {
            let files = std::fs::read_dir(folder()).unwrap();
            let found: BTreeSet<String> = files
                .filter_map(|file| Some(file.unwrap().file_name().to_str()?.strip_suffix(".txt")?.to_owned()))
                .collect();
            let tested = BTreeSet::from([$(stringify!($name).to_owned()),*]);
            assert_eq!(found, tested);
        }
    };
}

scripts! {
    abort_after
    abort_after_default
    abort_after_lifted
    begun_and_cancelled
    begun_and_deposed_before_it_is_published
    begun_and_its_answer_lost
    begun_and_read_before_its_answer
    begun_as_often_as_there_is_room
    begun_by_a_deposed_planner
    begun_under_a_term_that_came_again
    begun_where_there_is_no_room_for_it
    begun_with_its_opening
    broker_clock_unknown
    cancel_after_the_close_is_on_its_way
    cancel_of_a_run_on_the_shelf
    cancel_races_the_last_outcome
    cancel_while_a_wave_is_being_decided
    cancel_while_the_queue_is_compared
    cancel_while_tiles_are_published_again
    cancel_while_workers_are_asked
    cancel_with_a_wave_on_its_way
    clock_in_doubt
    clock_jumps_back
    clock_jumps_forward
    close_outrun_by_a_retry
    closed_by_a_rival_and_reopened
    concurrency_over_a_change_of_leader
    concurrency_over_two_runs
    concurrency_with_a_foreign_wave
    cut_off_from_everybody
    decided_after_deposition
    deposed_between_decide_and_publish
    deposed_by_a_higher_term
    drop_of_a_closed_run
    fairness_by_weight
    fairness_of_unlike_shards
    handler_that_goes_away
    hold
    hold_of_a_resource
    job_that_moved_to_another_queue
    lanes_of_other_workers
    lanes_that_share_workers
    last_worker_of_a_handler_goes
    late_answers_of_a_lost_run
    late_listing_of_a_reopened_run
    late_order_of_a_lost_run
    late_success_of_a_retried_shard
    ledger_lost
    listing_from_before_a_claim
    listing_under_an_older_register
    listing_waits_for_the_ledger
    lost_answer_and_all_landed
    lost_answer_and_nothing_landed
    many_slices
    no_handler_then_a_worker_with_it
    no_room_for_many
    no_room_on_the_queue
    no_worker
    opened_with_another_nonce
    order_read_back_before_it_is_heard_of
    order_said_again
    outrun_by_a_deposed_planner
    outrun_by_the_same_wave
    priority_rises_by_waiting
    probe_that_finds_nothing_or_dies
    probe_with_cursor
    queue_full
    queue_lost_with_a_wave_on_its_way
    queue_made_anew_for_the_claim
    queue_purged_and_nobody_noticed
    queue_worn
    rate
    rate_over_a_change_of_leader
    records_of_a_run_that_nobody_opened
    refill_finds_all_held
    refused_batch
    retry_across_a_change_of_leader
    retry_not_written_before_the_change
    retry_of_an_open_run
    retry_of_probed_pages
    retry_while_records_arrive
    retry_with_backoff
    rows_grid
    run_from_submission_to_end
    silent_worker
    small_run_beside_a_giant_of_its_job
    small_run_beside_another_giant
    stopping_worker
    submission_read_before_its_answer
    tile_handed_back_of_which_the_queue_has_no_message
    tile_nobody_has_comes_back
    two_priorities
    two_waves_in_flight
    unreadable_planner_record
    unreadable_record
    unsendable_wave
    unwritable_order
    unwritable_wave
    urgent_over_several_lanes
    vanished_run
    vanished_while_a_wave_is_decided
    worker_dies_in_a_window
    worker_dies_with_a_lost_message
    zombie_s_failure_comes_back
}
