//! Where children arrive: the socket that the worker listens on, and which of those who come is who.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gridloom_shared::chain;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::heard::{Heard, Hello};
use super::link::{Link, Over};

/// Most connections that have not said who they are. Others wait in the system.
const NAMELESS_MAX: usize = 512;
/// How long one may take for that once it is there.
const NAMED_WITHIN: Duration = Duration::from_secs(30);
/// Pause where the system gives no connection, for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What the folder of a socket is called, before the worker's process id and a part by chance.
const FOLDER: &str = "gridloom-children-";
/// What the socket is called in it: short, since the system takes no long path.
const SOCKET: &str = "s";

/// A child that has said who it is.
pub(super) struct Arrived {
    pub(super) link: Link,
    pub(super) hello: Hello,
}

type Awaited = HashMap<String, oneshot::Sender<Arrived>>;

/// The socket, and who is expected there.
pub(super) struct Hall {
    address: String,
    /// Removed at the end.
    dir: Option<PathBuf>,
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

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Link> {
        match self {
            Listener::Unix(listener) => Ok(Link::unix(listener.accept().await?.0)),
            Listener::Tcp(listener) => Ok(Link::tcp(listener.accept().await?.0)),
        }
    }
}

impl Hall {
    /// Listens from now on.
    pub(super) async fn open(tcp: bool) -> io::Result<Hall> {
        let (listener, address, dir) = if tcp {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let address = format!("tcp:{}", listener.local_addr()?);
            (Listener::Tcp(listener), address, None)
        } else {
            let place = std::env::temp_dir();
            sweep(&place);
            let (own, chance) = (std::process::id(), uuid::Uuid::new_v4().simple());
            let dir = place.join(format!("{FOLDER}{own}-{chance}"));
            // Nobody else may come in.
            std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
            let path = dir.join(SOCKET);
            let listener = UnixListener::bind(&path)?;
            (
                Listener::Unix(listener),
                path.display().to_string(),
                Some(dir),
            )
        };
        let awaited = Arc::new(Mutex::new(Awaited::new()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&awaited)));
        Ok(Hall {
            address,
            dir,
            awaited,
            accepting,
        })
    }

    /// Where children connect to.
    pub(super) fn address(&self) -> &str {
        &self.address
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
        if let Some(dir) = &self.dir {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

/// Removes what workers left there that were killed. One of another container may see the same folder: it answers.
fn sweep(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
        let Some((process, _)) = rest.and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        let lives = Path::new("/proc").join(process).exists();
        let answer = || std::os::unix::net::UnixStream::connect(entry.path().join(SOCKET));
        if !lives && answer().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

async fn accept(listener: Listener, awaited: Arc<Mutex<Awaited>>) {
    let room = Arc::new(Semaphore::new(NAMELESS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(link) => {
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn folders_of_dead_workers_are_swept_and_those_of_living_ones_are_not() {
        let place = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let dir = place.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let listener = UnixListener::bind(dir.join(SOCKET)).unwrap();
            (dir, listener)
        };
        let (dead, listener) = folder("gridloom-children-4999999999-a");
        drop(listener);
        let (elsewhere, _answers) = folder("gridloom-children-4999999998-b");
        let (own, listener) = folder(&format!("{FOLDER}{}-c", std::process::id()));
        drop(listener);
        let (other, listener) = folder("somebody-4999999999-d");
        drop(listener);
        sweep(place.path());
        assert!(!dead.exists());
        assert!(elsewhere.exists() && own.exists() && other.exists());
    }
}
