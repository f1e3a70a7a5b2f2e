//! Connections that are no session yet: in a TLS handshake, sending a request, or
//! idle between two. They are bounded, so that strangers who connect and say nothing
//! leave file descriptors for everybody else; over the bound the oldest goes, which a
//! stranger cannot keep for longer than anybody else.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{counters::ServerCounters, refusal::Refused};

/// Most of them on one listener: with 1,000 of them coming each second, as many as
/// one machine makes with TLS, each has a second.
const MAX_PENDING: usize = 1024;

/// The part of all descriptors that they may take, on a system that gives few.
const SHARE: usize = 8;

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Pending {
    limit: usize,
    counters: Arc<ServerCounters>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By age. Dropping the sender ends the connection.
    open: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Pending {
    /// For a program that may have as many `descriptors`.
    pub(crate) fn new(descriptors: usize, counters: Arc<ServerCounters>) -> Arc<Self> {
        let limit = Self::limit(descriptors);
        Arc::new(Self { limit, counters, table: Mutex::default() })
    }

    /// How many a listener may have.
    pub(crate) fn limit(descriptors: usize) -> usize {
        (descriptors / SHARE).clamp(1, MAX_PENDING)
    }

    /// Takes a new connection in, and ends the oldest if there are too many.
    pub(crate) fn enter(self: &Arc<Self>) -> Connection {
        let (sender, evicted) = oneshot::channel();
        let mut table = self.table();
        while table.open.len() >= self.limit && table.open.pop_first().is_some() {
            self.counters.refuse(Refused::Connections);
        }
        let number = table.next;
        table.next += 1;
        table.open.insert(number, sender);
        Connection { pending: Arc::clone(self), number, evicted }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.table().open.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    pending: Arc<Pending>,
    number: u64,
    evicted: oneshot::Receiver<()>,
}

impl Connection {
    /// Serves it to its end, or until it has to make room.
    pub(crate) async fn serve(mut self, served: impl Future<Output = ()>) {
        tokio::select! {
            () = served => {}
            _ = &mut self.evicted => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.pending.table().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let counters = Arc::new(ServerCounters::default());
        let pending = Pending::new(3 * SHARE, Arc::clone(&counters));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let done = pending.enter();
            let [oldest, second, third] = [(); 3].map(|()| pending.enter());
            // The limit is 3: `done` had to go.
            done.serve(future::pending()).await;
            assert_eq!(counters.refused(Refused::Connections), 1);
            second.serve(future::ready(())).await;
            let newest = pending.enter();
            assert_eq!((pending.count(), counters.refused(Refused::Connections)), (3, 1));
            let last = pending.enter();
            oldest.serve(future::pending()).await;
            assert_eq!((pending.count(), counters.refused(Refused::Connections)), (3, 2));
            drop((third, newest, last));
            assert_eq!(pending.count(), 0);
        });
    }
}
