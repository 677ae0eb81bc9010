//! How it answers, whatever is asked: problems, numbers of requests, packed answers, pages; and that a broker which is
//! away is said so.

use gridloom_tests::proxy::{Mode, Proxy};

use super::*;

/// Method, path, headers, body; the status and the kind of the problem.
type Case<'c> = (
    &'c str,
    &'c str,
    &'c [(&'c str, &'c str)],
    Option<&'c Value>,
    u16,
    &'c str,
);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_cannot_be_answered_is_a_problem_of_one_form() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let large = json!({ "note": "x".repeat(2 << 20) });
        let (empty, no_note) = (json!({}), json!({ "note": "" }));
        let (no_handler, all) = (json!({ "name": "a" }), json!({ "all": true }));
        let cases: &[Case<'_>] = &[
            ("GET", "/nothing", &[], None, 404, "not-found"),
            ("GET", "/jobs/none", &[], None, 404, "not-found"),
            ("GET", "/runs/none_r_1", &[], None, 404, "not-found"),
            ("GET", "/runs/none", &[], None, 400, "invalid"),
            ("GET", "/jobs/No%20Name", &[], None, 400, "invalid"),
            ("GET", "/jobs?limit=0", &[], None, 400, "invalid"),
            ("GET", "/jobs?limit=many", &[], None, 400, "invalid"),
            ("GET", "/jobs?limt=5", &[], None, 400, "invalid"),
            ("GET", "/jobs?after=AAAA", &[], None, 400, "invalid"),
            ("GET", "/runs?state=asleep", &[], None, 400, "invalid"),
            ("GET", "/queues?limit=5", &[], None, 400, "invalid"),
            // What is passed over would be done.
            (
                "POST",
                "/dead/drop?dry_run=true",
                &[],
                Some(&all),
                400,
                "invalid",
            ),
            ("GET", "/runs?from=yesterday", &[], None, 400, "invalid"),
            ("PATCH", "/jobs/a", &[], None, 405, "method"),
            ("POST", "/freeze", &[], Some(&large), 413, "too-large"),
            ("POST", "/freeze", &[], Some(&empty), 400, "invalid"),
            ("POST", "/freeze", &[], Some(&no_note), 422, "refused"),
            ("PUT", "/jobs/a", &[], Some(&no_handler), 422, "refused"),
            (
                "PUT",
                "/jobs/a",
                &[("if-match", "7")],
                Some(&empty),
                422,
                "refused",
            ),
        ];
        judged(&api, cases).await?;
        nothing_is_taken_for_something_else(&api).await?;
        bodies_that_nobody_takes(&api).await?;
        methods_and_bodies(&api).await?;
        numbers_and_packing(&api).await?;
        other_sites(&api).await
    })
    .await
}

async fn nothing_is_taken_for_something_else(api: &Api) -> anyhow::Result<()> {
    let slice = json!({ "slice": 1, "error": "x" });
    // By their order values would be taken for those of keys.
    let list = json!([null, null, null, null, null, true, true]);
    let twice = [("if-match", "\"1\""), ("if-match", "\"77\"")];
    let no_word = "/jobs/a/fires?decision=Opened";
    let cases: &[Case<'_>] = &[
        ("GET", no_word, &[], None, 400, "invalid"),
        ("GET", "/dead?slice=1", &[], None, 400, "invalid"),
        ("POST", "/dead/drop", &[], Some(&slice), 422, "refused"),
        ("POST", "/dead/drop", &[], Some(&list), 400, "invalid"),
        ("DELETE", "/jobs/a", &twice, None, 400, "invalid"),
    ];
    judged(api, cases).await
}

