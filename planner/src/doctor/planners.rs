//! Whether somebody leads; if nobody does, whether a planner is there that could, and what keeps it from that.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::Place;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::count::counted;
use gridloom_shared::duration::spoken;
use gridloom_shared::planner::Attendance;
use gridloom_shared::reads;
use tokio::time::Instant;

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::{self, Line};
use super::staff::{Staff, answer, named};
use crate::leader::{self, LeaseValue};

/// A leader rewrites its lease each second; whoever does not for so long does not lead.
const SILENT: Duration = Duration::from_secs(3);
/// What keeps a planner from working for less is not worth a word.
const PASSING: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(100);

/// What the lease tells in the time that a leader needs to rewrite it.
pub(super) enum Lease {
    /// It is rewritten, and its term stands in the register.
    Leads(LeaseValue),
    /// It is rewritten, and its holder has not taken over yet.
    Taken(LeaseValue),
    /// Nobody rewrites it.
    Still {
        /// What it says.
        said: String,
        /// Who had it and did not give it up.
        holder: Option<String>,
    },
}

/// Looks at what was seen of the lease, and says who leads.
pub(super) async fn look(
    broker: &Broker,
    (staff, lease): (&Staff, &Result<Lease, ReadError>),
    chart: &mut Chart,
) -> Option<String> {
    let lease = match lease {
        Ok(lease) => lease,
        Err(error) => {
            chart.bad(
                Line::unread("leadership"),
                chain(error).to_string(),
                LOOK_AT_BROKER,
            );
            return None;
        }
    };
    let leader = match lease {
        Lease::Leads(lease) => {
            let beside = staff.planners.iter().filter(|one| one.name != lease.name);
            let beside: Vec<&str> = beside.map(|planner| planner.name.as_str()).collect();
            let beside = match beside.len() {
                0 => String::new(),
                1 => format!("; {} stands by", named(beside)),
                _ => format!("; {} stand by", named(beside)),
            };
            let found = format!("{} leads, term {}{beside}", lease.name, lease.term.0);
            chart.ok("leadership", found);
            if beside.is_empty() {
                chart.note(
                    lines::NO_STANDBY,
                    format!("nobody stands by: where {} ends, nothing is planned until one is started again", lease.name),
                    "start a second gridloom planner, best on another machine",
                );
            }
            Some(lease.name.clone())
        }
        Lease::Taken(LeaseValue { name, term, .. }) => {
            chart.bad(
                lines::TAKING_OVER,
                format!(
                    "nobody leads yet: {name} holds the lease with term {} and has not taken over",
                    term.0
                ),
                format!(
                    "it reads the ledger first: wait, and ask again; if it stays so, the log of {name} says why. Nothing need be started"
                ),
            );
            None
        }
        Lease::Still { said, holder } => {
            chart.bad(
                lines::NO_LEADER,
                nobody(staff, said),
                advice(staff, holder.as_deref()),
            );
            None
        }
    };
    for planner in lasting_trouble(broker, staff).await {
        tell_trouble(&planner, leader.as_deref(), chart);
    }
    for planner in staff.planners.iter().filter(|planner| planner.odd > 0) {
        tell_odd(planner, chart);
    }
    for planner in &staff.planners {
        tell_files(planner, chart);
    }
    leader
}

/// What a planner has read of workers that makes no sense.
fn tell_odd(planner: &Attendance, chart: &mut Chart) {
    let Attendance {
        name,
        odd,
        last_odd,
        ..
    } = planner;
    chart.note(
        lines::RECORDS_ODD,
        format!(
            "{name} has read {} of workers that make no sense, the last: {last_odd}",
            counted(*odd, "record")
        ),
        "a worker of another build, or somebody who has a worker's password and is none: docs/GUARANTEES.md says what to do",
    );
}

/// Files that it looks at and cannot use: who was taken out of them may still ask.
fn tell_files(planner: &Attendance, chart: &mut Chart) {
    let Attendance { name, files, .. } = planner;
    if !files.is_empty() {
        chart.bad(
            lines::API_FILES,
            format!("the API of {name}: {files}"),
            "put a good one in its place: files are looked at once a second, and taken up without a restart (docs/API.md)",
        );
    }
}

