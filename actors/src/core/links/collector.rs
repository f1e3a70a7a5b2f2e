//! The receiving half: in which order what has come by several links counts (IEEE 802.1AX,
//! frame collector).
//!
//! Almost always at once. A link that has just come may have to wait until others have
//! delivered what was sent before the flows moved, and what a link that is gone still delivers
//! does not count. What waits keeps its credit: so it is bounded by those of its link.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use super::{ENDED, LinkId, LinkMessage, MARKER_LIMIT, MAX_LINKS};

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Collected<T> {
    /// It counts now.
    Now(T),
    /// It waits. [`Collector::ready`] gives it back.
    Waits,
    /// Its link is gone.
    Gone(T),
}

/// What has come by the links of a port, in batches of `T`. A message has an empty one, which holds
/// its credit.
#[derive(Debug)]
pub(crate) struct Collector<T> {
    links: Vec<Source<T>>,
    /// Connections that have ended lately.
    ended: VecDeque<LinkId>,
}

#[derive(Debug)]
struct Source<T> {
    id: LinkId,
    /// The latest of its markers.
    passed: u32,
    /// What it waits for.
    waits: Vec<(LinkId, u32)>,
    since: Instant,
    /// What waits, in the order in which it has come.
    kept: VecDeque<Item<T>>,
}

#[derive(Debug)]
enum Item<T> {
    Batch(T),
    Message(LinkMessage, T),
}

impl<T> Source<T> {
    const fn is_waiting(&self) -> bool {
        !self.waits.is_empty()
    }

    fn wait(&mut self, other: LinkId, marker: u32, now: Instant) {
        if !self.is_waiting() {
            self.since = now;
        }
        // There are no more links than that to wait for.
        if self.waits.len() < usize::from(MAX_LINKS) {
            self.waits.push((other, marker));
        }
    }
}

impl<T> Default for Collector<T> {
    fn default() -> Self {
        Self { links: Vec::new(), ended: VecDeque::new() }
    }
}

impl<T> Collector<T> {
    /// A link is up; `false` if the other end has said before that it is gone.
    pub(crate) fn open(&mut self, id: LinkId, now: Instant) -> bool {
        let is_new = !self.ended.contains(&id) && self.find(id).is_none();
        if is_new {
            let (waits, kept) = (Vec::new(), VecDeque::new());
            self.links.push(Source { id, passed: 0, waits, since: now, kept });
        }
        is_new
    }

    /// A link is gone, with what waits of it; those that wait for it do so no more.
    pub(crate) fn close(&mut self, id: LinkId) -> Vec<T> {
        if id != LinkId::ONLY && !self.ended.contains(&id) {
            if self.ended.len() == ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back(id);
        }
        let Some(at) = self.find(id) else { return Vec::new() };
        let kept = self.links.remove(at).kept;
        let batch = |item| if let Item::Batch(batch) = item { Some(batch) } else { None };
        kept.into_iter().filter_map(batch).collect()
    }

    fn find(&self, id: LinkId) -> Option<usize> {
        self.links.iter().position(|link| link.id == id)
    }

    /// A batch has come by a link.
    #[inline]
    pub(crate) fn batch(&mut self, id: LinkId, batch: T) -> Collected<T> {
        let Some(at) = self.find(id) else { return Collected::Gone(batch) };
        let link = &mut self.links[at];
        if !link.is_waiting() && link.kept.is_empty() {
            return Collected::Now(batch);
        }
        link.kept.push_back(Item::Batch(batch));
        Collected::Waits
    }

    /// A message has come by a link, and holds `held` until it counts. Gives what is gone with
    /// it: a link, and what waited of it. Then there may be something [ready](Self::ready).
    pub(crate) fn message(
        &mut self,
        id: LinkId,
        message: LinkMessage,
        held: T,
        now: Instant,
    ) -> Option<(LinkId, Vec<T>)> {
        let at = self.find(id)?;
        let link = &mut self.links[at];
        match message {
            LinkMessage::Gone(gone) => return Some((gone, self.close(gone))),
            // It waits for all of them at the same time.
            LinkMessage::After(other, marker) if link.kept.is_empty() => {
                link.wait(other, marker, now);
            }
            message => link.kept.push_back(Item::Message(message, held)),
        }
        None
    }

    /// The next batch that waits no more.
    pub(crate) fn ready(&mut self, now: Instant) -> Option<T> {
        loop {
            self.release();
            let mut links = self.links.iter_mut();
            let link = links.find(|link| !link.is_waiting() && !link.kept.is_empty())?;
            match link.kept.pop_front()? {
                Item::Batch(batch) => return Some(batch),
                Item::Message(LinkMessage::Marker(marker), _) => {
                    link.passed = link.passed.max(marker);
                }
                Item::Message(LinkMessage::After(other, marker), _) => {
                    link.wait(other, marker, now);
                }
                // It counts when it comes.
                Item::Message(LinkMessage::Gone(_), _) => {}
            }
        }
    }

