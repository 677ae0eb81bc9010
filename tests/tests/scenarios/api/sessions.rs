//! The session of a browser: known to every planner, over at all of them once somebody logs out anywhere or its token is
//! taken away, and nothing by which somebody else gets in.

use gridloom_planner::api::access::digest;

use super::stream::Stream;
use super::*;

const TOKEN: &str = "glt_of-ada";
const OWN: (&str, &str) = ("x-gridloom", "1");

/// Two planners with a token of that role.
async fn pair(stage: &mut Stage, tokens: &str) -> anyhow::Result<(Api, Api)> {
    let args = [tokens];
    let one = start(stage, &args).await?.with(TOKEN);
    let two = start(stage, &args).await?.with(TOKEN);
    for api in [&one, &two] {
        eventually(SOON, "it is connected", async || {
            Ok(api.get("/about").await?["broker"].is_string())
        })
        .await?;
    }
    let nobody = |api: Api| Api { token: None, ..api };
    Ok((nobody(one), nobody(two)))
}

/// Logs in, and returns the cookie.
async fn login(api: &Api) -> anyhow::Result<String> {
    let body = json!({ "token": TOKEN });
    let reply = api.ask(("POST", "/session"), &[], Some(&body)).await?;
    ensure!(reply.status == 200, "{reply:?}");
    let set = reply.header("set-cookie").context("a cookie")?;
    Ok(set.split(';').next().context("a cookie")?.to_owned())
}

async fn status(api: &Api, cookie: &str) -> anyhow::Result<u16> {
    let shown = [("cookie", cookie)];
    let reply = api.ask(("GET", "/session"), &shown, None).await?;
    Ok(reply.status)
}

