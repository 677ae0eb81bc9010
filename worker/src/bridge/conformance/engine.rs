//! What is said to the program that is tested, and which of its answers are in order: each shard is answered once, and no other is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gridloom_shared::chain;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::answer::{Answer, Fault, cut, ensure, fault, short};
use super::stand_in::StandIn;
use super::wire::{Came, Wire};
use super::{Kind, SLACK, SLOTS};
use crate::Trial;
use crate::bridge::entrance::Address;
use crate::bridge::frame::frame;
use crate::bridge::heard::Heard;
use crate::bridge::process::Process;
use crate::bridge::said::Said;

mod begin;
mod parting;

/// How long the process may run in any case: nothing is renewed here, and what is tested ends with this process.
const RUNS_MAX: Duration = Duration::from_secs(3_600);
/// Within which a process ends whose worker is gone (docs/CHILD-PROTOCOL.md §7).
pub(super) const GONE_WITHIN: Duration = Duration::from_secs(1);
/// What a shard gets to end when it is told to stop, and a process after its last answer.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// With what a child ends whose connection ended without `drain` (§9).
pub(super) const GONE: i32 = 70;
/// How often it is looked what the program wrote.
const LOOK: Duration = Duration::from_millis(10);
/// What came of a program that says more than anybody can wait for.
const ENDLESS: &str = "messages without end";
/// The name of the worker that is played.
const WORKER: &str = "sdk-test";

/// How a process is started for a situation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) kind: Kind,
    /// What `GRIDLOOM_SLOTS` says.
    pub(super) slots: Option<u32>,
    /// Whether it is welcomed before the script begins.
    pub(super) welcomed: bool,
    /// Why it is nothing for a program that starts its worker itself.
    pub(super) as_child: Option<&'static str>,
}

/// As most situations begin.
pub(super) const USUAL: Start = Start {
    kind: Kind::Unix,
    slots: Some(SLOTS),
    welcomed: true,
    as_child: None,
};

/// A tile that the program was given.
pub(super) struct Given {
    pub(super) ids: Vec<u64>,
    /// `shard.key` of each.
    pub(super) keys: Vec<String>,
    /// As it was said.
    pub(super) message: Value,
}

/// A program at the other end, and what it has in hand.
pub(super) struct Engine {
    handle: Handle,
    within: Duration,
    process: Option<Process>,
    wire: Option<Wire>,
    address: Option<Address>,
    /// The worker that the program has started, where it is its own main process.
    stand_in: Option<StandIn>,
    token: String,
    hello: Value,
    next: u64,
    open: BTreeSet<u64>,
    answered: BTreeMap<u64, Answer>,
    frames: usize,
    /// Rows so far, as they were told.
    progress: Vec<(u64, u64)>,
    said_bye: bool,
    drained: bool,
    wrote: String,
    note: Option<String>,
}

/// What a look at the connection brought.
enum Next {
    Message,
    Closed,
    Nothing,
}

impl Engine {
    /// What the program said first.
    pub(super) fn hello(&self) -> &Value {
        &self.hello
    }

    /// What the library calls itself.
    pub(super) fn sdk(&self) -> Option<String> {
        self.hello.is_object().then(|| {
            let sdk = self.hello.get("sdk").and_then(Value::as_str);
            sdk.unwrap_or("unknown").to_owned()
        })
    }

    /// A figure that is good to know.
    pub(super) fn note(&mut self, note: String) {
        self.note = Some(note);
    }

    pub(super) fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// How many frames came.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// How long each thing that is awaited may take.
    pub(super) fn within(&self) -> Duration {
        self.within
    }

