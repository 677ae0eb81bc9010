//! Secrets: where one stands, and that nobody prints it. One in a file is read anew whenever it is needed, so that
//! it can be changed under a process that runs.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::chain;

/// No file with a secret or a certificate in it is larger.
const FILE_MAX: u64 = 1 << 20;

/// A password or a token.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Itself.
    Text(String),
    /// What stands in this file, without the line's end.
    File(PathBuf),
}

/// Why a file with a secret or a certificate is of no use. Says which file, and nothing of what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {what} {}: {cause}", .path.display())]
pub struct FileError {
    /// What it should hold.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub cause: String,
}

impl FileError {
    /// The fault `cause` of the file at `path`.
    pub fn new(what: &'static str, path: &Path, cause: impl Into<String>) -> FileError {
        FileError {
            what,
            path: path.to_owned(),
            cause: cause.into(),
        }
    }
}

impl Secret {
    /// The secret as it stands now; `what` it is, for people.
    ///
    /// # Errors
    /// When its file cannot be read, or is empty.
    pub fn read(&self, what: &'static str) -> Result<String, FileError> {
        let path = match self {
            Secret::Text(text) => return Ok(text.clone()),
            Secret::File(path) => path,
        };
        let text = text_of(what, path)?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(FileError::new(what, path, "it is empty")),
            secret => Ok(secret.to_owned()),
        }
    }

    /// Where it stands, for people: what follows "the password".
    pub fn whence(&self) -> String {
        match self {
            Secret::Text(_) => "that was given".to_owned(),
            Secret::File(path) => format!("in {}", path.display()),
        }
    }
}

/// The text of the file at `path`, which should hold `what`.
///
/// # Errors
/// When it cannot be read, or can be no such file.
pub fn text_of(what: &'static str, path: &Path) -> Result<String, FileError> {
    let fault = |cause: String| FileError::new(what, path, cause);
    let said = |error: std::io::Error| fault(chain(&error).to_string());
    let found = std::fs::metadata(path).map_err(said)?;
    // A pipe is waited for, and is empty the second time; a device may have no end.
    if !found.is_file() && !found.is_dir() {
        return Err(fault(
            "it is a pipe or a device: name a file, which is read anew at each connection"
                .to_owned(),
        ));
    }
    let size = found.len();
    if size > FILE_MAX {
        return Err(fault(format!("it has {size} bytes: that is another file")));
    }
    let bytes = std::fs::read(path).map_err(said)?;
    let text = String::from_utf8(bytes).map_err(|_| fault("it is no text".to_owned()))?;
    // Some editors begin a file with a mark of its encoding.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::Text(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret::Text(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Text(_) => f.write_str("Text(...)"),
            Secret::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_of_an_encoding_is_no_part_of_a_secret_and_what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "\u{feff}hunter2\r\n").unwrap();
        assert_eq!(Secret::File(path).read("it").unwrap(), "hunter2");
        let endless = text_of("it", Path::new("/dev/zero")).unwrap_err();
        assert!(endless.cause.contains("name a file"), "{endless}");
    }

    #[test]
    fn secret_of_a_file_is_read_anew_and_faults_name_the_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let secret = Secret::File(path.clone());
        let fault = |secret: &Secret| secret.read("the password").unwrap_err().to_string();
        assert!(fault(&secret).contains("password: No such file"));
        for (text, read) in [("one\n", "one"), ("t w o\r\n", "t w o")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(secret.read("the password").unwrap(), read);
        }
        for bad in [&b"\n"[..], b"hunter2\xff"] {
            std::fs::write(&path, bad).unwrap();
            let fault = fault(&secret);
            assert!(fault.contains(&path.display().to_string()), "{fault}");
            assert!(!fault.contains("hunter2"), "{fault}");
        }
        assert!(!format!("{:?}", Secret::from("hunter2")).contains("hunter2"));
    }
}
