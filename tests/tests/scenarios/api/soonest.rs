//! Which jobs fire next, of more than a page shows: by time and not by name.

use super::*;

async fn define(api: &Api, name: &str, schedule: Value) -> anyhow::Result<()> {
    let job =
        json!({ "name": name, "handler": "noop", "schedule": schedule, "grid": { "slices": 1 } });
    let (status, told) = api
        .order(("PUT", &format!("/jobs/{name}")), Some(&job))
        .await?;
    ensure!(status == 201, "{name}: {status} {told}");
    Ok(())
}

/// Their names, in the order in which they are told.
async fn soonest(api: &Api, limit: usize) -> anyhow::Result<Vec<String>> {
    let told = api.get(&format!("/fires/next?limit={limit}")).await?;
    let items = told["items"].as_array().context("items")?;
    let opens = items.iter().map(|fire| fire["opens_at"].as_str());
    ensure!(opens.is_sorted(), "{told}");
    let names = items.iter().filter_map(|fire| fire["job"].as_str());
    Ok(names.map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn soonest_fires_of_all_jobs_are_told_in_order_on_every_planner() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        eventually(SOON, "a planner leads", async || Ok(stage.term().await? > 0)).await?;
        let standby = start(stage, &[]).await?;
        for n in 0..20 {
            let year = 2090 - n;
            define(&api, &format!("a-{n:02}"), json!({ "at": format!("{year}-01-01T00:00:00Z") })).await?;
        }
        // Every few seconds: what is armed of it may be about a fire that has passed.
        define(&api, "z-often", json!({ "every": "7s" })).await?;
        define(&api, "z-soon", json!({ "every": "20h" })).await?;
        define(&api, "z-out", json!({ "every": "1h", "except": "2020-01-01/2049-12-31" })).await?;
        define(&api, "z-held", json!({ "every": "1h" })).await?;
        define(&api, "z-gone", json!({ "every": "1h" })).await?;
        let pause = json!({ "note": "moving" });
        ensure!(api.order(("POST", "/jobs/z-held/pause"), Some(&pause)).await?.0 == 200);
        ensure!(api.order(("DELETE", "/jobs/z-gone"), None).await?.0 == 200);
        let wanted = ["z-often", "z-soon", "z-out", "a-19", "a-18"];
        for api in [&api, &standby] {
            eventually(SOON, "the soonest first", async || {
                Ok(soonest(api, 5).await? == wanted)
            })
            .await?;
        }
        ensure!(soonest(&standby, 100).await?.len() == 23);
        // By their schedule as it is now: what is armed is looked at again a while later.
        let later = json!({ "name": "z-soon", "handler": "noop", "schedule": { "at": "2091-01-01T00:00:00Z" }, "grid": { "slices": 1 } });
        let (status, told) = api.order(("PUT", "/jobs/z-soon"), Some(&later)).await?;
        ensure!(status == 200, "{status} {told}");
        eventually(SOON, "it is the last", async || {
            let all = soonest(&standby, 100).await?;
            Ok(all.first().is_some_and(|job| job == "z-often") && all.last().is_some_and(|job| job == "z-soon"))
        })
        .await?;
        for limit in ["0", "101", "x"] {
            let reply = api.ask(("GET", &format!("/fires/next?limit={limit}")), &[], None).await?;
            ensure!((reply.status, kind(&reply.json())) == (400, "invalid"), "{limit}");
        }
        Ok(())
    })
    .await
}
