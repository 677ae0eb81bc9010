//! Who is next on a lane: the runs that could use room, by level, then by what their share has used,
//! then by their age. Pure; nothing of it is looked through for every run.
//!
//! A level is a priority, less one for each minute of waiting. Among the shares of one level the one
//! that has used the least worker-time goes next; within a share runs with little left go before long
//! ones, and then the older before the younger, so that runs are finished one after another.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gridloom_shared::id::{JobName, RunId, ShareName};

/// A priority, less one for each minute of waiting.
pub(super) type Level = i32;

/// Where a run stands among those of its job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Whether much is left of it.
    pub(super) long: bool,
    /// Ledger sequence of its first record.
    pub(super) opened: u64,
    pub(super) run: RunId,
}

/// Where a run waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) level: Level,
    pub(super) share: ShareName,
    pub(super) job: JobName,
    pub(super) rank: Rank,
}

/// The shares of one level.
#[derive(Debug, Default)]
struct Shares {
    /// Those that have a job which is not blocked, by what they have used. A share may stand here
    /// although all its jobs have been blocked since: it is taken out when that is noticed.
    by_use: BTreeSet<(u64, ShareName)>,
    jobs: HashMap<ShareName, BTreeMap<JobName, BTreeSet<Rank>>>,
}

/// What waits for one lane.
#[derive(Debug, Default)]
pub(super) struct Line {
    levels: BTreeMap<Level, Shares>,
}

/// Who is next. What comes first in this order goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Head {
    pub(super) level: Level,
    /// What its share has used.
    pub(super) used: u64,
    pub(super) share: ShareName,
    pub(super) rank: Rank,
    pub(super) job: JobName,
}

impl Line {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Whether somebody waits whose job is not known to be blocked.
    pub(super) fn is_asking(&self) -> bool {
        let mut levels = self.levels.values();
        levels.any(|shares| !shares.by_use.is_empty())
    }

    /// The level of whoever waits first.
    pub(super) fn first_level(&self) -> Option<Level> {
        self.levels.keys().next().copied()
    }

