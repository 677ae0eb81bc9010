//! Who is let in, and what is said to whom is not: real servers with users, decentralised accounts, certificates and
//! JetStream domains.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use gridloom_cli::embedded;
use gridloom_shared::broker::connect::TlsUse;
use gridloom_shared::broker::topology;
use gridloom_shared::broker::{Broker, ConnectError, Options, Settings};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::Namespace;
use gridloom_shared::secret::Secret;
use gridloom_tests::accounts::{Account, Operator};
use gridloom_tests::certificates::Authority;
use gridloom_tests::cluster::Cluster;
use gridloom_tests::scenario::on_file;
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;
use tempfile::TempDir;

use super::SOON;

/// Nobody waits for what does not get better.
const AT_ONCE: Duration = Duration::from_secs(20);

async fn start(config: String) -> anyhow::Result<TestServer> {
    let options = embedded::Options {
        server_config: config,
        ..embedded::Options::default()
    };
    TestServer::start_with(options).await
}

fn options(url: &str, settings: Settings) -> anyhow::Result<Options> {
    let mut options = Options::new(url, Namespace::new("grid")?, "test");
    options.wait = AT_ONCE;
    settings.apply(&mut options)?;
    Ok(options)
}

/// Connects, within less time than anything is tried again for.
pub(super) async fn connect(
    url: &str,
    settings: Settings,
) -> anyhow::Result<Result<Broker, ConnectError>> {
    let options = options(url, settings)?;
    let connected = tokio::time::timeout(AT_ONCE, Broker::connect(&options)).await;
    connected.context("decided in time")
}

pub(super) async fn refused(url: &str, settings: Settings) -> anyhow::Result<ConnectError> {
    match connect(url, settings).await? {
        Ok(_) => bail!("it was let in"),
        Err(error) => Ok(error),
    }
}

pub(super) async fn let_in(url: &str, settings: Settings) -> anyhow::Result<Broker> {
    let broker = connect(url, settings).await??;
    topology::ensure(&broker, &on_file()).await?;
    Ok(broker)
}

/// What is said to who is not let in, which names all of `words`.
async fn denied(url: &str, settings: Settings, words: &[&str]) -> anyhow::Result<()> {
    let error = refused(url, settings).await?;
    assert!(matches!(error, ConnectError::Denied { .. }), "{error:?}");
    let said = error.to_string();
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    Ok(())
}

fn user(name: &str, password: impl Into<Secret>) -> Settings {
    Settings {
        user: Some(name.to_owned()),
        password: Some(password.into()),
        ..Settings::default()
    }
}

fn creds(file: &Path) -> Settings {
    Settings {
        creds: Some(file.to_owned()),
        ..Settings::default()
    }
}

fn written(dir: &TempDir, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = dir.path().join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}

#[tokio::test]
async fn user_and_password_are_taken_from_settings_file_or_address_and_wrong_ones_are_named()
-> anyhow::Result<()> {
    let server =
        start("authorization { users: [ { user: \"me\", password: \"hunter2/@\" } ] }".into())
            .await?;
    let (url, dir) = (server.url(), tempfile::tempdir()?);
    let file = written(&dir, "password", "hunter2/@\n")?;
    let_in(&url, user("me", "hunter2/@")).await?;
    let_in(&url, user("me", Secret::File(file.clone()))).await?;
    let_in(
        &url.replace("//", "//me:hunter2%2F%40@"),
        Settings::default(),
    )
    .await?;
    denied(
        &url,
        user("me", "hunter2"),
        &["\"me\"", "the password that was given"],
    )
    .await?;
    denied(
        &url,
        user("you", Secret::File(file.clone())),
        &["\"you\"", &file.display().to_string()],
    )
    .await?;
    denied(
        &url,
        Settings::default(),
        &["creds, nkey, user and password"],
    )
    .await?;
    let token = Settings {
        token: Some("hunter2".into()),
        ..Settings::default()
    };
    denied(&url, token, &["the token that was given"]).await?;
    std::fs::remove_file(&file)?;
    let gone = refused(&url, user("me", Secret::File(file.clone()))).await?;
    assert!(
        gone.is_misuse() && gone.to_string().contains(&file.display().to_string()),
        "{gone}"
    );
    Ok(())
}

