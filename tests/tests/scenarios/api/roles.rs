//! Who may do what: every operation of the description is tried with every role, and without a token; and the session of
//! a browser.

use std::collections::BTreeMap;

use gridloom_planner::api::access::{Role, digest};
use gridloom_planner::api::router;

use super::*;

/// Which role each operation asks for. What is described and stands not here fails: it is to be decided who may.
const NEEDS: &[(&str, &str, Role)] = &[
    ("GET", "/about", Role::Viewer),
    ("GET", "/alarms", Role::Viewer),
    ("GET", "/calendars", Role::Viewer),
    ("GET", "/calendars/{calendar}", Role::Viewer),
    ("PUT", "/calendars/{calendar}", Role::Admin),
    ("DELETE", "/calendars/{calendar}", Role::Admin),
    ("GET", "/dead", Role::Viewer),
    ("POST", "/dead/drop", Role::Operator),
    ("POST", "/dead/retry", Role::Operator),
    ("GET", "/fires/next", Role::Viewer),
    ("GET", "/doctor", Role::Viewer),
    ("POST", "/freeze", Role::Operator),
    ("DELETE", "/freeze", Role::Operator),
    ("GET", "/events", Role::Viewer),
    ("GET", "/jobs", Role::Viewer),
    ("GET", "/jobs/{job}", Role::Viewer),
    ("PUT", "/jobs/{job}", Role::Admin),
    ("DELETE", "/jobs/{job}", Role::Admin),
    ("GET", "/jobs/{job}/backfills", Role::Viewer),
    ("POST", "/jobs/{job}/backfills", Role::Operator),
    ("DELETE", "/jobs/{job}/backfills/{backfill}", Role::Operator),
    ("GET", "/jobs/{job}/fires", Role::Viewer),
    ("GET", "/jobs/{job}/next", Role::Viewer),
    ("POST", "/jobs/{job}/pause", Role::Operator),
    ("POST", "/jobs/{job}/resume", Role::Operator),
    ("POST", "/jobs/{job}/runs", Role::Operator),
    ("GET", "/jobs/{job}/why", Role::Viewer),
    ("GET", "/log", Role::Viewer),
    ("GET", "/pauses", Role::Viewer),
    ("GET", "/planners", Role::Viewer),
    ("GET", "/queues", Role::Viewer),
    ("GET", "/runs", Role::Viewer),
    ("GET", "/runs/waiting", Role::Viewer),
    ("GET", "/runs/waits", Role::Viewer),
    ("GET", "/runs/{run}", Role::Viewer),
    ("GET", "/runs/{run}/audit", Role::Viewer),
    ("POST", "/runs/{run}/cancel", Role::Operator),
    ("GET", "/runs/{run}/grid", Role::Viewer),
    ("POST", "/runs/{run}/retry", Role::Operator),
    ("GET", "/runs/{run}/shards", Role::Viewer),
    ("GET", "/runs/{run}/shards/{slice}/{page}", Role::Viewer),
    ("GET", "/runs/{run}/workers", Role::Viewer),
    ("GET", "/session", Role::Viewer),
    ("GET", "/unreadable", Role::Viewer),
    ("DELETE", "/unreadable/{number}", Role::Admin),
    ("GET", "/workers", Role::Viewer),
];
/// What anybody with a token may, or without one: of a callback its address is the right to it.
const OPEN: &[(&str, &str)] = &[
    ("POST", "/callbacks/{callback}"),
    ("POST", "/session"),
    ("DELETE", "/session"),
];

/// A path with names in it of what is not there.
fn filled(path: &str) -> String {
    let names = [
        ("{job}", "none"),
        ("{calendar}", "none"),
        ("{backfill}", "none"),
        ("{run}", "none_r_1"),
        ("{slice}", "0"),
        ("{page}", "0"),
        ("{number}", "1"),
    ];
    let fill = |path: String, (name, value): &(&str, &str)| path.replace(name, value);
    names.iter().fold(path.to_owned(), fill)
}

