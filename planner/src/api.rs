//! The HTTP API: what can be seen and ordered of an installation, on every planner, whether it leads or stands by.
//!
//! It holds no truth of its own and asks the leader for nothing that the command line would not ask for: what it tells
//! is read of the broker, and what it orders is written there under compare-and-swap. It has a thread, a runtime and a
//! connection to the broker of its own: whatever is asked of it, the planner's loop goes on.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`settings`] | where it listens, and for whom |
//! | [`access`] | who may do what (pure) |
//! | [`sessions`] | what a browser shows in place of a token, and until when |
//! | [`certificate`], [`door`] | how it is reached: in clear, or encrypted |
//! | [`renewed`] | what is taken up when its files change |
//! | [`pulse`] | whether its thread still goes round |
//! | [`gate`] | what is refused before it reaches an operation |
//! | [`counted`] | what is counted of requests |
//! | [`problem`] | how it is said that something cannot be done |
//! | [`ask`] | how what is asked is read |
//! | [`cursor`] | how a list goes on (pure) |
//! | [`pack`] | which answers are packed |
//! | [`link`] | the connection to the broker, and what is kept at hand of it |
//! | [`events`] | what happens, told as it happens |
//! | [`mirror`] | the buckets that are listed, followed once somebody lists them |
//! | [`named`] | which queues jobs and runs name |
//! | [`armed`] | which jobs fire next, as their alarms are armed |
//! | [`folds`] | the ledgers that were folded lately |
//! | [`in_turn`] | what is read on for all who came before that began |
//! | [`together`] | what is done once for all who ask for it at a time |
//! | [`router`] | which operations there are, and how they are described |
//! | [`log`] | that each order is on record before it is given |
//! | [`about`], [`jobs`], [`runs`], [`dead`], [`crew`], [`calendars`], [`callbacks`], [`refused`], [`alarms`], [`doctor`] | the operations |

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use gridloom_shared::broker::Options;
use gridloom_shared::{chain, telemetry};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::console;
use crate::faults::Faults;
use crate::pulse::Pulse;
use crate::service::{Health, tasks};

mod about;
pub mod access;
mod alarms;
mod armed;
mod ask;
mod calendars;
mod callbacks;
pub mod certificate;
mod counted;
mod crew;
mod cursor;
mod dead;
mod doctor;
mod door;
mod events;
mod folds;
mod gate;
mod in_turn;
mod jobs;
mod link;
mod log;
mod mirror;
mod named;
mod pack;
mod problem;
mod pulse;
mod refused;
mod renewed;
pub mod router;
mod runs;
mod sessions;
pub mod settings;
mod together;

use certificate::{Certificate, Shown};
use door::Door;
use link::{Api, Link};
pub use settings::{Listen, Settings, SettingsError, TokenSource};

