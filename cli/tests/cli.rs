//! What can be seen of the command without a broker: usage, configuration, exit codes.

use std::path::Path;
use std::process::{Command, Output};

/// Nobody listens on these.
const AWAY: [&str; 3] = [
    "nats://127.0.0.1:1",
    "nats://127.0.0.1:2",
    "nats://127.0.0.1:3",
];

fn gridloom(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gridloom"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GRIDLOOM_")) {
        command.env_remove(name);
    }
    command
        .args(args)
        .envs(env.iter().copied())
        .current_dir(dir)
        .output()
        .expect("gridloom runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by itself")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wrong_usage_ends_with_2() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["fly"][..],
        &[],
        &["run"],
        &["run", "NOT A NAME"],
        &["show", "*"],
        &["job", "show", "a.b"],
        &["runs", "--namespace", ">"],
        &["runs", "--config", "nowhere.toml"],
        &["runs", "--nats", "no url at all:x"],
        &["runs", "--log", "a=b=c"],
        &["worker", "--concurrency", "0"],
        &["worker", "--database", "flights"],
        &["worker", "--exec", "resize"],
        &["worker", "--ack-deadline", "soon"],
        &["planner", "--ack-deadline", "2s"],
        &["job", "apply", "nowhere.toml"],
        &["runs", "--limit", "0"],
        &["unreadable", "drop"],
        &["unreadable", "list", "--limit", "0"],
        &["dev", "--nats", AWAY[0]],
        &["demo", "--nats", AWAY[0]],
    ] {
        let output = gridloom(dir.path(), args, &[]);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty(), "{args:?} says why");
    }
}

#[test]
fn broker_that_is_away_ends_with_3_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let job = "name = \"a\"\nhandler = \"noop\"";
    std::fs::write(dir.path().join("job.toml"), job).unwrap();
    let tries: [&[&str]; 4] = [
        &["runs"],
        &["job", "apply", "job.toml"],
        &["queues", "--json"],
        &["doctor"],
    ];
    std::thread::scope(|scope| {
        for args in tries {
            let dir = dir.path();
            scope.spawn(move || {
                let output = gridloom(dir, args, &[("GRIDLOOM_NATS", AWAY[0])]);
                assert_eq!(code(&output), 3, "{args:?}: {}", stderr(&output));
                let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
                assert!(said.contains("127.0.0.1:1"), "{args:?}: {said}");
            });
        }
    });
}

#[test]
fn ten_mistakes_in_job_files_give_ten_messages_each_with_file_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let faulty = r#"
nmae = "a"
handler = "Not A Name"
queue = 7
[grid]
slices = 0
pages = { count = 0 }
tile = 5000
[retry]
max_attempts = 0
backoff = { initial = "soon", factor = 0.5 }
[limits]
timeout = 30
"#;
    std::fs::write(dir.path().join("faulty.toml"), faulty).unwrap();
    let fine = r#"{"name": "b", "handler": "noop"}"#;
    std::fs::write(dir.path().join("fine.json"), fine).unwrap();
    let output = gridloom(
        dir.path(),
        &["job", "apply", "fine.json", "faulty.toml"],
        &[],
    );
    assert_eq!(code(&output), 2);
    let said = stderr(&output);
    let faults: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("faulty.toml: "))
        .collect();
    assert!(faults.len() >= 10, "{said}");
    for key in [
        "nmae",
        "name",
        "handler",
        "queue",
        "grid.slices",
        "grid.pages.count",
        "grid.tile",
        "retry.max_attempts",
        "retry.backoff.initial",
        "retry.backoff.factor",
        "limits.timeout",
    ] {
        let found = faults
            .iter()
            .any(|fault| fault.contains(&format!(" {key}: ")));
        assert!(found, "{key} in {said}");
    }
}

