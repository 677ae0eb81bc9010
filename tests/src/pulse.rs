//! Measures what the machine itself takes from everything that runs on it: a thread of its own does
//! next to nothing, a short sleep and one write to disk, and is late only where processors or the
//! disk are not to be had. Limits on time are longer by what was lost while they ran.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_shared::clock::UnixMs;

/// Time between two beats.
const EVERY: Duration = Duration::from_millis(50);
/// How late a beat is where nothing is wrong: two busy cores, a disk that others write to.
const USUAL: Duration = Duration::from_millis(100);

/// End of a beat that was late, and how much.
type Late = (UnixMs, Duration);

/// Beats until it is dropped.
#[derive(Debug)]
pub struct Pulse {
    late: Arc<Mutex<Vec<Late>>>,
    _stop: Sender<()>,
}

impl Pulse {
    /// Starts it, with a file of its own in `dir`.
    ///
    /// # Errors
    /// When there can be no file or no thread.
    pub fn start(dir: &Path) -> anyhow::Result<Pulse> {
        let path = dir.join("pulse");
        let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let late: Arc<Mutex<Vec<Late>>> = Arc::default();
        let (stop, stopped) = mpsc::channel();
        let list = Arc::clone(&late);
        thread::Builder::new()
            .name("pulse".to_owned())
            .spawn(move || {
                let mut begun = Instant::now();
                while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    // A disk that is full takes no time, and is nothing to tell of here.
                    let _ = file.rewind();
                    let _ = file.write_all(&[0; 4_096]);
                    let _ = file.sync_data();
                    let lost = begun.elapsed().saturating_sub(EVERY + USUAL);
                    if !lost.is_zero() {
                        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
                        list.push((UnixMs::now(), lost));
                    }
                    begun = Instant::now();
                }
            })
            .context("start a thread")?;
        Ok(Pulse { late, _stop: stop })
    }

    /// Time that was lost in beats that ended after `moment`.
    pub fn lost_since(&self, moment: UnixMs) -> Duration {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let since = late.iter().filter(|(end, _)| *end > moment);
        since.map(|(_, lost)| *lost).sum()
    }
}
