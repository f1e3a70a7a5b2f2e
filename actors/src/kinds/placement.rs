//! Where ports and their links run: Arbiters, in turn.

use std::{
    future::Future,
    iter,
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
};

use actix_rt::ArbiterHandle;

/// Arbiters for ports, in turn. `None` is the one that the command comes in on.
#[derive(Debug)]
pub(crate) struct Placement {
    arbiters: Vec<Option<ArbiterHandle>>,
    next: AtomicUsize,
}

impl Placement {
    /// On the Arbiter that a command comes in on, and on these.
    pub(crate) fn new(arbiters: impl IntoIterator<Item = ArbiterHandle>) -> Self {
        let arbiters = iter::once(None).chain(arbiters.into_iter().map(Some)).collect();
        Self { arbiters, next: AtomicUsize::new(0) }
    }

    /// How many there are.
    pub(crate) fn threads(&self) -> NonZero<usize> {
        NonZero::new(self.arbiters.len()).unwrap_or(NonZero::<usize>::MIN)
    }

    /// Whose turn it is.
    pub(crate) fn next(&self) -> Option<&ArbiterHandle> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.arbiters[turn % self.arbiters.len()].as_ref()
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
