//! Where children arrive, and which of those who come is who.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gridloom_shared::chain;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::entrance::{Address, Kind, Listener};
use super::heard::{Heard, Hello};
use super::link::{Link, Over};

/// Most connections that have not said who they are. Others wait in the system.
const NAMELESS_MAX: usize = 512;
/// How long one may take for that once it is there.
const NAMED_WITHIN: Duration = Duration::from_secs(30);
/// Pause where the system gives no connection, for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A child that has said who it is.
pub(super) struct Arrived {
    pub(super) link: Link,
    pub(super) hello: Hello,
}

type Awaited = HashMap<String, oneshot::Sender<Arrived>>;

/// The socket, and who is expected there.
pub(super) struct Hall {
    address: Address,
    awaited: Arc<Mutex<Awaited>>,
    accepting: JoinHandle<()>,
}

/// A child that is expected; not any more when this is dropped.
pub(super) struct Expected {
    pub(super) token: String,
    awaited: Arc<Mutex<Awaited>>,
    arrived: oneshot::Receiver<Arrived>,
}

impl Expected {
    /// Waits for it. Safe to cancel.
    pub(super) async fn arrived(&mut self) -> Arrived {
        match (&mut self.arrived).await {
            Ok(arrived) => arrived,
            // Nobody accepts any more.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        lock(&self.awaited).remove(&self.token);
    }
}

impl Hall {
    /// Listens from now on.
    pub(super) async fn open(tcp: bool) -> io::Result<Hall> {
        let kind = if tcp { Kind::Tcp } else { Kind::Unix };
        let (listener, address) = Listener::open(kind).await?;
        let awaited = Arc::new(Mutex::new(Awaited::new()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&awaited)));
        Ok(Hall {
            address,
            awaited,
            accepting,
        })
    }

    /// Where children connect to.
    pub(super) fn address(&self) -> &str {
        self.address.text()
    }

    /// Expects one more child.
    pub(super) fn expect(&self) -> Expected {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let (sender, arrived) = oneshot::channel();
        lock(&self.awaited).insert(token.clone(), sender);
        Expected {
            token,
            awaited: Arc::clone(&self.awaited),
            arrived,
        }
    }
}

impl Drop for Hall {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: Listener, awaited: Arc<Mutex<Awaited>>) {
    let room = Arc::new(Semaphore::new(NAMELESS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(ends) => {
                let link = Link::of(ends);
                let awaited = Arc::clone(&awaited);
                tokio::spawn(async move {
                    receive(link, &awaited).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "cannot take the connection of a child; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Hears who it is. Whoever is not expected is sent away without a word.
async fn receive(mut link: Link, awaited: &Mutex<Awaited>) {
    let reason = match tokio::time::timeout(NAMED_WITHIN, link.next()).await {
        Ok(Ok(Heard::Hello(hello))) => {
            let token = hello.token.as_deref().unwrap_or_default();
            let waits = lock(awaited).remove(token);
            match waits {
                Some(waits) => {
                    let _ = waits.send(Arrived { link, hello });
                    return;
                }
                None => "its token is nobody's, or was used".to_owned(),
            }
        }
        Ok(Ok(_)) => "it said something before its hello".to_owned(),
        Ok(Err(Over::Closed)) => "it was closed before its hello".to_owned(),
        Ok(Err(Over::Broke(how))) => how,
        Err(_) => "it said no hello".to_owned(),
    };
    tracing::warn!(reason, "a connection that is no child's is closed");
}

fn lock(awaited: &Mutex<Awaited>) -> MutexGuard<'_, Awaited> {
    awaited.lock().unwrap_or_else(PoisonError::into_inner)
}
