//! What is in a snapshot, as the other commands read it. Each part has its own time: one that fails is told as unread.

use std::fmt::Display;
use std::time::Duration;

use gridloom_planner::prospect::obstacles::Around;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::broker::topology::described::described;
use gridloom_shared::broker::topology::{Finding, Kept, TopologyOptions, verify};
use gridloom_shared::chain;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::outcomes;
use gridloom_shared::ledger::record::{Record, WorkRecord};
use gridloom_shared::reads::{fires, jobs, lost, pauses, planners, queues, refused, runs, workers};
use serde_json::{Map, Value, json};

use crate::commands::job::Upcoming;
use crate::output::spoken;

/// How long one part may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Runs, messages and decisions that are told of at most.
const RUNS: usize = 200;
const MESSAGES: usize = 50;
const DECISIONS: usize = 20;
/// Records of a run at most: the first of them.
const RECORDS: usize = 20_000;

/// What was read.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) read: Map<String, Value>,
    /// What could not be read, and why.
    pub(super) unread: Vec<Value>,
}

impl Parts {
    /// Takes in a part, if it comes in time.
    async fn part(
        &mut self,
        name: impl Display,
        read: impl Future<Output = anyhow::Result<Value>>,
    ) {
        let reason = match tokio::time::timeout(PATIENCE, Box::pin(read)).await {
            Ok(Ok(value)) => {
                self.read.insert(name.to_string(), value);
                return;
            }
            Ok(Err(error)) => chain(&*error).to_string(),
            Err(_) => format!("it was not there within {}", spoken(PATIENCE)),
        };
        let part = json!({ "part": name.to_string(), "reason": reason });
        self.unread.push(part);
    }
}

/// Reads all of them.
pub(super) async fn read(broker: &Broker, of_runs: &[RunId]) -> Parts {
    let mut parts = Parts::default();
    let server = json!({
        "version": broker.server_version(),
        "id": &*broker.server_id(),
        "cluster": broker.cluster(),
        "max_payload": broker.max_payload(),
    });
    parts.read.insert("server".into(), server);
    let mut streams = Map::new();
    for kept in Kept::ALL {
        let name = kept.as_str();
        parts
            .part(format!("stream {name}"), stream(broker, kept))
            .await;
        streams.extend(
            parts
                .read
                .remove(&format!("stream {name}"))
                .map(|told| (name.to_owned(), told)),
        );
    }
    parts.read.insert("streams".into(), streams.into());
    parts.part("drift", drift(broker)).await;
    parts.part("leader", leader(broker)).await;
    parts.part("planners", planners(broker)).await;
    parts.part("workers", workers(broker)).await;
    parts.part("queues", queues(broker)).await;
    parts.part("jobs", jobs(broker)).await;
    parts.part("pauses", pauses(broker)).await;
    parts.part("runs", runs(broker)).await;
    parts.part("lost", lost(broker)).await;
    parts.part("unreadable", unreadable(broker)).await;
    let mut ledgers = Map::new();
    for run in of_runs {
        let name = format!("ledger {run}");
        parts.part(&name, ledger(broker, run)).await;
        ledgers.extend(parts.read.remove(&name).map(|told| (run.to_string(), told)));
    }
    parts.read.insert("ledgers".into(), ledgers.into());
    parts
}

async fn stream(broker: &Broker, kept: Kept) -> anyhow::Result<Value> {
    let (told, consumers) = described(broker, kept).await?;
    let of = |key: &str| told.get(key).cloned().unwrap_or(Value::Null);
    Ok(json!({
        "created": of("created"),
        "config": of("config"),
        "state": of("state"),
        "cluster": of("cluster"),
        "mirror": of("mirror"),
        "consumers": consumers["consumers"],
    }))
}

/// What differs from how streams are made, but for what planners are told: the settings of each stand in `streams`.
async fn drift(broker: &Broker) -> anyhow::Result<Value> {
    let found = verify(broker, &TopologyOptions::default()).await?;
    Ok(found.iter().filter_map(in_words).collect())
}

fn in_words(finding: &Finding) -> Option<String> {
    match finding {
        Finding::Missing(name) => Some(format!("{name} is not there")),
        Finding::Drift(drift) => {
            let is_chosen = ["num_replicas", "storage", "max_bytes"].contains(&&*drift.setting);
            (!is_chosen).then(|| drift.to_string())
        }
    }
}

async fn leader(broker: &Broker) -> anyhow::Result<Value> {
    let lease = broker.state().get_of_leader(LEADER_KEY).await?;
    let value = lease.as_ref().and_then(|lease| lease.value.as_deref());
    let value = value.map(serde_json::from_slice::<Value>);
    let register = broker.term_holder().await?;
    Ok(json!({
        "lease": value.and_then(Result::ok),
        "renewed_at": lease.map(|lease| lease.at.rfc3339()),
        "register": register.map(|holder| json!({
            "term": holder.term, "session": holder.session.to_string(), "sequence": holder.seq,
        })),
    }))
}

