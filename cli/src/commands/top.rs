//! `gridloom top`: queues, runs, workers and what happens, on one screen; orders by keys.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `state` | what is selected and open, and what a key changes of that |
//! | `frame` | the picture |
//! | `look` | signs and colours |
//! | `cells` | a grid in so many blocks as there is room for |
//! | `rates` | how fast it goes, and how long it takes |
//! | `happen` | what has happened from look to look |
//! | `order` | how an order is asked, and which command does the same |
//! | `snapshot` | what is known at one moment |
//! | `read` | looks again and again, beside the screen |
//!
//! All but the last are pure. This room has the loop: a key, a look or the end of an order in, a picture out.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::command::Verb;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::Event;
use ratatui::layout::Rect;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{job, orders};
use crate::args::TopArgs;
use crate::context::Context;
use crate::fault::{Misuse, Verdict};
use crate::output::Form;
use crate::output::screen::{self, Keys, Screen};
use look::Look;
use order::{NOTE, Order};
use read::{Reader, Told};
use snapshot::Wanted;
use state::{State, Todo};

mod cells;
mod frame;
mod happen;
mod look;
mod order;
mod rates;
mod read;
mod snapshot;
mod state;

/// How often the clocks of the picture go on where nothing else happens.
const CLOCK: Duration = Duration::from_millis(500);

/// What programs see: as much as the largest picture.
const LARGE: Rect = Rect::new(0, 0, 240, 100);

/// Whether the terminal is taken for it.
pub(super) fn is_a_picture(form: Form, flags: &TopArgs) -> bool {
    form == Form::People && !flags.once
}

/// Watches the installation, or looks once.
///
/// # Errors
/// When there is no terminal, or the broker cannot be reached or read.
pub async fn run(context: &Context, flags: TopArgs) -> anyhow::Result<Verdict> {
    let form = match context.output.is_json() {
        true => Form::Programs,
        false => Form::People,
    };
    if !is_a_picture(form, &flags) {
        return once(context, &flags).await;
    }
    if !Screen::is_there() {
        return Err(Misuse::error(
            "top needs a terminal to paint on and to hear keys from, and here is none: gridloom top --once prints one \
             picture, gridloom top --json what it shows, and so do gridloom queues --json, runs --json and workers --json",
        ));
    }
    let broker = context.ask().await?;
    watched(context, broker, &flags).await
}

/// Looks once; where something is open twice, as only that tells how fast it goes.
async fn once(context: &Context, flags: &TopArgs) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let area = match context.output.is_json() {
        true => LARGE,
        false => screen::printed(),
    };
    if !frame::fits(area) {
        let small = frame::too_small(area);
        return Err(Misuse::error(format!(
            "{small}; gridloom top --json has no bounds, and COLUMNS and LINES say how much room there is where its output is no terminal"
        )));
    }
    let mut state = State::default();
    let mut reader = Reader::begin(&broker, context.config.nats.to_string()).await?;
    let mut seen = reader.look(&Wanted::default()).await;
    if seen.runs_open > 0 {
        tokio::time::sleep(flags.interval.0).await;
    }
    // By now it is known which runs there are to be shown.
    state.take(seen);
    seen = reader.look(&frame::wanted(area, &state)).await;
    if context.output.is_json() {
        context.output.document(&seen);
        return Ok(Verdict::Fine);
    }
    state.take(seen);
    let mut picture = Buffer::empty(area);
    frame::paint(&mut picture, area, &state, look());
    context.output.picture(&picture);
    Ok(Verdict::Fine)
}

/// How things look on this terminal.
fn look() -> Look {
    let named = |name: &str| std::env::var(name).ok();
    let locales = ["LC_ALL", "LC_CTYPE", "LANG"].map(named);
    let no_color = named("NO_COLOR");
    Look::of(
        no_color.as_deref(),
        locales.each_ref().map(Option::as_deref),
    )
}

