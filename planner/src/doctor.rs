//! Is everything there that the engine needs, and what is to be done where it is not? Told alike by `gridloom doctor` and
//! the API. Looks, and changes nothing except its own traces: a permission can only be tried out.
//!
//! | room | what it looks at |
//! |------|------------------|
//! | [`asked`] | what several of these go by: asked once |
//! | [`staff`] | who is there |
//! | [`certificates`] | whether the certificates of the broker's servers last |
//! | [`members`] | whether all servers of the broker's cluster have their copies |
//! | [`site`] | how far a broker is that follows another site |
//! | [`planners`] | whether somebody leads, and what keeps planners from it |
//! | [`submissions`] | what waits on the submit stream, and why |
//! | [`queues`] | consumers, and what waits for a worker or a handler that nobody has |
//! | [`unknown`] | jobs that name a database or a command which workers of their queue do not know |
//! | [`idle`] | tiles that nobody waits for although workers are free |
//! | [`alike`] | whether the workers of a queue differ, and have names of their own |
//! | [`fires`] | whether schedules fire |
//! | [`keys`] | what of the buckets makes no sense |
//! | [`late`] | fires that nobody answered for, runs that are not over by their deadline |
//! | [`calendars`] | calendars that make no sense, and jobs that wait for one |
//! | [`client`] | what whoever asks may do, and the broker's clock |
//! | [`watch`] | what planners have seen and nobody may have heard |
//! | [`services`] | workers, the ledger |
//! | [`versions`] | which builds take part, and whether each reads what the others write |
//! | [`lines`] | which lines there are that are not ok, each with its key |
//! | [`chart`] | what was found |
//!
//! Each check that is bad says what to do, and that is right whatever runs already: nobody is told to start what
//! is there.

use std::time::{Duration, Instant};

use gridloom_shared::broker::topology::copies::Copies;
use gridloom_shared::broker::topology::{self, Finding, Kept, Storage, TopologyOptions};
use gridloom_shared::broker::{Broker, SERVER_MIN};
use gridloom_shared::chain;
use gridloom_shared::duration::spoken;

mod alike;
mod asked;
mod calendars;
mod certificates;
pub mod chart;
mod client;
mod fires;
mod idle;
mod keys;
mod late;
mod lines;
mod members;
mod planners;
mod queues;
mod services;
mod site;
mod staff;
mod submissions;
mod unknown;
mod versions;
mod watch;

use asked::Asked;
pub use chart::{Chart, Check, Mark};
use lines::Line;
use staff::Staff;

/// What is to be done about a broker that does not answer.
const LOOK_AT_BROKER: &str = "look at the broker's log, and at this client's permissions";

/// Who asks. What is the case with the installation is told to all alike; each has a client and a machine of its own.
#[derive(Clone, Copy, Debug)]
pub enum Asker<'a> {
    /// The command that people type.
    Command,
    /// A planner, for whoever asks it.
    Planner {
        /// Its name.
        name: &'a str,
        /// Whether it may try if the broker stores what is written.
        may_write: bool,
    },
}

impl Asker<'_> {
    fn name(self) -> String {
        match self {
            Asker::Command => "this command".to_owned(),
            Asker::Planner { name, .. } => format!("planner {name}"),
        }
    }

    fn machine(self) -> String {
        match self {
            Asker::Command => "this machine".to_owned(),
            Asker::Planner { name, .. } => format!("the machine of planner {name}"),
        }
    }

    /// Who may ask for all of it.
    fn as_whom(self) -> &'static str {
        match self {
            Asker::Command => "ask as an operator or a monitor (docs/PERMISSIONS.md)",
            Asker::Planner { .. } => {
                "give the planner's user what docs/PERMISSIONS.md says of it: for the HTTP API what operators need, too"
            }
        }
    }
}

/// What the streams are expected to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// How they are made.
    pub topology: TopologyOptions,
    /// Whether somebody said how many copies there are to be. Where nobody did, all are to be like the ledger.
    pub copies_are_said: bool,
}

