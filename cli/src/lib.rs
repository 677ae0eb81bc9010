//! The gridloom command as a library.

pub mod embedded;
pub mod guard;

use std::process::ExitCode;

/// Runs the command.
pub fn main() -> ExitCode {
    // Before anything else: a guard must be small, and must not take part in what it guards.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|word| word == "guard") {
        return guard::main(args);
    }
    ExitCode::SUCCESS
}
