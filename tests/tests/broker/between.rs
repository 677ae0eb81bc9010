//! A part of one run's ledger, between those of many others.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::ledger::record::{PlanRecord, Retired};
use gridloom_shared::reads::ledger::{Entry, Span, Walked, walk, walk_apart};
use gridloom_shared::wire;
use gridloom_tests::questions::{Questions, is_broad};

use super::*;

/// What workers write.
const WORKERS: [Author; 2] = [Author::Work, Author::Takeover];

async fn write(broker: &Broker, run: &RunId, author: Author) -> anyhow::Result<u64> {
    let subject = broker
        .subjects()
        .ledger_of(&default_lane().queue, run, author);
    Ok(broker.append(subject, "x".into(), None).await?)
}

/// What workers wrote of `run`, by its subjects; `None` where that was not surely all.
async fn by_subjects(
    broker: &Broker,
    from: u64,
    up_to: Option<u64>,
) -> anyhow::Result<Option<Vec<u64>>> {
    let (queue, run) = (default_lane().queue, run());
    let mut read = Vec::new();
    let take = |entry: Entry| read.push(entry.sequence);
    let walked = walk_apart(broker, (&queue, &run), &WORKERS, (from, up_to), take).await?;
    Ok((walked == Walked::Whole).then_some(read))
}

/// The same by the run.
async fn by_run(broker: &Broker, from: u64, up_to: Option<u64>) -> anyhow::Result<Vec<u64>> {
    let span = Span::of(broker.subjects(), &default_lane().queue, &run()).starting_at(from);
    let span = match up_to {
        Some(up_to) => span.up_to(up_to),
        None => span,
    };
    let mut read = Vec::new();
    let take = |entry: Entry| {
        if WORKERS.contains(&entry.author) {
            read.push(entry.sequence);
        }
    };
    walk(broker, span, take).await?;
    Ok(read)
}

#[tokio::test]
async fn part_of_a_run_that_is_read_by_its_subjects_is_whole_and_in_order() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let other = RunId::new("job_s_2")?;
    let before = write(&broker, &run(), Author::Plan).await?;
    let mut takeovers = Vec::new();
    // More than one page of one author, and the others in between.
    for number in 0..2_400u32 {
        let (run, author) = match number % 800 {
            799 => (run(), Author::Takeover),
            7 => (run(), Author::Plan),
            rest if rest % 2 == 0 => (run(), Author::Work),
            _ => (other.clone(), Author::Work),
        };
        let written = write(&broker, &run, author).await?;
        if author == Author::Takeover {
            takeovers.push(written);
        }
    }
    let last = write(&broker, &run(), Author::Work).await?;
    let (first, second, third) = (takeovers[0], takeovers[1], takeovers[2]);
    for (from, up_to) in [
        (before, Some(first)),
        (first + 1, Some(second)),
        (before, Some(third)),
        (third, Some(third)),
        (third + 1, Some(last)),
        (before + 40, Some(before + 90)),
        (before, None),
        (last + 1, None),
    ] {
        assert_eq!(
            by_subjects(&broker, from, up_to).await?,
            Some(by_run(&broker, from, up_to).await?),
            "{from} to {up_to:?} of {before}, {takeovers:?}, {last}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn run_is_read_with_as_few_questions_between_many_others_as_alone() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let before = write(&broker, &run(), Author::Plan).await?;
    for number in 0..2_000u32 {
        let other = RunId::new(format!("job_s_9{number}"))?;
        write(&broker, &other, Author::Work).await?;
    }
    let own = write(&broker, &run(), Author::Takeover).await?;
    let mut questions = Questions::listen(&broker).await?;
    assert_eq!(
        by_subjects(&broker, before, Some(own)).await?,
        Some(vec![own])
    );
    let asked = questions.so_far().await?;
    // What both end with, and the one of them that has something.
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(!asked.iter().any(is_broad), "{asked:?}");
    Ok(())
}

/// It is a replica's that lags: it cannot know what else stands before that.
#[tokio::test]
async fn answer_without_the_end_that_is_known_is_not_whole() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    assert_eq!(by_subjects(&broker, 1, Some(1)).await?, None);
    write(&broker, &run(), Author::Plan).await?;
    write(&broker, &run(), Author::Work).await?;
    let last = write(&broker, &run(), Author::Takeover).await?;
    assert_eq!(
        by_subjects(&broker, 1, Some(last))
            .await?
            .map(|all| all.len()),
        Some(2)
    );
    assert_eq!(by_subjects(&broker, 1, Some(last + 1)).await?, None);
    Ok(())
}

/// As when another replica answers for one author, and has not read so far.
#[tokio::test]
async fn part_that_ends_before_its_known_end_is_not_whole() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    write(&broker, &run(), Author::Plan).await?;
    for _ in 0..3 {
        write(&broker, &run(), Author::Work).await?;
    }
    let lost = write(&broker, &run(), Author::Work).await?;
    let own = write(&broker, &run(), Author::Takeover).await?;
    let proxy = Proxy::start(server.port()).await?;
    let behind = connect_to(proxy.url()).await?;
    proxy.set(Mode::StallAt(&["next_by_subj"]));
    let removed = async {
        proxy.stalled(SOON).await?;
        broker.remove(&broker.subjects().ledger(), lost).await?;
        proxy.set(Mode::Pass);
        anyhow::Ok(())
    };
    let (read, removed) = tokio::join!(by_subjects(&behind, 1, Some(own)), removed);
    removed?;
    assert_eq!(read?, None);
    assert_eq!(
        by_subjects(&broker, 1, Some(own))
            .await?
            .map(|all| all.len()),
        Some(4)
    );
    Ok(())
}

/// What workers say late of a run that was removed says nothing of what had been done.
#[tokio::test]
async fn run_without_its_plan_is_gone() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let (queue, ledger) = (default_lane().queue, broker.subjects().ledger());
    write(&broker, &run(), Author::Plan).await?;
    let own = write(&broker, &run(), Author::Takeover).await?;
    let walked = async |up_to| {
        let place = (&queue, &run());
        walk_apart(&broker, place, &WORKERS, (1, up_to), |_| {}).await
    };
    assert_eq!(walked(Some(own)).await?, Walked::Whole);
    let plan = broker.subjects().ledger_of(&queue, &run(), Author::Plan);
    let retired = PlanRecord::Retired(Retired {
        nonce: None,
        content: None,
        closed_at: UnixMs(1),
        dead: 0,
        term: Term(1),
    });
    broker
        .append(plan.clone(), wire::encode(&retired), None)
        .await?;
    assert_eq!(walked(Some(own)).await?, Walked::Gone);
    broker.purge(&ledger, &plan, 0).await?;
    assert_eq!(walked(Some(own)).await?, Walked::Gone);
    assert_eq!(walked(None).await?, Walked::Gone);
    assert_eq!(walked(Some(own + 1)).await?, Walked::Part);
    Ok(())
}
