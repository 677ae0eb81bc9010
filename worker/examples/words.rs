//! A complete worker: counts the words of a text file, each slice its own lines.
//!
//! With `gridloom dev` running: `cargo run -p gridloom-worker --features telemetry --example words`, then
//! `gridloom job apply words.toml` and `gridloom run words --wait --param file=README.md` with
//!
//! ```toml
//! name = "words"
//! handler = "words"
//! [grid]
//! slices = 8
//! pages = { count = 1 }
//! [params]
//! file = "README.md"
//! ```

use std::process::ExitCode;

use gridloom_worker::{Failure, Shard, Worker};
use serde::Deserialize;

#[derive(Deserialize)]
struct Words {
    /// Path of the file, seen from this worker.
    file: String,
}

async fn words(shard: Shard) -> Result<(), Failure> {
    let job: Words = shard.params()?;
    // `?` makes a failure that is tried again: the file may be there later.
    let text = tokio::fs::read_to_string(&job.file).await?;
    // A line belongs to the slice that its number hashes to.
    let own = text
        .lines()
        .enumerate()
        .filter(|(number, _)| shard.owns(number.to_string()));
    let mut longest = "";
    for (_, line) in own {
        shard.check()?;
        shard.rows(1);
        for word in line.split_whitespace() {
            shard.count("words", 1);
            longest = if word.len() > longest.len() {
                word
            } else {
                longest
            };
        }
    }
    shard.result(longest.chars().take(200).collect::<String>());
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    Worker::builder()
        .queue("default")
        .concurrency(8)
        .handler("words", words)
        .main()
        .await
}
