//! Jobs that come from another scheduler: what `gridloom import` writes is applied and does what it did there.

use std::fs;
use std::time::Duration;

use gridloom_tests::scenario::{ACK_DEADLINE, play};
use gridloom_tests::wait::eventually;
use gridloom_tests::web::{Answer, Web};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(40);
/// Reads what it is to do where ElasticJob has it.
const SCRIPT: &str = r#"
test "$1" = --fast && test $# = 2 || exit 64
case "$2" in
'{"jobName":"scriptJob","taskId":"script-job_'*'","shardingTotalCount":3,"jobParameter":"all","shardingItem":1,"shardingParameter":"Shanghai"}') echo '{"rows": 1}' ;;
*'"shardingItem":0,"shardingParameter":"Beijing"}') ;;
*'"shardingItem":2,"shardingParameter":"Guangzhou"}') ;;
*) exit 65 ;;
esac
"#;
const SPRING: &str = "\
elasticjob:
  regCenter: {serverLists: 'localhost:6181', namespace: demo}
  jobs:
    scriptJob:
      elasticJobType: SCRIPT
      cron: 0 0 2 ? * MON-FRI
      timeZone: GMT+08:00
      shardingTotalCount: 3
      misfire: true
      jobParameter: all
      shardingItemParameters: 0=Beijing,1=Shanghai,2=Guangzhou
      props:
        script.command.line: \"sh script.sh --fast\"
";

#[tokio::test(flavor = "multi_thread")]
async fn script_of_elasticjob_is_imported_applied_and_runs_on_a_worker() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let (there, out) = (stage.dir().join("application.yml"), stage.dir().join("out"));
        fs::write(&there, SPRING)?;
        let (file, dir) = (there.display().to_string(), out.display().to_string());
        let import = ["import", "elasticjob", &file, "--out", &dir];
        let imported = stage.cli(&import, SOON).await?;
        assert_eq!(imported.code, 0, "nothing needs an answer: {imported:?}");
        let again = stage.cli(&import, SOON).await?;
        assert_eq!(again.code, 2, "nothing is written over: {again:?}");
        let job = out.join("jobs/script-job.toml").display().to_string();
        let apply = ["job", "apply", &job];
        stage.cli(&apply, SOON).await?.succeeded()?;
        let next = ["job", "next", "script-job", "--json"];
        let next = stage.cli(&next, SOON).await?.succeeded()?;
        assert!(next.stdout.contains("T18:00:00"), "two in China: {next:?}");
        let workers = out.join("gridloom.toml").display().to_string();
        fs::write(stage.dir().join("script.sh"), SCRIPT)?;
        let flags = ["worker", "--config", &workers];
        let worker = stage.gridloom(&flags)?.dir(stage.dir()).start().await?;
        stage.workers.push(worker);
        let run = ["run", "script-job", "--wait", "--json"];
        let run = stage.cli(&run, SOON).await?.succeeded()?;
        let last = run.stdout.lines().last().unwrap_or_default();
        let last: serde_json::Value = serde_json::from_str(last)?;
        assert_eq!(last["rows"], 1, "{last}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_of_a_job_runs_on_any_worker_and_the_job_itself_takes_its_place()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage.start_worker(4, &[]).await?;
        let (there, out) = (stage.dir().join("application.yml"), stage.dir().join("out"));
        fs::write(&there, SPRING)?;
        let (file, dir) = (there.display().to_string(), out.display().to_string());
        let import = ["import", "elasticjob", &file, "--out", &dir];
        let shadow = [&import[..], &["--shadow"]].concat();
        stage.cli(&shadow, SOON).await?.succeeded()?;
        assert!(!out.join("gridloom.toml").exists(), "no worker needs it");
        let job = out.join("jobs/script-job.toml").display().to_string();
        let apply = ["job", "apply", &job];
        stage.cli(&apply, SOON).await?.succeeded()?;
        let run = ["run", "script-job", "--wait"];
        stage.cli(&run, SOON).await?.succeeded()?;
        let real = [&import[..], &["--force"]].concat();
        stage.cli(&real, SOON).await?.succeeded()?;
        let changed = stage.cli(&apply, SOON).await?.succeeded()?;
        let said = changed.stdout + &changed.stderr;
        assert!(said.contains("noop"), "{said}");
        Ok(())
    })
    .await
}

/// Two jobs whose names are one here.
const SAME: &str = "\
elasticjob:
  jobs:
    OrderJob: {elasticJobClass: com.acme.OrderJob, cron: '0 0 2 * * ?', timeZone: GMT, shardingTotalCount: 1}
    order_job: {elasticJobClass: com.acme.BillJob, cron: '0 0 3 * * ?', timeZone: GMT, shardingTotalCount: 1}
";

