//! `gridloom site`: a second site follows what the first one stores, and takes its place when that is gone.
//!
//! The second broker reaches the first as a leaf node, over JetStream domains: the broker itself carries the records.
//! What is told here is what that does not say: which streams, how far they are, and how they become an installation.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::copy::mirror::{Mirrored, SILENT, Seen};
use gridloom_shared::broker::topology::backed_up::followed;
use gridloom_shared::broker::topology::{self, Kept, TopologyError, TopologyOptions};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use serde_json::json;

use super::backup::{self, directory::Unfinished, manifest::Manifest, restore};
use crate::args::{MirrorArgs, PromoteArgs, Site};
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::{Align, Table, counted, grouped, spoken};

/// What is not known of the time before a mirror heard its origin last: the broker tells each second that there is
/// nothing new, and clocks of two sites differ.
const UNSURE: Duration = Duration::from_secs(5);

/// Does what `gridloom site` says.
///
/// # Errors
/// When it could not be done.
pub async fn run(context: &Context, order: Site) -> anyhow::Result<Verdict> {
    match order {
        Site::Mirror(args) => mirror(context, &args).await,
        Site::Status => status(context).await,
        Site::Promote(args) => promote(context, &args).await,
    }
}

async fn mirror(context: &Context, args: &MirrorArgs) -> anyhow::Result<Verdict> {
    let broker = context.ask_whatever_is_there().await?;
    let options = backup::options(context, &args.streams, 1);
    topology::has_copies_enough(&broker, &options)?;
    restore::nobody_runs(
        &broker,
        "leave them so: nothing runs at a site that follows, before gridloom site promote",
    )
    .await?;
    let is_half = take_half(&broker, args, &options).await?;
    let ledger = Kept::Ledger.stream(broker.subjects());
    let seen = broker.seen_in(&ledger, &args.domain).await;
    seen.with_context(|| {
        format!(
            "reach namespace {} in domain {}: this broker has to be a leaf node of the first site, whose jetstream has that domain, and a planner has run there",
            broker.subjects().namespace(),
            args.domain
        )
    })?;
    let wanted = make_room(&broker, args).await?;
    if is_half {
        let subjects = broker.subjects();
        broker.remove_stream(&subjects.ahead()).await?;
        broker.remove_stream(&subjects.restoring()).await?;
    }
    let mut made = Vec::new();
    for kept in wanted {
        let stream = kept.stream(broker.subjects());
        broker
            .mirror(&stream, &args.domain, options.replicas)
            .await?;
        made.push(kept.as_str());
    }
    let document = json!({ "domain": args.domain, "made": made });
    context.output.show(&document, |output| {
        output.say(match made.is_empty() {
            true => format!("this broker follows domain {} already", args.domain),
            false => format!("this broker follows domain {}: {}", args.domain, made.join(", ")),
        });
        output.say("gridloom site status tells how far it is; no planner may run here before gridloom site promote");
    });
    Ok(Verdict::Fine)
}

/// Whether what is here is half of a backup, that is to be replaced: then whoever put it back does so no more.
async fn take_half(
    broker: &Broker,
    args: &MirrorArgs,
    options: &TopologyOptions,
) -> anyhow::Result<bool> {
    match topology::is_whole(broker).await {
        Ok(()) => Ok(false),
        Err(TopologyError::Restoring { .. }) if args.replace => {
            restore::begin(broker, options).await?;
            Ok(true)
        }
        Err(half @ TopologyError::Restoring { .. }) => Err(Misuse::error(format!(
            "{}; --replace deletes what is here, and follows {}",
            chain(&half),
            args.domain
        ))),
        Err(error) => Err(error.into()),
    }
}

