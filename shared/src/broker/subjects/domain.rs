//! Which JetStream is meant where several can be reached: over a leaf node both sides may have one, each a domain of its
//! own. All that is said to JetStream goes through here, and what is said to a bucket, whose subjects do not pass a
//! leaf node between two domains.

use async_nats::Subject;

/// What JetStream's own subjects begin with.
const API: &str = "$JS.API.";
/// What keys of buckets begin with.
const KEYS: &str = "$KV.";

/// The domain of the streams; none where the server that is connected to decides.
#[derive(Clone, Debug, Default)]
pub(in crate::broker) struct Domain(Option<Named>);

#[derive(Clone, Debug)]
struct Named {
    name: String,
    api: String,
}

impl Domain {
    pub(in crate::broker) fn new(name: Option<&str>) -> Domain {
        Domain(name.map(|name| Named {
            name: name.to_owned(),
            api: format!("$JS.{name}.API."),
        }))
    }

    /// Its name.
    pub(in crate::broker) fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|named| named.name.as_str())
    }

    /// Where a message to `subject` goes.
    pub(in crate::broker) fn subject(&self, subject: Subject) -> Subject {
        let Some(Named { api, .. }) = &self.0 else {
            return subject;
        };
        match subject.strip_prefix(API) {
            Some(rest) => format!("{api}{rest}").into(),
            None if subject.starts_with(KEYS) => format!("{api}{subject}").into(),
            None => subject,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_jetstream_goes_to_its_domain_and_nothing_else() {
        let hub = Domain::new(Some("hub"));
        let to = |domain: &Domain, subject: &str| domain.subject(subject.into()).to_string();
        for (subject, there) in [
            ("$JS.API.STREAM.INFO.a", "$JS.hub.API.STREAM.INFO.a"),
            ("$KV.a-jobs.x", "$JS.hub.API.$KV.a-jobs.x"),
            (
                "$JS.ACK.hub.acc.s.c.1.2.3.4.5",
                "$JS.ACK.hub.acc.s.c.1.2.3.4.5",
            ),
            ("$JS.FC.s.c.x", "$JS.FC.s.c.x"),
            ("a.ledger.q.r.plan", "a.ledger.q.r.plan"),
        ] {
            assert_eq!(to(&hub, subject), there);
            assert_eq!(to(&Domain::default(), subject), subject);
        }
    }
}
