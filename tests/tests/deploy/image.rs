//! The Dockerfile, as far as it can be tested without an engine. Its build is the last test, which takes minutes; what
//! the image has is made by the Dockerfile's own words, with the command of these tests, and runs read-only, without root.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_cli::embedded::free_port;
use gridloom_tests::process::{Gridloom, Process};
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;

use super::{not_run, root, succeeded, text, tool};

const DOCKERFILE: &str = "deploy/docker/Dockerfile";
const SOON: Duration = Duration::from_secs(30);

/// An instruction, its lines put together: its word, and the rest.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let whole = joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let split = whole.map(|line| line.split_once(' ').unwrap_or((line, "")));
    split
        .map(|(word, rest)| {
            let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
            (word.to_owned(), rest)
        })
        .collect()
}

fn all() -> anyhow::Result<Vec<(String, String)>> {
    Ok(instructions(&text(DOCKERFILE)?))
}

/// What follows the instructions called `word`.
fn of(word: &str) -> anyhow::Result<Vec<String>> {
    let all = all()?.into_iter();
    Ok(all
        .filter(|(is, _)| is == word)
        .map(|(_, rest)| rest)
        .collect())
}

/// What `COPY` takes from the repository.
fn copied() -> anyhow::Result<BTreeSet<String>> {
    let mut sources = BTreeSet::new();
    for copy in of("COPY")?
        .iter()
        .filter(|copy| !copy.starts_with("--from"))
    {
        let (from, _) = copy.rsplit_once(' ').context("a place to copy to")?;
        sources.extend(from.split(' ').map(str::to_owned));
    }
    Ok(sources)
}

#[test]
fn what_the_image_is_built_of_is_there_and_reaches_its_builder() -> anyhow::Result<()> {
    let copied = copied()?;
    for source in &copied {
        ensure!(root().join(source).exists(), "{source} is not there");
    }
    let ignored = text(".dockerignore")?;
    let mut lines = ignored.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let sent: BTreeSet<String> = lines
        .filter_map(|line| line.strip_prefix('!'))
        .map(str::to_owned)
        .collect();
    assert_eq!(sent, copied, "what is sent is what is copied");
    Ok(())
}

/// Puts what the image is built of into `place`, as its builder would.
fn put_into(place: &Path) -> anyhow::Result<()> {
    for source in copied()? {
        succeeded(
            Command::new("cp")
                .arg("-r")
                .arg(root().join(source))
                .arg(place),
        )?;
    }
    Ok(())
}

#[test]
fn workspace_is_whole_with_what_the_image_is_built_of() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    put_into(place.path())?;
    let metadata = [
        "metadata",
        "--locked",
        "--offline",
        "--no-deps",
        "--format-version",
        "1",
    ];
    let told = succeeded(
        Command::new("cargo")
            .args(metadata)
            .current_dir(place.path()),
    )?;
    let told: serde_json::Value = serde_json::from_str(&told)?;
    let run = of("RUN")?;
    let build = run.first().context("a build")?;
    assert!(
        build.contains("cargo build --release --locked --package gridloom &&"),
        "{build}"
    );
    assert!(
        build.contains("cp target/release/gridloom /usr/bin/gridloom"),
        "{build}"
    );
    let packages = told["packages"].as_array().context("packages")?;
    let package = packages
        .iter()
        .find(|package| package["name"] == "gridloom");
    let targets = package.context("the package")?["targets"].as_array();
    let mut kinds = targets.into_iter().flatten();
    assert!(kinds.any(|target| target["name"] == "gridloom" && target["kind"][0] == "bin"));
    Ok(())
}

