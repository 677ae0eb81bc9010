//! A connection to a child: whole messages in, frames out. What waits to be written is bounded by what a child may have
//! in hand, so whoever speaks to it never waits.

use std::io;

use bytes::Bytes;
use gridloom_shared::chain;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::entrance::Ends;
use super::frame::{Decoder, frame};
use super::heard::Heard;

/// Why nothing more comes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It was closed.
    Closed,
    /// What came is none of the protocol; the text says why.
    Broke(String),
}

/// This side of a connection.
pub(super) struct Link {
    from: Box<dyn AsyncRead + Send + Unpin>,
    decoder: Decoder,
    to: mpsc::UnboundedSender<Bytes>,
}

impl Link {
    /// Of what is said and heard there.
    pub(super) fn of((from, to): Ends) -> Link {
        let (sender, frames) = mpsc::unbounded_channel();
        tokio::spawn(write(frames, to));
        Link {
            from,
            decoder: Decoder::default(),
            to: sender,
        }
    }

    /// The next message. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<Heard, Over> {
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => {
                    return Heard::read(&frame)
                        .map_err(|error| Over::Broke(chain(&error).to_string()));
                }
                Ok(None) => {}
                Err(error) => return Err(Over::Broke(chain(&error).to_string())),
            }
            match self.from.read_buf(self.decoder.room()).await {
                Ok(0) => return Err(Over::Closed),
                Ok(_) => {}
                // A child that is killed resets it.
                Err(_) => return Err(Over::Closed),
            }
        }
    }

    /// Sends a message. `false`: it is larger than one may be. A child that is gone hears nothing.
    pub(super) fn say(&self, message: &impl Serialize) -> bool {
        let Some(frame) = frame(message) else {
            return false;
        };
        let _ = self.to.send(frame);
        true
    }
}

async fn write(mut frames: mpsc::UnboundedReceiver<Bytes>, mut to: impl AsyncWrite + Unpin) {
    while let Some(frame) = frames.recv().await {
        let written: io::Result<()> = to.write_all(&frame).await;
        if written.is_err() {
            // Whoever reads sees that it is over.
            return;
        }
    }
    let _ = to.shutdown().await;
}
