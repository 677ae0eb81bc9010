//! Orders that many give at the same time: whoever wants what holds already has it, and nobody is told what the broker calls
//! it; and a cursor of one list, which another refuses.

use futures_util::future::join_all;
use serde_json::Map;

use super::*;

const MANY: usize = 20;

/// What comes of an order that is given so often at once.
async fn given(
    api: &Api,
    what: (&str, &str),
    bodies: impl IntoIterator<Item = Value>,
) -> anyhow::Result<Vec<(u16, Value)>> {
    let orders = bodies.into_iter().map(async |body| {
        let body = (!body.is_null()).then_some(body);
        api.order(what, body.as_ref()).await
    });
    let all = join_all(orders).await.into_iter();
    let all: Vec<_> = all.collect::<anyhow::Result<_>>()?;
    for (status, told) in &all {
        let text = told.to_string();
        ensure!(*status < 500, "{what:?}: {status} {text}");
        ensure!(
            !text.contains("test-state") && !text.contains("test-jobs"),
            "{what:?}: {text}"
        );
    }
    Ok(all)
}

fn alike(body: &Value) -> Vec<Value> {
    vec![body.clone(); MANY]
}

/// All of them were done, and exactly one has changed something.
fn one_of_all(all: &[(u16, Value)], key: &str) -> anyhow::Result<()> {
    ensure!(
        all.iter().all(|(status, _)| matches!(status, 200 | 201)),
        "{all:?}"
    );
    let changed = all.iter().filter(|(_, told)| told[key] == true).count();
    ensure!(changed == 1, "{changed} of {all:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_at_once_are_carried_out_once_and_told_in_words() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        eventually(SOON, "a planner leads", async || Ok(stage.term().await? > 0)).await?;
        let note = json!({ "note": "the database moves" });
        one_of_all(&given(&api, ("POST", "/freeze"), alike(&note)).await?, "changed")?;
        one_of_all(&given(&api, ("DELETE", "/freeze"), alike(&Value::Null)).await?, "changed")?;
        let job = json!({
            "name": "hourly", "handler": "noop", "schedule": { "cron": "0 0 * * * ?", "timezone": "UTC" },
            "grid": { "slices": 1, "pages": { "count": 1 } },
        });
        let defined = given(&api, ("PUT", "/jobs/hourly"), alike(&job)).await?;
        ensure!(defined.iter().filter(|(_, told)| told["change"] == "created").count() == 1, "{defined:?}");
        one_of_all(&given(&api, ("POST", "/jobs/hourly/pause"), alike(&note)).await?, "changed")?;
        one_of_all(&given(&api, ("POST", "/jobs/hourly/resume"), alike(&Value::Null)).await?, "changed")?;
        let again = json!({ "name": "again", "from": "2026-01-01T00:00", "to": "2026-01-01T02:00" });
        one_of_all(&given(&api, ("POST", "/jobs/hourly/backfills"), alike(&again)).await?, "begun")?;
        let end = ("DELETE", "/jobs/hourly/backfills/again");
        let ended = given(&api, end, alike(&Value::Null)).await?;
        let changed = ended.iter().filter(|(_, told)| told["changed"] == true).count();
        ensure!(changed <= 1 && ended.iter().all(|(status, _)| *status == 200), "{ended:?}");
        calendars(&api).await?;
        let gone = given(&api, ("DELETE", "/jobs/hourly"), alike(&Value::Null)).await?;
        ensure!(gone.iter().all(|(status, _)| matches!(status, 200 | 404)), "{gone:?}");
        ensure!(gone.iter().any(|(status, _)| *status == 200), "{gone:?}");
        Ok(())
    })
    .await
}

async fn calendars(api: &Api) -> anyhow::Result<()> {
    let closed = |day: usize| json!({ "name": "closed", "timezone": "UTC", "dates": [format!("2026-03-{day:02}")] });
    let put = ("PUT", "/calendars/closed");
    let made = given(api, put, alike(&closed(1))).await?;
    ensure!(
        made.iter().all(|(status, _)| matches!(status, 200 | 201)),
        "{made:?}"
    );
    ensure!(
        made.iter()
            .filter(|(_, told)| told["change"] == "created")
            .count()
            == 1,
        "{made:?}"
    );
    // Each says something else: all are done, one after the other, or told that others write.
    let changed = given(api, put, (1..=MANY).map(closed)).await?;
    ensure!(
        changed
            .iter()
            .all(|(status, _)| matches!(status, 200 | 409)),
        "{changed:?}"
    );
    ensure!(
        changed.iter().filter(|(status, _)| *status == 200).count() >= MANY / 2,
        "{changed:?}"
    );
    let gone = given(api, ("DELETE", "/calendars/closed"), alike(&Value::Null)).await?;
    ensure!(
        gone.iter().all(|(status, _)| matches!(status, 200 | 404)),
        "{gone:?}"
    );
    let done = gone.iter().filter(|(status, _)| *status == 200).count();
    ensure!(done == 1, "{gone:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cursor_of_one_list_is_refused_by_every_other() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        stage.start_worker(4, &[]).await?;
        eventually(SOON, "a planner leads", async || Ok(stage.term().await? > 0)).await?;
        let mut runs = Vec::new();
        for name in ["one", "two"] {
            let job = json!({ "name": name, "handler": "noop", "grid": { "slices": 1, "pages": { "count": 3 } } });
            let path = format!("/jobs/{name}");
            ensure!(api.order(("PUT", &path), Some(&job)).await?.0 == 201);
            let (status, told) = api.order(("POST", &format!("{path}/runs")), None).await?;
            ensure!(status == 202, "{told}");
            let run = told["run"].as_str().context("run")?.to_owned();
            api.is(&run, "succeeded").await?;
            runs.push(run);
        }
        let lists = [
            "/jobs".to_owned(),
            "/log".to_owned(),
            format!("/runs/{}/shards", runs[0]),
            format!("/runs/{}/shards", runs[1]),
            "/runs".to_owned(),
        ];
        let others = ["/dead", "/jobs/one/fires"].map(str::to_owned);
        let mut cursors = Map::new();
        for list in &lists {
            let path = format!("{list}?limit=1");
            let next = async || {
                Ok(Some(api.get(&path).await?["next"].clone()).filter(Value::is_string))
            };
            let next = eventually_some(SOON, "it goes on", next).await?;
            cursors.insert(list.clone(), next);
        }
        for (of, cursor) in &cursors {
            let cursor = cursor.as_str().context("a cursor")?;
            for list in lists.iter().chain(&others) {
                let path = format!("{list}?limit=1&after={cursor}");
                let (status, told) = api.order(("GET", &path), None).await?;
                let wanted = if list == of { 200 } else { 400 };
                ensure!(status == wanted, "the cursor of {of} in {list}: {status} {told}");
                let detail = told["detail"].as_str().unwrap_or_default();
                ensure!(status == 200 || detail.starts_with("after: is no cursor of this list"), "{told}");
            }
        }
        Ok(())
    })
    .await
}
