//! The `gridloom` command as the tests run it: built with them, so that its path is known.

fn main() -> std::process::ExitCode {
    gridloom_cli::main()
}
