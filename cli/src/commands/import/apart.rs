//! What becomes of jobs, and of handlers, that were different there and whose names are one here: each later one has a number behind
//! its name, and somebody is asked. Nothing stands for two things silently.

use std::collections::{BTreeMap, BTreeSet};

use super::imported::{Code, Imported, NAME_MAX};
use super::note::{Kind, Note};

/// Jobs whose names become one here: the later ones need another.
pub(super) fn names(jobs: &mut [Imported]) {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for job in jobs {
        let Some(other) = taken.insert(job.name.clone(), job.was.clone()) else {
            continue;
        };
        let name = free(&job.name, |name| taken.contains_key(name));
        job.notes.push(Note::of(
            Kind::Open,
            "",
            format!(
                "is {:?} here, as that of {other:?} is: called {name:?}; is that right?",
                job.name
            ),
        ));
        job.rename(&name);
        taken.insert(name, job.was.clone());
    }
}

/// Classes and handlers whose names become one here, on the same queue: the later ones need another. Several jobs of one class share
/// its handler.
pub(super) fn handlers(jobs: &mut [Imported]) {
    let mut taken: BTreeSet<(Option<String>, String)> = jobs.iter().filter_map(place).collect();
    // Which one has a name to itself, and which other name another one of it has.
    let mut first: BTreeMap<(Option<String>, String), String> = BTreeMap::new();
    let mut others: BTreeMap<(Option<String>, String, String), String> = BTreeMap::new();
    for job in jobs {
        let Some(place) = place(job) else { continue };
        let Code::Own(own) = &mut job.code else {
            continue;
        };
        let of = first.entry(place.clone());
        let of = of.or_insert_with(|| own.original.clone()).clone();
        if of == own.original {
            continue;
        }
        let (queue, handler) = place;
        let other = (queue.clone(), handler.clone(), own.original.clone());
        let name = others.entry(other).or_insert_with(|| {
            let is_taken = |name: &str| taken.contains(&(queue.clone(), name.to_owned()));
            let name = free(&handler, is_taken);
            taken.insert((queue, name.clone()));
            name
        });
        own.handler.clone_from(name);
        let (field, original) = (own.field, &own.original);
        let text = format!(
            "{original:?} is the handler {handler:?} here, as {of:?} is: called {name:?}, under which your worker has to register it; is that right?"
        );
        // What was said of it names the handler that it has no more.
        job.notes
            .retain(|note| note.field != field || note.kind != Kind::Changed);
        job.notes.push(Note::of(Kind::Open, field, text));
    }
}

/// The queue and the handler of a job that has one of its workers' own.
fn place(job: &Imported) -> Option<(Option<String>, String)> {
    match &job.code {
        Code::Own(own) => Some((job.queue.clone(), own.handler.clone())),
        Code::Nothing(_) | Code::Line { .. } | Code::Script(_) | Code::Request(_) => None,
    }
}

