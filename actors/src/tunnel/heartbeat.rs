//! WebSocket pings (RFC 6455, 5.5.2): whether the peer is alive, and how far away.
//!
//! Stands beside the link's receiver and sender. TCP alone cannot find a peer dead
//! behind a proxy, and proxies and NATs forget a connection that says nothing. Only
//! for peers that are known to answer: the original's client stands still at a ping.
//! Must never count a peer as dead for what waits in our own queues, or for what it has sent and
//! we have not read.

use std::{
    cell::Cell,
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{
    core::counters::Counters,
    message::Pings,
    tick::{self, TICK},
    turns::turn,
};

/// Silence after which the peer is pinged, and pinged again. Shorter than any proxy's
/// idle time, of which 15 s is the shortest in use; three fit into ten seconds. Silence ends at
/// the nearest tick.
pub(super) const PING_AFTER: Duration = TICK.saturating_mul(3);

/// Time in which something must come after a ping, so that a dead peer is found 9 s
/// after its last sign of life, and one lost segment on the way does no harm.
pub(super) const ANSWER_WITHIN: Duration = TICK.saturating_mul(6);

/// Signs of life of one peer.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// `None` for peers that must not be pinged: nothing of this is in use then.
    counters: Option<Arc<Counters>>,
    /// When the peer last gave a sign of life.
    alive: Cell<Instant>,
    /// Whether we read nothing at present: what it says waits for us.
    unread: Cell<bool>,
    /// When the first ping since then went out.
    unanswered: Cell<Option<Instant>>,
    /// Pings that went out. The latest carries this number, and its pong brings it back.
    pings: Cell<u64>,
    /// When the latest went out, until it is answered.
    sent: Cell<Option<Instant>>,
    /// Pings that are asked for besides.
    asked: Arc<Pings>,
    /// Whether a ping is to go out.
    due: Cell<bool>,
    ready: Notify,
}

