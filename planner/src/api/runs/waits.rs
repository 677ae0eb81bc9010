//! What open runs wait for: those of a list, and all of them, where the same reason is told once. The leader is asked, and what
//! it said is told for a moment to all who want to know.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::reads::waits::{self, Said};
use gridloom_shared::waiting::Waiting;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::super::link::{Api, Linked};
use super::super::mirror::Place;
use super::super::problem::Answer;

/// A page of runs has so many at most where it says what they wait for.
pub(super) const LISTED_MAX: usize = 100;
/// So old may be what is told of runs in a list,
const LISTED: Duration = Duration::from_secs(2);
/// and of all.
const KEPT: Duration = Duration::from_secs(5);
/// Open runs that the leader is asked about, half of them those that are open for longest.
const LOOKED: usize = 512;
/// Reasons that are told.
const REASONS: usize = 64;

/// What a run waits for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct WaitTold {
    #[serde(flatten)]
    waiting: Waiting,
    /// The same as a sentence.
    words: String,
}

impl WaitTold {
    pub(super) fn of(waiting: Waiting) -> WaitTold {
        WaitTold {
            words: waiting.to_string(),
            waiting,
        }
    }
}

/// A run in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunListed {
    #[serde(flatten)]
    summary: RunSummary,
    /// What it waits for, the first reason first. Left out where nobody asks, of a run that is over, and where the leader has
    /// not said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<Vec<WaitTold>>,
}

/// What the leader said lately of runs in lists.
#[derive(Default)]
pub(in super::super) struct Lately(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    said: HashMap<RunId, (Instant, Vec<Waiting>)>,
    /// When it was asked, and did not answer.
    in_vain: Option<Instant>,
}

impl Lately {
    /// One at a time asks, and the others wait for it.
    async fn of(&self, broker: &Broker, listed: &[RunSummary]) -> Said {
        let mut heard = self.0.lock().await;
        let now = Instant::now();
        let is_fresh = |at: &Instant| now.duration_since(*at) < LISTED;
        heard.said.retain(|_, said| is_fresh(&said.0));
        let unsaid: Vec<&RunSummary> = listed
            .iter()
            .filter(|run| !heard.said.contains_key(&run.run))
            .collect();
        if heard.in_vain.as_ref().is_none_or(|at| !is_fresh(at)) {
            let said = waits::of_listed(broker, unsaid.into_iter()).await;
            heard.in_vain = said.is_none().then(Instant::now);
            let said = said.unwrap_or_default().into_iter();
            heard
                .said
                .extend(said.map(|(run, waits)| (run, (now, waits))));
        }
        let known = |run: &RunSummary| {
            let (_, waits) = heard.said.get(&run.run)?;
            Some((run.run.clone(), waits.clone()))
        };
        listed.iter().filter_map(known).collect()
    }
}

/// The runs of a page, with what they wait for where that is wanted.
pub(super) async fn listed(
    api: &Api,
    broker: &Broker,
    runs: Vec<RunSummary>,
    is_wanted: bool,
) -> Vec<RunListed> {
    let mut said = match is_wanted {
        true => api.lately.of(broker, &runs).await,
        false => Said::new(),
    };
    let listed = runs.into_iter().map(|summary| {
        let waits = said.remove(&summary.run).filter(|_| !summary.state.ended());
        RunListed {
            waits: waits.map(|waits| waits.into_iter().map(WaitTold::of).collect()),
            summary,
        }
    });
    listed.collect()
}

/// What all open runs wait for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in super::super) struct AllWaits {
    /// Open runs.
    open: usize,
    /// So many of them the leader was asked about: 512 at most, half of them those that are open for longest, half the newest.
    looked: usize,
    /// Whether a planner leads just now that could say it.
    leads: bool,
    /// What those are in want of that get no further now, the same together, the most runs first; 64 reasons at most.
    items: Vec<WaitShared>,
}

/// What some runs wait for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in super::super) struct WaitShared {
    #[serde(flatten)]
    wait: WaitTold,
    /// How many do.
    runs: usize,
    /// That of them which is open for longest.
    run: RunId,
    /// Its job.
    job: String,
}

