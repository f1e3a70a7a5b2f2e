//! Whose turn it is in an egress queue: holders share it, and so do the ports of each holder.
//! Flooded frames have a part of it by themselves.
//!
//! Below the lanes. Start-time fair queuing (Goyal, Vin and Cheng, 1996) on three levels: who
//! is served pays with his next turn. While all frames are from one source, which is nearly
//! always, this is a plain queue.

use std::collections::{BTreeSet, HashMap, VecDeque};

use foldhash::fast::RandomState;

use super::{
    batch::{BATCH_FRAMES, Source},
    restraint::KNOWN_PER_FLOODED,
};

/// Who is so many octets ahead of his part waits like the others: two of the longest frames.
const LEAD: u64 = 128 * 1024;

/// Those who wait at one place, by number.
#[derive(Debug, Default)]
struct Turns {
    /// Turn of the one who was served last.
    last: u64,
    waiting: BTreeSet<(u64, u32)>,
    /// Turns of all who wait, and of those who waited since the queue was empty.
    of: HashMap<u32, u64, RandomState>,
}

impl Turns {
    /// Whose turn it is.
    fn now(&self) -> u64 {
        self.waiting.first().map_or(self.last, |(turn, _)| *turn)
    }

    fn turn(&self, who: u32) -> u64 {
        self.of.get(&who).copied().unwrap_or_default().max(self.now())
    }

    fn enter(&mut self, who: u32) {
        let turn = self.turn(who);
        if self.waiting.insert((turn, who)) {
            self.of.insert(who, turn);
        }
    }

    fn waits(&self, who: u32) -> bool {
        self.of.get(&who).is_some_and(|turn| self.waiting.contains(&(*turn, who)))
    }

    /// He waits no more, and was not served.
    fn leave(&mut self, who: u32) {
        if let Some(turn) = self.of.get(&who) {
            self.waiting.remove(&(*turn, who));
        }
    }

    fn first(&self) -> Option<u32> {
        self.waiting.first().map(|(_, who)| *who)
    }

    /// The first was served; `waits`: he has more.
    fn serve(&mut self, cost: u64, waits: bool) {
        let Some((turn, who)) = self.waiting.pop_first() else { return };
        self.last = turn;
        self.of.insert(who, turn + cost);
        if waits {
            self.waiting.insert((turn + cost, who));
        }
    }

    /// Whose turn it is of all but `who`.
    fn others(&self, who: u32) -> Option<u64> {
        self.waiting.iter().find(|(_, one)| *one != who).map(|(turn, _)| *turn)
    }

    /// Somebody was served before his turn: he pays if others wait.
    fn charge(&mut self, who: u32, cost: u64) {
        if self.others(who).is_some() {
            let turn = self.turn(who) + cost;
            let before = self.of.insert(who, turn);
            if before.is_some_and(|before| self.waiting.remove(&(before, who))) {
                self.waiting.insert((turn, who));
            }
        }
    }

    /// How far ahead of the others he is.
    fn lead(&self, who: u32) -> u64 {
        self.others(who).map_or(0, |turn| self.turn(who).saturating_sub(turn))
    }
}

/// A queue of frames, or of something with them.
#[derive(Debug)]
pub(crate) struct Fair<T> {
    /// While all are from one source.
    only: VecDeque<T>,
    source: Source,
    shared: Option<Box<Shared<T>>>,
}

#[derive(Debug)]
struct Shared<T> {
    len: usize,
    classes: Turns,
    holders: [Turns; 2],
    ports: HashMap<(bool, u32), Turns, RandomState>,
    queues: HashMap<Source, VecDeque<T>, RandomState>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { only: VecDeque::new(), source: Source::OWN, shared: None }
    }
}

