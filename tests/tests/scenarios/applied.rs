//! What cannot be meant is told when it is said, and is neither stored nor begun.

use std::time::Duration;

use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::wire;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually_some;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);
const SOUND: &str = "name = \"sound\"\nhandler = \"sql\"\n[sql]\ndatabase = \"main\"\nstatement = \"UPDATE t SET n = :n\"";
const CONDITION: &str = "(id % :slices + :slices) % :slices = :slice";

/// The names of the jobs that are stored.
async fn stored(stage: &Stage) -> anyhow::Result<Vec<Value>> {
    let listed = stage.cli(&["job", "list", "--json"], SOON).await?;
    let listed = listed.succeeded()?.json()?;
    let all = listed.as_array().cloned().unwrap_or_default();
    Ok(all.iter().map(|job| job["name"].clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn job_that_could_not_do_what_it_says_is_not_stored() -> anyhow::Result<()> {
    play(async |stage| {
        let (sound, wrong) = (stage.dir().join("sound.toml"), stage.dir().join("wrong.toml"));
        std::fs::write(&sound, SOUND)?;
        let (good, bad) = (sound.display().to_string(), wrong.display().to_string());
        for (text, words) in [
            (SOUND.replace("[sql]", "[grid]\nslices = 4\n[sql]"), CONDITION),
            (SOUND.replace(":n", ":slize"), ":slice"),
            (SOUND.replace(":n", "?"), "named parameters"),
            (
                "name = \"e\"\nhandler = \"exec\"\n[grid]\npages = { probe = true }\n[exec]\ncommand = \"c\"".to_owned(),
                "grid.pages: ",
            ),
            ("name = \"n\"\nhandler = \"noop\"\n[params]\nslep_ms = 1".to_owned(), "sleep_ms"),
        ] {
            std::fs::write(&wrong, &text)?;
            let said = stage.cli(&["job", "apply", &good, &bad], SOON).await?;
            assert_eq!(said.code, 2, "{text}: {said:?}");
            assert!(said.stderr.contains(words), "{text}: {said:?}");
            assert!(said.stderr.contains("1 mistake in 1 of 2 files; nothing was applied"), "{said:?}");
            assert_eq!(stored(stage).await?, [] as [Value; 0]);
        }
        let said = stage.cli(&["job", "apply", &good], SOON).await?;
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stderr.contains("job sound: warning: sql.statement: names :n"), "{said:?}");
        // A job that is new has seldom the first one.
        assert!(said.stdout.contains("created (revision 1, counted over all jobs)"), "{said:?}");
        assert_eq!(stored(stage).await?, [json!("sound")]);
        Ok(())
    })
    .await
}

/// A definition may be in the bucket from before anybody looked, and a submission may bring what makes it wrong.
#[tokio::test(flavor = "multi_thread")]
async fn run_that_could_not_do_what_its_job_says_is_refused_and_not_begun() -> anyhow::Result<()> {
    play(async |stage| {
        let mut spec =
            parse::parse(SOUND, Format::Toml).map_err(|faults| anyhow::anyhow!("{faults}"))?;
        stage.apply(SOUND).await?;
        spec.name = "old".parse()?;
        spec.grid.slices = 4;
        stage.broker.jobs().put("old", wire::encode(&spec)).await?;
        for (args, words) in [
            (&["run", "old", "--param", "n=1"][..], CONDITION),
            (&["run", "sound"], "--param n=..."),
            (
                &["run", "sound", "--param", "n=1", "--param", "m=2"],
                "params.m: ",
            ),
        ] {
            let said = stage.cli(args, SOON).await?;
            assert_eq!(said.code, 2, "{said:?}");
            assert!(said.stderr.contains(words), "{said:?}");
        }
        stage.start_planner().await?;
        stage.submit(&spec.name, &json!({"n": 1})).await?;
        let refused = eventually_some(SOON, "the planner answers", async || {
            let listed = stage.cli(&["unreadable", "list", "--json"], SOON).await?;
            Ok(listed.succeeded()?.json()?.get(0).cloned())
        })
        .await?;
        let reason = refused["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(CONDITION), "{refused}");
        let runs = stage.cli(&["runs", "--json"], SOON).await?.succeeded()?;
        assert_eq!(runs.json()?, json!([]));
        Ok(())
    })
    .await
}
