//! Turns, where thousands may be ready at the same moment: on each thread one of them in a pass of
//! its event loop, so that the runtime looks for frames between two.
//!
//! Taken by whatever is done for a connection beside its frames and may be due for all at once: its
//! beginning, the steps of its TLS handshake, which take up to some milliseconds each, pings of a
//! peer that is silent, and its end. Never by a frame.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::yield_now,
    time::{Instant, sleep},
};

thread_local! {
    /// Held by the one whose turn it is.
    static TURN: Arc<Semaphore> = Arc::new(Semaphore::new(1));
    /// Where all newcomers wait but the one who is next.
    static NEWCOMERS: Arc<Notify> = Arc::new(one_is_next());
}

fn one_is_next() -> Notify {
    let next = Notify::new();
    next.notify_one();
    next
}

/// The newcomer who is next, until it is dropped.
struct Next(Arc<Notify>);

impl Drop for Next {
    /// The last one is next: its peer has most patience left. Who would come first has nearly
    /// lost it, and comes again.
    fn drop(&mut self) {
        self.0.notify_last();
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _only: Option<OwnedSemaphorePermit>,
}

/// Waits for a turn on this thread: first come, first served, and others have theirs before.
pub(crate) async fn turn() -> Turn {
    let turn = Turn { _only: only(TURN.with(Arc::clone)).await };
    yield_now().await;
    turn
}

/// The same for a new connection. All newcomers have the part of one in the turns: whoever has begun
/// need not wait for all who have not.
pub async fn first_turn() -> Turn {
    let newcomers = NEWCOMERS.with(Arc::clone);
    newcomers.notified().await;
    let _next = Next(newcomers);
    turn().await
}

/// Runs `handshake`, each step of it in a turn. Its peer may take `limit` for all its answers
/// together: while it waits for its turn it waits for us, which is not held against it. `None`: it
/// took longer.
pub async fn in_turns<H: Future>(handshake: H, mut limit: Duration) -> Option<H::Output> {
    let mut handshake = pin!(handshake);
    loop {
        {
            let _turn = turn().await;
            let step = poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx)));
            if let Poll::Ready(output) = step.await {
                return Some(output);
            }
        }
        let began = Instant::now();
        tokio::select! {
            // First, since it wakes this task as well.
            biased;
            () = sleep(limit) => return None,
            () = woken() => limit = limit.saturating_sub(began.elapsed()),
        }
    }
}

/// The only permit; these semaphores are never closed.
async fn only(permits: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    permits.acquire_owned().await.ok()
}

/// Waits until this task is woken, as by the stream that it has waited for.
async fn woken() {
    let mut waits = true;
    poll_fn(|_| if mem::take(&mut waits) { Poll::Pending } else { Poll::Ready(()) }).await;
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        cell::{Cell, RefCell},
        future::{pending, ready},
        rc::Rc,
    };

    use actix_rt::task::JoinHandle;
    use futures_util::future::join_all;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);

    /// Counts the passes of the event loop in which others have their turn, until it is aborted.
    pub(crate) fn count_passes() -> (Rc<Cell<usize>>, JoinHandle<()>) {
        let passes = Rc::new(Cell::new(0));
        let counted = Rc::clone(&passes);
        let others = actix_rt::spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        (passes, others)
    }

    #[actix::test]
    async fn between_two_steps_of_handshakes_others_have_their_turn() {
        let (passes, others) = count_passes();
        let steps = RefCell::new(Vec::new());
        let handshake = |number| {
            let (steps, passes) = (&steps, &passes);
            async move {
                for _ in 0..2 {
                    steps.borrow_mut().push((passes.get(), number));
                    sleep(Duration::from_millis(1)).await;
                }
            }
        };
        join_all((0..20).map(|number| in_turns(handshake(number), LIMIT))).await;
        others.abort();
        let steps = steps.take();
        assert_eq!(steps.len(), 2 * 20);
        // Who of two comes first in a pass changes.
        assert!(steps.windows(3).all(|three| three[0].0 < three[2].0), "{steps:?}");
    }

    #[actix::test]
    async fn who_has_begun_is_done_before_all_others_have_begun() {
        let order = RefCell::new(Vec::new());
        let handshake = |number| {
            let order = &order;
            async move {
                order.borrow_mut().push((number, "began"));
                yield_now().await;
                order.borrow_mut().push((number, "done"));
            }
        };
        let newcomer = async |number| {
            drop(first_turn().await);
            in_turns(handshake(number), LIMIT).await
        };
        join_all((0..20).map(newcomer)).await;
        let order = order.take();
        let place = |of| order.iter().position(|one| *one == of).expect("it is there");
        for number in 0..20 {
            let later = order[place((number, "began"))..place((number, "done"))].len();
            assert!(later <= 4, "{order:?}");
        }
        // Of those who waited while the first one was next.
        assert!(place((19, "began")) < place((1, "began")), "{order:?}");
    }

    #[actix::test]
    async fn only_time_that_a_peer_takes_counts() {
        tokio::time::pause();
        let held = turn().await;
        let handshake = async {
            sleep(LIMIT / 2).await;
        };
        let waits = in_turns(handshake, LIMIT);
        let others = async {
            sleep(LIMIT * 100).await;
            drop(held);
        };
        let (done, ()) = tokio::join!(waits, others);
        assert_eq!(done, Some(()));
        assert_eq!(in_turns(pending::<()>(), LIMIT).await, None);
        assert_eq!(in_turns(ready(7), LIMIT).await, Some(7), "whoever has failed holds up nobody");
    }

    #[actix::test]
    async fn a_peer_has_its_limit_for_all_answers_together() {
        tokio::time::pause();
        let began = Instant::now();
        let handshake = async {
            for _ in 0..100 {
                sleep(LIMIT / 4).await;
            }
        };
        assert_eq!(in_turns(handshake, LIMIT).await, None);
        assert!(began.elapsed() < LIMIT * 5 / 4, "{:?}", began.elapsed());
    }
}
