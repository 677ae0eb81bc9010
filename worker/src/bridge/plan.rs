//! What children a worker has: their program, how many, and how patient it is with them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use gridloom_shared::chain;
use gridloom_shared::id::HandlerName;

use super::heard::Hello;
use super::said::PROTOCOL;

/// Most children of one worker.
pub const PROCESSES_MAX: u32 = 256;
/// Most slots of one child.
pub const CHILD_SLOTS_MAX: u32 = 10_000;
/// How long a child may take until it has said who it is, unless something else is said: interpreters and virtual
/// machines load for a while.
pub const HELLO_WITHIN_DEFAULT: Duration = Duration::from_secs(30);
/// How long a shard of a child may take to end when it is told to stop, unless something else is said. Short enough for a lost lease of the usual
/// 30 s: the tenth that is kept of it for the drift of clocks is three.
pub const CHILD_GRACE_DEFAULT: Duration = Duration::from_secs(2);
/// Most handlers of a child.
const HANDLERS_MAX: usize = 64;
/// Longest name of a child's library that is repeated, in bytes.
const SDK_MAX: usize = 64;

/// How children are started, and how patient the worker is with them.
#[derive(Clone)]
pub struct Plan {
    /// A `gridloom` executable: its hidden `guard` command runs the children.
    pub guard: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// How many children.
    pub processes: u32,
    /// How many tiles each is to run at once; where nothing is said it says so itself.
    pub slots: Option<u32>,
    /// How long one may take until it has said who it is.
    pub hello_within: Duration,
    /// How long a shard may take to end when it is told to stop.
    pub grace: Duration,
    /// Whether children connect over loopback TCP: for languages without Unix sockets.
    pub tcp: bool,
    /// The name of the worker.
    pub worker: String,
}

impl Plan {
    /// What child `number` is told, which is to connect there with this token (docs/CHILD-PROTOCOL.md §1).
    pub(super) fn variables(
        &self,
        number: u32,
        (socket, token): (&str, &str),
    ) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![
            ("GRIDLOOM_SOCKET", socket.into()),
            ("GRIDLOOM_TOKEN", token.into()),
            ("GRIDLOOM_PROCESS", number.to_string().into()),
            ("GRIDLOOM_WORKER", self.worker.clone().into()),
        ];
        variables.extend(
            self.slots
                .map(|slots| ("GRIDLOOM_SLOTS", slots.to_string().into())),
        );
        variables
    }
}

/// Without arguments: there may be a password among them.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("processes", &self.processes)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

/// Who a child is, as it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Introduced {
    pub(super) protocol: u32,
    pub(super) sdk: String,
    pub(super) handlers: BTreeSet<HandlerName>,
    pub(super) probes: BTreeSet<HandlerName>,
    pub(super) slots: u32,
}

/// Why a child will not do. The text says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HelloError {
    #[error(
        "it speaks version {lowest} to {highest} of the child protocol, this worker {} to {}: {advice}",
        PROTOCOL.0, PROTOCOL.1
    )]
    Version {
        lowest: u32,
        highest: u32,
        advice: &'static str,
    },
    #[error(
        "it names {0} handlers: 1 to {HANDLERS_MAX} are possible, in several workers if there are more"
    )]
    Handlers(usize),
    #[error("it names a handler by what is no name: {0}")]
    Name(String),
    #[error("it names handler {0:?} twice")]
    Twice(String),
    #[error("it answers probes for {0:?}, which is none of its handlers")]
    Probe(String),
    #[error("it has {0} slots: 1 to {CHILD_SLOTS_MAX} are possible")]
    Slots(u32),
    #[error(
        "it has other handlers than the children before it ({before}): {now}; restart the worker for new ones"
    )]
    Other { before: String, now: String },
}

