//! The embedded broker and the guard, with a real nats-server and real processes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_cli::embedded::{
    EmbeddedServer, Error, FetchError, Options, SYNC_ALWAYS, Search, Source,
};
use gridloom_tests::process::{is_alive, pid_in};
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::{eventually, eventually_some};
use rustix::process::Pid;

const SOON: Duration = Duration::from_secs(20);

fn guard() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_gridloom-under-test"))
}

#[tokio::test]
async fn server_starts_and_answers_and_takes_messages_as_large_as_any_does() -> anyhow::Result<()> {
    let server = TestServer::start().await?;
    let client = server.client().await?;
    let info = client.server_info();
    assert_eq!(info.server_name, server.name());
    // What nobody raised: what runs here runs on a broker that is as it was installed.
    assert_eq!(info.max_payload, 1024 * 1024);
    assert!(info.jetstream);
    let account = async_nats::jetstream::new(client).query_account().await?;
    assert_eq!(account.streams, 0);
    let store = server.store().to_owned();
    let pid = server
        .pid()
        .and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let pid = pid.context("a running server has a pid")?;
    assert!(is_alive(pid));
    server.into_inner().stop().await?;
    assert!(!is_alive(pid));
    assert!(!store.exists());
    Ok(())
}

#[tokio::test]
async fn killed_server_comes_back_on_its_port_with_its_messages() -> anyhow::Result<()> {
    let mut server = TestServer::start().await?;
    let jetstream = async_nats::jetstream::new(server.client().await?);
    let config = async_nats::jetstream::stream::Config {
        name: "kept".to_owned(),
        subjects: vec!["kept".to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(config).await?;
    jetstream.publish("kept", "word".into()).await?.await?;
    let (url, before) = (server.url(), server.pid());

    server.kill().await?;
    assert_eq!(server.pid(), None);
    server.restart().await?;

    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), before);
    let jetstream = async_nats::jetstream::new(server.client().await?);
    let state = jetstream.get_stream("kept").await?.get_info().await?.state;
    assert_eq!(state.messages, 1);
    Ok(())
}

#[tokio::test]
async fn many_servers_started_at_once_each_get_a_port_of_their_own() -> anyhow::Result<()> {
    let starts = (0..8).map(|_| TestServer::start());
    let servers = futures_util::future::try_join_all(starts).await?;
    let ports: BTreeSet<u16> = servers.iter().map(|server| server.port()).collect();
    assert_eq!(ports.len(), servers.len());
    Ok(())
}

#[tokio::test]
async fn extra_configuration_reaches_the_server() -> anyhow::Result<()> {
    let name = "one-of-its-own";
    let server = TestServer::start_with(Options {
        name: Some(name.to_owned()),
        jetstream_config: SYNC_ALWAYS.to_owned(),
        server_config: "max_connections: 77".to_owned(),
        ..Options::default()
    })
    .await?;
    assert_eq!(server.name(), name);
    let log = std::fs::read_to_string(server.store().join("nats.log"))?;
    ensure!(log.contains("Server is ready"), "{log}");
    Ok(())
}

#[tokio::test]
async fn taken_port_and_wrong_configuration_and_used_store_are_told_apart() -> anyhow::Result<()> {
    let first = TestServer::start().await?;
    let start = async |options: Options| {
        let options = Options {
            guard: Some(guard()),
            binary: Some(first.binary().clone()),
            ..options
        };
        EmbeddedServer::start(options, &|_| {}).await.map(|_| ())
    };
    let port = Some(first.port());
    let taken = start(Options {
        port,
        ..Options::default()
    })
    .await;
    assert!(matches!(taken, Err(Error::PortInUse(_))), "{taken:?}");

    let server_config = "no_such_setting: 1".to_owned();
    let wrong = start(Options {
        server_config,
        ..Options::default()
    })
    .await;
    let Err(Error::Ended { tail, .. }) = wrong else {
        anyhow::bail!("expected an early end: {wrong:?}");
    };
    assert!(tail.contains("no_such_setting"), "{tail}");

    let store = Some(first.store().to_owned());
    let used = start(Options {
        store,
        ..Options::default()
    })
    .await;
    assert!(matches!(used, Err(Error::StoreInUse(_))), "{used:?}");
    Ok(())
}

#[tokio::test]
async fn kept_store_outlives_the_server() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let store = dir.path().join("deep/store");
    let options = || Options {
        store: Some(store.clone()),
        ..Options::default()
    };
    let first = TestServer::start_with(options()).await?;
    first.into_inner().stop().await?;
    assert!(store.join("jetstream").is_dir());
    TestServer::start_with(options()).await?;
    Ok(())
}

