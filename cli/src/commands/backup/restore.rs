//! `gridloom restore`: a backup goes into a broker that holds nothing of its namespace.
//!
//! All is looked at before anything is written: each file against its hash, the broker, whether somebody of the
//! namespace runs. While it is written a stream of its own marks that it is not whole; what such a restore left is
//! removed by the next one.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gridloom_shared::broker::copy::Extent;
use gridloom_shared::broker::copy::mark::Mark;
use gridloom_shared::broker::topology::{self, Kept, TopologyOptions};
use gridloom_shared::broker::{Broker, PublishError};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::reads::{planners, workers};
use serde_json::json;

use super::cut::lives::Ended;
use super::manifest::{self, Manifest, Stored};
use super::{Teller, cut, directory};
use crate::args::RestoreArgs;
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{counted, counted_as, spoken};

/// Does what `gridloom restore` says.
///
/// # Errors
/// When it cannot be put back.
pub async fn restore(context: &Context, args: &RestoreArgs) -> anyhow::Result<Verdict> {
    let begun = Instant::now();
    let manifest = directory::open(&args.directory)?;
    for stored in &manifest.streams {
        directory::check(&args.directory, stored)?;
    }
    let broker = context.ask_whatever_is_there().await?;
    let options = super::options(context, &args.streams, manifest.replicas());
    topology::has_copies_enough(&broker, &options)?;
    let namespace = broker.subjects().namespace();
    if manifest.namespace != *namespace {
        return Err(Misuse::error(format!(
            "{} is a backup of namespace {}, and this is {namespace}: name that one (--namespace)",
            args.directory.display(),
            manifest.namespace
        )));
    }
    nobody_runs(&broker, "start them when the backup is back").await?;
    let mark = make_room(&broker, &options).await?;
    let restored = put_back(context, &broker, (&args.directory, &manifest), &options);
    let restored = under(mark, restored).await.context(BROKEN)?;
    let streams = restored
        .streams
        .iter()
        .map(|(name, extent)| json!({ "name": name, "messages": extent.messages }));
    let streams = streams.collect::<Vec<_>>();
    let document = json!({
        "namespace": namespace,
        "taken_at": manifest.taken_at,
        "streams": streams,
        "fires_taken_out": restored.fires,
    });
    context.output.show(&document, |output| {
        output.say(format!(
            "namespace {namespace} is as it was at {}, put back in {}; what was written since is lost",
            manifest.taken_at,
            spoken(begun.elapsed())
        ));
        if restored.fires > 0 {
            let fires = counted(restored.fires, "decision");
            output.note(format!("{fires} about fires fell into the moment of the backup and will be made again"));
        }
        output.say("start planners and workers: open runs go on, the queue is filled from the ledger");
    });
    Ok(Verdict::Fine)
}

/// What is said where it was begun and is not whole.
pub(in crate::commands) const BROKEN: &str = "put the backup back: what is there now is no installation; repeat it (gridloom restore DIR), which removes that first";

/// Refuses while somebody of the namespace runs: a planner makes streams that it misses, and both remember what is not
/// so any more. `then` is what comes of them.
pub(in crate::commands) async fn nobody_runs(broker: &Broker, then: &str) -> anyhow::Result<()> {
    let told = |error: PublishError| may_ask(broker).err().unwrap_or_else(|| error.into());
    let planners = planners::roll_call(broker).await.map_err(told)?;
    let planners = planners
        .into_iter()
        .map(|planner| format!("planner {}", planner.name));
    let workers = workers::roll_call(broker).await.map_err(told)?;
    let workers = workers
        .iter()
        .map(|worker| format!("worker {}", worker.worker));
    let running: Vec<String> = planners.chain(workers).take(5).collect();
    if running.is_empty() {
        return may_ask(broker);
    }
    Err(Misuse::error(format!(
        "{} of this namespace still runs on this broker: stop all planners and workers here, and {then}",
        running.join(", ")
    )))
}

/// Refuses where the broker does not let this user ask: that nobody answers says nothing then.
pub(in crate::commands) fn may_ask(broker: &Broker) -> anyhow::Result<()> {
    match broker.refused() {
        None => Ok(()),
        Some(what) => Err(Misuse::error(format!(
            "this user may not ask what has to be known first ({what}): do it as one that may, `planner` of deploy/nats (docs/PERMISSIONS.md)"
        ))),
    }
}

/// Marks that this restore is not finished, and removes what another one left that never was, or streams without a message.
async fn make_room(broker: &Broker, options: &TopologyOptions) -> anyhow::Result<Mark> {
    let subjects = broker.subjects();
    let is_left_over = is_there(broker, &subjects.restoring()).await?.is_some();
    let mut there = Vec::new();
    for kept in Kept::ALL {
        let stream = kept.stream(subjects);
        match is_there(broker, &stream).await? {
            Some(messages) if messages > 0 && !is_left_over => {
                return Err(Misuse::error(format!(
                    "namespace {} has streams on this broker already: {stream} holds {}; a backup is put back into an empty broker (or account), never over what is there",
                    subjects.namespace(),
                    counted(messages, "message")
                )));
            }
            Some(_) => there.push(stream),
            None => {}
        }
    }
    let mark = begin(broker, options).await?;
    for stream in there {
        broker.remove_stream(&stream).await?;
    }
    Ok(mark)
}