/// The planners that cannot work, and could not a while ago: one that has just taken over has not read all yet.
async fn lasting_trouble(broker: &Broker, staff: &Staff) -> Vec<Attendance> {
    let troubled = |planner: &&Attendance| !planner.trouble.is_empty();
    let before: Vec<_> = staff.planners.iter().filter(troubled).collect();
    if before.is_empty() {
        return Vec::new();
    }
    tokio::time::sleep(PASSING).await;
    let now = reads::planners::roll_call(broker).await.unwrap_or_default();
    let lasting = now.into_iter().filter(|planner| {
        let told = before.iter().any(|one| one.session == planner.session);
        told && !planner.trouble.is_empty()
    });
    lasting.collect()
}

fn nobody(staff: &Staff, said: &str) -> String {
    match staff.planners.len() {
        0 => format!("nobody leads, and no planner answers: {said}"),
        many => format!(
            "nobody leads, although {} {}: {said}",
            staff.planners_named(),
            answer(many)
        ),
    }
}

/// Never to start what runs: who answers is there, and who is silent may be.
fn advice(staff: &Staff, holder: Option<&str>) -> String {
    let there = staff.planners_named();
    match (there.is_empty(), holder) {
        (false, _) => format!(
            "nothing need be started: whoever stands by takes the lease 3 s after its holder's last word, so ask again; if it stays so, the log of {there} says what keeps it from leading: mend that, or restart it"
        ),
        (true, Some(holder)) => format!(
            "see whether {holder} still runs on its machine: then its log says what keeps it from the broker (the network, a machine or a process that stands still), and nothing need be started; where it is gone, start gridloom planner: it takes the lease, whatever stands there"
        ),
        (true, None) => {
            "start gridloom planner (or gridloom dev): it takes the lease, whatever stands there"
                .to_owned()
        }
    }
}

/// A leader that cannot work plans nothing; a standby that cannot is of no use once the leader is gone.
fn tell_trouble(planner: &Attendance, leader: Option<&str>, chart: &mut Chart) {
    let Attendance { name, trouble, .. } = planner;
    let advice = format!(
        "the log of {name} says more; if it does not pass, restart it: another one that stands by takes over"
    );
    match leader {
        Some(leader) if leader == name => chart.bad(
            lines::LEADER_STUCK,
            format!("{name} leads and cannot work: {trouble}"),
            advice,
        ),
        Some(_) => chart.note(
            lines::STANDBY_STUCK,
            format!("{name} stands by and could not lead: {trouble}"),
            advice,
        ),
        None => chart.bad(
            lines::PLANNER_STUCK,
            format!("{name} cannot lead: {trouble}"),
            advice,
        ),
    }
}

/// Looks at the lease until it is rewritten, or for so long that nobody does.
pub(super) async fn watch(broker: &Broker) -> Result<Lease, ReadError> {
    let bucket = broker.state();
    let first = match bucket.place_of(LEADER_KEY).await {
        Ok(place) => place,
        Err(error) if error.cause.is_stream_missing() => {
            let said = format!("there is no bucket {} yet", bucket.name());
            return Ok(Lease::Still { said, holder: None });
        }
        Err(error) => return Err(error),
    };
    let mut taken = None;
    let until = Instant::now() + SILENT;
    while Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        if let Ok(place) = bucket.place_of(LEADER_KEY).await
            && place.revision() != first.revision()
            && let Ok(lease) = lease(&place)
            && !lease.free
        {
            let term = broker.term_holder().await;
            let term = term.ok().flatten().map(|holder| holder.term);
            if term == Some(lease.term) {
                return Ok(Lease::Leads(lease));
            }
            taken = Some(lease);
        }
    }
    if let Some(lease) = taken {
        return Ok(Lease::Taken(lease));
    }
    let ago = first.at().map_or_else(String::new, |at| {
        let age = UnixMs::now().0.saturating_sub(at.0);
        format!(" {} ago", spoken(Duration::from_millis(age)))
    });
    Ok(match lease(&first) {
        Ok(LeaseValue {
            name, free: true, ..
        }) => Lease::Still {
            said: format!("the last leader, {name}, gave it up{ago}"),
            holder: None,
        },
        Ok(LeaseValue { name, .. }) => Lease::Still {
            said: format!("{name} is silent, its last word came{ago}"),
            holder: Some(name),
        },
        Err(why) => Lease::Still {
            said: format!("the key {LEADER_KEY} of {} {why}", bucket.name()),
            holder: None,
        },
    })
}

fn lease(place: &Place) -> Result<LeaseValue, String> {
    match place.value() {
        Some(value) => leader::parse(value).map_err(|why| format!("is {why}")),
        None if place.is_deleted() => Err("was deleted".to_owned()),
        None => Err("was never written".to_owned()),
    }
}
