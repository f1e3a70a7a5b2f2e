//! The sending half: which link a flow goes by (IEEE 802.1AX, frame distributor).
//!
//! Flows have a bucket each, by hash, and buckets have a link. A link that comes takes a fair
//! part of them and no other moves; those of a link that goes are given to the others. What is
//! to be said to the other end, so that no flow is reordered by that, comes with each change:
//! what is sent after it is to count after all that was sent before it, by whichever link.

use std::{collections::VecDeque, time::Instant};

use foldhash::fast::RandomState;

use super::{ENDED, LinkId, LinkMessage, MARKER_LIMIT, MAX_LINKS, flow};
use crate::core::frame::Frame;

/// Parts that flows are divided into: with eight links, of 32 buckets each, they differ by a
/// thirtieth at most.
pub(super) const BUCKETS: usize = 256;

const LINKS: usize = MAX_LINKS as usize;

/// To which link what is to be said.
pub(crate) type Saying = (u8, LinkMessage);

/// Who gets which flows.
#[derive(Debug)]
pub(crate) struct Distributor {
    /// The connection of each link that is up.
    up: [Option<LinkId>; LINKS],
    /// The link of each bucket, if one is up.
    pub(super) buckets: [u8; BUCKETS],
    /// The one that has all buckets.
    only: Option<u8>,
    failover: bool,
    hasher: RandomState,
    /// How many markers were given out.
    markers: u32,
    /// When a link has come last: flows that it took may still be under way by others.
    joined: Option<Instant>,
    /// Connections that the other end may not have heard of that they are gone.
    ended: VecDeque<LinkId>,
}

impl Distributor {
    /// No link is up. With `failover` the lowest one that is up gets everything.
    pub(crate) fn new(failover: bool) -> Self {
        Self {
            up: [None; LINKS],
            buckets: [0; BUCKETS],
            only: None,
            failover,
            hasher: RandomState::default(),
            markers: 0,
            joined: None,
            ended: VecDeque::new(),
        }
    }

    /// The link that `frame` goes by; any, if none is up.
    #[inline]
    pub(crate) fn pick(&self, frame: &Frame) -> u8 {
        match self.only {
            Some(only) => only,
            None => self.buckets[bucket(flow(frame, &self.hasher))],
        }
    }

    /// Whether the link `number` has any flows.
    pub(crate) fn is_used(&self, number: u8) -> bool {
        self.buckets.contains(&number)
    }

    /// The links that are up, ascending.
    fn links(&self) -> impl Iterator<Item = u8> + Clone + '_ {
        (0..MAX_LINKS).filter(|&number| self.up[usize::from(number)].is_some())
    }

    fn count(&self, number: u8) -> usize {
        self.buckets.iter().filter(|&&of| of == number).count()
    }

    /// The link `number`, below [`MAX_LINKS`], is up as `id`. What is to be said, in this
    /// order, before the next frame.
    pub(crate) fn join(&mut self, number: u8, id: LinkId, now: Instant) -> Vec<Saying> {
        let mut sayings = self.leave(number, now);
        // It may be the first that the other end hears since those have ended.
        sayings.extend(self.ended.iter().map(|&ended| (number, LinkMessage::Gone(ended))));
        let others: Vec<_> = self.links().collect();
        self.up[usize::from(number)] = Some(id);
        self.take_buckets(number, &others);
        self.joined = Some(now);
        sayings.extend(self.barrier(&others, &[number]));
        sayings
    }

    /// Gives the link `number` its part of what `others` have.
    fn take_buckets(&mut self, number: u8, others: &[u8]) {
        if others.is_empty() || self.failover {
            if others.iter().all(|&other| number < other) {
                self.buckets.fill(number);
            }
        } else {
            for _ in 0..BUCKETS / (others.len() + 1) {
                let giver = others.iter().max_by_key(|&&other| self.count(other));
                let of_giver = self.buckets.iter_mut().find(|of| Some(&**of) == giver);
                if let Some(bucket) = of_giver {
                    *bucket = number;
                }
            }
        }
        self.note_only();
    }

    /// The link `number` is down. What is to be said, in this order, before the next frame.
    pub(crate) fn leave(&mut self, number: u8, now: Instant) -> Vec<Saying> {
        let Some(id) = self.up.get_mut(usize::from(number)).and_then(Option::take) else {
            return Vec::new();
        };
        if self.ended.len() == ENDED {
            self.ended.pop_front();
        }
        // Of one without a number nothing can be said.
        if id != LinkId::ONLY {
            self.ended.push_back(id);
        }
        for at in 0..BUCKETS {
            if self.buckets[at] == number {
                let to = if self.failover {
                    self.links().next()
                } else {
                    self.links().min_by_key(|&other| self.count(other))
                };
                self.buckets[at] = to.unwrap_or(number);
            }
        }
        self.note_only();
        let others: Vec<_> = self.links().collect();
        let told = others.iter().filter(|_| id != LinkId::ONLY);
        let mut sayings: Vec<_> = told.map(|&other| (other, LinkMessage::Gone(id))).collect();
        // A flow that had moved to this link goes on by a third, perhaps before its first link
        // has delivered what came before.
        if self.joined.is_some_and(|joined| now.duration_since(joined) < MARKER_LIMIT) {
            sayings.extend(self.barrier(&others, &others));
        }
        sayings
    }

    /// What has `to` wait for all that was sent by `from` until now.
    fn barrier(&mut self, from: &[u8], to: &[u8]) -> Vec<Saying> {
        let mut sayings = Vec::new();
        if from.iter().any(|from| to.iter().any(|to| to != from)) {
            self.markers += 1;
            sayings.extend(from.iter().map(|&from| (from, LinkMessage::Marker(self.markers))));
        }
        for &from in from {
            let id = self.up[usize::from(from)].filter(|&id| id != LinkId::ONLY);
            let Some(id) = id else { continue };
            let after = LinkMessage::After(id, self.markers);
            sayings.extend(to.iter().filter(|&&to| to != from).map(|&to| (to, after)));
        }
        sayings
    }

    fn note_only(&mut self) {
        let first = self.buckets[0];
        self.only = self.buckets.iter().all(|&of| of == first).then_some(first);
    }
}

