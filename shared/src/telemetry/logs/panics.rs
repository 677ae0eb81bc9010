//! A panic is a line of the log like any other: with the shard that it is about, and where all lines are JSON, as JSON.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use tracing::Level;

/// Most bytes of a backtrace that are told: where it happened stands first.
const BACKTRACE_MAX: usize = 8 * 1024;

/// Tells each panic from now on. Where the log leaves errors out, it is told as before.
pub(super) fn tell() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if tracing::enabled!(target: "panic", Level::ERROR) {
            told(panic);
        } else {
            before(panic);
        }
    }));
}

fn told(panic: &PanicHookInfo<'_>) {
    let reason = panic.payload_as_str().unwrap_or("without a text");
    let at = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    // Where RUST_BACKTRACE asks for it.
    let frames = Backtrace::capture();
    let backtrace = (frames.status() == BacktraceStatus::Captured).then(|| {
        let mut text = frames.to_string();
        text.truncate(text.floor_char_boundary(BACKTRACE_MAX));
        text
    });
    tracing::error!(target: "panic", reason, at, thread, backtrace, "something panicked");
}
