//! Looks at the installation again and again, beside the screen: what is slow holds up no key. What is not shown is not
//! read, and of ledgers only what is new.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;
use std::time::{Duration, Instant};

use gridloom_planner::prospect::obstacles::Pausing;
use gridloom_shared::alarm::{Alarm, Watched};
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, QueueName, Session};
use gridloom_shared::orders::actions;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::live::Live;
use gridloom_shared::reads::{ListError, alarms, by_hand, jobs, pauses, planners, queues, workers};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant as Later, sleep_until};

use super::happen;
use super::rates::Rates;
use super::snapshot::{Happening, Pause, Planner, Server, Snapshot, Wanted, Worker};
use close::Close;

mod close;
mod turns;

/// What has happened before that is not told any more.
const EVENTS: usize = 200;
/// Which queues jobs and runs name is looked up so seldom: it takes a look at all of them.
const NAMES: Duration = Duration::from_secs(10);
/// A look that is asked for comes after so long at the soonest.
const PAUSE: Duration = Duration::from_millis(100);

/// What is told of a look.
#[derive(Debug)]
pub(super) enum Told {
    /// What was seen.
    Seen(Box<Snapshot>),
    /// Nothing can ever be seen: why.
    Failed(anyhow::Error),
}

/// Looks every `interval`, and at once when something else is wanted, until nobody listens.
pub(super) async fn go_on(
    broker: Broker,
    address: String,
    interval: Duration,
    mut wanted: watch::Receiver<Wanted>,
    told: mpsc::Sender<Told>,
) {
    let mut reader = match begun(&broker, address).await {
        Ok(reader) => reader,
        Err(error) => {
            let _ = told.send(Told::Failed(error)).await;
            return;
        }
    };
    let mut next = Later::now();
    loop {
        let looked = wanted.borrow_and_update().clone();
        if broker.is_connected() {
            let snapshot = reader.look(&looked).await;
            if told.send(Told::Seen(Box::new(snapshot))).await.is_err() {
                return;
            }
        } else {
            reader.is_away();
        }
        next = (next + interval).max(Later::now() + PAUSE);
        tokio::select! {
            () = sleep_until(next) => {}
            () = told.closed() => return,
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                next = Later::now() + PAUSE;
                sleep_until(next).await;
            }
        }
    }
}

