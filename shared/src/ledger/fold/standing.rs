//! Whose records these are, and whether they can be gone by: a run of the same id that came later, a
//! run that is given up, and one that is set aside because its plan makes no sense.

use super::Fold;
use crate::chain;
use crate::clock::UnixMs;
use crate::id::{Nonce, QueueName};
use crate::ledger::record::{Author, Opened, PlanRecord, Record, Wave};
use crate::ledger::retired::Retired;
use crate::wire::WireError;

impl Fold {
    /// Takes in what stands on the subject of `author` in the ledger of this run in `queue`, or why it
    /// cannot be read. What does not belong there changes nothing and is counted: of two queues with
    /// records under one run id only that of the run's first record is heard.
    pub fn apply_stored(
        &mut self,
        (queue, author): (&QueueName, Author),
        sequence: u64,
        at: UnixMs,
        record: Result<&Record, &WireError>,
    ) {
        let of = match record {
            Ok(Record::Plan(PlanRecord::Opened(opened))) => Some(&opened.job.queue),
            Ok(_) | Err(_) => self
                .opening
                .as_ref()
                .map(|opening| &opening.record.job.queue),
        };
        match record {
            _ if of.is_some_and(|of| of != queue) => self.apply_unreadable(sequence),
            Err(error) if error.is_newer() => self.apply_newer(sequence, error),
            Ok(record) => self.apply(sequence, at, record),
            Err(error) if author == Author::Plan => {
                self.apply_unreadable_plan(sequence, &chain(error).to_string());
            }
            Err(_) => self.apply_unreadable(sequence),
        }
    }

    /// The run's own number; `None` before its first record.
    pub fn nonce(&self) -> Option<Nonce> {
        self.opening.as_ref().map(|opening| opening.record.nonce)
    }

    /// Whether `opened` begins another run of this id: what is known here is of one whose records were
    /// removed, and ends with it.
    pub fn is_another(&self, opened: &Opened) -> bool {
        self.nonce().is_some_and(|nonce| nonce != opened.nonce)
    }

    /// The record by which the run was given up. Whatever is left of it is being removed.
    pub fn retired(&self) -> Option<&Retired> {
        self.retired.as_ref()
    }

    /// How many records were taken in since the run's first one, that included: so many stand in the
    /// ledger, unless somebody removed some.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Why nothing more of the run can be planned: its plan holds what makes no sense, and it can be
    /// cancelled; or what only a newer build can read ([`Fold::is_newer`]).
    pub fn aside(&self) -> Option<&str> {
        self.aside.as_deref()
    }

    /// Takes in a record on the planner's subject that could not be read: what it decided is not known,
    /// so the run is set aside.
    pub fn apply_unreadable_plan(&mut self, sequence: u64, why: &str) {
        if sequence <= self.position {
            return;
        }
        self.apply_unreadable(sequence);
        if self.opening.is_some() {
            self.last_plan = sequence;
            self.set_aside(format!(
                "its planner record {sequence} cannot be understood: {why}"
            ));
        }
    }

    /// Takes in a planner's record that a newer build wrote: without it nothing that is known of the run is certain.
    /// Who reads it goes on; here the run is set aside for good.
    fn apply_newer(&mut self, sequence: u64, error: &WireError) {
        if sequence <= self.position {
            return;
        }
        self.position = sequence;
        self.records += u64::from(self.opening.is_some());
        self.last_plan = sequence;
        self.newer = true;
        let why = format!("its record {sequence} was {}", chain(error));
        self.aside = Some(why.into());
    }

    /// Whether a planner of a newer build wrote some of the run's records: nothing may be done of it here, and nothing that
    /// is said of it is whole.
    pub fn is_newer(&self) -> bool {
        self.newer
    }

    /// A wave that does not follow the one before: records between them are gone.
    pub(super) fn unexpected_wave(&mut self, wave: &Wave) {
        self.counts.unexpected += 1;
        if wave.n > self.next_wave {
            self.set_aside(format!(
                "wave {} stands where wave {} should: planner records are missing",
                wave.n, self.next_wave
            ));
        }
    }