impl<T> Fair<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.only.is_empty() && self.shared.is_none()
    }

    #[inline]
    pub(crate) fn push(&mut self, source: Source, item: T) {
        if self.shared.is_none() && (self.source == source || self.only.is_empty()) {
            self.source = source;
            self.only.push_back(item);
        } else {
            self.share().push(source, item);
        }
    }

    /// Whether flooded frames wait.
    #[inline]
    pub(crate) fn has_flooded(&self) -> bool {
        match &self.shared {
            None => self.source.flooded && !self.only.is_empty(),
            Some(shared) => shared.classes.waits(1),
        }
    }

    /// The next one; without `flooded` the next that is not.
    #[inline]
    pub(crate) fn front(&self, flooded: bool) -> Option<&T> {
        match &self.shared {
            None if self.source.flooded && !flooded => None,
            None => self.only.front(),
            Some(shared) => shared.queues.get(&shared.first(flooded)?)?.front(),
        }
    }

    /// Takes the next one; `cost` says what it costs, in octets.
    #[inline]
    pub(crate) fn pop(&mut self, flooded: bool, cost: impl Fn(&T) -> usize) -> Option<(Source, T)> {
        let Some(shared) = &mut self.shared else {
            let is_held = self.source.flooded && !flooded;
            return if is_held { None } else { Some((self.source, self.only.pop_front()?)) };
        };
        let popped = shared.pop(flooded, cost);
        if shared.len == 0 {
            self.shared = None;
        }
        popped
    }

    /// A frame of `source` passes by those that wait, unless it is far ahead of its part
    /// already; whether it may.
    pub(crate) fn pass(&mut self, source: Source, cost: usize) -> bool {
        if self.shared.is_none() && (self.source == source || self.only.is_empty()) {
            return true;
        }
        self.share().pass(source, cost as u64)
    }

    fn share(&mut self) -> &mut Shared<T> {
        let Self { only, source, shared } = self;
        shared.get_or_insert_with(|| {
            let mut shared = Box::<Shared<T>>::default();
            only.drain(..).for_each(|item| shared.push(*source, item));
            shared
        })
    }

    /// Gives back the memory that a burst took.
    pub(crate) fn shrink(&mut self) {
        if self.only.is_empty() {
            self.only.shrink_to(BATCH_FRAMES);
        }
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            len: 0,
            classes: Turns::default(),
            holders: Default::default(),
            ports: HashMap::default(),
            queues: HashMap::default(),
        }
    }
}

impl<T> Shared<T> {
    fn push(&mut self, source: Source, item: T) {
        let Source { holder, port, flooded } = source;
        self.len += 1;
        let queue = self.queues.entry(source).or_default();
        queue.push_back(item);
        if queue.len() > 1 {
            return;
        }
        self.ports.entry((flooded, holder)).or_default().enter(port);
        let holders = &mut self.holders[usize::from(flooded)];
        if !holders.waits(holder) {
            holders.enter(holder);
        }
        if !self.classes.waits(flooded.into()) {
            self.classes.enter(flooded.into());
        }
    }

    /// Of known frames only, or of all.
    fn first(&self, flooded: bool) -> Option<Source> {
        let flooded = flooded && self.classes.first()? == 1;
        let holder = self.holders[usize::from(flooded)].first()?;
        let port = self.ports.get(&(flooded, holder))?.first()?;
        Some(Source { holder, port, flooded })
    }

    fn pop(&mut self, all: bool, cost: impl Fn(&T) -> usize) -> Option<(Source, T)> {
        let source = self.first(all)?;
        let Source { holder, flooded, .. } = source;
        let queue = self.queues.get_mut(&source)?;
        let item = queue.pop_front()?;
        let waits = !queue.is_empty();
        if !waits {
            self.queues.remove(&source);
        }
        self.len -= 1;
        let cost = cost(&item) as u64;
        let ports = self.ports.get_mut(&(flooded, holder))?;
        ports.serve(cost, waits);
        let waits = !ports.waiting.is_empty();
        let holders = &mut self.holders[usize::from(flooded)];
        holders.serve(cost, waits);
        let waits = !holders.waiting.is_empty();
        if all {
            self.classes.serve(weighed(cost, flooded), waits);
        } else if !waits {
            // The others are held up, and do not catch up with it later.
            self.classes.leave(flooded.into());
        }
        Some((source, item))
    }

    fn pass(&mut self, source: Source, cost: u64) -> bool {
        let Source { holder, port, flooded } = source;
        let holders = &mut self.holders[usize::from(flooded)];
        let ports = self.ports.entry((flooded, holder)).or_default();
        let lead =
            self.classes.lead(flooded.into()).max(holders.lead(holder)).max(ports.lead(port));
        if lead > LEAD {
            return false;
        }
        ports.charge(port, cost);
        holders.charge(holder, cost);
        self.classes.charge(flooded.into(), weighed(cost, flooded));
        true
    }
}

