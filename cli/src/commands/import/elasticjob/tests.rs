use std::path::Path;

use super::super::{found, node};
use super::*;

mod asked;

/// The jobs of a text, and what is said of it.
fn all(name: &str, text: &str, timezone: Option<&str>) -> Vec<Imported> {
    let tree = node::read(Path::new(name), text).unwrap();
    let mut notes = Vec::new();
    let found = found::jobs(&tree, &mut notes);
    found.iter().map(|found| import(found, timezone)).collect()
}

fn one(name: &str, text: &str, timezone: Option<&str>) -> Imported {
    let [job] = &all(name, text, timezone)[..] else {
        panic!("one job in {text}");
    };
    job.clone()
}

const SPRING: &str = "\
elasticjob:
  regCenter: {serverLists: 'localhost:6181', namespace: demo}
  jobs:
    simpleJob:
      elasticJobClass: org.acme.OrderJob
      cron: 0/5 * * * * ?
      timeZone: GMT+08:00
      shardingTotalCount: 3
      shardingItemParameters: 0=Beijing,1=a=b,2=
      jobParameter: 007
      misfire: true
      failover: true
      monitorExecution: true
";

#[test]
fn job_of_spring_boot_has_everything_that_it_said() {
    let job = one("application.yml", SPRING, None);
    let spec = job.spec();
    assert_eq!(
        (spec.name.as_str(), spec.handler.as_str(), spec.grid.slices),
        ("simple-job", "order-job", 3)
    );
    let wanted = serde_json::json!({
        "jobName": "simpleJob", "jobParameter": "007", "shardingItemParameters": {"0": "Beijing", "1": "a=b", "2": ""},
    });
    assert_eq!(spec.params, wanted);
    let text = job.file();
    for line in [
        "cron = \"0/5 * * * * ?\"",
        "timezone = \"+08:00\"",
        "overlap = \"queue_one\"",
        "misfire = { policy = \"run_once\" }",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let kinds = [
        (Kind::Changed, "jobName"),
        (Kind::Changed, "elasticJobClass"),
        (Kind::Changed, "misfire"),
    ];
    assert_eq!(job.said(), kinds);
}

#[test]
fn kebab_case_in_properties_is_the_same_job() {
    let text = "\
elasticjob.jobs.simpleJob.elastic-job-class=org.acme.OrderJob
elasticjob.jobs.simpleJob.cron=0/5 * * * * ?
elasticjob.jobs.simpleJob.time-zone=GMT+08:00
elasticjob.jobs.simpleJob.sharding-total-count=3
elasticjob.jobs.simpleJob.sharding-item-parameters=0=Beijing,1=a=b,2=
elasticjob.jobs.simpleJob.job-parameter=007
elasticjob.jobs.simpleJob.misfire=true
elasticjob.jobs.simpleJob.failover=true
elasticjob.jobs.simpleJob.monitor-execution=true
";
    let (a, b) = (
        one("a.properties", text, None),
        one("application.yml", SPRING, None),
    );
    assert_eq!((a.file(), a.said()), (b.file(), b.said()));
}

#[test]
fn what_these_forms_leave_out_is_false_and_said() {
    let job = one(
        "a.yml",
        "jobName: a\ncron: 0 0 2 * * ?\nshardingTotalCount: 1\n",
        Some("Europe/Berlin"),
    );
    let text = job.file();
    assert!(
        text.contains("overlap = \"skip\"") && text.contains("policy = \"skip\""),
        "{text}"
    );
    assert!(text.contains("timezone = \"Europe/Berlin\""), "{text}");
    assert!(
        text.contains("dst = { gap = \"skip\", overlap = \"second\" }\n"),
        "{text}"
    );
    let changed = ["elasticJobClass", "misfire", "monitorExecution", "failover"];
    assert_eq!(job.said(), changed.map(|field| (Kind::Changed, field)));
}

#[test]
fn missing_time_zone_has_to_be_said() {
    let job = one(
        "a.yml",
        "jobName: a\ncron: 0 0 2 * * ?\nshardingTotalCount: 1\n",
        None,
    );
    assert!(job.said().contains(&(Kind::Open, "timeZone")));
    // Without a cron there is nothing to be told by a clock.
    let job = one("a.yml", "jobName: a\nshardingTotalCount: 1\n", None);
    assert!(
        job.said().iter().all(|(kind, _)| *kind != Kind::Open),
        "{:?}",
        job.notes
    );
    assert!(job.spec().schedule.is_none());
}

#[test]
fn zones_of_java_are_zones_here() {
    for (there, here) in [
        ("GMT", "UTC"),
        ("GMT+8", "+08:00"),
        ("GMT+08:00", "+08:00"),
        ("GMT-0330", "-03:30"),
        ("UTC+1", "+01:00"),
        ("Asia/Shanghai", "Asia/Shanghai"),
    ] {
        let text =
            format!("jobName: a\ncron: 0 0 2 * * ?\nshardingTotalCount: 1\ntimeZone: {there}\n");
        let file = one("a.yml", &text, None).file();
        assert!(
            file.contains(&format!("timezone = \"{here}\"")),
            "{there}: {file}"
        );
    }
    let text = "jobName: a\ncron: 0 0 2 * * ?\nshardingTotalCount: 1\ntimeZone: Asia/Shanghia\n";
    assert!(
        one("a.yml", text, None)
            .said()
            .contains(&(Kind::Open, "timeZone"))
    );
}

#[test]
fn json_of_2_is_read_with_its_own_fields() {
    let text = r#"{"jobName":"com.acme.OrderJob","jobClass":"com.acme.OrderJob","jobType":"DATAFLOW","cron":"0 0/5 * * * ?",
        "shardingTotalCount":10,"shardingItemParameters":"","jobParameter":"","failover":true,"misfire":false,
        "jobProperties":{"job_exception_handler":"com.dangdang.ddframe.job.executor.handler.impl.DefaultJobExceptionHandler",
        "executor_service_handler":"com.acme.Threads"},"monitorExecution":true,"maxTimeDiffSeconds":-1,"monitorPort":9888,
        "jobShardingStrategyClass":"","reconcileIntervalMinutes":10,"disabled":true,"overwrite":true,"streamingProcess":true}"#;
    let job = one("-", text, Some("UTC"));
    let spec = job.spec();
    assert_eq!(
        (spec.name.as_str(), spec.handler.as_str(), spec.grid.slices),
        ("com-acme-order-job", "order-job", 10)
    );
    assert!(job.paused);
    assert!(job.place().starts_with("paused"));
    let wanted = [
        (Kind::Changed, "jobName"),
        (Kind::Changed, "DataflowJob"),
        (Kind::Changed, "elasticJobClass"),
        (Kind::Changed, "misfire"),
        (Kind::Changed, "disabled"),
        (Kind::Dropped, "reconcileIntervalMinutes"),
        (Kind::Dropped, "overwrite"),
        (Kind::Dropped, "monitorPort"),
        (Kind::Dropped, "jobProperties.executor_service_handler"),
    ];
    assert_eq!(job.said(), wanted);
}

