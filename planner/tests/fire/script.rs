//! What the lines of a script mean.

use gridloom_planner::schedule::{Halt, Wish};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::schedule::record::Why;
use gridloom_shared::schedule::{ByHand, Calendar, MisfirePolicy, Spec};

use crate::world::{CALENDAR, Leader, Place};
use crate::{check, show};

const START: &str = "2026-01-01T00:00:00Z";

struct Script {
    place: Place,
    leader: Option<Leader>,
    /// A leader that is none any more, and knows what it read last.
    deposed: Option<Leader>,
    term: u64,
    /// What stands in the submit stream, and when it was stored.
    asked: Vec<(RunId, UnixMs)>,
    /// Whether that has lost its last messages.
    has_lost: bool,
    told: String,
}

/// Plays a script: its lines, each with what follows from it.
pub(crate) fn play(text: &str) -> Result<String, String> {
    let place = Place::new(time(START)?);
    let leader = Some(place.leader(1));
    let mut script = Script {
        place,
        leader,
        deposed: None,
        term: 1,
        asked: Vec::new(),
        has_lost: false,
        told: String::new(),
    };
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut block = String::new();
        script.tell(line);
        while let Some(more) = lines.next_if(|line| line.starts_with("    ")) {
            script.tell(more);
            block.push_str(more.trim());
            block.push('\n');
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        script
            .line(line, &block)
            .map_err(|why| format!("{line}: {why}"))?;
        if let Some(breach) = check::breach(&script.place) {
            return Err(format!("{line}: {breach}\n{}", script.told));
        }
    }
    Ok(script.told)
}

impl Script {
    fn tell(&mut self, line: &str) {
        self.told.push_str(line);
        self.told.push('\n');
    }