/// Watches until somebody ends it. The terminal is given back before anything is said of that.
async fn watched(context: &Context, broker: Broker, flags: &TopArgs) -> anyhow::Result<Verdict> {
    // Before the terminal is taken: nothing may end this without giving it back.
    let signals = Signals::listen()?;
    let screen = Screen::take().context("take the terminal")?;
    let (want, wanted) = watch::channel(Wanted::default());
    let (tell, told) = mpsc::channel(2);
    let address = context.config.nats.to_string();
    let looks = read::go_on(broker.clone(), address, flags.interval.0, wanted, tell);
    let looks = tokio::spawn(looks);
    let mut watching = Watching {
        broker,
        screen,
        state: State::default(),
        look: look(),
        begun: Instant::now(),
        want,
        orders: JoinSet::new(),
    };
    let ended = watching.go_on(told, signals).await;
    let is_busy = watching.state.is_busy();
    drop(watching);
    looks.abort();
    let _ = looks.await;
    if is_busy {
        let note = "an order was still under way: gridloom log tells whether it was given";
        context.output.note(note);
    }
    ended
}

/// What others end it with.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("listen to signals");
        Ok(Signals([
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::interrupt())?,
        ]))
    }

    async fn next(&mut self) {
        let [terminated, hung_up, interrupted] = &mut self.0;
        tokio::select! {
            _ = terminated.recv() => {}
            _ = hung_up.recv() => {}
            _ = interrupted.recv() => {}
        }
    }
}

/// What is at hand while it goes on.
struct Watching {
    broker: Broker,
    screen: Screen,
    state: State,
    look: Look,
    begun: Instant,
    want: watch::Sender<Wanted>,
    orders: JoinSet<(Order, Result<String, String>)>,
}

impl Watching {
    async fn go_on(
        &mut self,
        mut told: mpsc::Receiver<Told>,
        mut signals: Signals,
    ) -> anyhow::Result<Verdict> {
        let mut keys = Keys::listen();
        let mut clock = interval(CLOCK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.show()?;
            tokio::select! {
                typed = keys.next() => match typed {
                    Some(typed) => {
                        let typed = typed.context("read what is typed")?;
                        if self.typed(&typed) {
                            return Ok(Verdict::Fine);
                        }
                    }
                    None => anyhow::bail!("nothing can be typed any more"),
                },
                seen = told.recv() => match seen {
                    Some(Told::Seen(snapshot)) => self.state.take(*snapshot),
                    Some(Told::Failed(error)) => return Err(error),
                    None => anyhow::bail!("nobody looks any more: that is a fault of gridloom top"),
                },
                Some(done) = self.orders.join_next() => self.done(done),
                _ = clock.tick() => {}
                () = signals.next() => return Ok(Verdict::Interrupted),
            }
        }
    }

    fn show(&mut self) -> anyhow::Result<()> {
        let (state, look) = (&mut self.state, self.look);
        state.now = self.begun.elapsed();
        state.linked(self.broker.is_connected());
        let painted = self.screen.show(|buffer, area| {
            state.is_hidden = !frame::fits(area);
            frame::paint(buffer, area, state, look);
        });
        painted.context("paint on the terminal")?;
        let area = self
            .screen
            .area()
            .context("ask how large the terminal is")?;
        let wanted = frame::wanted(area, &self.state);
        self.want.send_if_modified(|before| {
            let differs = *before != wanted;
            *before = wanted;
            differs
        });
        Ok(())
    }

    /// Whether that ends it.
    fn typed(&mut self, typed: &Event) -> bool {
        let Event::Key(key) = typed else {
            return false;
        };
        match self.state.key(*key) {
            Todo::Nothing => false,
            Todo::Quit => true,
            Todo::Do(order) => {
                self.orders.spawn(carried_out(self.broker.clone(), order));
                false
            }
        }
    }

    fn done(&mut self, done: Result<(Order, Result<String, String>), tokio::task::JoinError>) {
        match done {
            Ok((order, Ok(words))) => self.state.done(&order, &words),
            Ok((order, Err(why))) => self.state.done(&order, &format!("not done: {why}")),
            Err(fault) => self.state.broken(&format!("not known: {}", chain(&fault))),
        }
    }
}

/// Gives the order by the same way as the command that does the same.
async fn carried_out(broker: Broker, order: Order) -> (Order, Result<String, String>) {
    let words = match &order {
        Order::Cancel(run) => orders::in_words(&broker, Verb::Cancel, run).await,
        Order::Retry(run) => orders::in_words(&broker, Verb::Retry, run).await,
        Order::Pause(of) => job::pause_in_words(&broker, Some(of), NOTE).await,
        Order::Resume(of) => job::resume_in_words(&broker, Some(of)).await,
        Order::Freeze => job::pause_in_words(&broker, None, NOTE).await,
        Order::Thaw => job::resume_in_words(&broker, None).await,
    };
    let words = words.map_err(|error| chain(&*error).to_string());
    (order, words)
}
