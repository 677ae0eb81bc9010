//! The ledger as a log, and buckets: races, reads, tails, kills.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::Nonce;
use gridloom_shared::ledger::record::{PlanRecord, Retired};
use gridloom_shared::reads::purged::Purged;
use gridloom_shared::wire;

use super::*;

/// Whether a record is read, or all of them page by page, though the connection is cut once the question was asked.
async fn is_read(server: &TestServer, asks_and_ends: bool, pages: bool) -> anyhow::Result<bool> {
    let proxy = Proxy::start(server.port()).await?;
    let mut options = Options::new(proxy.url(), Namespace::new("grid")?, "test");
    options.refused_at_once = asks_and_ends;
    let broker = Broker::connect(&options).await?;
    proxy.set(Mode::StallAt(match pages {
        false => &["$JS.API.STREAM.MSG.GET"],
        true => &["$JS.API.DIRECT.GET"],
    }));
    let (stream, all) = (broker.subjects().history(), broker.subjects().unreadable());
    let asks = async {
        match pages {
            false => broker
                .last_of_leader(&stream, &all)
                .await
                .map(|last| usize::from(last.is_some())),
            true => broker
                .read(&stream, &*all, 1, None)
                .await
                .map(|all| all.len()),
        }
    };
    let cuts = async {
        proxy.stalled(SOON).await?;
        proxy.cut();
        proxy.set(Mode::Pass);
        anyhow::Ok(())
    };
    let (read, cut) = tokio::join!(asks, cuts);
    cut?;
    Ok(read.is_ok_and(|read| read > 0))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_and_ends_asks_again_where_the_connection_is_lost_and_who_stays_does_not()
-> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    for text in ["one", "two"] {
        let subject = broker.subjects().unreadable();
        broker.append(subject, text.into(), None).await?;
    }
    for pages in [false, true] {
        assert!(is_read(&server, true, pages).await?, "pages: {pages}");
    }
    assert!(!is_read(&server, false, false).await?);
    Ok(())
}

#[tokio::test]
async fn of_many_appends_with_one_expectation_one_wins() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let subject = broker
        .subjects()
        .ledger_of(&default_lane().queue, &run(), Author::Plan);
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (broker, subject) = (broker.clone(), subject.clone());
        racers.spawn(async move {
            broker
                .append(subject, format!("{number}").into(), Some(0))
                .await
        });
    }
    let outcomes = racers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Ok(_) | Err(AppendError::Conflict { .. })))
    );
    let last = broker
        .last(&broker.subjects().ledger(), &subject)
        .await?
        .context("no record")?;
    assert!(outcomes.contains(&Ok(last.seq)));
    Ok(())
}

#[tokio::test]
async fn read_ends_exactly_where_it_was_told_to() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let ledger = broker.subjects().ledger();
    let mine = broker
        .subjects()
        .ledger_of(&default_lane().queue, &run(), Author::Work);
    let other =
        broker
            .subjects()
            .ledger_of(&default_lane().queue, &RunId::new("job_s_2")?, Author::Work);
    let before = broker.info(&ledger).await?.last_seq;
    for number in 0..2_500u32 {
        let subject = if number % 2 == 0 { &mine } else { &other };
        broker
            .append(subject.clone(), number.to_string().into(), None)
            .await?;
    }
    let at = |number: u64| before + number;
    let seqs = |records: Vec<gridloom_shared::broker::log::Record>| {
        let numbers = records.iter().map(|record| record.seq - before);
        numbers.collect::<Vec<_>>()
    };
    let odd = |from: u64, to: u64| (from..=to).filter(|seq| seq % 2 == 1).collect::<Vec<_>>();
    assert_eq!(
        seqs(broker.read(&ledger, mine.clone(), 0, None).await?),
        odd(1, 2_500)
    );
    assert_eq!(
        seqs(
            broker
                .read(&ledger, mine.clone(), at(4), Some(at(2_500)))
                .await?
        ),
        odd(4, 2_500)
    );
    assert_eq!(
        seqs(
            broker
                .read(&ledger, mine.clone(), 0, Some(at(2_400)))
                .await?
        ),
        odd(1, 2_400)
    );
    assert_eq!(
        seqs(
            broker
                .read(&ledger, mine.clone(), at(10), Some(at(9)))
                .await?
        ),
        odd(10, 9)
    );
    let all = broker.subjects().all_ledgers();
    assert_eq!(broker.last_per_subject(&ledger, &all).await?.len(), 2);
    assert_eq!(broker.purge(&ledger, &other, 1).await?, 1_249);
    Ok(())
}

