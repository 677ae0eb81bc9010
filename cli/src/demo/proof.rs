//! What the demo's result must be, and whether it is: the totals against a plain query, and the
//! audit of the run's ledger.

use gridloom_shared::ledger::audit::Report;
use serde_json::{Value, json};

use crate::commands::runs::show_report;
use crate::output::{Align, Output, Story, Table, grouped};

use super::data::{Carrier, FLIGHTS};
use super::watch::Ended;

/// Everything that is known in the end.
pub(super) struct Proof<'a> {
    /// How the run ended.
    pub(super) ended: &'a Ended,
    /// What the job added up.
    pub(super) totals: &'a [Carrier],
    /// What one plain query says.
    pub(super) plain: &'a [Carrier],
    /// What the ledger proves.
    pub(super) audit: &'a Report,
}

impl Proof<'_> {
    fn flights(&self) -> u64 {
        self.totals.iter().map(|carrier| carrier.flights).sum()
    }

    fn plainly(&self) -> u64 {
        self.plain.iter().map(|carrier| carrier.flights).sum()
    }

    fn same(&self) -> bool {
        self.totals == self.plain && self.flights() == FLIGHTS
    }

    /// What the shards reported to the ledger.
    fn counted(&self) -> i128 {
        self.ended
            .summary
            .counters
            .get("flights")
            .copied()
            .unwrap_or(0)
    }

    fn counted_right(&self) -> bool {
        u64::try_from(self.counted()) == Ok(FLIGHTS)
    }

    fn audited(&self) -> bool {
        let audit = self.audit;
        audit.ok
            && audit.planned == audit.committed
            && audit.lost_cells == 0
            && audit.twice_cells == 0
    }

    /// Whether every check held.
    pub(super) fn holds(&self) -> bool {
        self.same() && self.counted_right() && self.audited()
    }

    /// Tells it to people.
    pub(super) fn tell(&self, story: &Story, output: &Output) {
        story.line("");
        story.table(&self.table());
        story.line("");
        let sum = format!(
            "{} flights added up page by page, {} by one plain query, all columns alike",
            grouped(self.flights()),
            grouped(self.plainly())
        );
        story.check("sum", &sum, self.same());
        let counted = u64::try_from(self.counted()).unwrap_or(0);
        let counted = format!(
            "{} flights counted by the shards in the run's ledger",
            grouped(counted)
        );
        story.check("ledger", &counted, self.counted_right());
        story.check("audit", &self.audit_words(), self.audited());
        if !self.audited() && !output.is_json() {
            show_report(output, self.audit);
        }
    }

    fn audit_words(&self) -> String {
        let audit = self.audit;
        format!(
            "planned {}, committed {}, taken over {}, lost {}, twice {}",
            grouped(audit.planned),
            grouped(audit.committed),
            grouped(audit.takeovers),
            grouped(audit.lost_cells),
            grouped(audit.twice_cells)
        )
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            ("carrier", Align::Left),
            ("flights", Align::Right),
            ("mean departure delay", Align::Right),
            ("mean arrival delay", Align::Right),
            ("left later than", Align::Right),
        ]);
        for carrier in self.totals {
            table.row([
                carrier.code.clone(),
                grouped(carrier.flights),
                format!("{:.1} min", carrier.mean_departure_delay()),
                format!("{:.1} min", carrier.mean_arrival_delay()),
                format!("{:.0} others that day", carrier.mean_beaten_by()),
            ]);
        }
        table
    }

    /// Tells it to programs.
    pub(super) fn document(&self) -> Value {
        let carriers = self.totals.iter().map(|carrier| {
            json!({
                "carrier": carrier.code,
                "flights": carrier.flights,
                "mean_departure_delay_min": carrier.mean_departure_delay(),
                "mean_arrival_delay_min": carrier.mean_arrival_delay(),
            })
        });
        json!({
            "phase": "result",
            "ok": self.holds(),
            "run": self.ended.summary,
            "workers": self.ended.workers,
            "worker_killed": self.ended.killed,
            "carriers": carriers.collect::<Vec<_>>(),
            "flights": self.flights(),
            "flights_plainly": self.plainly(),
            "audit": self.audit,
        })
    }
}
