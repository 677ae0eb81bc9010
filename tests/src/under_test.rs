//! The `gridloom` command as the tests run it: built with them, so that its path is known. It can
//! also be a worker that logs its executions.

fn main() -> std::process::ExitCode {
    gridloom_tests::logged::main()
}
