//! `gridloom show RUN --shard SLICE/PAGE`: every attempt of one shard, for people.

use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::reads::attempts::{
    self, AttemptStory, Author, HolderStory, OutcomeStory, ShardState, ShardStory,
};
use gridloom_shared::tile::{Bounds, Cell, Key, TileKind};

use super::failures::due;
use super::{grouped_signed, numbered};
use crate::context::Context;
use crate::fault::Verdict;
use crate::output::{Align, Output, Table, counted, grouped};

/// Shows one shard.
///
/// # Errors
/// When there is no such run or shard, or the broker does not answer.
pub(super) async fn show(
    context: &Context,
    broker: &Broker,
    (run, cell): (&RunId, Cell),
) -> anyhow::Result<Verdict> {
    let story = attempts::of(broker, run, cell).await?;
    context.output.show(&story, |output| tell(output, &story));
    Ok(Verdict::Fine)
}

fn tell(output: &Output, story: &ShardStory) {
    output.say(facts(story).render(None));
    if !story.attempts.is_empty() {
        output.say("");
        output.table(&table(story), "");
    }
    let errors = errors(story);
    if !errors.is_empty() {
        output.say("");
        output.table(&errors, "");
    }
    if story.earlier_attempts > 0 {
        output.note(format!(
            "the last {} are shown, {} came before",
            counted(story.attempts.len() as u64, "attempt"),
            grouped(story.earlier_attempts)
        ));
    }
    let unnamed = |by: &Author| by.worker.is_none();
    if authors(story).any(unnamed) {
        output.note(
            "a worker that is not registered any more is shown by its session, which stands in the first lines of its log",
        );
    }
    if story.state == ShardState::Dead && story.kind == TileKind::Page {
        output.note(format!(
            "try it again with gridloom dead retry {} --slice {} --page {}",
            story.run, story.slice, story.page
        ));
    }
}

fn authors(story: &ShardStory) -> impl Iterator<Item = &Author> {
    story.attempts.iter().flat_map(|attempt| {
        let holders = attempt.holders.iter().filter_map(|it| it.by.as_ref());
        let said = attempt.result.iter().chain(&attempt.uncounted);
        holders.chain(said.filter_map(|it| it.by.as_ref()))
    })
}

fn facts(story: &ShardStory) -> Table {
    let mut table = Table::facts();
    table.fact("run", story.run.as_str());
    table.fact("job", format!("{} on queue {}", story.job, story.queue));
    let what = match story.kind {
        TileKind::Page => "page",
        TileKind::Probe => "question",
    };
    table.fact(
        "shard",
        format!(
            "{}: slice {}, {what} {}",
            story.shard, story.slice, story.page
        ),
    );
    if let Some(Bounds(from, to)) = &story.bounds {
        table.fact("keys", format!("from {} to {}", key(from), key(to)));
    }
    table.fact("state", state(story));
    // Of which day the times of the table are.
    if let Some(first) = story.attempts.first() {
        table.fact("issued", &first.issued_at);
    }
    table
}

fn key(key: &Key) -> String {
    match key {
        Key::Int(number) => number.to_string(),
        Key::Text(text) => format!("{text:?}"),
    }
}

fn state(story: &ShardStory) -> String {
    let last = story.attempts.last();
    let number = last.map_or(0, |last| last.attempt);
    let of = |number| numbered::attempt(number, story.uncounted_attempts, story.max_attempts);
    match story.state {
        ShardState::NotIssued => "not issued yet".to_owned(),
        ShardState::Issued => {
            let held = last.map_or(&[][..], |last| &last.held_by);
            let held: Vec<String> = held.iter().map(name).collect();
            match held.is_empty() {
                true => format!(
                    "{} is issued, and no worker says that it holds it",
                    of(number)
                ),
                false => format!("{} is held by {}", of(number), held.join(" and ")),
            }
        }
        ShardState::Retrying => {
            let due = story.retry_due.as_deref().map(due).unwrap_or_default();
            format!("waits for {}, due {due}", of(number + 1))
        }
        ShardState::Done => "done".to_owned(),
        ShardState::Dead => format!("dead: {} was the last", of(number)),
        ShardState::GivenUp => format!("dead, and given up: {} was the last", of(number)),
        ShardState::Cancelled => "cancelled: its run ended before it had an outcome".to_owned(),
    }
}

fn table(story: &ShardStory) -> Table {
    let mut table = Table::new([
        ("attempt", Align::Right),
        ("wave", Align::Right),
        ("fence", Align::Right),
        ("worker", Align::Left),
        ("how", Align::Left),
        ("from", Align::Left),
        ("ended", Align::Left),
        ("outcome", Align::Left),
    ]);
    let first = story
        .attempts
        .first()
        .map_or("", |it| it.issued_at.as_str());
    let clock = Clock::of(first);
    for attempt in &story.attempts {
        for row in rows(attempt, clock) {
            let Row {
                fence,
                worker,
                how,
                from,
                ended,
                outcome,
            } = row;
            let (number, wave) = (attempt.attempt.to_string(), attempt.wave.to_string());
            let fence = fence.to_string();
            table.row([number, wave, fence, worker, how, from, ended, outcome]);
        }
    }
    table
}