/// What is to be made: all of it, or what one that broke off did not make. Removes what is in the way where that is wanted
/// or nothing is in it.
async fn make_room(broker: &Broker, args: &MirrorArgs) -> anyhow::Result<Vec<Kept>> {
    let (mut following, mut there) = (Vec::new(), Vec::new());
    for kept in Kept::ALL {
        let stream = kept.stream(broker.subjects());
        let mirrored = broker.mirrored(&stream).await?;
        if let Some(mirrored) = &mirrored
            && mirrored.domain == args.domain
            && !mirrored.is_of_another(&broker.seen_in(&stream, &args.domain).await?)
        {
            following.push(kept);
            continue;
        }
        let messages = restore::is_there(broker, &stream).await?;
        if let Some(messages) = messages.filter(|messages| *messages > 0 && !args.replace) {
            let what = match &mirrored {
                Some(mirrored) if mirrored.domain == args.domain => {
                    "follows a stream that was deleted and made anew at the first site since"
                        .to_owned()
                }
                Some(mirrored) => format!("follows domain {}", mirrored.domain),
                None => "is of a site that was the first once".to_owned(),
            };
            return Err(Misuse::error(format!(
                "{stream} is on this broker and holds {}: it {what}; --replace deletes that, and follows {}",
                counted(messages, "message"),
                args.domain
            )));
        }
        there.push(stream);
    }
    for stream in there {
        broker.remove_stream(&stream).await?;
    }
    Ok(followed()
        .filter(|kept| !following.contains(kept))
        .collect())
}

/// A stream of a second site.
struct Standing {
    kept: Kept,
    mirrored: Mirrored,
    first: First,
}

/// What the first site says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// Nothing.
    Silent,
    /// It has so many messages that are not here.
    Ahead(u64),
    /// Its stream is another than the one that is followed.
    Another,
    /// It answers, and not with how far it is: a fault is an answer, too.
    Unclear,
}

impl Standing {
    fn is_silent(&self) -> bool {
        self.mirrored.silent.is_none_or(|silent| silent > SILENT)
    }

    fn missing(&self) -> Option<u64> {
        match self.first {
            First::Ahead(missing) => Some(missing),
            First::Silent | First::Another | First::Unclear => None,
        }
    }

    fn is_well(&self) -> bool {
        !self.is_silent() && matches!(self.first, First::Ahead(_))
    }
}

/// What the first site says of a stream.
///
/// # Errors
/// When this user may not ask it: that is no silence.
async fn first(broker: &Broker, kept: Kept, mirrored: &Mirrored) -> anyhow::Result<First> {
    let stream = kept.stream(broker.subjects());
    let seen = broker.seen_in(&stream, &mirrored.domain).await;
    let last = broker.last_in(&stream, &mirrored.domain).await;
    let errors = [seen.as_ref().err(), last.as_ref().err()];
    if errors.into_iter().flatten().any(ApiError::is_refused) {
        restore::may_ask(broker)?;
    }
    Ok(said(mirrored, seen, last))
}

/// What that means. Silent is only who answers nothing: where one question gets no answer, planners may work there all the
/// same.
fn said(mirrored: &Mirrored, seen: Result<Seen, ApiError>, last: Result<u64, ApiError>) -> First {
    match (seen, last) {
        (Ok(seen), _) if mirrored.is_of_another(&seen) => First::Another,
        (Ok(seen), Ok(last)) => First::Ahead(mirrored.missing(&seen, last)),
        (Err(ApiError::Request(_)), Err(ApiError::Request(_))) => First::Silent,
        (Ok(_) | Err(_), _) => First::Unclear,
    }
}

/// How each stream stands.
async fn standings(broker: &Broker) -> anyhow::Result<Vec<Standing>> {
    let mut all = Vec::new();
    for kept in followed() {
        let stream = kept.stream(broker.subjects());
        let Some(mirrored) = broker.mirrored(&stream).await? else {
            return Err(Misuse::error(format!(
                "{stream} follows nothing on this broker: it is no second site (gridloom site mirror makes it one), or was promoted"
            )));
        };
        all.push(Standing {
            first: first(broker, kept, &mirrored).await?,
            kept,
            mirrored,
        });
    }
    Ok(all)
}

