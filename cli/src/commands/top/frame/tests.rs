use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::reads::by_hand::WaitingRun;
use gridloom_shared::waiting::Waiting;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::cells::{Block, Cells};
use super::super::snapshot::Pause;
use super::made_up::{detail, ended, run, snapshot, worker};
use super::*;

const PLAIN: Look = Look {
    colour: false,
    utf8: false,
};
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn state() -> State {
    let mut state = State::default();
    state.take(snapshot());
    state
}

fn picture(state: &State, look: Look, (columns, rows): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let paint = |frame: &mut ratatui::Frame<'_>| {
        let area = frame.area();
        super::paint(frame.buffer_mut(), area, state, look);
    };
    terminal.draw(paint).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(state: &State, size: (u16, u16)) -> Vec<String> {
    let text = crate::output::screen::text(&picture(state, PLAIN, size));
    text.lines().map(str::to_owned).collect()
}

/// The line that holds this text.
fn line<'l>(lines: &'l [String], text: &str) -> &'l str {
    let found = lines.iter().find(|line| line.contains(text));
    found.unwrap_or_else(|| panic!("no {text:?} in\n{}", lines.join("\n")))
}

/// What stands in a box, without its sides and the ends of its lines.
fn words(lines: &[String]) -> String {
    let words = lines.iter().flat_map(|line| line.split([' ', '|']));
    let words = words.filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn press(state: &mut State, code: KeyCode) {
    let _ = state.key(KeyEvent::new(code, KeyModifiers::NONE));
}

#[test]
fn all_four_panes_are_there_at_every_size() {
    for size in SIZES {
        let lines = lines(&state(), size);
        assert_eq!(lines.len(), usize::from(size.1));
        let head = line(&lines, "nats://127.0.0.1:4222");
        assert!(
            head.contains("planner-a leads, term 7, 1 stands by"),
            "{head}"
        );
        line(&lines, "250 shards/s  1 run open");
        for text in ["Queues", "Runs 1 open", "Workers", "Log (UTC)", "? keys"] {
            line(&lines, text);
        }
        let run = line(&lines, "nightly_s_1");
        for text in ["3,000/12,000", "25%", "250/s, 36 s left"] {
            assert!(run.contains(text), "{run}");
        }
        assert!(line(&lines, "images_s_9").contains("failed, 3 dead"));
        line(&lines, "none has it");
        assert!(line(&lines, "worker-a").contains("[##------] 4/16"));
        line(&lines, "13:00:04   worker worker-b took over 3 tiles");
    }
}

#[test]
fn queues_and_workers_stand_beside_each_other_where_there_is_room() {
    let beside = |size| line(&lines(&state(), size), "Queues").contains("Workers");
    assert!(!beside((80, 24)));
    assert!(beside((120, 40)) && beside((200, 60)));
}

#[test]
fn nothing_is_told_by_a_colour_alone_and_none_is_there_where_none_is_wanted() {
    let coloured = Look {
        colour: true,
        utf8: false,
    };
    let (with, without) = (
        picture(&state(), coloured, (80, 24)),
        picture(&state(), PLAIN, (80, 24)),
    );
    let letters = |of: &Buffer| crate::output::screen::text(of);
    assert_eq!(letters(&with), letters(&without));
    let has_colour = |of: &Buffer| {
        let mut cells = of.content().iter();
        cells.any(|cell| cell.fg != ratatui::style::Color::Reset)
    };
    assert!(has_colour(&with) && !has_colour(&without));
    assert!(letters(&without).is_ascii());
}

#[test]
fn no_size_and_no_state_is_too_much() {
    let mut all = vec![State::default(), state()];
    let mut many = state();
    let mut crowded = snapshot();
    crowded.runs = (0..250)
        .map(|n| run(&format!("job_s_{n}"), (0, 0, 0)))
        .collect();
    crowded.workers = (0..99).map(|n| worker(&format!("w-{n}"), (0, 0))).collect();
    many.take(crowded);
    press(&mut many, KeyCode::End);
    all.push(many.clone());
    for code in [
        KeyCode::Char('?'),
        KeyCode::Char('c'),
        KeyCode::Enter,
        KeyCode::Char('f'),
    ] {
        let mut other = many.clone();
        press(&mut other, code);
        all.push(other);
    }
    for state in &all {
        for columns in [1, 10, 59, 60, 80, 121, 300] {
            for rows in [1, 5, 16, 17, 24, 100] {
                let look = PLAIN;
                picture(state, look, (columns, rows));
                let area = Rect::new(0, 0, columns, rows);
                let wanted = wanted(area, state);
                assert!(wanted.runs.len() <= usize::from(rows));
            }
        }
    }
    let small = lines(&state(), (40, 10)).join(" ");
    assert!(small.contains("needs 60 columns"), "{small}");
}

#[test]
fn what_nobody_may_overlook_is_a_banner_the_gravest_first() {
    let mut state = state();
    let mut seen = snapshot();
    seen.planners.truncate(0);
    seen.pauses.push(Pause {
        job: None,
        words: "the schedules of all jobs are paused by ann".to_owned(),
    });
    seen.alarms.push("job nightly was to fire".to_owned());
    state.take(seen);
    let told = lines(&state, (80, 24));
    assert!(told[2].contains("NO LEADER"), "{told:?}");
    assert!(told[3].contains("FROZEN") && told[3].contains("by ann"));
    state.now = std::time::Duration::from_secs(30);
    state.linked(false);
    state.now = std::time::Duration::from_secs(42);
    state.linked(false);
    let told = lines(&state, (80, 24));
    assert!(told[2].contains("DISCONNECTED  the broker is away for 12 s"));
    assert!(told[2].contains("shown is 13:00:05 UTC"), "{}", told[2]);
    // What was seen last is still there.
    line(&told, "nightly_s_1");
    state.linked(true);
    assert!(!lines(&state, (80, 24))[2].contains("DISCONNECTED"));
}

#[test]
fn run_that_stands_still_says_what_it_waits_for() {
    let mut state = state();
    let mut seen = snapshot();
    let queue = gridloom_shared::id::QueueName::new("images").unwrap();
    seen.runs[0].waits.push(Waiting::NoWorker { queue });
    state.take(seen);
    for size in [(120, 40), (200, 60)] {
        let told = lines(&state, size);
        let run = line(&told, "nightly_s_1");
        assert!(
            run.contains("waits: no worker pulls from queue images"),
            "{run}"
        );
    }
    // Where its line is too short for that, the line of the selected run has it.
    let told = lines(&state, (80, 24));
    assert!(
        told[22].contains("waits: no worker pulls from queue images"),
        "{}",
        told[22]
    );
    // An id is shortened before that is cut.
    let mut seen = snapshot();
    seen.runs[0].summary.run = RunId::new(format!("nightly_r_{}", "0".repeat(32))).unwrap();
    seen.runs[0].waits.push(Waiting::NoHandler {
        queue: gridloom_shared::id::QueueName::new("default").unwrap(),
        handler: gridloom_shared::id::HandlerName::new("resize").unwrap(),
    });
    state.take(seen);
    let told = lines(&state, (80, 24));
    let words = "waits: no worker of queue default has handler resize";
    assert!(told[22].contains(words), "{}", told[22]);
}

#[test]
fn run_that_waits_to_be_opened_stands_behind_the_others() {
    let waits = |n: u64| WaitingRun {
        run: RunId::new(format!("nightly_s_{n}")).unwrap(),
        job: JobName::new("nightly").unwrap(),
        state: "waiting",
        overlap: "queue_all",
        asked_at: String::new(),
        waits_for: RunId::new("nightly_s_1").ok(),
        cancelled_by: None,
    };
    let mut seen = snapshot();
    seen.waiting = vec![waits(8), waits(7)];
    let mut state = State::default();
    state.take(seen);
    for size in SIZES {
        let lines = lines(&state, size);
        line(&lines, "Runs 1 open, 2 wait to be opened, sorted by newest");
        let place = |text: &str| lines.iter().position(|line| line.contains(text));
        let own = line(&lines, "nightly_s_8");
        assert!(own.contains("waiting: for nightly_s_1 to be over"), "{own}");
        assert!(place("images_s_9") < place("nightly_s_8"));
        assert!(place("nightly_s_8") < place("nightly_s_7"));
    }
    // They are found, and left out, by the same text as others.
    state.filter = "s_7".to_owned();
    let lines = lines(&state, SIZES[0]);
    line(&lines, "1 waits to be opened");
    assert!(!lines.iter().any(|line| line.contains("nightly_s_8")));
}

#[test]
fn question_names_the_shards_and_the_command_that_does_the_same() {
    let mut state = state();
    press(&mut state, KeyCode::Char('c'));
    let told = words(&lines(&state, (80, 24)));
    assert!(
        told.contains("9,000 of 12,000 shards are not done; 16 of them"),
        "{told}"
    );
    assert!(told.contains("gridloom cancel nightly_s_1"), "{told}");
    press(&mut state, KeyCode::Char('n'));
    assert!(lines(&state, (80, 24))[22].contains("nothing was done"));
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Char('r'));
    let told = words(&lines(&state, (80, 24)));
    assert!(
        told.contains("Try 3 dead shards of run images_s_9 again?"),
        "{told}"
    );
    assert!(told.contains("gridloom retry images_s_9"), "{told}");
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Char('p'));
    let told = words(&lines(&state, (80, 24)));
    assert!(told.contains("Pause the schedule of job images?"), "{told}");
    let job = Some(JobName::new("images").unwrap());
    press(&mut state, KeyCode::Esc);
    let mut seen = snapshot();
    seen.pauses.push(Pause {
        job,
        words: "paused".to_owned(),
    });
    state.take(seen);
    press(&mut state, KeyCode::Char('p'));
    let told = words(&lines(&state, (80, 24)));
    assert!(told.contains("gridloom job resume images"), "{told}");
}