/// Each is refused as it says, in the form of all problems.
async fn judged(api: &Api, cases: &[Case<'_>]) -> anyhow::Result<()> {
    for (method, path, headers, body, status, wanted) in cases {
        let reply = api.ask((method, path), headers, *body).await?;
        let told = reply.json();
        ensure!(
            (reply.status, kind(&told)) == (*status, *wanted),
            "{method} {path}: {} {told}",
            reply.status
        );
        ensure!(reply.header("content-type") == Some("application/problem+json"));
        ensure!(
            told["status"] == reply.status && told["detail"].is_string(),
            "{told}"
        );
        ensure!(told["title"].is_string() && reply.header("x-request-id").is_some());
    }
    Ok(())
}

/// What stands there would be passed over: a run be cancelled that was to be counted, and all of it be tried again.
async fn bodies_that_nobody_takes(api: &Api) -> anyhow::Result<()> {
    let large = json!({ "note": "x".repeat(2 << 20) });
    let (empty, all) = (json!({}), json!({ "all": true }));
    let (dry, one) = (json!({ "dry_run": true }), json!({ "slice": 3 }));
    let cases: &[Case<'_>] = &[
        (
            "POST",
            "/runs/a_r_1/cancel",
            &[],
            Some(&dry),
            400,
            "invalid",
        ),
        (
            "POST",
            "/runs/a_r_1/cancel",
            &[],
            Some(&empty),
            404,
            "not-found",
        ),
        ("POST", "/runs/a_r_1/retry", &[], Some(&one), 400, "invalid"),
        ("DELETE", "/jobs/a", &[], Some(&all), 400, "invalid"),
        ("DELETE", "/jobs/a", &[], Some(&large), 413, "too-large"),
    ];
    judged(api, cases).await
}

async fn methods_and_bodies(api: &Api) -> anyhow::Result<()> {
    let json = ("content-type", "application/json");
    let allowed = api.ask(("PATCH", "/jobs/a"), &[], None).await?;
    let allow = allowed.header("allow").context("Allow")?.to_owned();
    ensure!(
        ["GET", "PUT", "DELETE"]
            .iter()
            .all(|method| allow.contains(method)),
        "{allow}"
    );
    // What is no JSON, or does not say that it is.
    for (header, body, status) in [
        (json, &b"{"[..], 400),
        (("content-type", "text/plain"), &b"{}"[..], 415),
        (json, &b"\xff"[..], 400),
    ] {
        let freeze = ("POST", "/api/v1/freeze");
        let reply = ask(&api.address, freeze, &[header], Some(body)).await?;
        ensure!(reply.status == status, "{} {}", reply.status, reply.json());
    }
    Ok(())
}

async fn numbers_and_packing(api: &Api) -> anyhow::Result<()> {
    let mine = api
        .ask(("GET", "/about"), &[("x-request-id", "mine-7")], None)
        .await?;
    ensure!(mine.header("x-request-id") == Some("mine-7"), "{mine:?}");
    let gzip = ("accept-encoding", "gzip");
    let packed = api.ask(("GET", "/openapi.json"), &[gzip], None).await?;
    ensure!(
        packed.header("content-encoding") == Some("gzip"),
        "{packed:?}"
    );
    ensure!(packed.body.starts_with(&[0x1f, 0x8b]));
    let plain = api.ask(("GET", "/openapi.json"), &[], None).await?;
    ensure!(packed.body.len() * 3 < plain.body.len());
    ensure!(
        plain.json()["openapi"] == "3.1.0",
        "{}",
        plain.json()["openapi"]
    );
    let head = api.ask(("HEAD", "/about"), &[], None).await?;
    ensure!(head.status == 200 && head.body.is_empty(), "{head:?}");
    Ok(())
}

/// Nobody is asked for a token here, so a page of another site must not reach it through a browser.
async fn other_sites(api: &Api) -> anyhow::Result<()> {
    let evil = [("origin", "https://evil.example")];
    let reply = api.ask(("DELETE", "/freeze"), &evil, None).await?;
    ensure!(
        (reply.status, kind(&reply.json())) == (403, "forbidden"),
        "{reply:?}"
    );
    let rebound = [("host", "evil.example:7070")];
    let reply = api.ask(("GET", "/jobs"), &rebound, None).await?;
    ensure!(
        (reply.status, kind(&reply.json())) == (403, "forbidden"),
        "{reply:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_that_says_nothing_is_no_installation_without_planners_and_workers()
-> anyhow::Result<()> {
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        let api = start(stage, &["--nats", &proxy.url()]).await?;
        eventually(SOON, "it answers", async || {
            Ok(api.ask(("GET", "/planners"), &[], None).await?.status == 200)
        })
        .await?;
        proxy.set(Mode::Stall);
        for path in ["/planners", "/workers", "/queues"] {
            let reply = api.ask(("GET", path), &[], None).await?;
            let told = reply.json();
            ensure!(
                (reply.status, kind(&told)) == (503, "unavailable"),
                "{path}: {} {told}",
                reply.status
            );
        }
        proxy.set(Mode::Pass);
        eventually(SOON, "they are told again", async || {
            let told = api.ask(("GET", "/planners"), &[], None).await?.json();
            Ok(told["items"][0]["planner"].is_string())
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_that_is_away_is_said_at_once_and_the_api_goes_on_when_it_is_back()
-> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        stage.apply("name = \"a\"\nhandler = \"noop\"").await?;
        eventually(SOON, "it answers", async || {
            Ok(api.ask(("GET", "/jobs/a"), &[], None).await?.status == 200)
        })
        .await?;
        stage.server.kill().await?;
        let away = eventually_some(SOON, "it says that the broker is away", async || {
            let reply = api.ask(("GET", "/jobs/a"), &[], None).await?;
            Ok((kind(&reply.json()) == "unavailable").then_some(reply))
        });
        let away = away.await?;
        ensure!(
            away.status == 503 && away.header("retry-after").is_some(),
            "{away:?}"
        );
        // What needs no broker is answered all the same.
        ensure!(api.get("/about").await?["broker"] == Value::Null);
        stage.server.restart().await?;
        eventually(SOON, "it answers again", async || {
            Ok(api.ask(("GET", "/jobs/a"), &[], None).await?.status == 200)
        })
        .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_on_by_cursors_without_gap_or_repeat() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        for n in 0..7 {
            let handler = if n % 2 == 0 { "noop" } else { "mine" };
            stage
                .apply(&format!("name = \"job-{n}\"\nhandler = \"{handler}\""))
                .await?;
        }
        eventually(SOON, "all jobs are listed", async || {
            let listed = api.ask(("GET", "/jobs"), &[], None).await?.json();
            Ok(listed["items"]
                .as_array()
                .is_some_and(|items| items.len() == 7))
        })
        .await?;
        let (mut names, mut path) = (Vec::new(), "/jobs?limit=2&handler=noop".to_owned());
        loop {
            let page = api.get(&path).await?;
            let items = page["items"].as_array().context("items")?;
            ensure!(items.len() <= 2);
            names.extend(
                items
                    .iter()
                    .filter_map(|job| job["job"].as_str().map(str::to_owned)),
            );
            let Some(next) = page["next"].as_str() else {
                break;
            };
            path = format!("/jobs?limit=2&handler=noop&after={next}");
            // What comes meanwhile before the place shifts nothing.
            stage.apply("name = \"aaa\"\nhandler = \"noop\"").await?;
        }
        ensure!(names == ["job-0", "job-2", "job-4", "job-6"], "{names:?}");
        Ok(())
    })
    .await
}
