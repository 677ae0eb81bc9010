//! `gridloom backup` and `gridloom restore`: all that cannot be made again from something else, in a directory.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`manifest`] | what a directory says of itself, and which of them this build can put back |
//! | [`directory`] | when a directory is whole |
//! | [`keep`] | which older ones go |
//! | [`mod@restore`] | into what it is put back, and in which order |
//! | [`cut`] | what a restored installation must not remember |
//!
//! Planner and workers go on while a backup is made. The streams are read in the order of
//! [`backed_up`], so that what is put back is a state in which a crash could have left an installation (decision 39).

use std::time::{Duration, Instant};

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::copy::CopyError;
use gridloom_shared::broker::topology::{Kept, TopologyOptions, backed_up};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use serde_json::json;

use super::service;
use crate::args::{BackupArgs, StreamFlags};
use crate::context::Context;
use crate::fault::Verdict;
use crate::output::{Align, Output, Table, grouped, spoken};

mod cut;
pub(super) mod directory;
mod keep;
pub(super) mod manifest;
pub(super) mod restore;

pub use restore::restore;

use directory::Unfinished;
use manifest::{Manifest, Stored};

/// A copy that broke off is begun again so often.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// How often people are told how far it is.
const TELL: Duration = Duration::from_secs(3);

/// Does what `gridloom backup` says.
///
/// # Errors
/// When it is not whole: then nothing of it is left.
pub async fn backup(context: &Context, args: &BackupArgs) -> anyhow::Result<Verdict> {
    let begun = Instant::now();
    let broker = context.ask().await?;
    let unfinished = Unfinished::begin(&args.directory)?;
    let taken = take(context, &broker, &unfinished).await;
    let manifest = match taken {
        Ok(manifest) => manifest,
        Err(error) => {
            unfinished.remove();
            return Err(error);
        }
    };
    unfinished.finish(&manifest)?;
    let removed = match args.keep {
        Some(keep) => keep::newest(&args.directory, &manifest, keep as usize)?,
        None => Vec::new(),
    };
    let streams: Vec<_> = manifest.streams.iter().map(described).collect();
    let bytes: u64 = manifest.streams.iter().map(|stored| stored.bytes).sum();
    let document = json!({
        "directory": args.directory,
        "namespace": manifest.namespace,
        "taken_at": manifest.taken_at,
        "bytes": bytes,
        "streams": streams,
        "removed": removed,
    });
    context.output.show(&document, |output| {
        output.table(&table(&manifest), "nothing");
        output.say(format!(
            "backed up namespace {} to {} in {}: {} bytes; gridloom restore puts it into an empty broker",
            manifest.namespace,
            args.directory.display(),
            spoken(begun.elapsed()),
            grouped(bytes)
        ));
        for directory in &removed {
            output.say(format!("removed the older backup {}", directory.display()));
        }
    });
    Ok(Verdict::Fine)
}

/// How the streams are made that a backup is put into: with as many copies as `before`, where nobody names another number.
pub(super) fn options(context: &Context, flags: &StreamFlags, before: usize) -> TopologyOptions {
    let queue = context.config.queue(&service::of_streams(flags));
    let named = context.config.replicas(flags);
    TopologyOptions {
        replicas: named.map_or(before, usize::from),
        ..service::topology(&queue)
    }
}

/// Copies all of it.
async fn take(
    context: &Context,
    broker: &Broker,
    unfinished: &Unfinished,
) -> anyhow::Result<Manifest> {
    let subjects = broker.subjects();
    let mut manifest = Manifest::begin(broker);
    for kept in backed_up::IN_ORDER {
        if kept == Kept::Ledger {
            // What is stored in the history from here on may know of runs that are not in the copy of the ledger.
            manifest.history_up_to = broker.info(&subjects.history()).await?.last_seq;
            let now = broker.clock_of(&subjects.ledger()).await?;
            manifest.cut = now.unwrap_or_default();
        }
        let stored = copy(context, broker, unfinished, kept).await?;
        if kept == Kept::Ledger {
            let last = stored.origin.extent().last_at;
            manifest.cut = manifest.cut.max(last.unwrap_or(UnixMs(0)));
        }
        manifest.streams.push(stored);
    }
    Ok(manifest)
}

/// Copies one stream, once more where that broke off.
pub(super) async fn copy(
    context: &Context,
    broker: &Broker,
    unfinished: &Unfinished,
    kept: Kept,
) -> anyhow::Result<Stored> {
    let mut tries = 1;
    loop {
        match copy_once(context, broker, unfinished, kept).await {
            Err(error) if tries < TRIES && breaks_off(&error) => {
                context
                    .output
                    .note(format!("{}: {}; again", kept.as_str(), chain(&*error)));
                tokio::time::sleep(PAUSE * tries).await;
                tries += 1;
            }
            copied => return copied,
        }
    }
}

/// Whether copying again is of use: not where the disk here is full, or there is no such stream.
fn breaks_off(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<CopyError>() {
        Some(CopyError::Api { cause, .. }) => cause.is_passing() && !cause.is_stream_missing(),
        Some(CopyError::Ended { .. }) => true,
        Some(CopyError::Publish { .. } | CopyError::Behind { .. }) | None => false,
    }
}

async fn copy_once(
    context: &Context,
    broker: &Broker,
    unfinished: &Unfinished,
    kept: Kept,
) -> anyhow::Result<Stored> {
    let stream = kept.stream(broker.subjects());
    let mut copy = broker.copy_out(&stream).await?;
    let mut file = unfinished.file(kept)?;
    let mut teller = Teller::new(context.output, kept);
    while let Some(piece) = copy.next().await? {
        file.write(&piece)?;
        teller.tell(file.bytes());
    }
    let (name, bytes, sha256) = file.finish()?;
    Ok(Stored {
        name: kept.as_str().to_owned(),
        stream: stream.to_string(),
        file: name,
        bytes,
        sha256,
        origin: copy.origin().clone(),
    })
}

/// Tells people how far a stream is, now and then.
struct Teller {
    output: Output,
    kept: Kept,
    told: Instant,
}

impl Teller {
    fn new(output: Output, kept: Kept) -> Teller {
        Teller {
            output,
            kept,
            told: Instant::now(),
        }
    }

    fn tell(&mut self, bytes: u64) {
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            let name = self.kept.as_str();
            self.output
                .note(format!("{name}: {} bytes so far", grouped(bytes)));
        }
    }
}

/// What programs are told of a stream.
fn described(stored: &Stored) -> serde_json::Value {
    let extent = stored.origin.extent();
    json!({
        "name": stored.name,
        "messages": extent.messages,
        "last_seq": extent.last_seq,
        "bytes": stored.bytes,
    })
}

fn table(manifest: &Manifest) -> Table {
    let mut table = Table::new([
        ("stream", Align::Left),
        ("messages", Align::Right),
        ("bytes", Align::Right),
    ]);
    for stored in &manifest.streams {
        let extent = stored.origin.extent();
        table.row([
            stored.name.clone(),
            grouped(extent.messages),
            grouped(stored.bytes),
        ]);
    }
    table
}
