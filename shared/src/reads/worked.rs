//! Who has worked on a run when: of each worker, how many shards it committed and failed in each span of time, how many
//! it took over, and in which spans something was out that it told of. Pure; it walks beside the fold, which alone
//! decides what counts.
//!
//! | record | what is noted of its author |
//! |---|---|
//! | outcomes, answers of probes | what the fold counts of them; from the fence on, under which the first was held, something was out |
//! | `started` | from its fence on, something was out |
//! | takeover that the fold counts | how many shards |
//!
//! The ledger does not say who got a tile from the queue, so what a worker holds and has told nothing of is not here.
//! Bounded whatever the run: where it lasts longer the spans get twice as long, and sessions beyond a number are joined.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::ledger::Entry;
use crate::clock::UnixMs;
use crate::id::{Fence, Session};
use crate::ledger::fold::{Counts, Fold};
use crate::ledger::outcomes;
use crate::ledger::record::{PlanRecord, Record, WorkRecord};

/// Spans at most; at least half as many, once a run has lasted so long.
pub const SPANS_MAX: usize = 96;
/// How long a span is at first.
const SPAN_MS: u64 = 250;
/// Sessions that are kept apart.
const SESSIONS_MAX: usize = 256;
/// Sessions that are remembered as joined: beyond that they are not counted.
const JOINED_MAX: usize = 65_536;
/// Workers that are told apart: each takes about a kB at most.
pub const WORKERS_MAX: usize = 20;
/// Fences whose time is remembered, the last ones: that of every tile that is out, but for those out very long.
const FENCES_MAX: usize = 16_384;

/// Who has worked on a run when, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunWork {
    /// The ledger sequence up to which this tells.
    pub at: u64,
    /// When the first span begins, by the broker's clock, RFC 3339.
    pub from: String,
    /// How long each span is.
    pub span_ms: u64,
    /// How many spans there are so far.
    pub spans: u32,
    /// Who said something of the run, in the order in which they began; joined ones last.
    pub workers: Vec<WorkerShare>,
}

/// What one worker did of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkerShare {
    /// Its life; `None`: several that are joined.
    pub session: Option<String>,
    /// Its name, while it is registered.
    pub worker: Option<String>,
    /// How many sessions this tells of.
    pub sessions: u32,
    /// Shards that it committed.
    pub done: u64,
    /// Attempts that it failed and that count, those that asked for a hold among them.
    pub failed: u64,
    /// Shards that it took over.
    pub taken_over: u64,
    /// The span in which it begins.
    pub first: u32,
    /// From that span on, shards that it committed in each.
    pub commits: Vec<u32>,
    /// In turn: a span, and how many attempts it failed in it.
    pub failures: Vec<u32>,
    /// In turn: a span, and how many shards it took over in it.
    pub takeovers: Vec<u32>,
    /// From the first span on, in turn: in how many spans something was out that it told of, and in how many nothing.
    pub held: Vec<u32>,
}

/// A worker that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its name.
    pub worker: String,
    /// When it started.
    pub started_at: UnixMs,
}

/// Who has worked on a run when.
#[derive(Clone, Debug)]
pub struct Worked {
    /// When the run was opened.
    from: Option<UnixMs>,
    span_ms: u64,
    shares: BTreeMap<Session, Share>,
    /// What those did that are not kept apart, and who they are.
    joined: Share,
    joined_sessions: BTreeSet<Session>,
    /// When what is held under a fence could be held first.
    fences: BTreeMap<Fence, UnixMs>,
}

impl Default for Worked {
    fn default() -> Worked {
        Worked {
            from: None,
            span_ms: SPAN_MS,
            shares: BTreeMap::new(),
            joined: Share::default(),
            joined_sessions: BTreeSet::new(),
            fences: BTreeMap::new(),
        }
    }
}