/// Looks at everything. What is in `chart` when this is dropped was found until then.
pub async fn examine(broker: &Broker, asker: Asker<'_>, expected: Expected, chart: &mut Chart) {
    look_at_broker(broker, chart).await;
    certificates::look(broker, chart).await;
    look(broker, asker, expected, chart).await;
}

/// All that there is to tell where the broker cannot be reached.
pub fn unreached(found: impl Into<String>, advice: impl Into<String>) -> Chart {
    let mut chart = Chart::default();
    chart.bad(lines::BROKER_AWAY, found, advice);
    chart
}

/// Not everything was looked at by the time at which whoever asks has to be answered.
pub fn cut_short(chart: &mut Chart, after: Duration) {
    let found = format!(
        "not everything was looked at within {}: some answers of the broker did not come",
        spoken(after)
    );
    chart.bad(Line::unread("examination"), found, LOOK_AT_BROKER);
}

/// Looks at an installation, or at a site that follows one. Of who may not ask for it, nothing else is judged: that nobody
/// answers says nothing then.
async fn look(broker: &Broker, asker: Asker<'_>, expected: Expected, chart: &mut Chart) {
    let copies = match topology::copies::copies(broker).await {
        Ok(copies) => copies,
        Err(error) if error.is_refused() => {
            return chart.bad(
                Line::unread("permissions"),
                chain(&error).to_string(),
                asker.as_whom(),
            );
        }
        Err(error) => {
            chart.bad(
                Line::unread("streams"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
            Vec::new()
        }
    };
    members::look(broker, &copies, chart);
    if let Ok(Some(since)) = broker.restoring_since().await {
        look_at_a_restore(broker, &since, chart);
        return client::look_at_permissions(broker, asker, chart).await;
    }
    if let Some(domain) = site::domain(broker).await {
        site::look(broker, &domain, chart).await;
        return client::look_at_permissions(broker, asker, chart).await;
    }
    match Asked::ask(broker).await {
        Ok(asked) => look_at_all((broker, &copies), asker, expected, &asked, chart).await,
        Err(error) => {
            let advice = match broker.refused() {
                Some(_) => asker.as_whom(),
                None => LOOK_AT_BROKER,
            };
            chart.bad(
                Line::unread("permissions"),
                chain(&error).to_string(),
                advice,
            );
        }
    }
}

async fn look_at_all(
    (broker, copies): (&Broker, &[Copies]),
    asker: Asker<'_>,
    expected: Expected,
    asked: &Asked,
    chart: &mut Chart,
) {
    let staff = &asked.staff;
    let mut options = expected.topology;
    if !expected.copies_are_said {
        options.replicas = usual(broker, copies).unwrap_or(options.replicas);
    }
    let there = look_at_streams(broker, &options, staff, chart).await;
    let leader = planners::look(broker, (staff, &asked.lease), chart).await;
    if there {
        let jobs = asked.jobs(chart);
        submissions::look(broker, leader.as_deref(), chart).await;
        queues::look(broker, jobs, staff, chart).await;
        unknown::look(jobs, staff, chart).await;
        idle::look(broker, staff, chart).await;
        client::look_at_clock(broker, asker, chart).await;
        client::look_at_writes(broker, asker, chart).await;
        fires::look(broker, chart).await;
        keys::look(broker, jobs, chart).await;
        calendars::look(broker, jobs, chart).await;
        watch::look(broker, chart).await;
        late::look(broker, leader.as_deref(), chart).await;
    }
    client::look_at_permissions(broker, asker, chart).await;
    services::look(broker, staff, chart).await;
    versions::look(broker, asker, staff, chart);
    alike::look(broker, staff, chart).await;
}

/// How many copies the planners made of the ledger: where nobody says how many there are to be, it is like the others.
fn usual(broker: &Broker, copies: &[Copies]) -> Option<usize> {
    let ledger = broker.subjects().ledger();
    let mut copies = copies.iter();
    let ledger = copies.find(|copies| copies.stream == ledger.as_str())?;
    Some(ledger.wanted)
}

async fn look_at_broker(broker: &Broker, chart: &mut Chart) {
    let began = Instant::now();
    let place = match broker.cluster() {
        Some(cluster) => format!("in cluster {cluster}"),
        None => "standing alone".to_owned(),
    };
    match broker.flush().await {
        Ok(()) => chart.ok(
            "broker",
            format!(
                "nats-server {} with JetStream, {place} ({}.{}.{} or newer is needed)",
                broker.server_version(),
                SERVER_MIN.0,
                SERVER_MIN.1,
                SERVER_MIN.2
            ),
        ),
        Err(error) => chart.bad(
            Line::unread("broker"),
            chain(&error).to_string(),
            LOOK_AT_BROKER,
        ),
    }
    if began.elapsed() > Duration::from_millis(250) {
        chart.note(
            lines::FAR,
            spoken(began.elapsed()),
            "the engine works, but slower; run it near the broker",
        );
    }
}

/// What is there while a backup is put back is no installation, and is judged as nothing else.
fn look_at_a_restore(broker: &Broker, since: &str, chart: &mut Chart) {
    let namespace = broker.subjects().namespace();
    chart.bad(
        lines::RESTORE_UNFINISHED,
        format!("a restore of namespace {namespace} is not finished (begun {since})"),
        "wait where it is still under way; where it broke off give it again, of the same directory: gridloom restore DIR (of a promotion, the directory of gridloom site promote); start no planner before",
    );
}

/// Whether the installation is there.
async fn look_at_streams(
    broker: &Broker,
    options: &TopologyOptions,
    staff: &Staff,
    chart: &mut Chart,
) -> bool {
    let namespace = broker.subjects().namespace();
    let findings = match topology::verify(broker, options).await {
        Ok(findings) => findings,
        Err(error) => {
            chart.bad(
                Line::unread("streams"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
            return false;
        }
    };
    let missing: Vec<_> = findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Missing(name) => Some(name.as_str()),
            Finding::Drift(_) => None,
        })
        .collect();
    for finding in &findings {
        if let Finding::Drift(drift) = finding {
            chart.bad(lines::STREAMS_DIFFER, drift.to_string(), drift.advice());
        }
    }
    if !missing.is_empty() {
        let text = if missing.len() == Kept::ALL.len() {
            let who = broker.who().await;
            let place = who.map_or_else(String::new, |who| format!(" in {who}"));
            format!("namespace {namespace} has none yet{place}")
        } else {
            format!("not there in namespace {namespace}: {}", missing.join(", "))
        };
        let advice = if staff.planners.is_empty() {
            "start gridloom planner (or gridloom dev): it makes what is missing; where they should be there, check --nats, --namespace, and which account is logged in to (--nats-creds, --nats-user): each has streams of its own".to_owned()
        } else {
            let there = staff.planners_named();
            format!(
                "the planner that is there makes what is missing within seconds: ask again; if it stays so, the log of {there} says why"
            )
        };
        chart.bad(lines::STREAMS_MISSING, text, advice);
    }
    look_where_the_queue_is(broker, options, chart).await;
    if findings.is_empty() {
        chart.ok(
            "streams",
            format!("5 streams and 4 buckets of namespace {namespace}, as expected"),
        );
    }
    missing.is_empty()
}

/// A queue that an earlier build made is on file, and works.
async fn look_where_the_queue_is(broker: &Broker, options: &TopologyOptions, chart: &mut Chart) {
    if options.queue_storage.is_none()
        && let Ok(Some(Storage::File)) = topology::queue_kept_in(broker, options).await
    {
        let shards = broker.subjects().shards();
        chart.note(
            lines::QUEUE_ON_FILE,
            format!("{shards} is kept on file, in the broker's memory it is several times faster"),
            format!(
                "a planner that starts while nothing is on it makes it anew there; at once: stop the planners, delete it (nats stream rm {shards}), start them; or set queue.storage = \"file\" to keep it so"
            ),
        );
    }
}
