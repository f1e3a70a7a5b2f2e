//! `etherws ctl top`: live rates of the ports. On a terminal it fills the screen and
//! takes keys; in a pipe it prints one table after the other. A switch that does not
//! answer is asked again; the terminal is always left as it was.

use std::{
    io::{self, Write as _},
    panic,
    process::ExitCode,
    time::Duration,
};

use actix_rt::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, Interval, interval_at, timeout},
};
use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    execute, queue,
    style::Print,
    terminal::{
        Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen,
        LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
    },
};
use futures_util::{FutureExt as _, StreamExt as _};
use jsonrpsee_types::ErrorObjectOwned;
use tokio::time::MissedTickBehavior;

use super::{
    output::{Output, ended, error_text, say, to_json_line, write},
    rates::{self, Rate},
    style::{BAD, DIM, Look},
    table::render,
};
use crate::{
    api::{ListPort, client::Endpoint},
    cli::{Order, TopArgs},
};

/// Time for an answer: a switch that needs longer is not live.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Rows of a screen whose size cannot be read (ECMA-48's usual terminal).
const USUAL_ROWS: u16 = 24;

/// Runs until the user, a signal or `--count` ends it.
///
/// # Errors
/// The switch cannot be asked, not even once.
pub(super) async fn run(
    endpoint: &Endpoint,
    args: &TopArgs,
    output: &Output,
) -> Result<ExitCode, ErrorObjectOwned> {
    let ports = endpoint.ask(&ListPort::default()).await?;
    let first = rates::rates(&[], ports, Duration::ZERO);
    let top = Top {
        endpoint,
        rates: first,
        at: Instant::now(),
        error: None,
        order: args.sort,
        left: args.count,
        every: Duration::from_secs_f64(args.delay),
    };
    let on_screen = output.stdout.terminal && !output.json;
    Ok(ended(if on_screen { top.screen(output.stdout).await } else { top.batch(output).await }))
}

struct Top<'a> {
    endpoint: &'a Endpoint,
    rates: Vec<Rate>,
    /// When they were read.
    at: Instant,
    /// Why they could not be read just now.
    error: Option<String>,
    order: Order,
    /// How many are still to be shown; `None`: no end.
    left: Option<u64>,
    every: Duration,
}

impl Top<'_> {
    /// One table after the other.
    async fn batch(mut self, output: &Output) -> io::Result<()> {
        let mut ticks = ticks(self.every);
        while self.left != Some(0) {
            ticks.tick().await;
            self.look().await;
            if let Some(error) = &self.error {
                say(&format!("  {}\n", output.stderr.paint(BAD, output.stderr.safe(error))));
                continue;
            }
            let text = if output.json {
                to_json_line(&self.rates)
            } else {
                format!("{}\n", render(&rates::rows(&self.rates, false), output.stdout))
            };
            write(&text)?;
            self.shown();
        }
        Ok(())
    }

    /// The whole screen, again and again.
    async fn screen(mut self, look: Look) -> io::Result<()> {
        let mut ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .into_iter()
            .filter_map(|kind| signal(kind).ok())
            .collect::<Vec<_>>();
        let screen = Screen::open()?;
        let mut keys = EventStream::new();
        let mut ticks = ticks(self.every);
        self.draw(look)?;
        while self.left != Some(0) {
            tokio::select! {
                _ = ticks.tick() => {
                    // Keys wait for an answer, but no longer than its limit.
                    tokio::select! {
                        () = self.look() => self.shown(),
                        () = any(&mut ends) => break,
                    }
                }
                key = keys.next() => match key {
                    Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                        if !self.take(key) {
                            break;
                        }
                    }
                    Some(Ok(_)) => {}
                    // The terminal has gone.
                    Some(Err(_)) | None => break,
                },
                () = any(&mut ends) => break,
            }
            self.draw(look)?;
        }
        drop(screen);
        Ok(())
    }

    /// Obeys a key. `false`: it was the last.
    fn take(&mut self, key: KeyEvent) -> bool {
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('p') => self.order = Order::Port,
            _ => {}
        }
        rates::sort(&mut self.rates, self.order);
        true
    }

    /// Asks the switch. What was seen last stays if it does not answer.
    async fn look(&mut self) {
        let answer = timeout(ANSWER_LIMIT, self.endpoint.ask(&ListPort::default())).await;
        let now = Instant::now();
        self.error = match answer {
            Ok(Ok(ports)) => {
                self.rates = rates::rates(&self.rates, ports, now - self.at);
                self.at = now;
                rates::sort(&mut self.rates, self.order);
                None
            }
            Ok(Err(error)) => Some(error_text(&error)),
            Err(_) => Some(format!("{} has not answered within {ANSWER_LIMIT:?}", self.endpoint)),
        };
    }

    fn shown(&mut self) {
        self.left = self.left.map(|left| left.saturating_sub(1));
    }

    fn draw(&self, look: Look) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let rows = size().ok().map(|(_, rows)| rows).filter(|rows| *rows > 0);
        let rows = rows.unwrap_or(USUAL_ROWS);
        let order = self.order.name();
        let head = format!("{}: {} ports by {order}", self.endpoint, self.rates.len());
        queue!(stdout, MoveTo(0, 0), Print(look.safe(&head)))?;
        let keys = look.paint(DIM, "   s: order  p: by port  q: quit");
        queue!(stdout, Print(keys), Clear(ClearType::UntilNewLine), MoveTo(0, 1))?;
        if let Some(error) = &self.error {
            let text = format!("asking again: {error}");
            queue!(stdout, Print(look.paint(BAD, look.safe(&text))))?;
        }
        queue!(stdout, Clear(ClearType::UntilNewLine))?;
        let table = render(&rates::rows(&self.rates, true), look);
        // Two lines are taken; what has no room is left out.
        for (line, row) in table.lines().zip(2..rows) {
            queue!(stdout, MoveTo(0, row), Print(line), Clear(ClearType::UntilNewLine))?;
        }
        queue!(stdout, Clear(ClearType::FromCursorDown))?;
        stdout.flush()
    }
}

/// The first tick is one period away: a rate needs two looks.
fn ticks(every: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The next of some signals.
async fn any(signals: &mut [Signal]) {
    if signals.is_empty() {
        return std::future::pending().await;
    }
    let each = signals.iter_mut().map(|signal| signal.recv().boxed_local());
    futures_util::future::select_all(each).await;
}

/// The terminal, as long as it is ours.
struct Screen;

impl Screen {
    fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        let screen = Self;
        // What a panic says must be on the screen that stays.
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            Self::restore();
            hook(info);
        }));
        execute!(io::stdout(), EnterAlternateScreen, Hide, DisableLineWrap)?;
        Ok(screen)
    }

    /// Nothing can be done about a terminal that does not take it.
    fn restore() {
        let _ = execute!(io::stdout(), EnableLineWrap, Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        Self::restore();
    }
}
