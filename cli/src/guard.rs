//! Decides when a child process must go: the hidden `gridloom guard` command.
//!
//! It runs one program in a process group of its own and kills that whole group as soon as the pipe
//! to its own parent closes, which happens however the parent ended, SIGKILL included. It knows
//! nothing of brokers and jobs, starts nothing else, and never restarts the program.
//!
//! ```text
//! gridloom guard [--grace-ms N] [--pid-file PATH] [--dir DIR] [--report] [--] PROGRAM [ARGS...]
//! ```
//!
//! **Protocol.** Standard input is the *lifeline*. The parent writes a line, `N\n` with N a decimal
//! number of at most [`PAYLOAD_LIMIT`], then N bytes, and then holds the pipe open. The program
//! receives exactly those bytes on its standard input, then its end; with N = 0 its standard input
//! is `/dev/null`. The *end* of the pipe orders the stop. Standard output and error are the guard's own,
//! passed on.
//!
//! **Lease.** The length line may be `N UNTIL\n`: then the program may run until that moment on the boot
//! clock, in microseconds, and each line `UNTIL\n` after the payload says so anew: the last one counts, also where it is
//! sooner than the one before it. At its end the group gets SIGKILL: a parent that is frozen can neither renew it nor close the
//! pipe. Other lines are ignored.
//!
//! **Stop** (end of the lifeline; or SIGTERM, SIGINT or SIGHUP to the guard): SIGKILL to the group;
//! with a grace, SIGTERM first and SIGKILL when it is over. When the program ends by itself, what
//! is left of its group is killed too. A line `stop MS\n` after the payload orders SIGTERM now and SIGKILL after
//! so many milliseconds; the end of the lifeline or of the lease within them is SIGKILL at once.
//!
//! **Report.** With `--report` the lifeline is a socket, and the guard's last word on it is how the program
//! ended ([`Ending`]): exit codes cannot tell a program that ended with 127 from one that is not there.
//!
//! **Exit code**: the program's; 128 + n when signal n ended it; 125 when the guard itself failed
//! or the lifeline ended before the payload was complete (then nothing was started); 126 when the
//! program could not be started and 127 when it does not exist. `--dir` is the program's working directory; 126
//! when there is none.
//!
//! SIGKILL to the guard itself is the one end it cannot act on: the program then goes on.
//!
//! `--pid-file` receives the program's process id, written whole or not at all.

mod launch;
mod lifeline;
mod order;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_worker::handlers::exec::Ending;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

pub use launch::{Guarded, Launch};
pub use lifeline::PAYLOAD_LIMIT;

use order::Charge;

/// How often the boot clock is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Exit code for a fault of the guard itself.
const FAULT: u8 = 125;

/// What the guard's loop hears of; each is a past fact.
#[derive(Debug)]
enum Event {
    /// The whole payload arrived, and until when the program may run; sent once, first.
    PayloadRead(Vec<u8>, Option<Boot>),
    /// The program may run until then.
    Leased(Boot),
    /// The program's time is over: it has so long to end by itself.
    Stopped(Duration),
    /// The lifeline broke its own protocol before the payload was complete.
    LifelineBroken(io::Error),
    LifelineEnded,
    /// The program ended and is not yet reaped, so its process group still bears its number.
    ProgramEnded,
    /// The guard itself was told to go.
    Signalled,
}

/// Why the guard itself failed.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(
        "{0}; usage: gridloom guard [--grace-ms N] [--pid-file PATH] [--dir DIR] [--report] [--] \
         PROGRAM [ARGS...], with a length line and the payload on standard input"
    )]
    Usage(String),
    #[error("read the payload from the lifeline")]
    Lifeline(#[source] io::Error),
    #[error("find its program `{program}`{}", hint(program))]
    Absent { program: String, source: io::Error },
    #[error("start its program `{program}`{}", hint_for_format(source))]
    Start { program: String, source: io::Error },
    #[error("enter its directory `{}`", .dir.display())]
    Dir { dir: PathBuf, source: io::Error },
    #[error("start its program in time: its lease was over")]
    Late,
    #[error("{doing}")]
    Internal {
        doing: &'static str,
        source: io::Error,
    },
}