/// Marks that what is there from now on is not whole.
pub(in crate::commands) async fn begin(
    broker: &Broker,
    options: &TopologyOptions,
) -> anyhow::Result<Mark> {
    let copies = options.replicas as u64;
    let begun = broker.begin_restoring(copies).await.with_context(|| {
        format!(
            "make a stream of {} (--replicas says how many)",
            counted_as(copies, "copy", "copies")
        )
    })?;
    begun.ok_or_else(|| {
        Misuse::error(format!(
            "somebody else puts a backup of namespace {} back into this broker just now: wait until that is done",
            broker.subjects().namespace()
        ))
    })
}

/// Does `work` under the mark.
///
/// # Errors
/// As that, and when somebody else has taken the mark: it was not renewed for so long that this one counted as dead.
pub(in crate::commands) async fn under<T>(
    mark: Mark,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        done = work => done,
        () = mark.hold() => Err(anyhow::anyhow!(
            "somebody else puts a backup back here now: this one was silent for too long"
        )),
    }
}

/// How many messages a stream holds, if there is one.
pub(in crate::commands) async fn is_there(
    broker: &Broker,
    stream: &gridloom_shared::broker::subjects::StreamName,
) -> anyhow::Result<Option<u64>> {
    match broker.info(stream).await {
        Ok(state) => Ok(Some(state.messages)),
        Err(error) if error.is_stream_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What came of it.
pub(in crate::commands) struct Restored {
    streams: Vec<(String, Extent)>,
    /// Decisions about fires that were taken out again.
    fires: u64,
}

pub(in crate::commands) async fn put_back(
    context: &Context,
    broker: &Broker,
    (directory, manifest): (&Path, &Manifest),
    options: &TopologyOptions,
) -> anyhow::Result<Restored> {
    let age = UnixMs::now().0.saturating_sub(manifest.taken_at_ms.0);
    let age = Duration::from_millis(age);
    let mut streams = Vec::new();
    // Who submits does not see the mark: while it may come to a repetition, which removes what is there, nothing is to
    // confirm a submission.
    let (last, first): (Vec<_>, Vec<_>) =
        (manifest.streams.iter()).partition(|stored| stored.name == Kept::Submit.as_str());
    for stored in first {
        let extent = stream(context, broker, (directory, stored), (options, age)).await?;
        streams.push((stored.name.clone(), extent));
    }
    let taken_out = cut::fires(broker, manifest.history_up_to, manifest.cut).await?;
    let asked = cut::wishes::answered(broker, manifest.end_of(Kept::State), &taken_out).await?;
    let ended = match manifest.is_of_a_second_site() {
        true => cut::lives::end(broker).await?,
        false => Ended::default(),
    };
    tracing::debug!(count = asked, what = ?ended, "what had ended before");
    cut::state(broker).await?;
    for stored in last {
        let extent = stream(context, broker, (directory, stored), (options, age)).await?;
        streams.push((stored.name.clone(), extent));
    }
    // A planner would make them too, and take what it misses for lost.
    topology::complete(broker, options).await?;
    broker.remove_stream(&broker.subjects().restoring()).await?;
    Ok(Restored {
        streams,
        fires: taken_out.decisions,
    })
}

/// Puts one stream back.
async fn stream(
    context: &Context,
    broker: &Broker,
    (directory, stored): (&Path, &Stored),
    (options, age): (&TopologyOptions, Duration),
) -> anyhow::Result<Extent> {
    let kept = Kept::called(&stored.name)
        .with_context(|| format!("put back {:?}: no stream is called so", stored.name))?;
    let stream = kept.stream(broker.subjects());
    let origin = stored.origin.clone().with_replicas(options.replicas as u64);
    let before = origin.extent();
    let ahead = manifest::ahead(&before, age);
    let mut back = broker.put_back(&stream, &origin, ahead).await?;
    let mut teller = Teller::new(context.output, kept);
    let mut pieces = directory::pieces(directory, stored)?;
    let mut bytes = 0;
    while let Some(piece) = pieces.next().context("read the backup")? {
        bytes += piece.len() as u64;
        back.piece(piece.into()).await?;
        teller.tell(bytes);
    }
    let found = back.finish().await?;
    // Of an empty stream the broker tells its first sequence one way and the other.
    if (found.messages, found.last_seq) != (before.messages, before.last_seq) {
        anyhow::bail!("{stream} held {before:?} and is put back with {found:?}");
    }
    Ok(found)
}