/// A broker that is just away is waited for.
async fn begun(broker: &Broker, address: String) -> anyhow::Result<Reader> {
    loop {
        match Reader::begin(broker, address.clone()).await {
            Ok(reader) => return Ok(reader),
            Err(_) if !broker.is_connected() => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// What is kept from look to look.
#[derive(Debug)]
pub(super) struct Reader {
    broker: Broker,
    server: Server,
    live: Live,
    close: Close,
    begun: Instant,
    rates: Rates,
    /// Queues that jobs and runs name, and jobs with a schedule; when that was looked up.
    named: Named,
    /// Names of workers that were ever here.
    names: BTreeMap<Session, String>,
    /// The last order that was told.
    order: Option<u64>,
    events: VecDeque<Happening>,
    last: Option<Snapshot>,
    /// The connection of the last look.
    epoch: u64,
    is_away: bool,
}

impl Reader {
    /// Reads the runs that are open now.
    pub(super) async fn begin(broker: &Broker, address: String) -> Result<Reader, ListError> {
        Ok(Reader {
            broker: broker.clone(),
            server: Server {
                address,
                version: broker.server_version(),
                cluster: broker.cluster(),
            },
            live: Live::begin(broker).await?,
            close: Close::default(),
            begun: Instant::now(),
            rates: Rates::default(),
            named: Named::default(),
            names: BTreeMap::new(),
            order: None,
            events: VecDeque::new(),
            last: None,
            epoch: broker.connection_epoch(),
            is_away: false,
        })
    }

    /// Looks at all that is wanted.
    pub(super) async fn look(&mut self, wanted: &Wanted) -> Snapshot {
        let mut now = Snapshot {
            namespace: self.broker.subjects().namespace().to_string(),
            ..Snapshot::default()
        };
        let mut unread = Vec::new();
        self.is_back();
        let news = self.live.go_on(&self.broker).await;
        let news = news.map_err(|error| unread.push(refusal("runs", &error)));
        let done = self
            .live
            .runs()
            .map(|run| (&run.summary.run, run.summary.shards.done));
        self.rates.see(self.begun.elapsed(), self.live.done(), done);
        let here = Box::pin(self.around(&mut now, &mut unread)).await;
        // Without an answer as without a worker it is not known who is gone.
        self.names.extend(
            here.iter()
                .map(|worker| (worker.session, worker.worker.to_string())),
        );
        self.events_of_runs(&news.unwrap_or_default());
        self.orders(&mut unread).await;
        now.at = UnixMs::now().rfc3339();
        now.broker = self.server.clone();
        now.runs_open = self.live.open();
        now.shards_per_s = self.rates.of_all();
        let leads = now.planners.iter().any(|planner| planner.term.is_some());
        let eyes = close::Eyes {
            broker: &self.broker,
            live: &self.live,
            rates: &self.rates,
            here: &here,
            leads,
        };
        self.close.look(&eyes, wanted, &mut now).await;
        now.unread = unread;
        if let Some(last) = &self.last {
            let between = happen::between(last, &now);
            self.events.extend(between);
        }
        self.forget();
        now.events = self.events.iter().rev().cloned().collect();
        self.last = Some(now.clone());
        now
    }

    /// Notes that the broker is away.
    fn is_away(&mut self) {
        if !std::mem::replace(&mut self.is_away, true) {
            self.tell("the broker is away", true);
        }
    }

    /// Notes that the broker was away and is back, also where both lie between two looks.
    fn is_back(&mut self) {
        let epoch = self.broker.connection_epoch();
        if std::mem::replace(&mut self.epoch, epoch) != epoch {
            self.is_away();
            self.is_away = false;
            self.server.version = self.broker.server_version();
            self.tell("the broker is back", false);
        }
    }

    /// Who is there, and what waits: what cannot be read stays as it was.
    async fn around(&mut self, now: &mut Snapshot, unread: &mut Vec<String>) -> Vec<Presence> {
        let broker = self.broker.clone();
        let last = self.last.as_ref();
        let (planners, crew, paused, raised, waiting) = tokio::join!(
            planners::roll_call(&broker),
            crew(&broker, &mut self.named),
            pauses::list(&broker),
            alarms::raised(&broker),
            by_hand::list(&broker, None),
        );
        match planners {
            Ok(here) => now.planners = here.iter().map(planner).collect(),
            Err(error) => {
                unread.push(refusal("planners", &error));
                now.planners = last.map(|it| it.planners.clone()).unwrap_or_default();
            }
        }
        match paused {
            Ok(paused) => now.pauses = paused.iter().map(pause).collect(),
            Err(error) => {
                unread.push(refusal("pauses", &error));
                now.pauses = last.map(|it| it.pauses.clone()).unwrap_or_default();
            }
        }
        match waiting {
            // One that was opened meanwhile is among the others.
            Ok(mut waiting) => {
                waiting.retain(|waits| self.live.get(&waits.run).is_none());
                now.waiting = waiting;
            }
            Err(error) => {
                unread.push(refusal("runs that wait to be opened", &error));
                now.waiting = last.map(|it| it.waiting.clone()).unwrap_or_default();
            }
        }
        now.jobs.clone_from(&self.named.scheduled);
        match raised {
            Ok(raised) => now.alarms = raised.iter().map(alarm).collect(),
            Err(error) => {
                unread.push(refusal("alarms", &error));
                now.alarms = last.map(|it| it.alarms.clone()).unwrap_or_default();
            }
        }
        match crew {
            Ok(crew) => {
                now.queues = crew.queues;
                now.workers = crew.workers;
                crew.here
            }
            Err(error) => {
                unread.push(refusal("queues and workers", &error));
                now.queues = last.map(|it| it.queues.clone()).unwrap_or_default();
                now.workers = last.map(|it| it.workers.clone()).unwrap_or_default();
                Vec::new()
            }
        }
    }

    fn events_of_runs(&mut self, news: &[gridloom_shared::reads::live::News]) {
        let told = happen::of_runs(news, &self.names);
        self.events.extend(told);
    }

    /// Orders that were given since this began.
    async fn orders(&mut self, unread: &mut Vec<String>) {
        let history = self.broker.subjects().history();
        let Some(after) = self.order else {
            // Those of before are told by `log`.
            self.order = self.broker.info(&history).await.ok().map(|it| it.last_seq);
            return;
        };
        match actions::since(&self.broker, after).await {
            Ok((orders, last)) => {
                self.order = Some(last);
                self.events
                    .extend(orders.iter().filter_map(happen::of_order));
            }
            Err(error) => unread.push(refusal("orders", &error)),
        }
    }

    fn tell(&mut self, what: &str, grave: bool) {
        self.events.push_back(Happening {
            at: UnixMs::now().rfc3339(),
            what: what.to_owned(),
            run: None,
            grave,
        });
    }

    fn forget(&mut self) {
        let excess = self.events.len().saturating_sub(EVENTS);
        self.events.drain(..excess);
    }
}

fn refusal(what: &str, error: &(dyn std::error::Error + 'static)) -> String {
    format!("{what}: {}", chain(error))
}

/// What is looked up seldom.
#[derive(Debug, Default)]
struct Named {
    at: Option<Instant>,
    queues: BTreeSet<QueueName>,
    scheduled: Vec<JobName>,
}

impl Named {
    async fn look(&mut self, broker: &Broker) -> Result<(), ListError> {
        if self.at.is_some_and(|at| at.elapsed() < NAMES) {
            return Ok(());
        }
        let jobs = jobs::list(broker).await?;
        self.queues = queues::names_beside(broker, &jobs).await?;
        let specs = jobs.into_iter().filter_map(|job| job.spec.ok());
        let scheduled = specs.filter(|spec| spec.schedule.is_some());
        self.scheduled = scheduled.map(|spec| spec.name).collect();
        self.scheduled.sort_unstable();
        self.at = Some(Instant::now());
        Ok(())
    }
}

/// Who works, and for what.
struct Crew {
    here: Vec<Presence>,
    queues: Vec<queues::QueueStanding>,
    workers: Vec<Worker>,
}

async fn crew(broker: &Broker, named: &mut Named) -> Result<Crew, ListError> {
    let here = workers::roll_call(broker).await?;
    named.look(broker).await?;
    let listed = workers::list_beside(broker, &here).await?;
    let workers = listed.workers.iter().map(|standing| Worker {
        standing: standing.clone(),
        namesake: listed.is_namesake(standing),
        holds: Vec::new(),
    });
    Ok(Crew {
        queues: queues::list_named(broker, &here, &named.queues).await?,
        workers: workers.collect(),
        here,
    })
}

fn planner(here: &gridloom_shared::planner::Attendance) -> Planner {
    Planner {
        planner: here.name.clone(),
        term: here.term.map(|term| term.0),
        trouble: here.trouble.clone(),
    }
}

fn pause(paused: &pauses::Paused) -> Pause {
    Pause {
        job: paused.job.clone(),
        words: Pausing::of(paused).words(),
    }
}

fn alarm(alarm: &Alarm) -> String {
    let due: &dyn Display = &alarm.due.to_the_second();
    match &alarm.watched {
        Watched::Fire(job) => {
            format!("job {job} was to fire at {due} and nobody answered for it: gridloom doctor")
        }
        Watched::Run(run) => format!("run {run} was to be over at {due}: gridloom show {run}"),
    }
}
