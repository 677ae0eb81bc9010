//! When what this client proves itself with is over, as the files say that it reads at each connection. Shown beforehand, since
//! from then on the broker lets it in no more.
//!
//! It must not decide anything.

use std::convert::Infallible;
use std::time::Duration;

use super::Broker;
use super::certificates::Way;
use crate::clock::UnixMs;
use crate::metrics::CREDENTIAL_END;

/// How often files are looked at: one that was replaced is told of no more within a minute.
const LOOK: Duration = Duration::from_secs(15);

impl Broker {
    /// Shows it again and again. Never ends.
    pub async fn keep_showing_ends(&self) -> Infallible {
        loop {
            self.show_ends();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Shows it once.
    pub fn show_ends(&self) {
        for (what, end) in self.way.ends() {
            CREDENTIAL_END.gauge(&[what]).set(end.0 as f64 / 1_000.0);
        }
    }
}

impl Way {
    /// Each thing that ends, as it is called in the metric.
    fn ends(&self) -> Vec<(&'static str, UnixMs)> {
        let credentials = self.credentials.end().map(|end| ("credentials", end));
        let certificate = own(self).map(|end| ("client_certificate", end));
        credentials.into_iter().chain(certificate).collect()
    }
}

#[cfg(feature = "tls")]
fn own(way: &Way) -> Option<UnixMs> {
    let (shown, _) = way.tls.own()?;
    super::end_of(shown.first()?)
}

#[cfg(not(feature = "tls"))]
fn own(_: &Way) -> Option<UnixMs> {
    None
}