impl Fault {
    fn internal(doing: &'static str) -> impl Fn(io::Error) -> Fault {
        move |source| Fault::Internal { doing, source }
    }

    fn code(&self) -> u8 {
        match self {
            Fault::Absent { .. } => 127,
            Fault::Start { .. } | Fault::Dir { .. } => 126,
            Fault::Usage(_) | Fault::Lifeline(_) | Fault::Late | Fault::Internal { .. } => FAULT,
        }
    }
}

/// The system says "not found" of a script's interpreter as well.
fn hint(program: &str) -> &'static str {
    if program.contains('/') && Path::new(program).is_file() {
        " (it is there: is what its first line names, #!..., there too?)"
    } else {
        ""
    }
}

/// The system takes a file for a program by its mode and its first bytes.
fn hint_for_format(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOEXEC) => {
            " (a script says in its first line what runs it, as #!/bin/sh; a program has to be built for this machine)"
        }
        Some(Errno::ACCESS) => " (is it executable? chmod +x makes it so)",
        _ => "",
    }
}

/// Runs the guard; `args` are those after the word `guard`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (report, ended) = match Charge::parse(args) {
        Ok(order) => (order.report, run(order)),
        Err(fault) => (false, Err(fault)),
    };
    if report {
        let ending = ended.as_ref().map_or_else(
            |fault| Ending::Unstarted(chain(&fault).to_string()),
            |status| how(*status),
        );
        // The parent may be gone; then nobody asks. A lifeline that is no socket is not written to.
        let _ = rustix::io::write(io::stdin(), ending.line().as_bytes());
    }
    match ended {
        Ok(status) => ExitCode::from(exit_code(status)),
        Err(fault) => {
            // The guard is a program of its own beside the command: its standard error is the
            // program's, and there is nobody left to tell when even that fails.
            if !report {
                let _ = writeln!(io::stderr(), "gridloom guard: failed to {}", chain(&fault));
            }
            ExitCode::from(fault.code())
        }
    }
}

fn how(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Code(code),
        (None, Some(signal)) => Ending::Signal(signal),
        (None, None) => Ending::Code(FAULT.into()),
    }
}

fn run(order: Charge) -> Result<ExitStatus, Fault> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::internal("start its runtime"))?
        .block_on(watch(order))
}

async fn watch(order: Charge) -> Result<ExitStatus, Fault> {
    let (tx, mut events) = unbounded_channel();
    forward_signals(&tx)?;
    lifeline::read_in_background(tx.clone()).map_err(Fault::internal("start a thread"))?;
    let (payload, lease) = match events.recv().await {
        Some(Event::PayloadRead(payload, lease)) => (payload, lease),
        Some(Event::LifelineBroken(source)) => return Err(Fault::Lifeline(source)),
        Some(
            Event::Leased(_)
            | Event::Stopped(_)
            | Event::LifelineEnded
            | Event::ProgramEnded
            | Event::Signalled,
        )
        | None => return Err(Fault::Late),
    };
    if lease.is_some_and(|until| until <= Boot::now()) {
        return Err(Fault::Late);
    }
    let mut child = start(&order, payload)?;
    let group = Pid::from_child(&child);
    let watched = order
        .pid_file
        .as_deref()
        .map_or(Ok(()), |path| write_pid(path, group))
        .map_err(Fault::internal("write the pid file"))
        .and_then(|()| report_end(group, tx).map_err(Fault::internal("start a thread")));
    if let Err(fault) = watched {
        kill(group, Signal::KILL);
        return Err(fault);
    }
    until_ended(&mut events, group, order.grace, lease).await;
    kill(group, Signal::KILL);
    reap(&mut child)
}

