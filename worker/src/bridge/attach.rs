//! The worker of a program: it was started by the program whose handlers it serves, connects to it, and ends with it.

use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::chain;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::child::{Child, How, serve};
use super::entrance::{Ends, ends_of_tcp, ends_of_unix};
use super::heard::Heard;
use super::link::{Link, Over};
use super::plan::Introduced;
use super::pool::Pool;
use super::said::{PROTOCOL, Said};
use super::{BridgeError, Left};

/// How often is looked whether the program is still there: a process that it started may hold its end of the connection.
const LOOK: Duration = Duration::from_millis(250);
/// How long the connection may take: the program listens before it starts a worker.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// How a worker finds the program that it belongs to, and how patient it is.
#[derive(Clone)]
pub struct Attachment {
    /// A path, or `tcp:ADDRESS` of this machine: what `GRIDLOOM_SOCKET` says.
    pub socket: String,
    /// What `GRIDLOOM_TOKEN` says.
    pub token: String,
    /// How long the program may take until it has said who it is.
    pub hello_within: Duration,
    /// How long a shard may take to end when it is told to stop.
    pub grace: Duration,
    /// The name of the worker.
    pub worker: String,
}

/// Without the token.
impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// Connects to the program, and hears who it is.
pub(super) async fn greet(to: &Attachment) -> Result<(Link, Introduced), BridgeError> {
    let connected = tokio::time::timeout(CONNECTED_WITHIN, connect(&to.socket)).await;
    let unreachable = |cause: String| BridgeError::Unreachable {
        socket: to.socket.clone(),
        cause,
    };
    let mut link = match connected {
        Ok(Ok(ends)) => Link::of(ends),
        Ok(Err(cause)) => return Err(unreachable(cause)),
        Err(_) => {
            return Err(unreachable(format!(
                "it took more than {CONNECTED_WITHIN:?}"
            )));
        }
    };
    link.say(&Said::Attach {
        protocol: PROTOCOL,
        token: &to.token,
        worker: &to.worker,
    });
    let unfit = |why: &str| BridgeError::Child(format!("the program will not do: {why}"));
    let hello = match tokio::time::timeout(to.hello_within, link.next()).await {
        Ok(Ok(Heard::Hello(hello))) => hello,
        Ok(Ok(_)) => return Err(unfit("it said something before its hello")),
        Ok(Err(Over::Closed)) => {
            return Err(unfit(
                "it closed the connection before its hello: is GRIDLOOM_TOKEN its own?",
            ));
        }
        Ok(Err(Over::Broke(how))) => return Err(unfit(&how)),
        Err(_) => {
            return Err(unfit(&format!(
                "it said no hello within {:?}",
                to.hello_within
            )));
        }
    };
    let introduced = Introduced::of(hello).map_err(|error| unfit(&chain(&error).to_string()))?;
    link.say(&Said::Welcome {
        protocol: introduced.protocol,
        worker: &to.worker,
        grace_ms: u64::try_from(to.grace.as_millis()).unwrap_or(u64::MAX),
    });
    Ok((link, introduced))
}

/// Connects to where a program says that it listens.
pub(super) async fn connect(socket: &str) -> Result<Ends, String> {
    let Some(address) = socket.strip_prefix("tcp:") else {
        let stream = UnixStream::connect(socket).await;
        return stream
            .map(ends_of_unix)
            .map_err(|error| chain(&error).to_string());
    };
    let address: std::net::SocketAddr = address
        .parse()
        .map_err(|_| "it must be a path or tcp:ADDRESS:PORT".to_owned())?;
    if !address.ip().is_loopback() {
        return Err(
            "it is no address of this machine alone: only loopback is safe without encryption"
                .to_owned(),
        );
    }
    let stream = TcpStream::connect(address).await;
    stream
        .map(ends_of_tcp)
        .map_err(|error| chain(&error).to_string())
}

/// Serves the program until it wants no more, is gone, or the worker stops.
pub(super) async fn live(
    child: Child,
    pool: Arc<Pool>,
    stop: CancellationToken,
    left: watch::Sender<Option<Left>>,
) {
    // Where the program goes and something of it stays, the connection does not tell.
    let parent = std::os::unix::process::parent_id();
    let orphaned = async {
        while std::os::unix::process::parent_id() == parent {
            tokio::time::sleep(LOOK).await;
        }
    };
    let how = tokio::select! {
        how = serve(child, &pool, &stop) => how,
        () = orphaned => {
            tracing::warn!("the program that this worker belongs to is gone");
            let _ = left.send(Some(Left::Gone));
            return;
        }
    };
    let _ = left.send(Some(match how {
        How::Drained => Left::Bye,
        How::Died(death) => {
            let reason = death.to_string();
            tracing::warn!(reason, "the program that this worker belongs to is gone");
            Left::Gone
        }
    }));
}
