//! What a person at a terminal sees while a request waits: how long, and for what; and
//! what becomes of it after Ctrl-C. Programs see none of that.

use std::time::{Duration, Instant};

use actix_rt::{
    signal::unix::{Signal, SignalKind, signal},
    time::interval,
};
use jsonrpsee_types::ErrorObjectOwned;

use super::{
    output::say,
    style::{CLEAR, DIM, Look},
};
use crate::refusal::Refusal;

/// Until something is said: an answer that comes sooner needs no words.
const PATIENCE: Duration = Duration::from_millis(400);

/// Between two looks at the clock, of which seconds are shown.
const TICK: Duration = Duration::from_millis(200);

/// Signals of one kind, from now on, instead of what they would do: to be had before anybody
/// else may know that the program is there.
pub(super) fn caught(kind: SignalKind) -> Result<Signal, ErrorObjectOwned> {
    signal(kind).map_err(|error| Refusal::os(format!("cannot catch signals: {error}")).internal())
}

/// Waits for `request`, and says on a terminal that it does: `what`. `None`: the user
/// wants to wait no longer.
pub(crate) async fn wait<T>(what: &str, look: Look, request: impl Future<Output = T>) -> Option<T> {
    let interrupt = if look.terminal { signal(SignalKind::interrupt()).ok() } else { None };
    let Some(mut interrupt) = interrupt else { return Some(request.await) };
    let started = Instant::now();
    let mut ticks = interval(TICK);
    let mut request = std::pin::pin!(request);
    let mut said = false;
    let answer = loop {
        tokio::select! {
            answer = &mut request => break Some(answer),
            _ = interrupt.recv() => break None,
            _ = ticks.tick() => {
                let elapsed = started.elapsed();
                if elapsed >= PATIENCE {
                    let text = format!("{} … {} s", look.safe(what), elapsed.as_secs());
                    say(&format!("{CLEAR}{}", look.paint(DIM, text)));
                    said = true;
                }
            }
        }
    };
    if said {
        say(CLEAR);
    }
    answer
}
