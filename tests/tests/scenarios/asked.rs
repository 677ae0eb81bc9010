//! What people do to jobs at run time and are told of their fires: changes over what they saw, dry runs, deletions, and
//! jobs that wait or stand still.

use std::time::Duration;

use gridloom_shared::id::{JobName, RunId};
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

/// Writes a job file; its path.
fn file(stage: &Stage, name: &str, text: &str) -> anyhow::Result<String> {
    let path = stage.dir().join(name);
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

fn tick(schedule: &str) -> String {
    format!("name = \"tick\"\nhandler = \"noop\"\n[schedule]\n{schedule}\n")
}

/// What a command prints for programs, whatever it ended with; and its exit code.
async fn asked(stage: &Stage, args: &[&str]) -> anyhow::Result<(Value, u8)> {
    let args = [args, &["--json"]].concat();
    let said = stage.cli(&args, SOON).await?;
    Ok((said.json()?, said.code))
}

async fn revision(stage: &Stage) -> anyhow::Result<u64> {
    let (shown, _) = asked(stage, &["job", "show", "tick"]).await?;
    Ok(shown["revision"].as_u64().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_change_the_same_revision_one_does_and_the_others_are_told_so()
-> anyhow::Result<()> {
    play(async |stage| {
        let first = file(stage, "tick.toml", &tick("every = \"1h\""))?;
        // Of many who create it as well.
        let create = ["job", "apply", &first, "--if-revision", "0"];
        let (made, code) = asked(stage, &create).await?;
        assert_eq!((code, &made[0]["change"]), (0, &json!("created")), "{made}");
        let before = revision(stage).await?;
        assert_eq!(made[0]["revision"], before);
        let (refused, code) = asked(stage, &create).await?;
        assert_eq!((code, &refused[0]["change"]), (1, &json!("conflict")));
        assert_eq!(refused[0]["revision"], before, "{refused}");

        let files = (1..=8)
            .map(|n| {
                file(
                    stage,
                    &format!("{n}.toml"),
                    &tick(&format!("every = \"{n}m\"")),
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        let expected = before.to_string();
        let changes = files.iter().map(async |path| {
            let change = ["job", "apply", path, "--if-revision", &expected];
            asked(stage, &change).await
        });
        let changes = futures_util::future::try_join_all(changes).await?;
        let won = changes.iter().filter(|(_, code)| *code == 0).count();
        assert_eq!(won, 1, "{changes:?}");
        let now = revision(stage).await?;
        for (said, code) in &changes {
            let change = if *code == 0 { "changed" } else { "conflict" };
            assert_eq!(
                (&said[0]["change"], &said[0]["revision"]),
                (&json!(change), &json!(now))
            );
        }
        let words = stage
            .cli(&["job", "apply", &first, "--if-revision", &expected], SOON)
            .await?;
        assert!(
            words.stderr.contains(&format!("--if-revision {now}")),
            "{words:?}"
        );

        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn job_is_deleted_only_by_who_saw_it_as_it_is_and_made_anew_only_where_it_is_gone()
-> anyhow::Result<()> {
    play(async |stage| {
        let first = file(stage, "tick.toml", &tick("every = \"1h\""))?;
        let second = file(stage, "other.toml", &tick("every = \"2h\""))?;
        asked(stage, &["job", "apply", &first]).await?;
        let expected = revision(stage).await?.to_string();
        asked(stage, &["job", "apply", &second]).await?;
        let now = revision(stage).await?;
        let create = ["job", "apply", &first, "--if-revision", "0"];
        let (_, code) = asked(
            stage,
            &["job", "delete", "tick", "--if-revision", &expected],
        )
        .await?;
        assert_eq!(code, 1);
        let delete = ["job", "delete", "tick", "--if-revision", &now.to_string()];
        let (deleted, code) = asked(stage, &delete).await?;
        assert_eq!((code, &deleted["deleted"]), (0, &json!(true)));
        let (gone, code) = asked(
            stage,
            &["job", "apply", &first, "--if-revision", &now.to_string()],
        )
        .await?;
        assert_eq!((code, &gone[0]["revision"]), (1, &json!(0)), "{gone}");
        let (again, code) = asked(stage, &create).await?;
        assert_eq!(
            (code, &again[0]["change"]),
            (0, &json!("created")),
            "{again}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_writes_nothing_and_says_what_would_change() -> anyhow::Result<()> {
    play(async |stage| {
        let old = file(stage, "old.toml", &tick("cron = \"0 6 * * *\""))?;
        let new = file(
            stage,
            "new.toml",
            &tick("cron = [\"0 6 * * *\", \"0 18 * * *\"]\ntimezone = \"Europe/Berlin\""),
        )?;
        let (made, _) = asked(stage, &["job", "apply", &old, "--dry-run"]).await?;
        assert_eq!(
            (&made[0]["change"], &made[0]["revision"]),
            (&json!("created"), &json!(0))
        );
        assert_eq!(asked(stage, &["job", "list"]).await?.0, json!([]));
        asked(stage, &["job", "apply", &old]).await?;
        let before = revision(stage).await?;

        let (would, code) = asked(stage, &["job", "apply", &new, "--dry-run"]).await?;
        let would = &would[0];
        assert_eq!(
            (code, &would["change"], &would["dry_run"]),
            (0, &json!("changed"), &json!(true))
        );
        assert_eq!(revision(stage).await?, before, "a dry run wrote");
        let keys: Vec<&str> = would["changes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|change| change["key"].as_str())
            .collect();
        assert_eq!(keys, ["schedule.cron", "schedule.timezone"]);
        let fires = would["fires"].as_array().cloned().unwrap_or_default();
        let so = |word: &str| fires.iter().filter(|fire| fire["change"] == word).count();
        assert_eq!((so("falls_away"), so("new")), (5, 5), "{would}");
        assert!(
            fires
                .iter()
                .all(|fire| fire["before"].is_null() != fire["after"].is_null())
        );
        let words = stage
            .cli(&["job", "apply", &new, "--dry-run"], SOON)
            .await?
            .succeeded()?;
        for word in [
            "nothing was written",
            "schedule.timezone: \"UTC\" -> \"Europe/Berlin\"",
            "before at 06:00",
            "falls away",
            "BEFORE",
        ] {
            assert!(words.stdout.contains(word), "{word}: {}", words.stdout);
        }
        // What it is applied with is what it said.
        let (done, _) = asked(stage, &["job", "apply", &new]).await?;
        assert_eq!(done[0]["fires"], would["fires"]);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_can_be_applied_as_it_is_and_changes_nothing() -> anyhow::Result<()> {
    play(async |stage| {
        let new = file(stage, "new.toml", &tick("cron = \"0 6 * * *\""))?;
        asked(stage, &["job", "apply", &new]).await?;
        for json in [true, false] {
            let shown = match json {
                true => stage.cli(&["job", "show", "tick", "--json"], SOON).await?,
                false => stage.cli(&["job", "show", "tick"], SOON).await?,
            };
            let shown = shown.succeeded()?.stdout;
            assert!(shown.contains("overlap"), "defaults: {shown}");
            let again = file(
                stage,
                if json { "again.json" } else { "again.toml" },
                &shown,
            )?;
            let (again, _) = asked(stage, &["job", "apply", &again]).await?;
            assert_eq!(again[0]["change"], "unchanged", "{again}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_seldom_meant_is_told_where_it_is_applied() -> anyhow::Result<()> {
    play(async |stage| {
        let path = file(
            stage,
            "tick.toml",
            &tick("every = \"1m\"\nmisfire = { policy = \"run_all\" }\nend = \"2020-01-01\"\nstart = \"2019-01-01\""),
        )?;
        let (applied, code) = asked(stage, &["job", "apply", &path]).await?;
        let warnings = applied[0]["warnings"].to_string();
        assert_eq!(code, 0);
        assert!(warnings.contains("has no time to come"), "{warnings}");
        assert!(warnings.contains("made up for") || warnings.contains("makes up for"), "{warnings}");
        // One that would be counted from now has no time at all, and is refused before anything is written.
        let never = file(stage, "never.toml", &tick("after = \"1m\"\nend = \"2020-01-01\"").replace("tick", "never"))?;
        let refused = stage.cli(&["job", "apply", &path, &never], SOON).await?;
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("never fires") && refused.stderr.contains("nothing was applied"), "{refused:?}");
        let said = stage.cli(&["job", "apply", &path], SOON).await?;
        assert!(said.stderr.contains("job tick: warning: schedule.overlap"), "{said:?}");
        Ok(())
    })
    .await
}

/// The last run of the job, and how it stands.
async fn last_run(stage: &Stage) -> anyhow::Result<Option<(RunId, String)>> {
    let (runs, _) = asked(stage, &["runs", "tick"]).await?;
    let run = runs[0]["run"].as_str().map(str::to_owned);
    let state = runs[0]["state"].as_str().unwrap_or_default().to_owned();
    Ok(match run {
        Some(run) => Some((RunId::new(run)?, state)),
        None => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn job_is_deleted_with_its_open_runs_or_without() -> anyhow::Result<()> {
    play(async |stage| {
        let text = format!(
            "{}[params]\nsleep_ms = 60000\n",
            tick("every = \"2s\"\noverlap = \"allow\"")
        );
        let path = file(stage, "tick.toml", &text)?;
        stage.start_all(1).await?;
        let job = JobName::new("tick")?;
        let opened = async |more: usize| {
            let fires = eventually_some(SOON, "runs are open", async || {
                let fires = Fires::read(&stage.broker, &job).await?;
                Ok((fires.count("opened") >= more).then_some(fires))
            });
            fires.await
        };
        asked(stage, &["job", "apply", &path]).await?;
        opened(1).await?;
        let (deleted, _) = asked(stage, &["job", "delete", "tick"]).await?;
        assert_eq!(deleted["cancelled"], json!([]));
        let (run, state) = last_run(stage).await?.unwrap();
        assert_ne!(state, "cancelled", "{run}");

        asked(stage, &["job", "apply", &path]).await?;
        let before = opened(3).await?.count("opened");
        let (deleted, code) = asked(stage, &["job", "delete", "tick", "--cancel"]).await?;
        let cancelled = deleted["cancelled"].as_array().map_or(0, Vec::len);
        assert_eq!(code, 0, "{deleted}");
        assert!(cancelled >= before, "{cancelled} of {before}: {deleted}");
        eventually(SOON, "all is over", async || {
            Ok(Fires::read(&stage.broker, &job).await?.are_over())
        })
        .await?;
        let fires = Fires::read(&stage.broker, &job).await?;
        assert_eq!(
            fires.count("opened"),
            cancelled,
            "one was opened and not cancelled"
        );
        fires.judge()?;
        // It is gone, and so is all that was open.
        let again = stage
            .cli(&["job", "delete", "tick", "--cancel"], SOON)
            .await?;
        assert_eq!(again.code, 2, "{again:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_job_whose_handler_nobody_has_waits_visibly_and_starts_when_a_worker_comes()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let text = "name = \"tick\"\nhandler = \"exec\"\nexec = { command = \"tell\" }\n[schedule]\nevery = \"1s\"\nmax_fires = 1\n";
        let path = file(stage, "tick.toml", text)?;
        stage.cli(&["job", "apply", &path], SOON).await?.succeeded()?;
        let (run, _) = eventually_some(SOON, "it fires", async || last_run(stage).await).await?;
        eventually(SOON, "it is told what the run waits for", async || {
            let shown = stage.cli(&["show", run.as_str()], SOON).await?;
            let doctor = stage.cli(&["doctor"], SOON).await?;
            Ok(shown.stdout.contains("handler") && doctor.stdout.contains("exec") && doctor.code == 1)
        })
        .await?;
        let (answer, _) = asked(stage, &["job", "fires", "tick", "--decision", "opened"]).await?;
        let at = answer[0]["scheduled_at"].as_str().unwrap_or_default().to_owned();
        let (why, _) = asked(stage, &["job", "why", "tick", &at]).await?;
        assert_eq!(why["decisions"][0]["run"], run.as_str(), "{why}");
        assert_ne!(why["decisions"][0]["run_state"], "succeeded", "{why}");
        stage.start_worker(4, &["--exec", "tell=true"]).await?;
        stage.closed(&run, SOON).await?;
        let (why, _) = asked(stage, &["job", "why", "tick", &at]).await?;
        assert_eq!(why["decisions"][0]["run_state"], "succeeded", "{why}");
        assert_eq!(why["decisions"][0]["reason"]["kind"], "due", "{why}");
        assert!(why["decisions"][0]["leader"].is_string(), "{why}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_is_not_decided_yet_is_told_in_fields_and_so_is_one_that_is_none()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage
            .apply(&tick("cron = \"0 6 1 1 *\"\ntimezone = \"Europe/Berlin\""))
            .await?;
        let job = JobName::new("tick")?;
        eventually(SOON, "the schedule is in force", async || {
            Ok(Fires::read(&stage.broker, &job).await?.count("adopted") == 1)
        })
        .await?;
        let (next, _) = asked(stage, &["job", "next", "tick", "--count", "1"]).await?;
        let next = &next[0];
        let at = next["scheduled_at"].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (&next["opens_at"], &next["moved_from"], &next["excluded"]),
            (&json!(at), &json!(null), &json!(null))
        );
        assert!(at.ends_with(".000Z"), "{next}");
        let (why, code) = asked(stage, &["job", "why", "tick", &at]).await?;
        assert_eq!(
            (code, &why["state"], &why["opens_at"]),
            (0, &json!("undecided"), &json!(at)),
            "{why}"
        );
        assert_eq!(why["local"], next["local"]);
        stage
            .cli(&["job", "pause", "tick", "--note", "moved"], SOON)
            .await?
            .succeeded()?;
        let (why, _) = asked(stage, &["job", "why", "tick", &at]).await?;
        assert_eq!(
            (&why["state"], &why["note"]),
            (&json!("held_back"), &json!("moved")),
            "{why}"
        );
        let (odd, code) = asked(stage, &["job", "why", "tick", "2090-03-01T00:00:00"]).await?;
        assert_eq!((code, &odd["state"]), (2, &json!("no_fire")), "{odd}");
        assert!(odd["next"].is_string(), "{odd}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn job_that_stands_still_for_a_record_without_sense_is_told_with_what_to_do()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = stage.apply(&tick("every = \"1s\"")).await?;
        let subject = stage.broker.subjects().fires(&job);
        stage
            .broker
            .append(subject, "nonsense".into(), None)
            .await?;
        stage.start_all(1).await?;
        let advice = "nats stream rmm test-history";
        let found = eventually_some(SOON, "doctor says so", async || {
            let (checks, code) = asked(stage, &["doctor"]).await?;
            let bad = checks
                .as_array()
                .into_iter()
                .flatten()
                .find(|check| check["check"] == "schedules" && check["result"] == "bad");
            Ok(bad.filter(|_| code == 1).cloned())
        });
        let found = found.await?;
        assert!(found["advice"].to_string().contains(advice), "{found}");
        for args in [
            &["job", "show", "tick"][..],
            &["job", "fires", "tick"],
            &["job", "next", "tick"],
        ] {
            let said = stage.cli(args, SOON).await?.succeeded()?;
            assert!(
                said.stderr.contains("fires nothing since"),
                "{args:?}: {said:?}"
            );
            assert!(said.stderr.contains(advice), "{args:?}: {said:?}");
        }
        // Once it is removed the leader goes on by itself.
        let history = stage.broker.subjects().history();
        stage
            .broker
            .purge(&history, &stage.broker.subjects().fires(&job), 0)
            .await?;
        eventually(SOON, "it fires again", async || {
            Ok(Fires::read(&stage.broker, &job).await?.count("opened") > 0)
        })
        .await?;
        Ok(())
    })
    .await
}
