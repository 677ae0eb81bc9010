//! Which services the http handler may ask, and with which secrets: flag beats environment, environment beats file.

use std::collections::BTreeMap;

use gridloom_shared::environment;
use gridloom_worker::handlers::http::{HttpService, named_secrets, named_services};

use super::{Config, given, misuse};
use crate::args::WorkerFlags;
use crate::fault::Misuse;
use crate::setting::Given;

/// Where services are given, and their secrets.
const SERVICES: &str = "--http (GRIDLOOM_WORKER_HTTP)";
const SECRETS: &str = "GRIDLOOM_WORKER_HTTP_SECRETS (GRIDLOOM_WORKER_HTTP_SECRETS_FILE)";

impl Config {
    /// The services, each with its secrets: those of the environment go before those of the file.
    pub(super) fn services(
        &self,
        flags: &WorkerFlags,
    ) -> anyhow::Result<BTreeMap<String, HttpService>> {
        let mut services = self.file.worker.http.clone();
        for (name, service) in given(SERVICES, flags.http.as_ref(), named_services)? {
            // What the file says of one of that name besides its origin stays.
            let known = services.entry(name).or_insert_with(|| service.clone());
            known.origin = service.origin;
        }
        let secrets = environment::secret("WORKER_HTTP_SECRETS").map_err(|error| misuse(&error))?;
        let secrets = secrets.map(|text| vec![Given(text)]);
        let read = |text: &str| {
            let named = named_secrets(text)?.into_iter();
            Ok(named
                .map(|(service, name, secret)| (format!("{service}.{name}"), secret))
                .collect())
        };
        for (place, secret) in given(SECRETS, secrets.as_ref(), read)? {
            let (service, name) = place.split_once('.').unwrap_or_default();
            let Some(known) = services.get_mut(service) else {
                return Err(Misuse::error(format!(
                    "read {SECRETS}: there is no service {service:?}: name it in worker.http, or with --http {service}=ORIGIN"
                )));
            };
            known.secrets.insert(name.to_owned(), secret);
        }
        Ok(services)
    }
}
