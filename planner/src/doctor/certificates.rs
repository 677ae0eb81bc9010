//! Whether the certificates of the broker's servers last: nobody is let in by one that is over, and nothing else tells of the
//! days before.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::connect::Shown;
use gridloom_shared::clock::UnixMs;

use super::chart::Chart;
use super::lines;

/// What was looked at.
const CHECK: &str = "certificates";
/// Whoever renews certificates has done it by then.
const DUE: Duration = Duration::from_secs(7 * 24 * 3_600);

pub(super) async fn look(broker: &Broker, chart: &mut Chart) {
    tell(&broker.certificates().await, UnixMs::now(), chart);
}

/// What is said of them, the soonest first. Where there are none nothing is encrypted, and nothing is said.
fn tell(shown: &[Shown], now: UnixMs, chart: &mut Chart) {
    let Some(first) = shown.first() else {
        return;
    };
    if first.end > now + DUE {
        let end = first.end.rfc3339();
        return chart.ok(CHECK, format!("those of the broker last until {end}"));
    }
    for Shown { server, end } in shown.iter().filter(|shown| shown.end <= now + DUE) {
        let when = match *end <= now {
            true => "ended at",
            false => "ends at",
        };
        chart.bad(
            lines::CERTIFICATE_ENDS,
            format!("that of {server} {when} {}", end.rfc3339()),
            "renew it where that server has it, and let it read it: nats-server --signal reload; one that is over lets nobody in",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Mark;
    use super::*;

    #[test]
    fn certificate_is_told_of_a_week_before_its_end_with_the_server_that_shows_it() {
        let day = 24 * 3_600_000;
        let now = UnixMs(1_000 * day);
        let said = |ends: &[u64]| {
            let shown = ends.iter().enumerate().map(|(n, days)| Shown {
                server: format!("nats-{n}:4222"),
                end: UnixMs(days * day),
            });
            let mut chart = Chart::default();
            tell(&shown.collect::<Vec<_>>(), now, &mut chart);
            let said = chart.into_checks().into_iter();
            said.map(|line| (line.result, line.found))
                .collect::<Vec<_>>()
        };
        assert_eq!(said(&[]), []);
        assert_eq!(said(&[1_008, 1_020])[0].0, Mark::Ok);
        let two = said(&[999, 1_007, 1_008]);
        assert_eq!(two.len(), 2, "{two:?}");
        assert!(
            two[0].1.starts_with("that of nats-0:4222 ended at "),
            "{two:?}"
        );
        assert!(
            two[1].1.starts_with("that of nats-1:4222 ends at "),
            "{two:?}"
        );
        assert!(two.iter().all(|line| line.0 == Mark::Bad));
    }
}