    /// The message for so many pages of a tile, which the program has from now on.
    pub(super) fn tile(&mut self, trial: &Trial, pages: u32) -> Given {
        let first = self.next;
        self.next += u64::from(pages);
        let ids: Vec<u64> = (first..self.next).collect();
        self.open.extend(&ids);
        let tile = trial.clone().tile(pages).tile_context();
        let numbers: Vec<u32> = (tile.tile.first..).take(pages as usize).collect();
        let message = said(&Said::shards(&tile, &numbers, first));
        let (nonce, slice) = (
            message["nonce"].as_str().unwrap_or_default(),
            &message["slice"],
        );
        let keys = numbers
            .iter()
            .map(|page| format!("{nonce}-{slice}-{page}"))
            .collect();
        Given { ids, keys, message }
    }

    /// Gives it so many pages as a tile.
    pub(super) fn give(&mut self, trial: &Trial, pages: u32) -> Result<Given, Fault> {
        let given = self.tile(trial, pages);
        self.say(&given.message)?;
        Ok(given)
    }

    /// The message for a question, which the program has from now on.
    pub(super) fn probe(&mut self, trial: &Trial) -> (u64, Value) {
        let id = self.next;
        self.next += 1;
        self.open.insert(id);
        let tile = trial.tile_context();
        (id, said(&Said::probe(&tile, tile.tile.first, id)))
    }

    /// Tells it to stop these.
    pub(super) fn stop(&mut self, ids: &[u64], why: &str) -> Result<(), Fault> {
        self.say(&json!({"type": "stop", "ids": ids, "why": why}))
    }

    /// Says a message.
    pub(super) fn say(&mut self, message: &Value) -> Result<(), Fault> {
        let frame =
            frame(message).ok_or_else(|| Fault::Cannot("a message that is too long".to_owned()))?;
        self.send(&frame)
    }

