//! `gridloom run --wait`: follows a run's ledger to its end, and says what it waits for.
//!
//! It reads the ledger itself, not a summary: what it shows is what is committed.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt;
use gridloom_shared::broker::log::{Followed, Start};
use gridloom_shared::broker::subjects::StreamName;
use gridloom_shared::broker::{Broker, Subscription};
use gridloom_shared::id::RunId;
use gridloom_shared::job::JobSpec;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::summary::{RunState, RunSummary, ShardSummary};
use gridloom_shared::orders::submit;
use gridloom_shared::reads::ledger::Entry;
use gridloom_shared::reads::{self, RunError, held, queued, waits, workers};
use gridloom_shared::submission::answer::Outcome;
use gridloom_shared::submission::{Unreadable, is_same_content};
use gridloom_shared::waiting::Waiting;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

mod patience;

use patience::Patience;

use super::failure;
use crate::commands::{installation, runs};
use crate::context::Context;
use crate::fault::{Gone, Misuse, Outdated, Verdict};
use crate::output::{Progress, counted, grouped};

/// How often the picture changes.
const FRAME: Duration = Duration::from_millis(100);
/// Standing still for so long needs an explanation.
const PATIENCE: Duration = Duration::from_secs(3);

/// A broker that restarts is back by then, an election is over.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// What is known of a run that is waited for.
struct Watch<'a> {
    broker: &'a Broker,
    fold: Fold,
    progress: Progress,
    /// When the run last came closer to its end, and where it was then.
    moved: (Instant, Option<ShardSummary>),
    /// When the broker was last connected.
    connected: Instant,
    /// What is waited for, in words.
    words: String,
    /// The same as the planner says it: the first reason first.
    waits: Vec<Waiting>,
    /// Whether the first failure was told.
    told: bool,
}

/// What was submitted.
pub(super) struct Submitted {
    /// The run that it makes, or made when it was submitted before.
    pub(super) run: RunId,
    /// The job as it was then.
    pub(super) spec: JobSpec,
    /// Its place in the submit stream.
    pub(super) sequence: u64,
    /// Where the stream ended that tells of refusals, before it was submitted: what stands up to there is of others, also
    /// where it names this place. A place comes again after a power failure that took the last messages.
    pub(super) refused_before: u64,
    /// Hash of what was asked for.
    pub(super) content: u64,
}

/// Waits until the run of `submitted` is over.
///
/// # Errors
/// When the submission was refused, or the broker does not answer.
pub(super) async fn to_the_end(
    context: &Context,
    broker: &Broker,
    submitted: &Submitted,
    mut answers: Subscription,
) -> anyhow::Result<Verdict> {
    let subjects = broker.subjects();
    let run = &submitted.run;
    let subject = subjects.submit_to(&submitted.spec.name);
    // As streams: a frame in between does not interrupt a question to the broker.
    let follow = |stream: StreamName, filter, from| {
        let tail = broker.follow(&stream, filter, Start::Sequence(from));
        tail.into_stream()
    };
    let of_run = subjects.ledger_of_run_anywhere(run);
    let mut ledger = pin!(follow(subjects.ledger(), of_run, 1));
    let from = submitted.refused_before + 1;
    let mut refusals = pin!(follow(subjects.history(), subjects.unreadable(), from));
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut watch = Watch {
        broker,
        fold: Fold::new(run.clone()),
        progress: context.output.progress(submitted.spec.name.as_str()),
        moved: (Instant::now(), None),
        connected: Instant::now(),
        words: String::new(),
        waits: Vec::new(),
        told: false,
    };
    let goes_on = || format!("wait any longer (the run goes on: gridloom show {run})");
    let (mut with_ledger, mut with_refusals) = (Patience::new(AWAY_MAX), Patience::new(AWAY_MAX));
    loop {
        tokio::select! {
            Some(followed) = ledger.next() => {
                let followed = with_ledger.take(followed, Instant::now());
                if let Some(followed) = followed.with_context(goes_on)? {
                    watch.take(followed);
                }
            }
            Some(answer) = submit::answered(&mut answers) => {
                if super::accepted(Some(answer))? == Some(Outcome::Purged) {
                    return Err(purged(run));
                }
            }
            Some(refused) = refusals.next() => {
                let refused = with_refusals.take(refused, Instant::now());
                if let Some(refused) = refused.with_context(goes_on)? {
                    refuse(&refused, &subject, submitted.sequence)?;
                }
            }
            _ = frames.tick() => watch.frame().await.with_context(goes_on)?,
            _ = &mut interrupted => {
                watch.progress.note(&format!("no longer waiting; the run goes on: gridloom show {run}"));
                return Ok(Verdict::Interrupted);
            }
        }
        watch.agrees(submitted.content)?;
        if let Some(summary) = watch.over() {
            return Ok(watch.finish(&summary));
        }
    }
}

