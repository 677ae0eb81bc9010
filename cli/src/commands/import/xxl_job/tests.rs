use std::path::Path;

use super::super::rows;
use super::*;

/// The columns of release 2.4, in the order of its script.
const COLUMNS: &str = "id,job_group,job_desc,add_time,update_time,author,alarm_email,schedule_type,schedule_conf,misfire_strategy,executor_route_strategy,executor_handler,executor_param,executor_block_strategy,executor_timeout,executor_fail_retry_count,glue_type,glue_source,glue_remark,glue_updatetime,child_jobid,trigger_status,trigger_last_time,trigger_next_time";
/// The row that its script begins with, running.
const SAMPLE: &str = "1,1,测试任务1,2018-11-03 22:21:31,2018-11-03 22:21:31,XXL,,CRON,0 0 0 * * ? *,DO_NOTHING,FIRST,demoJobHandler,,SERIAL_EXECUTION,0,0,BEAN,,GLUE代码初始化,2018-11-03 22:21:31,,1,0,0";

/// The sample with other values in some columns.
fn row(changes: &[(&str, &str)]) -> Node {
    let names = COLUMNS.split(',');
    let cells = names.zip(SAMPLE.split(',')).map(|(name, usual)| {
        let changed = changes.iter().find(|(known, _)| *known == name);
        let text = changed.map_or(usual, |(_, text)| text);
        (name.to_owned(), Node::Text(text.to_owned()))
    });
    Node::Table(cells.collect())
}

fn one(changes: &[(&str, &str)]) -> Imported {
    let rows = [row(changes)];
    Table::of(&rows, Some("Asia/Shanghai"), None).import(&rows[0])
}

#[test]
fn row_that_the_script_begins_with_is_a_job_and_each_column_is_told() {
    let text = format!("{COLUMNS}\n{SAMPLE}\n");
    let rows = rows::read(Path::new("a.csv"), &text, KNOWN).unwrap();
    let table = Table::of(&rows, Some("Asia/Shanghai"), None);
    let job = table.import(&rows[0]);
    let spec = job.spec();
    assert_eq!(
        (
            spec.name.as_str(),
            spec.handler.as_str(),
            spec.grid.slices,
            spec.retry.max_attempts
        ),
        ("demo-job-handler", "demo-job-handler", 1, 1)
    );
    assert_eq!((job.was.as_str(), job.paused), ("1 (测试任务1)", false));
    let file = job.file();
    for line in [
        "# From XXL-JOB's job 1.",
        "# 测试任务1 (XXL)",
        "cron = \"0 0 0 * * ? *\"",
        "timezone = \"Asia/Shanghai\"",
        "overlap = \"queue_all\"",
        "misfire = { policy = \"skip\" }",
    ] {
        assert!(file.contains(line), "{line} in\n{file}");
    }
    let wanted = [
        (Kind::Changed, "id"),
        (Kind::Changed, "executor_handler"),
        (Kind::Changed, "executor_route_strategy"),
        (Kind::Changed, "executor_block_strategy"),
        (Kind::Changed, "misfire_strategy"),
        (Kind::Dropped, "job_group"),
    ];
    assert_eq!(job.said(), wanted);
    let mut notes = Vec::new();
    table.notes(&rows, &mut notes);
    let told: Vec<&str> = notes.iter().map(|note| note.field.as_str()).collect();
    assert_eq!(told, HISTORY);
}

#[test]
fn job_of_the_page_becomes_the_file_that_the_page_shows() {
    let page = include_str!("../../../../../docs/COMING-FROM-XXL-JOB.md");
    let block = |begin: &str| {
        let (_, rest) = page.split_once(begin).unwrap();
        rest.split("```").next().unwrap()
    };
    let rows = rows::read(Path::new("job.json"), block("```json\n"), KNOWN).unwrap();
    let job = Table::of(&rows, Some("Asia/Shanghai"), Some(4)).import(&rows[0]);
    assert_eq!(job.file(), block("```toml\n"));
    assert!(!job.is_open(), "{:?}", job.notes);
    for column in COLUMNS.split(',').chain(["job_cron", "schedule_timezone"]) {
        assert!(page.contains(&format!("`{column}")), "{column}");
    }
}

