//! Keys of sessions of browsers, in the `state` bucket.

use super::Subjects;

impl Subjects {
    /// What is known of the session whose number has this digest, in hexadecimal digits.
    pub fn session_key(&self, digest: &str) -> String {
        format!("session.{digest}")
    }

    /// All sessions, as a filter of keys.
    pub fn all_sessions(&self) -> &'static str {
        "session.*"
    }
}
