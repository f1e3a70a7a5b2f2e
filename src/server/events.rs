//! `/events` on control: what happens in the switch and at the listeners, as server-sent
//! events (WHATWG HTML, 9.2), one JSON object each. A reader that takes nothing is behind
//! in the monitor's backlog, where events are lost to it and counted; it holds up nobody
//! and takes no more memory.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::Bytes,
};
use etherws_actors::monitor::{Detail, Event, Monitor, Watcher};
use futures_util::stream;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{ControlService, counters::Refused, refusal::Refusal, resource::Answer};

/// Where events are.
pub(crate) const PATH: &str = "/events";

/// Most readers at once: a page for each of some operators, and their tools.
const MAX_READERS: usize = 64;

/// Time without an event after which a comment goes out, so that a reader, and whatever
/// is between, see that the stream lives; what the standard recommends.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Answers with events from now on. `Last-Event-ID` is ignored: none is kept for those
/// who come again.
pub(super) fn get<'a>(control: &'a ControlService, _: &'a HttpRequest) -> Answer<'a> {
    Box::pin(async { stream_events(&control.status.monitor) })
}

fn stream_events(monitor: &Monitor) -> Result<HttpResponse, Refusal> {
    if monitor.watchers() >= MAX_READERS {
        return Err(Refusal::later(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many readers of events; try again later",
            Refused::Busy,
            KEEP_ALIVE,
        ));
    }
    let mut silence = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reader = Reader { watcher: monitor.watch(), silence, seen: 0, begun: false };
    let body = stream::unfold(reader, |mut reader| async {
        let octets = reader.next().await?;
        Some((Ok::<_, Infallible>(octets), reader))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(body))
}

/// One who reads.
struct Reader {
    watcher: Watcher,
    silence: Interval,
    /// Events so far.
    seen: u64,
    begun: bool,
}

impl Reader {
    /// The next octets of the stream.
    async fn next(&mut self) -> Option<Bytes> {
        // At once, or a reader would not hear of its being let in until there is news.
        if !std::mem::replace(&mut self.begun, true) {
            return Some(Bytes::from_static(b": events\n\n"));
        }
        tokio::select! {
            event = self.watcher.next() => {
                self.silence.reset();
                self.seen += 1;
                Some(format!("id: {}\ndata: {}\n\n", self.seen, json(&*event?)).into())
            }
            _ = self.silence.tick() => Some(Bytes::from_static(b":\n\n")),
        }
    }
}

/// An event as it is written: `time`, `event`, `port` where it is on one, and details.
fn json(event: &Event) -> Value {
    // Between then and now, the clock may have been set: this one says what it is now.
    let time = Timestamp::now().checked_sub(event.at.elapsed()).unwrap_or(Timestamp::MIN);
    let mut members = Map::new();
    members.insert("time".to_owned(), format!("{time:.6}").into());
    members.insert("event".to_owned(), event.kind.name().into());
    if let Some(port) = event.port {
        members.insert("port".to_owned(), port.get().into());
    }
    for (name, detail) in &event.details {
        let value = match detail {
            Detail::Number(number) => Value::from(*number),
            Detail::Text(text) => Value::from(text.as_str()),
        };
        members.insert((*name).to_owned(), value);
    }
    members.into()
}
