//! What people write who know another scheduler, and how it is written here.

use serde_json::Value;

use super::{Faults, MisfirePolicy, Node};
use crate::duration::{parse_duration, write_duration};
use crate::schedule::Cron;
use crate::schedule::spec::Choices;

/// What may be meant by what is none.
pub(super) struct Meant;

impl Meant {
    /// `schedule = "0 6 * * *"`: whether that was it.
    pub(super) fn instead_of_table(node: &Node<'_>, faults: &mut Faults) -> bool {
        let Value::String(text) = node.value() else {
            return false;
        };
        let form = match cadence(text) {
            Some(cadence) => format!("every = \"{cadence}\""),
            None if Cron::parse(text, None).is_ok() => format!("cron = {text:?}"),
            None => "cron = \"0 6 * * *\"".to_owned(),
        };
        let name = node.path();
        let must = format!("a table: write [{name}] and below it {form}, or {name} = {{ {form} }}");
        node.refuse(must, faults);
        true
    }

    /// `cron = "@every 5m"`, `cron = "5m"`.
    pub(super) fn by_cron(text: &str) -> Option<String> {
        let cadence = cadence(text)?;
        Some(format!(
            "; a cadence has its own key: write every = \"{cadence}\" instead of cron"
        ))
    }

    /// `every = "@daily"`, `every = "0 6 * * *"`: whether that was it.
    pub(super) fn cron_as_cadence(node: &Node<'_>, faults: &mut Faults) -> bool {
        let Value::String(text) = node.value() else {
            return false;
        };
        let nickname = format!("@{text}");
        let meant = [text.as_str(), nickname.as_str()]
            .into_iter()
            .find(|text| Cron::parse(text, None).is_ok());
        let Some(meant) = meant else {
            return false;
        };
        let must = format!("a duration such as \"15m\": write cron = {meant:?} instead");
        node.refuse(must, faults);
        true
    }

    /// `misfire = "skip"`: whether that was it.
    pub(super) fn policy_of_misfire(
        node: &Node<'_>,
        policies: Choices<MisfirePolicy>,
        faults: &mut Faults,
    ) -> bool {
        let said = node.value().as_str();
        let Some((word, _)) = policies.iter().find(|(word, _)| Some(*word) == said) else {
            return false;
        };
        let must = format!("a table: write misfire = {{ policy = \"{word}\" }}");
        node.refuse(must, faults);
        true
    }
}

/// The length of time in `5m`, `@every 5m`, `every 1h30m`.
fn cadence(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('@').unwrap_or(text);
    let text = text.strip_prefix("every ").unwrap_or(text);
    parse_duration(text.trim()).ok().map(write_duration)
}