/// A planner that comes to lead knows by them which runs are open.
#[tokio::test(flavor = "multi_thread")]
async fn last_records_of_subjects_that_stay_are_there_while_others_are_removed()
-> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let (ledger, queue) = (broker.subjects().ledger(), default_lane().queue);
    let mut subjects = Vec::new();
    for number in 0..2_000 {
        let run = RunId::new(format!("job_s_{number}"))?;
        subjects.push(broker.subjects().ledger_of(&queue, &run, Author::Plan));
    }
    let writes = subjects.iter();
    let writes = writes.map(|subject| broker.append(subject.clone(), "x".into(), None));
    futures_util::future::try_join_all(writes).await?;
    let goes: Vec<String> = subjects.iter().step_by(2).cloned().collect();
    let (remover, from) = (broker.clone(), ledger.clone());
    let removed = tokio::spawn(async move {
        for subject in &goes {
            remover.purge(&from, subject, 0).await?;
        }
        anyhow::Ok(())
    });
    let plans = broker.subjects().ledgers_by(Author::Plan);
    while !removed.is_finished() {
        let last = broker.last_per_subject(&ledger, &plans).await?;
        let there: HashSet<&str> = last.iter().map(|record| record.subject.as_str()).collect();
        assert_eq!(there.len(), last.len(), "none twice");
        let missing = subjects.iter().skip(1).step_by(2);
        let missing = missing.filter(|subject| !there.contains(subject.as_str()));
        assert_eq!(missing.count(), 0);
    }
    removed.await?
}

/// Asked for the last record of all, the broker looks at its last sequence alone, which a removal may have emptied.
#[tokio::test(flavor = "multi_thread")]
async fn last_records_are_there_on_a_cluster_whose_newest_record_was_removed() -> anyhow::Result<()>
{
    let cluster = Cluster::start().await?;
    let broker = connect(&cluster.members[0]).await?;
    let copies = TopologyOptions {
        replicas: 3,
        ..on_file()
    };
    topology::ensure(&broker, &copies).await?;
    let (ledger, queue) = (broker.subjects().ledger(), default_lane().queue);
    let plan = |run: &str| {
        anyhow::Ok(
            broker
                .subjects()
                .ledger_of(&queue, &RunId::new(run)?, Author::Plan),
        )
    };
    let (stays, goes) = (plan("job_s_1")?, plan("job_s_2")?);
    for subject in [&stays, &goes] {
        broker.append(subject.clone(), "x".into(), None).await?;
    }
    broker.purge(&ledger, &goes, 0).await?;
    let plans = broker.subjects().ledgers_by(Author::Plan);
    let found = broker.surely_last_per_subject(&ledger, &plans).await?;
    let found: Vec<&str> = found.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(found, [stays.as_str()]);
    broker.purge(&ledger, &stays, 0).await?;
    let found = broker.surely_last(&ledger, &[stays]).await?;
    assert!(found.is_empty(), "{found:?}");
    Ok(())
}

async fn follow_until(tail: &mut Follow, number: u32, seen: &mut Vec<u32>) -> anyhow::Result<()> {
    loop {
        match tokio::time::timeout(SOON, tail.next())
            .await
            .context("the tail stands still")??
        {
            Followed::CaughtUp | Followed::Quiet => {}
            Followed::Record(record) => {
                seen.push(std::str::from_utf8(&record.payload)?.parse()?);
                if seen.last() == Some(&number) {
                    return Ok(());
                }
            }
        }
    }
}

