//! How old a record is that somebody means to remove. Pure.
//!
//! Age counts only as time that planners saw pass. The broker's stamps alone do not tell it: its clock may
//! have jumped, in the sight of a planner or while none ran, and what is removed does not come back. So the
//! `state` bucket holds up to when planners have watched, and each leap of the broker's clock that none of
//! them saw pass; what was stored before it is younger by that much. Where nothing is known, nothing is old.
//!
//! A leap counts from [`LEAP`] on where one planner watched both ends, and from [`AWAY`] on where the one
//! before was another: so much a change of leader may take, and so much at most it can hide.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::limits::LEAPS_MAX;
use serde::{Deserialize, Serialize};

/// By so much two clocks may differ over one look.
const LEAP: Duration = Duration::from_secs(5);
/// For so long there may have been nobody who looked.
const AWAY: Duration = Duration::from_secs(600);
/// By so much a stamp may lie ahead: clocks of a cluster's members differ a little.
const AHEAD_MS: u64 = 60_000;

/// What planners have seen of the broker's clock, as JSON in the `state` bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Since when they look. Nothing is older than that.
    pub since: UnixMs,
    /// Up to when.
    pub until: UnixMs,
    /// Where the clock went on without being seen.
    #[serde(default)]
    pub leaps: Vec<Leap>,
}

/// A leap of the broker's clock, or a time in which no planner looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leap {
    /// Where it ended, by the broker's clock.
    pub at: UnixMs,
    /// By how much the clock went on, in milliseconds.
    pub ms: u64,
}

impl Watched {
    /// Nobody has looked before `now`.
    pub fn begin(now: UnixMs) -> Watched {
        Watched {
            since: now,
            until: now,
            leaps: Vec::new(),
        }
    }

    /// What stands in the bucket at `now`. `None` for what cannot be, or lies ahead: by that nothing would
    /// ever be old, and whoever begins anew only keeps things for longer.
    pub fn read(value: &[u8], now: UnixMs) -> Option<Watched> {
        let watched = serde_json::from_slice::<Watched>(value).ok()?;
        let ahead = |at: UnixMs| at.0 > now.0.saturating_add(AHEAD_MS);
        let sound = !ahead(watched.since) && !watched.leaps.iter().any(|leap| ahead(leap.at));
        sound.then_some(watched)
    }

    /// It is `now`. `passed` is what this planner saw pass since its own last look; `None` where the last
    /// one was another's.
    pub fn look(&mut self, now: UnixMs, passed: Option<Duration>) {
        let by_broker = Duration::from_millis(now.0.saturating_sub(self.until.0));
        let allowed = passed.map_or(AWAY, |passed| passed + LEAP);
        if by_broker > allowed {
            let unseen = by_broker.saturating_sub(passed.unwrap_or_default());
            self.leaps.push(Leap {
                at: now,
                ms: u64::try_from(unseen.as_millis()).unwrap_or(u64::MAX),
            });
        }
        // A clock that was set back has to come here again, and that is no age either.
        self.until = now;
        while self.leaps.len() > LEAPS_MAX {
            let oldest = self.leaps.remove(0);
            self.leaps[0].ms = self.leaps[0].ms.saturating_add(oldest.ms);
        }
    }

