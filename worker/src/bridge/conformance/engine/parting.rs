//! How a process ends: told so, by itself, or because its worker is gone.

use std::time::{Duration, Instant};

use super::{ENDLESS, Engine, GONE, GONE_WITHIN, GRACE, LOOK, Next, floods, said};
use crate::bridge::conformance::SLACK;
use crate::bridge::conformance::answer::{Fault, ensure, fault};
use crate::bridge::process::Ended;
use crate::bridge::said::Said;
use crate::guarded::Ending;

impl Engine {
    /// Says that nothing more comes.
    pub(in crate::bridge::conformance) fn drain(&mut self) -> Result<(), Fault> {
        self.drained = true;
        self.say(&said(&Said::Drain))
    }

    /// It has answered what it had, closes the connection and ends with 0: what each does in the end that does not end otherwise.
    pub(in crate::bridge::conformance) fn part(&mut self) -> Result<(), Fault> {
        if self.process.is_none() {
            return Ok(());
        }
        if !self.drained {
            self.drain()?;
        }
        let end = Instant::now() + self.within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let came = match self.step(left)? {
                Next::Message if floods(end) => ENDLESS,
                Next::Message => continue,
                Next::Closed => break,
                Next::Nothing => "it is open",
            };
            return Err(fault("the connection closed after drain", came).by("§5 drain"));
        }
        let open = &self.open;
        ensure(
            open.is_empty(),
            "an answer for all that it has, after drain",
            || format!("the connection was closed, without one for {open:?}"),
        )
        .map_err(|fault| fault.by("§5 drain"))?;
        let ending = self.ended(GRACE).map_err(|fault| fault.by("§5 drain"))?;
        ensure(ending == Ending::Code(0), "exit code 0 after drain", || {
            ending.to_string()
        })
        .map_err(|fault| fault.by("§9"))
    }

    /// The connection is gone, as that of a worker is that was killed: the process ends itself, at once.
    pub(in crate::bridge::conformance) fn cut_off(&mut self) -> Result<(), Fault> {
        if let Some(wire) = self.wire.take() {
            wire.close();
        }
        let begun = Instant::now();
        let ending = self.ended(GONE_WITHIN).map_err(|fault| fault.by("§7"))?;
        self.note(format!("ended after {} ms", begun.elapsed().as_millis()));
        ensure(
            ending == Ending::Code(GONE),
            format!("exit code {GONE}"),
            || ending.to_string(),
        )
        .map_err(|fault| fault.by("§9"))
    }

    /// The worker that it started ends when the connection has.
    fn let_worker_go(&mut self) -> Result<(), Fault> {
        let end = Instant::now() + self.within;
        while self.stand_in.is_some() && Instant::now() < end {
            if let Next::Closed = self.step(LOOK)? {
                break;
            }
        }
        let code = u8::from(!self.drained);
        if let Some(stand_in) = &self.stand_in {
            // Where it cannot be told it is killed with the program.
            let _ = stand_in.end(code);
        }
        Ok(())
    }

    /// Waits for the end of its process, so long and what a busy machine adds to that.
    pub(in crate::bridge::conformance) fn ended(
        &mut self,
        limit: Duration,
    ) -> Result<Ending, Fault> {
        self.let_worker_go()?;
        let Some(mut process) = self.process.take() else {
            return Err(fault("a process", "it has ended before"));
        };
        let gone = self
            .handle
            .block_on(async { tokio::time::timeout(limit + SLACK, process.gone()).await });
        let Ended { ending, said } = self.handle.block_on(process.end());
        self.wrote = said;
        match gone {
            Ok(()) => Ok(ending),
            Err(_) => Err(fault(
                format!("the end of its process within {limit:?}"),
                "it runs on",
            )),
        }
    }

    /// Ends whatever is left of it; the end of what it wrote.
    pub(in crate::bridge::conformance) fn end(&mut self) -> String {
        if let Some(process) = self.process.take() {
            self.wrote = self.handle.block_on(process.end()).said;
        }
        if let Some(wire) = self.wire.take() {
            wire.close();
        }
        (self.address, self.stand_in) = (None, None);
        std::mem::take(&mut self.wrote)
    }
}
