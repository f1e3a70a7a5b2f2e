//! For how long a link may write on while others wait for the thread, and whether it had to
//! wait itself.
//!
//! Many may fill one queue between two slices of the link that empties it: in a slice of one batch
//! 64 frames would leave while each of a hundred senders brings as many.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    time::Duration,
};

use tokio::{
    task::{unconstrained, yield_now},
    time::Instant,
};

use super::queue::Queue;

/// A slice is as long as others have had the thread since the last one: a queue that all of them
/// fill is emptied in half of the thread's time. It has at least the time of some hundred small
/// frames, which nobody notices, and at most what a ping may wait.
const SHORTEST: Duration = Duration::from_micros(500);
const LONGEST: Duration = Duration::from_millis(5);

/// Batches in a slice at most, where time does not pass.
const MAX_BATCHES: u32 = 256;

/// The time slice of a link that writes what it takes from its queue.
#[derive(Debug)]
pub struct TimeSlice {
    queue: Rc<Queue>,
    since: Instant,
    length: Duration,
    batches: u32,
}

impl TimeSlice {
    pub(super) fn of(queue: &Rc<Queue>) -> Self {
        Self { queue: Rc::clone(queue), since: Instant::now(), length: SHORTEST, batches: 0 }
    }

    /// Does what writes to the medium, and gives whether that had to wait: others ran then, and
    /// a new slice begins.
    pub async fn write<T>(&mut self, write: impl Future<Output = T>) -> (T, bool) {
        // The runtime would interrupt many writes as if the medium were full.
        let mut write = pin!(unconstrained(write));
        let mut waited = None;
        let done = poll_fn(|cx| {
            let poll = write.as_mut().poll(cx);
            self.queue.set_full(poll.is_pending());
            if poll.is_pending() && waited.is_none() {
                waited = Some(Instant::now());
            }
            poll
        })
        .await;
        if let Some(since) = waited {
            self.begin(since);
        }
        (done, waited.is_some())
    }

    /// A batch is written: lets others run, if the slice is over.
    pub async fn end_batch(&mut self) {
        self.batches += 1;
        let now = Instant::now();
        if self.batches >= MAX_BATCHES || now - self.since >= self.length {
            yield_now().await;
            self.begin(now);
        }
    }

    /// Begins the next slice, after others have had the thread since the end of the last.
    fn begin(&mut self, end: Instant) {
        (self.since, self.batches) = (Instant::now(), 0);
        self.length = (self.since - end).clamp(SHORTEST, LONGEST);
    }
}

impl Drop for TimeSlice {
    /// Nobody writes any more.
    fn drop(&mut self) {
        self.queue.set_full(true);
    }
}
