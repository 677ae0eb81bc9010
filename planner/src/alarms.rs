//! Which alarms are to stand, so that somebody is told where no planner is left: of the next fire of each job, and of
//! each run that has to be over by a time. Pure, and a question about the whole situation like [`crate::schedule`].
//!
//! An alarm too many is a nuisance, one too few is silence: an alarm is never later than it has to be, and one that would be
//! wrong is replaced within a round. One that would be right about the next fire as well stays, so that a job that fires each
//! second costs an alarm every half minute and not one a fire.
//!
//! | what stands | what is needed | what is done |
//! |-------------|----------------|--------------|
//! | nothing | an alarm | armed; where its time is past, from now |
//! | armed | an earlier one | armed |
//! | armed, and about nothing that will be missed by then | an alarm | armed |
//! | armed, right, and about to be raised | a later one | armed |
//! | armed, right, and about to be raised | none later: what is due has no answer | nothing: it will be right |
//! | raised | one in the future | armed, and the raised one withdrawn |
//! | raised | one that is past | nothing: it is right |
//! | armed or raised | none | withdrawn |

use std::collections::{BTreeMap, BTreeSet};

use gridloom_shared::alarm::{Alarm, Watched};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::limits::{ALARM_AFTER, ALARM_MARGIN};

/// What is to be missed where it does not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The nominal time of the fire, or of the run's.
    pub scheduled_at: UnixMs,
    /// When the fire is to open, or the run to be over.
    pub due: UnixMs,
    /// It waits for something that a planner has no power over: as long as one is there it is not missed.
    pub waits: bool,
}

/// What is watched of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Its next fire.
    pub fire: Option<Need>,
    /// Its runs that have to be over by a time.
    pub runs: BTreeMap<RunId, Need>,
}

/// What stands of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its place in the stream.
    pub seq: u64,
    /// For when it is armed. `None`: it was raised.
    pub at: Option<UnixMs>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Armed in place of what stands at `expected` (0: nothing does).
    Arm {
        /// The alarm.
        alarm: Alarm,
        /// What it takes the place of.
        expected: u64,
        /// Whether that was raised, and is to be withdrawn after this.
        raised: bool,
    },
    /// Nothing of it is to stand.
    Withdraw(Watched),
}

/// What is needed, and what stands.
#[derive(Debug, Default)]
pub struct Alarms {
    needs: BTreeMap<JobName, Needs>,
    /// Whether each job was heard of: what is not needed then is not needed at all.
    whole: bool,
    standing: BTreeMap<Watched, Place>,
    /// To be looked at in the next round.
    touched: BTreeSet<Watched>,
    /// To be looked at then.
    ends: BTreeSet<(UnixMs, Watched)>,
}

impl Alarms {
    /// All that stands, as it was read.
    pub fn read(&mut self, standing: impl IntoIterator<Item = (Watched, Place)>) {
        self.standing = standing.into_iter().collect();
        self.ends.clear();
        self.touch_all();
    }

    /// What stands of one of them.
    pub fn found(&mut self, watched: Watched, standing: Option<Place>) {
        match standing {
            Some(standing) => self.standing.insert(watched.clone(), standing),
            None => self.standing.remove(&watched),
        };
        self.touched.insert(watched);
    }

    /// What is watched of a job from now on.
    pub fn hear(&mut self, job: JobName, needs: Needs) {
        let fire = Watched::Fire(job.clone());
        let before = self.needs.get(&job);
        if before.is_none_or(|before| before.fire != needs.fire) {
            self.touched.insert(fire);
        }
        let none = BTreeMap::new();
        let before = before.map_or(&none, |before| &before.runs);
        let gone = before.keys().filter(|run| !needs.runs.contains_key(run));
        let changed = needs
            .runs
            .iter()
            .filter(|(run, need)| before.get(run) != Some(need));
        let runs = gone.chain(changed.map(|(run, _)| run)).cloned();
        self.touched.extend(runs.map(Watched::Run));
        self.needs.insert(job, needs);
    }

    /// All jobs were heard of.
    pub fn is_whole(&mut self) {
        if !std::mem::replace(&mut self.whole, true) {
            self.touch_all();
        }
    }