fn token_args() -> Vec<String> {
    let of = |role: Role| format!("--api-token={role}={role}:{}", digest(&secret(role)));
    Role::ALL.map(of).to_vec()
}

fn secret(role: Role) -> String {
    format!("glt_{role}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_for_its_role_and_those_above_it() -> anyhow::Result<()> {
    let table: BTreeMap<(&str, &str), Role> = NEEDS
        .iter()
        .map(|(method, path, role)| ((*method, *path), *role))
        .collect();
    let described = router::all();
    for (method, path, role) in &described {
        let is_open = OPEN.contains(&(method.as_str(), path.as_str()));
        let needed = table.get(&(method.as_str(), path.as_str()));
        ensure!(
            is_open || needed.is_some(),
            "who may {method} {path}? say it in this table"
        );
        let told = needed.is_none_or(|needed| needed.as_str() == role);
        ensure!(told, "{method} {path}: described for {role}");
    }
    ensure!(
        table.len() + OPEN.len() == described.len(),
        "some of the table are not described"
    );
    play(async |stage| {
        let args = token_args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let api = start(stage, &args).await?;
        eventually(SOON, "it is connected", async || {
            let about = api.with(&secret(Role::Viewer)).get("/about").await?;
            Ok(about["broker"].is_string())
        })
        .await?;
        eventually(
            SOON,
            "a planner leads",
            async || Ok(stage.term().await? > 0),
        )
        .await?;
        for (operation, needed) in &table {
            tried(&api, *operation, *needed).await?;
        }
        // What is not described is nobody's without a token.
        ensure!(api.ask(("GET", "/nothing"), &[], None).await?.status == 401);
        ensure!(api.ask(("GET", "/openapi.json"), &[], None).await?.status == 401);
        let log = api.with(&secret(Role::Viewer)).get("/log").await?;
        let items = log["items"].as_array().context("items")?;
        ensure!(
            !items.is_empty() && items.iter().all(|item| item["by"] != "viewer"),
            "{log}"
        );
        browser(&api).await
    })
    .await
}

/// One operation, without a token, with a wrong one, and with one of each role.
async fn tried(api: &Api, (method, path): (&str, &str), needed: Role) -> anyhow::Result<()> {
    let path = filled(path);
    let nobody = api.ask((method, &path), &[], None).await?;
    ensure!(
        nobody.status == 401,
        "{method} {path} without a token: {}",
        nobody.status
    );
    ensure!(nobody.header("www-authenticate").is_some());
    let wrong = api
        .with("glt_wrong")
        .ask((method, &path), &[], None)
        .await?;
    ensure!(
        wrong.status == 401,
        "{method} {path} with a wrong token: {}",
        wrong.status
    );
    for role in Role::ALL {
        let reply = api
            .with(&secret(role))
            .ask((method, &path), &[], None)
            .await?;
        let refused = (reply.status, kind(&reply.json())) == (403, "forbidden");
        ensure!(
            refused == (role < needed),
            "{method} {path} as {role}: {reply:?}"
        );
        ensure!(
            reply.status < 500,
            "{method} {path} as {role}: {}",
            reply.json()
        );
    }
    Ok(())
}

/// A browser has a session in a cookie, and changes nothing without a header that no form has.
async fn browser(api: &Api) -> anyhow::Result<()> {
    let post = ("POST", "/session");
    let wrong = api
        .order(post, Some(&json!({ "token": "glt_wrong" })))
        .await?;
    ensure!(wrong.0 == 401, "{wrong:?}");
    let login = json!({ "token": secret(Role::Operator) });
    let reply = api.ask(post, &[], Some(&login)).await?;
    ensure!(
        reply.status == 200 && reply.json()["role"] == "operator",
        "{reply:?}"
    );
    let set = reply.header("set-cookie").context("a cookie")?.to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        ensure!(set.contains(word), "{set}");
    }
    ensure!(!set.contains("Secure"), "{set}");
    let over_tls = api
        .ask(post, &[("x-forwarded-proto", "https")], Some(&login))
        .await?;
    ensure!(
        over_tls
            .header("set-cookie")
            .is_some_and(|set| set.contains("Secure"))
    );
    let cookie = set.split(';').next().context("a cookie")?.to_owned();
    let cookie = ("cookie", cookie.as_str());
    let seen = api.ask(("GET", "/session"), &[cookie], None).await?;
    ensure!(seen.json()["name"] == "operator", "{seen:?}");
    let unfreeze = ("DELETE", "/freeze");
    let forged = api.ask(unfreeze, &[cookie], None).await?;
    ensure!(
        (forged.status, kind(&forged.json())) == (403, "forbidden"),
        "{forged:?}"
    );
    let own = ("x-gridloom", "1");
    let elsewhere = [cookie, own, ("origin", "https://evil.example")];
    ensure!(api.ask(unfreeze, &elsewhere, None).await?.status == 403);
    let ours = api
        .ask(
            unfreeze,
            &[cookie, own, ("origin", "http://127.0.0.1")],
            None,
        )
        .await?;
    ensure!(ours.status == 200, "{ours:?}");
    let out = api
        .ask(("DELETE", "/session"), &[cookie, own], None)
        .await?;
    ensure!(
        out.status == 204
            && out
                .header("set-cookie")
                .is_some_and(|set| set.contains("Max-Age=0"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_api_changes_nothing_and_one_that_is_open_to_all_is_not_started()
-> anyhow::Result<()> {
    play(async |stage| {
        let open = stage.cli(&["planner", "--api-listen", "0.0.0.0:0"], SOON).await?;
        ensure!(open.code == 2 && open.stderr.contains("gridloom token"), "{open:?}");
        let made = stage.cli(&["token", "ada", "--role", "admin", "--json"], SOON).await?;
        let made = made.succeeded()?.json()?;
        let secret = made["token"].as_str().context("token")?;
        ensure!(made["sha256"] == digest(secret), "{made}");
        let file = stage.dir().join("gridloom.toml");
        let text = format!(
            "[api]\nbase_path = \"/g\"\nread_only = true\n[[api.tokens]]\nname = \"ada\"\nrole = \"admin\"\nsha256 = {}\n",
            made["sha256"]
        );
        std::fs::write(&file, text)?;
        let config = file.to_string_lossy().into_owned();
        let api = start(stage, &["--config", &config]).await?.with(secret);
        let under = |path: &str| format!("/g/api/v1{path}");
        let bearer = format!("Bearer {secret}");
        let headers = [("authorization", bearer.as_str())];
        let about = ask(&api.address, ("GET", &under("/about")), &headers, None).await?;
        ensure!(about.json()["read_only"] == true, "{about:?}");
        tries_no_write(&api, &under("/doctor"), &headers).await?;
        for (method, path, _) in NEEDS.iter().filter(|(method, ..)| *method != "GET") {
            let path = under(&filled(path));
            let reply = ask(&api.address, (method, &path), &headers, None).await?;
            ensure!((reply.status, kind(&reply.json())) == (403, "read-only"), "{method} {path}: {reply:?}");
        }
        // Everybody may log out.
        let out = ask(&api.address, ("DELETE", &under("/session")), &headers, None).await?;
        ensure!(out.status == 204, "{out:?}");
        Ok(())
    })
    .await
}

/// An examination tries whether the broker stores what is written, but where nothing is to be changed.
async fn tries_no_write(api: &Api, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<()> {
    let told = eventually_some(SOON, "it is connected", async || {
        let examined = ask(&api.address, ("GET", path), headers, None)
            .await?
            .json();
        let lines = examined["items"].as_array().cloned().unwrap_or_default();
        Ok(lines.into_iter().find(|line| line["check"] == "writes"))
    });
    let told = told.await?;
    ensure!(told["key"] == "read-only", "{told}");
    Ok(())
}
