//! How a process begins: it is started as a worker starts a child, connects, and says hello.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use serde_json::Value;
use tokio::runtime::Handle;

use super::{Engine, GRACE, RUNS_MAX, Start, WORKER, said};
use crate::bridge::conformance::answer::{Fault, cut, ensure, fault};
use crate::bridge::conformance::wire::{Came, Wire};
use crate::bridge::conformance::{Kind, Program, WROTE_MAX};
use crate::bridge::entrance::Listener;
use crate::bridge::heard::Heard;
use crate::bridge::plan::{Introduced, Plan};
use crate::bridge::process::Process;
use crate::bridge::said::Said;
use crate::guarded::end;

impl Engine {
    /// Starts the program and hears its hello.
    pub(in crate::bridge::conformance) fn start(
        program: &Program,
        start: &Start,
        handle: &Handle,
    ) -> Result<Engine, Fault> {
        let opened = handle.block_on(Listener::open(start.kind));
        let (listener, address) = opened.map_err(|error| {
            Fault::Cannot(format!("no socket of this kind here: {}", chain(&error)))
        })?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        let plan = Plan {
            guard: program.guard.clone(),
            program: program.program.clone(),
            args: program.args.clone(),
            processes: 1,
            slots: start.slots,
            hello_within: program.within,
            grace: GRACE,
            tcp: start.kind != Kind::Unix,
            worker: WORKER.to_owned(),
        };
        let at = (address.text(), token.as_str());
        let process = handle.block_on(Process::start(&plan, 0, at, Boot::now() + RUNS_MAX));
        let process = process.map_err(|error| {
            fault(
                "a process that is started",
                format!("failed to start it: {}", chain(&error)),
            )
        })?;
        let mut engine = Engine {
            handle: handle.clone(),
            within: program.within,
            process: Some(process),
            wire: None,
            address: Some(address),
            token,
            hello: Value::Null,
            next: 1,
            open: BTreeSet::new(),
            answered: BTreeMap::new(),
            frames: 0,
            progress: Vec::new(),
            said_bye: false,
            drained: false,
            wrote: String::new(),
            note: None,
        };
        let begun = engine.accept(&listener).and_then(|()| engine.hear_hello());
        let begun = begun.and_then(|()| match start.welcomed {
            true => engine.say(&engine.welcome()),
            false => Ok(()),
        });
        match begun {
            Ok(()) => Ok(engine),
            Err(fault) => Err(engine.in_vain(fault)),
        }
    }

    /// It did not come as far as its hello: what it wrote says most of why.
    fn in_vain(&mut self, fault: Fault) -> Fault {
        let wrote = self.end();
        match fault {
            Fault::Other {
                expected,
                came,
                clause,
            } => Fault::Other {
                expected,
                came: match wrote.as_str() {
                    "" => came,
                    wrote => format!("{came}; it wrote: {}", end(wrote, WROTE_MAX)),
                },
                clause: clause.or(Some("§4 hello")),
            },
            cannot @ Fault::Cannot(_) => cannot,
        }
    }

    fn accept(&mut self, listener: &Listener) -> Result<(), Fault> {
        let within = self.within;
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let come = self.handle.block_on(async {
            tokio::select! {
                ends = listener.accept() => Some(ends),
                () = process.gone() => None,
                () = tokio::time::sleep(within) => Some(Err(std::io::ErrorKind::TimedOut.into())),
            }
        });
        let expected = format!("a connection to GRIDLOOM_SOCKET within {within:?}");
        match come {
            Some(Ok(ends)) => {
                self.wire = Some(Wire::new(ends, &self.handle));
                Ok(())
            }
            Some(Err(_)) => Err(fault(expected, "none").by("§1 Variables")),
            None => {
                let ending = self.ended(Duration::ZERO)?;
                Err(
                    fault(expected, format!("its process ended before: {ending}"))
                        .by("§1 Variables"),
                )
            }
        }
    }

    fn hear_hello(&mut self) -> Result<(), Fault> {
        let bytes = match self.look(self.within) {
            Came::Frame(bytes) => bytes,
            Came::Broken(how) => return Err(fault("hello", how).by("§2")),
            Came::Closed => return Err(fault("hello", "the connection was closed")),
            Came::Nothing => {
                return Err(fault(format!("hello within {:?}", self.within), "nothing"));
            }
        };
        let told = String::from_utf8_lossy(&bytes).into_owned();
        let heard = Heard::read(&bytes).map_err(|error| fault("hello", chain(&error)))?;
        let Heard::Hello(hello) = heard else {
            return Err(fault("hello, before anything else", cut(&told)));
        };
        let token = hello.token.clone();
        ensure(
            token.as_ref() == Some(&self.token),
            "hello with the token of GRIDLOOM_TOKEN",
            || format!("the token {token:?}"),
        )?;
        Introduced::of(hello)
            .map_err(|error| fault("hello of a child that will do", chain(&error)))?;
        self.hello = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(())
    }

    /// What a worker says to a child that will do.
    pub(in crate::bridge::conformance) fn welcome(&self) -> Value {
        said(&Said::Welcome {
            protocol: 1,
            worker: WORKER,
            grace_ms: GRACE.as_millis() as u64,
        })
    }
}
