//! What is left of runs that are over once they were kept long enough.

use std::time::Duration;

use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::record::Author;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// Asks for a run under a request id of its own.
async fn ask(stage: &Stage, job: &JobName, id: &str) -> anyhow::Result<RunId> {
    let subject = stage.broker.subjects().submit_to(job);
    let body = json!({ "id": id }).to_string().into();
    stage.broker.append(subject, body, None).await?;
    Ok(RunId::from_request(job, id))
}

/// Records of each author of a run: plan, work, takeover.
async fn records(stage: &Stage, run: &RunId) -> anyhow::Result<[u64; 3]> {
    let subjects = stage.broker.subjects();
    let filter = subjects.ledger_of_run_anywhere(run);
    let found = stage
        .broker
        .subjects_of(&subjects.ledger(), &filter)
        .await?;
    let count = |author| {
        let of_author = found.iter().filter(|(subject, _)| {
            subjects
                .parse_ledger(subject)
                .is_some_and(|(.., by)| by == author)
        });
        of_author.map(|(_, records)| records).sum()
    };
    Ok([Author::Plan, Author::Work, Author::Takeover].map(count))
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_beyond_the_number_that_is_kept_are_purged_and_their_ids_are_remembered()
-> anyhow::Result<()> {
    play(async |stage| {
        let planner = stage.gridloom(&[
            "planner",
            "--retention-most",
            "1",
            "--retention-every",
            "200ms",
        ])?;
        let planner = planner.start().await?;
        stage.planners.push(planner);
        stage.start_worker(4, &[]).await?;
        let job = stage
            .apply(
                "name = \"short\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 5 }",
            )
            .await?;
        let mut runs = Vec::new();
        for id in ["one", "two", "three"] {
            let run = ask(stage, &job, id).await?;
            stage.closed(&run, SOON).await?;
            runs.push(run);
        }
        let [one, two, three] = &runs[..] else {
            unreachable!("three ids")
        };
        eventually(SOON, "the older two are purged", async || {
            Ok(records(stage, one).await? == [1, 0, 0] && records(stage, two).await? == [1, 0, 0])
        })
        .await?;
        stage.judge(three).await?.succeeded()?;
        eventually(SOON, "their summaries are gone", async || {
            Ok(stage.broker.runs().keys().await? == [three.as_str()])
        })
        .await?;
        let listed = stage
            .cli(&["runs", "--json"], SOON)
            .await?
            .succeeded()?
            .stdout;
        assert!(
            listed.contains(three.as_str()) && !listed.contains(one.as_str()),
            "{listed}"
        );
        for command in ["show", "audit"] {
            let said = stage.cli(&[command, one.as_str()], SOON).await?;
            assert_eq!(said.code, 2, "{said:?}");
            assert!(said.stderr.contains("was purged"), "{said:?}");
        }
        for order in [
            &["cancel", one.as_str()][..],
            &["retry", one.as_str()],
            &["dead", "retry", one.as_str()],
            &["dead", "drop", one.as_str()],
        ] {
            let said = stage.cli(order, SOON).await?;
            assert_eq!(said.code, 2, "{said:?}");
            assert!(said.stderr.contains("was purged"), "{said:?}");
        }
        assert_eq!(records(stage, one).await?, [1, 0, 0]);
        // The same request again is no second run.
        let again = ask(stage, &job, "one").await?;
        assert_eq!(again, *one);
        let four = ask(stage, &job, "four").await?;
        stage.closed(&four, SOON).await?;
        assert_eq!(records(stage, one).await?, [1, 0, 0]);
        let subjects = stage.broker.subjects();
        let registers = stage
            .broker
            .subjects_of(&subjects.shards(), &subjects.term())
            .await?;
        assert_eq!(registers.values().copied().collect::<Vec<u64>>(), [1]);
        Ok(())
    })
    .await
}
