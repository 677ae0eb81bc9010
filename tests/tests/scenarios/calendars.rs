//! Calendars with a name, with real processes: what they take out, that a change works from when it was made, and that a
//! schedule waits for one that is not there, whoever leads.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{CalendarName, JobName};
use gridloom_shared::reads::calendars;
use gridloom_shared::schedule::Kept;
use gridloom_shared::schedule::record::{Decision, Why};
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(40);
const TICK: &str = "name = \"tick\"\nhandler = \"noop\"\n[schedule]\nevery = \"1s\"\noverlap = \"allow\"\nexcept = \"office\"\nmisfire = { policy = \"run_once\" }";
/// Times of all days, and of none that anybody sees.
const ALWAYS: &str = "times = [\"00:00-24:00\"]";
const NEVER: &str = "dates = [\"1999-01-01\"]";

/// Has the calendar `office` say this. Returns what the command said.
async fn say(stage: &Stage, keys: &str) -> anyhow::Result<Value> {
    let file = stage.dir().join("office.toml");
    std::fs::write(
        &file,
        format!("name = \"office\"\ntimezone = \"UTC\"\n{keys}"),
    )?;
    let path = file.to_str().unwrap_or_default();
    let asked = ["calendar", "apply", path, "--json"];
    stage.cli(&asked, SOON).await?.succeeded()?.json()
}

async fn office(stage: &Stage) -> anyhow::Result<Kept> {
    let seen = calendars::see(&stage.broker, &CalendarName::new("office")?).await?;
    Ok(seen.kept().cloned().expect("it is there and makes sense"))
}

/// Waits until so many decisions are called `word`.
async fn decided(stage: &Stage, job: &JobName, word: &str, times: usize) -> anyhow::Result<Fires> {
    let what = format!("{times} fires are {word}");
    eventually(SOON, &what, async || {
        let fires = Fires::read(&stage.broker, job).await?;
        Ok(fires.count(word) >= times)
    })
    .await?;
    Fires::read(&stage.broker, job).await
}

/// One more fire than there are is called `word`.
async fn one_more(stage: &Stage, job: &JobName, word: &str) -> anyhow::Result<()> {
    let fires = Fires::read(&stage.broker, job).await?;
    decided(stage, job, word, fires.count(word) + 1).await?;
    Ok(())
}

/// Each fire that was decided long enough after each change was judged by what the calendar said at its time.
fn judge(fires: &Fires, kept: &Kept) -> usize {
    let mut changes: Vec<UnixMs> = kept.before().iter().map(|earlier| earlier.since).collect();
    changes.push(kept.since());
    // Within 100 ms on a machine that is not busy.
    let heard = Duration::from_millis(500);
    let mut judged = 0;
    for record in &fires.records {
        let (at, out) = match &record.decision {
            Decision::Opened { at, .. } => (*at, false),
            Decision::Passed { span, why } => (span.last, matches!(why, Why::Excluded { .. })),
            _ => continue,
        };
        let just_said = |since: &UnixMs| *since <= record.at && record.at < *since + heard;
        if changes.iter().any(just_said) {
            continue;
        }
        assert_eq!(kept.covers(at), out, "{record:?} of {kept:?}");
        judged += 1;
    }
    judged
}

