//! Who is told: readers of the same topics together, so that what they are told is put together once. One that does not
//! take what it is told is cut off; it comes back by itself and says where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::frame::{self, Kind};
use super::since::Since;
use super::topic::Topic;

/// Events that wait for a reader: four seconds.
pub(super) const WAITING_MAX: usize = 16;

/// All readers.
#[derive(Default)]
pub(super) struct Readers(BTreeMap<Arc<[Topic]>, Vec<Sender<Bytes>>>);

impl Readers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    pub(super) fn add(&mut self, topics: Arc<[Topic]>, reader: Sender<Bytes>) {
        self.0.entry(topics).or_default().push(reader);
    }

    /// What some of them read.
    pub(super) fn topics(&self) -> BTreeSet<Topic> {
        self.0
            .keys()
            .flat_map(|topics| topics.iter().cloned())
            .collect()
    }

    /// Tells each what there is to tell of its topics. Returns how many were cut off.
    pub(super) fn tell(&mut self, lines: &BTreeMap<Topic, Bytes>, id: &Since) -> usize {
        let mut slow = 0;
        for (topics, readers) in &mut self.0 {
            let of_group = topics.iter().filter_map(|topic| lines.get(topic));
            if of_group.clone().next().is_some() {
                let event = frame::event(Kind::Change, id, of_group);
                slow += send(readers, &event);
            }
        }
        self.forget();
        slow
    }

    /// Tells all of them that the stream goes on.
    pub(super) fn comment(&mut self) -> usize {
        let groups = self.0.values_mut();
        let slow = groups.map(|readers| send(readers, &frame::COMMENT)).sum();
        self.forget();
        slow
    }

    fn forget(&mut self) {
        self.0.retain(|_, readers| !readers.is_empty());
    }
}

/// Returns how many were cut off.
fn send(readers: &mut Vec<Sender<Bytes>>, bytes: &Bytes) -> usize {
    let mut slow = 0;
    readers.retain(|reader| match reader.try_send(bytes.clone()) {
        Ok(()) => true,
        Err(TrySendError::Full(_)) => {
            slow += 1;
            false
        }
        Err(TrySendError::Closed(_)) => false,
    });
    slow
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::channel;

    use super::super::topic;
    use super::*;

    #[test]
    fn readers_of_the_same_topics_share_what_they_are_told_and_a_slow_one_is_cut_off() {
        let mut readers = Readers::default();
        let (quick, mut quick_hears) = channel(2);
        let (slow, mut slow_hears) = channel(1);
        let (other, mut other_hears) = channel(1);
        readers.add(topic::read("runs,jobs").unwrap(), quick);
        readers.add(topic::read("jobs,runs").unwrap(), slow);
        readers.add(topic::read("dead").unwrap(), other);
        let lines = BTreeMap::from([(Topic::Runs, frame::load(&Topic::Runs))]);
        assert_eq!(readers.tell(&lines, &Since::default()), 0);
        assert_eq!(readers.tell(&lines, &Since::default()), 1);
        let (first, again) = (
            quick_hears.try_recv().unwrap(),
            slow_hears.try_recv().unwrap(),
        );
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert!(quick_hears.try_recv().is_ok());
        // Nothing is left for the slow one: its stream ends.
        assert_eq!(slow_hears.blocking_recv(), None);
        assert!(other_hears.try_recv().is_err());
        drop(quick_hears);
        readers.comment();
        assert_eq!(
            readers.topics(),
            BTreeSet::from([Topic::Seen(topic::Sight::Dead)])
        );
    }
}