async fn status(context: &Context) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let all = standings(&broker).await?;
    let document = json!({ "streams": all.iter().map(told).collect::<Vec<_>>() });
    context.output.show(&document, |output| {
        let mut table = Table::new([
            ("stream", Align::Left),
            ("messages", Align::Right),
            ("not here yet", Align::Right),
            ("heard", Align::Right),
            ("last record", Align::Left),
        ]);
        for standing in &all {
            let mirrored = &standing.mirrored;
            let heard = mirrored.silent.map(|silent| format!("{} ago", spoken(silent)));
            let last = mirrored.extent.last_at.map(UnixMs::rfc3339);
            table.row([
                standing.kept.as_str().to_owned(),
                grouped(mirrored.extent.messages),
                match standing.first {
                    First::Silent | First::Unclear => "unknown".to_owned(),
                    First::Ahead(missing) => grouped(missing),
                    First::Another => "another stream".to_owned(),
                },
                heard.unwrap_or_else(|| "never".to_owned()),
                last.unwrap_or_default(),
            ]);
        }
        output.table(&table, "nothing");
        if all.iter().any(|standing| standing.first == First::Another) {
            output.note("another stream: the first site's was deleted and made anew, or put back from a backup, since it is followed; what is here is of the one before; gridloom site mirror --replace follows the new one");
        } else if !all.iter().all(Standing::is_well) {
            let answers = all.iter().all(|standing| standing.first != First::Silent);
            output.note(match answers {
                true => "the first site answers, and not all of it is heard: where site mirror was just given, ask again in a second; else see the leaf node connection, and the broker's log",
                false => "the first site is not heard: see whether it lives, and the leaf node connection; gridloom site promote takes its place",
            });
        }
    });
    Ok(match all.iter().all(Standing::is_well) {
        true => Verdict::Fine,
        false => Verdict::Failed,
    })
}

fn told(standing: &Standing) -> serde_json::Value {
    let mirrored = &standing.mirrored;
    json!({
        "name": standing.kept.as_str(),
        "domain": mirrored.domain,
        "messages": mirrored.extent.messages,
        "last_seq": mirrored.extent.last_seq,
        "last_at": mirrored.extent.last_at.map(UnixMs::rfc3339),
        "missing": standing.missing(),
        "another": standing.first == First::Another,
        "heard_s_ago": mirrored.silent.map(|silent| silent.as_secs_f64()),
    })
}

async fn promote(context: &Context, args: &PromoteArgs) -> anyhow::Result<Verdict> {
    let begun = Instant::now();
    let broker = context.ask().await?;
    restore::nobody_runs(&broker, "start them when this site is promoted").await?;
    let all = standings(&broker).await?;
    restore::may_ask(&broker)?;
    if all.iter().any(|standing| standing.first != First::Silent) && !args.force {
        return Err(Misuse::error(
            "the first site answers: two installations would do the same work. Where it is to be left on purpose, stop all planners and workers there, wait until gridloom site status has nothing that is not here yet, and add --force",
        ));
    }
    let unfinished = Unfinished::begin(&args.directory)?;
    let manifest = match take(context, &broker, &unfinished, &all).await {
        Ok(manifest) => manifest,
        Err(error) => {
            unfinished.remove();
            return Err(error);
        }
    };
    unfinished.finish(&manifest)?;
    // From here on the backup is what counts: whatever happens, gridloom restore puts it back.
    let options = backup::options(context, &args.streams, manifest.replicas());
    let mark = restore::begin(&broker, &options).await?;
    for kept in Kept::ALL {
        broker
            .remove_stream(&kept.stream(broker.subjects()))
            .await?;
    }
    let put_back = restore::put_back(context, &broker, (&args.directory, &manifest), &options);
    restore::under(mark, put_back)
        .await
        .context(restore::BROKEN)?;
    let document = json!({
        "namespace": manifest.namespace,
        "directory": args.directory,
        "streams": all.iter().map(told).collect::<Vec<_>>(),
    });
    context.output.show(&document, |output| {
        let ledger = all.iter().find(|standing| standing.kept == Kept::Ledger);
        let last = ledger.and_then(|ledger| ledger.mirrored.extent.last_at);
        let last = last.map_or_else(|| "none".to_owned(), UnixMs::rfc3339);
        output.say(format!(
            "this is the installation {} now, after {}: the last record of the ledger that came over is of {last}; what the first site stored later, and submissions that it had not answered, are lost",
            manifest.namespace,
            spoken(begun.elapsed())
        ));
        output.say("start planners and workers here, and see that none start at the first site when it comes back");
    });
    Ok(Verdict::Fine)
}

