//! Which handlers in other languages a worker has.

use std::time::Duration;

use gridloom_shared::environment;
use gridloom_worker::bridge::{Attachment, CHILD_GRACE_DEFAULT, HELLO_WITHIN_DEFAULT, Plan};

use super::{Config, misuse};
use crate::args::{ChildFlags, OtherFlags};
use crate::fault::Misuse;

/// Shortest token of a program: it keeps others of this machine out.
const TOKEN_MIN: usize = 16;
/// Longest one.
const TOKEN_MAX: usize = 256;

/// Where handlers in other languages are.
#[derive(Clone, Debug)]
pub enum Others {
    /// There are none.
    Nowhere,
    /// In children of the worker.
    Children(Plan),
    /// In the program that started it.
    Program(Attachment),
}

impl Config {
    /// Where handlers in other languages are, of a worker with this name.
    ///
    /// # Errors
    /// When something is missing, or cannot be.
    pub fn others(&self, flags: &OtherFlags, worker: &str) -> anyhow::Result<Others> {
        if flags.attach {
            return self.program(&flags.child, worker).map(Others::Program);
        }
        let children = self.children(&flags.child, worker)?;
        Ok(children.map_or(Others::Nowhere, Others::Children))
    }

    /// The program that started a worker with this name.
    fn program(&self, flags: &ChildFlags, worker: &str) -> anyhow::Result<Attachment> {
        let wanted = |name: &'static str| {
            let found = environment::setting(name).map_err(|error| misuse(&error))?;
            found.ok_or_else(|| {
                Misuse::error(format!(
                    "--attach is for a program that starts its own worker and says where it listens: GRIDLOOM_{name} is not set; to start a program from here: gridloom worker -- COMMAND"
                ))
            })
        };
        let token = wanted("TOKEN")?;
        if !(TOKEN_MIN..=TOKEN_MAX).contains(&token.len())
            || !token.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(Misuse::error(format!(
                "GRIDLOOM_TOKEN must have {TOKEN_MIN} to {TOKEN_MAX} visible ASCII signs"
            )));
        }
        let (hello_within, grace) = self.patience(flags);
        Ok(Attachment {
            socket: wanted("SOCKET")?,
            token,
            hello_within,
            grace,
            worker: worker.to_owned(),
        })
    }

    /// The children of a worker with this name, if it is to have any.
    ///
    /// # Errors
    /// When something is missing, or cannot be.
    pub fn children(&self, flags: &ChildFlags, worker: &str) -> anyhow::Result<Option<Plan>> {
        let file = &self.file.worker;
        let mut words = flags.command.iter();
        let Some(program) = words.next() else {
            let given = flags.processes.is_some() || flags.slots.is_some();
            return match given {
                true => Err(Misuse::error(
                    "--processes and --slots are for children, and there is no command: gridloom worker --processes 2 -- COMMAND",
                )),
                false => Ok(None),
            };
        };
        let text = |word: &std::ffi::OsString| {
            let text = word.to_str().map(str::to_owned);
            text.ok_or_else(|| {
                Misuse::error(format!(
                    "an argument of the command is no valid UTF-8: {}",
                    word.display()
                ))
            })
        };
        let (hello_within, grace) = self.patience(flags);
        Ok(Some(Plan {
            guard: std::env::current_exe()?,
            program: program.into(),
            args: words.map(text).collect::<anyhow::Result<_>>()?,
            processes: flags.processes.or(file.processes).unwrap_or(1),
            slots: flags.slots.or(file.slots),
            hello_within,
            grace,
            tcp: flags.child_tcp.or(file.child_tcp).unwrap_or(false),
            worker: worker.to_owned(),
        }))
    }

    /// How long is waited for a hello, and for the end of what is told to stop.
    fn patience(&self, flags: &ChildFlags) -> (Duration, Duration) {
        let file = &self.file.worker;
        let hello_within = flags.hello_within.or(file.hello_within);
        let grace = flags.child_grace.or(file.child_grace);
        (
            hello_within.map_or(HELLO_WITHIN_DEFAULT, |span| span.0),
            grace.map_or(CHILD_GRACE_DEFAULT, |span| span.0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Global;
    use crate::config::File;

    fn others(child: &ChildFlags) -> anyhow::Result<Others> {
        attached(child, false)
    }

    fn attached(child: &ChildFlags, attach: bool) -> anyhow::Result<Others> {
        let config = Config::merge(&Global::default(), File::default()).unwrap();
        let child = child.clone();
        config.others(&OtherFlags { child, attach }, "w")
    }

    #[test]
    fn command_is_a_program_with_its_arguments() {
        let command = ["python3", "worker.py", "--fast"].map(Into::into).to_vec();
        let flags = ChildFlags {
            command,
            processes: Some(3),
            ..ChildFlags::default()
        };
        let Others::Children(plan) = others(&flags).unwrap() else {
            panic!("no children");
        };
        assert_eq!(plan.program.to_str(), Some("python3"));
        assert_eq!(plan.args, ["worker.py", "--fast"]);
        assert_eq!((plan.processes, plan.slots, plan.tcp), (3, None, false));
        assert!(!format!("{plan:?}").contains("--fast"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(matches!(
            others(&ChildFlags::default()),
            Ok(Others::Nowhere)
        ));
        let fault = others(&ChildFlags {
            slots: Some(1),
            ..ChildFlags::default()
        })
        .unwrap_err();
        assert!(fault.to_string().contains("-- COMMAND"), "{fault}");
        let fault = attached(&ChildFlags::default(), true).unwrap_err();
        assert!(
            fault.to_string().contains("GRIDLOOM_TOKEN is not set"),
            "{fault}"
        );
    }
}