#[test]
fn flag_beats_environment_and_environment_beats_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("nats = {:?}\n", AWAY[0]);
    std::fs::write(dir.path().join("gridloom.toml"), text).unwrap();
    let [file, variable, flag] = AWAY;
    let seen = |args: &[&str], env: &[(&str, &str)], wanted: &str| {
        let said = stderr(&gridloom(dir.path(), args, env));
        assert!(said.contains(wanted), "{wanted} in {said}");
    };
    let set = [("GRIDLOOM_NATS", variable)];
    let secret = dir.path().join("nats");
    std::fs::write(&secret, AWAY[1]).unwrap();
    let named = [("GRIDLOOM_NATS_FILE", secret.to_str().unwrap())];
    let (empty, flagged) = ([("GRIDLOOM_NATS", "")], ["runs", "--nats", flag]);
    let plain = ["runs"];
    // Each is told with who said it; an empty variable says nothing.
    type Words<'a> = &'a [&'a str];
    type Env<'a> = &'a [(&'a str, &'a str)];
    let tries: [(Words, Env, &str, &str); 5] = [
        (&plain, &[], file, "gridloom.toml: "),
        (&plain, &set, variable, "of GRIDLOOM_NATS: "),
        (&plain, &named, variable, "GRIDLOOM_NATS_FILE names: "),
        (&flagged, &set, flag, "of --nats: "),
        (&plain, &empty, file, "gridloom.toml: "),
    ];
    std::thread::scope(|scope| {
        for (args, env, address, whence) in tries {
            let seen = &seen;
            scope.spawn(move || seen(args, env, &format!("{whence}reach broker at {address}: ")));
        }
    });
}

#[test]
fn address_that_nobody_named_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    // Whoever has a broker there is told nothing of it.
    if std::net::TcpStream::connect("127.0.0.1:4222").is_ok() {
        return;
    }
    let said = stderr(&gridloom(dir.path(), &["runs"], &[]));
    assert!(
        said.contains("where none is named") && said.contains("127.0.0.1:4222"),
        "{said}"
    );
}

#[test]
fn variables_that_are_empty_say_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let empty = [
        "GRIDLOOM_NATS_FILE",
        "GRIDLOOM_NAMESPACE",
        "GRIDLOOM_CONFIG",
        "GRIDLOOM_LOG",
        "GRIDLOOM_LOG_FORMAT",
    ];
    let mut env: Vec<(&str, &str)> = empty.iter().map(|name| (*name, "")).collect();
    env.push(("GRIDLOOM_NATS", AWAY[0]));
    let output = gridloom(dir.path(), &["runs"], &env);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
}

#[test]
fn name_of_a_job_where_a_run_belongs_is_told_how_to_list_its_runs() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["show", "plain"][..],
        &["show", "plain", "--shard", "0/0"],
        &["audit", "plain"],
        &["cancel", "plain"],
        &["retry", "plain"],
        &["dead", "list", "plain"],
        &["dead", "drop", "plain", "--yes"],
    ] {
        let output = gridloom(dir.path(), args, &[]);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{args:?}: {said}");
        assert!(
            said.contains("gridloom runs plain lists"),
            "{args:?}: {said}"
        );
    }
    let said = stderr(&gridloom(dir.path(), &["show", "a.b"], &[]));
    assert!(!said.contains("gridloom runs"), "{said}");
    // What stands elsewhere is no name of a job, though it could be one.
    let output = gridloom(dir.path(), &["runs", "--limit", "plain"], &[]);
    let said = stderr(&output);
    assert!(
        code(&output) == 2 && !said.contains("gridloom runs plain"),
        "{said}"
    );
}

#[test]
fn port_alone_is_refused_with_the_addresses_that_it_may_mean() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        ["worker", "--listen", "4222"],
        ["planner", "--listen", ":4222"],
    ] {
        let output = gridloom(dir.path(), &args, &[]);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{said}");
        assert!(
            said.contains("127.0.0.1:4222") && said.contains("0.0.0.0:4222"),
            "{said}"
        );
    }
}

