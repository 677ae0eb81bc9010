//! How long a connection waits for somebody who takes nothing of an answer, or asks nothing. Whoever does not read would keep
//! what is to be sent, and a seat among the readers of events, for as long as the system knows of the connection; whoever does
//! not ask to the end would keep others out.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

/// Nobody is waited for longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
#[derive(Debug)]
pub struct Patient {
    stream: TcpStream,
    /// So long nothing need be said on it. It is no matter what comes meanwhile: a question that is not whole by then never
    /// will be.
    most: Duration,
    /// Since nothing was taken.
    stuck: Option<Pin<Box<Sleep>>>,
    /// Since something was said.
    quiet: Pin<Box<Sleep>>,
    /// Its place among those that there may be.
    _seat: OwnedSemaphorePermit,
}

impl Patient {
    /// One that is over when nothing was said on it for so long as `quiet`, and gives up its `seat` then.
    pub fn new(stream: TcpStream, seat: OwnedSemaphorePermit, quiet: Duration) -> Patient {
        Patient {
            stream,
            most: quiet,
            stuck: None,
            quiet: Box::pin(sleep(quiet)),
            _seat: seat,
        }
    }

    /// The first byte that comes, which is left where it is. `None`: nothing comes any more.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn first(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let mut byte = [0; 1];
        let mut byte = ReadBuf::new(&mut byte);
        ready!(self.stream.poll_peek(cx, &mut byte))?;
        Poll::Ready(Ok(byte.filled().first().copied()))
    }

    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            let until = Instant::now() + self.most;
            self.quiet.as_mut().reset(until);
            return written;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        stuck
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            return read;
        }
        let quiet = self.quiet.as_mut().poll(cx);
        quiet.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn whoever_never_asks_to_the_end_is_let_go_and_gives_up_the_seat() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut asker = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let seats = Arc::new(Semaphore::new(1));
        let seat = Arc::clone(&seats).acquire_owned().await.unwrap();
        let quiet = Duration::from_millis(50);
        let mut patient = Patient::new(stream, seat, quiet);
        asker.write_all(b"GET / HT").await.unwrap();
        let mut heard = [0; 8];
        patient.read_exact(&mut heard).await.unwrap();
        let over = patient.read(&mut heard).await.unwrap_err();
        assert_eq!(over.kind(), io::ErrorKind::TimedOut);
        assert_eq!(seats.available_permits(), 0);
        drop(patient);
        assert_eq!(seats.available_permits(), 1);
    }
}
