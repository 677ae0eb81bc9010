//! The `gridloom` command.

fn main() -> std::process::ExitCode {
    gridloom_cli::main()
}