#[test]
fn service_without_a_broker_says_at_once_what_it_tries() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let dir = tempfile::tempdir().unwrap();
    for service in ["planner", "worker"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gridloom"))
            .args([service, "--nats", AWAY[0]])
            .current_dir(dir.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("gridloom starts");
        let log = BufReader::new(child.stderr.take().expect("its log"));
        let tries = |line: &String| line.contains("no broker yet") && line.contains("127.0.0.1:1");
        let told = log.lines().map_while(Result::ok).find(tries);
        // It gives up after ten seconds: now it is still at it.
        let ended = child.try_wait().expect("it can be asked");
        child.kill().expect("it is there");
        child.wait().expect("it ends");
        assert!(
            told.is_some() && ended.is_none(),
            "{service}: {told:?}, {ended:?}"
        );
    }
}

#[test]
fn unknown_keys_of_the_configuration_are_refused_with_the_nearest_known_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine.toml"), "[worker]\nconcurency = 3\n").unwrap();
    let output = gridloom(dir.path(), &["runs", "--config", "mine.toml"], &[]);
    assert_eq!(code(&output), 2);
    let said = stderr(&output);
    assert!(said.contains("did you mean \"concurrency\""), "{said}");
}

#[test]
fn worker_looks_for_its_commands_before_anything_else() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[worker.exec]\na = \"/no/such/program\"\nb = { program = \"sh\", dir = \"nowhere\" }\nc = \"sh\"\n";
    std::fs::write(dir.path().join("gridloom.toml"), text).unwrap();
    let output = gridloom(dir.path(), &["worker", "--nats", AWAY[0]], &[]);
    assert_eq!(code(&output), 2);
    let said = stderr(&output);
    for words in ["\"a\"", "/no/such/program", "\"b\"", "nowhere"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert!(!said.contains("\"c\""), "{said}");
}

#[test]
fn commands_and_databases_are_read_as_they_were_meant_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (args, words) in [
        (["--exec", "pipe=echo a | cat"], "sh -c"),
        (["--exec", "x=sh -c 'exit"], "no end"),
        (["--database", "postgres://me:hunter2@host/db"], "NAME=URL"),
    ] {
        let output = gridloom(dir.path(), &["worker", args[0], args[1]], &[]);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{said}");
        assert!(said.contains(words) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn variable_that_cannot_be_read_or_is_unknown_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let blamed = "GRIDLOOM_WORKER_CONCURRENCY";
    let output = gridloom(dir.path(), &["worker"], &[(blamed, "many")]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains(blamed), "{}", stderr(&output));
    // What was typed is not the variable's.
    let typed = ["worker", "--concurrency", "none"];
    let said = stderr(&gridloom(dir.path(), &typed, &[(blamed, "2")]));
    assert!(!said.contains(blamed), "{said}");
    let mistyped = [
        ("GRIDLOOM_NATS", AWAY[0]),
        ("GRIDLOOM_WORKER_CONCURENCY", "2"),
        ("GRIDLOOM_NATS_URL", AWAY[1]),
    ];
    let output = gridloom(dir.path(), &["runs"], &mistyped);
    assert_eq!(code(&output), 3);
    let said = stderr(&output);
    assert!(
        said.contains("GRIDLOOM_WORKER_CONCURENCY is no known setting")
            && said.contains("did you mean GRIDLOOM_WORKER_CONCURRENCY?")
            && said.contains("did you mean GRIDLOOM_NATS?"),
        "{said}"
    );
}

#[test]
fn secrets_are_read_out_of_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nats");
    std::fs::write(&file, "nats://me:hunter2@127.0.0.1:1\n").unwrap();
    let named = ("GRIDLOOM_NATS_FILE", file.to_str().unwrap());
    let output = gridloom(dir.path(), &["runs"], &[named]);
    let said = stderr(&output);
    assert_eq!(code(&output), 3, "{said}");
    assert!(
        said.contains("nats://127.0.0.1:1") && !said.contains("hunter2"),
        "{said}"
    );
    // A variable that is empty says nothing, beside a file too.
    let empty = [named, ("GRIDLOOM_NATS", "")];
    let output = gridloom(dir.path(), &["runs"], &empty);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    // What people type counts more.
    let said = stderr(&gridloom(
        dir.path(),
        &["runs", "--nats", AWAY[1]],
        &[named],
    ));
    assert!(said.contains("127.0.0.1:2"), "{said}");
    for env in [
        &[named, ("GRIDLOOM_NATS", AWAY[0])][..],
        &[("GRIDLOOM_NATS_FILE", "/no/such/file")],
    ] {
        let output = gridloom(dir.path(), &["runs"], env);
        assert_eq!(code(&output), 2);
        assert!(
            stderr(&output).contains("GRIDLOOM_NATS_FILE"),
            "{}",
            stderr(&output)
        );
    }
    let databases = dir.path().join("databases");
    std::fs::write(&databases, "a=sqlite:a.db\noops hunter2\n").unwrap();
    let named = (
        "GRIDLOOM_WORKER_DATABASES_FILE",
        databases.to_str().unwrap(),
    );
    let output = gridloom(dir.path(), &["worker", "--nats", AWAY[0]], &[named]);
    let said = stderr(&output);
    assert_eq!(code(&output), 2, "{said}");
    assert!(
        said.contains("WORKER_DATABASES") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn answer_that_cannot_be_written_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gridloom"))
        .args(["doctor", "--nats", AWAY[0]])
        .current_dir(dir.path())
        .stdout(full)
        .output()
        .expect("gridloom runs");
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("write to standard output"));
}

