//! The whole terminal, for as long as a picture is shown on it: taken, painted, and given back whatever happens.

use std::io::{self, IsTerminal, Stdout, stdout};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::layout::Rect;
use tokio::sync::mpsc;

/// Whether the terminal is not as it was found.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// How often the thread that waits for keys looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Keys that wait to be taken.
const KEYS: usize = 256;

/// The terminal, taken. It is given back when this is dropped, and before a panic is told.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Whether there is one: somebody who sees and types.
    pub fn is_there() -> bool {
        let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// When it is none, or does not answer.
    pub fn take() -> io::Result<Screen> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        TAKEN.store(true, Ordering::SeqCst);
        let taken = enable_raw_mode()
            .and_then(|()| execute!(stdout(), EnterAlternateScreen))
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match taken {
            Ok(terminal) => Ok(Screen { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Shows what `paint` paints.
    ///
    /// # Errors
    /// When the terminal takes nothing any more.
    pub fn show(&mut self, paint: impl FnOnce(&mut Buffer, Rect)) -> io::Result<()> {
        self.terminal.draw(|frame| {
            let area = frame.area();
            paint(frame.buffer_mut(), area);
        })?;
        Ok(())
    }

    /// How large it is.
    ///
    /// # Errors
    /// When it does not say.
    pub fn area(&self) -> io::Result<Rect> {
        let size = self.terminal.size()?;
        Ok(Rect::new(0, 0, size.width, size.height))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Makes the terminal what it was. Once: whoever comes second finds that done.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs none of it.
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    }
}

/// Columns and rows of a picture that is printed: as many as the terminal has, or what `COLUMNS` and `LINES` say.
pub fn printed() -> Rect {
    let named = |name: &str| std::env::var(name).ok()?.parse::<u16>().ok();
    let (columns, rows) = match io::stdout().is_terminal() {
        true => size().unwrap_or((80, 24)),
        false => (named("COLUMNS").unwrap_or(80), named("LINES").unwrap_or(24)),
    };
    Rect::new(0, 0, columns.clamp(1, 1_000), rows.clamp(1, 1_000))
}

/// A picture as plain text, without what stands behind the last letter of a row.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    let width = usize::from(buffer.area.width.max(1));
    for row in buffer.content().chunks(width) {
        let row: String = row.iter().map(|cell| cell.symbol()).collect();
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// What is typed, as it is typed: read by a thread, since the terminal is no socket.
#[derive(Debug)]
pub struct Keys {
    typed: mpsc::Receiver<io::Result<Event>>,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Keys {
    /// Begins to listen.
    pub fn listen() -> Keys {
        let (tx, typed) = mpsc::channel(KEYS);
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::SeqCst) {
                let typed = match event::poll(LOOK) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let is_over = typed.is_err();
                if tx.blocking_send(typed).is_err() || is_over {
                    return;
                }
            }
        });
        Keys {
            typed,
            ends,
            thread,
        }
    }

    /// The next key, or another size. `None` once nothing can be typed any more.
    pub async fn next(&mut self) -> Option<io::Result<Event>> {
        self.typed.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // It may wait for room.
        self.typed.close();
        // What reads of a terminal that is gone never comes back: it ends with the process.
        let until = Instant::now() + 3 * LOOK;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(LOOK / 10);
        }
    }
}

#[cfg(test)]
mod tests;