#[tokio::test]
async fn two_that_find_an_empty_cache_at_once_fetch_once_and_both_run() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let cache = dir.path().join("gridloom");
    let search = Search {
        named: None,
        path: None,
        cache: Some(cache.clone()),
        tools: None,
    };
    let guard = guard();
    let heard = Mutex::new(Vec::new());
    let say = |line: &str| heard.lock().unwrap().push(line.to_owned());
    let (one, two) = tokio::try_join!(search.find(&guard, &say), search.find(&guard, &say))
        .with_context(|| format!("heard: {heard:?}"))?;

    assert_eq!(one.path, two.path);
    let sources = [one.source, two.source];
    assert!(
        sources.contains(&Source::Fetched) && sources.contains(&Source::Cache),
        "{sources:?}"
    );
    let left: BTreeSet<String> = std::fs::read_dir(&cache)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    assert_eq!(
        left,
        ["fetch.lock", "nats-server-2.15.1"]
            .map(str::to_owned)
            .into()
    );
    let start = |binary| {
        TestServer::start_with(Options {
            binary: Some(binary),
            ..Options::default()
        })
    };
    tokio::try_join!(start(one), start(two))?;
    Ok(())
}

#[tokio::test]
async fn broken_binary_in_the_cache_is_replaced() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let home = dir.path().join("nats-server-2.15.1");
    std::fs::create_dir_all(&home)?;
    std::fs::write(home.join("nats-server"), "half a download")?;
    let search = Search {
        named: None,
        path: None,
        cache: Some(dir.path().to_owned()),
        tools: None,
    };
    let binary = search.find(&guard(), &|_| {}).await?;
    assert_eq!(binary.source, Source::Fetched);
    let again = search.find(&guard(), &|_| {}).await?;
    assert_eq!(again.source, Source::Cache);
    Ok(())
}

#[tokio::test]
async fn named_binary_is_used_or_refused_and_never_replaced() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let script = dir.path().join("nats-server");
    let find = async |version: &str| {
        std::fs::write(
            &script,
            format!("#!/bin/sh\necho 'nats-server: v{version}'\n"),
        )?;
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, executable)?;
        let search = Search {
            named: Some(script.clone()),
            path: None,
            cache: None,
            tools: None,
        };
        anyhow::Ok(search.find(&guard(), &|_| {}).await)
    };
    assert_eq!(find("2.14.4").await??.source, Source::Named);
    for old in ["2.9.10", "2.14.3"] {
        let old = find(old).await?;
        assert!(
            matches!(old, Err(FetchError::NamedUnusable { .. })),
            "{old:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn old_server_on_the_path_is_passed_over() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let script = dir.path().join("nats-server");
    std::fs::write(&script, "#!/bin/sh\necho 'nats-server: v2.9.10'\n")?;
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let path = Some(dir.path().as_os_str().to_owned());
    let search = Search {
        named: None,
        path,
        cache: None,
        tools: None,
    };
    let heard = Mutex::new(Vec::new());
    let say = |line: &str| heard.lock().unwrap().push(line.to_owned());
    let found = search.find(&guard(), &say).await;
    assert!(matches!(found, Err(FetchError::NoCache)), "{found:?}");
    assert_eq!(heard.lock().unwrap().len(), 1, "{heard:?}");
    Ok(())
}

/// A directory that holds nothing but links to these programs.
fn only(programs: &[&str]) -> anyhow::Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    for program in programs {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|dir| dir.join(program));
        let found = found.into_iter().find(|file| file.is_file());
        let found = found.with_context(|| format!("find `{program}`"))?;
        std::os::unix::fs::symlink(found, dir.path().join(program))?;
    }
    Ok(dir)
}

#[tokio::test]
async fn without_pip_and_go_the_ways_out_are_named() -> anyhow::Result<()> {
    let (dir, tools) = (tempfile::tempdir()?, only(&[])?);
    let search = Search {
        named: None,
        path: None,
        cache: Some(dir.path().to_owned()),
        tools: Some(tools.path().as_os_str().to_owned()),
    };
    let found = search.find(&guard(), &|_| {}).await;
    let Err(FetchError::NoWay(tried)) = &found else {
        anyhow::bail!("expected no way: {found:?}");
    };
    assert_eq!(tried.len(), 1);
    Ok(())
}

#[tokio::test]
#[ignore = "builds nats-server from source, which takes minutes"]
async fn without_pip_go_builds_it() -> anyhow::Result<()> {
    let (dir, tools) = (tempfile::tempdir()?, only(&["go"])?);
    let search = Search {
        named: None,
        path: None,
        cache: Some(dir.path().to_owned()),
        tools: Some(tools.path().as_os_str().to_owned()),
    };
    let binary = Some(search.find(&guard(), &|_| {}).await?);
    let options = Options {
        binary,
        ..Options::default()
    };
    TestServer::start_with(options).await?;
    Ok(())
}

#[tokio::test]
async fn broker_ends_with_a_parent_that_was_killed() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let nats = TestServer::start().await?.binary().path.clone();
    let guarded = format!(
        "--grace-ms 2000 --pid-file program '{}' -a 127.0.0.1 -p -1 -js -sd store -l log",
        nats.display()
    );
    let mut parent = gridloom_tests::process::shell_with_guard(dir.path(), &guarded)?;
    let file = dir.path().join("program");
    let program = eventually_some(SOON, "the broker has a pid", async || Ok(pid_in(&file))).await?;
    eventually(SOON, "the broker is up", async || {
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        Ok(log.contains("Server is ready"))
    })
    .await?;
    parent.kill().await?;
    eventually(SOON, "the broker is gone", async || Ok(!is_alive(program))).await
}
