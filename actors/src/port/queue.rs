//! A port's egress queue, bounded in octets.
//!
//! The Switch asks the [`Gauge`] before it sends a frame to a port, and drops the
//! frame there when it is full: a slow port does not grow. The port actor queues the
//! frames, urgent ones in a lane of their own (`lanes`); the port's task takes them in
//! batches.
//!
//! A long queue holds back the credits of batches that came for it only
//! (`backpressure`), and their sender reads no more.
//!
//! What has left the lanes passes the port's `Line`, which may have a rate, a delay and losses. A
//! super-frame that would be a burst on it is cut where it enters. The same queue stands before
//! the Switch, where a line is set for what comes in (`inlet`).
//!
//! The queue counts what is sent, so that no kind of port can forget it: a batch counts
//! when the link comes for the next one, without what the medium
//! [refused](EgressQueue::refused).

use std::{
    cell::{Cell, RefCell},
    mem,
    rc::Rc,
    time::{Duration, Instant as StdInstant},
};

use bytes::BytesMut;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::slice::TimeSlice;
use crate::{
    core::{
        backpressure::Backpressure,
        batch::{BATCH_FRAMES, BATCH_OCTETS, INGRESS_CREDITS, Source},
        counters::{Discard, Incident},
        frame::Frame,
        gauge::{Gauge, cost},
        line::{Direction, Line},
        links::LinkMessage,
        offload::finish::Finisher,
        outgoing::Outgoing,
        restraint::{LOOK_AGAIN, Restraint},
        settings::OffloadTypes,
    },
    message::Credit,
};

/// Octets that a queue holds at most: all that one sender has credits for, and a
/// batch from another. More only adds delay.
pub const QUEUE_OCTETS: usize = (INGRESS_CREDITS + 1) * BATCH_OCTETS;

/// A queue longer than this is not keeping up: small frames in it are copied out
/// of the buffers that they were read into, see [`Sender::push`].
const BACKLOG_OCTETS: usize = 64 * 1024;

/// Frames up to this length, or runs of them, pin a read buffer many times their
/// size.
const SMALL_FRAME: usize = 16 * 1024;

/// Octets between two frames that were read one after the other, at most: the longest
/// header of a WebSocket message (RFC 6455, 5.2).
const MAX_GAP: usize = 14;

/// Octets of the buffer that small frames of a backlog are gathered in.
const ARENA_OCTETS: usize = 64 * 1024;

/// Octets of flooded frames in a batch at most, but for the first: every port has them to send
/// at the same time, and all of them together are to take no longer than a batch of one.
const FLOODED_OCTETS: usize = 32 * 1024;

/// How long at most a line is waited for that may be faster by now.
const LOOK_AT_LINE: Duration = Duration::from_millis(100);

/// What both ends share.
#[derive(Debug)]
pub(super) struct Queue {
    frames: RefCell<Outgoing>,
    ready: Notify,
    /// Super-frames over this are cut.
    longest: Cell<usize>,
    closed: Cell<bool>,
    gauge: Gauge,
    pressure: RefCell<Backpressure<Credit>>,
}

impl Queue {
    /// The link's medium has no room, or has some.
    pub(super) fn set_full(&self, is_full: bool) {
        self.pressure.borrow_mut().set_full(is_full);
    }
}

/// The port actor's end.
#[derive(Debug)]
pub(crate) struct Sender {
    queue: Rc<Queue>,
    arena: BytesMut,
    finisher: Finisher,
}

/// The end of the port's task.
#[derive(Debug)]
pub struct EgressQueue {
    queue: Rc<Queue>,
    /// What must be finished before the link takes it.
    finisher: Finisher,
    /// Octets of a batch at most, but for its first frame.
    batch_octets: usize,
    /// What the link is sending: frames on the wire, and their octets.
    sending: (u64, u64),
    /// Memory of that.
    taken: usize,
    restraint: Restraint,
    line: Line,
    /// Where small frames are gathered that are under way.
    arena: BytesMut,
}

