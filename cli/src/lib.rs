//! The gridloom command as a library.
/// Runs the command.
pub fn main() -> std::process::ExitCode { std::process::ExitCode::SUCCESS }