async fn logout(api: &Api, cookie: &str) -> anyhow::Result<()> {
    let what = ("DELETE", "/session");
    let reply = api.ask(what, &[("cookie", cookie), OWN], None).await?;
    ensure!(reply.status == 204, "{reply:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn session_is_known_to_every_planner_and_over_at_all_of_them_when_it_is_ended_at_one()
-> anyhow::Result<()> {
    play(async |stage| {
        let token = format!("--api-token=ada=operator:{}", digest(TOKEN));
        let (one, two) = pair(stage, &token).await?;
        // What is over, of whomever, goes when somebody begins another.
        let state = stage.broker.state();
        let over = stage.broker.subjects().session_key(&digest("over"));
        let kept = json!({ "token": "bob", "until": 1, "seal": "" });
        state.put(&over, kept.to_string().into()).await?;
        drop(login(&one).await?);
        ensure!(state.get_of_leader(&over).await?.is_none(), "it is kept");
        let sessions = state.entries(stage.broker.subjects().all_sessions());
        for begun in sessions.await? {
            state.forget(&begun.key).await?;
        }
        let (first, second) = (login(&one).await?, login(&one).await?);
        ensure!(first != second);
        named_by_installation(&one, &two, &first).await?;
        for (api, cookie) in [
            (&one, &first),
            (&two, &first),
            (&one, &second),
            (&two, &second),
        ] {
            let seen = api
                .ask(("GET", "/session"), &[("cookie", cookie)], None)
                .await?;
            ensure!(
                seen.json()["name"] == "ada" && seen.json()["role"] == "operator",
                "{seen:?}"
            );
        }
        ensure!(
            !first.contains(TOKEN) && !first.contains(&digest(TOKEN)),
            "{first}"
        );
        nothing_else_gets_in(stage, &one, &first).await?;

        let mut stream =
            Stream::with(&one, "/api/v1/events?topics=jobs", &[("cookie", &first)]).await?;
        stream.until("the first", |_| true).await?;
        logout(&two, &first).await?;
        for api in [&one, &two] {
            ensure!(status(api, &first).await? == 401);
            ensure!(status(api, &second).await? == 200);
        }
        // Its streams are over by the next look.
        let ended = async {
            while stream.next().await?.is_some() {}
            anyhow::Ok(())
        };
        tokio::time::timeout(SOON, ended).await??;
        // At the planner itself that is at once.
        let mut stream =
            Stream::with(&one, "/api/v1/events?topics=jobs", &[("cookie", &second)]).await?;
        stream.until("the first", |_| true).await?;
        logout(&one, &second).await?;
        let ended = async {
            while stream.next().await?.is_some() {}
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(5), ended).await??;
        ensure!(status(&two, &second).await? == 401);
        Ok(())
    })
    .await
}

/// A browser sends the cookies of all ports of a host: other installations there have theirs under other names.
async fn named_by_installation(one: &Api, two: &Api, first: &str) -> anyhow::Result<()> {
    let name = |cookie: &str| cookie.split_once('=').map(|(name, _)| name.to_owned());
    let third = login(two).await?;
    ensure!(name(first) == name(&third), "{first}");
    logout(two, &third).await?;
    ensure!(name(first).is_some_and(|name| name.len() > "gridloom_".len()));
    let elsewhere = format!("gridloom_1=gls_{}", "0".repeat(64));
    ensure!(status(one, &format!("{elsewhere}; {first}")).await? == 200);
    Ok(())
}

/// A number is no token and a token no number; nor is what stands in the broker either of them.
async fn nothing_else_gets_in(stage: &Stage, api: &Api, cookie: &str) -> anyhow::Result<()> {
    let number = cookie.split_once('=').context("a value")?.1;
    let bearer = format!("Bearer {number}");
    let reply = api
        .ask(("GET", "/about"), &[("authorization", &bearer)], None)
        .await?;
    ensure!(reply.status == 401, "{reply:?}");
    ensure!(status(api, &format!("gridloom_1={TOKEN}")).await? == 401);
    let state = stage.broker.state();
    let kept = state
        .entries(stage.broker.subjects().all_sessions())
        .await?;
    ensure!(kept.len() == 2, "{kept:?}");
    for entry in &kept {
        let text = String::from_utf8_lossy(entry.value.as_deref().unwrap_or_default()).into_owned();
        ensure!(
            !text.contains(number) && !text.contains(&digest(TOKEN)),
            "{text}"
        );
        let digest = entry.key.rsplit('.').next().context("a digest")?;
        ensure!(status(api, &format!("gridloom_1=gls_{digest}")).await? == 401);
    }
    // Who may write there, and knows no digest of a token, makes no session.
    let value = kept[0].value.clone().context("a value")?;
    let made_up = format!("gls_{}", "0".repeat(64));
    let key = stage.broker.subjects().session_key(&digest(&made_up));
    state.put(&key, value).await?;
    ensure!(status(api, &format!("gridloom_1={made_up}")).await? == 401);
    state.forget(&key).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn session_is_over_with_its_token_and_lasts_over_a_start_of_its_planner() -> anyhow::Result<()>
{
    play(async |stage| {
        let file = stage.dir().join("tokens");
        std::fs::write(&file, format!("ada=admin:{}\n", digest(TOKEN)))?;
        let api = served(stage, &file).await?;
        let cookie = login(&api).await?;
        ensure!(status(&api, &cookie).await? == 200);
        let mut planner = stage.planners.pop().context("planner")?;
        planner.kill().await?;
        let api = served(stage, &file).await?;
        ensure!(status(&api, &cookie).await? == 200);
        // The same name with another token is somebody else.
        let beside = stage.dir().join("beside");
        std::fs::write(&beside, format!("ada=admin:{}\n", digest("glt_another")))?;
        std::fs::rename(&beside, &file)?;
        eventually(SOON, "the session is over", async || {
            Ok(status(&api, &cookie).await? == 401)
        })
        .await
    })
    .await
}

/// A planner whose tokens stand in that file.
async fn served(stage: &mut Stage, file: &std::path::Path) -> anyhow::Result<Api> {
    let planner = stage.gridloom(&["planner", "--api-listen", "127.0.0.1:0"])?;
    let planner = planner
        .env("GRIDLOOM_API_TOKENS_FILE", file)
        .start()
        .await?;
    let api = Api {
        address: address(&planner).await?,
        token: None,
    };
    stage.planners.push(planner);
    eventually(SOON, "it is connected", async || {
        let about = api.with(TOKEN).get("/about").await?;
        Ok(about["broker"].is_string())
    })
    .await?;
    Ok(api)
}