/// Both ends of a queue that `gauge` measures. Frames leave it as `finisher` and `line` let them
/// pass.
#[must_use]
pub(crate) fn channel(gauge: Gauge, finisher: Finisher, line: Line) -> (Sender, EgressQueue) {
    let queue = Rc::new(Queue {
        frames: RefCell::default(),
        ready: Notify::new(),
        longest: Cell::new(usize::MAX),
        closed: Cell::new(false),
        gauge,
        pressure: RefCell::default(),
    });
    let (arena, of_sender) = (BytesMut::new(), finisher.clone());
    let sender = Sender { queue: Rc::clone(&queue), arena, finisher: of_sender };
    let egress = EgressQueue {
        queue,
        finisher,
        batch_octets: BATCH_OCTETS,
        sending: (0, 0),
        taken: 0,
        restraint: Restraint::default(),
        line,
        arena: BytesMut::new(),
    };
    (sender, egress)
}

impl Sender {
    /// Queues frames that the gauge has admitted.
    ///
    /// A frame is a slice of a read buffer of 256 KiB and keeps all of it. A port
    /// that does not keep up, given one small frame from each of many buffers,
    /// would pin a thousand times what its gauge says: so small frames of a
    /// backlog move to a buffer of their own. Those that were read one after the
    /// other are no worse than one frame of their length, and stay: a bulk
    /// transfer is not copied.
    pub(crate) fn push(&mut self, source: Source, frames: Vec<Frame>) {
        if frames.is_empty() {
            return;
        }
        let frames = self.cut(source, frames);
        let mut queued = self.queue.frames.borrow_mut();
        if self.queue.gauge.used() <= BACKLOG_OCTETS {
            frames.into_iter().for_each(|frame| queued.push(source, frame));
        } else {
            let mut frames = frames.into_iter();
            while let run = run(frames.as_slice())
                && run.frames > 0
            {
                for frame in frames.by_ref().take(run.frames) {
                    let small = run.octets <= SMALL_FRAME;
                    let frame = if small { gather(&mut self.arena, &frame) } else { frame };
                    queued.push(source, frame);
                }
            }
        }
        drop(queued);
        self.queue.ready.notify_one();
    }

    /// Queues what a link of several is to say. `false`: there is no room, and the link must end.
    #[must_use]
    pub(crate) fn say(&self, message: LinkMessage) -> bool {
        let has_room = self.queue.frames.borrow_mut().say(message);
        if has_room {
            self.queue.ready.notify_one();
        } else {
            self.finisher.counters().happened(Incident::LinkOverflow);
        }
        has_room
    }

    /// The frames, without super-frames that the line does not pass as one.
    fn cut(&self, source: Source, frames: Vec<Frame>) -> Vec<Frame> {
        let longest = self.queue.longest.get();
        if frames.iter().all(|frame| frame.len() <= longest) {
            return frames;
        }
        let mut cut = Vec::with_capacity(2 * frames.len());
        let all = |frames: &[Frame]| frames.iter().map(cost).sum::<usize>();
        let before = all(&frames);
        for frame in frames {
            let allowed =
                if frame.len() > longest { OffloadTypes::NONE } else { OffloadTypes::ALL };
            self.finisher.pass(frame, allowed, |frame| cut.push(frame));
        }
        // Each segment has headers of its own.
        let (after, gauge) = (all(&cut), &self.queue.gauge);
        gauge.take(source, after.saturating_sub(before));
        if after < before {
            gauge.release(source, before - after);
            gauge.memory().give(before - after);
        }
        cut
    }

    /// Nothing more will come: who waits for frames is told, once there are none.
    pub(super) fn close(&self) {
        self.queue.closed.set(true);
        self.queue.ready.notify_one();
    }

    /// Takes the credit of a batch that came for this port only, and gives it back when
    /// the queue is short, or the link stuck: after the time that this gives,
    /// [`check`](Self::check) is to be called.
    pub(crate) fn hold(&self, credit: Credit) -> Option<Duration> {
        self.queue.pressure.borrow_mut().hold(credit, self.queue.gauge.used())
    }

    /// Gives all credits back if the link is stuck; if not, the time of the next check,
    /// while there are any.
    pub(crate) fn check(&self) -> Option<Duration> {
        self.queue.pressure.borrow_mut().check(Instant::now().into_std())
    }
}

/// Counts what a line has lost.
fn lost(finisher: &Finisher, line: &Line, (frames, octets): (u64, u64), reason: Discard) {
    if line.direction() == Direction::In {
        finisher.counters().received(frames, octets);
    }
    finisher.counters().discarded(reason, frames);
}

