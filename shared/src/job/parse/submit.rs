//! What a job file may say of what submissions may change.

use super::fault::Faults;
use super::node::Node;
use crate::job::{ALLOWED_MAX, Allowed, SubmitSpec};

/// The keys of `[submit]`.
pub(super) const KEYS: &[&str] = &["allow"];

pub(super) fn read(node: &Node<'_>, faults: &mut Faults) -> Option<SubmitSpec> {
    let fields = node.fields(KEYS, &[], faults)?;
    let Some(allow) = fields.get("allow") else {
        return Some(SubmitSpec::default());
    };
    let Some(items) = allow.value().as_array() else {
        allow.refuse(
            "a list such as [\"params\"] or [\"params.day\", \"grid\"]",
            faults,
        );
        return None;
    };
    if items.len() > ALLOWED_MAX {
        let message = format!(
            "must have at most {ALLOWED_MAX} entries, found {}: allow \"params\" as a whole",
            items.len()
        );
        faults.add(allow.path(), message);
        return None;
    }
    let one = |(place, value)| {
        let item = allow.item(place, value);
        let read = item.value().as_str().and_then(|text| text.parse().ok());
        if read.is_none() {
            let form = "\"params\", \"params.NAME\" (a whole parameter) or \"grid\": all else is for `gridloom job apply` alone";
            item.refuse(form, faults);
        }
        read
    };
    let read: Vec<Option<Allowed>> = items.iter().enumerate().map(one).collect();
    let allow = read.into_iter().collect::<Option<_>>()?;
    Some(SubmitSpec { allow })
}
