//! What has happened: from what ledgers say, and from how one look differs from the one before. Pure.

use std::collections::BTreeMap;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::count::counted;
use gridloom_shared::id::{RunId, Session};
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::orders::actions::Recorded;
use gridloom_shared::reads::live::{News, What};

use super::snapshot::{Happening, Planner, Snapshot, Worker};

const FAILED: &str = "failed";
const ABORTED: &str = "is ended: too many of its shards are dead";

/// So many of a kind are told one by one.
const ONE_BY_ONE: usize = 4;

/// What the ledgers of runs say, in words. Of what happened to one run several times at once it is told once.
pub(super) fn of_runs(news: &[News], names: &BTreeMap<Session, String>) -> Vec<Happening> {
    let mut told = Vec::new();
    let mut alike: BTreeMap<(&'static str, &'static str), Vec<&News>> = BTreeMap::new();
    let mut taken: BTreeMap<(&RunId, Session, &'static str), (UnixMs, usize)> = BTreeMap::new();
    let mut died: BTreeMap<&RunId, (UnixMs, u64)> = BTreeMap::new();
    for one in news {
        match &one.what {
            What::TakenOver {
                session,
                tiles,
                reason,
            } => {
                let key = (&one.run, *session, because(*reason));
                let all = taken.entry(key).or_insert((one.at, 0));
                *all = (one.at, all.1 + tiles);
            }
            What::Died { shards } => {
                let all = died.entry(&one.run).or_insert((one.at, 0));
                *all = (one.at, all.1 + shards);
            }
            other => alike.entry(in_words(other)).or_default().push(one),
        }
    }
    for ((is, are), all) in alike {
        told.extend(counted_alike(&all, is, are));
    }
    for ((run, session, why), (at, tiles)) in taken {
        let name = names.get(&session).cloned();
        let name = name.unwrap_or_else(|| session.to_string());
        let tiles = counted(tiles as u64, "tile");
        let what = format!("worker {name} took over {tiles} of run {run}: {why}");
        told.push(happening(at, run, &what, false));
    }
    for (run, (at, shards)) in died {
        let are = if shards == 1 { "is" } else { "are" };
        let what = format!("{} of run {run} {are} dead", counted(shards, "shard"));
        told.push(happening(at, run, &what, true));
    }
    told.sort_by(|one, other| one.at.cmp(&other.at));
    told
}

/// What is said of one run, and of several.
fn in_words(what: &What) -> (&'static str, &'static str) {
    match what {
        What::Opened => ("is open", "were opened"),
        What::Closed(RunState::Succeeded) => ("succeeded", "succeeded"),
        What::Closed(RunState::Cancelled) => ("is cancelled", "are cancelled"),
        What::Closed(RunState::Failed | RunState::Running) => (FAILED, FAILED),
        What::Cancelled { aborted: true } => {
            (ABORTED, "are ended: too many of their shards are dead")
        }
        What::Cancelled { aborted: false } => ("is being cancelled", "are being cancelled"),
        What::Reopened => ("goes on", "go on"),
        What::Dropped => ("had dead shards given up", "had dead shards given up"),
        What::TakenOver { .. } => ("was taken over", "were taken over"),
        What::Died { .. } => ("has dead shards", "have dead shards"),
    }
}

fn counted_alike(all: &[&News], is: &str, are: &str) -> Vec<Happening> {
    let grave = [FAILED, ABORTED].contains(&is);
    if all.len() > ONE_BY_ONE {
        let at = all.iter().map(|one| one.at).max().unwrap_or(UnixMs(0));
        return vec![Happening {
            at: at.rfc3339(),
            what: format!("{} {are}", counted(all.len() as u64, "run")),
            run: None,
            grave,
        }];
    }
    let one_by_one = all
        .iter()
        .map(|one| happening(one.at, &one.run, &format!("run {} {is}", one.run), grave));
    one_by_one.collect()
}

fn happening(at: UnixMs, run: &RunId, what: &str, grave: bool) -> Happening {
    Happening {
        at: at.rfc3339(),
        what: what.to_owned(),
        run: Some(run.clone()),
        grave,
    }
}

fn because(reason: Reason) -> &'static str {
    match reason {
        Reason::Count => "whoever held them was lost",
        Reason::Floor => "the broker or its consumer is a new one",
        Reason::Again => "they were put on the queue again",
        Reason::Returned => "they had been handed back",
    }
}

