//! What stands in files and is taken up when they change, without a restart: who may ask, and the certificate. What is of
//! no use leaves what was there, and is warned of once.
//!
//! Files are looked at, not their directories: a link that leads elsewhere is a change as well.

use std::convert::Infallible;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::metrics::CREDENTIAL_END;

use super::access::Tokens;
use super::certificate::Shown;
use super::link::Link;
use super::settings::TokenSource;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What is said of tokens that cannot be read anew, and of a certificate.
const TOKENS: &str = "its tokens cannot be read anew, and those that were known stay";
const CERTIFICATE: &str = "its certificate cannot be read anew, and the one that is shown stays";

const ENDS: &str = "its certificate is to be replaced";
/// Whoever renews certificates has done it by then.
const DUE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What is said of a certificate by its end; `None`: it lasts.
fn told_of(end: UnixMs, now: UnixMs) -> Option<String> {
    let at = end.rfc3339();
    match end {
        end if end <= now => Some(format!(
            "it ended at {at}, and browsers and programs refuse it"
        )),
        end if end <= now + DUE => Some(format!("it ends at {at}")),
        _ => None,
    }
}

/// How a file looks; `None`: it is not there.
type Look = Option<(u64, u64, (i64, i64), (i64, i64))>;

fn look(path: &PathBuf) -> Look {
    let of = std::fs::metadata(path).ok()?;
    let written = (of.mtime(), of.mtime_nsec());
    Some((of.ino(), of.size(), written, (of.ctime(), of.ctime_nsec())))
}

/// Files, and what became of them.
struct Files {
    paths: Vec<PathBuf>,
    /// As they looked at the last look.
    seen: Vec<Look>,
    /// As they looked when they were taken up last.
    taken: Option<Vec<Look>>,
    /// What was said of them, so that it is said once.
    said: Option<String>,
}

impl Files {
    fn new(paths: Vec<PathBuf>) -> Files {
        Files {
            seen: paths.iter().map(look).collect(),
            paths,
            taken: None,
            said: None,
        }
    }

    /// Whether they are to be read: they are others than when that was done last, and nobody is writing them just now.
    fn are_due(&mut self) -> bool {
        let now: Vec<Look> = self.paths.iter().map(look).collect();
        let rests = now == self.seen;
        self.seen = now;
        rests && self.taken.as_ref() != Some(&self.seen)
    }

    /// They were read, with that fault or with none. Returns it if it is to be told.
    fn were_read(&mut self, fault: Option<String>) -> Option<String> {
        if fault.is_none() {
            self.taken = Some(self.seen.clone());
        }
        let is_news = self.said != fault;
        self.said = fault;
        self.said.clone().filter(|_| is_news)
    }
}

/// Looks at them for as long as the API is served. Never ends.
pub(super) async fn keep(link: &Link, shown: Option<&Shown>) -> Infallible {
    let source = link.settings.token_source.as_ref();
    let mut tokens = source.map(|source| (source, Files::new(source.files.clone())));
    let mut shown = shown.map(|shown| {
        let files = Vec::from([shown.files.certificate.clone(), shown.files.key.clone()]);
        (shown, Files::new(files))
    });
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some((source, files)) = &mut tokens
            && files.are_due()
        {
            read_tokens(link, source, files);
            link.faults.set(TOKENS, files.said.as_ref());
        }
        if let Some((shown, files)) = &mut shown
            && files.are_due()
        {
            renew(shown, files);
            link.faults.set(CERTIFICATE, files.said.as_ref());
        }
        if let Some((shown, _)) = &shown {
            let end = shown.end();
            if let Some(end) = end {
                let seconds = end.0 as f64 / 1_000.0;
                CREDENTIAL_END.gauge(&["api_certificate"]).set(seconds);
            }
            let ends = end.and_then(|end| told_of(end, UnixMs::now()));
            link.faults.set(ENDS, ends.as_ref());
        }
    }
}

fn read_tokens(link: &Link, source: &TokenSource, files: &mut Files) {
    let read = (source.read)().and_then(|tokens| agreed(&link.tokens(), tokens));
    let fault = match read {
        Ok(tokens) => {
            if link.take_tokens(tokens) {
                tracing::info!("the tokens of the API were read anew");
            }
            None
        }
        Err(fault) => Some(fault),
    };
    if let Some(error) = files.were_read(fault) {
        tracing::warn!(
            error,
            "the tokens of the API cannot be read anew: those that were known stay"
        );
    }
}

/// A file that was emptied by accident would let everybody in.
fn agreed(before: &Tokens, now: Tokens) -> Result<Arc<Tokens>, String> {
    match now.is_empty() && !before.is_empty() {
        true => Err(
            "none is named any more: restart the planner where everybody who reaches its address is to be let in"
                .to_owned(),
        ),
        false => Ok(Arc::new(now)),
    }
}

fn renew(shown: &Shown, files: &mut Files) {
    let fault = match shown.renew() {
        Ok(is_another) => {
            if is_another {
                tracing::info!("the certificate of the API was read anew");
            }
            None
        }
        Err(error) => Some(chain(&error).to_string()),
    };
    if let Some(error) = files.were_read(fault) {
        tracing::warn!(
            error,
            "the certificate of the API cannot be read anew: the one that is shown stays"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::{Role, Token};
    use super::*;

    #[test]
    fn files_are_read_once_they_rest_and_again_while_they_are_of_no_use() {
        let file = std::env::temp_dir().join(format!("gridloom-renewed-{}", std::process::id()));
        std::fs::write(&file, "one").unwrap();
        let mut files = Files::new(Vec::from([file.clone()]));
        // What was read before it was looked at may have been another.
        assert!(files.are_due());
        assert_eq!(files.were_read(None), None);
        assert!(!files.are_due());
        std::fs::write(&file, "two, and more").unwrap();
        assert!(!files.are_due(), "somebody may be writing it");
        assert!(files.are_due());
        let fault = || Some("it is none".to_owned());
        assert_eq!(files.were_read(fault()), fault());
        assert!(files.are_due());
        assert_eq!(files.were_read(fault()), None, "it was said");
        std::fs::remove_file(&file).unwrap();
        assert!(!files.are_due());
        assert!(files.are_due());
        assert_eq!(files.were_read(None), None);
        assert!(!files.are_due());
    }

    #[test]
    fn certificate_is_told_of_a_week_before_its_end() {
        let end = UnixMs(1_800_000_000_000);
        let before = |days: u64| UnixMs(end.0 - days * 86_400_000);
        assert_eq!(told_of(end, before(8)), None);
        assert!(told_of(end, before(7)).unwrap().starts_with("it ends at"));
        assert!(
            told_of(end, UnixMs(end.0 - 1))
                .unwrap()
                .starts_with("it ends at")
        );
        assert!(told_of(end, end).unwrap().starts_with("it ended at"));
    }

    #[test]
    fn no_tokens_at_all_are_not_taken_where_there_were_some() {
        let token = Token::new("ada", Role::Viewer, &"0".repeat(64)).unwrap();
        let some = Tokens::new(Vec::from([token])).unwrap();
        let none = Tokens::default();
        assert!(agreed(&some, none.clone()).is_err());
        assert!(agreed(&none, some.clone()).is_ok());
        assert!(agreed(&none, none.clone()).is_ok() && agreed(&some, some.clone()).is_ok());
    }
}