#[test]
fn image_is_built_with_the_promised_toolchain_and_runs_without_root() -> anyhow::Result<()> {
    let toolchain: toml::Table = text("rust-toolchain.toml")?.parse()?;
    let channel = toolchain["toolchain"]["channel"]
        .as_str()
        .context("a channel")?;
    let from = of("FROM")?;
    let [build, last] = from.as_slice() else {
        anyhow::bail!("two stages: {from:?}");
    };
    assert_eq!(build, &format!("rust:{channel}-slim-bookworm AS build"));
    assert_eq!(last, "scratch");
    let variables = of("ENV")?;
    assert_eq!(variables[0], format!("RUSTUP_TOOLCHAIN={channel}"));
    assert_eq!(of("USER")?, ["65532:65532"]);
    assert_eq!(of("ENTRYPOINT")?, [r#"["/usr/bin/gridloom"]"#]);
    Ok(())
}

#[test]
fn hadolint_finds_nothing() -> anyhow::Result<()> {
    let Some(hadolint) = tool("hadolint", "--version") else {
        return Ok(());
    };
    succeeded(Command::new(hadolint).arg(root().join(DOCKERFILE)))?;
    Ok(())
}

/// Puts into `image` what the builder's last step puts into the image, with the command of these tests.
fn made(image: &Path) -> anyhow::Result<()> {
    let run = of("RUN")?;
    let words = run.last().context("the last step of the builder")?;
    let command = gridloom_tests::gridloom()?;
    let command = command.to_str().context("a path that is text")?;
    let place = image.to_str().context("a place that is text")?;
    let words = words
        .replace("/image", place)
        .replace("/usr/bin/gridloom", command);
    succeeded(Command::new("sh").args(["-e", "-c", &words]))?;
    let bin = image.join("usr/bin");
    std::fs::create_dir_all(&bin)?;
    std::fs::rename(format!("{place}{command}"), bin.join("gridloom"))?;
    ensure!(image.join("etc/ssl/certs/ca-certificates.crt").exists());
    Ok(())
}

/// Runs what follows its first argument, an image, in it: read-only, as 65532.
const CONTAINER: &str = r#"
set -e
root=$1; shift
mkdir -p "$root/proc" "$root/dev"
mount --rbind "$root" "$root"; mount -o remount,ro,bind "$root"
mount -t tmpfs tmpfs "$root/tmp"; mount --rbind /proc "$root/proc"; mount --rbind /dev "$root/dev"
echo 'the image is there' >&2
exec chroot --userspec 65532:65532 "$root" "$@"
"#;

/// Starts the command in `image`; `None` where this machine does not allow it.
async fn contained(
    image: &Path,
    args: &[&str],
    env: &BTreeMap<String, String>,
) -> anyhow::Result<Option<Process>> {
    let inside = ["--mount", "sh", "-c", CONTAINER, "image"];
    let mut process = Gridloom::program("unshare", inside)
        .args([image])
        .args(["/usr/bin/gridloom"])
        .args(args.iter().copied());
    for (name, value) in env {
        process = process.env(name, value);
    }
    let mut process = process.start().await?;
    eventually(SOON, "the image is there", async || {
        Ok(process.stderr().contains("the image is there") || !process.is_running()?)
    })
    .await?;
    if !process.stderr().contains("the image is there") {
        not_run(&format!(
            "no image can be a root filesystem here: {}",
            process.stderr()
        ));
        return Ok(None);
    }
    Ok(Some(process))
}

/// The settings that the image brings.
pub(super) fn brings() -> anyhow::Result<[(String, String); 2]> {
    let variables = of("ENV")?;
    let words = variables.last().context("settings")?.split(' ');
    let pairs = words.filter_map(|word| word.split_once('='));
    let pairs: Vec<_> = pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let pairs: [(String, String); 2] = pairs
        .try_into()
        .map_err(|other| anyhow::anyhow!("two: {other:?}"))?;
    assert!(pairs.contains(&("GRIDLOOM_LISTEN".to_owned(), "0.0.0.0:9464".to_owned())));
    Ok(pairs)
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_runs_in_a_read_only_root_without_root_and_says_whether_it_is_well()
-> anyhow::Result<()> {
    let server = TestServer::start().await?;
    let image = tempfile::tempdir()?;
    made(image.path())?;
    let mut env = BTreeMap::from(brings()?);
    env.insert(
        "GRIDLOOM_LISTEN".to_owned(),
        format!("0.0.0.0:{}", free_port()?),
    );
    env.insert("GRIDLOOM_NATS".to_owned(), server.url());
    let Some(mut planner) = contained(image.path(), &["planner"], &env).await? else {
        return Ok(());
    };
    // As the engine asks: the words of HEALTHCHECK, in a container of its own kind.
    let checks = of("HEALTHCHECK")?;
    let (_, check) = checks[0].split_once("CMD ").context("a check")?;
    let check: Vec<String> = serde_json::from_str(check)?;
    assert_eq!(check[0], "/usr/bin/gridloom");
    let words: Vec<&str> = check[1..].iter().map(String::as_str).collect();
    eventually(SOON, "the check says that it is ready", async || {
        ensure!(planner.is_running()?, "{}", planner.stderr());
        let asked = contained(image.path(), &words, &env).await?;
        let asked = asked.context("the image is there a second time")?;
        Ok(asked.finish(SOON).await?.code == 0)
    })
    .await?;
    planner.kill().await?;
    let asked = contained(image.path(), &words, &env)
        .await?
        .context("and a third time")?;
    assert_eq!(
        asked.finish(SOON).await?.code,
        1,
        "nobody is there any more"
    );
    let said = planner.stderr();
    assert!(!said.contains("Read-only file system"), "{said}");
    let json = said.lines().skip(1).all(|line| line.starts_with('{'));
    assert!(json, "log lines are documents: {said}");
    Ok(())
}

/// Takes minutes. Run it by hand when the Dockerfile, a manifest or a path of the code's own data changes.
#[test]
#[ignore = "compiles everything once more"]
fn command_is_built_of_what_reaches_the_builder() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    put_into(place.path())?;
    let check = ["check", "--locked", "--package", "gridloom"];
    succeeded(Command::new("cargo").args(check).current_dir(place.path()))?;
    Ok(())
}
