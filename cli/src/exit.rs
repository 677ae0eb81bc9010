//! The codes with which the command ends. 0 is success.

/// The code of the thing asked about having failed.
pub const FAILED: u8 = 1;
/// The code of wrong usage or input.
pub const MISUSE: u8 = 2;
/// The code of a broker that cannot be reached.
pub const UNREACHABLE: u8 = 3;
/// The code of a command that met what a newer build wrote: what it said is not whole.
pub const OUTDATED: u8 = 4;
/// The code of a command that was told to stop waiting: what the shell shows for SIGINT.
pub const INTERRUPTED: u8 = 130;
/// The code where nobody reads any more: what the shell shows for SIGPIPE.
pub const UNREAD: u8 = 141;