async fn planners(broker: &Broker) -> anyhow::Result<Value> {
    Ok(json!(planners::roll_call(broker).await?))
}

async fn workers(broker: &Broker) -> anyhow::Result<Value> {
    Ok(json!(workers::list(broker).await?.workers))
}

async fn queues(broker: &Broker) -> anyhow::Result<Value> {
    let workers = workers::roll_call(broker).await?;
    Ok(json!(queues::list(broker, &workers).await?))
}

/// Each job with its next fire, and what became of the last ones.
async fn jobs(broker: &Broker) -> anyhow::Result<Value> {
    let mut all = Vec::new();
    let around = Around::look(broker, &[]).await?;
    for job in jobs::list(broker).await? {
        let mut told = json!({ "job": job.name, "revision": job.revision });
        match &job.spec {
            Ok(spec) => {
                told["definition"] = serde_json::to_value(spec)?;
                if spec.schedule.is_some() {
                    told["next"] = match Upcoming::of(broker, (spec, job.applied_at), &around).await
                    {
                        Ok(next) => {
                            json!({ "at": next.at.map(|at| at.rfc3339()), "in_words": next.to_string() })
                        }
                        Err(error) => json!({ "unknown": chain(&*error).to_string() }),
                    };
                    let decided = fires::list(broker, &spec.name).await?.told;
                    let skip = decided.len().saturating_sub(DECISIONS);
                    told["fires"] = serde_json::to_value(&decided[skip..])?;
                }
            }
            Err(error) => told["unreadable"] = chain(error).to_string().into(),
        }
        all.push(told);
    }
    Ok(all.into())
}

async fn pauses(broker: &Broker) -> anyhow::Result<Value> {
    let all = pauses::list(broker).await?;
    Ok(all.iter().map(|paused| format!("{paused:?}")).collect())
}

async fn runs(broker: &Broker) -> anyhow::Result<Value> {
    let listed = runs::list(broker, (None, None), RUNS).await?;
    Ok(json!({ "newest": listed.runs, "more": listed.more, "left_out": listed.left_out }))
}

async fn lost(broker: &Broker) -> anyhow::Result<Value> {
    Ok(json!(lost::list(broker).await?))
}

async fn unreadable(broker: &Broker) -> anyhow::Result<Value> {
    let listed = refused::list(broker, MESSAGES).await?;
    Ok(json!({ "newest": listed.messages, "older": listed.older }))
}

/// The summary of a run, its audit, and all of its records.
async fn ledger(broker: &Broker, run: &RunId) -> anyhow::Result<Value> {
    let subjects = broker.subjects();
    let stream = subjects.ledger();
    let last = broker.info(&stream).await?.last_seq;
    let all = subjects.ledger_of_run_anywhere(run);
    let raw = broker.read(&stream, all, 1, Some(last)).await?;
    let summary = runs::show(broker, run).await?;
    let audit = runs::audit(broker, run).await?;
    let records = raw.iter().take(RECORDS).map(|raw| {
        let author = subjects
            .parse_ledger(&raw.subject)
            .map(|(_, _, author)| author);
        let record = author.and_then(|author| Record::decode(author, &raw.payload).ok());
        json!({
            "sequence": raw.seq,
            "at": raw.at.rfc3339(),
            "subject": raw.subject.as_str(),
            "record": record.as_ref().map(told),
        })
    });
    Ok(json!({
        "summary": summary,
        "audit": audit,
        "records": records.collect::<Vec<_>>(),
        "more": raw.len().saturating_sub(RECORDS),
    }))
}

/// What a planner wrote as fields, so that secrets among them are found; anything else as it is called here.
fn told(record: &Record) -> Value {
    match record {
        Record::Plan(plan) => {
            serde_json::to_value(plan).unwrap_or_else(|_| format!("{plan:?}").into())
        }
        Record::Work(WorkRecord::Outcomes {
            session,
            number,
            block,
        }) => {
            let outcomes = outcomes::decode(block);
            format!("Outcomes {{ session: {session}, number: {number}, outcomes: {outcomes:?} }}")
                .into()
        }
        Record::Work(work) => format!("{work:?}").into(),
        Record::Takeover(takeover) => format!("{takeover:?}").into(),
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::broker::topology::Drift;

    use super::*;

    #[test]
    fn drift_is_told_in_words_and_what_planners_are_told_is_none() {
        let drift = |setting: &'static str| {
            Finding::Drift(Drift {
                what: "gridloom-ledger".into(),
                setting: setting.into(),
                expected: "1".into(),
                found: "3".into(),
            })
        };
        assert_eq!(in_words(&drift("num_replicas")), None);
        let words = "gridloom-ledger: max_msgs should be 1, is 3";
        assert_eq!(in_words(&drift("max_msgs")).as_deref(), Some(words));
    }
}