#[test]
fn every_column_is_taken_or_told_whatever_it_says() {
    // What a note needs to be about: a value that does something.
    let changes = [
        ("schedule_type", "FIX_RATE"),
        ("schedule_conf", "30"),
        ("alarm_email", "me@example.org"),
        ("executor_param", "a"),
        ("executor_timeout", "7"),
        ("executor_fail_retry_count", "2"),
        ("child_jobid", "2,3"),
        ("trigger_status", "0"),
        ("glue_source", "x"),
    ];
    let job = one(&changes);
    let file = job.file();
    let taken = ["job_desc", "author", "schedule_conf"];
    for column in COLUMNS.split(',') {
        let is_told = job.said().iter().any(|(_, field)| *field == column);
        let is_history = HISTORY.contains(&column);
        assert!(
            is_told || is_history || taken.contains(&column) || column == "glue_type",
            "{column}: {:?}",
            job.notes
        );
    }
    for line in [
        "every = \"30s\"",
        "executorParam = \"a\"",
        "timeout = \"7s\"",
        "max_attempts = 3",
    ] {
        assert!(file.contains(line), "{line} in\n{file}");
    }
    assert!(job.place().starts_with("paused"));
    let unknown = Node::Table(match row(&[]) {
        Node::Table(mut entries) => {
            entries.push(("super_task_id".to_owned(), Node::Text("7".to_owned())));
            entries
        }
        _ => Vec::new(),
    });
    let job = Table::of(&[], Some("UTC"), None).import(&unknown);
    assert!(job.said().contains(&(Kind::Open, "super_task_id")));
}

#[test]
fn what_becomes_of_a_fire_that_cannot_be_has_other_words() {
    for (there, here) in [
        ("SERIAL_EXECUTION", "queue_all"),
        ("DISCARD_LATER", "skip"),
        ("COVER_EARLY", "cancel_running"),
        ("", "queue_all"),
    ] {
        let file = one(&[("executor_block_strategy", there)]).file();
        assert!(
            file.contains(&format!("overlap = \"{here}\"")),
            "{there}: {file}"
        );
    }
    for (there, here) in [
        ("DO_NOTHING", "skip"),
        ("FIRE_ONCE_NOW", "run_once"),
        ("", "skip"),
    ] {
        let file = one(&[("misfire_strategy", there)]).file();
        assert!(
            file.contains(&format!("policy = \"{here}\"")),
            "{there}: {file}"
        );
    }
}

#[test]
fn broadcast_needs_the_number_of_its_slices() {
    let rows = [row(&[("executor_route_strategy", "SHARDING_BROADCAST")])];
    let asked = Table::of(&rows, Some("UTC"), None).import(&rows[0]);
    assert!(
        asked
            .said()
            .contains(&(Kind::Open, "executor_route_strategy"))
    );
    let told = Table::of(&rows, Some("UTC"), Some(4)).import(&rows[0]);
    assert!(!told.is_open(), "{:?}", told.notes);
    assert_eq!(told.spec().grid.slices, 4);
    // Of no other job.
    let other = [row(&[("executor_route_strategy", "ROUND")])];
    let other = Table::of(&other, Some("UTC"), Some(4)).import(&other[0]);
    assert_eq!(other.spec().grid.slices, 1);
    assert!(
        other
            .said()
            .contains(&(Kind::Dropped, "executor_route_strategy"))
    );
}

#[test]
fn time_zone_has_to_be_said_unless_the_table_does() {
    let of = |rows: &[Node], zone| Table::of(rows, zone, None).import(&rows[0]);
    let plain = [row(&[])];
    assert!(
        of(&plain, None)
            .said()
            .contains(&(Kind::Open, "schedule_conf"))
    );
    let by_hand = [row(&[
        ("schedule_type", "NONE"),
        ("schedule_conf", ""),
        ("trigger_status", "0"),
    ])];
    let job = of(&by_hand, None);
    assert!(!job.is_open() && !job.paused, "{:?}", job.notes);
    assert!(job.spec().schedule.is_none());
    let later = Node::Table(match row(&[]) {
        Node::Table(mut entries) => {
            entries.push((
                "schedule_timezone".to_owned(),
                Node::Text("Europe/Berlin".to_owned()),
            ));
            entries
        }
        _ => Vec::new(),
    });
    let file = of(&[later], Some("UTC")).file();
    assert!(file.contains("timezone = \"Europe/Berlin\""), "{file}");
    assert!(
        file.contains("dst = { gap = \"skip\", overlap = \"second\" }\n"),
        "{file}"
    );
}

#[test]
fn row_of_an_older_release_fires_by_its_cron() {
    let text = "id;job_group;job_cron;job_desc;executor_handler;glue_type;trigger_status\n7;1;0 0 2 * * ?;d;h;BEAN;1\n";
    let rows = rows::read(Path::new("-"), text, KNOWN).unwrap();
    let job = Table::of(&rows, Some("UTC"), None).import(&rows[0]);
    assert!(
        job.file().contains("cron = \"0 0 2 * * ?\""),
        "{}",
        job.file()
    );
    assert!(!job.is_open(), "{:?}", job.notes);
}

#[test]
fn jobs_of_one_handler_are_told_apart_by_their_numbers_and_groups_are_queues() {
    let rows = [
        row(&[("id", "7")]),
        row(&[("id", "8"), ("job_group", "2")]),
        row(&[("id", "9"), ("executor_handler", "other")]),
        row(&[
            ("id", "10"),
            ("executor_handler", ""),
            ("glue_type", "GLUE_SHELL"),
            ("glue_source", "echo"),
        ]),
    ];
    let table = Table::of(&rows, Some("UTC"), None);
    let jobs: Vec<Imported> = rows.iter().map(|row| table.import(row)).collect();
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "demo-job-handler-7",
            "demo-job-handler-8",
            "other",
            "job-10"
        ]
    );
    let queues: Vec<String> = jobs
        .iter()
        .map(|job| job.spec().queue.to_string())
        .collect();
    assert_eq!(queues, ["group-1", "group-2", "group-1", "group-1"]);
}

