//! Where ports and their links run: Arbiters, in turn.

use std::{
    future::Future,
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
};

use actix_rt::{Arbiter, ArbiterHandle};

/// Arbiters for ports, in turn; none if there is only the one that a command comes in on.
#[derive(Debug)]
pub(crate) struct Placement {
    arbiters: Vec<ArbiterHandle>,
    next: AtomicUsize,
}

impl Placement {
    /// On the Arbiter that a command comes in on; or, if there are others, on this one and on
    /// those. What a turn stands for is the same on each of them: a port asks for the turns of its
    /// further links where it runs itself.
    pub(crate) fn new(others: impl IntoIterator<Item = ArbiterHandle>) -> Self {
        let mut arbiters: Vec<_> = others.into_iter().collect();
        if !arbiters.is_empty() {
            arbiters.splice(..0, Arbiter::try_current());
        }
        Self { arbiters, next: AtomicUsize::new(0) }
    }

    /// How many there are.
    pub(crate) fn threads(&self) -> NonZero<usize> {
        NonZero::new(self.arbiters.len()).unwrap_or(NonZero::<usize>::MIN)
    }

    /// Whose turn it is; `None`: the Arbiter's that this is called on.
    pub(crate) fn next(&self) -> Option<&ArbiterHandle> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.arbiters.get(turn % self.threads())
    }

    /// Runs what `task` gives on the next one.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        task: impl FnOnce() -> F + Send + 'static,
    ) {
        match self.next() {
            None => drop(actix_rt::spawn(task())),
            Some(arbiter) => {
                // Refused when its thread has ended, with all that ran there.
                let _ = arbiter.spawn_fn(move || drop(actix_rt::spawn(task())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use tokio::sync::mpsc;

    use super::*;

    #[actix::test]
    async fn links_of_a_port_run_on_different_threads_wherever_the_port_runs() {
        let other = Arbiter::new();
        let placement = Arc::new(Placement::new([other.handle()]));
        assert_eq!(placement.threads().get(), 2);
        for port in 0..4 {
            let (told, mut threads) = mpsc::unbounded_channel();
            let of_port = Arc::clone(&placement);
            let run = move || async move {
                for told in [told.clone(), told] {
                    of_port.spawn(move || async move {
                        told.send(thread::current().id()).expect("the test listens");
                    });
                }
            };
            // Ports take turns as well.
            placement.spawn(run);
            let links = [threads.recv().await, threads.recv().await];
            assert!(links[0].is_some() && links[0] != links[1], "port {port}: {links:?}");
        }
        other.stop();
    }
}