    /// Time until a link has waited for long enough, if one waits.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let waiting = self.links.iter().filter(|link| link.is_waiting());
        let waited = waiting.map(|link| now.saturating_duration_since(link.since)).max()?;
        Some(MARKER_LIMIT.saturating_sub(waited))
    }

    /// Lets links go on that have waited for longest: how many.
    pub(crate) fn expire(&mut self, now: Instant) -> u64 {
        let is_over = |link: &Source<T>| {
            link.is_waiting() && now.saturating_duration_since(link.since) >= MARKER_LIMIT
        };
        let expired = self.links.iter_mut().filter(|link| is_over(link));
        expired.map(|link| link.waits.clear()).fold(0, |count, ()| count + 1)
    }

    /// Ends the waits that are over.
    fn release(&mut self) {
        for at in 0..self.links.len() {
            let mut waits = mem::take(&mut self.links[at].waits);
            waits.retain(|&(other, marker)| match self.find(other) {
                Some(other) => self.links[other].passed < marker,
                // One that is not up yet will be; one that has ended will not.
                None => !self.ended.contains(&other),
            });
            self.links[at].waits = waits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LinkId = LinkId(1);
    const B: LinkId = LinkId(2);

    fn two(now: Instant) -> Collector<u8> {
        let mut links = Collector::default();
        assert!(links.open(A, now) && links.open(B, now));
        links
    }

    #[test]
    fn a_link_waits_for_the_marker_of_another() {
        let now = Instant::now();
        let mut links = two(now);
        links.message(B, LinkMessage::After(A, 1), 0, now);
        assert_eq!((links.ready(now), links.batch(B, 2)), (None, Collected::Waits));
        assert_eq!((links.batch(A, 1), links.ready(now)), (Collected::Now(1), None));
        links.message(A, LinkMessage::Marker(1), 0, now);
        assert_eq!((links.ready(now), links.ready(now)), (Some(2), None));
        assert_eq!(links.batch(B, 3), Collected::Now(3));
    }

    #[test]
    fn a_link_waits_for_one_that_is_not_up_yet_but_for_none_that_has_ended() {
        let now = Instant::now();
        let mut links = two(now);
        links.message(B, LinkMessage::After(LinkId(3), 1), 0, now);
        assert_eq!(links.batch(B, 2), Collected::Waits);
        assert!(links.open(LinkId(3), now));
        links.message(LinkId(3), LinkMessage::Marker(1), 0, now);
        assert_eq!(links.ready(now), Some(2));
        links.message(A, LinkMessage::Gone(LinkId(3)), 0, now);
        links.message(B, LinkMessage::After(LinkId(3), 2), 0, now);
        assert_eq!((links.ready(now), links.batch(B, 4)), (None, Collected::Now(4)));
    }

    #[test]
    fn nothing_counts_of_a_link_that_is_gone_even_if_it_comes_up_later() {
        let now = Instant::now();
        let mut links = two(now);
        links.message(B, LinkMessage::After(A, 1), 0, now);
        assert_eq!((links.ready(now), links.batch(B, 2)), (None, Collected::Waits));
        assert_eq!(links.message(A, LinkMessage::Gone(B), 0, now), Some((B, vec![2])));
        assert_eq!(links.batch(B, 3), Collected::Gone(3));
        links.message(A, LinkMessage::Gone(LinkId(3)), 0, now);
        assert!(!links.open(LinkId(3), now));
    }

    #[test]
    fn a_marker_that_never_comes_holds_a_link_for_three_seconds() {
        let now = Instant::now();
        let mut links = two(now);
        links.message(B, LinkMessage::After(A, 1), 0, now);
        assert_eq!((links.ready(now), links.batch(B, 2)), (None, Collected::Waits));
        assert_eq!(links.expire(now + MARKER_LIMIT - Duration::from_millis(1)), 0);
        assert!(links.wait(now).is_some() && links.ready(now).is_none());
        assert_eq!(links.expire(now + MARKER_LIMIT), 1);
        assert_eq!(links.expire(now + MARKER_LIMIT), 0, "it waits no more");
        assert_eq!((links.ready(now), links.wait(now)), (Some(2), None));
    }

    #[test]
    fn messages_that_wait_hold_their_credits_but_those_that_name_what_is_waited_for() {
        let (now, credit) = (Instant::now(), std::sync::Arc::new(()));
        let mut links = Collector::default();
        assert!(links.open(A, now) && links.open(B, now));
        let held = || std::sync::Arc::clone(&credit);
        let count = || std::sync::Arc::strong_count(&credit) - 1;
        for other in [A, LinkId(3)] {
            links.message(B, LinkMessage::After(other, 1), held(), now);
        }
        assert_eq!(count(), 0);
        links.message(B, LinkMessage::Marker(1), held(), now);
        links.message(B, LinkMessage::After(A, 2), held(), now);
        assert_eq!((links.ready(now), count()), (None, 2));
        links.message(A, LinkMessage::Marker(2), held(), now);
        links.message(A, LinkMessage::Gone(LinkId(3)), held(), now);
        assert_eq!((links.ready(now), count(), links.wait(now)), (None, 0, None));
    }
}