#[test]
fn script_of_the_table_is_a_file_and_gets_what_it_got() {
    let script = "#!/bin/bash\necho \"$1 of $2 $3\"\n";
    let job = one(&[
        ("glue_type", "GLUE_SHELL"),
        ("executor_handler", ""),
        ("glue_source", script),
        ("executor_param", "it's \"7\" $HOME"),
    ]);
    let (place, text) = job.script().unwrap();
    assert_eq!((place.to_str(), text), (Some("scripts/job-1.sh"), script));
    let workers: toml::Table = toml::from_str(&job.command(Path::new("")).unwrap()).unwrap();
    let args = workers["job-1"]["args"].as_array().unwrap();
    let args: Vec<&str> = args.iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(
        args,
        [
            "-c",
            "exec bash \"$1\" \"$2\" \"$GRIDLOOM_SLICE\" \"$GRIDLOOM_SLICES\"",
            "sh",
            "scripts/job-1.sh",
            "it's \"7\" $HOME"
        ]
    );
    assert_eq!(job.spec().handler.as_str(), "exec");
    assert!(!job.is_open(), "{:?}", job.notes);
    let java = one(&[("glue_type", "GLUE_GROOVY"), ("glue_source", "class X {}")]);
    assert!(java.said().contains(&(Kind::Open, "glue_type")));
}

#[test]
fn handlers_of_the_samples_are_built_in_here() {
    let param = "url: https://shop.example/a?b={c}\nmethod: post\ndata: x\n";
    let job = one(&[
        ("executor_handler", "httpJobHandler"),
        ("executor_param", param),
    ]);
    let sent = serde_json::json!({
        "url": "https://shop.example/a?b={{c}", "method": "POST", "body": "x", "success": [200], "timeout": "8s",
        "headers": {"content-type": "application/json;charset=UTF-8"},
    });
    let spec = job.spec();
    assert_eq!((spec.handler.as_str(), &spec.settings), ("http", &sent));
    assert_eq!(job.service(), Some("https://shop.example"));
    assert!(!job.is_open(), "{:?}", job.notes);
    for bad in [
        "",
        "{\"url\": 7}",
        "url: nowhere\nmethod: get",
        "url: http://h\nmethod: trace",
    ] {
        let job = one(&[
            ("executor_handler", "httpJobHandler"),
            ("executor_param", bad),
        ]);
        assert!(
            job.said().contains(&(Kind::Open, "executor_param")),
            "{bad}"
        );
    }
    let command = one(&[
        ("executor_handler", "commandJobHandler"),
        ("executor_param", "ls -l 'a b'"),
    ]);
    assert_eq!(
        command.command(Path::new("")).unwrap(),
        "command-job-handler = \"ls -l 'a b'\""
    );
}

#[test]
fn what_nobody_can_know_needs_an_answer() {
    for (column, value) in [
        ("schedule_type", "SOMETIMES"),
        ("schedule_conf", "* * * * *"),
        ("schedule_conf", ""),
        ("misfire_strategy", "PERHAPS"),
        ("executor_route_strategy", "WEIGHT"),
        ("executor_block_strategy", "CONCURRENT_EXECUTION"),
        ("executor_timeout", "soon"),
        ("executor_fail_retry_count", "often"),
        ("executor_handler", ""),
        ("glue_type", "SQL"),
        ("child_jobid", "7"),
        ("trigger_status", ""),
        ("trigger_status", "2"),
        ("id", ""),
    ] {
        let job = one(&[(column, value)]);
        assert!(
            job.said().contains(&(Kind::Open, column)),
            "{column} = {value:?}: {:?}",
            job.notes
        );
    }
    let refused = one(&[("schedule_conf", "0 0 99 * * ?")]);
    assert!(
        refused.said().contains(&(Kind::Open, "")),
        "{:?}",
        refused.notes
    );
    let much = one(&[("executor_fail_retry_count", "99999999999")]);
    assert!(much.said().contains(&(Kind::Open, "")), "{:?}", much.notes);
}

#[test]
fn hostile_texts_stay_inside_their_quotes() {
    let evil = "x\"\n[schedule]\ncron = \"* * * * *\"";
    let job = one(&[
        ("job_desc", evil),
        ("author", evil),
        ("executor_param", evil),
        ("schedule_type", "NONE"),
        ("job_group", evil),
    ]);
    let spec = job.spec();
    assert_eq!(spec.params["executorParam"], evil);
    assert!(spec.schedule.is_none());
}