/// A backup of what came over.
async fn take(
    context: &Context,
    broker: &Broker,
    unfinished: &Unfinished,
    all: &[Standing],
) -> anyhow::Result<Manifest> {
    let mut manifest = Manifest::begin(broker);
    // What the first site has stored since nobody here knows: streams go on above that.
    let ledger = all.iter().find(|standing| standing.kept == Kept::Ledger);
    if let Some(heard) = ledger.and_then(|ledger| heard_up_to(&ledger.mirrored)) {
        manifest.taken_at_ms = manifest.taken_at_ms.min(heard);
        manifest.taken_at = manifest.taken_at_ms.rfc3339();
    }
    for standing in all {
        let mut stored = backup::copy(context, broker, unfinished, standing.kept).await?;
        let replicas = stored.origin.replicas();
        stored.origin.config = standing.mirrored.settings.clone();
        stored.origin = stored.origin.with_replicas(replicas);
        if standing.kept == Kept::Ledger {
            let last = stored.origin.extent().last_at.unwrap_or_default();
            manifest.cut = last.max(known_up_to(&standing.mirrored));
        }
        manifest.streams.push(stored);
    }
    Ok(manifest)
}

/// Up to when it is known how much the first site had stored: where the mirror was behind, or has never heard of it since
/// the broker here was started, that is the time of its last record.
fn heard_up_to(mirrored: &Mirrored) -> Option<UnixMs> {
    match mirrored.heard {
        Some(heard) if mirrored.lag == 0 => Some(heard),
        Some(_) | None => mirrored.extent.last_at,
    }
}

/// Up to when all that the first site stored is here for sure, whatever that was: a mirror that was told a moment ago that
/// it has all had all.
fn known_up_to(mirrored: &Mirrored) -> UnixMs {
    let unsure = u64::try_from(UNSURE.as_millis()).unwrap_or(u64::MAX);
    match mirrored.heard {
        Some(heard) if mirrored.lag == 0 => UnixMs(heard.0.saturating_sub(unsure)),
        Some(_) | None => UnixMs(0),
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::broker::RequestError;
    use gridloom_shared::broker::api::Fault;
    use gridloom_shared::broker::copy::Extent;

    use super::*;

    /// A mirror that heard its origin at 7:00, and whose last record is of 0:00; whenever that was asked.
    fn mirrored() -> Mirrored {
        Mirrored {
            domain: "first".into(),
            extent: Extent {
                last_at: Some(UnixMs(0)),
                ..Extent::default()
            },
            lag: 0,
            silent: Some(Duration::from_secs(7_200)),
            heard: Some(UnixMs(7 * 3_600_000)),
            settings: serde_json::Map::new(),
            made: None,
        }
    }

    #[test]
    fn what_a_silent_mirror_does_not_know_counts_from_when_it_was_told_last() {
        let mut mirrored = mirrored();
        let heard = mirrored.heard;
        assert_eq!(heard_up_to(&mirrored), heard);
        // However long copying takes that comes between.
        assert_eq!(known_up_to(&mirrored), UnixMs(7 * 3_600_000 - 5_000));
        mirrored.lag = 1;
        assert_eq!(heard_up_to(&mirrored), Some(UnixMs(0)), "it was behind");
        assert_eq!(known_up_to(&mirrored), UnixMs(0));
        (mirrored.lag, mirrored.heard) = (0, None);
        assert_eq!(heard_up_to(&mirrored), Some(UnixMs(0)), "it never heard");
        assert_eq!(known_up_to(&mirrored), UnixMs(0));
    }

    #[test]
    fn site_of_which_one_question_has_an_answer_is_not_silent() {
        let seen = || serde_json::from_value::<Seen>(json!({ "config": {}, "state": {} })).unwrap();
        let none = || {
            let subject = "$JS.first.API".to_owned();
            ApiError::from(RequestError::NoResponders { subject })
        };
        let fault = || ApiError::from(Fault::default());
        let said = |seen, last| said(&mirrored(), seen, last);
        assert_eq!(said(Err(none()), Err(none())), First::Silent);
        assert_eq!(said(Ok(seen()), Ok(0)), First::Ahead(0));
        assert_eq!(said(Ok(seen()), Err(none())), First::Unclear);
        assert_eq!(said(Err(none()), Ok(0)), First::Unclear);
        assert_eq!(said(Err(fault()), Err(none())), First::Unclear);
        assert_eq!(said(Err(none()), Err(fault())), First::Unclear);
    }
}