#[test]
fn job_without_a_run_is_paused_and_all_of_them_are() {
    let mut state = state();
    press(&mut state, KeyCode::Char('P'));
    let told = lines(&state, (80, 24));
    for job in ["> images", "  nightly ", "  nightly-sums"] {
        line(&told, job);
    }
    for letter in "sums".chars() {
        press(&mut state, KeyCode::Char(letter));
    }
    let told = lines(&state, (80, 24));
    for words in ["its name holds: sums_", "> nightly-sums"] {
        line(&told, words);
    }
    assert!(
        !told.iter().any(|line| line.contains("> images")),
        "{told:?}"
    );
    press(&mut state, KeyCode::Enter);
    let told = words(&lines(&state, (80, 24)));
    assert!(
        told.contains("Pause the schedule of job nightly-sums?"),
        "{told}"
    );
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Char('F'));
    let told = words(&lines(&state, (80, 24)));
    assert!(
        told.contains("3 jobs with a schedule: none fires"),
        "{told}"
    );
    assert!(told.contains("gridloom job pause --all --note"), "{told}");
    press(&mut state, KeyCode::Esc);
    let mut seen = snapshot();
    let paused = |job: Option<&str>| Pause {
        job: job.map(|job| JobName::new(job).unwrap()),
        words: "paused".to_owned(),
    };
    seen.pauses = vec![paused(None), paused(Some("nightly"))];
    state.take(seen);
    press(&mut state, KeyCode::Char('P'));
    line(&lines(&state, (80, 24)), "  nightly  paused");
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Char('F'));
    let told = words(&lines(&state, (80, 24)));
    assert!(told.contains("1 stays paused by themselves"), "{told}");
    assert!(told.contains("gridloom job resume --all"), "{told}");
}

