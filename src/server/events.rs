//! `/events` on control: what happens in the switch and at the listeners, as server-sent
//! events (WHATWG HTML, 9.2), one JSON object each. A reader that takes nothing is behind
//! in the monitor's backlog, where events are lost to it and counted; it holds up nobody
//! and takes no more memory.

use std::{convert::Infallible, time::Duration};

use actix_web::{HttpResponse, http::header, web::Bytes};
use etherws_actors::monitor::{Monitor, Watcher};
use futures_util::stream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{
    endpoint::ControlService,
    refusal::{Refusal, Refused},
    request::Request,
    resource::Answer,
};
use crate::api::events::Event;

/// Where events are.
pub(crate) const PATH: &str = "/events";

/// Most readers at once: a page for each of some operators, and their tools.
pub(super) const MAX_READERS: usize = 64;

/// Time without an event after which a comment goes out, so that a reader, and whatever
/// is between, see that the stream lives; what the standard recommends.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Answers with events from now on. `Last-Event-ID` is ignored: none is kept for those
/// who come again.
pub(super) fn get<'a>(control: &'a ControlService, _: &'a Request<'a>) -> Answer<'a> {
    Box::pin(async { stream_events(&control.status.monitor) })
}

fn stream_events(monitor: &Monitor) -> Result<HttpResponse, Refusal> {
    if monitor.watchers() >= MAX_READERS {
        return Err(Refusal::later(
            Refused::Busy,
            "Too many readers of events; try again later",
            KEEP_ALIVE,
        ));
    }
    let body = stream::unfold(Reader::new(monitor), |mut reader| async {
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
    fn new(monitor: &Monitor) -> Self {
        let mut silence = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
        silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { watcher: monitor.watch(), silence, seen: 0, begun: false }
    }

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
                // Numbers and texts are always JSON.
                let data = serde_json::to_string(&Event::from(&*event?)).unwrap_or_default();
                Some(format!("id: {}\ndata: {data}\n\n", self.seen).into())
            }
            _ = self.silence.tick() => Some(Bytes::from_static(b":\n\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use etherws_actors::monitor::{Event, Kind};

    use super::*;

    #[test]
    fn the_document_names_every_event_and_no_other() {
        let document = include_str!("../../docs/events.md");
        let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert!(rows.eq(Kind::ALL.map(Kind::name)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_begins_at_once_and_is_never_silent_for_long() {
        let monitor = Monitor::new();
        let mut reader = Reader::new(&monitor);
        assert_eq!(reader.next().await.as_deref(), Some(&b": events\n\n"[..]));
        let begun = Instant::now();
        assert_eq!(reader.next().await.as_deref(), Some(&b":\n\n"[..]));
        assert_eq!(begun.elapsed(), KEEP_ALIVE);
        monitor.tell(|| Event::new(Kind::Reload).text("file", "a \"b\"\n"));
        let event = reader.next().await.unwrap();
        let event = std::str::from_utf8(&event).unwrap();
        let data = event.strip_prefix("id: 1\ndata: {\"time\":\"").unwrap();
        assert!(data.ends_with("Z\",\"event\":\"reload\",\"file\":\"a \\\"b\\\"\\n\"}\n\n"));
    }
}