#[tokio::test]
async fn tail_survives_kills_of_the_broker_without_gap_or_repeat() -> anyhow::Result<()> {
    let (mut server, broker) = ready().await?;
    let subject = broker
        .subjects()
        .ledger_of(&default_lane().queue, &run(), Author::Work);
    let reader = connect(&server).await?;
    let mut tail = reader.follow(
        &reader.subjects().ledger(),
        subject.clone(),
        Start::Sequence(0),
    );
    let mut seen = Vec::new();
    let mut number = 0;
    for _ in 0..3 {
        for _ in 0..500 {
            number += 1;
            // A lost answer is asked about, so that each number is there once.
            while let Err(error) = broker
                .append(subject.clone(), number.to_string().into(), None)
                .await
            {
                let last = broker
                    .last_of_leader(&broker.subjects().ledger(), &subject)
                    .await;
                match last {
                    Ok(Some(last)) if last.payload == number.to_string() => break,
                    _ => passes_by(&error),
                }
            }
            if number % 500 == 250 {
                follow_until(&mut tail, number, &mut seen).await?;
                server.kill().await?;
                server.restart().await?;
            }
        }
        follow_until(&mut tail, number, &mut seen).await?;
    }
    assert_eq!(seen, (1..=number).collect::<Vec<_>>());
    Ok(())
}

