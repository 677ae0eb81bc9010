//! Which answers of a server are meant: numbers of statuses, and ranges of them.

use std::ops::RangeInclusive;

use serde_json::Value;

/// The statuses that there are.
const ALL: RangeInclusive<u16> = 100..=599;

/// Some statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// These ranges.
    pub(super) fn of(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Statuses {
        Statuses(ranges.into_iter().collect())
    }

    /// Those that `value` names: a list of numbers (`204`) and of ranges (`"200-299"`).
    pub(super) fn read(value: &Value) -> Option<Statuses> {
        let list = value.as_array().filter(|list| !list.is_empty())?;
        let ranges: Option<Vec<_>> = list.iter().map(range).collect();
        ranges.map(Statuses)
    }

    /// Whether `status` is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

fn range(value: &Value) -> Option<RangeInclusive<u16>> {
    let (from, to) = match value {
        Value::Number(number) => {
            let status = u16::try_from(number.as_u64()?).ok()?;
            (status, status)
        }
        Value::String(text) => {
            let (from, to) = text.split_once('-').unwrap_or((text, text));
            (from.trim().parse().ok()?, to.trim().parse().ok()?)
        }
        _ => return None,
    };
    (ALL.contains(&from) && ALL.contains(&to) && from <= to).then_some(from..=to)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_ranges_are_statuses() {
        let some = Statuses::read(&json!([201, "300 - 302", "404"])).unwrap();
        let found: Vec<u16> = ALL.filter(|status| some.contains(*status)).collect();
        assert_eq!(found, [201, 300, 301, 302, 404]);
        for bad in [
            json!([]),
            json!("200"),
            json!([99]),
            json!(["200-"]),
            json!(["299-200"]),
            json!(["2xx"]),
            json!([true]),
            json!([600]),
        ] {
            assert_eq!(Statuses::read(&bad), None, "{bad}");
        }
    }
}
