//! The worker's end of the child protocol without a worker: plays scripted situations with a program, and says of each whether its library
//! answers as docs/CHILD-PROTOCOL.md has it. What the program has to be is docs/SDK-TEST.md.
//!
//! A program may be tested as a child of the worker, and as one that starts its worker itself: then it starts a stand-in.
//!
//! Each situation has a process of its own, under a guard as in a worker, and frames are written and read by what a worker writes and reads
//! them with. It decides nothing of the protocol: where a rule is to be read, it names the clause.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `engine` | what is said to the program, and which of its answers are in order |
//! | `stand_in` | what a program finds that starts its worker itself |
//! | `wire` | bytes, as they are cut and as they come |
//! | `answer` | what an answer has to be |
//! | `situations` | what is played |

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::entrance::Kind;
use crate::guarded::end;
use answer::Fault;
use engine::{Engine, Start};

mod answer;
mod engine;
mod situations;
mod stand_in;
mod wire;

pub use situations::all;

/// Most of what a program wrote that is told with a fault, in bytes.
const WROTE_MAX: usize = 2_000;
/// What a busy machine may add to a limit until it is seen here.
const SLACK: Duration = Duration::from_secs(2);
/// How many slots a program is given where nothing else is said.
const SLOTS: u32 = 3;

/// One scripted situation.
pub struct Situation {
    /// What it is called: words of `a-z`, `0-9` and `-`.
    pub name: &'static str,
    /// The place in docs/CHILD-PROTOCOL.md that it is about: `§` and the number of a chapter, and the message or a word of it.
    pub clause: &'static str,
    /// What holds there, for people.
    pub about: &'static str,
    start: Start,
    script: fn(&mut Engine) -> Result<(), Fault>,
}

impl std::fmt::Debug for Situation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Situation")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The program that is tested.
#[derive(Clone)]
pub struct Program {
    /// A `gridloom` executable: its hidden `guard` command runs the program.
    pub guard: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// How long each thing that is awaited may take.
    pub within: Duration,
    /// Whether it is its own main process, and starts its worker.
    pub attached: bool,
}

/// Without arguments: there may be a password among them.
impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// How a situation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Ok,
    /// It could not be played on this machine; the text says why.
    Skipped(String),
    /// Otherwise.
    Failed {
        /// What should have come.
        expected: String,
        /// What came.
        came: String,
        /// The place that says so.
        clause: &'static str,
    },
}

/// A situation that was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// What the library calls itself, where it came so far.
    pub sdk: Option<String>,
    /// A figure that is good to know.
    pub note: Option<String>,
    /// The end of what the program wrote.
    pub wrote: String,
}

impl Situation {
    /// Plays it with a program. Blocks; `handle` is of a runtime with clocks and sockets.
    pub fn play(&self, program: &Program, handle: &Handle) -> Played {
        let begun = Instant::now();
        let mut played = Played {
            outcome: Outcome::Ok,
            took: Duration::ZERO,
            sdk: None,
            note: None,
            wrote: String::new(),
        };
        if let Some(why) = self.start.as_child.filter(|_| program.attached) {
            played.outcome = Outcome::Skipped(why.to_owned());
            return played;
        }
        let ended = Engine::start(program, &self.start, handle).and_then(|mut engine| {
            let ended = (self.script)(&mut engine).and_then(|()| engine.part());
            (played.sdk, played.note) = (engine.sdk(), engine.take_note());
            let wrote = engine.end();
            played.wrote = end(&wrote, WROTE_MAX);
            ended
        });
        played.outcome = match ended {
            Ok(()) => Outcome::Ok,
            Err(Fault::Cannot(why)) => Outcome::Skipped(why),
            Err(Fault::Other {
                expected,
                came,
                clause,
            }) => Outcome::Failed {
                expected,
                came,
                clause: clause.unwrap_or(self.clause),
            },
        };
        played.took = begun.elapsed();
        played
    }
}
