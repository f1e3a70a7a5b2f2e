//! How much memory waits in queues and buffers: for each port, each holder, and all of them
//! under one bound.
//!
//! Those who take memory say so here, and so do those who give it back, a batch at a time; the
//! Switch asks before it queues a frame. Who has most comes to his limit first: dynamic
//! thresholds (Choudhury and Hahne, 1998). What one may have shrinks with what is left, so
//! there is always room for somebody else, and nothing need be taken from anybody.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Whether somebody who shares may have so many octets more. He has `own` by himself and
/// `group` with his like; all have `all`. If he is the only one he may have half of `bound`,
/// a group two thirds of it, and `all` never exceeds it.
pub(crate) const fn has_room(
    octets: usize,
    own: usize,
    group: usize,
    all: usize,
    bound: usize,
) -> bool {
    let left = bound.saturating_sub(all.saturating_add(octets));
    own.saturating_add(group).saturating_add(2 * octets) <= left.saturating_mul(2)
}

/// The memory of all queues, of those of a holder, or of those of a port that is up.
#[derive(Debug, Clone)]
pub struct QueueMemory(Arc<Account>);

#[derive(Debug)]
struct Account {
    used: AtomicUsize,
    /// Whose part this is.
    above: Option<QueueMemory>,
    total: Arc<Total>,
}

#[derive(Debug)]
struct Total {
    used: AtomicUsize,
    /// Octets that tunnels have just read, and the Switch has not seen yet.
    entering: AtomicUsize,
    bound: AtomicUsize,
}

impl QueueMemory {
    /// Nothing, of `bound` octets.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        let [used, entering] = Default::default();
        let total = Arc::new(Total { used, entering, bound: AtomicUsize::new(bound) });
        Self(Arc::new(Account { used: AtomicUsize::new(0), above: None, total }))
    }

    /// A part of it, which is empty.
    #[must_use]
    pub fn part(&self) -> Self {
        let (above, total) = (Some(self.clone()), Arc::clone(&self.0.total));
        Self(Arc::new(Account { used: AtomicUsize::new(0), above, total }))
    }

    pub(crate) fn set_bound(&self, bound: usize) {
        self.0.total.bound.store(bound, Relaxed);
    }

    /// Octets that all have, and may have.
    #[must_use]
    pub fn total(&self) -> (usize, usize) {
        let Total { used, entering, bound } = &*self.0.total;
        (used.load(Relaxed) + entering.load(Relaxed), bound.load(Relaxed))
    }

    /// Octets of this part.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Relaxed)
    }

    /// Whether it can matter who asks for so many octets. While half of all is free, and so
    /// nearly always, everybody may have them.
    #[inline]
    pub(crate) fn is_tight(&self, octets: usize) -> bool {
        let Total { used, bound, .. } = &*self.0.total;
        used.load(Relaxed).saturating_add(octets) > bound.load(Relaxed) / 2
    }

    /// Whether this part may have so many octets more. `pending` are those of all that have
    /// been promised and not been taken yet.
    #[cold]
    pub(crate) fn has_room(&self, octets: usize, pending: usize) -> bool {
        let Total { used, bound, .. } = &*self.0.total;
        let own = self.used();
        let group = self.0.above.as_ref().map_or(own, Self::used);
        let all = used.load(Relaxed).saturating_add(pending);
        has_room(octets, own, group, all, bound.load(Relaxed))
    }

    /// Takes so many octets.
    pub(crate) fn take(&self, octets: usize) {
        self.0.total.used.fetch_add(octets, Relaxed);
        self.each(|used| {
            used.fetch_add(octets, Relaxed);
        });
    }

    /// Gives so many of those back.
    pub(crate) fn give(&self, octets: usize) {
        self.0.total.used.fetch_sub(octets, Relaxed);
        self.each(|used| {
            used.fetch_sub(octets, Relaxed);
        });
    }

    fn each(&self, change: impl Fn(&AtomicUsize)) {
        let mut part = Some(self);
        while let Some(Self(account)) = part {
            change(&account.used);
            part = account.above.as_ref();
        }
    }

    /// Whether so much has been read that whoever wants to read more must wait a moment: an
    /// eighth of all. The Switch takes it at once.
    pub(crate) fn is_crowded(&self) -> bool {
        let Total { entering, bound, .. } = &*self.0.total;
        entering.load(Relaxed) > bound.load(Relaxed) / 8
    }

    /// Octets were read.
    pub(crate) fn enter(&self, octets: usize) {
        self.0.total.entering.fetch_add(octets, Relaxed);
    }

    /// The Switch has them.
    pub(crate) fn entered(&self, octets: usize) {
        self.0.total.entering.fetch_sub(octets, Relaxed);
    }
}

impl Drop for Account {
    /// What is in here is gone with it.
    fn drop(&mut self) {
        let left = *self.used.get_mut();
        if let Some(above) = &self.above {
            above.give(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Takes pieces of 1,000 octets for as long as there is room.
    fn fill(part: &QueueMemory) -> usize {
        let take = || {
            let has_room = part.has_room(1000, 0);
            if has_room {
                part.take(1000);
            }
            has_room
        };
        std::iter::repeat_with(take).take_while(|taken| *taken).count() * 1000
    }

    #[test]
    fn who_has_most_comes_to_his_limit_first_whatever_the_number_of_his_ports() {
        let all = QueueMemory::new(12_000_000);
        let [alice, bob] = [all.part(), all.part()];
        let hers: Vec<_> = (0..1000).map(|_| alice.part()).collect();
        let first = fill(&hers[0]);
        assert_eq!(first, 6_000_000, "half, if nobody else wants any");
        let rest: usize = hers[1..].iter().map(fill).sum();
        assert!((7_900_000..=8_000_000).contains(&(first + rest)), "{} in all", first + rest);
        assert_eq!(alice.used(), first + rest);
        let his = bob.part();
        assert_eq!(fill(&his), 2_000_000, "half of what is left");
        assert_eq!(fill(&hers[999]), 0);
        assert!(fill(&bob.part()) > 300_000, "a second port of his as well");
        assert!(all.total().0 <= 12_000_000);
        drop(hers);
        drop(alice);
        assert_eq!(all.total(), (bob.used(), 12_000_000), "what is gone has given all back");
        assert!(fill(&his) > 2_000_000);
        all.set_bound(1_000_000);
        assert_eq!(fill(&all.part().part()), 0);
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_half_of_it_is_for_everybody(
            asked in vec((0..4_usize, 1..3000_usize, any::<bool>()), 0..300),
        ) {
            let all = QueueMemory::new(20_000);
            let holders = [all.part(), all.part()];
            let parts: Vec<_> = (0..4).map(|at| holders[at / 2].part()).collect();
            for (at, octets, is_given) in asked {
                let has_room = parts[at].has_room(octets, 0);
                prop_assert!(has_room || all.is_tight(octets));
                if has_room {
                    parts[at].take(octets);
                } else if is_given {
                    parts[at].give(parts[at].used());
                }
                let sum: usize = parts.iter().map(QueueMemory::used).sum();
                prop_assert_eq!(sum, all.total().0);
                prop_assert!(sum <= 20_000);
            }
        }
    }
}
