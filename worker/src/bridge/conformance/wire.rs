//! Bytes to and from the program that is tested: whole frames or pieces of them, and what comes is read without end, as a worker does.

use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::chain;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::bridge::entrance::Ends;
use crate::bridge::frame::Decoder;

/// Most frames that wait to be looked at: whoever sends more waits.
const WAITING_MAX: usize = 10_000;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    Frame(Bytes),
    /// What is no frame; nothing more comes.
    Broken(String),
    Closed,
    /// Nothing, for as long as was waited.
    Nothing,
}

/// This end of the connection.
pub(super) struct Wire {
    to: Box<dyn AsyncWrite + Send + Unpin>,
    came: mpsc::Receiver<Came>,
    reading: JoinHandle<()>,
    handle: Handle,
}

impl Wire {
    pub(super) fn new((mut from, to): Ends, handle: &Handle) -> Wire {
        let (sender, came) = mpsc::channel(WAITING_MAX);
        let reading = handle.spawn(async move {
            let mut decoder = Decoder::default();
            loop {
                let came = match decoder.next() {
                    Ok(Some(frame)) => Came::Frame(frame),
                    Err(error) => Came::Broken(chain(&error).to_string()),
                    Ok(None) => match from.read_buf(decoder.room()).await {
                        Ok(1..) => continue,
                        // Who is killed resets it.
                        Ok(0) | Err(_) => Came::Closed,
                    },
                };
                let last = !matches!(came, Came::Frame(_));
                if sender.send(came).await.is_err() || last {
                    return;
                }
            }
        });
        Wire {
            to,
            came,
            reading,
            handle: handle.clone(),
        }
    }

    /// Sends these bytes. `false`: they were not taken in time, or nobody hears.
    pub(super) fn send(&mut self, bytes: &[u8], within: Duration) -> bool {
        let to = &mut self.to;
        let sent = async {
            to.write_all(bytes).await?;
            to.flush().await
        };
        let sent = async { tokio::time::timeout(within, sent).await };
        let sent = self.handle.block_on(sent);
        matches!(sent, Ok(Ok(())))
    }

    /// What comes next.
    pub(super) fn next(&mut self, within: Duration) -> Came {
        let came = &mut self.came;
        let next = async { tokio::time::timeout(within, came.recv()).await };
        match self.handle.block_on(next) {
            Ok(Some(came)) => came,
            Ok(None) => Came::Closed,
            Err(_) => Came::Nothing,
        }
    }

    /// Ends the connection.
    pub(super) fn close(self) {
        self.reading.abort();
        // Its half of the socket is closed when it has ended.
        let _ = self.handle.block_on(self.reading);
    }
}