/// What open runs are in want of, the same reason together. It is asked of the leader for all who want to know, and told for
/// 5 s.
#[utoipa::path(get, path = "/runs/waits", tag = "runs", operation_id = "waits",
    responses((status = 200, body = AllWaits)))]
pub(in super::super) async fn all(
    State(api): State<Api>,
    Linked(broker): Linked,
) -> Answer<Json<AllWaits>> {
    let look = |open: &BTreeSet<Place>| (open.len(), some(open, LOOKED));
    let (open, asked) = api.runs.look(|runs| look(runs.open())).await?;
    let ask = move || async move {
        let said = waits::of_many(&broker, &asked).await;
        AllWaits {
            open,
            looked: asked.len(),
            leads: said.is_some(),
            items: together(&asked, &said.unwrap_or_default()),
        }
    };
    Ok(Json(api.waits.get(KEPT, ask).await))
}

/// At most so many of them, the oldest first: where there are more, as many of the oldest as of the newest.
fn some(open: &BTreeSet<Place>, most: usize) -> Vec<RunId> {
    let name = |(_, run): &Place| run.clone();
    if open.len() <= most {
        return open.iter().map(name).collect();
    }
    let oldest = open.iter().take(most / 2);
    let newest = open.iter().skip(open.len() - (most - most / 2));
    oldest.chain(newest).map(name).collect()
}

fn together(asked: &[RunId], said: &Said) -> Vec<WaitShared> {
    let mut items: Vec<WaitShared> = Vec::new();
    for run in asked {
        let waits = said.get(run).map_or(&[][..], Vec::as_slice);
        let Some(first) = waits.iter().find(|wait| !wait.is_at_work()) else {
            continue;
        };
        let same = |item: &&mut WaitShared| item.wait.waiting.is_like(first);
        match items.iter_mut().find(same) {
            Some(item) => item.runs += 1,
            None => items.push(WaitShared {
                wait: WaitTold::of(first.clone()),
                runs: 1,
                run: run.clone(),
                job: run.job().to_owned(),
            }),
        }
    }
    items.sort_by_key(|item| Reverse(item.runs));
    items.truncate(REASONS);
    items
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::QueueName;

    use super::*;

    fn run(number: usize) -> RunId {
        RunId::new(format!("a_s_{number}")).unwrap()
    }

    fn nobody(queue: &str) -> Waiting {
        Waiting::NoWorker {
            queue: QueueName::new(queue).unwrap(),
        }
    }

    #[test]
    fn runs_that_wait_for_the_same_are_told_together_the_most_first_and_those_at_work_not_at_all() {
        let asked: Vec<RunId> = (1..=6).map(run).collect();
        let at_work = Waiting::Shards { tiles: 3 };
        let said = Said::from([
            (run(1), vec![at_work.clone()]),
            (run(2), vec![nobody("images")]),
            (run(3), vec![nobody("reports"), at_work.clone()]),
            (run(4), vec![nobody("reports")]),
            (run(5), vec![]),
        ]);
        let told = together(&asked, &said);
        let told: Vec<_> = told
            .iter()
            .map(|item| (item.runs, item.run.as_str(), item.wait.words.as_str()))
            .collect();
        let wanted = [
            (2, "a_s_3", "no worker pulls from queue reports"),
            (1, "a_s_2", "no worker pulls from queue images"),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn of_too_many_the_oldest_are_looked_at_as_well_as_the_newest() {
        let open = |many: usize| -> BTreeSet<Place> {
            let places = (0..many).map(|n| (format!("2026-01-01T00:00:{n:02}.000Z"), run(n)));
            places.collect()
        };
        let looked = |many, most| {
            let some = some(&open(many), most).into_iter();
            some.map(|run| run.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(looked(2, 3), ["a_s_0", "a_s_1"]);
        assert_eq!(looked(9, 3), ["a_s_0", "a_s_7", "a_s_8"]);
        assert_eq!(looked(9, 4), ["a_s_0", "a_s_1", "a_s_7", "a_s_8"]);
    }
}