    fn set_aside(&mut self, why: String) {
        if self.aside.is_none() {
            self.aside = Some(why.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{RunId, Term};
    use crate::job::parse::{self, Format};
    use crate::ledger::audit::Audit;
    use crate::ledger::orders::{Reopened, Which};
    use crate::ledger::record::{Closed, EndState, TileRun};
    use crate::tile::TileKind;
    use crate::wire;

    const JOB: &str = "name = \"sum\"\nhandler = \"noop\"\nqueue = \"left\"\n[grid]\nslices = 1\npages = { count = 4 }";

    fn run() -> RunId {
        RunId::new("sum_s_1").unwrap()
    }

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    fn opened(nonce: u64, queue: &str) -> Record {
        let job = parse::parse(&JOB.replace("left", queue), Format::Toml).unwrap();
        Record::Plan(PlanRecord::Opened(Box::new(Opened {
            nonce: Nonce(nonce),
            job,
            scheduled_at: UnixMs(0),
            content: 0,
            term: Term(1),
            first: Vec::new(),
            traceparent: None,
            reports: 1,
        })))
    }

    fn wave(n: u32) -> Record {
        Record::Plan(PlanRecord::Wave(Wave {
            n,
            folded: 0,
            term: Term(1),
            tiles: vec![TileRun {
                kind: TileKind::Page,
                slice: 0,
                first: n,
                pages: 1,
                tiles: 1,
                attempt: 1,
                bounds: vec![],
                after: None,
            }],
        }))
    }

    fn folded(records: &[(&str, Record)]) -> Fold {
        let mut fold = Fold::new(run());
        for (n, (of, record)) in records.iter().enumerate() {
            let sequence = 10 + n as u64;
            let place = (&queue(of), Author::Plan);
            fold.apply_stored(place, sequence, UnixMs(1), Ok(record));
        }
        fold
    }

    #[test]
    fn opened_with_another_nonce_ends_what_was_known_and_begins_anew() {
        let earlier = [opened(1, "left"), wave(0), wave(1)].map(|record| ("left", record));
        let mut records = earlier.to_vec();
        let before = folded(&records);
        assert_eq!((before.records(), before.next_wave()), (3, 2));
        records.push(("left", opened(2, "left")));
        let fold = folded(&records);
        assert_eq!(fold.nonce(), Some(Nonce(2)));
        assert_eq!((fold.next_wave(), fold.counts().planned), (0, 0));
        assert_eq!((fold.last_plan(), fold.records()), (13, 1));
        assert!(fold.open_tiles().is_empty() && !fold.complete());
        // The proof of coverage says the same.
        records.push(("left", wave(0)));
        let mut audit = Audit::new(run());
        for (n, (_, record)) in records.iter().enumerate() {
            audit.read(10 + n as u64, Some(record));
        }
        let report = audit.report();
        assert_eq!((report.planned, report.unexpected.len()), (1, 0));
        assert_eq!(folded(&records).counts().planned, 1);
    }

    #[test]
    fn of_two_queues_under_one_run_id_only_that_of_the_first_record_is_heard() {
        let mut records = vec![("left", opened(1, "left")), ("right", wave(0))];
        let fold = folded(&records);
        assert_eq!((fold.next_wave(), fold.last_plan()), (0, 10));
        assert_eq!(fold.counts().unexpected, 1);
        // The later one is another run.
        records.push(("right", opened(2, "right")));
        records.push(("left", wave(0)));
        let fold = folded(&records);
        assert_eq!(fold.nonce(), Some(Nonce(2)));
        assert_eq!((fold.next_wave(), fold.last_plan()), (0, 12));
    }

    #[test]
    fn first_record_on_the_subject_of_another_queue_opens_nothing() {
        let fold = folded(&[("right", opened(1, "left"))]);
        assert!(fold.opening().is_none());
        assert_eq!(fold.counts().unexpected, 1);
    }

    #[test]
    fn nonsense_on_the_plan_sets_the_run_aside_and_the_next_record_stands_behind_it() {
        let mut fold = folded(&[("left", opened(1, "left"))]);
        let error = wire::decode::<PlanRecord>(b"nonsense").unwrap_err();
        let left = queue("left");
        fold.apply_stored((&left, Author::Work), 20, UnixMs(1), Err(&error));
        assert_eq!((fold.aside(), fold.last_plan()), (None, 10));
        fold.apply_stored((&left, Author::Plan), 21, UnixMs(1), Err(&error));
        assert!(fold.aside().is_some_and(|why| why.contains("21")));
        assert_eq!(fold.last_plan(), 21);
    }

    #[test]
    fn planner_s_record_of_a_newer_build_sets_the_run_aside_and_no_order_brings_it_back() {
        let bytes = rmp_serde::to_vec_named(&serde_json::json!({"v": 9, "other": 1})).unwrap();
        let mut fold = folded(&[("left", opened(1, "left"))]);
        let error = Record::decode(Author::Plan, &bytes).unwrap_err();
        let on_plan = (&queue("left"), Author::Plan);
        fold.apply_stored(on_plan, 21, UnixMs(1), Err(&error));
        assert!(fold.is_newer());
        assert_eq!((fold.position(), fold.last_plan()), (21, 21));
        let reopened = Record::Plan(PlanRecord::Reopened(Reopened {
            request: 1,
            which: Which::All,
            term: Term(1),
        }));
        fold.apply(22, UnixMs(2), &reopened);
        assert!(fold.is_newer() && fold.aside().is_some());
    }

    #[test]
    fn worker_s_record_that_calls_itself_newer_is_counted_and_costs_nobody_the_run() {
        let bytes = rmp_serde::to_vec_named(&serde_json::json!({"v": 9, "other": 1})).unwrap();
        for author in [Author::Work, Author::Takeover] {
            let mut fold = folded(&[("left", opened(1, "left"))]);
            let error = Record::decode(author, &bytes).unwrap_err();
            fold.apply_stored((&queue("left"), author), 21, UnixMs(1), Err(&error));
            assert!(!fold.is_newer() && fold.aside().is_none(), "{author:?}");
            assert_eq!(fold.counts().unexpected, 1, "{author:?}");
            assert_eq!((fold.position(), fold.last_plan()), (21, 10));
        }
    }

    #[test]
    fn run_whose_first_record_is_of_a_newer_build_is_nobody_s_and_known_to_be_that() {
        let bytes = rmp_serde::to_vec_named(&serde_json::json!({"v": 9, "other": 1})).unwrap();
        let error = Record::decode(Author::Plan, &bytes).unwrap_err();
        let mut fold = Fold::new(run());
        fold.apply_stored((&queue("left"), Author::Plan), 10, UnixMs(1), Err(&error));
        assert!(fold.opening().is_none());
        assert!(fold.is_newer());
    }

    #[test]
    fn missing_wave_sets_the_run_aside() {
        let fold = folded(&[("left", opened(1, "left")), ("left", wave(1))]);
        assert!(fold.aside().is_some());
        assert_eq!(fold.last_plan(), 11);
    }

    #[test]
    fn remembered_id_is_known_as_that() {
        let retired = Record::Plan(PlanRecord::Retired(Retired {
            nonce: Some(Nonce(1)),
            content: Some(0),
            closed_at: UnixMs(1),
            dead: 0,
            term: Term(1),
        }));
        let fold = folded(&[("left", retired.clone())]);
        assert!(fold.opening().is_none() && fold.retired().is_some());
        assert_eq!((fold.counts().unexpected, fold.position()), (0, 10));
        let closed = Record::Plan(PlanRecord::Closed(Closed {
            state: EndState::Succeeded,
            error: None,
            dead: 0,
            term: Term(1),
        }));
        let rest = [opened(1, "left"), closed, retired].map(|record| ("left", record));
        assert!(folded(&rest).retired().is_some());
    }
}
