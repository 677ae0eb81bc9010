//! How connections of whoever asks a service over HTTP come in, and how long they stay: one place for the API, and for
//! metrics and health. There are never more than there are seats for, others wait before the door, where they cost this
//! process no file; and whoever says nothing, or takes nothing, gives up the seat.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`patient`] | how long a connection waits for somebody |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

mod patient;

pub use patient::Patient;

/// Connections to metrics and health at most: probes and scrapes need few. The API leaves its process more files than these.
pub const PROBES_MAX: usize = 128;

/// Places for connections.
#[derive(Clone, Debug)]
pub struct Seats {
    places: Arc<Semaphore>,
    /// Says that there is none left.
    full: fn(),
}

impl Seats {
    /// So many at most; `full` says that others wait.
    pub fn new(most: usize, full: fn()) -> Seats {
        Seats {
            places: Arc::new(Semaphore::new(most)),
            full,
        }
    }

    async fn take(&self) -> OwnedSemaphorePermit {
        if self.places.available_permits() == 0 {
            (self.full)();
        }
        match Arc::clone(&self.places).acquire_owned().await {
            Ok(seat) => seat,
            // They are never closed.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Where connections come in.
#[derive(Debug)]
pub struct Entrance {
    listener: TcpListener,
    seats: Seats,
    quiet: Duration,
}

impl Entrance {
    /// Those of `listener`; one on which nothing is said for so long as `quiet` is over.
    pub fn new(listener: TcpListener, seats: Seats, quiet: Duration) -> Entrance {
        Entrance {
            listener,
            seats,
            quiet,
        }
    }
}

impl Listener for Entrance {
    type Io = Patient;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Patient, SocketAddr) {
        let seat = self.seats.take().await;
        let (stream, from) = Listener::accept(&mut self.listener).await;
        // Without it an event may wait for the answer to the one before; with an error it does.
        let _ = stream.set_nodelay(true);
        (Patient::new(stream, seat, self.quiet), from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