fn add(sum: &mut (u64, u64), (frames, octets): (u64, u64)) {
    sum.0 += frames;
    sum.1 += octets;
}

/// Frames that stand one behind the other in memory.
struct Run {
    frames: usize,
    octets: usize,
}

/// The run that `frames` begin with.
fn run(frames: &[Frame]) -> Run {
    let follows = |pair: &[Frame]| {
        let end = pair[0].data().as_ptr_range().end.addr();
        let gap = pair[1].data().as_ptr().addr().checked_sub(end);
        gap.is_some_and(|gap| gap <= MAX_GAP)
    };
    let more = frames.windows(2).take_while(|pair| follows(pair)).count();
    let run = &frames[..frames.len().min(more + 1)];
    Run { frames: run.len(), octets: run.iter().map(Frame::len).sum() }
}

/// A copy of `frame` in `arena`.
fn gather(arena: &mut BytesMut, frame: &Frame) -> Frame {
    if arena.capacity() < frame.len() {
        *arena = BytesMut::with_capacity(ARENA_OCTETS);
    }
    frame.copy_to(arena, usize::MAX)
}

impl EgressQueue {
    /// Sets how many octets a batch holds at most, but for its first frame; never more
    /// than [`BATCH_OCTETS`]. What a slow link has taken, urgent frames cannot pass by.
    pub fn set_batch_octets(&mut self, octets: usize) {
        self.batch_octets = octets.min(BATCH_OCTETS);
    }

    /// The time slice of the link that writes what comes from here.
    #[must_use]
    pub fn time_slice(&self) -> TimeSlice {
        TimeSlice::of(&self.queue)
    }

    /// Waits for frames and moves a batch of them to the end of `batch`: at most
    /// [`BATCH_FRAMES`] and, but for the first, [`BATCH_OCTETS`] or what was
    /// [set](Self::set_batch_octets); a super-frame that is cut on its way out becomes as
    /// many frames as it has segments. Nothing is lost when the future is dropped.
    ///
    /// Who comes for a batch is [done](Self::done) with the one before. There is none while
    /// there is a [message](Self::message), which goes before it.
    pub async fn recv(&mut self, batch: &mut Vec<Frame>) {
        while !self.has_message() && !self.try_recv(batch) {
            self.wait().await;
        }
    }

    /// Waits until there may be frames to take.
    async fn wait(&self) {
        let ready = self.queue.ready.notified();
        let wait = {
            let frames = self.queue.frames.borrow();
            let now = Instant::now().into_std();
            let queued = match self.line.wait(now) {
                Some(wait) if frames.front(true).is_some() => Some(wait),
                // They are restrained: nobody else comes for them.
                _ => frames.has_flooded().then_some(LOOK_AGAIN),
            };
            if queued.is_some() {
                self.queue.set_full(true);
            }
            queued.into_iter().chain(self.line.arrival(now)).min()
        };
        match wait.map(|wait| wait.min(LOOK_AT_LINE)) {
            Some(wait) => drop(timeout(wait, ready).await),
            None => ready.await,
        }
    }

    /// Like [`recv`](Self::recv); false when there are none, and will be none.
    pub(super) async fn recv_or_end(&mut self, batch: &mut Vec<Frame>) -> bool {
        while !self.try_recv(batch) {
            let is_empty = self.queue.frames.borrow().front(true).is_none();
            if self.queue.closed.get() && is_empty && !self.line.is_impaired() {
                return false;
            }
            self.wait().await;
        }
        true
    }

    /// Takes what a link of several is to say before the next batch. Only links whose medium
    /// has a [place](super::Medium::place) among several have something to say.
    pub fn message(&mut self) -> Option<LinkMessage> {
        self.has_message().then(|| self.queue.frames.borrow_mut().message()).flatten()
    }

    fn has_message(&self) -> bool {
        // What is under way has left before it.
        let is_clear = || self.line.arrival(Instant::now().into_std()).is_none();
        let frames = self.queue.frames.borrow();
        frames.has_message().is_some_and(|is_behind| !is_behind || is_clear())
    }

    /// The link is full: writing had to wait. Flooded frames leave it to the others.
    pub fn filled(&mut self) {
        self.restraint.filled(Instant::now().into_std());
    }

