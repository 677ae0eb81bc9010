//! How an event is written: one JSON object a line, all of them under one `id`, so that a reader has all of a moment or
//! nothing of it. Each line is made once, whoever it is for. Pure.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::since::Since;
use super::topic::Topic;

/// What the stream begins with: how soon a browser that was cut off comes back.
pub(super) const BEGIN: Bytes = Bytes::from_static(b"retry: 1000\n\n");
/// What is sent so that nobody takes silence for an end.
pub(super) const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// All of what there is: nothing that was told before is right.
    Reset,
    /// What has changed.
    Change,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Reset => "reset",
            Kind::Change => "change",
        }
    }
}

#[derive(Serialize)]
struct Line<'s, S> {
    topic: String,
    #[serde(flatten)]
    said: &'s S,
}

/// Whoever reads this has to load it.
#[derive(Serialize)]
struct Load {
    load: bool,
}

/// Whoever reads this was told all of it before.
#[derive(Serialize)]
struct Unchanged {
    unchanged: bool,
}

/// What is said of a topic.
pub(super) fn line(topic: &Topic, said: &impl Serialize) -> Bytes {
    let line = Line {
        topic: topic.to_string(),
        said,
    };
    let mut bytes = BytesMut::from(&b"data: "[..]).writer();
    match serde_json::to_writer(&mut bytes, &line) {
        Ok(()) => {
            let mut bytes = bytes.into_inner();
            bytes.put_u8(b'\n');
            bytes.freeze()
        }
        // Nothing that is told cannot be written; if it were so, a list says it.
        Err(_) => Bytes::from(format!("data: {{\"topic\":\"{topic}\",\"load\":true}}\n")),
    }
}

/// What of a topic has to be loaded.
pub(super) fn load(topic: &Topic) -> Bytes {
    line(topic, &Load { load: true })
}

/// That a topic stands as its reader was told.
pub(super) fn unchanged(topic: &Topic) -> Bytes {
    line(topic, &Unchanged { unchanged: true })
}

/// An event of these lines.
pub(super) fn event<'l>(
    kind: Kind,
    id: &Since,
    lines: impl Iterator<Item = &'l Bytes> + Clone,
) -> Bytes {
    let head = format!("event: {}\nid: {id}\n", kind.as_str());
    let bytes: usize = lines.clone().map(Bytes::len).sum();
    let mut event = BytesMut::with_capacity(head.len() + bytes + 1);
    event.put(head.as_bytes());
    lines.for_each(|line| event.put(line.as_ref()));
    event.put_u8(b'\n');
    event.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_has_its_lines_under_one_id() {
        let lines = [load(&Topic::Runs), unchanged(&Topic::Jobs)];
        let id = Since {
            ledger: 7,
            ..Since::default()
        };
        let event = event(Kind::Change, &id, lines.iter());
        let wanted = "event: change\nid: 7.0.0.0.00000000\n\
                      data: {\"topic\":\"runs\",\"load\":true}\n\
                      data: {\"topic\":\"jobs\",\"unchanged\":true}\n\n";
        assert_eq!(event, wanted.as_bytes());
    }
}
