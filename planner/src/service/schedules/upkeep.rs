//! Decides which last records are written again: where the stream of fires was given a size, the oldest records go
//! first, and the last one of a job that fires once a year would be among them. Without it a new leader takes the
//! schedule for a new one.

use std::time::Duration;

use futures_util::Stream;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::StreamState;
use gridloom_shared::chain;

/// So often the stream is looked at: much less than it takes to write half of the smallest one.
const LOOK: Duration = Duration::from_secs(2);

/// Below which sequence last records are to be written again, whenever some are.
pub(super) fn below(broker: &Broker) -> impl Stream<Item = u64> {
    futures_util::stream::unfold(broker.clone(), |broker| async move {
        loop {
            tokio::time::sleep(LOOK).await;
            match broker.info(&broker.subjects().history()).await {
                Ok(state) => {
                    if let Some(below) = oldest(&state) {
                        return Some((below, broker));
                    }
                }
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "failed to look at the stream of fires");
                }
            }
        }
    })
}

/// The end of the oldest quarter, once half of the room is taken: each record is written again once in a while in
/// which most of the stream is replaced, and long before it would be removed.
fn oldest(state: &StreamState) -> Option<u64> {
    let room = state.max_bytes?;
    let quarter = state.last_seq.saturating_sub(state.first_seq) / 4;
    (state.bytes > room / 2).then_some(state.first_seq + quarter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(bytes: u64, max_bytes: Option<u64>) -> StreamState {
        StreamState {
            first_seq: 100,
            last_seq: 500,
            bytes,
            max_bytes,
            ..StreamState::default()
        }
    }

    #[test]
    fn oldest_quarter_is_written_again_where_there_is_little_room_left() {
        assert_eq!(oldest(&stream(600, Some(1_000))), Some(200));
        assert_eq!(oldest(&stream(500, Some(1_000))), None);
        assert_eq!(oldest(&stream(600, None)), None);
    }
}
