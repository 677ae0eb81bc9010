//! What a job may say of its limits and of its place among other jobs.

use super::fault::Faults;
use super::node::Node;
use super::{PERCENT_MIN, SHARDS_MAX, TIMEOUT_MAX, TIMEOUT_MIN, milliseconds};
use crate::id::{ResourceName, ShareName};
use crate::job::{AbortAfter, CONCURRENCY_MAX, LimitsSpec, PRIORITY_MAX, Priority, RATE_MAX, Rate};

/// The keys of `[limits]`.
pub(super) const KEYS: &[&str] = &[
    "timeout",
    "abort_after",
    "concurrency",
    "rate",
    "priority",
    "share",
    "resource",
];
/// The keys of its `abort_after`.
pub(super) const ABORT_KEYS: &[&str] = &["dead", "dead_percent"];

pub(super) fn read(node: &Node<'_>, faults: &mut Faults) -> Option<LimitsSpec> {
    let fields = node.fields(KEYS, &[], faults)?;
    let timeout_ms = milliseconds(&fields, "timeout", TIMEOUT_MIN..=TIMEOUT_MAX, faults);
    let abort_after = fields.optional("abort_after", |node| abort_after(node, faults));
    let concurrency = fields.optional("concurrency", |node| concurrency(node, faults));
    let rate = fields.optional("rate", |node| rate(node, faults));
    let priority = fields.optional("priority", |node| priority(node, faults));
    let share = fields.optional("share", |node| node.name(ShareName::new, faults));
    let resource = fields.optional("resource", |node| node.name(ResourceName::new, faults));
    Some(LimitsSpec {
        timeout_ms: timeout_ms?,
        abort_after: abort_after?,
        concurrency: concurrency?,
        rate: rate?,
        priority: priority?.unwrap_or_default(),
        share: share?,
        resource: resource?,
    })
}

fn abort_after(node: &Node<'_>, faults: &mut Faults) -> Option<AbortAfter> {
    const FORMS: &str = "{ dead = 100 } or { dead_percent = 1.0 }";
    if node.value().as_bool() == Some(false) {
        return Some(AbortAfter::Never);
    }
    if !node.value().is_object() {
        let must = format_args!("a table such as {FORMS}, or false to bear any number");
        node.refuse(must, faults);
        return None;
    }
    let fields = node.fields(ABORT_KEYS, &[], faults)?;
    match (fields.get("dead"), fields.get("dead_percent")) {
        (Some(dead), None) => dead.integer(1..=SHARDS_MAX, faults).map(AbortAfter::Dead),
        (None, Some(percent)) => percent
            .number(PERCENT_MIN..=100.0, faults)
            .map(AbortAfter::DeadPercent),
        (None, None) | (Some(_), Some(_)) => {
            let message = format!("must say one of {FORMS}");
            faults.add(node.path().to_owned(), message);
            None
        }
    }
}

fn concurrency(node: &Node<'_>, faults: &mut Faults) -> Option<u32> {
    let found = node.integer(1..=u64::from(CONCURRENCY_MAX), faults)?;
    u32::try_from(found).ok()
}

fn rate(node: &Node<'_>, faults: &mut Faults) -> Option<Rate> {
    let found = node.value().as_str().and_then(|text| text.parse().ok());
    if found.is_none() {
        let form = format_args!(
            "a rate such as \"500/s\", \"90/m\" or \"10/h\", a whole number from 1 to {RATE_MAX} in it"
        );
        node.refuse(form, faults);
    }
    found
}

fn priority(node: &Node<'_>, faults: &mut Faults) -> Option<Priority> {
    let found = node.integer(0..=u64::from(PRIORITY_MAX), faults)?;
    u8::try_from(found).ok().and_then(Priority::new)
}