/// The bucket of a hash.
const fn bucket(hash: u64) -> usize {
    // As many as there are values of an octet.
    hash.to_be_bytes()[0] as usize
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    impl Distributor {
        /// Buckets of each link that is up.
        fn shares(&self) -> Vec<(u8, usize)> {
            self.links().map(|number| (number, self.count(number))).collect()
        }
    }

    #[test]
    fn a_link_that_comes_takes_a_fair_part_and_nothing_else_moves() {
        let (mut links, now) = (Distributor::new(false), Instant::now());
        for number in 0..MAX_LINKS {
            let before = links.buckets;
            links.join(number, LinkId(u32::from(number) + 1), now);
            let moved = before.iter().zip(&links.buckets).filter(|(a, b)| a != b);
            let to: Vec<_> = moved.map(|(_, &to)| to).collect();
            assert!(to.iter().all(|&to| to == number), "{to:?}");
            let share = BUCKETS / (usize::from(number) + 1);
            assert!(number == 0 || to.len() == share, "{} of {share}", to.len());
        }
    }

    #[test]
    fn with_failover_the_lowest_link_has_everything() {
        let (mut links, now) = (Distributor::new(true), Instant::now());
        links.join(2, LinkId(1), now);
        assert_eq!(links.only, Some(2));
        let sayings = links.join(1, LinkId(2), now);
        let [marker, after] = [LinkMessage::Marker(1), LinkMessage::After(LinkId(1), 1)];
        assert_eq!(sayings, [(2, marker), (1, after)]);
        assert_eq!(links.only, Some(1));
        links.join(3, LinkId(3), now);
        assert_eq!(links.only, Some(1), "it stands by");
        let gone = LinkMessage::Gone(LinkId(2));
        assert_eq!(links.leave(1, now + MARKER_LIMIT), [(2, gone), (3, gone)]);
        assert_eq!(links.only, Some(2));
    }

    #[test]
    fn a_link_in_the_place_of_another_is_told_as_another() {
        let (mut links, now) = (Distributor::new(false), Instant::now());
        links.join(0, LinkId(1), now);
        links.join(1, LinkId(2), now);
        let gone = LinkMessage::Gone(LinkId(2));
        let [marker, after] = [LinkMessage::Marker(2), LinkMessage::After(LinkId(1), 2)];
        let sayings = links.join(1, LinkId(3), now);
        assert_eq!(sayings, [(0, gone), (1, gone), (0, marker), (1, after)]);
    }

    #[test]
    fn while_flows_are_moving_those_of_a_link_that_goes_wait_for_all_others() {
        let (mut links, now) = (Distributor::new(false), Instant::now());
        for (number, id) in [(0, 1), (1, 2), (2, 3)] {
            links.join(number, LinkId(id), now);
        }
        let gone = LinkMessage::Gone(LinkId(3));
        let marker = LinkMessage::Marker(3);
        let after = |id| LinkMessage::After(LinkId(id), 3);
        let sayings = links.leave(2, now);
        let wanted = [(0, gone), (1, gone), (0, marker), (1, marker), (1, after(1)), (0, after(2))];
        assert_eq!(sayings, wanted, "a marker goes before what waits for others");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn all_buckets_are_on_links_that_are_up_and_evenly(
            steps in vec((0..MAX_LINKS, any::<bool>()), 1..60)
        ) {
            let (mut links, now) = (Distributor::new(false), Instant::now());
            for (id, (number, comes)) in (1..).zip(steps) {
                if comes { links.join(number, LinkId(id), now) } else { links.leave(number, now) };
                let shares = links.shares();
                if let (Some(most), Some(least)) = (
                    shares.iter().map(|(_, share)| share).max(),
                    shares.iter().map(|(_, share)| share).min(),
                ) {
                    prop_assert_eq!(shares.iter().map(|(_, share)| share).sum::<usize>(), BUCKETS);
                    prop_assert!(most - least <= 1, "{:?}", shares);
                }
                prop_assert!(links.ended.len() <= ENDED);
            }
        }
    }
}