#[test]
fn numbers_are_not_cut_however_large_they_are() {
    let mut state = state();
    let mut seen = snapshot();
    seen.shards_per_s = Some(123_456.0);
    seen.runs_open = 12_345;
    seen.queues[0].pending = 123_456_789;
    seen.queues[0].in_flight = 1_234_567;
    seen.workers = (0..1_000)
        .map(|n| worker(&format!("w-{n}"), (1_000, 1_024)))
        .collect();
    state.take(seen);
    let of = |columns| lines(&state, (columns, 24))[1].clone();
    assert_eq!(
        of(80),
        " 123k/s  12,345 runs open  tiles: 1.2M held, 123M wait  1,000 workers: 1.0M/1.0M"
    );
    assert_eq!(
        of(140),
        " 123,456 shards/s  12,345 runs open  tiles: 1,234,567 in flight, 123,456,789 wait  1,000 workers: 1,000,000/1,024,000 slots"
    );
}

#[test]
fn keys_and_signs_are_told() {
    let mut state = state();
    press(&mut state, KeyCode::Char('?'));
    for size in SIZES {
        let told = lines(&state, size).join("\n");
        for text in [
            "gridloom cancel RUN",
            "gridloom retry RUN",
            "X dead",
            "Ctrl-C",
        ] {
            assert!(told.contains(text), "{text}: {told}");
        }
    }
}

