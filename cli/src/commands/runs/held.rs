//! A shard that a worker holds, in words.

use gridloom_shared::reads::held::HeldShard;

use super::age;

/// `shard 0/17, attempt 2, on worker anna for 4 min`.
pub(in crate::commands) fn words(held: &HeldShard) -> String {
    let since = match (&held.since, &held.issued_at, held.taken_over) {
        (Some(at), ..) => format!(" for {}", age(Some(at))),
        (None, None, _) => String::new(),
        (None, Some(at), true) => format!(", taken over {} ago", age(Some(at))),
        (None, Some(at), false) => format!(", issued {} ago", age(Some(at))),
    };
    format!(
        "shard {}, attempt {}, on worker {}{since}",
        held.shard, held.attempt, held.worker
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gridloom_shared::clock::UnixMs;
    use gridloom_shared::tile::TileKind;

    use super::*;

    #[test]
    fn shard_is_told_with_its_worker_and_since_when() {
        let four_minutes_ago = UnixMs(UnixMs::now().0 - 250_000);
        let mut held = HeldShard {
            kind: TileKind::Page,
            slice: 0,
            page: 17,
            shard: "0/17".to_owned(),
            attempt: 2,
            since: Some(four_minutes_ago.rfc3339()),
            issued_at: Some(UnixMs(0).rfc3339()),
            taken_over: false,
            worker: "anna".to_owned(),
            session: "s".to_owned(),
        };
        assert_eq!(
            words(&held),
            "shard 0/17, attempt 2, on worker anna for 4 min"
        );
        held.since = None;
        held.issued_at = Some(four_minutes_ago.rfc3339());
        assert!(words(&held).ends_with("worker anna, issued 4 min ago"));
        held.taken_over = true;
        held.issued_at = Some((four_minutes_ago + Duration::from_secs(240)).rfc3339());
        assert!(words(&held).contains(", taken over 10 s ago"));
        held.issued_at = None;
        assert!(words(&held).ends_with("worker anna"));
    }
}
