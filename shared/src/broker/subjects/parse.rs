//! Reads subjects back.

use crate::id::{HandlerName, JobName, QueueName, RunId, Session};
use crate::lane::Lane;
use crate::ledger::record::Author;

use super::Subjects;

impl Subjects {
    fn after<'a>(&self, subject: &'a str, kind: &str) -> Option<&'a str> {
        let rest = subject
            .strip_prefix(self.namespace.as_str())?
            .strip_prefix('.')?;
        rest.strip_prefix(kind)?.strip_prefix('.')
    }

    /// Queue, run and author of a subject of the ledger. A remembered id is the planner's record.
    pub fn parse_ledger(&self, subject: &str) -> Option<(QueueName, RunId, Author)> {
        let Some(rest) = self.after(subject, "ledger") else {
            let (queue, run) = self.parse_id(subject)?;
            return Some((queue, run, Author::Plan));
        };
        let mut tokens = rest.split('.');
        let queue = QueueName::new(tokens.next()?).ok()?;
        let run = RunId::new(tokens.next()?).ok()?;
        let author = Author::parse(tokens.next()?)?;
        tokens.next().is_none().then_some((queue, run, author))
    }

    /// The run that `subject` is about, where it is one of the ledger or of a queue.
    pub fn run_in<'a>(&self, subject: &'a str) -> Option<&'a str> {
        let of_queue = self.after(subject, "shard");
        let of_queue = of_queue.and_then(|rest| rest.split('.').nth(2));
        let of_ledger = || {
            let rest = self.after(subject, "ledger");
            let rest = rest.or_else(|| self.after(subject, "ids"))?;
            rest.split('.').nth(1)
        };
        let run = of_queue.or_else(of_ledger)?;
        RunId::new(run).is_ok().then_some(run)
    }

    /// Queue and run of a remembered id's subject.
    pub fn parse_id(&self, subject: &str) -> Option<(QueueName, RunId)> {
        let mut tokens = self.after(subject, "ids")?.split('.');
        let queue = QueueName::new(tokens.next()?).ok()?;
        let run = RunId::new(tokens.next()?).ok()?;
        (tokens.next() == Some("id") && tokens.next().is_none()).then_some((queue, run))
    }

    /// The lane of a bell.
    pub fn parse_bell(&self, subject: &str) -> Option<Lane> {
        let (queue, handler) = self.after(subject, "bell")?.split_once('.')?;
        Some(Lane::new(
            QueueName::new(queue).ok()?,
            HandlerName::new(handler).ok()?,
        ))
    }

    /// Lane and run of a tile's subject.
    pub fn parse_shard(&self, subject: &str) -> Option<(Lane, RunId)> {
        let mut tokens = self.after(subject, "shard")?.split('.');
        let queue = QueueName::new(tokens.next()?).ok()?;
        let handler = HandlerName::new(tokens.next()?).ok()?;
        let run = RunId::new(tokens.next()?).ok()?;
        let lane = Lane::new(queue, handler);
        tokens.next().is_none().then_some((lane, run))
    }

    /// What stands where the job's name should in the subject of an ad-hoc message. Unchecked:
    /// anything may be there, `*` as well.
    pub fn parse_submit<'a>(&self, subject: &'a str) -> Option<&'a str> {
        self.after(subject, "submit")
    }

    /// Session of a presence subject.
    pub fn parse_presence(&self, subject: &str) -> Option<Session> {
        u64::from_str_radix(self.after(subject, "presence")?, 16)
            .ok()
            .map(Session)
    }

    /// The job whose fires `subject` is about.
    pub fn parse_fires(&self, subject: &str) -> Option<JobName> {
        JobName::new(self.after(subject, "fires")?).ok()
    }
}