/// Why the API is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It must not be there.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Another process listens there.
    #[error(
        "serve the API on {0}: the port is in use; stop what uses it, or choose another address with --api-listen (port 0: any free one)"
    )]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("serve the API on {listen}")]
    Listen {
        /// The address as given.
        listen: SocketAddr,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// Its thread cannot be started.
    #[error("start the thread of the API")]
    Thread(#[source] std::io::Error),
}

/// A running API. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    pulse: Pulse,
    faults: Faults,
    address: SocketAddr,
    url: String,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens, and answers from now on; `broker`: the way to it.
    ///
    /// # Errors
    /// When it must not or cannot listen there.
    pub async fn start(settings: Settings, broker: Options) -> Result<Server, ServeError> {
        settings.check()?;
        let shown = settings.certificate.clone().map(shown).transpose()?;
        let listener = listen(settings.listen).await?;
        let address = listener.local_addr().map_err(|cause| ServeError::Listen {
            listen: settings.listen.address(),
            cause,
        })?;
        let scheme = if shown.is_some() { "https" } else { "http" };
        if shown.is_none() && settings.is_reached_from_elsewhere() {
            tracing::warn!(
                api = %address,
                "the API is served in clear to other machines, and whoever listens on the way has their tokens: give it a certificate (--api-tls-cert, --api-tls-key), or let a proxy before it speak TLS"
            );
        }
        let url = format!(
            "{scheme}://{address}{}{}",
            settings.base_path,
            settings::ROOT
        );
        let (stop, stopped) = watch::channel(false);
        let listener = listener.into_std().map_err(ServeError::Thread)?;
        let (pulse, faults) = (Pulse::default(), Faults::default());
        pulse.beat();
        let (beats, found) = (pulse.clone(), faults.clone());
        let thread = tasks::spawn_thread("gridloom-api", move || {
            run(
                (settings, shown),
                &broker,
                listener,
                (beats, found, stopped),
            );
        });
        Ok(Server {
            pulse,
            faults,
            address,
            url,
            stop,
            thread: Some(thread.map_err(ServeError::Thread)?),
        })
    }

    /// Whether the whole planner lives and can work: its API, too. From now on the planner tells whoever examines it what is
    /// wrong with the API's files.
    pub fn health(&self, planner: Health) -> impl telemetry::Health + use<> {
        planner.hears_of(self.faults.clone());
        pulse::Whole {
            api: self.pulse.clone(),
            planner,
        }
    }

    /// Where it listens: the port that was found, if any free one was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its operations are.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its console is.
    pub fn console(&self) -> &str {
        self.url.trim_end_matches(settings::ROOT)
    }

    /// Lets answers that are under way finish, a second at most, and ends. Nobody waits for a thread that does not.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let Some(thread) = self.thread.take() else {
            return;
        };
        let give_up = tokio::time::Instant::now() + settings::GIVE_UP_AFTER;
        while !thread.is_finished() && tokio::time::Instant::now() < give_up {
            tokio::time::sleep(settings::LOOK).await;
        }
        if !thread.is_finished() || thread.join().is_err() {
            tracing::error!("the API did not end by itself");
        }
    }
}

fn shown(files: Certificate) -> Result<Arc<Shown>, SettingsError> {
    Ok(Arc::new(Shown::new(files)?))
}

/// Where nobody chose an address and the usual one is taken, any free port will do: several planners may be on one host.
async fn listen(listen: Listen) -> Result<TcpListener, ServeError> {
    let address = listen.address();
    let bound = TcpListener::bind(address).await;
    let cause = match bound {
        Ok(listener) => return Ok(listener),
        Err(cause) => cause,
    };
    match (cause.kind(), listen) {
        (std::io::ErrorKind::AddrInUse, Listen::Usual) => {
            tracing::info!(api = %address, "the usual address of the API is taken: another port is used");
            let any = SocketAddr::new(address.ip(), 0);
            let bound = TcpListener::bind(any).await;
            bound.map_err(|cause| ServeError::Listen { listen: any, cause })
        }
        (std::io::ErrorKind::AddrInUse, Listen::At(_)) => Err(ServeError::InUse(address)),
        _ => Err(ServeError::Listen {
            listen: address,
            cause,
        }),
    }
}

/// The whole life of its thread.
fn run(
    (settings, shown): (Settings, Option<Arc<Shown>>),
    broker: &Options,
    listener: std::net::TcpListener,
    (pulse, faults, mut stopped): (Pulse, Faults, watch::Receiver<bool>),
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(error = %chain(&error), "the API has no runtime"),
    };
    let served: std::io::Result<()> = runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let link = Arc::new(Link::new(settings, broker.namespace.clone(), faults));
        let pages = console::routes(&link.settings.base_path);
        let routes = router::routes(Api(Arc::clone(&link))).merge(pages);
        let (mut end, at_end) = (stopped.clone(), stopped.clone());
        let door = Door::new(listener, shown.clone());
        let serving = axum::serve(door, routes).with_graceful_shutdown(async move {
            let _ = end.wait_for(|stop| *stop).await;
        });
        let keeping = async {
            tokio::join!(
                link.keep(broker, at_end),
                renewed::keep(&link, shown.as_deref()),
                pulse::keep(&pulse)
            )
        };
        let over = async {
            // An error says that the sender was dropped: the same.
            let _ = stopped.wait_for(|stop| *stop).await;
            tokio::time::sleep(settings::STOP_WITHIN).await;
        };
        tokio::select! {
            served = serving.into_future() => served,
            _ = keeping => Ok(()),
            () = over => Ok(()),
        }
    });
    if let Err(error) = served {
        tracing::error!(error = %chain(&error), "the API ended");
    }
}

#[cfg(test)]
mod tests;
