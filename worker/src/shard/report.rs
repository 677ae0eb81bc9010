//! What a handler said about one shard, within the ledger's bounds.

use bytes::Bytes;
use gridloom_shared::ledger::outcomes::{COUNTER_NAME_MAX, COUNTERS_MAX, RESULT_MAX, ROWS};

/// Counters and result of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    counters: Vec<(String, i64)>,
    result: Option<Bytes>,
    fault: Option<String>,
}

impl Report {
    /// The counters in the order of their first use; rows are the one called `rows`.
    pub fn counters(&self) -> &[(String, i64)] {
        &self.counters
    }

    /// The result, where there is one.
    pub fn result(&self) -> Option<&Bytes> {
        self.result.as_ref()
    }

    /// What the handler said that the ledger has no room for: the attempt fails for good.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    pub(super) fn add_rows(&mut self, rows: u64) {
        match i64::try_from(rows) {
            Ok(rows) => self.add(ROWS, rows),
            Err(_) => self.overflow(ROWS),
        }
    }

    pub(super) fn add(&mut self, name: &str, n: i64) {
        match self.counters.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => match sum.checked_add(n) {
                Some(more) => *sum = more,
                None => self.overflow(name),
            },
            None => self.begin(name.to_owned(), n),
        }
    }

    /// A sum that is not exact is none.
    fn overflow(&mut self, name: &str) {
        self.complain(format!(
            "counter {name:?} of one shard goes beyond 64 bits: count in a larger unit"
        ));
    }

    pub(super) fn set_result(&mut self, bytes: Bytes) {
        if bytes.len() > RESULT_MAX {
            self.complain(format!(
                "result of {} bytes is longer than {RESULT_MAX}: store it elsewhere",
                bytes.len()
            ));
        } else {
            self.result = Some(bytes);
        }
    }

    pub(super) fn restore(&mut self, counters: impl IntoIterator<Item = (String, i64)>) {
        *self = Report {
            result: self.result.take(),
            ..Report::default()
        };
        for (name, n) in counters {
            self.add(&name, n);
        }
    }

    fn begin(&mut self, name: String, n: i64) {
        if name.is_empty() || name.len() > COUNTER_NAME_MAX {
            self.complain(format!(
                "counter name {name:?} must have 1 to {COUNTER_NAME_MAX} bytes"
            ));
        } else if self.counters.len() >= COUNTERS_MAX {
            self.complain(format!(
                "counter {name:?} is one more than the {COUNTERS_MAX} that a shard may have"
            ));
        } else {
            self.counters.push((name, n));
        }
    }

    fn complain(&mut self, text: String) {
        self.fault.get_or_insert(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_and_rows_are_one_of_them() {
        let mut report = Report::default();
        report.add_rows(2);
        report.add("bytes", -5);
        report.add_rows(3);
        assert_eq!(
            report.counters(),
            [("rows".to_owned(), 5), ("bytes".to_owned(), -5)]
        );
        report.restore([("rows".to_owned(), 9)]);
        assert_eq!(report.counters(), [("rows".to_owned(), 9)]);
        assert_eq!(report.fault(), None);
    }

    #[test]
    fn what_the_ledger_has_no_room_for_is_a_fault() {
        let mut report = Report::default();
        let mut full = Report::default();
        full.add("bytes", i64::MAX);
        full.add("bytes", 0);
        assert_eq!(full.fault(), None);
        full.add("bytes", 1);
        assert!(full.fault().is_some());
        let mut rows = Report::default();
        rows.add_rows(1 << 63);
        assert!(rows.fault().is_some());
        for n in 0..=COUNTERS_MAX {
            report.add(&format!("c{n}"), 1);
        }
        assert!(report.fault().is_some());
        let mut long = Report::default();
        long.set_result(vec![0; RESULT_MAX + 1].into());
        assert!(long.fault().is_some() && long.result().is_none());
        let mut name = Report::default();
        name.add(&"n".repeat(COUNTER_NAME_MAX + 1), 1);
        assert!(name.fault().is_some());
    }
}