#[test]
fn disabled_job_is_to_be_paused_where_it_fires() {
    for (cron, place) in [("cron: 0 0 2 * * ?\n", "paused"), ("", "jobs")] {
        let text = format!("jobName: a\nshardingTotalCount: 1\n{cron}disabled: true\n");
        let job = one("a.yml", &text, Some("UTC"));
        assert!(job.place().starts_with(place), "{:?}", job.place());
        assert!(job.said().contains(&(Kind::Changed, "disabled")));
    }
}

#[test]
fn whether_a_flow_streams_is_told_to_its_class_wherever_it_was_said() {
    for (name, text) in [
        (
            "a.yml",
            "jobName: a\nshardingTotalCount: 1\nprops: {streaming.process: true}\n",
        ),
        (
            "-",
            r#"{"jobName":"a","shardingTotalCount":1,"jobType":"DATAFLOW","streamingProcess":true}"#,
        ),
    ] {
        let job = one(name, text, None);
        let wanted = serde_json::json!({"props": {"streaming.process": "true"}});
        assert_eq!(job.spec().params, wanted, "{text}");
        assert!(job.said().contains(&(Kind::Changed, "DataflowJob")));
    }
}

#[test]
fn script_is_a_command_of_the_workers() {
    let text = "jobName: a\nshardingTotalCount: 1\nprops:\n  script.command.line: \"echo 'x y'\"\n  other: 1\n";
    let job = one("a.yml", text, None);
    assert_eq!(job.command(Path::new("")).unwrap(), "a = \"echo 'x y'\"");
    let spec = job.spec();
    assert_eq!(
        (spec.handler.as_str(), &spec.params),
        ("exec", &serde_json::json!({"props": {"other": "1"}}))
    );
    assert!(job.said().contains(&(Kind::Changed, SCRIPT)));
    let nested = "jobName: a\nshardingTotalCount: 1\nprops: {script: {command: {line: x}}}\n";
    assert_eq!(
        one("a.yml", nested, None).command(Path::new("")).unwrap(),
        "a = \"x\""
    );
}