    /// Like [`recv`](Self::recv) without waiting; whether there was a frame.
    pub fn try_recv(&mut self, batch: &mut Vec<Frame>) -> bool {
        self.done();
        if self.line.refresh() {
            self.queue.longest.set(self.line.longest());
        }
        let now = Instant::now().into_std();
        if !self.line.is_impaired() {
            return self.take(batch, now);
        }
        // All that has left the queue is under way then, which that bounds.
        while self.take(batch, now) {}
        self.take_arrived(batch, now)
    }

    /// Takes a batch from the lanes: to `batch`, or on its way. Whether there was a frame.
    fn take(&mut self, batch: &mut Vec<Frame>, now: StdInstant) -> bool {
        let is_impaired = self.line.is_impaired();
        let allowed = if self.line.cuts() { OffloadTypes::NONE } else { self.finisher.allowed() };
        let mut frames = self.queue.frames.borrow_mut();
        let (mut count, mut octets, mut released) = (0, 0, (Source::OWN, 0));
        let mut of_floods = 0;
        while let flooded = (!frames.has_flooded() || self.restraint.allows(now))
            && let Some(frame) = frames.front(flooded)
            && count < BATCH_FRAMES
            && self.line.wait(now).is_none()
            && of_floods < FLOODED_OCTETS
            && (count == 0 || octets + frame.len() <= self.batch_octets)
        {
            count += 1;
            octets += frame.len();
            let Some((source, frame)) = frames.pop(flooded) else { break };
            self.restraint.sent(frame.len(), source.flooded, now);
            of_floods += if source.flooded { frame.len() } else { 0 };
            if source != released.0 {
                self.queue.gauge.release(released.0, mem::take(&mut released.1));
                released.0 = source;
            }
            released.1 += cost(&frame);
            self.taken += cost(&frame);
            self.finisher.pass(frame, allowed, |frame| {
                let on_wire = frame.on_wire();
                self.line.took(on_wire.1, now);
                if is_impaired {
                    let small = frame.len() <= SMALL_FRAME;
                    let frame = if small { gather(&mut self.arena, &frame) } else { frame };
                    match self.line.pass(frame, now) {
                        Ok(octets) => self.queue.gauge.memory().take(octets),
                        Err(reason) => lost(&self.finisher, &self.line, on_wire, reason),
                    }
                } else {
                    add(&mut self.sending, on_wire);
                    batch.push(frame);
                }
            });
        }
        frames.shrink();
        drop(frames);
        self.queue.gauge.release(released.0, released.1);
        if is_impaired {
            // What is under way is counted by itself.
            self.queue.gauge.memory().give(mem::take(&mut self.taken));
        }
        if count > 0 {
            self.queue.pressure.borrow_mut().took(octets, self.queue.gauge.used(), now);
        }
        count > 0
    }

    /// Takes a batch of what has come to the line's end; whether there was a frame.
    fn take_arrived(&mut self, batch: &mut Vec<Frame>, now: StdInstant) -> bool {
        let (mut count, mut octets) = (0, 0);
        while let Some(len) = self.line.arrived(now)
            && count < BATCH_FRAMES
            && (count == 0 || octets + len <= self.batch_octets)
            && let Some(frame) = self.line.pop()
        {
            (count, octets) = (count + 1, octets + len);
            self.taken += cost(&frame);
            add(&mut self.sending, frame.on_wire());
            batch.push(frame);
        }
        count > 0
    }

    /// Counts the frame as discarded, not as sent: the medium refused it, or never got it.
    /// It must be of the batch at hand, or a segment of a frame in it.
    pub fn refused(&mut self, frame: &Frame, reason: Discard) {
        let (frames, octets) = frame.on_wire();
        self.finisher.counters().discarded(reason, frames);
        self.sending.0 = self.sending.0.saturating_sub(frames);
        self.sending.1 = self.sending.1.saturating_sub(octets);
    }

    /// Counts the batch at hand as sent: the medium has taken all of it but what it
    /// [refused](Self::refused). For links that do not come for the next one at once.
    pub fn done(&mut self) {
        if self.taken > 0 {
            self.queue.gauge.memory().give(mem::take(&mut self.taken));
        }
        let (frames, octets) = mem::take(&mut self.sending);
        if frames > 0 && self.line.direction() == Direction::Out {
            self.finisher.counters().sent(frames, octets);
        }
    }
}

#[cfg(test)]
mod tests;