/// The errors, each once: attempts mostly fail alike.
fn errors(story: &ShardStory) -> Table {
    let mut alike: Vec<(&str, Vec<String>)> = Vec::new();
    for attempt in &story.attempts {
        for outcome in attempt.result.iter().chain(&attempt.uncounted) {
            let Some(said) = &outcome.error else { continue };
            let number = attempt.attempt.to_string();
            match alike.iter_mut().find(|(known, _)| known == said) {
                Some((_, numbers)) if numbers.contains(&number) => {}
                Some((_, numbers)) => numbers.push(number),
                None => alike.push((said, vec![number])),
            }
        }
    }
    let mut table = Table::new([("attempt", Align::Right), ("error", Align::Left)]);
    for (said, numbers) in alike {
        table.row([numbers.join(", "), said.to_owned()]);
    }
    table
}

/// One holding, or what was said without one.
struct Row {
    fence: u64,
    worker: String,
    how: String,
    from: String,
    ended: String,
    outcome: String,
}

fn rows(attempt: &AttemptStory, clock: Clock<'_>) -> Vec<Row> {
    let mut said: Vec<(&OutcomeStory, bool)> = Vec::new();
    said.extend(attempt.result.iter().map(|result| (result, true)));
    said.extend(attempt.uncounted.iter().map(|other| (other, false)));
    let mut rows = Vec::new();
    for (n, holder) in attempt.holders.iter().enumerate() {
        let own = said.iter().position(|(it, _)| it.fence == holder.fence);
        let own = own.map(|at| said.remove(at));
        let next = attempt.holders.get(n + 1);
        let (ended, outcome) = end_of(attempt, (holder, next), own);
        let started = holder.started_at.as_deref();
        let started =
            started.map_or_else(String::new, |at| format!(" (started {})", clock.moment(at)));
        rows.push(Row {
            fence: holder.fence,
            worker: holder.by.as_ref().map_or_else(|| "-".to_owned(), name),
            how: how(holder.takeover),
            from: clock.moment(holder.taken_at.as_ref().unwrap_or(&attempt.issued_at)),
            ended: ended.map_or_else(|| "-".to_owned(), |at| clock.moment(at)),
            outcome: format!("{outcome}{started}"),
        });
    }
    rows.extend(said.into_iter().map(|(outcome, counts)| Row {
        fence: outcome.fence,
        worker: outcome.by.as_ref().map_or_else(|| "-".to_owned(), name),
        how: "-".to_owned(),
        from: "-".to_owned(),
        ended: clock.moment(&outcome.ended_at),
        outcome: words(outcome, counts),
    }));
    rows
}

/// When and how a holding ended.
fn end_of<'a>(
    attempt: &AttemptStory,
    (holder, next): (&'a HolderStory, Option<&'a HolderStory>),
    said: Option<(&'a OutcomeStory, bool)>,
) -> (Option<&'a String>, String) {
    match (said, &holder.returned_at, next) {
        (Some((outcome, counts)), ..) => (Some(&outcome.ended_at), words(outcome, counts)),
        (None, Some(returned), _) => (Some(returned), "handed back".to_owned()),
        (None, None, Some(next)) => (next.taken_at.as_ref(), "taken over by another".to_owned()),
        (None, None, None) if attempt.result.is_some() => (None, "-".to_owned()),
        (None, None, None) => {
            let mut by = holder.by.iter();
            let held = by.any(|by| attempt.held_by.contains(by));
            let now = if held { "held now" } else { "no outcome yet" };
            (None, now.to_owned())
        }
    }
}

fn words(outcome: &OutcomeStory, counts: bool) -> String {
    let said = match &outcome.error {
        Some(_) if outcome.held => "failed, uses up no attempt".to_owned(),
        Some(_) => "failed".to_owned(),
        None => {
            let rows = match outcome.rows {
                0 => String::new(),
                1 => ", 1 row".to_owned(),
                rows => format!(", {} rows", grouped_signed(rows.into())),
            };
            let counters = outcome.counters.iter();
            let counters =
                counters.map(|(name, n)| format!(", {name} {}", grouped_signed((*n).into())));
            format!("done{rows}{}", counters.collect::<String>())
        }
    };
    match counts {
        true => said,
        false => format!("too late, does not count: {said}"),
    }
}

fn how(takeover: Option<Reason>) -> String {
    let why = match takeover {
        None => return "issued".to_owned(),
        Some(Reason::Count) => "delivered again",
        Some(Reason::Floor) => "broker restarted",
        Some(Reason::Again) => "queued again",
        Some(Reason::Returned) => "handed back",
    };
    format!("takeover: {why}")
}

fn name(author: &Author) -> String {
    author
        .worker
        .clone()
        .unwrap_or_else(|| author.session.clone())
}

/// Shows times of one day without the day.
#[derive(Clone, Copy)]
struct Clock<'a> {
    day: &'a str,
}

impl<'a> Clock<'a> {
    fn of(first: &'a str) -> Clock<'a> {
        let day = first.find('T').map_or(0, |at| at + 1);
        Clock { day: &first[..day] }
    }

    fn moment(self, at: &str) -> String {
        match self.day {
            "" => at.to_owned(),
            day => at.strip_prefix(day).unwrap_or(at).to_owned(),
        }
    }
}
