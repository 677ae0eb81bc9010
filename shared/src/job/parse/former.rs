//! The form that job files had once: settings of the handler stood among the parameters, where every submission
//! could put others over them. Such a file is refused, and shown as it has to be now.

use serde_json::{Map, Value};

use super::Format;
use super::fault::Fault;
use super::settings::{self, Need};

#[cfg(feature = "files")]
mod lines;

/// What is said of a document of the former form, and the document in the new one.
pub(super) struct Former {
    pub(super) fault: Fault,
    pub(super) renewed: Value,
}

/// `None`: the document has not the former form. `text` is what it was read from.
pub(super) fn find(document: &Value, text: Option<(&str, Format)>) -> Option<Former> {
    let handler = document.get("handler")?.as_str()?;
    let params = document.get("params")?.as_object()?;
    if document.get(handler).is_some() {
        return None;
    }
    let settings = settings::known(handler)?;
    let is_needed = |need| matches!(need, Need::Always(_));
    settings
        .iter()
        .find(|setting| is_needed(setting.need) && params.contains_key(setting.key))?;
    let keys: Vec<&str> = settings
        .iter()
        .map(|setting| setting.key)
        .filter(|key| params.contains_key(*key))
        .collect();
    let renewed = renew(document, handler, &keys);
    let shown = match text {
        #[cfg(feature = "files")]
        Some((text, Format::Toml)) => lines::renew(text, handler, &keys, &renewed),
        Some((_, Format::Json)) | None => None,
    };
    let shown = shown.or_else(|| serde_json::to_string_pretty(&renewed).ok())?;
    let (names, verb) = match keys.as_slice() {
        [only] => ((*only).to_owned(), "is a setting"),
        several => (several.join(", "), "are settings"),
    };
    let message = format!(
        "{names} {verb} of the handler, which no submission may change: write {} in [{handler}]. The whole in its new form:\n\n{}\n",
        if keys.len() == 1 { "it" } else { "them" },
        shown.trim_end()
    );
    let fault = Fault {
        path: "params".to_owned(),
        message,
    };
    Some(Former { fault, renewed })
}

/// The document with `keys` of its parameters in the table of its handler.
fn renew(document: &Value, handler: &str, keys: &[&str]) -> Value {
    let mut renewed = document.clone();
    let mut table = Map::new();
    if let Some(Value::Object(params)) = renewed.get_mut("params") {
        for key in keys {
            table.extend(params.remove_entry(*key));
        }
        if params.is_empty()
            && let Value::Object(root) = &mut renewed
        {
            root.remove("params");
        }
    }
    renewed[handler] = Value::Object(table);
    renewed
}
