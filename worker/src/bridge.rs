//! Handlers in any language: the shards of this worker run in child processes, or in the program that started it. Leases, takeovers, fences and
//! ledger stay here; the other side only runs shards, and what it is told and may say is docs/CHILD-PROTOCOL.md.
//!
//! It decides nothing about tiles: to the engine it is a handler like any other. A child that dies has failed what it ran; what does not stop when its
//! lease is lost is killed with its process group; and no child outlives this process.
//!
//! ```text
//!  engine ── crew ── tile ──► pool ──► child ──► link ══ socket ══ the other language
//!                     ▲ answers ◄─────── desk ◄────┘
//!                                        life ──► process (guard, voice)
//! ```
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `plan` | what children there are, and which will do |
//! | `frame` | where one message ends and the next begins |
//! | `heard` | what a child may say, and what of it is a fault |
//! | `said` | what is said to it |
//! | `desk` | which answers count, and when a slot is free |
//! | `lease` | until when a child may live without hearing from this worker |
//! | `death` | how the end of a child is told |
//! | `tile` | how a tile runs in children, also when they die |
//! | `answers` | where answers wait until they are asked for |
//! | `pool` | which child runs the next tile |
//! | `child` | speaks with one child, from its welcome to its end |
//! | `link` | a connection: whole messages in, frames out |
//! | `entrance` | where the socket is that children connect to |
//! | `hall` | which of those who come is who |
//! | `process` | a child's process, under a guard |
//! | `voice` | what it writes: logged, and the end kept |
//! | `life` | starts it, again and again |
//! | `attach` | the worker of a program that started it |
//! | [`conformance`] | whether a library in another language does as the protocol says |

use std::sync::{Arc, Mutex};

use gridloom_shared::chain;
use gridloom_shared::id::HandlerName;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::builder::{Builder, CONCURRENCY_MAX};

mod answers;
mod attach;
mod child;
pub mod conformance;
mod death;
mod desk;
mod entrance;
mod frame;
mod hall;
mod heard;
mod lease;
mod life;
mod link;
mod plan;
mod pool;
mod process;
mod said;
mod tile;
mod voice;

#[cfg(test)]
mod golden;

pub use attach::Attachment;
pub use plan::{CHILD_GRACE_DEFAULT, CHILD_SLOTS_MAX, HELLO_WITHIN_DEFAULT, PROCESSES_MAX, Plan};

use child::Child;
use hall::Hall;
use life::Shared;
use plan::Introduced;
use pool::Pool;
use tile::Bridged;

/// Why there are no handlers in another language.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The socket cannot be made.
    #[error("listen for children: {0}")]
    Listen(String),
    /// The first child will not do, or never came. The text says why.
    #[error("{0}")]
    Child(String),
    /// The program that this worker belongs to cannot be reached.
    #[error("connect to the program at {socket} (GRIDLOOM_SOCKET): {cause}")]
    Unreachable {
        /// Where.
        socket: String,
        /// What is wrong.
        cause: String,
    },
}

/// How the program that a worker is attached to left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It wanted no more.
    Bye,
    /// It is gone.
    Gone,
}

/// The children of a worker.
pub struct Bridge {
    introduced: Introduced,
    children: u32,
    pool: Arc<Pool>,
    grace: std::time::Duration,
    stop: CancellationToken,
    lives: Vec<JoinHandle<()>>,
    left: watch::Receiver<Option<Left>>,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge")
            .field("handlers", &self.introduced.listed())
            .field("children", &self.children)
            .finish_non_exhaustive()
    }
}

