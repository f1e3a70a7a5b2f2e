//! Whose password is verified next: hashing takes its time, on a few threads. Those who wait
//! have so many places, and whoever came from where most of them come from gives way; whoever
//! comes from where least was verified lately is next. So nobody who guesses makes others
//! wait for longer than one hash takes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::server::source::{Shares, Source};

/// Hashes that are remembered by who had them computed: several for each who may wait.
const LATELY: usize = 256;

/// The threads, and who waits for one.
#[derive(Debug)]
pub(super) struct Turns {
    threads: usize,
    places: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    running: usize,
    waiting: Vec<Waiting>,
    lately: VecDeque<Source>,
    used: Shares,
}

#[derive(Debug)]
struct Waiting {
    source: Source,
    call: oneshot::Sender<Turn>,
}

impl Turns {
    /// Of so many `threads`, with `places` for who has one or waits.
    pub(super) fn new(threads: usize, places: usize) -> Arc<Self> {
        Arc::new(Self { threads, places, table: Mutex::default() })
    }

    /// A thread, when it is the turn of this one; `None` if there is no place.
    pub(super) async fn wait(self: &Arc<Self>, source: Source) -> Option<Turn> {
        let (call, called) = oneshot::channel();
        {
            let mut table = self.table();
            table.waiting.retain(|waiting| !waiting.call.is_closed());
            table.waiting.push(Waiting { source, call });
            if table.running + table.waiting.len() > self.places {
                table.dismiss();
            }
        }
        self.call();
        called.await.ok()
    }

    /// Has nobody verified from here on.
    #[cfg(test)]
    pub(super) fn close(&self) {
        self.table().running = self.places;
    }

    /// Gives free threads to those whose turn it is.
    fn call(self: &Arc<Self>) {
        loop {
            let mut table = self.table();
            if table.running >= self.threads {
                return;
            }
            let Some(next) = table.next() else { return };
            table.running += 1;
            drop(table);
            // One that has gone meanwhile gives it back.
            let _ = next.send(Turn(Arc::clone(self)));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Sends away the last who came of those who are most.
    fn dismiss(&mut self) {
        let mut shares = Shares::default();
        self.waiting.iter().for_each(|waiting| shares.add(waiting.source));
        let most = shares.most();
        if let Some(at) = self.waiting.iter().rposition(|one| Some(one.source) == most) {
            self.waiting.remove(at);
        }
    }

    /// The next one, who is noted to have had his turn.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        self.waiting.retain(|waiting| !waiting.call.is_closed());
        let used = |one: &Waiting| {
            one.source.networks().map(|network| self.used.of(network)).collect::<Vec<_>>()
        };
        // Of equals the first who came.
        let (at, _) = self.waiting.iter().enumerate().min_by_key(|(_, one)| used(one))?;
        let Waiting { source, call } = self.waiting.remove(at);
        self.lately.push_back(source);
        self.used.add(source);
        if self.lately.len() > LATELY
            && let Some(oldest) = self.lately.pop_front()
        {
            self.used.remove(oldest);
        }
        Some(call)
    }
}

/// A thread that may be used until this is dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.table().running -= 1;
        self.0.call();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, net::IpAddr, rc::Rc};

    use tokio::task::{LocalSet, yield_now};

    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    /// In which order those of `all` have their turn who come at once.
    fn order(places: usize, all: &[&str]) -> Vec<usize> {
        let (turns, order) = (Turns::new(1, places), Rc::new(RefCell::new(Vec::new())));
        let local = LocalSet::new();
        for (at, one) in all.iter().enumerate() {
            let (turns, order, source) = (Arc::clone(&turns), Rc::clone(&order), source(one));
            local.spawn_local(async move {
                let Some(turn) = turns.wait(source).await else { return };
                order.borrow_mut().push(at);
                for _ in all_ready() {
                    yield_now().await;
                }
                drop(turn);
            });
        }
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(local);
        assert_eq!(turns.table().running, 0);
        order.take()
    }

    /// Long enough for all others to come meanwhile.
    fn all_ready() -> impl Iterator<Item = u8> {
        0..3
    }

    #[test]
    fn who_has_had_least_is_next() {
        let [a, b, c] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
        assert_eq!(order(64, &[a, a, a, b, b, c]), [0, 3, 5, 1, 4, 2]);
        // All networks of a site are one.
        let site = ["2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:100::1", "2001:db8:0:200::1"];
        assert_eq!(order(64, &[site[0], site[1], site[2], site[3], a, b]), [0, 4, 5, 2, 3, 1]);
    }

    #[test]
    fn who_has_most_places_gives_way() {
        let [a, b] = ["192.0.2.1", "192.0.2.2"];
        assert_eq!(order(3, &[a, a, a, a, b]), [0, 4, 1]);
        assert_eq!(order(3, &[b, a, a, a, a]), [0, 1, 2]);
    }

    #[test]
    fn who_has_gone_is_passed_over() {
        let turns = Turns::new(1, 2);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let first = turns.wait(Source::UNIX).await.expect("a free thread");
            let gone = Arc::clone(&turns);
            let gone = tokio::spawn(async move { gone.wait(Source::UNIX).await });
            yield_now().await;
            gone.abort();
            assert!(gone.await.is_err());
            let last = Arc::clone(&turns);
            let last = tokio::spawn(async move { last.wait(Source::UNIX).await.is_some() });
            yield_now().await;
            drop(first);
            assert!(last.await.unwrap());
            assert!(turns.wait(Source::UNIX).await.is_some());
        });
    }
}