#[test]
fn open_run_has_its_grid_its_failures_and_a_way_back() {
    use gridloom_shared::reads::failures::{FailedAlike, LastFailure};
    use gridloom_shared::tile::TileKind;
    let mut state = state();
    press(&mut state, KeyCode::Enter);
    line(&lines(&state, (80, 24)), "reading its ledger");
    let mut seen = snapshot();
    let mut of = detail(seen.runs[0].clone());
    let block = |done, dead| Block {
        cells: 4,
        done,
        dead,
        ..Block::default()
    };
    of.cells = Cells {
        slices_a_row: 2,
        pages_a_column: 2,
        rows: vec![
            vec![block(4, 0), block(1, 0)],
            vec![block(0, 1), block(0, 0)],
        ],
    };
    of.failures.errors.push(FailedAlike {
        error: "no such file\x1b[2J".to_owned(),
        failures: 1_200,
        alike: true,
        last: LastFailure {
            kind: TileKind::Page,
            slice: 0,
            page: 7,
            shard: "0/7".to_owned(),
            attempt: 2,
            held: false,
            at: seen.at.clone(),
        },
    });
    seen.detail = Some(of);
    state.take(seen);
    for size in SIZES {
        let told = lines(&state, size);
        line(&told, "a sign is 2 slices by 2 pages");
        let at = told.iter().position(|line| line == " #=").unwrap();
        assert_eq!(told[at + 1], " X.");
        let failed = line(&told, "1,200x no such file");
        assert!(
            failed.contains("\\x1b[2J") && failed.contains("shard 0/7"),
            "{failed}"
        );
        line(&told, "handler noop");
    }
    let area = Rect::new(0, 0, 80, 24);
    assert_eq!(wanted(area, &state).detail.unwrap().as_str(), "nightly_s_1");
    press(&mut state, KeyCode::Esc);
    line(&lines(&state, (80, 24)), "Runs 1 open");
    assert_eq!(wanted(area, &state).detail, None);
}

#[test]
fn only_runs_that_are_seen_are_read_closely() {
    let mut state = state();
    let mut seen = snapshot();
    seen.runs = (0..100)
        .map(|n| ended(&format!("job_s_{n}"), (1, 1, 0), RunState::Succeeded))
        .collect();
    state.take(seen);
    let area = Rect::new(0, 0, 80, 24);
    let first = wanted(area, &state);
    assert!((3..20).contains(&first.runs.len()), "{first:?}");
    press(&mut state, KeyCode::End);
    let last = wanted(area, &state);
    assert_eq!(last.runs.len(), first.runs.len());
    assert!(last.runs.iter().all(|run| !first.runs.contains(run)));
}