/// Turns the signals that would end the guard into events, before there is anything to lose.
fn forward_signals(tx: &UnboundedSender<Event>) -> Result<(), Fault> {
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        let mut stream = signal(kind).map_err(Fault::internal("listen for signals"))?;
        let tx = tx.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() && tx.send(Event::Signalled).is_ok() {}
        });
    }
    Ok(())
}

fn start(order: &Charge, payload: Vec<u8>) -> Result<Child, Fault> {
    let mut command = Command::new(&order.program);
    command.args(&order.args).process_group(0);
    if let Some(dir) = &order.dir {
        // Said by itself: a failed start does not tell which of the two is missing.
        std::fs::read_dir(dir).map_err(|source| Fault::Dir {
            dir: dir.clone(),
            source,
        })?;
        command.current_dir(dir);
    }
    command.stdin(if payload.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    });
    let mut child = command.spawn().map_err(|source| {
        let program = order.program.to_string_lossy().into_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Fault::Absent { program, source },
            _ => Fault::Start { program, source },
        }
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A thread of its own: a program that never reads must not keep the guard from seeing the
        // lifeline's end. That it stopped reading early is its own affair.
        std::thread::spawn(move || stdin.write_all(&payload));
    }
    Ok(child)
}

fn write_pid(path: &Path, pid: Pid) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    std::fs::write(&unfinished, format!("{pid}\n"))?;
    std::fs::rename(&unfinished, path)
}

/// Tells of the program's end without reaping it: as long as it is a zombie, no other process
/// group can bear its number.
fn report_end(program: Pid, tx: UnboundedSender<Event>) -> io::Result<()> {
    std::thread::Builder::new().spawn(move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(program), options), Err(Errno::INTR)) {}
        // The loop may be gone; so is the guard, then.
        let _ = tx.send(Event::ProgramEnded);
    })?;
    Ok(())
}

/// Returns when the program has ended, by itself, because it was told to or at the end of its lease.
async fn until_ended(
    events: &mut UnboundedReceiver<Event>,
    group: Pid,
    grace: Duration,
    mut lease: Option<Boot>,
) {
    // When SIGKILL comes, once it was told to stop.
    let mut last: Option<Boot> = None;
    let told = loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = over(lease) => break false,
            () = over(last) => break false,
        };
        match event {
            Some(Event::ProgramEnded) | None => return,
            // Nobody is left to wait for it.
            Some(Event::LifelineEnded | Event::Signalled) => break last.is_none(),
            Some(Event::Stopped(grace)) => {
                kill(group, Signal::TERM);
                last.get_or_insert(Boot::now() + grace);
            }
            Some(Event::Leased(until)) => lease = Some(until),
            Some(Event::PayloadRead(..) | Event::LifelineBroken(_)) => {}
        }
    };
    // Past its lease another may run the same.
    if told && !grace.is_zero() {
        kill(group, Signal::TERM);
        if timeout(grace, program_ended(events)).await.is_ok() {
            return;
        }
    }
    kill(group, Signal::KILL);
    program_ended(events).await;
}

/// Ends at that moment of the boot clock; without one, never.
async fn over(moment: Option<Boot>) {
    let Some(until) = moment else {
        return std::future::pending().await;
    };
    loop {
        let left = until.since(Boot::now());
        if left.is_zero() {
            return;
        }
        // A timer stands still while the machine sleeps, a lease does not.
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

async fn program_ended(events: &mut UnboundedReceiver<Event>) {
    while !matches!(events.recv().await, Some(Event::ProgramEnded) | None) {}
}

fn kill(group: Pid, signal: Signal) {
    // Fails only when nobody is left in the group.
    let _ = kill_process_group(group, signal);
}

fn reap(child: &mut Child) -> Result<ExitStatus, Fault> {
    child
        .wait()
        .map_err(Fault::internal("wait for the program"))
}

/// The shell's rule: the code, or 128 + the signal.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(FAULT)
}
