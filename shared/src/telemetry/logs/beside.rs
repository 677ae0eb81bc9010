//! Writes lines on a thread of its own, and decides what becomes of those for which there is no room. Nobody who says a
//! line waits for it, but at the end of the process, for a moment.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of lines that may wait; further lines are left out.
const WAITING_MAX: usize = 1024 * 1024;

/// Lines on their way.
#[derive(Debug, Default)]
pub(super) struct Beside {
    lines: Mutex<Waiting>,
    /// There is a line.
    filled: Condvar,
    /// There is none any more.
    emptied: Condvar,
    /// Lines that were left out, or could not be written.
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<String>,
    /// Of all that is not written yet, the line that is being written too.
    bytes: usize,
}

impl Beside {
    /// Begins to write to `to`.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn start(to: impl Write + Send + 'static) -> std::io::Result<Arc<Beside>> {
        let beside = Arc::new(Beside::default());
        let writes = Arc::clone(&beside);
        let thread = std::thread::Builder::new().name("log".to_owned());
        thread.spawn(move || writes.write_all(to))?;
        Ok(beside)
    }

    fn write_all(&self, mut to: impl Write) {
        loop {
            let mut waiting = self.waiting();
            let line = loop {
                match waiting.lines.pop_front() {
                    Some(line) => break line,
                    None => {
                        let woken = self.filled.wait(waiting);
                        waiting = woken.unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(waiting);
            if to.write_all(line.as_bytes()).is_err() {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            let mut waiting = self.waiting();
            waiting.bytes -= line.len();
            if waiting.bytes == 0 {
                self.emptied.notify_all();
            }
        }
    }

    /// Takes a line, if there is room.
    pub(super) fn say(&self, line: &str) {
        let mut waiting = self.waiting();
        if waiting.bytes + line.len() > WAITING_MAX {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.take(&mut waiting, line);
    }

    /// Takes a last word, of which there are few, behind all that waits.
    pub(super) fn say_surely(&self, line: &str) {
        self.take(&mut self.waiting(), line);
    }

    fn take(&self, waiting: &mut Waiting, line: &str) {
        if !line.is_empty() {
            waiting.bytes += line.len();
            waiting.lines.push_back(line.to_owned());
            self.filled.notify_one();
        }
    }

    /// Waits until all is written, for so long at most.
    pub(super) fn finish(&self, within: Duration) {
        let waiting = self.waiting();
        let written = |waiting: &mut Waiting| waiting.bytes > 0;
        drop(self.emptied.wait_timeout_while(waiting, within, written));
    }

    /// How many lines were left out, or could not be written.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// Writes once it may; is told how each write ends.
    struct Gate {
        may: mpsc::Receiver<io::Result<()>>,
        written: Arc<Mutex<String>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.may.recv().unwrap_or(Ok(()))?;
            let text = String::from_utf8_lossy(bytes);
            self.written.lock().unwrap().push_str(&text);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (Gate, mpsc::Sender<io::Result<()>>, Arc<Mutex<String>>) {
        let (open, may) = mpsc::channel();
        let written = Arc::default();
        let to = Arc::clone(&written);
        (Gate { may, written: to }, open, written)
    }

    #[test]
    fn nobody_waits_for_a_writer_that_stands_still_and_what_has_no_room_is_counted() {
        let (gate, open, written) = gate();
        let beside = Beside::start(gate).unwrap();
        let line = "x".repeat(WAITING_MAX / 4);
        (0..6).for_each(|_| beside.say(&line));
        assert_eq!(beside.lost(), 2);
        beside.finish(Duration::from_millis(1));
        beside.say_surely("the end");
        drop(open);
        beside.finish(SOON);
        let written = written.lock().unwrap();
        assert_eq!(written.len(), WAITING_MAX + 7);
        assert!(written.ends_with("xthe end"));
    }

    #[test]
    fn line_that_cannot_be_written_is_counted_and_the_next_one_is_written() {
        let (gate, open, written) = gate();
        let beside = Beside::start(gate).unwrap();
        open.send(Err(io::Error::other("the disk is full")))
            .unwrap();
        open.send(Ok(())).unwrap();
        beside.say("one\n");
        beside.say("two\n");
        beside.finish(SOON);
        assert_eq!(*written.lock().unwrap(), "two\n");
        assert_eq!(beside.lost(), 1);
    }
}