impl Worked {
    /// Takes `entry` into `fold`, and notes who did what. Every record of the run has to come by, once.
    pub fn take(&mut self, fold: &mut Fold, entry: &Entry) {
        let before = *fold.counts();
        let another = match entry.plan() {
            Some(PlanRecord::Opened(opened)) => fold.is_another(opened),
            Some(_) | None => false,
        };
        entry.fold_into(fold);
        if another {
            *self = Worked::default();
        }
        let queue = fold.opening().map(|opening| &opening.record.job.queue);
        if queue != Some(&entry.queue) {
            return;
        }
        self.from.get_or_insert(entry.at);
        let fence = Fence(entry.sequence);
        match &entry.record {
            Ok(Record::Plan(PlanRecord::Wave(_) | PlanRecord::Opened(_))) => {
                self.remember(fence, entry.at);
            }
            Ok(Record::Takeover(takeover)) => {
                self.remember(fence, entry.at);
                let counted = Span::between(&before, fold.counts());
                let taken_over = Span {
                    taken_over: counted.taken_over,
                    ..Span::default()
                };
                if counted.taken_over > 0 {
                    self.note(takeover.session, (entry.at, entry.at), taken_over);
                }
            }
            Ok(Record::Work(work)) => {
                if let Some(since) = self.out_since(work) {
                    let counted = Span::between(&before, fold.counts());
                    let (session, _) = work.signature();
                    self.note(session, (since.min(entry.at), entry.at), counted);
                }
            }
            Ok(Record::Plan(_)) | Err(_) => {}
        }
    }

    fn remember(&mut self, fence: Fence, at: UnixMs) {
        self.fences.insert(fence, at);
        if self.fences.len() > FENCES_MAX {
            self.fences.pop_first();
        }
    }

    /// Since when the first of what this tells of was out, as far as is known. `None`: it tells of nothing.
    fn out_since(&self, work: &WorkRecord) -> Option<UnixMs> {
        let fence = match work {
            WorkRecord::Outcomes { block, .. } => {
                let told = outcomes::decode(block).ok()?;
                told.iter().map(|told| told.fence).min()?
            }
            WorkRecord::Probed(probed) => probed.fence,
            WorkRecord::Started { fence, .. } => *fence,
            WorkRecord::Returned { .. } => return None,
        };
        Some(self.fences.get(&fence).copied().unwrap_or(UnixMs(u64::MAX)))
    }

    fn note(&mut self, session: Session, (since, at): (UnixMs, UnixMs), counted: Span) {
        let last = self.place(at);
        let first = self.place(since).min(last);
        let share = self.share(session);
        share.last = share.last.max(at);
        if share.spans.len() <= last {
            share.spans.resize(last + 1, Span::default());
        }
        for span in &mut share.spans[first..=last] {
            span.held = true;
        }
        share.spans[last].add(counted);
    }

    /// In which span a moment is; they get longer until it is in one.
    fn place(&mut self, at: UnixMs) -> usize {
        let age = at.0.saturating_sub(self.from.unwrap_or(at).0);
        while age / self.span_ms >= SPANS_MAX as u64 {
            self.span_ms *= 2;
            let shares = self.shares.values_mut();
            shares
                .chain([&mut self.joined])
                .for_each(Share::take_two_as_one);
        }
        (age / self.span_ms) as usize
    }

    fn share(&mut self, session: Session) -> &mut Share {
        if self.joined_sessions.contains(&session) {
            return &mut self.joined;
        }
        if !self.shares.contains_key(&session) && self.shares.len() >= SESSIONS_MAX {
            let longest_silent = self.shares.iter().min_by_key(|(_, share)| share.last);
            if let Some(session) = longest_silent.map(|(session, _)| *session)
                && let Some(share) = self.shares.remove(&session)
            {
                self.join(session, &share);
            }
        }
        self.shares.entry(session).or_default()
    }

    fn join(&mut self, session: Session, share: &Share) {
        self.joined.join(share);
        if self.joined_sessions.len() < JOINED_MAX {
            self.joined_sessions.insert(session);
        }
    }

    /// How much memory it takes, about.
    pub fn memory(&self) -> usize {
        let spans: usize = self.shares.values().map(|share| share.spans.len()).sum();
        let joined = self.joined_sessions.len() * 2 * size_of::<Session>();
        let fences = self.fences.len() * 2 * size_of::<(Fence, UnixMs)>();
        spans * size_of::<Span>() + joined + fences
    }

