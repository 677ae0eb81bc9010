//! Which environment variable is to blame for a value that cannot be read, and which variables nobody reads.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{Command, CommandFactory};
use gridloom_shared::environment::{self, PREFIX, SETTINGS};
use gridloom_shared::suggest;

use super::Line;

/// The variable whose value `error` is about: that of a flag that was not typed.
pub fn blamed(error: &clap::Error, typed: impl Iterator<Item = OsString>) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = argument.split_whitespace().next()?;
    let mut typed = typed.filter_map(|word| word.into_string().ok());
    if typed.any(|word| word.split('=').next() == Some(flag)) {
        return None;
    }
    let named = variable(&Line::command(), flag.strip_prefix("--")?)?;
    std::env::var_os(&named).is_some().then_some(named)
}

fn variable(command: &Command, long: &str) -> Option<String> {
    let own = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(long));
    let own = own.and_then(|arg| arg.get_env()?.to_str().map(str::to_owned));
    own.or_else(|| {
        command
            .get_subcommands()
            .find_map(|sub| variable(sub, long))
    })
}

/// What is wrong with each variable that begins like a setting and is none.
pub fn unknown() -> Vec<String> {
    let names = std::env::vars_os().map(|(name, _)| name);
    let unknown = environment::unknown(names).into_iter();
    unknown
        .map(|name| {
            let rest = name.strip_prefix(PREFIX).unwrap_or_default();
            let known: Vec<String> = SETTINGS.iter().map(|name| name.to_lowercase()).collect();
            let near = suggest::nearest(rest, known.iter().map(String::as_str));
            let hint = near.map_or_else(String::new, |near| {
                format!("; did you mean {PREFIX}{}?", near.to_uppercase())
            });
            format!("the environment variable {name} is no known setting and does nothing{hint}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn named(command: &Command, into: &mut BTreeSet<String>) {
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        into.extend(variables.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|sub| named(sub, into));
    }

    #[test]
    fn every_variable_is_known_and_stands_in_the_help() {
        let mut flags = BTreeSet::new();
        named(&Line::command(), &mut flags);
        let known: BTreeSet<String> = SETTINGS
            .iter()
            .map(|name| format!("{PREFIX}{name}"))
            .collect();
        assert!(flags.is_subset(&known), "{:?}", flags.difference(&known));
        let help = helps(&mut Line::command());
        let absent: Vec<_> = known
            .iter()
            .filter(|name| !help.contains(name.as_str()))
            .collect();
        assert!(absent.is_empty(), "{absent:?}");
    }

    /// The long help of all commands.
    fn helps(command: &mut Command) -> String {
        let mut text = command.render_long_help().to_string();
        for sub in command.get_subcommands_mut() {
            text += &helps(sub);
        }
        text
    }

    #[test]
    fn every_variable_stands_in_the_documentation() {
        let page = include_str!("../../../docs/CONFIG.md");
        for name in SETTINGS {
            assert!(page.contains(&format!("`{PREFIX}{name}`")), "{name}");
        }
    }
}
