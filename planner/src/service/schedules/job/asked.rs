//! Runs of one job that people ask for with an overlap policy: each stands in a key until it is opened or refused for good
//! ([`crate::schedule`] decides which), and is told where its submitter listens. Who cancels one that is not open yet says so
//! in its key.

use std::collections::{BTreeMap, BTreeSet};

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::Entry;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Nonce, RunId, Term};
use gridloom_shared::job::JobSpec;
use gridloom_shared::ledger::record::Opened;
use gridloom_shared::limits::ASKED_REASON_MAX;
use gridloom_shared::reads::fires::reason::passed;
use gridloom_shared::schedule::BackfillName;
use gridloom_shared::schedule::record::{Decision, Record, State, Verdict, Why};
use gridloom_shared::submission::Stored;
use gridloom_shared::submission::answer::Outcome;
use gridloom_shared::submission::{Kept, Submission, Unreadable};
use gridloom_shared::wire::{self, Versions};

use super::super::super::envoy::Envoy;
use super::{Defined, Job, SettleError};
use crate::schedule::Wish;
use crate::submit;

/// What is asked for and stands there still.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// By their places in the submit stream: in the order in which they came.
    all: BTreeMap<Stored, (Kept, u64)>,
    /// Those that a newer build kept: what is asked for there is not known here.
    newer: BTreeSet<RunId>,
    /// The same, as decisions see it.
    pub(super) wishes: Vec<Wish>,
}

impl Requests {
    pub(super) fn of(&self, run: &RunId) -> Option<&Kept> {
        let mut all = self.all.values();
        all.find_map(|(kept, _)| (kept.run == *run).then_some(kept))
    }

    /// They, or the definition of their job, are others now.
    pub(super) fn changed(&mut self, defined: &Defined) {
        let wishes = self.all.values().map(|(kept, revision)| Wish {
            run: kept.run.clone(),
            stored: kept.stored(),
            revision: *revision,
            overlap: kept.overlap,
            fault: fault(kept, defined),
        });
        self.wishes = wishes.collect();
    }
}

/// Why a run cannot be opened, as things stand.
fn fault(kept: &Kept, defined: &Defined) -> Option<Why> {
    if let Some(by) = &kept.withdrawn {
        let by = short(by);
        return Some(Why::Withdrawn { by });
    }
    match defined {
        Defined::Unseen | Defined::Nonsense(_) => None,
        Defined::Gone(_) => Some(Why::Deleted),
        Defined::There(job, ..) => asked_of(job, kept).err().map(|reason| Why::Unfit {
            reason: short(&reason),
        }),
    }
}

/// What fits into the record of a schedule.
fn short(text: &str) -> String {
    text[..text.floor_char_boundary(ASKED_REASON_MAX)].to_owned()
}

/// What was asked for, and the job with that in it.
fn asked_of(job: &JobSpec, kept: &Kept) -> Result<(Submission, JobSpec), String> {
    let submission = Submission::parse(&kept.body, kept.content_type.as_deref());
    let submission = submission.map_err(|error| chain(&error).to_string())?;
    let job = submission.applied_to(job);
    let job = job.map_err(|error| chain(&error).to_string())?;
    Ok((submission, job))
}

impl Job {
    /// A run was asked for, or somebody took that away.
    pub(in super::super) fn wish(&mut self, broker: &Broker, run: &RunId, entry: &Entry) {
        let Requests { all, newer, .. } = &mut self.requests;
        newer.remove(run);
        let read = |value: &[u8]| broker.decode::<Kept>(&entry.key, value);
        match entry.value.as_deref().map(read) {
            Some(Ok(kept)) if kept.run == *run => {
                all.insert(kept.stored(), (kept, entry.revision));
            }
            Some(Err(error)) if error.is_newer() => {
                newer.insert(run.clone());
            }
            Some(Ok(_) | Err(_)) => {
                tracing::error!(job = %self.name, %run, "what was asked for makes no sense");
            }
            None => all.retain(|_, (kept, _)| kept.run != *run),
        }
        self.requests.changed(&self.defined);
    }

    /// Whether only a newer build knows with what a run was asked for.
    pub(super) fn is_newer(&self, run: &RunId) -> bool {
        self.requests.newer.contains(run)
    }

    /// Whether a run was asked for by hand, and nobody knows any more with what: it was carried out, and an earlier leader
    /// died before that was on record.
    pub(super) fn is_gone(&self, at: UnixMs, run: &RunId) -> bool {
        let by_hand =
            BackfillName::of_run(run).is_none() && RunId::from_fire(&self.name, at) != *run;
        by_hand && self.requests.of(run).is_none()
    }