impl Introduced {
    /// What a hello says.
    ///
    /// # Errors
    /// When such a child will not do.
    pub(super) fn of(hello: Hello) -> Result<Introduced, HelloError> {
        let (lowest, highest) = hello.protocol;
        let protocol = highest.min(PROTOCOL.1);
        if protocol < lowest.max(PROTOCOL.0) {
            let advice = if lowest > PROTOCOL.1 {
                "upgrade the worker"
            } else {
                "upgrade its library"
            };
            return Err(HelloError::Version {
                lowest,
                highest,
                advice,
            });
        }
        let count = hello.handlers.len();
        if !(1..=HANDLERS_MAX).contains(&count) {
            return Err(HelloError::Handlers(count));
        }
        let handlers = names(hello.handlers)?;
        let probes = names(hello.probes.unwrap_or_default())?;
        if let Some(stranger) = probes.difference(&handlers).next() {
            return Err(HelloError::Probe(stranger.to_string()));
        }
        let slots = hello.slots.unwrap_or(1);
        if !(1..=CHILD_SLOTS_MAX).contains(&slots) {
            return Err(HelloError::Slots(slots));
        }
        let mut sdk = hello.sdk.unwrap_or_else(|| "unknown".to_owned());
        sdk.truncate(sdk.floor_char_boundary(SDK_MAX));
        Ok(Introduced {
            protocol,
            sdk,
            handlers,
            probes,
            slots,
        })
    }

    /// Whether this one can stand beside another, which was there first.
    pub(super) fn beside(&self, first: &Introduced) -> Result<(), HelloError> {
        if (&self.handlers, &self.probes) == (&first.handlers, &first.probes) {
            return Ok(());
        }
        Err(HelloError::Other {
            before: first.listed(),
            now: self.listed(),
        })
    }

    /// Its handlers, for people.
    pub(super) fn listed(&self) -> String {
        let names = self
            .handlers
            .iter()
            .map(|name| match self.probes.contains(name) {
                true => format!("{name} with a probe"),
                false => name.to_string(),
            });
        names.collect::<Vec<_>>().join(", ")
    }
}

fn names(named: Vec<String>) -> Result<BTreeSet<HandlerName>, HelloError> {
    let mut names = BTreeSet::new();
    for name in named {
        let name =
            HandlerName::new(name).map_err(|error| HelloError::Name(chain(&error).to_string()))?;
        if let Some(twice) = names.replace(name) {
            return Err(HelloError::Twice(twice.to_string()));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            protocol: (1, 1),
            token: None,
            sdk: None,
            handlers: vec!["a".to_owned(), "b".to_owned()],
            probes: None,
            slots: None,
        }
    }

    #[test]
    fn child_that_says_the_least_has_a_slot_and_no_probe() {
        let one = Introduced::of(hello()).unwrap();
        assert_eq!((one.protocol, one.slots, one.probes.len()), (1, 1, 0));
        let newer = Hello {
            protocol: (1, 9),
            ..hello()
        };
        assert_eq!(Introduced::of(newer).unwrap().protocol, 1);
    }

    #[test]
    fn child_that_will_not_do_is_told_what_to_change() {
        let refused = |hello| Introduced::of(hello).unwrap_err();
        let newer = refused(Hello {
            protocol: (2, 3),
            ..hello()
        });
        assert!(newer.to_string().contains("upgrade the worker"), "{newer}");
        let older = refused(Hello {
            protocol: (0, 0),
            ..hello()
        });
        assert!(older.to_string().contains("upgrade its library"), "{older}");
        for (hello, error) in [
            (
                Hello {
                    handlers: Vec::new(),
                    ..hello()
                },
                HelloError::Handlers(0),
            ),
            (
                Hello {
                    slots: Some(0),
                    ..hello()
                },
                HelloError::Slots(0),
            ),
            (
                Hello {
                    probes: Some(vec!["c".to_owned()]),
                    ..hello()
                },
                HelloError::Probe("c".to_owned()),
            ),
            (
                Hello {
                    handlers: vec!["a".to_owned(); 2],
                    ..hello()
                },
                HelloError::Twice("a".to_owned()),
            ),
        ] {
            assert_eq!(refused(hello), error);
        }
        let bad = Hello {
            handlers: vec!["no such.name".to_owned()],
            ..hello()
        };
        assert!(matches!(refused(bad), HelloError::Name(_)));
    }

    #[test]
    fn children_of_a_worker_have_the_same_handlers_in_any_order() {
        let first = Introduced::of(hello()).unwrap();
        let turned = Hello {
            handlers: vec!["b".to_owned(), "a".to_owned()],
            slots: Some(7),
            ..hello()
        };
        assert_eq!(Introduced::of(turned).unwrap().beside(&first), Ok(()));
        let more = Hello {
            probes: Some(vec!["a".to_owned()]),
            ..hello()
        };
        let fault = Introduced::of(more).unwrap().beside(&first).unwrap_err();
        assert!(fault.to_string().contains("a with a probe"), "{fault}");
    }
}