/// An order that somebody gave.
pub(super) fn of_order(recorded: &Recorded) -> Option<Happening> {
    let action = recorded.action.as_ref()?;
    let of = match action.of.as_str() {
        "" => String::new(),
        of => format!(" {of}"),
    };
    Some(Happening {
        at: recorded.at.clone(),
        what: format!("{} ordered: {}{of}", action.by, action.what),
        run: RunId::new(&action.of).ok(),
        grave: false,
    })
}

/// How what was seen differs from what was seen before.
pub(super) fn between(before: &Snapshot, after: &Snapshot) -> Vec<Happening> {
    let mut told: Vec<(String, bool)> = Vec::new();
    told.extend(of_leaders(&before.planners, &after.planners));
    told.extend(of_workers(&before.workers, &after.workers));
    for pause in &after.pauses {
        if !before.pauses.contains(pause) {
            told.push((pause.words.clone(), pause.job.is_none()));
        }
    }
    for pause in &before.pauses {
        if !after.pauses.iter().any(|now| now.job == pause.job) {
            told.push(match &pause.job {
                Some(job) => (format!("the schedule of job {job} is resumed"), false),
                None => ("the schedules of all jobs are resumed".to_owned(), false),
            });
        }
    }
    let raised = after.alarms.iter();
    let raised = raised.filter(|alarm| !before.alarms.contains(alarm));
    told.extend(raised.map(|alarm| (alarm.clone(), true)));
    let told = told.into_iter().map(|(what, grave)| Happening {
        at: after.at.clone(),
        what,
        run: None,
        grave,
    });
    told.collect()
}

fn leader(planners: &[Planner]) -> Option<(&str, u64)> {
    let leader = planners.iter().filter_map(|planner| {
        let term = planner.term?;
        Some((planner.planner.as_str(), term))
    });
    // One that does not know yet that it is deposed has the lower one.
    leader.max_by_key(|(_, term)| *term)
}

fn of_leaders(before: &[Planner], after: &[Planner]) -> Vec<(String, bool)> {
    let (was, is) = (leader(before), leader(after));
    match (was, is) {
        (was, is) if was == is => Vec::new(),
        (Some((name, term)), None) => vec![(
            format!("planner {name} answers no more: nobody leads (it led under term {term})"),
            true,
        )],
        (_, Some((name, term))) => vec![(format!("planner {name} leads, term {term}"), false)],
        (None, None) => Vec::new(),
    }
}

fn of_workers(before: &[Worker], after: &[Worker]) -> Vec<(String, bool)> {
    let find = |all: &[Worker], session: &str| -> Option<Worker> {
        let mut all = all.iter();
        all.find(|worker| worker.standing.session == session)
            .cloned()
    };
    let (mut come, mut gone, mut silent, mut others) = (vec![], vec![], vec![], vec![]);
    for worker in after {
        let now = &worker.standing;
        let was = find(before, &now.session).map(|was| was.standing);
        match (was.as_ref().map(|was| was.answers), now.answers) {
            (None | Some(false), true) => come.push(now.worker.as_str()),
            (Some(true), false) => silent.push(now.worker.as_str()),
            _ => {}
        }
        let Some(was) = was else {
            continue;
        };
        if now.stopping && !was.stopping {
            others.push((format!("worker {} is stopping", now.worker), false));
        }
        if !now.trouble.is_empty() && now.trouble != was.trouble {
            others.push((format!("worker {}: {}", now.worker, now.trouble), true));
        }
    }
    for worker in before {
        if worker.standing.answers && find(after, &worker.standing.session).is_none() {
            gone.push(worker.standing.worker.as_str());
        }
    }
    let mut told = Vec::new();
    told.extend(named(&come, "answers", "answer", false));
    told.extend(named(&gone, "is gone", "are gone", false));
    told.extend(named(&silent, "is silent", "are silent", true));
    told.extend(others);
    told
}

fn named(names: &[&str], is: &str, are: &str, grave: bool) -> Option<(String, bool)> {
    let more = names.len().saturating_sub(ONE_BY_ONE);
    let first = names.iter().take(ONE_BY_ONE).copied().collect::<Vec<_>>();
    let first = first.join(", ");
    let words = match (names.len(), more) {
        (0, _) => return None,
        (1, _) => format!("worker {first} {is}"),
        (_, 0) => format!("workers {first} {are}"),
        (_, more) => format!("workers {first} and {more} more {are}"),
    };
    Some((words, grave))
}

#[cfg(test)]
mod tests;