    /// How many stand.
    pub fn count(&self) -> usize {
        self.standing.len()
    }

    /// What is to be done now, by the broker's clock.
    pub fn actions(&mut self, now: UnixMs) -> Vec<Action> {
        while let Some((at, _)) = self.ends.first()
            && *at <= now
            && let Some((_, watched)) = self.ends.pop_first()
        {
            self.touched.insert(watched);
        }
        let touched = std::mem::take(&mut self.touched);
        let mut actions = Vec::new();
        for watched in touched {
            match self.action(&watched, now) {
                Some(action) => actions.push(action),
                None => self.look_again(watched, now),
            }
        }
        actions
    }

    fn touch_all(&mut self) {
        let needed = self.needs.iter().flat_map(|(job, needs)| {
            let runs = needs.runs.keys().cloned().map(Watched::Run);
            runs.chain([Watched::Fire(job.clone())])
        });
        let standing = self.standing.keys().cloned();
        let all: Vec<Watched> = needed.chain(standing).collect();
        self.touched.extend(all);
    }

    fn look_again(&mut self, watched: Watched, now: UnixMs) {
        let at = self.standing.get(&watched).and_then(|it| it.at);
        if let Some(at) = at.filter(|at| *at > now + ALARM_MARGIN) {
            self.ends.insert((before(at), watched));
        }
    }

    fn needed(&self, watched: &Watched) -> Option<&Need> {
        match watched {
            Watched::Fire(job) => self.needs.get(job)?.fire.as_ref(),
            Watched::Run(run) => self.needs_of(watched)?.runs.get(run),
        }
    }

    fn needs_of(&self, watched: &Watched) -> Option<&Needs> {
        self.needs.get(&JobName::new(watched.job()).ok()?)
    }

    fn action(&self, watched: &Watched, now: UnixMs) -> Option<Action> {
        let standing = self.standing.get(watched);
        let Some(need) = self.needed(watched) else {
            let known = self.whole || self.needs_of(watched).is_some();
            return standing
                .filter(|_| known)
                .map(|_| Action::Withdraw(watched.clone()));
        };
        let at = match watched {
            Watched::Fire(_) => fire(need, standing, now)?,
            Watched::Run(_) => run(need, standing, now)?,
        };
        Some(Action::Arm {
            alarm: Alarm {
                watched: watched.clone(),
                scheduled_at: need.scheduled_at,
                due: need.due,
                at,
            },
            expected: standing.map_or(0, |standing| standing.seq),
            raised: standing.is_some_and(|standing| standing.at.is_none()),
        })
    }
}

/// For when the alarm of a fire is to be armed. `None`: what stands is right.
fn fire(need: &Need, standing: Option<&Place>, now: UnixMs) -> Option<UnixMs> {
    let wanted = match need.waits {
        true => (need.due + ALARM_AFTER).max(now + ALARM_AFTER),
        false => need.due + ALARM_AFTER,
    };
    let is_to_come = wanted > now;
    let Some(standing) = standing else {
        return Some(if is_to_come {
            wanted
        } else {
            now + ALARM_AFTER
        });
    };
    let Some(at) = standing.at else {
        return is_to_come.then_some(wanted);
    };
    let late = at > wanted && is_to_come;
    let wrong = need.due + ALARM_MARGIN > at;
    let near = at <= now + ALARM_MARGIN && wanted > at;
    (late || wrong || near).then_some(wanted)
}

/// The same of a run: its alarm is raised when it has to be over, also where a planner is.
fn run(need: &Need, standing: Option<&Place>, now: UnixMs) -> Option<UnixMs> {
    match standing.map(|standing| standing.at) {
        None => Some(need.due.max(now)),
        Some(Some(at)) => (at != need.due && need.due > now).then_some(need.due),
        Some(None) => (need.due > now).then_some(need.due),
    }
}

/// When an alarm is to be put off.
fn before(at: UnixMs) -> UnixMs {
    let margin = u64::try_from(ALARM_MARGIN.as_millis()).unwrap_or(u64::MAX);
    UnixMs(at.0.saturating_sub(margin))
}

#[cfg(test)]
mod tests;
