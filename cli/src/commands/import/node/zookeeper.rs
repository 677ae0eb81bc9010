//! What `zkCli.sh get` prints beside what it was asked for: how it connects, and when that was written.

use std::borrow::Cow;

/// How its own lines begin. None of a job's configuration does.
const OWN: &[&str] = &[
    "Connecting to ",
    "Welcome to ZooKeeper!",
    "JLine support is ",
    "WATCHER::",
    "WatchedEvent state:",
    "[zk: ",
    "cZxid = ",
    "ctime = ",
    "mZxid = ",
    "mtime = ",
    "pZxid = ",
    "cversion = ",
    "dataVersion = ",
    "aclVersion = ",
    "ephemeralOwner = ",
    "dataLength = ",
    "numChildren = ",
];
/// What stands in each line of its log.
const LOG: &str = " [myid:";

/// The text without its lines.
pub(super) fn without_its_own(text: &str) -> Cow<'_, str> {
    if !text.lines().any(is_its_own) {
        return Cow::Borrowed(text);
    }
    let lines = text.split_inclusive('\n').filter(|line| !is_its_own(line));
    Cow::Owned(lines.collect())
}

fn is_its_own(line: &str) -> bool {
    let is_logged = || line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(LOG);
    OWN.iter().any(|beginning| line.starts_with(beginning)) || is_logged()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_left_of_what_the_client_prints() {
        let told = "Connecting to localhost:2181\n\
                    2026-11-29 22:00:00,123 [myid:] - INFO  [main:ZooKeeper@868] - Initiating client connection\n\
                    \nWATCHER::\n\nWatchedEvent state:SyncConnected type:None path:null\n\
                    {\"jobName\": \"a\"}\ncZxid = 0x5\nctime = Sun Nov 29 22:00:00 UTC 2026\nnumChildren = 0\n";
        assert_eq!(without_its_own(told).trim(), "{\"jobName\": \"a\"}");
    }

    #[test]
    fn another_text_is_left_as_it_is() {
        let yaml = "jobName: a\ndescription: |\n  mtime = now\n  Connecting to the moon\n";
        assert!(matches!(without_its_own(yaml), Cow::Borrowed(same) if same == yaml));
    }
}