impl Heartbeat {
    /// Of a peer that is pinged, first at once; `counters` are told of round trips.
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        let heartbeat = Self { counters: Some(counters), ..Self::none() };
        heartbeat.ask();
        heartbeat
    }

    /// The same; it is pinged when it is asked for as well.
    pub(super) fn asked_by(self, asked: Arc<Pings>) -> Self {
        Self { asked, ..self }
    }

    /// Of a peer that must not be pinged.
    pub(super) fn none() -> Self {
        Self {
            counters: None,
            alive: Cell::new(Instant::now()),
            unread: Cell::default(),
            unanswered: Cell::default(),
            pings: Cell::default(),
            sent: Cell::default(),
            asked: Arc::default(),
            due: Cell::default(),
            ready: Notify::new(),
        }
    }

    fn ask(&self) {
        self.due.set(true);
        self.ready.notify_one();
    }

    /// Notes a sign of life: octets came, or a stream that was full has taken some.
    pub(super) fn alive(&self) {
        if self.counters.is_some() {
            self.alive.set(Instant::now());
            self.unanswered.set(None);
        }
    }

    /// Waits with `read` for octets of the peer. Only meanwhile its silence counts.
    pub(super) async fn listen<T, E>(
        &self,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if self.unread.replace(false) {
            self.alive();
        }
        let read = read.await?;
        self.unread.set(true);
        self.alive();
        Ok(read)
    }

    /// Measures the round trip when the answer is to the latest ping.
    pub(super) fn pong(&self, payload: &[u8]) {
        if let (Some(counters), Some(sent)) = (&self.counters, self.sent.get())
            && payload == self.pings.get().to_be_bytes()
        {
            self.sent.set(None);
            counters.measured(sent.elapsed());
            self.asked.answered.notify_waiters();
        }
    }

    /// Waits until a ping may be due.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Payload of the ping that is to go out now, before anything that is queued.
    pub(super) fn take_ping(&self) -> Option<[u8; 8]> {
        if !self.due.take() {
            return None;
        }
        let now = Instant::now();
        self.pings.set(self.pings.get().wrapping_add(1));
        self.sent.set(Some(now));
        self.unanswered.set(self.unanswered.get().or(Some(now)));
        Some(self.pings.get().to_be_bytes())
    }

    /// Has pings sent while the peer is silent, until it must be dead. A ping that has
    /// not gone out counts for nothing: while the stream takes nothing, TCP's user
    /// timeout decides.
    pub(super) async fn silence(&self) {
        if self.counters.is_none() {
            return pending().await;
        }
        let mut asked = Instant::now();
        loop {
            let now = Instant::now();
            let alive = if self.unread.get() { now } else { self.alive.get() };
            let mut wake = tick::nearest(alive.max(asked) + PING_AFTER);
            if wake <= now {
                // At a tick, with all others.
                drop(turn().await);
                self.ask();
                asked = now;
                wake = tick::nearest(now + PING_AFTER);
            }
            if let Some(sent) = self.unanswered.get().filter(|_| !self.unread.get()) {
                let dead = tick::nearest(sent + ANSWER_WITHIN);
                if dead <= now {
                    return;
                }
                wake = wake.min(dead);
            }
            tokio::select! {
                () = sleep_until(wake) => {}
                () = self.asked.wanted.notified() => self.ask(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, pin::pin, task};

    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[actix::test]
    async fn a_silent_peer_is_pinged_each_three_seconds_and_dead_after_six_more() {
        tokio::time::pause();
        tick::begin();
        let heartbeat = Heartbeat::new(Arc::default());
        assert!(heartbeat.take_ping().is_some(), "the first at once");
        heartbeat.alive();
        let start = Instant::now();
        let mut pings = Vec::new();
        let send = async {
            loop {
                heartbeat.ready().await;
                if heartbeat.take_ping().is_some() {
                    pings.push(start.elapsed().as_secs());
                }
            }
        };
        tokio::select! {
            () = heartbeat.silence() => {}
            () = send => {}
        }
        assert_eq!(start.elapsed().as_secs(), 9);
        assert_eq!(pings[..2], [3, 6]);
    }

    #[actix::test]
    async fn what_was_not_sent_and_who_gives_signs_of_life_is_not_held_against_a_peer() {
        tokio::time::pause();
        let heartbeat = Heartbeat::new(Arc::default());
        let mut silence = pin!(heartbeat.silence());
        let mut cx = task::Context::from_waker(task::Waker::noop());
        for _ in 0..60 {
            advance(SECOND).await;
            assert!(silence.as_mut().poll(&mut cx).is_pending(), "no ping went out");
        }
        for second in 0..60 {
            advance(SECOND).await;
            heartbeat.take_ping();
            if second % 5 == 0 {
                heartbeat.alive();
            }
            assert!(silence.as_mut().poll(&mut cx).is_pending(), "it lives");
        }
    }

    #[actix::test]
    async fn a_peer_that_we_do_not_read_is_not_dead_however_long_that_takes() {
        tokio::time::pause();
        tick::begin();
        let heartbeat = Heartbeat::new(Arc::default());
        let read = heartbeat.listen(ready(Ok::<_, ()>(()))).await;
        assert!(heartbeat.take_ping().is_some() && read.is_ok());
        let mut silence = pin!(heartbeat.silence());
        let mut cx = task::Context::from_waker(task::Waker::noop());
        for _ in 0..60 {
            advance(SECOND).await;
            heartbeat.take_ping();
            assert!(silence.as_mut().poll(&mut cx).is_pending(), "its pong waits to be read");
        }
        let start = Instant::now();
        let send = async {
            loop {
                heartbeat.ready().await;
                heartbeat.take_ping();
            }
        };
        tokio::select! {
            () = silence => {}
            _ = heartbeat.listen(pending::<Result<(), ()>>()) => {}
            () = send => {}
        }
        assert!((9..=13).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }

    #[actix::test]
    async fn the_pong_of_the_latest_ping_tells_the_round_trip() {
        tokio::time::pause();
        let counters = Arc::new(Counters::default());
        let heartbeat = Heartbeat::new(Arc::clone(&counters));
        let first = heartbeat.take_ping().expect("due");
        advance(SECOND).await;
        heartbeat.ask();
        let second = heartbeat.take_ping().expect("due");
        advance(SECOND / 4).await;
        heartbeat.pong(&first);
        heartbeat.pong(b"unasked");
        assert_eq!(counters.round_trip(), None);
        heartbeat.pong(&second);
        assert_eq!(counters.round_trip(), Some(SECOND / 4));
        advance(SECOND).await;
        heartbeat.pong(&second);
        assert_eq!(counters.round_trip(), Some(SECOND / 4), "only the first counts");
    }

    #[actix::test]
    async fn a_peer_that_must_not_be_pinged_is_not() {
        tokio::time::pause();
        let heartbeat = Heartbeat::none();
        let hour = tokio::time::timeout(SECOND * 3600, heartbeat.silence());
        assert!(hour.await.is_err());
        assert_eq!(heartbeat.take_ping(), None);
    }
}
