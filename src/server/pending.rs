//! Connections that are no session yet: in a TLS handshake, sending a request, or
//! idle between two. They are bounded, so that strangers who connect and say nothing
//! leave file descriptors for everybody else; over the bound the oldest of the source that
//! has most of them goes, so that nobody pushes out others.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{
    counters::ServerCounters,
    refusal::Refused,
    source::{Shares, Source},
};

/// Most of them on one listener: with 10,000 of them coming each second, as many as one
/// machine makes, each has 0.4 s. One that says nothing takes 2 KiB.
const MAX_PENDING: usize = 4096;

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
    shares: Shares,
    sources: HashMap<u64, Source>,
    /// Those of a source by age. Dropping the sender ends the connection.
    open: BTreeMap<(Source, u64), oneshot::Sender<()>>,
}

impl Table {
    fn remove(&mut self, number: u64) -> Option<oneshot::Sender<()>> {
        let source = self.sources.remove(&number)?;
        self.shares.remove(source);
        self.open.remove(&(source, number))
    }

    fn insert(&mut self, source: Source, number: u64, connection: oneshot::Sender<()>) {
        self.shares.add(source);
        self.sources.insert(number, source);
        self.open.insert((source, number), connection);
    }

    /// The one that is to make room.
    fn victim(&self) -> Option<u64> {
        let source = self.shares.most()?;
        self.open.range((source, 0)..).next().map(|((_, number), _)| *number)
    }
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

    /// Takes a new connection in, and ends another if there are too many.
    pub(crate) fn enter(self: &Arc<Self>, source: Source) -> Connection {
        let (sender, evicted) = oneshot::channel();
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        table.insert(source, number, sender);
        while table.open.len() > self.limit
            && let Some(victim) = table.victim()
        {
            table.remove(victim);
            self.counters.refuse(Refused::Connections);
        }
        Connection { place: Place { pending: Arc::clone(self), number }, evicted }
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
    place: Place,
    evicted: oneshot::Receiver<()>,
}

impl Connection {
    /// Where it stands, for whoever serves it.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

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
        self.place.pending.table().remove(self.place.number);
    }
}

/// Where a connection stands among them.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pending: Arc<Pending>,
    number: u64,
}

impl Place {
    /// Has it count for `source`, which is not where the connection itself comes from: a proxy
    /// has said so.
    pub(crate) fn belongs_to(&self, source: Source) {
        let mut table = self.pending.table();
        if table.sources.get(&self.number).is_some_and(|own| *own != source)
            && let Some(connection) = table.remove(self.number)
        {
            table.insert(source, self.number, connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future, net::IpAddr};

    use super::*;

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let counters = Arc::new(ServerCounters::default());
        let pending = Pending::new(3 * SHARE, Arc::clone(&counters));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let enter = || pending.enter(Source::UNIX);
            let done = enter();
            let [oldest, second, third] = [(); 3].map(|()| enter());
            // The limit is 3: `done` had to go.
            done.serve(future::pending()).await;
            assert_eq!(counters.refused(Refused::Connections), 1);
            second.serve(future::ready(())).await;
            let newest = enter();
            assert_eq!((pending.count(), counters.refused(Refused::Connections)), (3, 1));
            let last = enter();
            oldest.serve(future::pending()).await;
            assert_eq!((pending.count(), counters.refused(Refused::Connections)), (3, 2));
            drop((third, newest, last));
            assert_eq!(pending.count(), 0);
        });
    }

    #[test]
    fn who_has_most_makes_room_for_others() {
        let pending = Pending::new(4 * SHARE, Arc::default());
        let from = |last| Source::from(IpAddr::from([192, 0, 2, last]));
        let quiet = pending.enter(from(1));
        let mut flood: Vec<_> = (0..3).map(|_| pending.enter(from(2))).collect();
        flood.extend((0..100).map(|_| pending.enter(from(2))));
        let other = pending.enter(from(3));
        let is_open = |one: &Connection| pending.table().sources.contains_key(&one.place.number);
        assert!(is_open(&quiet) && is_open(&other));
        let open: Vec<_> = flood.iter().map(is_open).collect();
        assert_eq!(open.iter().filter(|open| **open).count(), 2);
        assert!(open.ends_with(&[true, true]), "the oldest goes");
        drop((quiet, flood, other));
        let table = pending.table();
        assert!(table.sources.is_empty() && table.open.is_empty() && table.shares.most().is_none());
    }
}
