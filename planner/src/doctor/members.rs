//! Whether all servers of a broker's cluster have their copies: the streams tell, so that nobody needs to be let into the
//! broker's own account for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::copies::Copies;
use gridloom_shared::count::counted;

use super::chart::Chart;
use super::lines;
use super::staff::named;

/// A server that has not all of a stream catches up, and is heard each second; one that is not heard for so long is away.
const SILENT: Duration = Duration::from_secs(5);

/// Streams by the server that lacks something of them.
type Lacking<'c> = BTreeMap<&'c str, u64>;

/// Looks at `all`, which is what the broker told of copies.
pub(super) fn look(broker: &Broker, all: &[Copies], chart: &mut Chart) {
    if broker.cluster().is_some() && !all.is_empty() {
        judge(all, chart);
    }
}

fn judge(all: &[Copies], chart: &mut Chart) {
    let headless: Vec<&Copies> = all
        .iter()
        .filter(|copies| copies.leader.is_none())
        .collect();
    let (mut away, mut behind) = (Lacking::new(), Lacking::new());
    for copy in all.iter().flat_map(|copies| &copies.others) {
        let is_silent = Duration::from_nanos(copy.silent_ns) > SILENT;
        let lacking = match (copy.offline || is_silent && !copy.current, copy.current) {
            (true, _) => &mut away,
            (false, false) => &mut behind,
            (false, true) => continue,
        };
        *lacking.entry(copy.server.as_str()).or_default() += 1;
    }
    tell_headless(&headless, all.len(), chart);
    for (server, streams) in &away {
        let streams = counted(*streams, "stream");
        chart.bad(
            lines::SERVER_AWAY,
            format!("server {server} is away, and a copy of {streams} with it"),
            "its log says why; start it again: where one more ends, nothing is stored (docs/OPERATIONS.md, GridloomReplicaBehind)",
        );
    }
    for (server, streams) in &behind {
        let streams = counted(*streams, "stream");
        chart.note(
            lines::SERVER_BEHIND,
            format!("server {server} catches up with {streams}"),
            "stop no other server before it has",
        );
    }
    let single = all.iter().filter(|copies| copies.wanted < 2);
    let single: Vec<&str> = single.map(|copies| copies.stream.as_str()).collect();
    if !single.is_empty() {
        chart.note(
            lines::ONE_COPY,
            format!("one copy alone: {}", named(single.iter().copied())),
            "where its server ends nothing goes on, and where its disk is lost, it is: nats stream edit STREAM --replicas 3, and the same for planners (--replicas 3)",
        );
    }
    if headless.is_empty() && away.is_empty() && behind.is_empty() {
        let followers = all.iter().flat_map(|copies| &copies.others);
        let followers = followers.map(|copy| copy.server.as_str());
        let leaders = all.iter().filter_map(|copies| copies.leader.as_deref());
        let servers: BTreeSet<&str> = leaders.chain(followers).collect();
        chart.ok(
            "cluster",
            format!("every copy is there and current, on {}", named(servers)),
        );
    }
}

/// Streams that nobody leads. Where those on disk have their leaders and one in memory has none, all servers were down at
/// once: whoever comes back has nothing of it, and nobody knows that there is nothing before all have said so.
fn tell_headless(headless: &[&Copies], all: usize, chart: &mut Chart) {
    if headless.is_empty() {
        return;
    }
    let streams = named(headless.iter().map(|copies| copies.stream.as_str()));
    let only_memory = headless.len() < all && headless.iter().all(|copies| copies.in_memory);
    if only_memory {
        chart.bad(
            lines::QUEUE_HEADLESS,
            format!("no server leads {streams}, which is in their memory: all of them were down at once, and it waits for all to be back"),
            "start the server that is away; where its disk is lost, with an empty store under the same server_name. Nothing is lost meanwhile: the queue is filled from the ledger",
        );
        return;
    }
    chart.bad(
        lines::STREAM_HEADLESS,
        format!("no server leads {streams}"),
        "more than half of the servers have to be there: see which are not, and start them (docs/OPERATIONS.md, GridloomBrokerWithoutQuorum)",
    );
}

#[cfg(test)]
mod tests {
    use gridloom_shared::broker::topology::copies::Follower;

    use super::*;

    fn stream(name: &str, others: &[(&str, bool, bool)]) -> Copies {
        let others = others.iter().map(|(server, current, offline)| Follower {
            server: (*server).to_owned(),
            current: *current,
            offline: *offline,
            silent_ns: 900_000_000,
        });
        Copies {
            stream: name.to_owned(),
            wanted: 1 + others.len(),
            in_memory: false,
            leader: Some("one".to_owned()),
            others: others.collect(),
        }
    }

    fn said(all: &[Copies]) -> (bool, String) {
        let mut chart = Chart::default();
        judge(all, &mut chart);
        (chart.is_bad(), chart.text())
    }

    #[test]
    fn server_that_is_away_is_named_and_one_that_catches_up_is_no_fault() {
        let (two, three) = (("two", true, false), ("three", true, false));
        let well = [stream("a", &[two, three]), stream("b", &[two, three])];
        let (bad, text) = said(&well);
        assert!(!bad && text.contains("on one, three and two"), "{text}");
        let away = ("three", false, true);
        let (bad, text) = said(&[stream("a", &[two, away]), stream("b", &[two, away])]);
        assert!(
            bad && text.contains("server three is away, and a copy of 2 streams"),
            "{text}"
        );
        let (bad, text) = said(&[stream("a", &[two, ("three", false, false)])]);
        assert!(
            !bad && text.contains("three catches up with 1 stream"),
            "{text}"
        );
        let mut killed = stream("a", &[two, ("three", false, false)]);
        killed.others[1].silent_ns = 6_000_000_000;
        let (bad, text) = said(&[killed]);
        assert!(bad && text.contains("server three is away"), "{text}");
        let (bad, text) = said(&[stream("a", &[])]);
        assert!(!bad && text.contains("one copy alone: a"), "{text}");
        let headless = Copies {
            leader: None,
            ..stream("a", &[two, three])
        };
        let (bad, text) = said(std::slice::from_ref(&headless));
        assert!(bad && text.contains("more than half"), "{text}");
        let in_memory = Copies {
            in_memory: true,
            ..headless.clone()
        };
        let led = stream("b", &[two, away]);
        let (bad, text) = said(&[in_memory.clone(), led.clone()]);
        assert!(
            bad && text.contains("it waits for all to be back"),
            "{text}"
        );
        // One on disk has none, either: they are too few.
        for all in [
            &[in_memory.clone(), headless.clone(), led][..],
            &[in_memory],
        ] {
            let (bad, text) = said(all);
            assert!(bad && text.contains("more than half"), "{text}");
        }
    }
}