    /// What is told of the run, which adds up to `fold`: to its end, or until `now`. Those who did most are told apart.
    pub fn told(
        &self,
        fold: &Fold,
        now: UnixMs,
        registered: &BTreeMap<Session, Registered>,
    ) -> RunWork {
        let mut all = self.clone();
        let last = all.shares.values().map(|share| share.last).max();
        let end = fold
            .closing()
            .map_or(now, |(at, _)| *at)
            .max(last.unwrap_or_default());
        let spans = all.place(end) + 1;
        let mut shares: Vec<(Session, Share)> =
            std::mem::take(&mut all.shares).into_iter().collect();
        for (session, share) in &mut shares {
            if let Some(worker) = registered.get(session) {
                let started = all.place(worker.started_at.min(end));
                share.held_from(started);
            }
        }
        shares.sort_by_cached_key(|(session, share)| (std::cmp::Reverse(share.work()), *session));
        for (session, share) in shares.drain(WORKERS_MAX.min(shares.len())..) {
            all.join(session, &share);
        }
        shares.sort_by_cached_key(|(session, share)| (share.first(), *session));
        let mut workers: Vec<WorkerShare> = shares
            .iter()
            .map(|(session, share)| WorkerShare {
                session: Some(session.to_string()),
                worker: registered.get(session).map(|it| it.worker.clone()),
                ..share.told(1)
            })
            .collect();
        if !all.joined_sessions.is_empty() {
            workers.push(all.joined.told(all.joined_sessions.len() as u32));
        }
        RunWork {
            at: fold.position(),
            from: all.from.unwrap_or(now).rfc3339(),
            span_ms: all.span_ms,
            spans: spans as u32,
            workers,
        }
    }
}

/// What somebody did, span by span.
#[derive(Clone, Debug, Default)]
struct Share {
    spans: Vec<Span>,
    /// When it said something last.
    last: UnixMs,
}

/// What somebody did in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    done: u32,
    failed: u32,
    taken_over: u32,
    /// Whether something was out that it told of.
    held: bool,
}

impl Span {
    /// What a record has changed.
    fn between(before: &Counts, after: &Counts) -> Span {
        let more = |of: fn(&Counts) -> u64| {
            let more = of(after).saturating_sub(of(before));
            u32::try_from(more).unwrap_or(u32::MAX)
        };
        Span {
            done: more(|counts| counts.done),
            failed: more(|counts| counts.failures + counts.held),
            taken_over: more(|counts| counts.taken_over),
            held: false,
        }
    }

    fn add(&mut self, other: Span) {
        self.done = self.done.saturating_add(other.done);
        self.failed = self.failed.saturating_add(other.failed);
        self.taken_over = self.taken_over.saturating_add(other.taken_over);
        self.held |= other.held;
    }
}

impl Share {
    fn take_two_as_one(&mut self) {
        let joined = self.spans.chunks(2).map(|two| {
            let mut all = Span::default();
            two.iter().for_each(|span| all.add(*span));
            all
        });
        self.spans = joined.collect();
    }

    fn join(&mut self, other: &Share) {
        let most = self.spans.len().max(other.spans.len());
        self.spans.resize(most, Span::default());
        for (span, more) in self.spans.iter_mut().zip(&other.spans) {
            span.add(*more);
        }
        self.last = self.last.max(other.last);
    }

    /// It can have held nothing before it began.
    fn held_from(&mut self, first: usize) {
        let out = Span {
            held: true,
            ..Span::default()
        };
        let before = self.spans.iter_mut().take(first);
        before
            .filter(|span| **span == out)
            .for_each(|span| span.held = false);
    }

    fn sum(&self, of: impl Fn(&Span) -> u32) -> u64 {
        self.spans.iter().map(|span| u64::from(of(span))).sum()
    }

    fn work(&self) -> u64 {
        self.sum(|span| span.done) + self.sum(|span| span.failed) + self.sum(|span| span.taken_over)
    }

    fn first(&self) -> usize {
        let first = self.spans.iter().position(|span| *span != Span::default());
        first.unwrap_or(self.spans.len())
    }

    /// Span and number of those where there is one.
    fn some(&self, of: impl Fn(&Span) -> u32) -> Vec<u32> {
        let numbers = self.spans.iter().map(of).zip(0_u32..);
        let some = numbers.filter(|(number, _)| *number > 0);
        some.flat_map(|(number, place)| [place, number]).collect()
    }

    fn told(&self, sessions: u32) -> WorkerShare {
        let first = self.first();
        let mut held: Vec<u32> = vec![0];
        for span in &self.spans[first..] {
            // In turn, beginning with those in which something was out.
            if span.held == held.len().is_multiple_of(2) {
                held.push(0);
            }
            if let Some(last) = held.last_mut() {
                *last += 1;
            }
        }
        WorkerShare {
            session: None,
            worker: None,
            sessions,
            done: self.sum(|span| span.done),
            failed: self.sum(|span| span.failed),
            taken_over: self.sum(|span| span.taken_over),
            first: first as u32,
            commits: self.spans[first..].iter().map(|span| span.done).collect(),
            failures: self.some(|span| span.failed),
            takeovers: self.some(|span| span.taken_over),
            held,
        }
    }
}

#[cfg(test)]
mod tests;
