//! Decides how the logs of executions are read: all at once, or bit by bit while they are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context;
use gridloom_shared::ledger::fold::Cell;
use gridloom_shared::tile::TileKind;
use serde_json::Value;

use super::overlap::{Execution, Lives};
use crate::logged::now_us;

/// What was read of logs, and was not taken yet.
#[derive(Debug, Default)]
pub struct Logs {
    files: HashMap<PathBuf, Progress>,
    ended: HashMap<String, Vec<Execution>>,
}

/// How far one file was read, and what had begun and not ended by there.
#[derive(Debug, Default)]
struct Progress {
    bytes: u64,
    open: BTreeMap<u64, (String, Execution)>,
}

impl Logs {
    /// Reads on in the files of `dir`.
    ///
    /// # Errors
    /// When a file cannot be read, or holds something else.
    pub fn read(&mut self, dir: &Path) -> anyhow::Result<()> {
        for file in std::fs::read_dir(dir)? {
            let path = file?.path();
            let read = self.files.entry(path.clone()).or_default();
            let mut text = String::new();
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(read.bytes))?;
            file.read_to_string(&mut text)
                .with_context(|| format!("read {}", path.display()))?;
            // A line that a SIGKILL cut off has no end, and one that is being written has none yet.
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            read.bytes += whole as u64;
            for line in text[..whole].lines() {
                let line: Value = serde_json::from_str(line)
                    .with_context(|| format!("read {line:?} of {}", path.display()))?;
                if let Some((run, execution)) = read.line(&line) {
                    self.ended.entry(run).or_default().push(execution);
                }
            }
        }
        Ok(())
    }

    /// Takes the executions of `run`. One without an end ended with its process, or goes on now.
    pub fn take(&mut self, run: &str, lives: &Lives) -> Vec<Execution> {
        let mut all = self.ended.remove(run).unwrap_or_default();
        for file in self.files.values_mut() {
            let of_run = file.open.extract_if(.., |_, (of, _)| of == run);
            all.extend(of_run.map(|(_, (_, execution))| endless(execution, lives)));
        }
        all
    }

    /// Takes the executions of all runs of which `left` is true, with their runs. What was taken of them before does not come
    /// again.
    pub fn take_of(
        &mut self,
        left: impl Fn(&str) -> bool,
        lives: &Lives,
    ) -> Vec<(String, Execution)> {
        let open = self.files.values().flat_map(|file| file.open.values());
        let runs = self.ended.keys().chain(open.map(|(run, _)| run));
        let runs: BTreeSet<String> = runs.filter(|run| left(run)).cloned().collect();
        let of = runs.into_iter().flat_map(|run| {
            let all = self.take(&run, lives).into_iter();
            all.map(move |one| (run.clone(), one)).collect::<Vec<_>>()
        });
        of.collect()
    }

    /// All executions, by run.
    pub fn into_all(mut self, lives: &Lives) -> HashMap<String, Vec<Execution>> {
        for file in self.files.into_values() {
            for (run, execution) in file.open.into_values() {
                let of_run = self.ended.entry(run).or_default();
                of_run.push(endless(execution, lives));
            }
        }
        self.ended
    }
}

fn endless(mut execution: Execution, lives: &Lives) -> Execution {
    let died = lives.died.get(&execution.pid).copied();
    execution.end = died.unwrap_or_else(now_us);
    execution
}

impl Progress {
    /// The execution that ended with this line, and its run.
    fn line(&mut self, line: &Value) -> Option<(String, Execution)> {
        let number = |name: &str| line[name].as_u64().unwrap_or(0);
        let event = line["event"].as_str().unwrap_or_default();
        if event == "start" {
            let cell = Cell {
                kind: TileKind::Page,
                slice: number("slice") as u32,
                page: number("page") as u32,
            };
            let execution = Execution {
                pid: number("pid") as u32,
                cell,
                attempt: number("attempt") as u32,
                fence: number("fence"),
                start: number("at_us"),
                end: 0,
                how: "never ended".to_owned(),
            };
            let run = line["run"].as_str().unwrap_or_default().to_owned();
            self.open.insert(number("number"), (run, execution));
            return None;
        }
        let (run, mut execution) = self.open.remove(&number("number"))?;
        execution.end = number("at_us");
        execution.how = event.to_owned();
        Some((run, execution))
    }
}

/// All executions that the files in `dir` tell of, by run.
///
/// # Errors
/// As [`Logs::read`].
pub fn read(dir: &Path, lives: &Lives) -> anyhow::Result<HashMap<String, Vec<Execution>>> {
    let mut logs = Logs::default();
    logs.read(dir)?;
    Ok(logs.into_all(lives))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn start(number: u64, run: &str) -> String {
        let line = serde_json::json!({
            "event": "start", "at_us": 10, "pid": 7, "number": number, "run": run,
            "slice": 0, "page": number, "attempt": 1, "fence": 2,
        });
        format!("{line}\n")
    }

    fn end(number: u64) -> String {
        let line = serde_json::json!({ "event": "done", "at_us": 20, "pid": 7, "number": number });
        format!("{line}\n")
    }

    #[test]
    fn what_is_read_bit_by_bit_is_what_stands_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = File::create(dir.path().join("log")).unwrap();
        let mut logs = Logs::default();
        let text = start(1, "a") + &start(2, "b") + &end(1) + &end(2);
        for part in text.as_bytes().chunks(7) {
            file.write_all(part).unwrap();
            logs.read(dir.path()).unwrap();
        }
        let lives = Lives::default();
        let ends = |run: &str, logs: &mut Logs| {
            let of_run = logs.take(run, &lives);
            of_run.iter().map(|one| one.end).collect::<Vec<_>>()
        };
        assert_eq!(ends("a", &mut logs), [20]);
        assert_eq!(ends("a", &mut logs), [] as [u64; 0], "it was taken");
        assert_eq!(ends("b", &mut logs), [20]);
    }

    #[test]
    fn what_began_after_its_run_was_taken_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = File::create(dir.path().join("log")).unwrap();
        let mut logs = Logs::default();
        let lives = Lives::default();
        file.write_all((start(1, "a") + &start(2, "b")).as_bytes())
            .unwrap();
        logs.read(dir.path()).unwrap();
        let is_judged = |run: &str| run == "a";
        assert_eq!(logs.take("a", &lives).len(), 1);
        // It ends, and another begins and another one begins and ends.
        let more = end(1) + &start(3, "a") + &end(3) + &start(4, "a") + &end(2);
        file.write_all(more.as_bytes()).unwrap();
        logs.read(dir.path()).unwrap();
        let found = logs.take_of(is_judged, &lives);
        let found: Vec<_> = found
            .iter()
            .map(|(run, one)| (run.as_str(), one.cell.page))
            .collect();
        assert_eq!(found, [("a", 3), ("a", 4)]);
        assert!(logs.take_of(is_judged, &lives).is_empty());
        assert_eq!(logs.take("b", &lives).len(), 1);
    }

    #[test]
    fn execution_without_an_end_ended_with_its_process() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log"), start(1, "a")).unwrap();
        let mut logs = Logs::default();
        logs.read(dir.path()).unwrap();
        let lives = Lives {
            died: HashMap::from([(7, 15)]),
            ..Lives::default()
        };
        let [one] = &logs.take("a", &lives)[..] else {
            panic!("one execution")
        };
        assert_eq!((one.end, one.how.as_str()), (15, "never ended"));
    }
}