fn passes_by(error: &AppendError) {
    assert!(
        matches!(
            error,
            AppendError::Unknown { .. } | AppendError::Unavailable { .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn tail_says_when_it_has_caught_up_and_when_records_are_gone() -> anyhow::Result<()> {
    let (mut server, broker) = ready().await?;
    let subject = broker
        .subjects()
        .ledger_of(&default_lane().queue, &run(), Author::Work);
    let first = broker.append(subject.clone(), "1".into(), None).await?;
    let mut tail = broker.follow(
        &broker.subjects().ledger(),
        subject.clone(),
        Start::Sequence(0),
    );
    assert!(matches!(tail.next().await?, Followed::Record(record) if record.seq == first));
    assert_eq!(tail.next().await?, Followed::CaughtUp);

    let raw = async_nats::jetstream::new(server.client().await?);
    raw.delete_stream(broker.subjects().ledger().as_str())
        .await?;
    topology::ensure(&broker, &TopologyOptions::default()).await?;
    server.kill().await?;
    server.restart().await?;
    let lost = tokio::time::timeout(SOON, tail.next()).await?;
    assert!(lost.is_err_and(|error| error.to_string().contains("lost or rolled back")));
    Ok(())
}

/// Its consumer stands on one replica, which may lag behind what the leader has.
#[tokio::test]
async fn tail_has_caught_up_only_when_what_the_leader_had_has_come() -> anyhow::Result<()> {
    let (server, broker) = ready().await?;
    let subjects = broker.subjects();
    let subject = subjects.ledger_of(&default_lane().queue, &run(), Author::Work);
    let proxy = Proxy::start(server.port()).await?;
    let behind = connect_to(proxy.url()).await?;
    proxy.set(Mode::StallAt(&["last_by_subj"]));
    let ledger = subjects.ledger();
    let mut tail = behind.follow(&ledger, subject.clone(), Start::LastPerSubject);
    // The consumer is there by then, and knows of nothing.
    let written = async {
        proxy.stalled(SOON).await?;
        let written = broker.append(subject.clone(), "1".into(), None).await?;
        proxy.set(Mode::Pass);
        anyhow::Ok(written)
    };
    let (first, written) = tokio::join!(tail.next(), written);
    let written = written?;
    assert!(matches!(first?, Followed::Record(record) if record.seq == written));
    assert_eq!(tail.next().await?, Followed::CaughtUp);
    Ok(())
}

/// The ledger ends where it stood a while ago, and grows again beyond what was read of it: its sequences stand for other
/// records then, of which some may have been removed.
#[tokio::test]
async fn tail_of_a_stream_that_was_set_back_and_has_grown_again_says_so() -> anyhow::Result<()> {
    for removed in [false, true] {
        let (mut server, broker) = ready().await?;
        let ledger = broker.subjects().ledger();
        let queue = &default_lane().queue;
        let subject = broker.subjects().ledger_of(queue, &run(), Author::Work);
        let append = async |text: &'static str| {
            let (subject, text) = (subject.clone(), text.into());
            broker.append(subject, text, None).await
        };
        append("1").await?;
        server.kill().await?;
        let store = server.store().join("jetstream/$G/streams");
        let (there, older) = (store.join(ledger.as_str()), server.store().join("older"));
        copy(&there, &older)?;
        server.restart().await?;
        let last = append("2").await?;
        let (mut tail, mut seen) = (
            broker.follow(&ledger, subject.clone(), Start::Sequence(0)),
            Vec::new(),
        );
        follow_until(&mut tail, 2, &mut seen).await?;
        // Nothing is wrong where it goes on.
        server.kill().await?;
        server.restart().await?;
        append("3").await?;
        follow_until(&mut tail, 3, &mut seen).await?;
        server.kill().await?;
        std::fs::remove_dir_all(&there)?;
        copy(&older, &there)?;
        server.restart().await?;
        for text in ["4", "5", "6"] {
            append(text).await?;
        }
        if removed {
            assert!(broker.remove(&ledger, last + 1).await?);
        }
        let lost = tokio::time::timeout(SOON, async {
            loop {
                match tail.next().await {
                    Ok(Followed::CaughtUp | Followed::Quiet) => {}
                    other => return other,
                }
            }
        });
        let lost = lost.await?;
        assert!(
            matches!(&lost, Err(FollowError::Rewound { .. })),
            "{removed}: {lost:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn watch_of_a_bucket_survives_a_kill_of_the_broker() -> anyhow::Result<()> {
    let (mut server, broker) = ready().await?;
    let jobs = broker.jobs();
    jobs.put("one", "1".into()).await?;
    let mut watch = jobs.watch_all();
    let mut values = std::collections::BTreeMap::new();
    for (round, key) in ["two", "three"].into_iter().enumerate() {
        server.kill().await?;
        server.restart().await?;
        eventually(SOON, "the bucket is writable", async || {
            Ok(jobs.put(key, round.to_string().into()).await.is_ok())
        })
        .await?;
        while !values.contains_key(key) {
            let watched = tokio::time::timeout(SOON, watch.next())
                .await
                .context("the watch stands still")??;
            if let gridloom_shared::broker::kv::Watched::Entry(entry) = watched {
                values.insert(entry.key, entry.value);
            }
        }
    }
    assert_eq!(
        values.keys().map(String::as_str).collect::<Vec<_>>(),
        ["one", "three", "two"]
    );
    Ok(())
}

#[tokio::test]
async fn key_is_created_once_also_after_a_deletion() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let state = broker.state();
    let first = state.create("key", "1".into()).await?;
    assert!(
        state
            .create("key", "2".into())
            .await
            .is_err_and(|error| error.is_conflict())
    );
    assert!(
        state
            .update("key", "3".into(), first + 7)
            .await
            .is_err_and(|error| error.is_conflict())
    );
    state.delete("key", Some(first)).await?;
    assert_eq!(state.get("key").await?, None);
    state.create("key", "4".into()).await?;
    assert_eq!(state.keys().await?, ["key"]);
    Ok(())
}

#[tokio::test]
async fn purged_runs_are_told_of_once_and_only_after_a_while() -> anyhow::Result<()> {
    let (_server, broker) = ready().await?;
    let of = |n: u64| RunId::new(format!("job_s_{n}"));
    let retired = |nonce, closed_at| {
        wire::encode(&PlanRecord::Retired(Retired {
            nonce: Some(Nonce(nonce)),
            content: None,
            closed_at: UnixMs(closed_at),
            dead: 0,
            term: Term(1),
        }))
    };
    let retire = async |n| {
        let id = broker.subjects().id_of(&default_lane().queue, &of(n)?);
        // Whatever the clock said of whoever closed it.
        broker.append(id, retired(n, 1_000), None).await?;
        anyhow::Ok(())
    };
    let age = Duration::from_secs(2);
    retire(1).await?;
    retire(2).await?;
    let mut purged = Purged::default();
    assert_eq!(purged.more(&broker, age).await?, []);
    tokio::time::sleep(age).await;
    // By the broker's time, which is that of the last record.
    assert_eq!(purged.more(&broker, age).await?, []);
    retire(3).await?;
    assert_eq!(purged.more(&broker, age).await?, [Nonce(1), Nonce(2)]);
    assert_eq!(purged.more(&broker, age).await?, []);
    tokio::time::sleep(age).await;
    retire(4).await?;
    assert_eq!(purged.more(&broker, age).await?, [Nonce(3)]);
    Ok(())
}
