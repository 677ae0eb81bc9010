//! What somebody has to answer: what is said twice, what is no job, what stands for something else.

use std::path::Path;

use super::*;

/// The fields of a text that need an answer.
fn asked(text: &str) -> Vec<String> {
    let tree = node::read(Path::new("a.yml"), text).unwrap();
    let mut notes = Vec::new();
    let jobs = found::jobs(&tree, &mut notes);
    notes.extend(jobs.iter().flat_map(|found| import(found, None).notes));
    notes.retain(|note| note.kind == Kind::Open);
    notes.into_iter().map(|note| note.field).collect()
}

#[test]
fn what_is_no_job_or_is_said_twice_needs_an_answer() {
    for (text, field) in [
        ("elasticjob: {jobs: [{jobName: a}]}", "elasticjob.jobs"),
        ("elasticjob: {jobs: {a: 7}}", "elasticjob.jobs.a"),
        ("elasticjob: {jobs: {a: }}", "elasticjob.jobs.a"),
        (
            "jobName: a\nshardingTotalCount: 1\nsharding-total-count: 2",
            "sharding-total-count",
        ),
        (
            "jobName: a\nshardingTotalCount: 1\njobParameter: x\njobParameter: y",
            "jobParameter",
        ),
        (
            r#"{"jobName": "a", "shardingTotalCount": 1, "cron": "x", "cron": "y"}"#,
            "cron",
        ),
        (r#"[{"jobName": "a"}, {"job": "b"}]"#, "[1]"),
        ("elasticjob: 7", "elasticjob"),
        ("jobName: a\nshardingTotalCount: 010", "shardingTotalCount"),
        ("jobName: ${NAME}\nshardingTotalCount: 1", "jobName"),
        (
            "jobName: a\nshardingTotalCount: 1\nprops: {dir: '/data/${STAGE}'}",
            "props.dir",
        ),
    ] {
        let asked = asked(text);
        assert!(asked.iter().any(|it| it == field), "{text}: {asked:?}");
    }
    let merged = "b: &b {shardingTotalCount: 1, misfire: true}\nelasticjob: {jobs: {a: {<<: *b, shardingTotalCount: 2}}}";
    assert_eq!(asked(merged), [""; 0], "what it says itself counts");
}

#[test]
fn property_that_is_said_twice_or_has_others_below_it_is_not_lost() {
    let job = |line: &str| {
        let begin = "elasticjob.jobs.a.sharding-total-count=1\nelasticjob.jobs.a.";
        one("a.properties", &format!("{begin}{line}"), None)
    };
    let twice = job("job-parameter=x\nelasticjob.jobs.a.job-parameter=y");
    assert!(twice.said().contains(&(Kind::Open, "job-parameter")));
    let both = job("props.dir=x\nelasticjob.jobs.a.props.dir.old=y");
    let wanted = serde_json::json!({"dir": "x", "dir.old": "y"});
    assert_eq!(both.spec().params["props"], wanted);
}

#[test]
fn placeholders_have_their_defaults_wherever_they_stand() {
    let text = "jobName: a\nshardingTotalCount: ${N:2}\njobParameter: ${P:}\n\
        props: {http.uri: 'http://${HOST:h}:${PORT:81}/x', http.method: GET}\n";
    let job = one("a.yml", text, None);
    assert!(!job.is_open(), "{:?}", job.notes);
    assert!(job.said().contains(&(Kind::Changed, "props.http.uri")));
    let spec = job.spec();
    assert_eq!(
        (spec.grid.slices, &spec.settings["url"]),
        (2, &"http://h:81/x".into())
    );
    let told = &spec.settings["headers"]["shardingContext"];
    assert_eq!(told["jobParameter"], "", "no run has such a parameter");
    let open = one("a.yml", "jobName: a\nprops: {dir: '${A}${B:b}'}\n", None);
    assert_eq!(open.spec().params["props"]["dir"], "${A}${B:b}");
}