#[tokio::test(flavor = "multi_thread")]
async fn job_that_is_called_otherwise_by_now_is_not_applied_twice_in_silence() -> anyhow::Result<()>
{
    play(async |stage| {
        let (there, out) = (stage.dir().join("application.yml"), stage.dir().join("out"));
        fs::write(&there, SAME)?;
        let (file, dir) = (there.display().to_string(), out.display().to_string());
        let import = ["import", "elasticjob", &file, "--out", &dir, "--force"];
        let first = stage.cli(&import, SOON).await?;
        assert_eq!(first.code, 1, "two are called alike: {first:?}");
        let old = out.join("jobs/order-job-2.toml");
        assert!(old.exists());
        // The answer, as it is asked for: in the file, which is imported again.
        fs::write(&there, SAME.replace("order_job", "BillJob"))?;
        let again = stage.cli(&import, SOON).await?;
        let asked = format!("ANSWER   {}", old.display());
        assert!(
            again.code == 1 && again.stdout.contains(&asked),
            "{again:?}"
        );
        assert!(old.exists(), "it may be of another file");
        fs::remove_file(&old)?;
        let last = stage.cli(&import, SOON).await?;
        assert_eq!(last.code, 0, "nothing is asked any more: {last:?}");
        // What somebody has written there is nobody's business, and what lies beside new ones is told.
        fs::write(out.join("jobs/own.toml"), "name = \"own\"\n")?;
        let other = stage.dir().join("other.yml");
        fs::write(
            &other,
            "{jobName: other, cron: '0 0 4 * * ?', timeZone: GMT, shardingTotalCount: 1}",
        )?;
        let import = [
            "import",
            "elasticjob",
            &other.display().to_string(),
            "--out",
            &dir,
        ];
        let beside = stage.cli(&import, SOON).await?.succeeded()?;
        let told = |name: &str| {
            let file = format!("/jobs/{name}.toml ");
            let mut lines = beside.stdout.lines();
            lines.any(|line| line.contains(&file) && line.contains("is of an import before"))
        };
        assert!(
            told("bill-job") && told("order-job") && !beside.stdout.contains("own.toml"),
            "{beside:?}"
        );
        Ok(())
    })
    .await
}

/// Each fires every second, save that one of them was switched off.
const ONE_IS_DISABLED: &str = "\
elasticjob:
  jobs:
    runs: {cron: '* * * * * ?', timeZone: GMT, shardingTotalCount: 1}
    rests: {cron: '* * * * * ?', timeZone: GMT, shardingTotalCount: 1, disabled: true}
";

