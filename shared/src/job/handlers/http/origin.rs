//! Where requests go: scheme, host and port. One that is written otherwise and means the same is the same.

use std::fmt;

use url::{Position, Url};

/// A scheme, a host and a port, as `https://api.example`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(String);

/// Why a text is no origin. The text is not repeated: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// No address of a server at all.
    #[error(
        "must be http:// or https:// with a host, and a port where it is not the usual one, as https://api.example:8443"
    )]
    NoAddress,
    /// More than that.
    #[error("must end behind host and port, as https://api.example: paths are the jobs'")]
    More,
    /// With a user or a password.
    #[error(
        "holds a user or a password: write those as a header of the job, with {{secret.NAME}}, and the secret into the worker's configuration"
    )]
    User,
}

impl Origin {
    /// The origin that `text` is.
    ///
    /// # Errors
    /// When it is none, or more than one.
    pub fn parse(text: &str) -> Result<Origin, OriginError> {
        let url = address(text)?;
        match url.path() == "/" && url[Position::AfterPath..].is_empty() {
            true => Ok(Origin::of(&url)),
            false => Err(OriginError::More),
        }
    }

    /// The origin of an address.
    pub fn of(url: &Url) -> Origin {
        Origin(url.origin().ascii_serialization())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address that `text` is.
///
/// # Errors
/// When it is no address of a server, or holds a user or a password.
pub fn address(text: &str) -> Result<Url, OriginError> {
    let url = Url::parse(text).map_err(|_| OriginError::NoAddress)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(OriginError::NoAddress);
    }
    match url.username().is_empty() && url.password().is_none() {
        true => Ok(url),
        false => Err(OriginError::User),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_that_mean_the_same_are_the_same() {
        for (text, wanted) in [
            ("https://API.example", "https://api.example"),
            ("https://api.example:443/", "https://api.example"),
            ("http://127.1:8080", "http://127.0.0.1:8080"),
            ("http://[::0001]:80", "http://[::1]"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), wanted);
        }
        for (text, error) in [
            ("api.example", OriginError::NoAddress),
            ("ftp://api.example", OriginError::NoAddress),
            ("https://", OriginError::NoAddress),
            ("*", OriginError::NoAddress),
            ("https://me:hunter2@api.example", OriginError::User),
            ("https://api.example/a", OriginError::More),
            ("https://api.example?a", OriginError::More),
            ("https://api.example/#a", OriginError::More),
        ] {
            assert_eq!(Origin::parse(text), Err(error), "{text}");
        }
    }
}
