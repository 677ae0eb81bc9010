//! What programs are told: errors as documents, the same conflict of jobs and calendars, and what stands in the way of a
//! job's fires as fields of each answer about it.

use std::time::Duration;

use gridloom_tests::scenario::{Stage, play};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

/// Writes a file; its path.
fn file(stage: &Stage, name: &str, text: &str) -> anyhow::Result<String> {
    let path = stage.dir().join(name);
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// What a command prints for programs, whatever it ended with; its exit code; and what it says beside that.
async fn told(stage: &Stage, line: &str) -> anyhow::Result<(Value, u8, String)> {
    let args: Vec<&str> = line.split(' ').chain(["--json"]).collect();
    let said = stage.cli(&args, SOON).await?;
    Ok((said.json()?, said.code, said.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_is_a_document_with_its_kind_and_code() -> anyhow::Result<()> {
    play(async |stage| {
        let bad = file(
            stage,
            "bad.toml",
            "name = \"a\"\nhandler = \"noop\"\nevery = \"1m\"\nzzz = 1",
        )?;
        for (line, error) in [
            ("job show nobody", "there is no job"),
            ("show nobody_s_1", "there is no run"),
            ("calendar show nobody", "there is no calendar"),
            ("job next nobody", "there is no job"),
            (
                "job backfill nobody --from 2026-01-01 --to 2026-01-02",
                "there is no job",
            ),
            ("runs --limit none", "invalid value"),
            ("calendar apply none.toml", "1 mistake in 1 file"),
        ] {
            let (told, code, stderr) = told(stage, line).await?;
            assert_eq!(
                (code, &told["code"], &told["kind"]),
                (2, &json!(2), &json!("misuse")),
                "{line}: {told}"
            );
            let text = told["error"].as_str().unwrap_or_default();
            assert!(
                text.contains(error) && stderr.contains(error),
                "{line}: {told} {stderr}"
            );
        }
        let (told, code, _) = told(stage, &format!("job apply {bad}")).await?;
        let faults = told["faults"].as_array().cloned().unwrap_or_default();
        assert_eq!((code, faults.len()), (2, 2), "{told}");
        assert!(
            faults[0]
                .as_str()
                .is_some_and(|fault| fault.contains("bad.toml: every: is a key of [schedule]")),
            "{told}"
        );
        // Nobody listens there.
        let gone = stage
            .cli(&["--nats", "nats://127.0.0.1:1", "runs", "--json"], SOON)
            .await?;
        let gone = (gone.json()?, gone.code);
        assert_eq!(
            (&gone.0["kind"], gone.1),
            (&json!("unreachable"), 3),
            "{gone:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn conflict_of_a_calendar_is_told_as_one_of_a_job() -> anyhow::Result<()> {
    play(async |stage| {
        let job = file(
            stage,
            "office-job.toml",
            "name = \"office\"\nhandler = \"noop\"\n[schedule]\nevery = \"1h\"",
        )?;
        let calendar = file(
            stage,
            "office.toml",
            "name = \"office\"\ntimezone = \"UTC\"\nweekdays = \"MON-FRI\"",
        )?;
        for (kind, path) in [("job", &job), ("calendar", &calendar)] {
            let create = format!("{kind} apply {path} --if-revision 0");
            let (made, code, _) = told(stage, &create).await?;
            assert_eq!((code, &made[0]["change"]), (0, &json!("created")), "{made}");
            let revision = made[0]["revision"].as_u64().unwrap_or_default();
            let (refused, code, stderr) = told(stage, &create).await?;
            let wanted = json!({
                kind: "office", "change": "conflict", "expected": 0, "revision": revision,
                "applied_at": refused[0]["applied_at"],
            });
            assert_eq!((code, &refused[0]), (1, &wanted), "{stderr}");
            assert!(
                stderr.contains(&format!("--if-revision {revision}")),
                "{stderr}"
            );
            let (refused, code, _) = told(
                stage,
                &format!("{kind} delete office --if-revision {}", revision + 7),
            )
            .await?;
            assert_eq!(
                (code, &refused["change"], &refused["revision"]),
                (1, &json!("conflict"), &json!(revision))
            );
            let (deleted, code, _) = told(
                stage,
                &format!("{kind} delete office --if-revision {revision}"),
            )
            .await?;
            assert_eq!((code, &deleted["deleted"]), (0, &json!(true)), "{deleted}");
            let (gone, code, _) = told(
                stage,
                &format!("{kind} apply {path} --if-revision {revision}"),
            )
            .await?;
            assert_eq!(
                (code, &gone[0]["change"], &gone[0]["revision"]),
                (1, &json!("conflict"), &json!(0))
            );
            // One that is gone is none.
            let (again, code, _) = told(stage, &create).await?;
            assert_eq!(
                (code, &again[0]["change"]),
                (0, &json!("created")),
                "{again}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_fires_back_stands_in_each_answer_about_their_job() -> anyhow::Result<()> {
    play(async |stage| {
        let calendar = file(stage, "office.toml", "name = \"office\"\ntimezone = \"UTC\"\nweekdays = [\"MON-FRI\"]")?;
        let job = file(stage, "tick.toml", "name = \"tick\"\nhandler = \"noop\"\n[schedule]\nevery = \"1h\"\nexcept = \"office\"")?;
        let wrong = file(stage, "wrong.toml", "name = \"tick\"\nhandler = \"noop\"\n[schedule]\nevery = \"1h\"\nexcept = \"ofice\"")?;
        told(stage, &format!("calendar apply {calendar}")).await?;
        let (refused, _, _) = told(stage, &format!("job apply {wrong}")).await?;
        assert!(refused["error"].as_str().is_some_and(|error| error.contains("did you mean \"office\"?")), "{refused}");
        let (made, _, _) = told(stage, &format!("job apply {job}")).await?;
        let free = json!({ "pauses": [], "missing_calendars": [], "late": null, "overdue": [], "stopped": null });
        assert_eq!(made[0]["obstacles"], free, "{made}");
        let pause = ["job", "pause", "tick", "--note", "moved"];
        stage.cli(&pause, SOON).await?.succeeded()?;
        let freeze = ["job", "pause", "--all", "--note", "incident"];
        stage.cli(&freeze, SOON).await?.succeeded()?;
        told(stage, "calendar delete office --force").await?;
        for (line, at) in [("job show tick", "/obstacles"), ("job list", "/0/obstacles")] {
            let (told, _, stderr) = told(stage, line).await?;
            let obstacles = told.pointer(at).cloned().unwrap_or_default();
            assert_eq!(obstacles["missing_calendars"], json!(["office"]), "{line}: {told}");
            let pauses = [&obstacles["pauses"][0], &obstacles["pauses"][1]];
            assert_eq!(pauses.map(|pause| &pause["note"]), [&json!("incident"), &json!("moved")], "{line}");
            assert_eq!(pauses.map(|pause| &pause["all"]), [&json!(true), &json!(false)]);
            for words in ["incident", "moved", "waits for calendar office"] {
                assert!(stderr.contains(words), "{line}: {stderr}");
            }
        }
        let (next, _, _) = told(stage, "job next tick --count 2").await?;
        assert_eq!((&next[0]["waits_for"], &next[0]["excluded"]), (&json!("office"), &json!(null)), "{next}");
        assert_eq!(next[1]["paused"]["note"], "incident");
        // What it prints is a job file still.
        let (shown, _, _) = told(stage, "job show tick").await?;
        let again = file(stage, "again.json", &shown.to_string())?;
        told(stage, &format!("calendar apply {calendar}")).await?;
        let (same, code, _) = told(stage, &format!("job apply {again}")).await?;
        assert_eq!((code, &same[0]["change"]), (0, &json!("unchanged")), "{same}");
        // One is resumed while all are paused.
        let (resumed, _, stderr) = told(stage, "job resume tick").await?;
        assert_eq!((&resumed["changed"], &resumed["pauses"][0]["note"]), (&json!(true), &json!("incident")));
        assert!(stderr.contains("the schedules of all jobs are paused"), "{stderr}");
        // One that is made again is paused still.
        stage.cli(&pause, SOON).await?.succeeded()?;
        told(stage, "job delete tick").await?;
        let (_, _, stderr) = told(stage, &format!("job apply {job}")).await?;
        assert!(stderr.contains("paused still"), "{stderr}");
        Ok(())
    })
    .await
}
