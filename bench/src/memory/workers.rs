//! Who executes shards: each tile takes one step of time; workers die, and others take over what they held.

use std::collections::HashMap;

use gridloom_planner::lead::event::Event;
use gridloom_shared::holdings::Packed;
use gridloom_shared::id::{Fence, HandlerName, QueueName, RunId, Session, WorkerName};
use gridloom_shared::ledger::outcomes::{self, Entry, Status};
use gridloom_shared::ledger::record::{Reason, Record, Takeover, WorkRecord};
use gridloom_shared::presence::Presence;

use super::world::{Queued, World};

/// A worker.
struct Worker {
    presence: Presence,
    busy: Vec<Queued>,
    /// Its number of records, run by run.
    numbers: HashMap<RunId, u64>,
}

/// All of them.
pub(super) struct Workers {
    queue: QueueName,
    handler: HandlerName,
    slots: u32,
    all: Vec<Worker>,
    born: u64,
    /// Whose turn it is to die.
    next: usize,
}

impl Workers {
    pub(super) fn new(
        queue: QueueName,
        handler: HandlerName,
        count: usize,
        slots: u32,
    ) -> anyhow::Result<Workers> {
        let mut workers = Workers {
            queue,
            handler,
            slots,
            all: Vec::new(),
            born: 0,
            next: 0,
        };
        for _ in 0..count {
            let worker = workers.worker()?;
            workers.all.push(worker);
        }
        Ok(workers)
    }

    fn worker(&mut self) -> anyhow::Result<Worker> {
        self.born += 1;
        let presence = Presence {
            worker: WorkerName::new(format!("w-{}", self.born))?,
            session: Session(self.born),
            queues: vec![self.queue.clone()],
            handlers: vec![self.handler.clone()],
            capacity: self.slots,
            in_flight: 0,
            version: String::new(),
            wire: Default::default(),
            started_at: gridloom_shared::clock::UnixMs(0),
            at: gridloom_shared::clock::UnixMs(0),
            stopping: false,
            gone: false,
            named: Packed::default(),
            tolls: Vec::new(),
            ack_deadlines_ms: Vec::new(),
            knows: Vec::new(),
            trouble: String::new(),
        };
        Ok(Worker {
            presence,
            busy: Vec::new(),
            numbers: HashMap::new(),
        })
    }

    /// All say that they are there.
    pub(super) fn announce(&self, world: &mut World) {
        for worker in &self.all {
            let mut presence = worker.presence.clone();
            presence.at = world.at();
            world.tell(Event::Heard(Box::new(presence)));
        }
    }

    /// One dies, and another is born in its place. What it held goes to whoever pulls next.
    pub(super) fn replace_one(&mut self, world: &mut World) -> anyhow::Result<()> {
        let new = self.worker()?;
        let place = self.next % self.all.len();
        self.next += 1;
        let dead = std::mem::replace(&mut self.all[place], new);
        for tile in dead.busy {
            world.acknowledge(&tile.run, tile.place);
            world.waiting.push_front(Queued {
                again: true,
                ..tile
            });
        }
        world.tell(Event::Died(Box::new(dead.presence)));
        Ok(())
    }

    /// Each ends what it had, and says of each run what came out, in one record.
    pub(super) fn finish(&mut self, world: &mut World, status: impl Fn(&Queued) -> Status) {
        for worker in &mut self.all {
            let mut by_run: Vec<(RunId, Vec<Entry>)> = Vec::new();
            for tile in worker.busy.drain(..) {
                world.acknowledge(&tile.run, tile.place);
                let entry = Entry {
                    tile: tile.place,
                    kind: tile.kind,
                    fence: tile.fence,
                    slice: tile.slice,
                    first: tile.first,
                    pages: tile.pages,
                    status: status(&tile),
                    columns: Vec::new(),
                    results: Vec::new(),
                };
                match by_run.iter_mut().find(|(run, _)| *run == tile.run) {
                    Some((_, entries)) => entries.push(entry),
                    None => by_run.push((tile.run, vec![entry])),
                }
            }
            for (run, entries) in by_run {
                let record = WorkRecord::Outcomes {
                    session: worker.presence.session,
                    number: next(&mut worker.numbers, &run),
                    block: outcomes::encode(&entries).into(),
                };
                world.write(run, Record::Work(record));
            }
        }
    }

    /// Each pulls as many tiles as it has slots.
    pub(super) fn pull(&mut self, world: &mut World) {
        for worker in &mut self.all {
            while worker.busy.len() < self.slots as usize {
                let Some(mut tile) = world.waiting.pop_front() else {
                    return;
                };
                world.pulled(&tile);
                if tile.again {
                    let takeover = Takeover {
                        session: worker.presence.session,
                        number: next(&mut worker.numbers, &tile.run),
                        tiles: vec![tile.place],
                        reason: Reason::Count,
                    };
                    tile.fence = Fence(world.write(tile.run.clone(), Record::Takeover(takeover)));
                    tile.again = false;
                }
                worker.busy.push(tile);
            }
        }
    }

    /// Forgets numbers of runs that are over, as workers do.
    pub(super) fn forget(&mut self, is_kept: impl Fn(&RunId) -> bool) {
        for worker in &mut self.all {
            worker.numbers.retain(|run, _| is_kept(run));
        }
    }
}

fn next(numbers: &mut HashMap<RunId, u64>, run: &RunId) -> u64 {
    if let Some(number) = numbers.get_mut(run) {
        *number += 1;
        return *number;
    }
    numbers.insert(run.clone(), 1);
    1
}