#[test]
fn request_of_an_http_job_is_sent_as_it_was() {
    let text = "\
jobName: OrderJob
elasticJobType: HTTP
shardingTotalCount: 2
shardingItemParameters: 0=Beijing,1=Zürich
jobParameter: day
props:
  http.uri: 'https://Shop.example:443/orders?x={slice}'
  http.method: post
  http.data: 'a={b}&c=1'
  http.content.type: application/x-www-form-urlencoded
  http.connect.timeout.milliseconds: 1000
  http.other: 7
";
    let job = one("a.yml", text, None);
    let spec = job.spec();
    let sent = serde_json::json!({
        "url": "https://Shop.example:443/orders?x={{slice}",
        "method": "POST",
        "timeout": "6s",
        "body": "a={{b}&c=1",
        "headers": {
            "content-type": "application/x-www-form-urlencoded",
            "shardingContext": {
                "jobName": "OrderJob", "taskId": "{run}", "shardingTotalCount": "{slices}", "jobParameter": "{jobParameter}",
                "shardingItem": "{slice}", "shardingParameter": "{shardingItemParameters[slice]}",
            },
        },
    });
    assert_eq!((spec.handler.as_str(), &spec.settings), ("http", &sent));
    assert_eq!(spec.params["props"], serde_json::json!({"http.other": "7"}));
    assert_eq!(job.service(), Some("https://shop.example"));
    assert!(
        job.said().iter().all(|(kind, _)| *kind != Kind::Open),
        "{:?}",
        job.notes
    );
    let named: Vec<&str> = job.said().into_iter().map(|(_, field)| field).collect();
    for field in [
        "elasticJobType",
        "shardingContext",
        "http.read.timeout.milliseconds",
    ] {
        assert!(named.contains(&field), "{named:?}");
    }
    // Documented so, and without what was not said.
    let nested = "jobName: a\nshardingTotalCount: 1\nprops: {http: {url: 'http://h:1/', method: GET, data: x}}\n";
    let job = one("a.yml", nested, None);
    assert_eq!(job.service(), Some("http://h:1"));
    assert!(job.said().contains(&(Kind::Dropped, "http.data")));
    assert!(!job.file().contains("body = "), "{}", job.file());
}

#[test]
fn what_nobody_can_know_needs_an_answer() {
    for (line, field) in [
        ("jobListenerTypes: [log]", "jobListenerTypes"),
        ("jobErrorHandlerType: MINE", "jobErrorHandlerType"),
        ("surprise: 1", "surprise"),
        ("cron: '* * * * *'\ntimeZone: GMT", "cron"),
        ("cron: ${CRON}", "cron"),
        ("misfire: perhaps", "misfire"),
        ("shardingItemParameters: 0=a,b", "shardingItemParameters"),
        (
            "elasticJobType: HTTP\nprops: {http.uri: 'http://x'}",
            "http.method",
        ),
        (
            "elasticJobType: HTTP\nprops: {http.method: GET}",
            "http.uri",
        ),
        ("props: {http.uri: '${URL}', http.method: GET}", "http.uri"),
        (
            "props: {http.uri: 'http://x', http.method: TRACE}",
            "http.method",
        ),
        ("cron: 0 0 99 * * ?\ntimeZone: GMT", ""),
    ] {
        let job = one(
            "a.yml",
            &format!("jobName: a\nshardingTotalCount: 1\n{line}\n"),
            None,
        );
        assert!(
            job.said().contains(&(Kind::Open, field)),
            "{line}: {:?}",
            job.notes
        );
    }
    let job = one("a.yml", "jobName: a\nshardingTotalCount: none\n", None);
    assert!(job.said().contains(&(Kind::Open, "shardingTotalCount")));
    let job = one("a.yml", "jobName: 订单\nshardingTotalCount: 1\n", None);
    assert_eq!(
        (job.name.as_str(), job.said()[0]),
        ("job", (Kind::Open, "jobName"))
    );
}

#[test]
fn hostile_texts_stay_inside_their_quotes() {
    let evil = "x\"\\n[schedule]\\ncron = \\\"* * * * *\\\"";
    let text = format!(
        "jobName: a\nshardingTotalCount: 1\njobParameter: '{evil}'\ndescription: \"a\\nname = 'b'\"\nprops: {{script.command.line: 'a \"b'' c\"'}}\n"
    );
    let job = one("a.yml", &text, None);
    let spec = job.spec();
    assert_eq!(spec.params["jobParameter"], evil);
    assert_eq!((spec.name.as_str(), spec.schedule.is_none()), ("a", true));
    let workers: toml::Table = toml::from_str(&job.command(Path::new("")).unwrap()).unwrap();
    assert_eq!(workers["a"].as_str(), Some("a \"b' c\""));
}

