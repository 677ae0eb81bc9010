//! The `gridloom` command as a library.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`args`] | what may be typed |
//! | [`setting`] | what a setting may be |
//! | [`config`] | which setting counts: flag, environment, file or default |
//! | [`context`] | what every command has at hand |
//! | [`commands`] | what each command does; one room a group of commands |
//! | [`output`] | how everything looks: the only room that prints |
//! | [`fault`], [`exit`] | with which code the command ends, and what the codes are |
//! | [`demo`] | what `gridloom demo` shows |
//! | [`embedded`] | a real nats-server as a child |
//! | [`guard`] | when a child process must go |

pub mod args;
pub mod commands;
pub mod config;
pub mod context;
pub mod demo;
pub mod embedded;
pub mod exit;
pub mod fault;
pub mod guard;
pub mod output;
pub mod setting;

use std::process::ExitCode;

use fault::Refusal;
use gridloom_shared::chain;

use clap::FromArgMatches;

/// Answers wrong usage, with code 2, and a question for help.
fn misused(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when even that fails.
    let _ = error.print();
    if let Some(variable) = args::variables::blamed(error, std::env::args_os()) {
        output::error(&format!(
            "that value stands in the environment variable {variable}"
        ));
    }
    let cause = std::error::Error::source(error);
    if cause.is_some_and(|cause| cause.is::<std::num::ParseIntError>()) {
        output::error("a whole number belongs there");
    }
    if let Some(word) = args::meant::word_of_job(error) {
        output::error(&format!("did you mean gridloom job {word}?"));
    }
    if let Some(job) = args::meant::job_for_run(error) {
        output::error(&format!(
            "that could be the name of a job: gridloom runs {job} lists its runs"
        ));
    }
    let code = u8::try_from(error.exit_code()).unwrap_or(exit::MISUSE);
    // What was typed is not understood: whether programs read the answer is seen in the words themselves.
    if code != 0 && std::env::args_os().any(|word| word == "--json") {
        let message = error.render().to_string();
        output::refusal(&Refusal::new(message.trim_end().to_owned(), code));
    }
    ExitCode::from(code)
}

/// Runs the command.
pub fn main() -> ExitCode {
    // Before anything else: a guard must be small, and must not take part in what it guards.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|word| word == "guard") {
        return guard::main(args);
    }
    let mut command = args::variables::command();
    let typed = command.try_get_matches_from_mut(std::env::args_os());
    let typed = typed.and_then(|mut typed| {
        let line = args::Line::from_arg_matches_mut(&mut typed);
        line.map_err(|error| error.format(&mut command))
    });
    let line = match typed {
        Ok(line) => line,
        Err(error) => return misused(&error),
    };
    let for_programs = line.global.json;
    match commands::run(line) {
        Ok(verdict) => fault::code(verdict),
        Err(error) => {
            if for_programs {
                output::refusal(&Refusal::of(&error));
            }
            output::error(&chain(&*error).to_string());
            ExitCode::from(fault::code_of(&error))
        }
    }
}
