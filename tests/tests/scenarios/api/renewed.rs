//! Who may ask changes while the API is served: tokens are taken up from their files, and bad files change nothing.

use std::path::Path;

use gridloom_planner::api::access::{Role, digest};

use super::stream::Stream;
use super::*;

/// One line of the file of tokens.
fn line(name: &str, role: Role) -> String {
    format!("{name}={role}:{}\n", digest(&secret(name)))
}

fn secret(name: &str) -> String {
    format!("glt_of_{name}")
}

/// The configuration, with one token in it.
fn configuration(name: &str) -> String {
    format!(
        "[[api.tokens]]\nname = \"{name}\"\nrole = \"viewer\"\nsha256 = \"{}\"\n",
        digest(&secret(name))
    )
}

/// Puts a file in the place of another, as whatever distributes secrets does.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, file)?;
    Ok(())
}

/// What somebody is answered.
async fn status(api: &Api, name: &str) -> anyhow::Result<u16> {
    let theirs = api.with(&secret(name));
    let reply = theirs.ask(("GET", "/about"), &[], None).await?;
    Ok(reply.status)
}

async fn becomes(api: &Api, name: &str, wanted: u16) -> anyhow::Result<()> {
    eventually(SOON, &format!("{name} is answered {wanted}"), async || {
        Ok(status(api, name).await? == wanted)
    })
    .await
}

/// Waits until the planner has warned of so many files that are of no use.
async fn warned(stage: &Stage, times: usize) -> anyhow::Result<()> {
    const WARNING: &str = "the tokens of the API cannot be read anew";
    eventually(SOON, "it warns", async || {
        let planner = stage.planners.last().context("planner")?;
        Ok(planner.stderr().matches(WARNING).count() == times)
    })
    .await
}

/// Waits until whoever examines the installation is told of a bad file, or is not any more.
async fn examined(stage: &Stage, api: &Api, is_bad: bool) -> anyhow::Result<()> {
    let words = "its tokens cannot be read anew";
    eventually(SOON, "its planner tells of its files", async || {
        let planners = api.get("/planners").await?;
        let files = planners["items"][0]["files"].as_str().context("files")?;
        Ok(if is_bad {
            files.contains(words)
        } else {
            files.is_empty()
        })
    })
    .await?;
    let told = stage.cli(&["doctor", "--json"], SOON).await?;
    let found = told.stdout.contains("api-files") && told.stdout.contains(words);
    ensure!(found == is_bad, "{told:?}");
    ensure!(!told.stdout.contains(&digest(&secret("zoe"))), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_taken_up_from_their_files_and_bad_ones_change_nothing() -> anyhow::Result<()> {
    play(async |stage| {
        let (file, config) = (
            stage.dir().join("tokens"),
            stage.dir().join("gridloom.toml"),
        );
        std::fs::write(&file, line("ada", Role::Admin))?;
        std::fs::write(&config, configuration("eve"))?;
        let planner = stage.gridloom(&["planner", "--api-listen", "127.0.0.1:0", "--config"])?;
        let planner = planner
            .args([&config])
            .env("GRIDLOOM_API_TOKENS_FILE", &file);
        let planner = planner.start().await?;
        let api = Api {
            address: address(&planner).await?,
            token: None,
        };
        stage.planners.push(planner);
        becomes(&api, "ada", 200).await?;
        becomes(&api, "eve", 200).await?;
        ensure!(status(&api, "bob").await? == 401);
        eventually(SOON, "it is connected", async || {
            let about = api.with(&secret("ada")).get("/about").await?;
            Ok(about["broker"].is_string())
        })
        .await?;

        // Whoever may not ask any more is told nothing more either.
        let (path, bearer) = (
            "/api/v1/events?topics=jobs",
            format!("Bearer {}", secret("ada")),
        );
        let mut stream = Stream::with(&api, path, &[("authorization", &bearer)]).await?;
        stream.until("the first", |_| true).await?;
        replace(&file, &line("bob", Role::Operator))?;
        becomes(&api, "bob", 200).await?;
        ensure!(status(&api, "ada").await? == 401);
        let end = tokio::time::timeout(SOON, stream.next()).await??;
        ensure!(end.is_none(), "{end:?}");
        replace(&config, &configuration("zoe"))?;
        becomes(&api, "zoe", 200).await?;
        ensure!(status(&api, "eve").await? == 401);

        // What makes no sense, says nobody at all, or is gone, leaves those that were known.
        replace(&file, "bob=operator:123\n")?;
        warned(stage, 1).await?;
        examined(stage, &api.with(&secret("zoe")), true).await?;
        replace(&file, &line("ada", Role::Viewer))?;
        becomes(&api, "ada", 200).await?;
        examined(stage, &api.with(&secret("zoe")), false).await?;
        replace(&config, "[[api.tokens]]\nname = \"zoe\"\n")?;
        warned(stage, 2).await?;
        replace(&config, "")?;
        becomes(&api, "zoe", 401).await?;
        replace(&file, "")?;
        warned(stage, 3).await?;
        std::fs::remove_file(&file)?;
        warned(stage, 4).await?;
        ensure!(status(&api, "ada").await? == 200);
        ensure!(api.ask(("GET", "/about"), &[], None).await?.status == 401);
        let said = stage.planners.last().context("planner")?.stderr();
        ensure!(!said.contains(&digest(&secret("ada"))), "{said}");
        Ok(())
    })
    .await
}