    /// How old what was stored at `stored` is at least.
    pub fn age(&self, stored: UnixMs) -> Duration {
        let from = stored.max(self.since);
        let unseen = self.leaps.iter().filter(|leap| leap.at > from);
        let unseen = unseen.fold(0_u64, |sum, leap| sum.saturating_add(leap.ms));
        let age = self.until.0.saturating_sub(from.0);
        Duration::from_millis(age.saturating_sub(unseen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600_000;
    const FORTY: u64 = 40 * DAY;

    fn days(days: u64) -> Duration {
        Duration::from_millis(days * DAY)
    }

    /// One planner that looks once a day and sees a day pass each time.
    fn watched(watched: &mut Watched, days: u64) {
        for _ in 0..days {
            let now = UnixMs(watched.until.0 + DAY);
            watched.look(now, Some(Duration::from_millis(DAY)));
        }
    }

    #[test]
    fn age_is_what_planners_saw_pass() {
        let mut clock = Watched::begin(UnixMs(1_000 * DAY));
        watched(&mut clock, 3);
        assert_eq!(clock.age(UnixMs(1_001 * DAY)), days(2));
        // Nobody looked when these were stored.
        assert_eq!(clock.age(UnixMs(0)), days(3));
        assert_eq!(clock.age(UnixMs(2_000 * DAY)), days(0));
    }

    #[test]
    fn leap_of_forty_days_makes_nothing_older() {
        for seen in [Some(Duration::from_secs(60)), None] {
            let mut clock = Watched::begin(UnixMs(1_000 * DAY));
            watched(&mut clock, 3);
            clock.look(UnixMs(clock.until.0 + FORTY), seen);
            let before = clock.age(UnixMs(1_001 * DAY));
            let minute = Duration::from_secs(60);
            assert!((days(2)..=days(2) + minute).contains(&before), "{before:?}");
            let after = clock.until;
            watched(&mut clock, 5);
            assert_eq!(clock.age(UnixMs(1_001 * DAY)), before + days(5));
            assert_eq!(clock.age(after), days(5));
        }
    }

    #[test]
    fn clock_that_is_set_back_and_right_again_makes_nothing_older() {
        let mut clock = Watched::begin(UnixMs(1_000 * DAY));
        watched(&mut clock, 2);
        let minute = Some(Duration::from_secs(60));
        clock.look(UnixMs(clock.until.0 - FORTY), minute);
        assert_eq!(clock.age(UnixMs(1_001 * DAY)), days(0));
        clock.look(UnixMs(clock.until.0 + FORTY), minute);
        assert!(clock.age(UnixMs(1_001 * DAY)) <= days(1));
    }

    #[test]
    fn change_of_leader_is_no_leap_and_hides_little() {
        let mut clock = Watched::begin(UnixMs(DAY));
        let away = u64::try_from(AWAY.as_millis()).unwrap();
        clock.look(UnixMs(DAY + away), None);
        assert_eq!(clock.leaps, []);
        clock.look(UnixMs(clock.until.0 + away + 1), None);
        assert_eq!(clock.leaps.len(), 1);
        assert_eq!(clock.age(UnixMs(DAY)), AWAY);
    }

    #[test]
    fn what_lies_ahead_is_not_gone_by() {
        let now = UnixMs(1_000 * DAY);
        let sound = Watched::begin(now);
        let bytes = serde_json::json!(sound).to_string();
        assert_eq!(Watched::read(bytes.as_bytes(), now), Some(sound));
        let far = u64::MAX;
        for bad in [
            String::new(),
            "{".into(),
            "7".into(),
            format!(r#"{{"since":{far},"until":5}}"#),
            format!(r#"{{"since":5,"until":5,"leaps":[{{"at":{far},"ms":1}}]}}"#),
        ] {
            assert_eq!(Watched::read(bad.as_bytes(), now), None, "{bad}");
        }
        // Only up to when it was looked: the next look mends that.
        let until = format!(r#"{{"since":5,"until":{far}}}"#);
        assert!(Watched::read(until.as_bytes(), now).is_some());
    }

    #[test]
    fn many_leaps_stay_bounded_and_make_nothing_older() {
        let mut clock = Watched::begin(UnixMs(DAY));
        for _ in 0..3 * LEAPS_MAX {
            clock.look(UnixMs(clock.until.0 + FORTY), None);
        }
        assert_eq!(clock.leaps.len(), LEAPS_MAX);
        assert_eq!(clock.age(UnixMs(DAY)), Duration::ZERO);
    }
}
