//! Which environment variable is to blame for a value that cannot be read, and which variables nobody reads.

use std::ffi::{OsStr, OsString};

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

/// The command line, in which a variable that is empty says nothing.
pub fn command() -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    forgetting(with_own_brokers(Line::command()), &is_empty)
}

/// The command line, whose commands with a broker of their own do not offer to name one.
fn with_own_brokers(command: Command) -> Command {
    let is_of_broker = |arg: &&clap::Arg| {
        let long = arg.get_long().unwrap_or_default();
        long == "nats" || long.starts_with("nats-")
    };
    let named = command.get_arguments().filter(is_of_broker);
    let hidden: Vec<_> = named.map(|arg| arg.clone().hide(true)).collect();
    let hide = |sub: Command| sub.args(hidden.clone());
    command
        .mut_subcommand("dev", hide)
        .mut_subcommand("demo", hide)
}

/// The same command, whose flags do not know the variables that `is_empty`.
fn forgetting(command: Command, is_empty: &impl Fn(&OsStr) -> bool) -> Command {
    command
        .mut_args(|arg| match arg.get_env().is_some_and(is_empty) {
            true => arg.env(None::<&'static str>),
            false => arg,
        })
        .mut_subcommands(|sub| forgetting(sub, is_empty))
}

/// The setting that somebody may have meant by `rest`, the name of a variable without its beginning.
fn meant(rest: &str) -> Option<&'static str> {
    let upper = rest.to_uppercase();
    let mut words = upper.rsplitn(2, '_');
    // `NATS_URL` is the address itself.
    if let (Some("URL" | "URLS" | "ADDRESS" | "HOST"), Some(name)) = (words.next(), words.next())
        && let Some(named) = SETTINGS.iter().find(|known| **known == name)
    {
        return Some(named);
    }
    let lower: Vec<String> = SETTINGS.iter().map(|name| name.to_lowercase()).collect();
    let near = suggest::nearest(rest, lower.iter().map(String::as_str));
    let near = near.and_then(|near| SETTINGS.iter().find(|name| name.eq_ignore_ascii_case(near)));
    // `NATS_PASSWORD` is `NATS` and more; `CONCURRENCY` is a part of one.
    let begins = |name: &&&str| {
        upper
            .strip_prefix(**name)
            .is_some_and(|more| more.starts_with('_'))
    };
    let longest = || SETTINGS.iter().filter(begins).max_by_key(|name| name.len());
    let ends = |name: &&&str| {
        name.strip_suffix(&upper)
            .is_some_and(|before| before.ends_with('_'))
    };
    let only = || {
        let mut ending = SETTINGS.iter().filter(ends);
        ending.next().filter(|_| ending.next().is_none())
    };
    near.or_else(longest).or_else(only).copied()
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
            let near = meant(name.strip_prefix(PREFIX).unwrap_or_default());
            let hint = near.map_or_else(String::new, |near| {
                format!("; did you mean {PREFIX}{near}?")
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

    #[test]
    fn setting_is_suggested_for_what_is_nearly_its_name_or_holds_it() {
        for (rest, wanted) in [
            ("NATS_URL", Some("NATS")),
            ("NATS_SERVERS", Some("NATS_SERVER")),
            ("NATS_AND_MORE", Some("NATS")),
            ("NATS_CERTS", Some("NATS_CERT")),
            ("WORKER_CONCURENCY", Some("WORKER_CONCURRENCY")),
            ("CONCURRENCY", Some("WORKER_CONCURRENCY")),
            ("DATABASES", Some("WORKER_DATABASES")),
            ("COLOUR", None),
            ("", None),
        ] {
            assert_eq!(meant(rest), wanted, "{rest}");
        }
    }

    #[test]
    fn variable_that_is_empty_is_none_of_any_command() {
        let mut left = BTreeSet::new();
        named(&forgetting(Line::command(), &|_| true), &mut left);
        assert_eq!(left, BTreeSet::new());
        let mut others = BTreeSet::new();
        named(
            &forgetting(Line::command(), &|name| name == "GRIDLOOM_NATS"),
            &mut others,
        );
        assert!(others.contains("GRIDLOOM_LISTEN") && !others.contains("GRIDLOOM_NATS"));
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
