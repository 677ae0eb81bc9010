//! Where the socket is that children connect to: a Unix socket in a folder that nobody else can enter, or a port of this
//! machine alone.

use std::io;
use std::net::Ipv6Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// What the folder of a socket is called, before the process id of who listens and a part by chance.
const FOLDER: &str = "gridloom-children-";
/// What the socket is called in it: short, since the system takes no long path.
const SOCKET: &str = "s";

/// Of which kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unix,
    /// Loopback, for languages without Unix sockets.
    Tcp,
    /// Likewise, of IPv6.
    Tcp6,
}

/// What is said and heard there.
pub(super) type Ends = (
    Box<dyn AsyncRead + Send + Unpin>,
    Box<dyn AsyncWrite + Send + Unpin>,
);

/// Takes those who come.
pub(super) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Where they come to. What there is of it in the file system is removed at the end.
pub(super) struct Address {
    text: String,
    folder: Option<PathBuf>,
}

impl Address {
    /// As `GRIDLOOM_SOCKET` says it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Listener {
    /// Listens from now on.
    pub(super) async fn open(kind: Kind) -> io::Result<(Listener, Address)> {
        let listener = match kind {
            Kind::Unix => return unix(&std::env::temp_dir()),
            Kind::Tcp => TcpListener::bind(("127.0.0.1", 0)).await?,
            Kind::Tcp6 => TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await?,
        };
        let text = format!("tcp:{}", listener.local_addr()?);
        Ok((Listener::Tcp(listener), Address { text, folder: None }))
    }

    /// The next who comes.
    pub(super) async fn accept(&self) -> io::Result<Ends> {
        Ok(match self {
            Listener::Unix(listener) => ends_of_unix(listener.accept().await?.0),
            Listener::Tcp(listener) => ends_of_tcp(listener.accept().await?.0),
        })
    }
}

/// Both directions of a Unix socket.
pub(super) fn ends_of_unix(stream: UnixStream) -> Ends {
    let (from, to) = stream.into_split();
    (Box::new(from), Box::new(to))
}

/// Of a loopback one.
pub(super) fn ends_of_tcp(stream: TcpStream) -> Ends {
    // Frames are whole; a delay would only hold them up.
    let _ = stream.set_nodelay(true);
    let (from, to) = stream.into_split();
    (Box::new(from), Box::new(to))
}

fn unix(place: &Path) -> io::Result<(Listener, Address)> {
    sweep(place);
    let (own, chance) = (std::process::id(), uuid::Uuid::new_v4().simple());
    let folder = place.join(format!("{FOLDER}{own}-{chance}"));
    // Nobody else may come in.
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let path = folder.join(SOCKET);
    let address = Address {
        text: path.display().to_string(),
        folder: Some(folder),
    };
    Ok((Listener::Unix(UnixListener::bind(&path)?), address))
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