#[tokio::test]
async fn any_of_several_addresses_that_answers_will_do() -> anyhow::Result<()> {
    let mut gone = TestServer::start().await?;
    gone.kill().await?;
    let server = start("authorization { token: \"hunter2\" }".into()).await?;
    let there = server.url().replace("//", "//hunter2@");
    for url in [
        format!("{},{there}", gone.url()),
        format!("{there}, {}", gone.url()),
    ] {
        let_in(&url, Settings::default()).await?;
    }
    let error = refused(
        &format!("{},{}", gone.url(), server.url()),
        Settings::default(),
    )
    .await?;
    assert!(matches!(error, ConnectError::Denied { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn token_in_a_file_logs_in() -> anyhow::Result<()> {
    let server = start("authorization { token: \"hunter2\" }".into()).await?;
    let dir = tempfile::tempdir()?;
    let token = Settings {
        token: Some(Secret::File(written(&dir, "token", "hunter2\n")?)),
        ..Settings::default()
    };
    let_in(&server.url(), token).await?;
    Ok(())
}

#[tokio::test]
async fn nkey_logs_in_and_one_that_the_broker_does_not_know_is_named_by_its_public_part()
-> anyhow::Result<()> {
    let (known, other) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let server = start(format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        known.public_key()
    ))
    .await?;
    let dir = tempfile::tempdir()?;
    let nkey = |name: &str, key: &nkeys::KeyPair| {
        anyhow::Ok(Settings {
            nkey: Some(written(&dir, name, &key.seed()?)?),
            ..Settings::default()
        })
    };
    let_in(&server.url(), nkey("known.nk", &known)?).await?;
    denied(
        &server.url(),
        nkey("other.nk", &other)?,
        &[&other.public_key(), "other.nk"],
    )
    .await
}

#[tokio::test]
async fn credentials_that_expired_were_revoked_or_belong_elsewhere_are_told_apart()
-> anyhow::Result<()> {
    let (operator, dir) = (Operator::new(), tempfile::tempdir()?);
    let (mut account, poor) = (
        Account::new("grid"),
        Account::new("poor").without_jetstream(),
    );
    let stranger = Account::new("stranger");
    let now = UnixMs::now().0 / 1_000;
    let (good, expired) = (
        account.user("good", Some(now + 3_600))?,
        account.user("late", Some(now - 60))?,
    );
    let revoked = account.user("revoked", None)?;
    account.revoke(&revoked);
    let server = start(operator.config(&[&account, &poor])?).await?;
    let url = server.url();
    let_in(&url, creds(&good.write(dir.path(), "good")?)).await?;
    let file = expired.write(dir.path(), "late")?;
    let name = file.display().to_string();
    denied(&url, creds(&file), &["\"late\"", &name, "expired at"]).await?;
    let file = revoked.write(dir.path(), "revoked")?;
    denied(
        &url,
        creds(&file),
        &["\"revoked\"", "revoked", &account.public_key()],
    )
    .await?;
    let file = stranger
        .user("stranger", None)?
        .write(dir.path(), "stranger")?;
    denied(
        &url,
        creds(&file),
        &["is not one of this broker's", &stranger.public_key()],
    )
    .await?;
    let file = poor.user("poor", None)?.write(dir.path(), "poor")?;
    let error = refused(&url, creds(&file)).await?;
    assert!(
        matches!(error, ConnectError::NoJetStream { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("limits in its JWT"), "{error}");
    Ok(())
}

#[tokio::test]
async fn cluster_of_which_too_few_are_there_is_told_from_a_broker_without_jetstream()
-> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    for dead in [1, 2] {
        cluster.members[dead].kill().await?;
    }
    let client = cluster.members[0].client().await?;
    eventually(AT_ONCE * 3, "the one that is left knows it", async || {
        // Until then it answers nothing at all.
        let asked = client.request("$JS.API.INFO", "".into());
        let asked = tokio::time::timeout(Duration::from_secs(1), asked).await;
        let said = asked.ok().and_then(Result::ok).map(|said| said.payload);
        Ok(said.is_some_and(|said| String::from_utf8_lossy(&said).contains("10008")))
    })
    .await?;
    let soon = Settings {
        timeout: Some(Duration::from_secs(3)),
        ..Settings::default()
    };
    let error = refused(&cluster.members[0].url(), soon).await?;
    assert!(error.is_unreachable(), "tried again for a while: {error:?}");
    let said = error.to_string();
    assert!(
        said.contains("more than half of the cluster's servers") && !said.contains("not enabled"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn account_without_jetstream_is_told_from_a_broker_without() -> anyhow::Result<()> {
    let config = "accounts { RICH: { jetstream: enabled, users: [ { user: rich, password: a } ] }\n\
                  POOR: { users: [ { user: poor, password: b } ] } }";
    let server = start(config.into()).await?;
    let_in(&server.url(), user("rich", "a")).await?;
    let error = refused(&server.url(), user("poor", "b")).await?;
    assert!(
        matches!(&error, ConnectError::NoJetStream { cause, .. } if cause.contains("account")),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test]
async fn certificates_that_will_not_do_are_told_with_what_to_change() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (authority, other) = (
        Authority::new(dir.path(), "ours")?,
        Authority::new(dir.path(), "theirs")?,
    );
    let here = authority.sign("here", &["127.0.0.1"])?;
    let elsewhere = authority.sign("elsewhere", &["broker.example"])?;
    let server = start(here.block("")).await?;
    let trusting = |file: &Path| Settings {
        ca: Some(file.to_owned()),
        ..Settings::default()
    };
    let url = server.url();
    let_in(&url, trusting(&authority.file)).await?;
    let_in(&url.replace("nats://", "tls://"), trusting(&authority.file)).await?;
    // The system knows nobody of ours.
    for stranger in [Settings::default(), trusting(&other.file)] {
        let error = refused(&url, stranger).await?;
        assert!(
            matches!(&error, ConnectError::Untrusted { advice, .. } if advice.contains("(ca)")),
            "{error:?}"
        );
    }
    let server = start(elsewhere.block("")).await?;
    let error = refused(&server.url(), trusting(&authority.file)).await?;
    assert!(
        matches!(&error, ConnectError::Untrusted { advice, .. } if advice.contains("another host")),
        "{error:?}"
    );
    assert!(error.to_string().contains("broker.example"), "{error}");
    Ok(())
}

#[tokio::test]
async fn broker_that_wants_a_client_certificate_gets_one_of_its_authority() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (authority, other) = (
        Authority::new(dir.path(), "ours")?,
        Authority::new(dir.path(), "theirs")?,
    );
    let ca = authority.file.display();
    let block = authority
        .sign("here", &["127.0.0.1"])?
        .block(&format!("ca_file: \"{ca}\"\nverify: true"));
    let server = start(block).await?;
    let showing = |shown: Option<gridloom_tests::certificates::Certified>| {
        let (cert, key) = shown.map(|shown| (shown.cert, shown.key)).unzip();
        Settings {
            ca: Some(authority.file.clone()),
            cert,
            key,
            ..Settings::default()
        }
    };
    let client = authority.sign("client", &["client"])?;
    let_in(&server.url(), showing(Some(client.clone()))).await?;
    for wrong in [None, Some(other.sign("stranger", &["stranger"])?)] {
        let error = refused(&server.url(), showing(wrong)).await?;
        assert!(
            matches!(&error, ConnectError::Untrusted { advice, .. } if advice.contains("cert and key")),
            "{error:?}"
        );
    }
    let mixed = gridloom_tests::certificates::Certified {
        key: other.sign("odd", &["odd"])?.key,
        ..client
    };
    let error = refused(&server.url(), showing(Some(mixed))).await?;
    assert!(error.to_string().contains("belong together"), "{error}");
    Ok(())
}

#[tokio::test]
async fn tls_first_and_tls_later_name_the_setting_that_brings_them_together() -> anyhow::Result<()>
{
    let dir = tempfile::tempdir()?;
    let authority = Authority::new(dir.path(), "ours")?;
    let here = authority.sign("here", &["127.0.0.1"])?;
    let server = start(here.block("handshake_first: false")).await?;
    let using = |tls: TlsUse| Settings {
        ca: Some(authority.file.clone()),
        tls: Some(tls),
        timeout: Some(Duration::from_secs(4)),
        ..Settings::default()
    };
    let url = server.url();
    let_in(&url, using(TlsUse::Required)).await?;
    let early = refused(&url, using(TlsUse::First)).await?.to_string();
    assert!(early.contains("set tls to \"required\""), "{early}");
    let first = |config: String| config.replace("handshake_first: false", "handshake_first: true");
    server.reload(first).await?;
    let_in(&url, using(TlsUse::First)).await?;
    let late = refused(&url, using(TlsUse::Required)).await?.to_string();
    assert!(late.contains("set tls to \"first\""), "{late}");
    // A broker without TLS is not taken by whoever wants it.
    let plain = start(String::new()).await?;
    let error = refused(&plain.url(), using(TlsUse::Required))
        .await?
        .to_string();
    assert!(error.contains("speaks no TLS"), "{error}");
    Ok(())
}

/// Waits until the client is on another connection, and can use it.
async fn in_again(broker: &Broker, before: u64) -> anyhow::Result<()> {
    eventually(SOON, "it is in again", async || {
        Ok(broker.connection_epoch() > before && broker.is_connected())
    })
    .await?;
    broker.jobs().put("again", "1".into()).await?;
    Ok(())
}

#[tokio::test]
async fn credentials_file_that_was_rewritten_before_its_user_was_revoked_is_used_at_once()
-> anyhow::Result<()> {
    let (operator, dir) = (Operator::new(), tempfile::tempdir()?);
    let mut account = Account::new("grid");
    let old = account.user("old", None)?;
    let file = old.write(dir.path(), "worker")?;
    let before = operator.config(&[&account])?;
    let server = start(before.clone()).await?;
    let broker = let_in(&server.url(), creds(&file)).await?;
    let epoch = broker.connection_epoch();
    account.user("new", None)?.write(dir.path(), "worker")?;
    account.revoke(&old);
    let after = operator.config(&[&account])?;
    server
        .reload(|config| config.replace(&before, &after))
        .await?;
    in_again(&broker, epoch).await
}

#[tokio::test]
async fn certificates_that_were_replaced_are_used_at_the_next_connection() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (first, second) = (
        Authority::new(dir.path(), "first")?,
        Authority::new(dir.path(), "second")?,
    );
    let block = |authority: &Authority| {
        let ca = authority.file.display();
        let here = authority.sign("here", &["127.0.0.1"])?;
        anyhow::Ok(here.block(&format!("ca_file: \"{ca}\"\nverify: true")))
    };
    let before = block(&first)?;
    let mut server = start(before.clone()).await?;
    let mine = first.sign("mine", &["mine"])?;
    let ca = dir.path().join("trusted.pem");
    std::fs::copy(&first.file, &ca)?;
    let settings = Settings {
        ca: Some(ca.clone()),
        cert: Some(mine.cert),
        key: Some(mine.key),
        ..Settings::default()
    };
    let broker = let_in(&server.url(), settings).await?;
    let epoch = broker.connection_epoch();
    server.kill().await?;
    let config = server.store().join("nats.conf");
    let text = std::fs::read_to_string(&config)?.replace(&before, &block(&second)?);
    std::fs::write(&config, text)?;
    second.sign("mine", &["mine"])?;
    std::fs::copy(&second.file, &ca)?;
    server.restart().await?;
    in_again(&broker, epoch).await
}