#[tokio::test(flavor = "multi_thread")]
async fn job_that_was_disabled_is_applied_as_it_is_said_and_never_fires() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let there = stage.dir().join("application.yml");
        fs::write(&there, ONE_IS_DISABLED)?;
        let (file, dir) = (there.display().to_string(), stage.dir().join("out"));
        let out = dir.display().to_string();
        let import = ["import", "elasticjob", &file, "--out", &out, "--shadow"];
        let said = stage.cli(&import, SOON).await?.succeeded()?;
        let wanted = format!("gridloom job apply {out}/paused/rests.toml --paused 'was disabled'");
        assert!(said.stderr.contains(&wanted), "{said:?}");
        let rests = dir.join("paused/rests.toml").display().to_string();
        let apply = ["job", "apply", &rests, "--paused", "was disabled"];
        let applied = stage.cli(&apply, SOON).await?.succeeded()?;
        assert!(applied.stderr.contains("was disabled"), "{applied:?}");
        assert!(!applied.stderr.contains("deleted"), "{applied:?}");
        let runs = dir.join("jobs/runs.toml").display().to_string();
        stage
            .cli(&["job", "apply", &runs], SOON)
            .await?
            .succeeded()?;
        // By then the other one would have fired, too.
        eventually(SOON, "one of them fires", async || {
            let fires = ["job", "fires", "runs", "--json"];
            let fires = stage.cli(&fires, SOON).await?.succeeded()?;
            Ok(fires.stdout.matches("\"decision\"").count() >= 3)
        })
        .await?;
        let none = stage.cli(&["runs", "rests", "--json"], SOON).await?;
        assert_eq!(none.succeeded()?.json()?, json!([]));
        let resume = ["job", "resume", "rests", "--missed", "skip"];
        stage.cli(&resume, SOON).await?.succeeded()?;
        eventually(SOON, "it fires once it is resumed", async || {
            let some = stage.cli(&["runs", "rests", "--json"], SOON).await?;
            Ok(some.succeeded()?.json()? != json!([]))
        })
        .await?;
        // Enabled there, it is a file of `jobs`, and no older one of it is left to be applied.
        fs::write(&there, ONE_IS_DISABLED.replace(", disabled: true", ""))?;
        let refused = stage.cli(&import, SOON).await?;
        assert_eq!(refused.code, 2, "{refused:?}");
        let forced = [&import[..], &["--force"]].concat();
        stage.cli(&forced, SOON).await?.succeeded()?;
        let there = ["jobs/rests.toml", "paused/rests.toml"].map(|file| dir.join(file).exists());
        assert_eq!(there, [true, false]);
        // What never fires cannot be paused.
        let plain = stage.dir().join("plain.toml");
        fs::write(&plain, "name = \"plain\"\nhandler = \"noop\"\n")?;
        let plain = plain.display().to_string();
        let refused = ["job", "apply", &plain, "--paused", "why"];
        let refused = stage.cli(&refused, SOON).await?;
        assert_eq!(refused.code, 2, "{refused:?}");
        let shown = stage.cli(&["job", "show", "plain"], SOON).await?;
        assert_ne!(shown.code, 0, "nothing was applied: {shown:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn http_job_of_elasticjob_asks_its_service_with_the_context_of_each_item()
-> anyhow::Result<()> {
    let server = Web::start(|_| Answer::status(200)).await?;
    play(async |stage| {
        stage.start_planner().await?;
        let (there, out) = (stage.dir().join("job.yml"), stage.dir().join("out"));
        let yaml = format!(
            "jobName: OrderJob\nelasticJobType: HTTP\nshardingTotalCount: 2\nshardingItemParameters: 0=Beijing,1=Shanghai\n\
             props:\n  http.uri: '{}/orders'\n  http.method: GET\n",
            server.origin()
        );
        fs::write(&there, yaml)?;
        let (file, dir) = (there.display().to_string(), out.display().to_string());
        let import = ["import", "elasticjob", &file, "--out", &dir];
        stage.cli(&import, SOON).await?.succeeded()?;
        let job = out.join("jobs/order-job.toml").display().to_string();
        stage.cli(&["job", "apply", &job], SOON).await?.succeeded()?;
        let workers = out.join("gridloom.toml").display().to_string();
        stage.start_worker(4, &["--config", &workers]).await?;
        let run = ["run", "order-job", "--wait"];
        stage.cli(&run, SOON).await?.succeeded()?;
        let asked = server.asked();
        let contexts = asked.iter().filter_map(|it| it.header("shardingcontext"));
        let mut contexts: Vec<Value> = contexts.filter_map(|it| serde_json::from_str(it).ok()).collect();
        contexts.sort_by_key(|context| context["shardingItem"].as_u64());
        let run = contexts[0]["taskId"].clone();
        for (item, city) in ["Beijing", "Shanghai"].into_iter().enumerate() {
            let wanted = json!({
                "jobName": "OrderJob", "taskId": run, "shardingTotalCount": 2, "jobParameter": "",
                "shardingItem": item, "shardingParameter": city,
            });
            assert_eq!(contexts[item], wanted);
        }
        assert_eq!(contexts.len(), 2);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn script_of_xxl_job_is_imported_applied_and_gets_its_three_arguments() -> anyhow::Result<()>
{
    let rows = json!([{
        "id": 7, "job_group": 1, "job_desc": "nightly", "schedule_type": "CRON", "schedule_conf": "0 0 2 * * ?",
        "misfire_strategy": "FIRE_ONCE_NOW", "executor_route_strategy": "SHARDING_BROADCAST", "executor_param": "it's $1",
        "executor_block_strategy": "SERIAL_EXECUTION", "executor_timeout": 0, "executor_fail_retry_count": 0,
        "glue_type": "GLUE_SHELL", "glue_source": "test \"$1\" = \"it's \\$1\" && test \"$2\" = \"$GRIDLOOM_SLICE\" && test \"$3\" = 2\n",
        "child_jobid": "", "trigger_status": 1,
    }]);
    play(async |stage| {
        stage.start_planner().await?;
        let (there, out) = (stage.dir().join("jobs.json"), stage.dir().join("out"));
        fs::write(&there, rows.to_string())?;
        let (file, dir) = (there.display().to_string(), out.display().to_string());
        let import = ["import", "xxl-job", &file, "--out", &dir];
        let asked = stage.cli(&import, SOON).await?;
        assert_eq!(
            asked.code, 1,
            "neither zone nor slices are known: {asked:?}"
        );
        let told = ["--timezone", "Asia/Shanghai", "--slices", "2", "--force"];
        let import = [&import[..], &told].concat();
        let imported = stage.cli(&import, SOON).await?.succeeded()?;
        assert!(!imported.stdout.contains("ANSWER"), "{imported:?}");
        let job = out.join("jobs/job-7.toml").display().to_string();
        stage
            .cli(&["job", "apply", &job], SOON)
            .await?
            .succeeded()?;
        let next = ["job", "next", "job-7", "--json"];
        let next = stage.cli(&next, SOON).await?.succeeded()?;
        assert!(next.stdout.contains("T18:00:00"), "two in China: {next:?}");
        // Not where its scripts lie.
        let worker = stage
            .gridloom(&["worker", "--config", "out/gridloom.toml"])?
            .dir(stage.dir());
        let worker = worker.env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
        stage.workers.push(worker.start().await?);
        let run = ["run", "job-7", "--wait"];
        stage.cli(&run, SOON).await?.succeeded()?;
        Ok(())
    })
    .await
}
