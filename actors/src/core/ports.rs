//! The table of ports: each has a *place* from which it does not move, and which the next
//! port takes when it has gone. Sets of ports are bits over these places.
//!
//! Numbers, which are given once, are for people and for what outlives a port; places are
//! for the frame's path.

use std::{
    collections::{BTreeMap, HashMap},
    ops::{Bound, Index, IndexMut},
};

use foldhash::fast::RandomState;

use super::fdb::PortNumber;

/// Ports that are shown at once: a tenth of a millisecond.
pub(crate) const PAGE: usize = 64;

/// Ports by place and by number.
#[derive(Debug)]
pub(crate) struct Ports<T> {
    places: Vec<Option<T>>,
    /// Places without a port; the lowest is not sought, any will do.
    free: Vec<usize>,
    numbers: HashMap<PortNumber, usize, RandomState>,
    /// The same in order, for people.
    order: BTreeMap<PortNumber, usize>,
}

impl<T> Default for Ports<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            numbers: HashMap::default(),
            order: BTreeMap::new(),
        }
    }
}

impl<T> Ports<T> {
    /// Gives a port its place. Its number must be new.
    pub(crate) fn insert(&mut self, number: PortNumber, port: T) -> usize {
        let at = self.free.pop().unwrap_or(self.places.len());
        if at == self.places.len() {
            self.places.push(None);
        }
        self.places[at] = Some(port);
        self.numbers.insert(number, at);
        self.order.insert(number, at);
        at
    }

    /// Takes a port out, whose place is free then.
    pub(crate) fn remove(&mut self, number: PortNumber) -> Option<T> {
        let at = self.numbers.remove(&number)?;
        self.order.remove(&number);
        self.free.push(at);
        self.places[at].take()
    }

    /// Where the port with this number is.
    pub(crate) fn find(&self, number: PortNumber) -> Option<usize> {
        self.numbers.get(&number).copied()
    }

    /// All places that have a port, ascending.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> + use<T> {
        let taken: Vec<_> = self.iter().map(|(at, _)| at).collect();
        taken.into_iter()
    }

    /// All ports, by place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.places.iter().enumerate().filter_map(|(at, port)| Some((at, port.as_ref()?)))
    }

    /// All ports by number, or those behind `after`.
    pub(crate) fn by_number(&self, after: Option<PortNumber>) -> impl Iterator<Item = &T> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.order.range((from, Bound::Unbounded)).filter_map(|(_, &at)| self.places[at].as_ref())
    }
}

impl<T> Index<usize> for Ports<T> {
    type Output = T;

    /// # Panics
    /// There is no port at this place: places are only had from here, and end with their
    /// port.
    fn index(&self, at: usize) -> &T {
        self.places[at].as_ref().expect("a port at its place")
    }
}

impl<T> IndexMut<usize> for Ports<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        self.places[at].as_mut().expect("a port at its place")
    }
}

/// A set of ports, by place: who takes part in a flood, in a VLAN, in a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PortSet(Vec<u64>);

/// Places that one word stands for.
const BITS: usize = u64::BITS as usize;

impl PortSet {
    /// Adds or removes a place.
    pub(crate) fn set(&mut self, at: usize, is_member: bool) {
        let (word, bit) = (at / BITS, 1 << (at % BITS));
        if is_member {
            if self.0.len() <= word {
                self.0.resize(word + 1, 0);
            }
            self.0[word] |= bit;
        } else if let Some(word) = self.0.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether a place is in it.
    #[inline]
    pub(crate) fn contains(&self, at: usize) -> bool {
        self.0.get(at / BITS).is_some_and(|word| word >> (at % BITS) & 1 == 1)
    }

    /// The places from `word` times 64 on, 64 of them, as bits.
    pub(crate) fn word(&self, word: usize) -> u64 {
        self.0.get(word).copied().unwrap_or(0)
    }

    /// The first member from place `from` on. Walking a set borrows nothing: it may change
    /// meanwhile.
    pub(crate) fn next(&self, from: usize) -> Option<usize> {
        self.next_of(from, |_| u64::MAX)
    }

    /// The same, of those that are in `other`, too, which is asked for by [word](Self::word).
    pub(crate) fn next_of(&self, from: usize, other: impl Fn(usize) -> u64) -> Option<usize> {
        let mut word = from / BITS;
        let mut bits = self.0.get(word)? & other(word) & (u64::MAX << (from % BITS));
        while bits == 0 {
            word += 1;
            bits = self.0.get(word)? & other(word);
        }
        Some(word * BITS + bits.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn members(set: &PortSet) -> Vec<usize> {
        let first = set.next(0);
        std::iter::successors(first, |at| set.next(at + 1)).collect()
    }

    proptest! {
        #[test]
        fn a_set_is_as_a_set_of_numbers(
            changes in prop::collection::vec((0usize..200, any::<bool>()), 0..100),
        ) {
            let (mut set, mut model) = (PortSet::default(), BTreeSet::new());
            for (at, is_member) in changes {
                set.set(at, is_member);
                if is_member { model.insert(at) } else { model.remove(&at) };
                prop_assert_eq!(set.contains(at), is_member);
            }
            let even = |_| 0x5555_5555_5555_5555;
            let first = set.next_of(0, even);
            let evens = std::iter::successors(first, |at| set.next_of(at + 1, even));
            prop_assert!(evens.eq(model.iter().copied().filter(|at| at % 2 == 0)));
            prop_assert_eq!(members(&set), Vec::from_iter(model));
        }

        #[test]
        fn ports_keep_their_places_and_places_are_used_again(
            changes in prop::collection::vec(any::<Option<prop::sample::Index>>(), 0..100),
        ) {
            let (mut ports, mut model) = (Ports::default(), BTreeMap::new());
            let (mut number, mut most) = (PortNumber::FIRST, 0);
            for change in changes {
                match change {
                    Some(which) if !model.is_empty() => {
                        let gone = *which.get(&Vec::from_iter(model.keys().copied()));
                        model.remove(&gone);
                        prop_assert_eq!(ports.remove(gone), Some(gone));
                    }
                    _ => {
                        model.insert(number, ports.insert(number, number));
                        number = number.next();
                    }
                }
                most = most.max(model.len());
                for (&number, &at) in &model {
                    prop_assert_eq!((ports.find(number), ports[at]), (Some(at), number));
                }
                prop_assert!(ports.by_number(None).eq(model.keys()));
                let after = model.keys().nth(model.len() / 2).copied();
                prop_assert!(ports.by_number(after).eq(model.keys().filter(|one| Some(**one) > after)));
                prop_assert!(ports.places().all(|at| at < most));
            }
        }
    }
}
