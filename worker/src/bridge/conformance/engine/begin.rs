//! How a process begins: it is started as a worker starts a child and connects, or as a program that starts its worker; then it says hello.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::Duration;

use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use serde_json::Value;
use tokio::runtime::Handle;

use super::{Engine, GRACE, RUNS_MAX, Start, WORKER, said};
use crate::bridge::attach::connect;
use crate::bridge::conformance::answer::{Fault, cut, ensure, fault};
use crate::bridge::conformance::stand_in::{Called, StandIn};
use crate::bridge::conformance::wire::{Came, Wire};
use crate::bridge::conformance::{Kind, Program, SLOTS, WROTE_MAX};
use crate::bridge::entrance::{Ends, Listener};
use crate::bridge::heard::Heard;
use crate::bridge::plan::{Introduced, Plan};
use crate::bridge::process::Process;
use crate::bridge::said::{PROTOCOL, Said};
use crate::guarded::end;

impl Engine {
    /// Starts the program and hears its hello.
    pub(in crate::bridge::conformance) fn start(
        program: &Program,
        start: &Start,
        handle: &Handle,
    ) -> Result<Engine, Fault> {
        let mut engine = Engine {
            handle: handle.clone(),
            within: program.within,
            process: None,
            wire: None,
            address: None,
            stand_in: None,
            token: uuid::Uuid::new_v4().simple().to_string(),
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
        let begun = match program.attached {
            false => engine.begin_as_child(program, start),
            true => engine.begin_attached(program),
        };
        let begun = begun.and_then(|()| engine.hear_hello(program.attached));
        let begun = begun.and_then(|()| match start.welcomed {
            true => engine.say(&engine.welcome()),
            false => Ok(()),
        });
        match begun {
            Ok(()) => Ok(engine),
            Err(fault) => Err(engine.in_vain(fault)),
        }
    }

    /// It is a child, and connects.
    fn begin_as_child(&mut self, program: &Program, start: &Start) -> Result<(), Fault> {
        let opened = self.handle.block_on(Listener::open(start.kind));
        let (listener, address) = opened.map_err(|error| {
            Fault::Cannot(format!("no socket of this kind here: {}", chain(&error)))
        })?;
        let plan = Plan {
            slots: start.slots,
            tcp: start.kind != Kind::Unix,
            ..plan(program)
        };
        let variables = plan.variables(0, (address.text(), &self.token));
        self.run_program(&plan, &variables)?;
        self.address = Some(address);
        self.accept(&listener)
    }

    /// It is its own main process and starts its worker, which connects to it and says who it is.
    fn begin_attached(&mut self, program: &Program) -> Result<(), Fault> {
        let stand_in = StandIn::make().map_err(|error| {
            Fault::Cannot(format!("no stand-in for a worker here: {}", chain(&error)))
        })?;
        // Nothing of a child's: a library would take it for a copy of one.
        let slots = SLOTS.to_string().into();
        let variables = [("PATH", stand_in.path()), ("SDK_TEST_SLOTS", slots)];
        self.run_program(&plan(program), &variables)?;
        let (called, ends) = self.called(&stand_in)?;
        self.stand_in = Some(stand_in);
        let first = called.args.split(' ').take(2).collect::<Vec<_>>();
        ensure(
            first == ["worker", "--attach"],
            "a start of `gridloom worker --attach`",
            || format!("gridloom {}", called.args),
        )?;
        self.wire = Some(Wire::new(ends, &self.handle));
        self.token = called.token;
        self.say(&said(&Said::Attach {
            protocol: PROTOCOL,
            token: &self.token,
            worker: WORKER,
        }))
    }

    /// How it started its worker, and the connection that this one makes.
    fn called(&mut self, stand_in: &StandIn) -> Result<(Called, Ends), Fault> {
        let within = self.within;
        let Some(process) = &mut self.process else {
            return Err(fault("a process", "none"));
        };
        let called = self.handle.block_on(async {
            tokio::select! {
                called = stand_in.called() => Some(called),
                () = process.gone() => None,
                () = tokio::time::sleep(within) => None,
            }
        });
        let expected = format!("that it starts the gridloom of its PATH within {within:?}");
        let Some(called) = called else {
            return Err(fault(expected, "nothing of the kind").by("§1 attach"));
        };
        let connected = self.handle.block_on(connect(&called.socket));
        let ends = connected.map_err(|cause| {
            let wanted = "a program that listens at GRIDLOOM_SOCKET";
            fault(wanted, format!("{:?}: {cause}", called.socket)).by("§1 Variables")
        })?;
        Ok((called, ends))
    }

    fn run_program(&mut self, plan: &Plan, variables: &[(&str, OsString)]) -> Result<(), Fault> {
        let until = Boot::now() + RUNS_MAX;
        let process = self
            .handle
            .block_on(Process::start(plan, 0, variables, until));
        let process = process.map_err(|error| {
            fault(
                "a process that is started",
                format!("failed to start it: {}", chain(&error)),
            )
        })?;
        self.process = Some(process);
        Ok(())
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

    fn hear_hello(&mut self, attached: bool) -> Result<(), Fault> {
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
        // Where the worker has said it, it need not.
        ensure(
            attached || token.as_ref() == Some(&self.token),
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

/// As a program is run where nothing else is said.
fn plan(program: &Program) -> Plan {
    Plan {
        guard: program.guard.clone(),
        program: program.program.clone(),
        args: program.args.clone(),
        processes: 1,
        slots: None,
        hello_within: program.within,
        grace: GRACE,
        tcp: false,
        worker: WORKER.to_owned(),
    }
}
