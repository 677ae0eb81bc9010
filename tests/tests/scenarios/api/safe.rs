//! The API over TLS: with a certificate of its own, which is renewed under it.

use std::path::Path;
use std::sync::Arc;

use gridloom_planner::api::access::digest;
use gridloom_tests::certificates::{Authority, Certified};
use gridloom_tests::http::ask_over;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;

/// Who trusts that authority and nobody else.
fn trusting(authority: &Authority) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&authority.file)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn asked(
    (address, trusting): (&str, &TlsConnector),
    what: (&str, &str),
    body: Option<&Value>,
) -> anyhow::Result<Reply> {
    let stream = TcpStream::connect(address).await?;
    let stream = trusting
        .connect(ServerName::try_from("localhost")?, stream)
        .await?;
    let body = body.map(|body| body.to_string().into_bytes());
    let kind = [("host", "localhost"), ("content-type", "application/json")];
    ask_over(stream, what, &kind, body.as_deref()).await
}

/// Puts a pair in the place of another.
fn replace(of: &Certified, by: &Certified) -> anyhow::Result<()> {
    std::fs::copy(&by.key, &of.key)?;
    std::fs::copy(&by.cert, &of.cert)?;
    Ok(())
}

fn flags(of: &Certified) -> Vec<String> {
    let (cert, key) = (of.cert.display(), of.key.display());
    Vec::from([
        format!("--api-tls-cert={cert}"),
        format!("--api-tls-key={key}"),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn api_speaks_tls_by_a_certificate_that_may_be_renewed() -> anyhow::Result<()> {
    play(async |stage| {
        let dir = stage.dir().to_owned();
        let (first, second) = (
            Authority::new(&dir, "first")?,
            Authority::new(&dir, "second")?,
        );
        let shown = first.sign("shown", &["localhost"])?;
        let token = format!("--api-token=ada=admin:{}", digest("glt_ada"));
        let planner = stage.gridloom(&["planner", "--api-listen", "127.0.0.1:0", &token])?;
        let planner = planner.args(flags(&shown)).start().await?;
        let address = address(&planner).await?;
        ensure!(
            planner.stderr().contains("https://"),
            "{}",
            planner.stderr()
        );
        stage.planners.push(planner);
        let trusts_first = trusting(&first)?;
        let login = json!({ "token": "glt_ada" });
        let (what, ask) = (
            ("POST", "/api/v1/session"),
            (address.as_str(), &trusts_first),
        );
        let session = eventually_some(SOON, "a session begins", async || {
            let session = asked(ask, what, Some(&login)).await?;
            // Until it is connected to the broker, which keeps sessions.
            ensure!(matches!(session.status, 200 | 503), "{}", session.json());
            Ok(Some(session).filter(|session| session.status == 200))
        });
        let session = session.await?;
        let cookie = session.header("set-cookie").unwrap_or_default();
        ensure!(cookie.contains("; Secure"), "{cookie}");
        // The page itself comes that way, too.
        ensure!(asked(ask, ("GET", "/"), None).await?.status == 200);
        let silent = speaks_to_others(&address).await?;

        // Whoever trusts another authority does not see it.
        let trusts_second = trusting(&second)?;
        let other = asked((&address, &trusts_second), ("GET", "/"), None).await;
        ensure!(other.is_err(), "{other:?}");
        replace(&shown, &second.sign("next", &["localhost"])?)?;
        eventually(SOON, "the next one is shown", async || {
            Ok(asked((&address, &trusts_second), ("GET", "/"), None)
                .await
                .is_ok())
        })
        .await?;
        std::fs::write(&shown.cert, "no certificate")?;
        eventually(SOON, "it warns", async || {
            let planner = stage.planners.last().context("planner")?;
            let words = "the certificate of the API cannot be read anew";
            Ok(planner.stderr().contains(words))
        })
        .await?;
        let kept = asked((&address, &trusts_second), ("GET", "/"), None).await?;
        ensure!(kept.status == 200);
        told(stage, "its certificate cannot be read anew").await?;
        let over = second.sign_until("over", &["localhost"], Some((2020, 1, 1)))?;
        replace(&shown, &over)?;
        told(stage, "it ended at 2020-01-01T00:00:00.000Z").await?;
        is_let_go(silent).await
    })
    .await
}

/// Waits until whoever examines the installation is told that.
async fn told(stage: &Stage, words: &str) -> anyhow::Result<()> {
    eventually(SOON, "doctor tells of it", async || {
        let examined = stage.cli(&["doctor", "--json"], SOON).await?;
        let lines = serde_json::from_str::<Value>(&examined.stdout)?;
        let mut lines = lines.as_array().context("lines")?.iter();
        let line = lines.find(|line| line["key"] == "api-files");
        Ok(line.is_some_and(|line| line["found"].as_str().unwrap_or_default().contains(words)))
    })
    .await
}

/// In clear it says what to do; and whoever says nothing keeps nobody waiting.
async fn speaks_to_others(address: &str) -> anyhow::Result<TcpStream> {
    let silent = TcpStream::connect(address).await?;
    let clear = ask(address, ("GET", "/api/v1/about"), &[], None).await?;
    ensure!(clear.status == 400, "{}", clear.status);
    let detail = clear.json()["detail"].to_string();
    ensure!(detail.contains("https://"), "{detail}");
    Ok(silent)
}

/// Whoever has not greeted within ten seconds is let go, long before one who is quiet in clear.
async fn is_let_go(mut silent: TcpStream) -> anyhow::Result<()> {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(SOON, silent.read_to_end(&mut rest)).await;
    // Closed or broken off: it is over.
    let _ = ended.context("it is still held")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_that_cannot_be_shown_ends_the_start_with_what_to_change() -> anyhow::Result<()>
{
    play(async |stage| {
        let dir = stage.dir().to_owned();
        let authority = Authority::new(&dir, "authority")?;
        let (one, two) = (
            authority.sign("one", &["localhost"])?,
            authority.sign("two", &["localhost"])?,
        );
        let none = dir.join("none.pem");
        let empty = dir.join("empty.pem");
        std::fs::write(&empty, "")?;
        let pair = |cert: &Path, key: &Path| {
            let (cert, key) = (cert.to_owned(), key.to_owned());
            flags(&Certified { cert, key })
        };
        let cases = [
            (pair(&none, &one.key), "none.pem: No such file"),
            (
                pair(&empty, &one.key),
                "empty.pem: it holds no certificate in PEM",
            ),
            (
                pair(&one.key, &one.key),
                "one.key: it holds no certificate in PEM",
            ),
            (
                pair(&one.cert, &one.cert),
                "one.pem: it holds no key in PEM",
            ),
            (
                pair(&one.cert, &two.key),
                "two.key is not that of the certificate",
            ),
            (flags(&one)[..1].to_vec(), "--api-tls-key"),
            (flags(&one)[1..].to_vec(), "--api-tls-cert"),
        ];
        for (args, words) in cases {
            let planner = stage.gridloom(&["planner", "--api-listen", "127.0.0.1:0"])?;
            let planner = planner.args(args).start().await?.finish(SOON).await?;
            ensure!(
                planner.code == 2 && planner.stderr.contains(words),
                "{words}: {planner:?}"
            );
            ensure!(
                !planner.stderr.contains("BEGIN PRIVATE KEY-----"),
                "{planner:?}"
            );
        }
        Ok(())
    })
    .await
}
