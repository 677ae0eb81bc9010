//! Definitions and calendars that somebody else changed after they were seen: whoever comes late changes and deletes nothing.

use gridloom_shared::id::CalendarName;
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::reads::{calendars, jobs};
use gridloom_shared::schedule::Calendar;
use gridloom_tests::scenario::play;
use serde_json::json;

const FIRST: &str = "name = \"tick\"\nhandler = \"noop\"";
const SECOND: &str = "name = \"tick\"\nhandler = \"noop\"\n[params]\nsleep_ms = 1";

#[tokio::test(flavor = "multi_thread")]
async fn job_that_was_changed_since_it_was_seen_is_neither_changed_nor_deleted()
-> anyhow::Result<()> {
    play(async |stage| {
        let (job, broker) = (stage.apply(FIRST).await?, &stage.broker);
        let seen = jobs::see(broker, &job).await?;
        stage.apply(SECOND).await?;
        let now = jobs::see(broker, &job).await?.revision();
        let first = parse::parse(FIRST, Format::Toml)?;
        let late = jobs::define(broker, &seen, &first).await;
        assert!(late.is_err_and(|error| error.is_conflict()));
        let late = jobs::delete(broker, &job, &seen).await;
        assert!(late.is_err_and(|error| error.is_conflict()));
        let seen = jobs::see(broker, &job).await?;
        assert_eq!(seen.revision(), now);
        jobs::delete(broker, &job, &seen).await?;
        assert!(jobs::see(broker, &job).await?.job().is_none());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn calendar_that_was_changed_since_it_was_seen_is_neither_changed_nor_deleted()
-> anyhow::Result<()> {
    play(async |stage| {
        let (office, broker) = (CalendarName::new("office")?, &stage.broker);
        let calendar = |date: &str| {
            let document = json!({ "name": "office", "timezone": "UTC", "dates": [date] });
            Calendar::try_from(document)
        };
        let nothing = calendars::see(broker, &office).await?;
        calendars::put(broker, &nothing, calendar("2026-12-24")?).await?;
        let late = calendars::put(broker, &nothing, calendar("2026-12-25")?).await;
        assert!(late.is_err_and(|error| error.is_conflict()));
        let seen = calendars::see(broker, &office).await?;
        calendars::put(broker, &seen, calendar("2026-12-26")?).await?;
        let late = calendars::delete(broker, &seen).await;
        assert!(late.is_err_and(|error| error.is_conflict()));
        let now = calendars::see(broker, &office).await?;
        // What it said first is not lost by whoever came late.
        assert_eq!(now.kept().map(|kept| kept.before().len()), Some(1));
        Ok(())
    })
    .await
}