const fn weighed(cost: u64, flooded: bool) -> u64 {
    if flooded { cost * KNOWN_PER_FLOODED } else { cost }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn source(holder: u32, port: u32, flooded: bool) -> Source {
        Source { holder, port, flooded }
    }

    /// Octets that each source gets of a link that takes `octets`, where each has a long
    /// queue of frames of its own length.
    fn shares(sources: &[(Source, usize)], octets: usize) -> Vec<usize> {
        let mut fair = Fair::default();
        for &(source, len) in sources {
            (0..2 * octets / len).for_each(|_| fair.push(source, len));
        }
        let (mut got, mut sum) = (vec![0; sources.len()], 0);
        while sum < octets {
            let (source, len) = fair.pop(true, |len| *len).expect("more than that waits");
            let at = sources.iter().position(|one| one.0 == source).expect("one of them");
            (got[at], sum) = (got[at] + len, sum + len);
        }
        got
    }

    fn assert_near(got: &[usize], wanted: &[usize]) {
        let is_near = |(got, wanted): (&usize, &usize)| got.abs_diff(*wanted) < 70_000;
        assert!(got.iter().zip(wanted).all(is_near), "{got:?}, not {wanted:?}");
    }

    #[test]
    fn holders_share_whatever_the_number_of_their_ports_and_the_length_of_their_frames() {
        let known = |holder, port| source(holder, port, false);
        let got =
            shares(&[(known(1, 1), 60), (known(2, 2), 1514), (known(3, 3), 65_550)], 3_000_000);
        assert_near(&got, &[1_000_000; 3]);
        let many: Vec<_> = (0..40).map(|port| (known(1, port), 1400)).collect();
        let got = shares(&[&many[..], &[(known(2, 99), 1514)]].concat(), 4_000_000);
        assert_near(&got, &[&[50_000; 40][..], &[2_000_000]].concat());
    }

    #[test]
    fn flooded_frames_have_an_eighth_and_share_it() {
        let sources = [
            (source(1, 1, true), 1400),
            (source(1, 2, true), 1400),
            (source(2, 3, true), 60),
            (source(2, 3, false), 1514),
        ];
        assert_near(&shares(&sources, 8_000_000), &[250_000, 250_000, 500_000, 7_000_000]);
        assert_near(&shares(&sources[..3], 800_000), &[200_000, 200_000, 400_000]);
    }

    #[test]
    fn who_passes_by_pays_with_his_next_turn() {
        let (one, other) = (source(1, 1, false), source(2, 2, false));
        let mut fair = Fair::default();
        assert!((0..10_000).all(|_| fair.pass(one, 124)), "nobody waits");
        (0..5000).for_each(|_| fair.push(other, 1514));
        let passed = (0..10_000).filter(|_| fair.pass(one, 124)).count();
        assert!((1000..1200).contains(&passed), "{passed}");
        assert!(fair.pass(other, 124), "who waits himself is not ahead");
        let (mut served, mut passed) = (0, 0);
        for _ in 0..50 {
            served +=
                (0..50).map(|_| fair.pop(true, |len| *len).expect("they wait").1).sum::<usize>();
            passed += (0..10_000).filter(|_| fair.pass(one, 124)).count() * 124;
        }
        assert!(passed.abs_diff(served) < served / 20, "{passed} beside {served}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_each_source_keeps_its_order(
            steps in vec(prop::option::weighted(0.6, (0..3u32, 0..2u32, any::<bool>(), 1..2000usize)), 0..300),
        ) {
            let mut fair = Fair::default();
            let (mut sent, mut out) = (Vec::new(), Vec::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Some((holder, port, flooded, len)) => {
                        let source = source(holder, holder * 2 + port, flooded);
                        fair.push(source, (number, len));
                        sent.push((source, number));
                        if len % 5 == 0 { fair.pass(source, len); }
                    }
                    None => {
                        let front = fair.front(true).copied();
                        let popped = fair.pop(true, |(_, len)| *len);
                        prop_assert_eq!(front, popped.map(|(_, item)| item));
                        out.extend(popped.map(|(source, (number, _))| (source, number)));
                    }
                }
                prop_assert_eq!(fair.is_empty(), sent.len() == out.len());
            }
            out.extend(std::iter::from_fn(|| fair.pop(true, |(_, len)| *len)).map(|(s, (n, _))| (s, n)));
            for (source, _) in &sent {
                let of = |all: &[(Source, usize)]| -> Vec<usize> {
                    all.iter().filter(|one| one.0 == *source).map(|one| one.1).collect()
                };
                prop_assert_eq!(of(&out), of(&sent));
            }
            prop_assert_eq!(out.len(), sent.len());
        }
    }
}
