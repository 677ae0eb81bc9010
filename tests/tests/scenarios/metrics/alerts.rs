//! Each alert is tried with series that are made up, and where it can be with processes: here those that die, and shards.

use super::*;

#[tokio::test]
async fn promtool_has_nothing_to_say_about_configuration_and_alerts_and_each_alert_fires_and_clears()
-> anyhow::Result<()> {
    if !have_prometheus() {
        return Ok(());
    }
    let folder = folder();
    promtool(&folder, &["check", "config", "prometheus.yml"], "").await?;
    promtool(&folder, &["check", "rules", "alerts.yml"], "").await?;
    promtool(&folder, &["test", "rules", "alerts_test.yml"], "").await?;
    // A test for each.
    let tests = file("alerts_test.yml")?;
    let untested: Vec<String> = super::alerts()?
        .into_iter()
        .filter(|name| {
            let fires = format!("alertname=\"{name}\", alertstate=\"firing\"");
            let fires = tests.find(&fires).map(|at| &tests[at..]);
            let until = fires.and_then(|rest| rest.split("\n  - name: ").next());
            // The last that is asked of it: nothing.
            !until.is_some_and(|rest| rest.trim_end().ends_with("exp_samples: []"))
        })
        .collect();
    ensure!(
        untested.is_empty(),
        "fires and clears is not tested of {untested:?}"
    );
    Ok(())
}

/// Whatever is told to somebody is seen here with what causes it, and not with made-up series alone.
#[test]
fn each_alert_is_provoked_by_a_test_of_this_folder() -> anyhow::Result<()> {
    let rooms = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/metrics");
    let mut tests = String::new();
    for room in std::fs::read_dir(rooms)? {
        tests += &std::fs::read_to_string(room?.path())?;
    }
    let unseen: Vec<String> = super::alerts()?
        .into_iter()
        .filter(|name| !tests.contains(&format!("\"{name}\"")))
        .collect();
    ensure!(unseen.is_empty(), "nothing provokes {unseen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_and_clear_where_processes_die_and_shards_and_nobody_has_the_handler()
-> anyhow::Result<()> {
    if !have_prometheus() {
        return Ok(());
    }
    play(async |stage| {
        let (at_planner, at_worker) = installation(stage).await?;
        let prometheus = &prometheus(at_planner, at_worker).await?;
        eventually(SOON, "somebody leads", async || {
            let leads = prometheus.query("gridloom_leader == 1").await?;
            let works = prometheus.query("gridloom_queue_workers == 1").await?;
            Ok(!leads.is_empty() && !works.is_empty())
        })
        .await?;
        clears(prometheus, "GridloomNoLeader").await?;
        let dying = "name = \"dying\"\nhandler = \"noop\"\n[grid]\npages = { count = 3 }\n[retry]\nmax_attempts = 1";
        submit(stage, dying, json!({"fail_percent": 100})).await?;
        let strange = "name = \"strange\"\nhandler = \"nobody-has-it\"";
        let strange = submit(stage, strange, json!({})).await?;
        fires(prometheus, "GridloomShardsDead", "job dying").await?;
        fires(prometheus, "GridloomHandlerWithoutWorkers", "nobody-has-it").await?;
        stage.workers[0].kill().await?;
        fires(prometheus, "GridloomWorkerDead", "Worker ").await?;
        fires(prometheus, "GridloomQueueWithoutWorkers", "queue default").await?;
        fires(prometheus, "GridloomTargetDown", "gridloom-worker").await?;
        worker(stage, at_worker).await?;
        for alert in [
            "GridloomQueueWithoutWorkers",
            "GridloomTargetDown",
            "GridloomWorkerDead",
            "GridloomShardsDead",
        ] {
            clears(prometheus, alert).await?;
        }
        let cancelled = stage.cli(&["cancel", strange.as_str()], SOON).await?;
        cancelled.succeeded()?;
        clears(prometheus, "GridloomHandlerWithoutWorkers").await?;
        stage.planners[0].kill().await?;
        fires(prometheus, "GridloomNoLeader", "").await?;
        planner(stage, at_planner).await?;
        clears(prometheus, "GridloomNoLeader").await
    })
    .await
}