/// The error that nothing is left of the run to wait for.
pub(super) fn purged(run: &RunId) -> anyhow::Error {
    anyhow::anyhow!(
        "run {run} is over and was purged: how it ended is not known any more, and the same --id starts no other; take another --id for a new run"
    )
}

/// An error if this record says why the submission at `sequence` made no run.
fn refuse(followed: &Followed, subject: &str, sequence: u64) -> anyhow::Result<()> {
    let Followed::Record(record) = followed else {
        return Ok(());
    };
    match serde_json::from_slice::<Unreadable>(&record.payload) {
        Ok(refused) if refused.sequence == sequence && refused.subject == subject => {
            Err(super::refused(&refused.reason))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Watch<'_> {
    fn take(&mut self, followed: Followed) {
        let Followed::Record(record) = followed else {
            return;
        };
        if let Some(entry) = Entry::read(self.broker, &record) {
            entry.fold_into(&mut self.fold);
            self.tell_the_first_failure();
        }
    }

    /// Says once that something failed, as soon as it does.
    fn tell_the_first_failure(&mut self) {
        if self.told {
            return;
        }
        let Some(failure) = failure::first(&self.fold) else {
            return;
        };
        self.told = true;
        let run = self.fold.run();
        self.progress.note(&format!(
            "{}: {failure}\nsee what else fails, and what is tried again, with gridloom show {run}",
            run.job()
        ));
    }

    /// An error if the run was opened for another submission with the same request id.
    fn agrees(&self, content: u64) -> anyhow::Result<()> {
        match self.fold.opening() {
            Some(opening) if !is_same_content(opening.record.content, content) => {
                Err(Misuse::error(format!(
                    "conflict: run {} exists already, made by the same --id with other parameters; take another --id",
                    self.fold.run()
                )))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The summary, once the run is over.
    fn over(&self) -> Option<RunSummary> {
        self.fold.closing()?;
        RunSummary::of(&self.fold)
    }

    async fn frame(&mut self) -> anyhow::Result<()> {
        if self.broker.is_connected() {
            self.connected = Instant::now();
        } else if self.connected.elapsed() > AWAY_MAX {
            return Err(Gone(AWAY_MAX).into());
        }
        // Its end would not be understood.
        if let Some(why) = self.fold.aside().filter(|_| self.fold.is_newer()) {
            let run = self.fold.run();
            return Err(Outdated(format!("run {run} cannot be followed: {why}")).into());
        }
        let summary = RunSummary::of(&self.fold);
        // Handing back and taking over is no progress.
        let stands = summary.as_ref().map(|summary| ShardSummary {
            taken_over: 0,
            late: 0,
            ..summary.shards
        });
        if self.moved.1 != stands {
            self.moved = (Instant::now(), stands);
            self.words.clear();
            self.waits.clear();
        } else if self.moved.0.elapsed() >= PATIENCE {
            self.waits.clear();
            self.words = self.why_it_stands_still().await?;
            self.moved.0 = Instant::now();
        }
        match summary {
            Some(summary) => {
                let total = self.fold.all_known().then_some(summary.grid.shards);
                self.progress.update(
                    summary.shards.done,
                    total,
                    &words(&summary, &self.words),
                    &Document::of(&summary, &self.waits, &self.words),
                );
            }
            None => {
                let document = serde_json::json!({
                    "run": self.fold.run(), "state": "submitted", "waits": [], "waiting": said(&self.words),
                });
                self.progress.update(0, None, &self.words, &document);
            }
        }
        Ok(())
    }

    async fn why_it_stands_still(&mut self) -> anyhow::Result<String> {
        if !self.broker.is_connected() {
            return Ok("waiting: the broker is away".to_owned());
        }
        if self.fold.opening().is_none() {
            // The planner's answer may have been missed.
            match reads::runs::fold(self.broker, self.fold.run()).await {
                Err(RunError::Purged { run }) => return Err(purged(&run)),
                Err(RunError::Waiting { .. }) => {
                    return Ok("waiting: until other runs of the job are over".to_owned());
                }
                _ => {}
            }
            let why = installation::nobody_leads(self.broker).await;
            return Ok(format!("waiting: the submission is not taken yet: {why}"));
        }
        Ok(match waits::of(self.broker, self.fold.run()).await {
            None => format!("waiting: {}", installation::nobody_leads(self.broker).await),
            Some(waits) => {
                self.waits = self.with_queue(waits).await;
                match self.waits.first() {
                    None => String::new(),
                    Some(waiting) => self.in_words(waiting).await,
                }
            }
        })
    }

    /// Besides that nothing of it has begun, where that is all there is to say.
    async fn with_queue(&self, waits: Vec<Waiting>) -> Vec<Waiting> {
        if !matches!(waits.first(), Some(Waiting::Shards { .. })) {
            return waits;
        }
        let here = workers::roll_call(self.broker).await.unwrap_or_default();
        let longest = held::longest(self.broker, &self.fold, &here).await;
        queued::with(self.broker, (&self.fold, waits), &here, &longest).await
    }

    /// Why nothing moves, and what to do about it.
    async fn in_words(&self, waiting: &Waiting) -> String {
        let more = match waiting {
            Waiting::NoWorker { queue } => {
                format!("; start one with gridloom worker --queue {queue}")
            }
            // It may be for want of something.
            Waiting::Hold { .. } | Waiting::Retry { .. } => {
                let why = runs::reason(self.broker, &self.fold).await;
                why.map_or_else(String::new, |why| format!(": {why}"))
            }
            Waiting::Shards { .. } => {
                let here = workers::roll_call(self.broker).await.unwrap_or_default();
                let longest = held::longest(self.broker, &self.fold, &here).await;
                let longest = longest.first().map(runs::held_words);
                longest.map_or_else(String::new, |words| format!("; {words}"))
            }
            Waiting::NoHandler { .. }
            | Waiting::QueueFull { .. }
            | Waiting::Queued { .. }
            | Waiting::NoRoom {}
            | Waiting::Concurrency { .. }
            | Waiting::Rate { .. }
            | Waiting::Behind { .. }
            | Waiting::Aside { .. } => String::new(),
        };
        format!("waiting: {waiting}{more}")
    }

    fn finish(self, summary: &RunSummary) -> Verdict {
        let opening = self.fold.opening();
        let mut progress = self.progress;
        let shards = &summary.shards;
        let document = Document::of(summary, &[], "");
        progress.update(shards.done, Some(summary.grid.shards), "", &document);
        let hint = shards
            .is_anything_dead()
            .then(|| runs::dead_hint(&summary.run));
        let odd = runs::odd_hint(summary);
        let why = summary.error.iter().chain(&odd).chain(&hint);
        let why: Vec<&str> = why.map(String::as_str).collect();
        // A statement that found nothing succeeds, too.
        let of_rows = opening.is_some_and(|opening| opening.record.job.handler.as_str() == "sql");
        progress.finish(&ended(summary, of_rows), &why);
        if summary.state == RunState::Succeeded {
            Verdict::Fine
        } else {
            Verdict::Failed
        }
    }
}

/// A run that is waited for, as programs read it.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    summary: &'a RunSummary,
    /// What it waits for where nothing moves, as `show --json` says it.
    waits: &'a [Waiting],
    /// The same in words, and what else keeps it: a broker that is away, a planner that is not there.
    waiting: Option<&'a str>,
}

impl<'a> Document<'a> {
    fn of(summary: &'a RunSummary, waits: &'a [Waiting], words: &'a str) -> Document<'a> {
        Document {
            summary,
            waits,
            waiting: said(words),
        }
    }
}

/// Words without the first, which a key says already; `None` where there are none.
fn said(words: &str) -> Option<&str> {
    let words = words.strip_prefix("waiting: ").unwrap_or(words);
    (!words.is_empty()).then_some(words)
}

/// Counters that are told at the end.
const COUNTERS: usize = 5;

/// How a run ended, and what it says of its work. Where its handler counts rows `of_rows` none is said, too.
fn ended(summary: &RunSummary, of_rows: bool) -> String {
    let shards = &summary.shards;
    let mut parts = vec![
        summary.state.as_str().to_owned(),
        format!(
            "{} of {} done",
            grouped(shards.done),
            counted(summary.grid.shards, "shard")
        ),
    ];
    parts.extend(runs::dead_words(shards));
    match summary.rows {
        0 if !of_rows => {}
        1 => parts.push("1 row".to_owned()),
        rows => parts.push(format!("{} rows", runs::grouped_signed(rows))),
    }
    let counters = summary.counters.iter().take(COUNTERS);
    parts.extend(counters.map(|(name, sum)| format!("{name} {}", runs::grouped_signed(*sum))));
    if summary.counters.len() > COUNTERS || summary.more_counters > 0 {
        parts.push("...".to_owned());
    }
    parts.join(", ")
}

/// What stands beside the bar.
fn words(summary: &RunSummary, waiting: &str) -> String {
    let shards = &summary.shards;
    let mut parts = runs::dead_words(shards);
    for (number, word) in [
        (shards.retried, "retried"),
        (shards.taken_over, "taken over"),
    ] {
        if number > 0 {
            parts.push(format!("{} {word}", grouped(number)));
        }
    }
    if !waiting.is_empty() {
        parts.push(waiting.to_owned());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::{JobName, QueueName};
    use gridloom_shared::ledger::summary::GridSummary;

    use super::*;

    #[test]
    fn end_is_told_with_what_is_dead_the_rows_and_some_counters() {
        let mut summary = RunSummary {
            run: RunId::new("a_s_1").unwrap(),
            job: JobName::new("a").unwrap(),
            queue: QueueName::new("a").unwrap(),
            state: RunState::Succeeded,
            scheduled_at: None,
            opened_at: None,
            closed_at: None,
            grid: GridSummary {
                slices: 1,
                shards: 4,
            },
            shards: ShardSummary {
                planned: 4,
                done: 4,
                dead: 0,
                dead_probes: 0,
                given_up: 0,
                outstanding: 0,
                late: 0,
                retried: 0,
                taken_over: 0,
            },
            rows: 0,
            counters: std::collections::BTreeMap::new(),
            more_counters: 0,
            error: None,
        };
        assert_eq!(ended(&summary, false), "succeeded, 4 of 4 shards done");
        assert_eq!(
            ended(&summary, true),
            "succeeded, 4 of 4 shards done, 0 rows"
        );
        summary.rows = 1_000;
        summary.counters = (0..7).map(|n| (format!("c{n}"), -7_000)).collect();
        assert_eq!(
            ended(&summary, false),
            "succeeded, 4 of 4 shards done, 1,000 rows, c0 -7,000, c1 -7,000, c2 -7,000, c3 -7,000, c4 -7,000, ..."
        );
        summary.counters.clear();
        (summary.rows, summary.state) = (1, RunState::Failed);
        (summary.shards.done, summary.shards.dead_probes) = (3, 1);
        assert_eq!(
            ended(&summary, false),
            "failed, 3 of 4 shards done, 1 dead probe, 1 row"
        );
    }
}
