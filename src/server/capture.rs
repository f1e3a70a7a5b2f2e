//! `/capture` on control: frames of the running switch as a pcapng stream, for as long as
//! somebody reads it. A reader that is slow loses frames, which the file counts: they
//! wait in the mirror's queue, which is bounded, and in one chunk here.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::{self, Bytes},
};
use etherws_actors::{
    control::Control,
    fdb::PortNumber,
    mirror::{Batch, MirrorReader},
};
use futures_util::stream;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    endpoint::ControlService,
    refusal::{Refusal, Refused},
    request::Request,
    resource::Answer,
};
use crate::capture::{Capture, recorder::Recorder};

/// Where captures are.
pub(crate) const PATH: &str = "/capture";

/// How long frames wait for others before they go out: not to be seen by a person who
/// looks on, and few turns for a thread.
const FLUSH: Duration = Duration::from_millis(50);

/// Octets that go out before that: what a port reads at once.
const CHUNK_OCTETS: usize = 256 * 1024;

/// Between two statistics of what has changed.
const STATISTICS: Duration = Duration::from_secs(1);

/// Between two statistics of everything, changed or not: a reader that has gone is
/// noticed when it is written to.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long a full mirror may hold up who wants another: until one has ended.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The capture with numbers for the names of its ports.
///
/// # Errors
/// A port is not there.
pub(super) async fn resolve(
    control: &Control,
    mut capture: Capture,
) -> Result<Capture, crate::refusal::Refusal> {
    let there = control.list_ports().await.map_err(crate::refusal::Refusal::from)?;
    for name in std::mem::take(&mut capture.names) {
        let port = there.iter().find(|info| info.name.as_ref() == Some(&name));
        let port = port.ok_or_else(|| crate::refusal::Refusal::no_such_port(&name))?;
        capture.ports.push(port.port);
    }
    let missing = capture.ports.iter().find(|port| there.iter().all(|info| info.port != **port));
    missing.map_or(Ok(()), |port| Err(crate::refusal::Refusal::no_such_port(port)))?;
    Ok(capture)
}

/// Answers with frames from now on.
pub(super) fn get<'a>(control: &'a ControlService, request: &'a Request<'a>) -> Answer<'a> {
    Box::pin(open(&control.control, request.query.unwrap_or_default()))
}

async fn open(control: &Control, query: &str) -> Result<HttpResponse, Refusal> {
    let refused = |refusal: crate::refusal::Refusal| {
        Refusal::request(StatusCode::BAD_REQUEST, refusal.to_string())
    };
    let capture = Capture::from_query(query).map_err(refused)?;
    let capture = resolve(control, capture).await.map_err(refused)?;
    let snaplen = usize::try_from(capture.snaplen).unwrap_or(usize::MAX);
    let mirror = control.mirror(capture.filter(), snaplen).await.map_err(|_| {
        let text = "Too many captures; stop one, or try again later";
        Refusal::later(Refused::Busy, text, TRY_AGAIN)
    })?;
    let mut recorder = Recorder::new(capture.snaplen, capture.count);
    let there = control.list_ports().await.unwrap_or_default();
    let wanted = |port: PortNumber| capture.ports.is_empty() || capture.ports.contains(&port);
    recorder.add_ports(there.iter().filter(|info| wanted(info.port)));
    let now = Instant::now();
    let stream = Stream {
        mirror,
        control: control.clone(),
        recorder: Some(recorder),
        end: capture.duration.map(|duration| now + duration),
        statistics: now + STATISTICS,
        keep_alive: now + KEEP_ALIVE,
        begun: false,
    };
    let body = stream::unfold(stream, |mut stream| async {
        let octets = stream.next().await?;
        Some((Ok::<_, Infallible>(octets), stream))
    });
    Ok(HttpResponse::Ok()
        .content_type("application/x-pcapng")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"etherws.pcapng\""))
        .streaming(body))
}

/// A capture that somebody reads.
struct Stream {
    mirror: MirrorReader,
    control: Control,
    /// Taken while it works elsewhere; gone after the end.
    recorder: Option<Recorder>,
    end: Option<Instant>,
    statistics: Instant,
    keep_alive: Instant,
    begun: bool,
}

impl Stream {
    /// The next octets; never an empty chunk, which would end the body.
    async fn next(&mut self) -> Option<Bytes> {
        let mut recorder = self.recorder.take()?;
        if !std::mem::replace(&mut self.begun, true) {
            let octets = recorder.take();
            self.recorder = Some(recorder);
            return Some(octets);
        }
        loop {
            let (batches, mut ends) = self.collect().await;
            if batches.iter().any(|batch| recorder.lacks_port_of(batch))
                && let Ok(ports) = self.control.list_ports().await
            {
                let seen = |port| {
                    batches.iter().any(|batch| {
                        batch.lost.contains_key(&port)
                            || batch.frames.iter().any(|frame| frame.port == port)
                    })
                };
                recorder.add_ports(ports.iter().filter(|info| seen(info.port)));
            }
            let now = Instant::now();
            let all = now >= self.keep_alive;
            let due = all || now >= self.statistics;
            if due {
                self.statistics = now + STATISTICS;
            }
            if all {
                self.keep_alive = now + KEEP_ALIVE;
            }
            // Cutting and copying is not for a thread that carries frames.
            let recorded = web::block(move || {
                batches.into_iter().for_each(|batch| recorder.record(batch));
                ends |= recorder.is_full();
                if due || ends {
                    recorder.record_statistics(all || ends);
                }
                let octets = recorder.take();
                (recorder, octets, ends)
            });
            // An error: the program ends.
            let (back, octets, ends) = recorded.await.ok()?;
            if ends {
                return (!octets.is_empty()).then_some(octets);
            }
            if !octets.is_empty() {
                self.recorder = Some(back);
                return Some(octets);
            }
            recorder = back;
        }
    }

    /// What the mirror has copied within [`FLUSH`] of the first of it; none if statistics
    /// are due before. And whether that is the end.
    async fn collect(&mut self) -> (Vec<Batch>, bool) {
        let mut batches = Vec::new();
        let due = self.statistics.min(self.keep_alive);
        let due = self.end.map_or(due, |end| due.min(end));
        let first = tokio::select! {
            first = self.mirror.recv() => first,
            () = sleep_until(due) => {
                return (batches, self.end.is_some_and(|end| end <= due));
            }
        };
        let until = Instant::now() + FLUSH;
        let (mut next, mut octets) = (Ok(first), 0);
        loop {
            match next {
                Ok(Some(batch)) => {
                    octets += batch.octets();
                    batches.push(batch);
                }
                Ok(None) => return (batches, true),
                Err(_) => break,
            }
            if octets >= CHUNK_OCTETS {
                break;
            }
            next = timeout_at(until, self.mirror.recv()).await;
        }
        (batches, self.end.is_some_and(|end| end <= Instant::now()))
    }
}