    /// Sends bytes as they are.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let sent = self
            .wire
            .as_mut()
            .is_some_and(|wire| wire.send(bytes, self.within));
        ensure(
            sent,
            format!("{} bytes are read within {:?}", bytes.len(), self.within),
            || "the connection is closed, or nobody reads".to_owned(),
        )
    }

    fn look(&mut self, within: Duration) -> Came {
        self.wire
            .as_mut()
            .map_or(Came::Closed, |wire| wire.next(within))
    }

    fn step(&mut self, within: Duration) -> Result<Next, Fault> {
        match self.look(within) {
            Came::Frame(bytes) => {
                self.frames += 1;
                self.hear(&bytes)?;
                Ok(Next::Message)
            }
            Came::Broken(how) => Err(fault("frames", how).by("§2 Frames")),
            Came::Closed => Ok(Next::Closed),
            Came::Nothing => Ok(Next::Nothing),
        }
    }

    /// Files what was said.
    fn hear(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let heard = Heard::read(bytes).map_err(|error| {
            let told = String::from_utf8_lossy(bytes);
            fault(
                "a message of the protocol",
                format!("{}: {}", chain(&error), cut(&told)),
            )
            .by("§8 Faults")
        })?;
        let said: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let shards = || said["shards"].as_array().cloned().unwrap_or_default();
        match heard {
            Heard::Hello(_) => return Err(fault("no second hello", short(&said)).by("§8 Faults")),
            Heard::Done(_) => {
                for shard in shards() {
                    self.answer_of(id(&shard), Answer::Done(shard))?;
                }
            }
            Heard::Fail(_) => {
                for shard in shards() {
                    self.answer_of(id(&shard), Answer::Failed(shard))?;
                }
            }
            Heard::Stopped(ids) => {
                for id in ids {
                    self.answer_of(id, Answer::Stopped(id))?;
                }
            }
            Heard::Pages(pages) => self.answer_of(pages.id, Answer::Pages(said))?,
            Heard::Progress(all) => {
                self.progress
                    .extend(all.iter().map(|one| (one.id, one.rows)));
            }
            Heard::Bye => self.said_bye = true,
            Heard::Unknown => {}
        }
        Ok(())
    }

    fn answer_of(&mut self, id: u64, answer: Answer) -> Result<(), Fault> {
        if self.open.remove(&id) {
            self.answered.insert(id, answer);
            return Ok(());
        }
        let why = match id < self.next {
            true => "which was answered before",
            false => "which it was never given",
        };
        Err(fault(
            "one answer for each shard that it has",
            format!("{answer} of shard {id}, {why}"),
        )
        .by("§8 Faults"))
    }

    /// Reads on until there is one.
    pub(super) fn until<T>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&mut Engine) -> Option<T>,
    ) -> Result<T, Fault> {
        let end = Instant::now() + self.within;
        loop {
            if let Some(found) = found(self) {
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.step(left.min(LOOK))? {
                Next::Message if floods(end) => {
                    let expected = format!("{what} within {:?}", self.within);
                    return Err(fault(expected, ENDLESS));
                }
                Next::Message => {}
                Next::Closed => return Err(fault(what, "the connection was closed")),
                Next::Nothing if left.is_zero() => {
                    return Err(fault(
                        format!("{what} within {:?}", self.within),
                        "nothing of the kind",
                    ));
                }
                Next::Nothing => {}
            }
        }
    }

    /// The answer for this shard.
    pub(super) fn answer(&mut self, id: u64) -> Result<Answer, Fault> {
        self.until(&format!("an answer for shard {id}"), |engine| {
            engine.answered.remove(&id)
        })
    }

    /// Whether there is one that was not asked for.
    pub(super) fn has_answered(&self, id: u64) -> bool {
        self.answered.contains_key(&id)
    }

    /// The answers of a tile, in its order.
    pub(super) fn answers(&mut self, given: &Given) -> Result<Vec<Answer>, Fault> {
        given.ids.iter().map(|id| self.answer(*id)).collect()
    }

    /// Gives it a tile of one page; the answer.
    pub(super) fn run(&mut self, trial: &Trial) -> Result<Answer, Fault> {
        let given = self.give(trial, 1)?;
        self.answer(given.ids[0])
    }

    /// Asks for pages; the answer.
    pub(super) fn ask(&mut self, trial: &Trial) -> Result<Answer, Fault> {
        let (id, message) = self.probe(trial);
        self.say(&message)?;
        self.answer(id)
    }

    /// Waits until the program has written this line.
    pub(super) fn wrote(&mut self, line: &str) -> Result<(), Fault> {
        let what = format!("the line {line:?} on its standard output");
        self.until(&what, |engine| engine.has_written(line).then_some(()))
    }

    /// Whether the program has written this line.
    pub(super) fn has_written(&self, line: &str) -> bool {
        self.words()
            .lines()
            .any(|written| written.trim_end() == line)
    }

    /// The end of what it wrote.
    pub(super) fn words(&self) -> String {
        match &self.process {
            Some(process) => process.voice().last_words(),
            None => self.wrote.clone(),
        }
    }

    /// The rows that were told of this shard so far, first to last.
    pub(super) fn told(&self, id: u64) -> Vec<u64> {
        let told = self.progress.iter().filter(|(other, _)| *other == id);
        told.map(|(_, rows)| *rows).collect()
    }

    /// Whether it said that it wants nothing more.
    pub(super) fn said_bye(&self) -> bool {
        self.said_bye
    }

    /// Nothing more may be answered for so long: it would be for what was answered.
    pub(super) fn quiet(&mut self, span: Duration) -> Result<(), Fault> {
        let end = Instant::now() + span;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.step(left)? {
                Next::Message if floods(end) => return Ok(()),
                Next::Message => {}
                Next::Nothing => return Ok(()),
                Next::Closed => return Err(fault("it goes on", "the connection was closed")),
            }
        }
    }
}

/// Whether whoever still says something at a limit does so without end. What had come in time may wait to be looked at.
fn floods(limit: Instant) -> bool {
    Instant::now() > limit + SLACK
}

/// A message as it is written.
fn said(said: &Said<'_>) -> Value {
    serde_json::to_value(said).unwrap_or_default()
}

fn id(shard: &Value) -> u64 {
    shard["id"].as_u64().unwrap_or_default()
}
