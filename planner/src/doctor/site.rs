//! A broker that follows another site: it is no installation before it is promoted, and is judged as what it is.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::copy::mirror::{Mirrored, SILENT};
use gridloom_shared::broker::topology::Kept;
use gridloom_shared::broker::topology::backed_up::followed;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::count::counted;
use gridloom_shared::duration::spoken;

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::{self, Line};
use super::staff::{Staff, named};

/// What nobody is to do there.
const NOTHING_RUNS: &str = "nothing may run at a site that follows: stop it; gridloom site promote makes this site the installation, where the first is gone";

/// The domain that this broker follows; `None`: it follows none, or nobody can tell.
pub(super) async fn domain(broker: &Broker) -> Option<String> {
    let ledger = Kept::Ledger.stream(broker.subjects());
    let mirrored = broker.mirrored(&ledger).await.ok()??;
    Some(mirrored.domain)
}

/// Looks at one that follows `domain`.
pub(super) async fn look(broker: &Broker, domain: &str, chart: &mut Chart) {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for kept in followed() {
        match broker.mirrored(&kept.stream(broker.subjects())).await {
            Ok(Some(mirrored)) if mirrored.domain == domain => there.push((kept, mirrored)),
            Ok(_) => missing.push(kept.as_str()),
            Err(error) => {
                let error = gridloom_shared::chain(&error).to_string();
                return chart.bad(Line::unread("site"), error, LOOK_AT_BROKER);
            }
        }
    }
    if !missing.is_empty() {
        chart.bad(
            lines::SITE_INCOMPLETE,
            format!("this broker follows domain {domain}, but not all of it: {}", named(missing)),
            format!("gridloom site mirror --domain {domain} makes what is missing; start no planner here"),
        );
    }
    tell(domain, &there, chart);
    look_who_is_there(broker, chart).await;
}

/// How far it is, as far as the mirrors know: that takes no permission to ask the first site.
fn tell(domain: &str, there: &[(Kept, Mirrored)], chart: &mut Chart) {
    let lag: u64 = there.iter().map(|(_, mirrored)| mirrored.lag).sum();
    let silent = there.iter().map(|(_, mirrored)| mirrored.silent);
    let silent = silent.map(|silent| silent.unwrap_or(Duration::MAX)).max();
    let silent = silent.unwrap_or(Duration::MAX);
    let ledger = there.iter().find(|(kept, _)| *kept == Kept::Ledger);
    let last = ledger.and_then(|(_, mirrored)| mirrored.extent.last_at);
    let last = last.map_or_else(String::new, |last| {
        format!(
            "; the last record of the ledger is of {}",
            UnixMs::rfc3339(last)
        )
    });
    if silent > SILENT {
        let heard = match silent {
            Duration::MAX => "was never heard".to_owned(),
            silent => format!("was heard {} ago", spoken(silent)),
        };
        return chart.bad(
            lines::SITE_SILENT,
            format!("this broker follows domain {domain}, and not all of that {heard}{last}"),
            "see whether the first site lives, and the leaf node connection: gridloom site status, as user planner; start no planner here; where it is gone, gridloom site promote takes its place",
        );
    }
    let behind = match lag {
        0 => "has all that it knows of".to_owned(),
        lag => format!("is {} behind", counted(lag, "message")),
    };
    chart.ok(
        "site",
        format!(
            "this broker follows domain {domain} and {behind}, heard {} ago{last}; no planner runs here before gridloom site promote",
            spoken(silent)
        ),
    );
}

async fn look_who_is_there(broker: &Broker, chart: &mut Chart) {
    match Staff::ask(broker).await {
        Ok(staff) => {
            if !staff.planners.is_empty() {
                chart.bad(
                    lines::PLANNER_AT_SITE,
                    format!("{} runs here", staff.planners_named()),
                    NOTHING_RUNS,
                );
            }
            if !staff.workers.is_empty() {
                let workers = staff.workers.iter().map(|worker| worker.worker.as_str());
                chart.bad(
                    lines::WORKER_AT_SITE,
                    format!("{} runs here", named(workers)),
                    NOTHING_RUNS,
                );
            }
        }
        Err(error) => chart.note(
            Line::unread("planners"),
            gridloom_shared::chain(&error).to_string(),
            "",
        ),
    }
    for kept in Kept::ALL
        .into_iter()
        .filter(|kept| followed().all(|one| one != *kept))
    {
        let stream = kept.stream(broker.subjects());
        if broker.info(&stream).await.is_ok() {
            chart.bad(
                lines::STREAM_AT_SITE,
                format!("{stream} is here, which nothing follows: a planner has run here"),
                "gridloom site mirror removes it",
            );
        }
    }
}
