//! Copies of streams, as a backup has them.

use bytes::Bytes;
use gridloom_shared::broker::copy::Origin;
use gridloom_tests::slow_disk::{self, SlowDisk};

use super::*;

/// Records of a ledger, all of them in one of the blocks that the broker packs.
const RECORDS: u64 = 600;
/// What each waits for. All of them wait for longer than the broker does for one that feeds it.
const FLUSH: Duration = Duration::from_millis(10);
const _: () = assert!(RECORDS * FLUSH.as_millis() as u64 > 5_000);

/// What a stream with small records is packed in.
async fn copied(server: &TestServer, broker: &Broker) -> anyhow::Result<(Origin, Vec<Bytes>)> {
    let ledger = broker.subjects().ledger();
    let client = server.client().await?;
    for record in 0..RECORDS {
        let payload = format!("record {record}").into();
        client
            .publish("grid.ledger.default.steady_r_1.work", payload)
            .await?;
    }
    client.flush().await?;
    eventually(SOON, "all are stored", async || {
        Ok(broker.info(&ledger).await?.messages == RECORDS)
    })
    .await?;
    let mut copy = broker.copy_out(&ledger).await?;
    let mut pieces = Vec::new();
    while let Some(piece) = copy.next().await? {
        pieces.push(piece);
    }
    Ok((copy.origin().clone(), pieces))
}

#[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
#[tokio::test]
async fn copy_is_put_back_where_each_record_waits_for_the_disk() -> anyhow::Result<()> {
    if !slow_disk::is_there() {
        eprintln!("\n*** NOT RUN: a copy on a slow disk: no strace that may trace ***\n");
        return Ok(());
    }
    let (server, broker) = ready().await?;
    let (origin, pieces) = copied(&server, &broker).await?;
    let disk = SlowDisk::new().await?;
    disk.takes(FLUSH)?;
    let slow = disk.broker().await?;
    let other = connect(&slow).await?;
    let ledger = other.subjects().ledger();
    let ahead = origin.extent().last_seq + 1_000;
    let mut back = other.put_back(&ledger, &origin, ahead).await?;
    for piece in pieces {
        back.piece(piece).await?;
    }
    let found = back.finish().await?;
    assert_eq!(found.messages, RECORDS);
    assert!(disk.flushed("") as u64 > RECORDS, "they wait for nothing");
    assert_eq!(other.info(&ledger).await?.last_seq, ahead);
    Ok(())
}