    fn line(&mut self, line: &str, block: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["apply"] => self.define(Some(spec(block)?)),
            ["delete"] => self.define(None),
            ["calendar"] => self.say(Some(calendar(block)?)),
            ["calendar", "gone"] => self.say(None),
            ["at", at] => {
                self.place.now = self.time(at)?;
                self.settle();
            }
            ["over"] => self.end(None, EndState::Succeeded)?,
            ["over", at] => self.end(Some(at), EndState::Succeeded)?,
            ["fail"] => self.end(None, EndState::Failed)?,
            ["fail", at] => self.end(Some(at), EndState::Failed)?,
            ["cancelled"] => self.end(None, EndState::Cancelled)?,
            ["run"] => {
                let run = RunId::from_submission(&self.place.job, self.place.now.0);
                self.place.runs.open.insert(run);
                self.settle();
            }
            [
                word @ ("ask" | "again" | "cancel" | "unfit" | "fit" | "lost"),
                which,
            ] => self.by_hand(word, which)?,
            ["delete", "job"] => {
                for wish in &mut self.place.wishes {
                    wish.fault = Some(Why::Deleted);
                }
                self.define(None);
            }
            ["pause"] => self.halt(false),
            ["freeze"] => self.halt(true),
            ["resume", policy @ ..] => self.resume(false, policy)?,
            ["thaw"] => self.resume(true, &[])?,
            ["openings", "fail"] => self.place.openings_work = false,
            ["openings", "work"] => {
                self.place.openings_work = true;
                self.settle();
            }
            ["leader", "away"] => self.deposed = self.leader.take(),
            ["leader", "back"] => {
                self.term += 1;
                self.leader = Some(self.place.leader(self.term));
                self.settle();
            }
            ["forgotten"] => self.place.forget_ends(),
            ["deposed"] => {
                let mut leader = self.deposed.clone().ok_or("no leader was sent away")?;
                let did = leader.settle(&mut self.place);
                self.tell_all(&did);
            }
            ["wakes"] => {
                let leader = self.leader.as_ref().ok_or("nobody leads")?;
                let wake = leader
                    .wake(&self.place)
                    .map_or_else(|| "never".to_owned(), show::time);
                self.tell(&format!("    = {wake}"));
            }
            ["zones"] => {
                self.place.zones = Some(spec(block)?);
                self.leader = self.leader.take().map(|_| self.place.leader(self.term));
                self.settle();
            }
            _ => return Err("no such line".to_owned()),
        }
        Ok(())
    }

    /// What stands at this place in the submit stream.
    fn ask(&mut self, place: usize, overlap: &str) -> Result<(), String> {
        let asked = place.checked_sub(1).and_then(|place| self.asked.get(place));
        let (run, at) = asked.ok_or("nothing stands there")?;
        let wish = Wish {
            run: run.clone(),
            stored: (place as u64, *at),
            revision: 0,
            overlap: ByHand::of(overlap).ok_or("no such policy")?,
            fault: None,
        };
        self.place.keep(wish, false);
        self.settle();
        Ok(())
    }

    fn define(&mut self, spec: Option<Spec>) {
        self.place.spec = spec;
        self.place.since = self.place.now;
        self.settle();
    }

    /// A run is asked for, or is another than it was.
    fn by_hand(&mut self, word: &str, which: &str) -> Result<(), String> {
        let (by, reason) = ("ada".to_owned(), "it takes no such parameter".to_owned());
        match word {
            "cancel" => self.spoil(which, Some(Why::Withdrawn { by })),
            "unfit" => self.spoil(which, Some(Why::Unfit { reason })),
            "fit" => self.spoil(which, None),
            // The submit stream lost its last messages.
            "lost" => {
                let many = which.parse().map_err(|_| "how many?")?;
                let left = self.asked.len().checked_sub(many);
                self.asked
                    .truncate(left.ok_or("so many were not asked for")?);
                self.has_lost = true;
                Ok(())
            }
            // What was asked for comes in once more, behind its answer.
            "again" => self.ask(which.parse().map_err(|_| "which one?")?, "skip"),
            _ => {
                let (job, now) = (&self.place.job, self.place.now);
                let sequence = self.asked.len() as u64 + 1;
                // Another name, so that it is seen which of the two is meant.
                let run = match self.has_lost {
                    true => RunId::from_later_submission(job, sequence, now),
                    false => RunId::from_submission(job, sequence),
                };
                self.asked.push((run, now));
                self.ask(self.asked.len(), which)
            }
        }
    }

    /// Something is wrong with a run that was asked for, or nothing is any more.
    fn spoil(&mut self, number: &str, fault: Option<Why>) -> Result<(), String> {
        let number = number.parse().map_err(|_| "which one?")?;
        let run = RunId::from_submission(&self.place.job, number);
        let mut wishes = self.place.wishes.iter_mut();
        let wish = wishes.find(|wish| wish.run == run);
        wish.ok_or("it is not asked for any more")?.fault = fault;
        self.settle();
        Ok(())
    }

    /// Ends the run of a nominal time, or all that are open.
    fn end(&mut self, at: Option<&str>, end: EndState) -> Result<(), String> {
        let mut runs = self.place.open_runs();
        if let Some(at) = at {
            let run = RunId::from_fire(&self.place.job, self.time(at)?);
            runs.retain(|open| *open == run);
            if runs.is_empty() {
                return Err(format!("{run} is not open"));
            }
        }
        for run in runs {
            self.place.end_run(&run, end);
        }
        self.settle();
        Ok(())
    }

    fn say(&mut self, calendar: Option<Calendar>) {
        self.place.say(calendar);
        if let Some(leader) = &mut self.leader {
            leader.hear(&self.place);
        }
        self.settle();
    }

    fn halt(&mut self, frozen: bool) {
        self.place.halt(Halt {
            frozen,
            from: self.place.now,
            until: None,
            by: "ada".to_owned(),
            note: "the database is moved".to_owned(),
            missed: None,
        });
        self.settle();
    }

    fn resume(&mut self, frozen: bool, policy: &[&str]) -> Result<(), String> {
        let now = self.place.now;
        let halts = &mut self.place.halts;
        let halt = halts.iter_mut().find(|halt| halt.frozen == frozen);
        let halt = halt.ok_or("nothing is halted")?;
        halt.until = Some(now);
        self.place.pause_revision += u64::from(!frozen);
        halt.missed = match policy {
            [] => None,
            ["skip"] => Some(MisfirePolicy::Skip),
            ["once"] => Some(MisfirePolicy::RunOnce),
            ["all"] => Some(MisfirePolicy::RunAll { max: 100 }),
            _ => return Err("skip, once or all".to_owned()),
        };
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        let Some(mut leader) = self.leader.take() else {
            return;
        };
        let did = leader.settle(&mut self.place);
        self.tell_all(&did);
        self.leader = Some(leader);
    }

    fn tell_all(&mut self, did: &[crate::world::Did]) {
        for did in did {
            let line = show::did(did);
            self.tell(&format!("    {line}"));
        }
    }

    /// A time of day of the present day, or a whole one.
    fn time(&self, text: &str) -> Result<UnixMs, String> {
        if text.contains('T') {
            return time(text);
        }
        let day = show::time(self.place.now);
        let day = day.split('T').next().unwrap_or_default();
        time(&format!("{day}T{text}Z"))
    }
}

fn time(text: &str) -> Result<UnixMs, String> {
    let at: jiff::Timestamp = text.parse().map_err(|error| format!("{text}: {error}"))?;
    u64::try_from(at.as_millisecond())
        .map(UnixMs)
        .map_err(|error| error.to_string())
}

fn calendar(block: &str) -> Result<Calendar, String> {
    let text = format!("name = \"{CALENDAR}\"\ntimezone = \"UTC\"\n{block}");
    let table: toml::Value = toml::from_str(&text).map_err(|error| error.to_string())?;
    let value = serde_json::to_value(table).map_err(|error| error.to_string())?;
    Calendar::try_from(value).map_err(|error| format!("{error:?}"))
}

fn spec(block: &str) -> Result<Spec, String> {
    let table: toml::Value = toml::from_str(block).map_err(|error| error.to_string())?;
    let value = serde_json::to_value(table).map_err(|error| error.to_string())?;
    Spec::try_from(value).map_err(|error| format!("{error:?}"))
}
