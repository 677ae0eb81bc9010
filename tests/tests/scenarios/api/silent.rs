//! Whoever opens connections and asks nothing, or nothing to the end, keeps others out for a minute at most, and those who
//! look after the planner not at all.

use gridloom_tests::http::{get, served_at};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::*;

/// So many files the planner may have: the API has the fewest seats then.
const FILES: u32 = 300;
const SEATS: usize = 64;
/// By then those that say nothing are let go, and a little later.
const LET_GO: Duration = Duration::from_secs(80);

/// A planner that may have so many files, and where its API and its endpoints are.
async fn poor(stage: &mut Stage) -> anyhow::Result<(Api, String)> {
    let limited = format!("ulimit -n {FILES}; exec \"$0\" \"$@\"");
    let own = stage.gridloom(&[
        "planner",
        "--api-listen",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
    ])?;
    let planner = own.behind(["/bin/sh", "-c", &limited]).start().await?;
    let address = address(&planner).await?;
    let probes = served_at(&planner).await?;
    stage.planners.push(planner);
    let api = Api {
        address,
        token: None,
    };
    Ok((api, probes))
}

/// Connections that say so much and no more.
async fn silent(address: &str, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let said: [&[u8]; 3] = [b"", b"GET /api/v1/about HT", b"POST /api/v1/freeze HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"];
    let mut all = Vec::new();
    for said in said.iter().cycle().take(count) {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(said).await?;
        all.push(stream);
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_nothing_to_the_end_is_let_go_and_keeps_no_probe_out() -> anyhow::Result<()> {
    play(async |stage| {
        let (api, probes) = poor(stage).await?;
        eventually(SOON, "it is connected", async || {
            Ok(api.get("/about").await?["broker"].is_string())
        })
        .await?;
        let begun = Instant::now();
        let mut held = silent(&api.address, SEATS).await?;
        eventually(SOON, "its seats are taken", async || {
            let planner = stage.planners.last().context("planner")?;
            Ok(planner
                .stderr()
                .contains("as many connections as it may have"))
        })
        .await?;
        let waits = api.ask(("GET", "/about"), &[], None);
        tokio::pin!(waits);
        ensure!(
            timeout(Duration::from_secs(2), &mut waits).await.is_err(),
            "there is a seat left"
        );
        // Its health can be asked all the while, though as many are silent there as its own files would have taken.
        let _silent = silent(&probes, 100).await?;
        let live = timeout(Duration::from_secs(10), get(&probes, "/live")).await??;
        ensure!(live.starts_with("HTTP/1.1 200"), "{live}");
        let left = LET_GO.saturating_sub(begun.elapsed());
        let reply = timeout(left, &mut waits)
            .await
            .context("it is kept out")??;
        ensure!(reply.status == 200, "{reply:?}");
        for stream in &mut held {
            let mut rest = Vec::new();
            let left = LET_GO.saturating_sub(begun.elapsed());
            // Closed or broken off: it is over.
            let _ = timeout(left, stream.read_to_end(&mut rest))
                .await
                .context("it is still held")?;
        }
        ensure!(api.get("/about").await?["read_only"] == false);
        Ok(())
    })
    .await
}
