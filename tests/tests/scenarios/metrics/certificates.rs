//! A certificate of the broker that ends soon is told of, until another one is shown.

use gridloom_shared::clock::UnixMs;
use gridloom_tests::certificates::{Authority, Certified};

use super::*;
use crate::connection::{command, ready, said, start, text_of};

/// Year, month and day, so many days from now.
fn in_days(days: u64) -> anyhow::Result<(i32, u8, u8)> {
    let day = UnixMs::now() + Duration::from_secs(days * 24 * 3_600);
    let day = day.rfc3339();
    let mut parts = day.get(..10).context("a day")?.split('-');
    let mut next = || parts.next().context("a part of it");
    Ok((next()?.parse()?, next()?.parse()?, next()?.parse()?))
}

/// As whoever renews a certificate does it.
fn replace(shown: &Certified, next: &Certified) -> anyhow::Result<()> {
    std::fs::rename(&next.key, &shown.key)?;
    Ok(std::fs::rename(&next.cert, &shown.cert)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_the_broker_that_ends_soon_is_told_by_doctor_and_an_alert_until_it_is_renewed()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let authority = Authority::new(dir.path(), "ours")?;
    let shown = authority.sign_until("here", &["127.0.0.1"], Some(in_days(3)?))?;
    let server = start(shown.block("")).await?;
    let trusting = [("GRIDLOOM_NATS_CA", text_of(&authority.file)?)];
    let (at_planner, at_worker) = (free_port()?, free_port()?);
    let listen = format!("127.0.0.1:{at_planner}");
    let planner = command(&server, &["planner", "--listen", &listen], &trusting)?;
    let planner = planner.start().await?;
    ready(&planner).await?;
    let doctor = async || said(&server, &["doctor"], &trusting).await;
    let told = doctor().await?;
    let line = format!("that of 127.0.0.1:{} ends at ", server.port());
    ensure!(told.code == 1 && told.stdout.contains(&line), "{told:?}");
    ensure!(told.stdout.contains("[certificate-ends]"), "{told:?}");
    let alert = "GridloomCertificateEnds";
    let prometheus = match have_prometheus() {
        true => Some(prometheus(at_planner, at_worker).await?),
        false => None,
    };
    if let Some(prometheus) = &prometheus {
        fires(prometheus, alert, "it lets nobody in").await?;
    }
    replace(&shown, &authority.sign("next", &["127.0.0.1"])?)?;
    server.reload(|config| config).await?;
    let told = doctor().await?.stdout;
    ensure!(!told.contains("[certificate-ends]"), "{told}");
    ensure!(told.contains("those of the broker last until "), "{told}");
    match &prometheus {
        Some(prometheus) => clears(prometheus, alert).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_a_planner_itself_shows_are_told_of_before_they_end_until_they_are_replaced()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let authority = Authority::new(dir.path(), "ours")?;
    let broker = authority.sign("broker", &["127.0.0.1"])?;
    let own = authority.sign_until("own", &["127.0.0.1"], Some(in_days(3)?))?;
    let api = authority.sign_until("api", &["127.0.0.1"], Some(in_days(4)?))?;
    let ca = text_of(&authority.file)?;
    let server = start(broker.block(&format!("ca_file: \"{ca}\"\nverify: true"))).await?;
    let with = [
        ("GRIDLOOM_NATS_CA", text_of(&authority.file)?),
        ("GRIDLOOM_NATS_CERT", text_of(&own.cert)?),
        ("GRIDLOOM_NATS_KEY", text_of(&own.key)?),
        ("GRIDLOOM_API_TLS_CERT", text_of(&api.cert)?),
        ("GRIDLOOM_API_TLS_KEY", text_of(&api.key)?),
    ];
    let (at_planner, at_worker) = (free_port()?, free_port()?);
    let listen = format!("127.0.0.1:{at_planner}");
    let planner = command(&server, &["planner", "--listen", &listen], &with)?;
    let planner = planner.start().await?;
    ready(&planner).await?;
    let listen = format!("127.0.0.1:{at_worker}");
    let worker = command(&server, &["worker", "--listen", &listen], &with)?;
    let _worker = worker.start().await?;
    let shows = async |port: u16, what: &str| {
        let series = format!("gridloom_credential_end_timestamp_seconds{{what=\"{what}\"}} ");
        eventually(SOON, &series, async || {
            let page = get(&format!("127.0.0.1:{port}"), "/metrics").await;
            Ok(page.is_ok_and(|page| page.contains(&series)))
        })
        .await
    };
    shows(at_planner, "client_certificate").await?;
    shows(at_planner, "api_certificate").await?;
    shows(at_worker, "client_certificate").await?;
    if !have_prometheus() {
        return Ok(());
    }
    let (alert, prometheus) = (
        "GridloomCredentialEnds",
        prometheus(at_planner, at_worker).await?,
    );
    fires(
        &prometheus,
        alert,
        "The first client_certificate of planners and workers",
    )
    .await?;
    fires(
        &prometheus,
        alert,
        "The first api_certificate of planners and workers",
    )
    .await?;
    replace(&own, &authority.sign("next", &["127.0.0.1"])?)?;
    replace(&api, &authority.sign("next", &["127.0.0.1"])?)?;
    clears(&prometheus, alert).await
}
