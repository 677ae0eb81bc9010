//! What a job's schedule means, by the calendars that it names.

use std::sync::Arc;

use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::schedule::record::State;
use gridloom_shared::schedule::{Calendars, Plan, Spec};

use super::{Defined, Job};

impl Job {
    pub(super) fn plan(&self, state: &State) -> Option<Plan> {
        self.plan_of(state.spec.as_ref()?, state.anchor)
    }

    pub(super) fn plan_of(&self, spec: &Spec, anchor: UnixMs) -> Option<Plan> {
        match Plan::in_force(spec, self.name.as_str(), &self.calendars, anchor) {
            Ok(plan) => Some(plan),
            Err(error) => {
                if self.leads {
                    tracing::error!(job = %self.name, error = %chain(&error), "its schedule cannot be followed");
                }
                None
            }
        }
    }

    /// Whether its schedule, as it is or is to be, or a backfill names calendars, or this one.
    pub(in super::super) fn names(&self, calendar: Option<&str>) -> bool {
        let defined = match &self.defined {
            Defined::There(_, spec, _) => spec.as_deref(),
            Defined::Unseen | Defined::Nonsense(_) | Defined::Gone(_) => None,
        };
        let adopted = self.fires.state().and_then(|state| state.spec.as_ref());
        let all = defined.into_iter().chain(adopted);
        let mut named = all.chain(self.backfills.specs()).flat_map(Spec::calendars);
        named.any(|name| calendar.is_none_or(|calendar| calendar == name.as_str()))
    }

    /// These are the calendars from now on.
    pub(in super::super) fn see(&mut self, calendars: &Arc<Calendars>) {
        if Arc::ptr_eq(&self.calendars, calendars) || !self.names(None) {
            return;
        }
        self.calendars = calendars.clone();
        let plan = self.fires.state().and_then(|state| self.plan(state));
        self.fires.replan(plan);
        self.replan_backfills();
    }
}
