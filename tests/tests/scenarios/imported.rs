//! Jobs that come from another scheduler: what `gridloom import` writes is applied and does what it did there.

use std::fs;
use std::time::Duration;

use gridloom_tests::scenario::play;

const SOON: Duration = Duration::from_secs(40);
/// Reads what it is to do where ElasticJob has it.
const SCRIPT: &str = r#"
test "$1" = --fast && test $# = 2 || exit 64
case "$2" in
'{"jobName":"script-job","taskId":"script-job_'*'","shardingTotalCount":3,"jobParameter":"all","shardingItem":1,"shardingParameter":"Shanghai"}') echo '{"rows": 1}' ;;
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
