//! What JetStream itself listens to: the only room that spells its API's subjects.

use std::fmt::Display;

use super::{ConsumerName, StreamName};

/// Where an account is asked about.
pub(in crate::broker) const ACCOUNT_INFO: &str = "$JS.API.INFO";

/// What stands before the address of a delivery.
pub(in crate::broker) const DELIVERY: &str = "$JS.ACK.";

/// How a stream is configured, and how much it holds.
pub(in crate::broker) fn stream_info(stream: &impl Display) -> String {
    of_stream("INFO", stream)
}

/// The same of a stream in another domain.
pub(in crate::broker) fn stream_info_in(domain: &str, stream: &StreamName) -> String {
    format!("{}.STREAM.INFO.{stream}", of_domain(domain))
}

/// One message of a stream in another domain.
pub(in crate::broker) fn message_get_in(domain: &str, stream: &StreamName) -> String {
    format!("{}.STREAM.MSG.GET.{stream}", of_domain(domain))
}

/// How another domain is reached.
pub(in crate::broker) fn of_domain(domain: &str) -> String {
    format!("$JS.{domain}.API")
}

/// The domain that is reached so.
pub(in crate::broker) fn domain_of(prefix: &str) -> Option<&str> {
    prefix.strip_prefix("$JS.")?.strip_suffix(".API")
}

/// Makes a stream.
pub(in crate::broker) fn stream_create(stream: &impl Display) -> String {
    of_stream("CREATE", stream)
}

/// Configures a stream anew.
pub(in crate::broker) fn stream_update(stream: &impl Display) -> String {
    of_stream("UPDATE", stream)
}

/// Removes a stream with all that is in it.
pub(in crate::broker) fn stream_delete(stream: &impl Display) -> String {
    of_stream("DELETE", stream)
}

/// Begins a copy of a stream.
pub(in crate::broker) fn stream_snapshot(stream: &StreamName) -> String {
    of_stream("SNAPSHOT", stream)
}

/// Begins to put a copy of a stream back.
pub(in crate::broker) fn stream_restore(stream: &StreamName) -> String {
    of_stream("RESTORE", stream)
}

/// Removes messages of a stream.
pub(in crate::broker) fn stream_purge(stream: &StreamName) -> String {
    of_stream("PURGE", stream)
}

/// One message of a stream, by its leader.
pub(in crate::broker) fn message_get(stream: &StreamName) -> String {
    of_stream("MSG.GET", stream)
}

/// Removes one message of a stream.
pub(in crate::broker) fn message_delete(stream: &StreamName) -> String {
    of_stream("MSG.DELETE", stream)
}

/// Messages of a stream, by any replica.
pub(in crate::broker) fn direct_get(stream: &StreamName) -> String {
    format!("$JS.API.DIRECT.GET.{stream}")
}

/// The last message on `subject` of a stream, by any replica.
pub(in crate::broker) fn direct_last(stream: &StreamName, subject: &str) -> String {
    format!("$JS.API.DIRECT.GET.{stream}.{subject}")
}

/// How a consumer is configured, and how far it is.
pub(in crate::broker) fn consumer_info(stream: &StreamName, consumer: &ConsumerName) -> String {
    format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}")
}

/// Makes a consumer of what matches `filter`; `None` for one that takes several subjects.
pub(in crate::broker) fn consumer_create(
    stream: &StreamName,
    consumer: &impl Display,
    filter: Option<&str>,
) -> String {
    let filter = filter.map_or_else(String::new, |filter| format!(".{filter}"));
    format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}{filter}")
}

/// Removes a consumer.
pub(in crate::broker) fn consumer_delete(stream: &StreamName, consumer: &impl Display) -> String {
    format!("$JS.API.CONSUMER.DELETE.{stream}.{consumer}")
}

/// The consumers of a stream, and how far each is.
pub(in crate::broker) fn consumer_list(stream: &StreamName) -> String {
    format!("$JS.API.CONSUMER.LIST.{stream}")
}

/// The names of the consumers of a stream.
pub(in crate::broker) fn consumer_names(stream: &StreamName) -> String {
    format!("$JS.API.CONSUMER.NAMES.{stream}")
}

/// Whether a question to JetStream, in whichever domain, leaves everything as it is: asked twice it is as if it were asked
/// once.
pub(in crate::broker) fn changes_nothing(subject: &str) -> bool {
    let reads = [
        "INFO",
        "DIRECT.GET.",
        "STREAM.INFO.",
        "STREAM.MSG.GET.",
        "STREAM.NAMES",
        "CONSUMER.INFO.",
        "CONSUMER.LIST.",
        "CONSUMER.NAMES.",
    ];
    let asked = subject.strip_prefix("$JS.");
    let asked = asked.and_then(|rest| rest.split_once("API."));
    asked.is_some_and(|(_, asked)| reads.iter().any(|words| asked.starts_with(words)))
}

/// Pulls from a consumer.
pub(in crate::broker) fn next_message(stream: &StreamName, consumer: &ConsumerName) -> String {
    format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}")
}

fn of_stream(what: &str, stream: &impl Display) -> String {
    format!("$JS.API.STREAM.{what}.{stream}")
}