#[test]
fn command_that_a_worker_would_refuse_keeps_none_from_starting_and_needs_an_answer() {
    for line in ["echo 'x", "echo `id`\necho 2"] {
        let line = serde_json::to_string(line).unwrap();
        let text =
            format!("jobName: a\nshardingTotalCount: 1\nprops: {{script.command.line: {line}}}\n");
        let job = one("a.yml", &text, None);
        assert!(job.is_open(), "{:?}", job.notes);
        let workers: toml::Table = toml::from_str(&job.command(Path::new("")).unwrap()).unwrap();
        assert!(workers.is_empty(), "{workers:?}");
    }
}

#[test]
fn class_that_is_called_like_a_built_in_handler_is_none() {
    for (class, handler) in [
        ("Noop", "noop-job"),
        ("Http", "http-job"),
        ("Sql", "sql-job"),
    ] {
        let text =
            format!("jobName: a\nshardingTotalCount: 1\nelasticJobClass: com.acme.{class}\n");
        let job = one("a.yml", &text, None);
        assert_eq!(
            (job.spec().handler.as_str(), job.is_open()),
            (handler, false)
        );
    }
    let job = one("a.yml", "jobName: exec\nshardingTotalCount: 1\n", None);
    assert_eq!(job.spec().handler.as_str(), "exec-job");
}

#[test]
fn body_is_called_what_java_calls_it_where_the_job_does_not() {
    for (method, wanted) in [
        ("POST", Some("application/x-www-form-urlencoded")),
        ("DELETE", Some("application/x-www-form-urlencoded")),
        ("PUT", None),
    ] {
        let text = format!(
            "jobName: a\nshardingTotalCount: 1\nprops: {{http.uri: 'http://h', http.method: {method}, http.data: a=b}}\n"
        );
        let spec = one("a.yml", &text, None).spec();
        let kind = spec.settings["headers"].get("content-type");
        assert_eq!(kind.and_then(|kind| kind.as_str()), wanted, "{method}");
    }
}

#[test]
fn job_in_names_with_dots_is_one_beside_others() {
    let text = "\
elasticjob.jobs.a.shardingTotalCount: 3
elasticjob:
  jobs:
    b: {shardingTotalCount: 2}
";
    let jobs = all("application.yml", text, None);
    let jobs: Vec<_> = jobs
        .iter()
        .map(|job| (job.name.as_str(), job.spec().grid.slices))
        .collect();
    assert_eq!(jobs, [("a", 3), ("b", 2)]);
}

#[test]
fn words_of_spring_are_flags_and_a_comment_is_one_line() {
    let text = "jobName: a\nshardingTotalCount: 1\ncron: 0 0 2 * * ?\ntimeZone: GMT\ndisabled: yes\nfailover: on\nmisfire: 0\ndescription: \"a\\0b\\r\\nname = 'c'\"\n";
    let job = one("a.yml", text, None);
    assert!(job.paused && !job.is_open(), "{:?}", job.notes);
    assert_eq!(job.spec().name.as_str(), "a");
}

#[test]
fn shadow_of_a_job_fires_as_it_does_and_does_nothing() {
    let script = "jobName: a\nshardingTotalCount: 2\ncron: 0 0 2 * * ?\ntimeZone: GMT\njobParameter: x\nprops: {script.command.line: rm}\n";
    let request = "jobName: b\nshardingTotalCount: 1\ncron: 0 0 2 * * ?\ntimeZone: GMT\nprops: {http.uri: 'http://h', http.method: GET}\n";
    for job in [
        one("a.yml", SPRING, None),
        one("a.yml", script, None),
        one("a.yml", request, None),
    ] {
        let (spec, shadow) = (job.spec(), job.shadow());
        let (of, commands) = (
            shadow.spec(),
            (shadow.command(Path::new("")), shadow.service()),
        );
        assert_eq!((of.name, of.schedule), (spec.name, spec.schedule));
        assert_eq!((of.handler.as_str(), of.grid), ("noop", spec.grid));
        assert!(of.params.as_object().is_none_or(serde_json::Map::is_empty));
        assert_eq!(commands, (None, None));
    }
}