    /// The jobs whose runs wait, each with how many, at each level.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&JobName, usize)> {
        let shares = self.levels.values();
        let jobs = shares.flat_map(|shares| shares.jobs.values().flatten());
        jobs.map(|(job, runs)| (job, runs.len()))
    }

    /// A run could use room, whose share has used so much.
    pub(super) fn insert(&mut self, place: &Place, used: u64) {
        let shares = self.levels.entry(place.level).or_default();
        shares.by_use.insert((used, place.share.clone()));
        let jobs = shares.jobs.entry(place.share.clone()).or_default();
        let runs = jobs.entry(place.job.clone()).or_default();
        runs.insert(place.rank.clone());
    }

    /// It cannot any more.
    pub(super) fn remove(&mut self, place: &Place, used: u64) {
        let Some(shares) = self.levels.get_mut(&place.level) else {
            return;
        };
        let Some(jobs) = shares.jobs.get_mut(&place.share) else {
            return;
        };
        if let Some(runs) = jobs.get_mut(&place.job) {
            runs.remove(&place.rank);
            if runs.is_empty() {
                jobs.remove(&place.job);
            }
        }
        if jobs.is_empty() {
            shares.jobs.remove(&place.share);
            shares.by_use.remove(&(used, place.share.clone()));
        }
        if shares.jobs.is_empty() {
            self.levels.remove(&place.level);
        }
    }

    /// A job that was blocked may be served again.
    pub(super) fn unblock(&mut self, share: &ShareName, used: u64, job: &JobName) {
        for shares in self.levels.values_mut() {
            if shares
                .jobs
                .get(share)
                .is_some_and(|jobs| jobs.contains_key(job))
            {
                shares.by_use.insert((used, share.clone()));
            }
        }
    }

    /// A share has used another amount than before.
    pub(super) fn charged(&mut self, share: &ShareName, (before, after): (u64, u64)) {
        for shares in self.levels.values_mut() {
            if shares.by_use.remove(&(before, share.clone())) {
                shares.by_use.insert((after, share.clone()));
            }
        }
    }

    /// Whoever is next, of those that `may` be served. A job that may not is not asked again before
    /// [`Line::unblock`].
    pub(super) fn head(&mut self, mut may: impl FnMut(&JobName) -> bool) -> Option<Head> {
        for (level, shares) in &mut self.levels {
            while let Some((used, share)) = shares.by_use.first().cloned() {
                let jobs = shares.jobs.get(&share);
                let open = jobs.into_iter().flatten().filter(|(job, _)| may(job));
                let first = open
                    .filter_map(|(job, runs)| Some((runs.first()?, job)))
                    .min_by(|(a, _), (b, _)| a.cmp(b));
                let Some((rank, job)) = first else {
                    shares.by_use.remove(&(used, share));
                    continue;
                };
                return Some(Head {
                    level: *level,
                    used,
                    share,
                    rank: rank.clone(),
                    job: job.clone(),
                });
            }
        }
        None
    }

    /// What the share has used that comes first on a level, besides `share`.
    pub(super) fn rival(&self, level: Level, share: &ShareName) -> Option<u64> {
        let shares = self.levels.get(&level)?;
        let mut others = shares.by_use.iter().filter(|(_, other)| other != share);
        others.next().map(|(used, _)| *used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(run: &str, job: &str, share: &str, level: Level, opened: u64) -> Place {
        Place {
            level,
            share: ShareName::new(share).unwrap(),
            job: JobName::new(job).unwrap(),
            rank: Rank {
                long: false,
                opened,
                run: RunId::new(run).unwrap(),
            },
        }
    }

    fn next(line: &mut Line) -> Option<String> {
        line.head(|_| true).map(|head| head.rank.run.to_string())
    }

    #[test]
    fn level_goes_before_share_and_age() {
        let mut line = Line::default();
        line.insert(&place("a_s_1", "a", "a", 5, 1), 0);
        line.insert(&place("b_s_2", "b", "b", 1, 2), 900);
        assert_eq!(next(&mut line).unwrap(), "b_s_2");
        line.remove(&place("b_s_2", "b", "b", 1, 2), 900);
        assert_eq!(next(&mut line).unwrap(), "a_s_1");
        line.remove(&place("a_s_1", "a", "a", 5, 1), 0);
        assert!(line.is_empty() && next(&mut line).is_none());
    }

    #[test]
    fn share_that_has_used_less_goes_first_and_runs_of_a_share_by_their_age() {
        let mut line = Line::default();
        let [a, b] = ["a", "b"].map(|name| ShareName::new(name).unwrap());
        line.insert(&place("a_s_1", "a", "a", 5, 1), 0);
        line.insert(&place("a_s_2", "a", "a", 5, 2), 0);
        line.insert(&place("b_s_3", "b", "b", 5, 3), 0);
        line.charged(&a, (0, 700));
        assert_eq!(next(&mut line).unwrap(), "b_s_3");
        assert_eq!(line.rival(5, &b), Some(700));
        line.charged(&b, (0, 900));
        assert_eq!(next(&mut line).unwrap(), "a_s_1");
    }

    #[test]
    fn run_with_little_left_goes_before_a_long_one_of_its_job() {
        let mut line = Line::default();
        let mut long = place("a_s_1", "a", "a", 5, 1);
        long.rank.long = true;
        line.insert(&long, 0);
        line.insert(&place("a_s_2", "a", "a", 5, 2), 0);
        assert_eq!(next(&mut line).unwrap(), "a_s_2");
    }

    #[test]
    fn blocked_job_is_passed_over_until_it_is_unblocked() {
        let mut line = Line::default();
        line.insert(&place("a_s_1", "a", "a", 5, 1), 0);
        line.insert(&place("b_s_2", "b", "b", 5, 2), 0);
        let a = JobName::new("a").unwrap();
        let head = line.head(|job| *job != a).unwrap();
        assert_eq!(head.rank.run.as_str(), "b_s_2");
        line.remove(&place("b_s_2", "b", "b", 5, 2), 0);
        let mut asked = 0;
        assert_eq!(line.head(|_| true), None, "it is not asked again");
        line.unblock(&ShareName::new("a").unwrap(), 0, &a);
        let head = line.head(|_| {
            asked += 1;
            true
        });
        assert_eq!((head.unwrap().rank.run.as_str(), asked), ("a_s_1", 1));
    }
}
