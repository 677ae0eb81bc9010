//! What happens to runs whose memory is measured.

use std::time::Duration;

use anyhow::bail;
use gridloom_shared::id::{HandlerName, QueueName, RunId};
use gridloom_shared::job::{JobSpec, parse};
use gridloom_shared::ledger::outcomes::{Failed, Retry, Status};
use serde_json::json;

use super::workers::Workers;
use super::world::{End, Queued, World};
use crate::args::{MemoryChild, Tale};

/// Runs that are open all day, each of a job of its own.
const LONG: u32 = 40;
/// Workers of the day, their slots, and how often one of them is replaced.
const WORKERS: usize = 100;
const SLOTS: u32 = 2;
const REPLACED: Duration = Duration::from_secs(36);
/// A small run comes so often, and has so many shards.
const SMALL_EVERY: Duration = Duration::from_secs(1);
const SMALL_SHARDS: u32 = 20;
/// Pages a tile of the run that dies.
const TILE: u32 = 100;
/// Time passes in steps of this length: that is what a tile takes.
const STEP: Duration = Duration::from_secs(1);
/// Workers say so often that they are there.
const ANNOUNCED: u64 = 2;
/// Steps after which nothing has to come any more.
const PATIENCE: u64 = 2_000_000;

/// Plays the story; returns what it is and what it came to.
///
/// # Errors
/// When it does not go as it should.
pub(super) fn play(child: &MemoryChild) -> anyhow::Result<(String, End)> {
    let queue = QueueName::new("default")?;
    let world = World::new(queue.clone(), child.standby);
    match child.tale {
        Tale::Day => {
            let workers = Workers::new(queue, HandlerName::new("noop")?, WORKERS, SLOTS)?;
            let minutes = child.minutes;
            let told = format!("{minutes} minutes of {LONG} long runs and one small one a second");
            Ok((
                told,
                day(world, workers, Duration::from_secs(60 * minutes))?,
            ))
        }
        Tale::Deaths | Tale::Retries => {
            let workers = Workers::new(queue, HandlerName::new("noop")?, 4, 20)?;
            let attempts = if child.tale == Tale::Deaths { 1 } else { 3 };
            let told = format!("{} shards die, {attempts} attempts each", child.shards);
            Ok((told, deaths(world, workers, child.shards, attempts)?))
        }
    }
}

fn job(name: &str, slices: u32, pages: u32, attempts: u32) -> anyhow::Result<JobSpec> {
    Ok(parse::from_value(json!({
        "name": name,
        "handler": "noop",
        "grid": { "slices": slices, "pages": { "count": pages } },
        "retry": {
            "max_attempts": attempts,
            "backoff": { "initial": "5s", "max": "1m", "jitter": 0.2 },
        },
        "limits": { "abort_after": false },
    }))?)
}

/// A day: long runs whose records interleave, small ones that come and go, attempts that fail, workers that die.
fn day(mut world: World, mut workers: Workers, length: Duration) -> anyhow::Result<End> {
    for n in 0..LONG {
        let name = format!("long-{n}");
        let run = RunId::new(format!("{name}_s_{n}"))?;
        world.submit(run, job(&name, 64, 1_000_000, 5)?);
    }
    let mut step = 0_u64;
    let mut small = 0_u64;
    while world.passed() < length {
        step += 1;
        world.pass(STEP);
        if step.is_multiple_of(ANNOUNCED) {
            workers.announce(&mut world);
        }
        if step.is_multiple_of(SMALL_EVERY.as_secs()) {
            small += 1;
            let run = RunId::new(format!("small_s_{small}"))?;
            world.submit(run, job("small", SMALL_SHARDS, 1, 5)?);
        }
        if step.is_multiple_of(REPLACED.as_secs()) {
            workers.replace_one(&mut world)?;
            workers.forget(|run| world.is_open(run));
        }
        workers.finish(&mut world, |tile| match scattered(tile) % 100 {
            0 => failed(tile, 200),
            _ => Status::Done,
        });
        world.advance()?;
        workers.pull(&mut world);
    }
    if world.open() < LONG as usize || world.open() > LONG as usize + 200 {
        bail!("{} runs are open at the end of the day", world.open());
    }
    let end = world.end();
    if end.shards < length.as_secs() * 100 {
        bail!("{} shards only", end.shards);
    }
    Ok(end)
}

/// All shards of a run die, in tiles of a hundred, hastily and out of order, each with an error of its own.
fn deaths(
    mut world: World,
    mut workers: Workers,
    shards: u32,
    attempts: u32,
) -> anyhow::Result<End> {
    let slices = 8;
    let mut spec = job("hopeless", slices, shards / slices, attempts)?;
    spec.grid.tile = Some(TILE);
    world.submit(RunId::new("hopeless_s_1")?, spec);
    let mut steps = 0_u64;
    loop {
        steps += 1;
        world.pass(STEP);
        if steps.is_multiple_of(ANNOUNCED) {
            workers.announce(&mut world);
        }
        workers.finish(&mut world, |tile| failed(tile, 900));
        world.advance()?;
        workers.pull(&mut world);
        if world.open() == 0 {
            break;
        }
        if steps > PATIENCE {
            bail!("the run does not end");
        }
    }
    let end = world.end();
    if end.dead != u64::from(shards / slices * slices) {
        bail!("{} shards are dead", end.dead);
    }
    Ok(end)
}

fn failed(tile: &Queued, length: usize) -> Status {
    Status::Failed(Failed {
        error: format!(
            "page {} of slice {} is missing: {}",
            tile.first,
            tile.slice,
            "x".repeat(length)
        ),
        retry: Retry::Backoff,
    })
}

/// A number that looks random and is always the same.
fn scattered(tile: &Queued) -> u64 {
    let place = u64::from(tile.place.wave) << 32 | u64::from(tile.place.index);
    let mixed = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(tile.slice);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}
