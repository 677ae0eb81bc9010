//! What a job file may say to its handler in the table that is called like the handler: `[sql]`, `[exec]`, `[http]`.
//! No submission can change it.
//!
//! The settings of the built-in handlers are known here, so that a mistake is told when the job is applied and
//! not by its first shard. Those of a handler that workers register are its own affair.

use serde_json::{Map, Value};

use super::fault::Faults;
use super::node::{Fields, Node};
use super::params;
use crate::job::SETTINGS_MAX;

/// What a setting may hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Text that is not empty.
    Text,
    /// Such a text, or a list of them.
    Texts,
    /// One of these words.
    Word(&'static [&'static str]),
    /// What the handler's own reading takes, which tells what is wrong with it.
    Own,
}

/// Whether a setting has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It has; the text ends the message when it is not.
    Always(&'static str),
    /// It has where the grid says `pages = { probe = true }`.
    ForProbe(&'static str),
    /// It has not.
    Never,
}

/// A setting of a built-in handler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) need: Need,
    kind: Kind,
}

const SQL: &[Setting] = &[
    Setting {
        key: "database",
        need: Need::Always("name a database of the worker's configuration"),
        kind: Kind::Text,
    },
    Setting {
        key: "statement",
        need: Need::Always("give one statement, or a list of statements"),
        kind: Kind::Texts,
    },
    Setting {
        key: "probe",
        need: Need::ForProbe("give a query for the pages, or the grid counted pages"),
        kind: Kind::Text,
    },
    Setting {
        key: "key",
        need: Need::Never,
        kind: Kind::Word(&["integer", "text"]),
    },
];
const EXEC: &[Setting] = &[
    Setting {
        key: "command",
        need: Need::Always("name a command of the worker's configuration"),
        kind: Kind::Text,
    },
    Setting {
        key: "context",
        need: Need::Never,
        kind: Kind::Word(&["elasticjob"]),
    },
];

const HTTP: &[Setting] = &[
    Setting {
        key: "url",
        need: Need::Always("say where the request goes, as https://api.example/charges/{slice}"),
        kind: Kind::Own,
    },
    optional("method"),
    optional("headers"),
    optional("body"),
    optional("success"),
    optional("retry"),
    optional("timeout"),
    optional("callback"),
];

const fn optional(key: &'static str) -> Setting {
    Setting {
        key,
        need: Need::Never,
        kind: Kind::Own,
    }
}

/// The built-in handlers and their settings.
pub(super) const BUILT_IN: &[(&str, &[Setting])] =
    &[("sql", SQL), ("exec", EXEC), ("http", HTTP), ("noop", &[])];

/// The settings of the built-in handler `name`; `None`: it is no built-in one.
pub(super) fn known(name: &str) -> Option<&'static [Setting]> {
    let found = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
    found.map(|(_, settings)| *settings)
}

/// The settings of `handler`, from the table of the same name. Tables of other built-in handlers are faults.
pub(super) fn read(
    root: &Fields<'_>,
    handler: &str,
    is_probed: bool,
    faults: &mut Faults,
) -> Option<Value> {
    for (other, _) in BUILT_IN.iter().filter(|(other, _)| *other != handler) {
        if let Some(table) = root.get(other) {
            let message =
                format!("holds settings of handler {other}, and this job's handler is {handler}");
            faults.add(table.path(), message);
        }
    }
    let nothing = Value::Object(Map::new());
    let table = root.get(handler);
    let value = table.as_ref().map_or(&nothing, Node::value);
    let value = params::bounded(handler, SETTINGS_MAX, value.clone(), faults)?;
    let sound = known(handler)
        .is_none_or(|settings| check(&Node::at(handler, &value), settings, is_probed, faults));
    sound.then_some(value)
}

/// Whether `table` holds what a built-in handler needs, and nothing that it does not know.
fn check(table: &Node<'_>, settings: &[Setting], is_probed: bool, faults: &mut Faults) -> bool {
    let before = faults.0.len();
    if settings.is_empty() {
        if table
            .value()
            .as_object()
            .is_some_and(|keys| !keys.is_empty())
        {
            faults.add(
                table.path(),
                "has no settings: what it is given stands in [params]",
            );
        }
        return faults.0.len() == before;
    }
    let keys: Vec<&str> = settings.iter().map(|setting| setting.key).collect();
    let Some(fields) = table.fields(&keys, &[], faults) else {
        return false;
    };
    for setting in settings {
        match (fields.get(setting.key), setting.need) {
            (Some(node), _) => setting.kind.check(&node, faults),
            (None, Need::Always(why)) => {
                fields.need(setting.key, why, faults);
            }
            (None, Need::ForProbe(why)) if is_probed => {
                fields.need(setting.key, why, faults);
            }
            (None, Need::ForProbe(_) | Need::Never) => {}
        }
    }
    faults.0.len() == before
}

impl Kind {
    fn check(self, node: &Node<'_>, faults: &mut Faults) {
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
        match self {
            Kind::Text if is_text(node.value()) => {}
            Kind::Text => node.refuse("text that is not empty", faults),
            Kind::Own => {}
            Kind::Texts if is_text(node.value()) => {}
            Kind::Texts => match node.value().as_array() {
                Some(items) if !items.is_empty() => {
                    for (place, item) in items.iter().enumerate() {
                        Kind::Text.check(&node.item(place, item), faults);
                    }
                }
                Some(_) | None => {
                    node.refuse("text that is not empty, or a list of such texts", faults)
                }
            },
            Kind::Word(words) => {
                if !node
                    .value()
                    .as_str()
                    .is_some_and(|text| words.contains(&text))
                {
                    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                    node.refuse(words.join(" or "), faults);
                }
            }
        }
    }
}
