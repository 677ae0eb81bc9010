//! A job's schedule, and the times that people type.

pub(super) use gridloom_planner::prospect::times::{moment, plan, schedule, time_in_utc, time_of};