impl Bridge {
    /// Starts the children of a plan, and waits until the first has said who it is.
    ///
    /// # Errors
    /// When the first that ends, or is late, does so before that: most likely the command is wrong.
    pub async fn start(plan: Plan) -> Result<Bridge, BridgeError> {
        let hall = Hall::open(plan.tcp).await;
        let hall = hall.map_err(|error| BridgeError::Listen(chain(&error).to_string()))?;
        let (begun, mut news) = mpsc::unbounded_channel();
        let (children, grace) = (plan.processes, plan.grace);
        let (pool, stop) = (Arc::new(Pool::default()), CancellationToken::new());
        let shared = Arc::new(Shared {
            plan,
            pool: Arc::clone(&pool),
            hall,
            agreed: Mutex::default(),
            begun,
            stop: stop.clone(),
        });
        let lives =
            (0..children).map(|number| tokio::spawn(life::live(Arc::clone(&shared), number)));
        let lives: Vec<JoinHandle<()>> = lives.collect();
        drop(shared);
        let first = news.recv().await;
        let introduced = match first {
            Some(Ok(introduced)) => introduced,
            failed => {
                end(&stop, lives).await;
                let why = failed.and_then(Result::err);
                return Err(BridgeError::Child(
                    why.unwrap_or_else(|| "no child was started".to_owned()),
                ));
            }
        };
        let handlers = introduced.listed();
        let sdk = introduced.sdk.as_str();
        tracing::info!(
            handlers,
            sdk,
            count = children,
            "children run the shards of these handlers"
        );
        let (_, left) = watch::channel(None);
        Ok(Bridge {
            introduced,
            children,
            pool,
            grace,
            stop,
            lives,
            left,
        })
    }

    /// Connects to the program that started this worker.
    ///
    /// # Errors
    /// When it cannot be reached, or will not do.
    pub async fn attach(to: &Attachment) -> Result<Bridge, BridgeError> {
        let (link, introduced) = attach::greet(to).await?;
        let (pool, stop) = (Arc::new(Pool::default()), CancellationToken::new());
        let child = Child {
            who: format!("the program ({})", introduced.sdk).into(),
            link,
            slots: introduced.slots,
            process: None,
            grace: to.grace,
        };
        let (sender, left) = watch::channel(None);
        let life = attach::live(child, Arc::clone(&pool), stop.clone(), sender);
        let handlers = introduced.listed();
        let sdk = introduced.sdk.as_str();
        tracing::info!(
            handlers,
            sdk,
            "the program runs the shards of these handlers"
        );
        Ok(Bridge {
            introduced,
            children: 1,
            pool,
            grace: to.grace,
            stop,
            lives: vec![tokio::spawn(life)],
            left,
        })
    }

    /// The names of the handlers.
    pub fn handlers(&self) -> Vec<String> {
        let names = self.introduced.handlers.iter();
        names.map(HandlerName::to_string).collect()
    }

    /// How many tiles all children together run at once.
    pub fn capacity(&self) -> u32 {
        let tiles = self.introduced.slots.saturating_mul(self.children);
        tiles.min(CONCURRENCY_MAX)
    }

    /// Registers the handlers at a worker.
    #[must_use]
    pub fn register(&self, builder: Builder) -> Builder {
        let handlers = self.introduced.handlers.iter().enumerate();
        handlers.fold(builder, |builder, (at, name)| {
            let handler = Bridged {
                pool: Arc::clone(&self.pool),
                probes: self.introduced.probes.contains(name),
                tells: at == 0,
                grace: self.grace,
            };
            builder.shared(name.as_str(), Arc::new(handler))
        })
    }

    /// Waits until the program that this worker is attached to has left; never ends where the children are its own.
    pub async fn left(&self) -> Left {
        let mut left = self.left.clone();
        loop {
            let now = *left.borrow_and_update();
            if let Some(how) = now {
                return how;
            }
            if left.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Tells the children that nothing more comes, and waits until they are gone. To be called when the worker has ended.
    pub async fn stop(self) {
        end(&self.stop, self.lives).await;
    }
}

async fn end(stop: &CancellationToken, lives: Vec<JoinHandle<()>>) {
    stop.cancel();
    for life in lives {
        if let Err(error) = life.await {
            tracing::error!(error = %chain(&error), "whoever looked after a child has panicked");
        }
    }
}
