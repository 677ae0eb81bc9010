//! Jobs that come from another scheduler: what `gridloom import` writes is applied and does what it did there.

use std::fs;
use std::time::Duration;

use gridloom_tests::scenario::play;

const SOON: Duration = Duration::from_secs(40);
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
      props:
        script.command.line: \"sh -c 'test $GRIDLOOM_SLICES = 3'\"
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
        // A script reads its context elsewhere: somebody has to know.
        assert_eq!(imported.code, 1, "{imported:?}");
        assert!(imported.stdout.contains("ANSWER"), "{imported:?}");
        let again = stage.cli(&import, SOON).await?;
        assert_eq!(again.code, 2, "nothing is written over: {again:?}");
        let job = out.join("jobs/script-job.toml").display().to_string();
        let apply = ["job", "apply", &job];
        stage.cli(&apply, SOON).await?.succeeded()?;
        let next = ["job", "next", "script-job", "--json"];
        let next = stage.cli(&next, SOON).await?.succeeded()?;
        assert!(next.stdout.contains("T18:00:00"), "two in China: {next:?}");
        let workers = out.join("gridloom.toml").display().to_string();
        stage.start_worker(4, &["--config", &workers]).await?;
        let run = ["run", "script-job", "--wait"];
        stage.cli(&run, SOON).await?.succeeded()?;
        Ok(())
    })
    .await
}