/// The first name with a number behind it that is not taken.
fn free(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut names = (2..).map(|n| numbered(name, n));
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

/// The name with a number behind it, no longer than a name may be.
fn numbered(name: &str, n: u32) -> String {
    let number = n.to_string();
    let room = NAME_MAX - 1 - number.len();
    let begin = &name[..name.floor_char_boundary(room)];
    format!("{}-{number}", begin.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gridloom_shared::id::JobName;

    use super::super::{elasticjob, found, node, rows, xxl_job};
    use super::*;

    /// The jobs of ElasticJob's classes, and their handlers once they are told apart.
    fn of_classes(classes: &[&str]) -> Vec<Imported> {
        let mut text = "elasticjob:\n  jobs:\n".to_owned();
        for (n, class) in classes.iter().enumerate() {
            text += &format!("    job{n}: {{elasticJobClass: {class}, shardingTotalCount: 1}}\n");
        }
        let tree = node::read(Path::new("a.yml"), &text).unwrap();
        let found = found::jobs(&tree, &mut Vec::new());
        let jobs = found.iter().map(|found| elasticjob::import(found, None));
        let mut jobs: Vec<Imported> = jobs.collect();
        handlers(&mut jobs);
        jobs
    }

    fn of_rows(handlers_and_groups: &[(&str, &str)]) -> Vec<Imported> {
        let mut text = "id,executor_handler,job_group,trigger_status,schedule_type\n".to_owned();
        for (n, (handler, group)) in handlers_and_groups.iter().enumerate() {
            text += &format!("{n},{handler},{group},1,NONE\n");
        }
        let rows = rows::read(Path::new("a.csv"), &text, xxl_job::KNOWN).unwrap();
        let table = xxl_job::Table::of(&rows, None, None);
        let mut jobs: Vec<Imported> = rows.iter().map(|row| table.import(row)).collect();
        handlers(&mut jobs);
        jobs
    }

    fn called(jobs: &[Imported]) -> Vec<String> {
        let specs = jobs.iter().map(Imported::spec);
        specs.map(|spec| spec.handler.to_string()).collect()
    }

    fn asked(jobs: &[Imported], field: &str) -> Vec<bool> {
        let is_asked = |job: &Imported| job.said().contains(&(Kind::Open, field));
        jobs.iter().map(is_asked).collect()
    }

    #[test]
    fn classes_of_one_name_in_two_packages_are_two_handlers_and_somebody_is_asked() {
        let jobs = of_classes(&[
            "com.a.SyncJob",
            "com.b.SyncJob",
            "com.a.SyncJob",
            "com.b.SyncJob",
            "com.c.Sync-job-2",
            "com.a.Http",
            "com.a.HttpJob",
        ]);
        let wanted = [
            "sync-job",
            "sync-job-3",
            "sync-job",
            "sync-job-3",
            "sync-job-2",
            "http-job",
            "http-job-2",
        ];
        assert_eq!(called(&jobs), wanted);
        assert_eq!(
            asked(&jobs, "elasticJobClass"),
            [false, true, false, true, false, false, true]
        );
        let told = |job: &Imported| {
            let of = job.notes.iter().filter(|it| it.field == "elasticJobClass");
            of.count()
        };
        assert!(jobs.iter().all(|job| told(job) == 1), "one name each");
    }

    #[test]
    fn classes_that_agree_in_as_many_signs_as_a_name_has_are_told_apart_and_the_cut_is_told() {
        let long = "A".repeat(NAME_MAX);
        let (one, two) = (format!("com.a.{long}One"), format!("com.a.{long}Two"));
        let jobs = of_classes(&[&one, &two, "com.a.Short"]);
        let handlers = called(&jobs);
        assert_eq!(handlers[0], "a".repeat(NAME_MAX));
        assert_eq!(handlers[1], format!("{}-2", "a".repeat(NAME_MAX - 2)));
        let is_cut = |job: &Imported| job.notes.iter().any(|note| note.text.contains("cut off"));
        assert!(is_cut(&jobs[0]) && !is_cut(&jobs[2]));
    }

    #[test]
    fn handlers_of_xxl_job_are_told_apart_within_a_queue() {
        let jobs = of_rows(&[
            ("demoJob", "1"),
            ("demo_job", "1"),
            ("demo_job", "2"),
            ("demoJob", "1"),
            ("订单job", "1"),
            ("库存job", "1"),
        ]);
        let wanted = [
            "demo-job",
            "demo-job-2",
            "demo-job",
            "demo-job",
            "job",
            "job-2",
        ];
        assert_eq!(called(&jobs), wanted);
        assert_eq!(
            asked(&jobs, "executor_handler"),
            [false, true, false, false, false, true]
        );
    }

    #[test]
    fn groups_whose_queues_would_be_one_are_asked_about() {
        let jobs = of_rows(&[("a", "订单"), ("b", "库存"), ("c", "3")]);
        assert_eq!(asked(&jobs, "job_group"), [true, true, false]);
    }

    #[test]
    fn name_with_a_number_is_a_name_whatever_the_number() {
        let long = format!("{}-{}", "a".repeat(42), "b".repeat(5));
        for n in [2, 99, 12_345, u32::MAX] {
            for name in ["a", &long] {
                let numbered = numbered(name, n);
                assert!(numbered.ends_with(&format!("-{n}")), "{numbered}");
                assert!(JobName::new(numbered.clone()).is_ok(), "{numbered}");
            }
        }
    }
}