#[test]
fn json_steers_no_terminal_and_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let name = "odd\u{9b}31m\u{7f}\u{202e}\u{2066}n\u{e9}.toml";
    std::fs::write(dir.path().join(name), "name = \"a\"\n").unwrap();
    let output = gridloom(dir.path(), &["job", "apply", name, "--json"], &[]);
    assert_eq!(code(&output), 2);
    let text = String::from_utf8(output.stdout).unwrap();
    let is_odd = |c: char| c > '~' && (c.is_control() || "\u{202e}\u{2066}".contains(c));
    assert!(
        !text.contains(is_odd) && text.contains("\\u009b31m"),
        "{text}"
    );
    assert!(text.contains("n\u{e9}.toml"), "{text}");
    let said: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(said.to_string().contains(name), "{said}");
}

#[test]
fn job_file_of_the_former_form_is_shown_in_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = "name = \"resize\"\nhandler = \"exec\"\n[params]\ncommand = \"resize\" # which\nwidth = 7\n";
    std::fs::write(dir.path().join("old.toml"), file).unwrap();
    let output = gridloom(dir.path(), &["job", "apply", "old.toml"], &[]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let new = "[exec]\ncommand = \"resize\" # which\n\n[params]\nwidth = 7\n";
    assert!(stderr(&output).contains(new), "{}", stderr(&output));
}

#[test]
fn refused_login_is_told_once_and_without_a_password() {
    use std::io::{BufRead, BufReader, Write};

    // What nats-server says to who may not come in.
    let broker = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = broker.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in broker.incoming() {
            let mut stream = stream.unwrap();
            let info = format!(
                "INFO {{\"server_id\":\"A\",\"version\":\"2.15.1\",\"proto\":1,\"host\":\"127.0.0.1\",\"port\":{port},\
                 \"max_payload\":1048576,\"headers\":true,\"auth_required\":true}}\r\n"
            );
            stream.write_all(info.as_bytes()).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            // CONNECT and PING.
            let _ = (lines.next(), lines.next());
            let _ = stream.write_all(b"-ERR 'Authorization Violation'\r\n");
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let nats = format!("nats://me:hunter2@127.0.0.1:{port}");
    for args in [&["runs"][..], &["runs", "--log", "debug"], &["worker"]] {
        let output = gridloom(dir.path(), args, &[("GRIDLOOM_NATS", &nats)]);
        let said = stderr(&output);
        assert_eq!(code(&output), 3, "{said}");
        let told = said
            .to_lowercase()
            .matches("authorization violation")
            .count();
        assert_eq!(told, 1, "{args:?}: {said}");
        assert!(said.contains("user \"me\" and the password"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