#[tokio::test(flavor = "multi_thread")]
async fn change_of_a_calendar_is_in_force_at_once_and_for_nothing_before() -> anyhow::Result<()> {
    play(async |stage| {
        say(stage, ALWAYS).await?;
        let job = stage.apply(TICK).await?;
        stage.start_all(1).await?;
        decided(stage, &job, "excluded", 2).await?;
        for keys in [NEVER, ALWAYS, NEVER] {
            let said = say(stage, keys).await?;
            assert_eq!(said[0]["jobs"][0]["job"], "tick", "{said}");
            let word = if keys == NEVER { "opened" } else { "excluded" };
            one_more(stage, &job, word).await?;
            one_more(stage, &job, word).await?;
        }
        // Changed while nobody leads, twice: whoever comes judges each fire by what was said then.
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        say(stage, ALWAYS).await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
        say(stage, "dates = [\"1998-01-01\"]").await?;
        stage.start_planner().await?;
        one_more(stage, &job, "opened").await?;
        one_more(stage, &job, "opened").await?;
        let fires = Fires::read(&stage.broker, &job).await?;
        let kept = office(stage).await?;
        assert_eq!(kept.before().len(), 5);
        let judged = judge(&fires, &kept);
        assert!(judged > 5, "{judged} of {}", fires.records.len());
        stage.broker.jobs().delete(job.as_str(), None).await?;
        eventually(SOON, "all is over", async || {
            Ok(Fires::read(&stage.broker, &job).await?.are_over())
        })
        .await?;
        Fires::read(&stage.broker, &job).await?.judge()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn schedule_waits_visibly_for_a_calendar_that_is_not_there_and_loses_nothing()
-> anyhow::Result<()> {
    play(async |stage| {
        let file = stage.dir().join("tick.toml");
        std::fs::write(&file, TICK)?;
        let path = file.to_str().unwrap_or_default();
        let refused = stage.cli(&["job", "apply", path], SOON).await?;
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("gridloom calendar apply"), "{refused:?}");
        assert!(stage.broker.jobs().get_of_leader("tick").await?.is_none());
        // One that comes otherwise waits, and everybody says so.
        let job = stage.apply(TICK).await?;
        stage.start_all(1).await?;
        decided(stage, &job, "adopted", 1).await?;
        for asked in [
            &["job", "list"][..],
            &["job", "show", "tick"],
            &["job", "next", "tick"],
            &["job", "next", path],
        ] {
            let said = stage.cli(asked, SOON).await?.succeeded()?;
            let waits = "job tick waits for calendar office, which is not there";
            assert!(said.stderr.contains(waits), "{asked:?}: {said:?}");
        }
        let doctor = stage.cli(&["doctor"], SOON).await?;
        assert_eq!(doctor.code, 1, "{doctor:?}");
        assert!(doctor.stdout.contains("waits for calendar office"), "{doctor:?}");
        // A leader that comes later decides nothing either.
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        tokio::time::sleep(Duration::from_secs(13)).await;
        let fires = Fires::read(&stage.broker, &job).await?;
        assert_eq!(fires.records.len(), 1, "{:?}", fires.records);
        // It comes: what was missed is made up for as the job says, at once.
        let said = say(stage, NEVER).await?;
        assert_eq!(said[0]["jobs"][0]["waited"], true, "{said}");
        decided(stage, &job, "coalesced", 1).await?;
        one_more(stage, &job, "opened").await?;
        // It is named: deleted only by force, and then the schedule waits again.
        let refused = stage.cli(&["calendar", "delete", "office"], SOON).await?;
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("tick"), "{refused:?}");
        let forced = ["calendar", "delete", "office", "--force"];
        stage.cli(&forced, SOON).await?.succeeded()?;
        // What was on its way is decided by now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = Fires::read(&stage.broker, &job).await?.records.len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let fires = Fires::read(&stage.broker, &job).await?;
        assert!(fires.records.len() <= before + 1, "{:?}", fires.records);
        // Another schedule does not need it, and answers for what waited.
        stage.apply(&TICK.replace("except = \"office\"\n", "")).await?;
        let fires = decided(stage, &job, "excluded", 1).await?;
        let missing = fires.records.iter().any(|record| {
            matches!(&record.decision, Decision::Passed { why: Why::Excluded { calendar }, .. } if calendar == "the missing calendar office")
        });
        assert!(missing, "{:?}", fires.records);
        one_more(stage, &job, "opened").await?;
        stage.broker.jobs().delete(job.as_str(), None).await?;
        eventually(SOON, "all is over", async || {
            Ok(Fires::read(&stage.broker, &job).await?.are_over())
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn calendar_is_changed_by_whoever_saw_it_last_and_nonsense_is_set_aside() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.start_planner().await?;
        let first = say(stage, NEVER).await?;
        assert_eq!(first[0]["change"], "created", "{first}");
        let revision = first[0]["revision"].to_string();
        assert_eq!(say(stage, NEVER).await?[0]["change"], "unchanged");
        let second = say(stage, ALWAYS).await?;
        assert_eq!(second[0]["change"], "changed", "{second}");
        let file = stage.dir().join("office.toml");
        let path = file.to_str().unwrap_or_default();
        let late = [
            "calendar",
            "apply",
            path,
            "--if-revision",
            revision.as_str(),
        ];
        let refused = stage.cli(&late, SOON).await?;
        assert_eq!(refused.code, 1, "{refused:?}");
        // What it said before is shown, and nothing is written by a dry run.
        std::fs::write(
            &file,
            "name = \"office\"\ntimezone = \"UTC\"\nweekdays = [\"SUN\"]",
        )?;
        let dry = stage
            .cli(&["calendar", "apply", path, "--dry-run"], SOON)
            .await?;
        assert!(dry.succeeded()?.stdout.contains("would be changed"));
        let shown = stage
            .cli(&["calendar", "show", "office", "--json"], SOON)
            .await?;
        let shown = shown.succeeded()?.json()?;
        assert_eq!(shown["calendar"]["times"][0], "00:00-24:00", "{shown}");
        assert_eq!(
            shown["before"][0]["calendar"]["dates"][0], "1999-01-01",
            "{shown}"
        );
        let key = stage
            .broker
            .subjects()
            .calendar_key(&CalendarName::new("office")?);
        stage.broker.state().put(&key, "nonsense".into()).await?;
        let doctor = stage.cli(&["doctor"], SOON).await?;
        assert!(
            doctor.stdout.contains("calendar office is malformed"),
            "{doctor:?}"
        );
        let again = say(stage, NEVER).await?;
        assert_eq!(again[0]["change"], "changed", "{again}");
        let doctor = stage.cli(&["doctor"], SOON).await?;
        assert!(
            doctor.stdout.contains("calendar.office: malformed"),
            "{doctor:?}"
        );
        let listed = stage.cli(&["calendar", "list", "--json"], SOON).await?;
        let listed = listed.succeeded()?.json()?;
        assert_eq!(listed[0]["covers"], "1999-01-01 (UTC)", "{listed}");
        stage
            .cli(&["calendar", "delete", "office"], SOON)
            .await?
            .succeeded()?;
        let gone = stage.cli(&["calendar", "show", "office"], SOON).await?;
        assert_eq!(gone.code, 2, "{gone:?}");
        Ok(())
    })
    .await
}