    /// The first record of a run that is to be opened.
    pub(super) fn first_record(
        &self,
        job: &JobSpec,
        (at, run): (UnixMs, &RunId),
        term: Term,
    ) -> Result<Opened, String> {
        let nonce = Nonce::random();
        let Some(kept) = self.requests.of(run) else {
            return Ok(Opened {
                nonce,
                job: job.frozen(),
                scheduled_at: at,
                content: 0,
                term,
                first: Vec::new(),
                traceparent: None,
                reports: Versions::own().writes,
            });
        };
        let (submission, job) = asked_of(job, kept)?;
        Ok(Opened {
            nonce,
            job,
            scheduled_at: kept.at,
            content: submission.content(),
            term,
            first: Vec::new(),
            traceparent: kept.traceparent,
            reports: Versions::own().writes,
        })
    }

    /// Tells who asked for it that a run is open, or why it is not.
    pub(super) async fn tell_asked(
        &self,
        broker: &Broker,
        run: &RunId,
        (outcome, reason, behind): (Outcome, Option<String>, Option<RunId>),
    ) {
        if let Some(kept) = self.requests.of(run) {
            submit::tell_kept(broker, kept, outcome, reason, behind).await;
        }
    }

    /// Tells who asked that their run waits.
    pub(super) async fn tell_waits(&self, broker: &Broker, record: &Record) {
        if let Decision::Asked {
            run,
            answer: Verdict::Queued { behind },
        } = &record.decision
        {
            let told = (Outcome::Queued, None, Some(behind.run.clone()));
            self.tell_asked(broker, run, told).await;
        }
    }

    /// The record of a run by hand that is not opened, for this reason.
    pub(super) fn unreadable(&self, broker: &Broker, run: &RunId, reason: String) -> Unreadable {
        match self.requests.of(run) {
            Some(kept) => Unreadable::new(&kept.subject, kept.sequence, reason, &kept.body),
            None => {
                let fires = broker.subjects().fires(&self.name);
                Unreadable::new(&fires, self.sequence, reason, b"")
            }
        }
    }

    /// Has what was refused on record and told, and forgets it and what is open.
    pub(super) async fn settle_asked(&mut self, envoy: &Envoy) -> Result<(), SettleError> {
        if self.requests.all.is_empty() {
            return Ok(());
        }
        let broker = &envoy.broker;
        let asked = self
            .fires
            .state()
            .into_iter()
            .flat_map(|state| &state.asked);
        let refused = asked.filter_map(|asked| Some((asked.run.clone(), asked.refused.clone()?)));
        let refused: Vec<(RunId, Why)> = refused.collect();
        for (run, why) in refused {
            if self.requests.of(&run).is_none() {
                continue;
            }
            let reason = format!("run {run} is not opened: {}", passed(&why));
            tracing::info!(job = %self.name, %run, reason, "refused");
            let record = self.unreadable(broker, &run, reason.clone());
            let stored = broker.append_patiently(broker.subjects().unreadable(), record.encode());
            stored.await?;
            let told = (Outcome::Refused, Some(reason), None);
            self.tell_asked(broker, &run, told).await;
            self.forget_asked(envoy, &run).await?;
        }
        let all = self.requests.all.values();
        let over = all.filter(|(kept, _)| self.is_over_and_done(kept));
        let over: Vec<RunId> = over.map(|(kept, _)| kept.run.clone()).collect();
        for run in over {
            self.forget_asked(envoy, &run).await?;
        }
        Ok(())
    }

    /// Whether what was asked for is open, or has come in again behind its answer.
    fn is_over_and_done(&self, kept: &Kept) -> bool {
        let is_open = self.runs.knows(&kept.run);
        is_open
            || self
                .fires
                .state()
                .is_some_and(|state| is_again(state, kept))
    }

    /// Somebody may have cancelled it while it was opened: then it ends.
    async fn forget_asked(&mut self, envoy: &Envoy, run: &RunId) -> Result<(), SettleError> {
        let broker = &envoy.broker;
        let mut all = self.requests.all.iter();
        let found = all.find(|(_, (kept, _))| kept.run == *run);
        let Some((stored, known)) = found.map(|(stored, (_, at))| (*stored, *at)) else {
            return Ok(());
        };
        let key = broker.subjects().asked_key(run);
        let place = broker.state().place_of(&key).await?;
        let there = place.value().map(|value| wire::decode::<Kept>(value));
        let there = there.and_then(Result::ok);
        let there = there.filter(|kept| kept.stored() == stored);
        let revision = there.as_ref().map_or(known, |_| place.revision());
        let withdrawn = there.is_some_and(|kept| kept.withdrawn.is_some());
        if withdrawn && self.runs.open.contains(run) {
            self.end_runs(envoy, vec![run.clone()]).await?;
        }
        broker.state().forget_below(&key, revision + 1).await?;
        self.requests.all.remove(&stored);
        self.requests.changed(&self.defined);
        Ok(())
    }
}

/// Whether it has had its answer, and nothing is left to be done of that.
fn is_again(state: &State, kept: &Kept) -> bool {
    let mut asked = state.asked.iter().map(|asked| &asked.run);
    let mut coming = state.unopened.iter().map(|fire| &fire.run);
    let is_left = asked.any(|run| *run == kept.run) || coming.any(|run| *run == kept.run);
    !is_left && state.is_answered(kept.stored())
}
