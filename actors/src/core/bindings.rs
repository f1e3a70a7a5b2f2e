//! Which station has which IP address, behind whose ports: what guards believe, since a server
//! has said so.
//!
//! Pure: time is an argument. A binding is its holder's and not a port's, so that it outlasts a
//! tunnel that is lost and a restart. Bounded in all and for each holder: over it, of whoever has
//! most the one goes that ends first, once a second, and whatever else comes is not bound.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use super::frame::{MacAddr, Vid};
use crate::names;

/// Bindings in all, unless told otherwise: some 4 MB.
pub const DEFAULT_BINDINGS: usize = 16_384;

/// This part of them a holder may have.
const PART: usize = 16;

/// How often at most all of them are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// How long an address that nobody has given stays with who has used it last. There are addresses
/// for a day (RFC 8981), and stations that move to another port.
const SEEN: Duration = Duration::from_secs(3600);

names! {
    /// Why a station has an address.
    pub enum BindingType {
        /// A DHCP server has given it.
        Dhcp = "dhcp",
        /// It was the first to use it (RFC 6620), or is behind a trusted port.
        Seen = "seen",
        /// It has said so in ARP or neighbor discovery, for `neigh-suppress`: no guard believes it.
        Heard = "heard",
        /// The same, and it is an IPv6 router.
        Router = "router",
        /// Another station has said so of itself, too: nobody is answered in its name meanwhile.
        Disputed = "disputed",
    }
}

/// A VLAN and an address in it.
pub type Key = (Vid, IpAddr);

/// What a station has an address by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The station.
    pub mac: MacAddr,
    /// Behind whose ports it is, as [`Holder::identity`](crate::holder::Holder) says it, or which
    /// port, by its name or its kind and target.
    pub holder: Arc<str>,
    /// When it ends.
    pub until: Instant,
    /// Why it has it.
    pub kind: BindingType,
}

impl Binding {
    fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }
}

/// All bindings.
#[derive(Debug)]
pub struct Bindings {
    entries: BTreeMap<Key, Binding>,
    counts: HashMap<Arc<str>, usize>,
    capacity: usize,
    swept: Option<Instant>,
    changes: u64,
}

impl Bindings {
    /// At most so many.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let (entries, counts) = Default::default();
        Self { entries, counts, capacity, swept: None, changes: 0 }
    }

    /// Says how many there may be; those that are there stay.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// How many there are, and may be.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.entries.len(), self.capacity)
    }

    /// Another number whenever one has come, gone or changed.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Who has an address.
    #[must_use]
    pub fn get(&self, key: Key, now: Instant) -> Option<&Binding> {
        self.entries.get(&key).filter(|binding| !binding.is_over(now))
    }

    /// Binds an address, whoever has had it; whether there was room.
    pub fn bind(&mut self, key: Key, binding: Binding, now: Instant) -> bool {
        self.unbind(key);
        if binding.is_over(now) || !self.has_room(&binding.holder, now) {
            return false;
        }
        *self.counts.entry(Arc::clone(&binding.holder)).or_default() += 1;
        self.entries.insert(key, binding);
        self.changes += 1;
        true
    }

    /// Whether a station may use an address: it has it, or nobody has and it `may_be_first`.
    /// `None`: there is no room.
    pub fn claim(
        &mut self,
        key: Key,
        station: (MacAddr, &Arc<str>),
        may_be_first: bool,
        now: Instant,
    ) -> Option<bool> {
        let (mac, holder) = station;
        match self.get(key, now) {
            Some(binding) if binding.mac != mac || binding.holder != *holder => Some(false),
            Some(Binding { kind: BindingType::Dhcp, .. }) => Some(true),
            // Not for each frame.
            Some(binding) if binding.until.saturating_duration_since(now) > SEEN / 2 => Some(true),
            None if !may_be_first => Some(false),
            _ => self.see(key, station, now).then_some(true),
        }
    }

    /// Notes that a station uses an address, unless a server has given it to somebody; whether
    /// there was room.
    pub fn see(&mut self, key: Key, (mac, holder): (MacAddr, &Arc<str>), now: Instant) -> bool {
        match self.get(key, now) {
            Some(binding) if binding.kind == BindingType::Dhcp => true,
            Some(binding)
                if (binding.mac, &binding.holder) == (mac, holder)
                    && binding.until.saturating_duration_since(now) > SEEN / 2 =>
            {
                true
            }
            _ => {
                let (holder, until) = (Arc::clone(holder), now + SEEN);
                self.bind(key, Binding { mac, holder, until, kind: BindingType::Seen }, now)
            }
        }
    }

    /// Forgets one; as it was.
    pub fn unbind(&mut self, key: Key) -> Option<Binding> {
        let binding = self.entries.remove(&key)?;
        if let Some(count) = self.counts.get_mut(&binding.holder) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&binding.holder);
            }
        }
        self.changes += 1;
        Some(binding)
    }

    /// Some of them, by VLAN and address: those behind `after` that are `wanted`. Of no more than
    /// [`PAGE`] that are looked at; the last of these, if there are more.
    pub fn page(
        &self,
        after: Option<Key>,
        now: Instant,
        wanted: impl Fn(&Key, &Binding) -> bool,
    ) -> (Vec<(Key, Binding)>, Option<Key>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.entries.range((from, Bound::Unbounded));
        let (mut page, mut last) = (Vec::new(), None);
        for (key, binding) in rest.by_ref().take(PAGE) {
            last = Some(*key);
            if !binding.is_over(now) && wanted(key, binding) {
                page.push((*key, binding.clone()));
            }
        }
        (page, last.filter(|_| rest.next().is_some()))
    }

    /// Gives those of a port that has another name now to that name.
    pub fn rename(&mut self, from: &str, to: &Arc<str>) {
        let Some((_, count)) = self.counts.remove_entry(from) else { return };
        *self.counts.entry(Arc::clone(to)).or_default() += count;
        let renamed = self.entries.values_mut().filter(|binding| &*binding.holder == from);
        renamed.for_each(|binding| binding.holder = Arc::clone(to));
        self.changes += 1;
    }

    /// Whether `holder` may have one more; makes room for it.
    fn has_room(&mut self, holder: &Arc<str>, now: Instant) -> bool {
        let part = (self.capacity / PART).max(1);
        let count = |all: &Self, holder| all.counts.get(holder).copied().unwrap_or_default();
        let is_free = |all: &Self| (count(all, holder) < part, all.entries.len() < all.capacity);
        if is_free(self) == (true, true) {
            return true;
        }
        if self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP) {
            return false;
        }
        self.collect(now);
        let most = match is_free(self) {
            (true, true) => return true,
            (false, _) => Arc::clone(holder),
            // By name where several have as many.
            (true, false) => {
                let most = self.counts.iter().max_by_key(|(holder, count)| (**count, *holder));
                let Some((most, _)) = most else { return false };
                Arc::clone(most)
            }
        };
        let own = self.entries.iter().filter(|(_, binding)| binding.holder == most);
        let first = own.min_by_key(|(key, binding)| (binding.until, **key)).map(|(key, _)| *key);
        first.is_some_and(|key| self.unbind(key).is_some())
    }

    /// Whether there are none, not even such that have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets those that have ended.
    pub fn collect(&mut self, now: Instant) {
        self.swept = Some(now);
        let over = self.entries.extract_if(.., |_, binding| binding.is_over(now));
        let over: Vec<_> = over.map(|(_, binding)| binding.holder).collect();
        for holder in over {
            if let Some(count) = self.counts.get_mut(&holder) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&holder);
                }
            }
        }
    }
}

/// Bindings that are looked at for one page: more would hold up frames.
pub const PAGE: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(last: u8) -> Key {
        (Vid::UNTAGGED, IpAddr::from([192, 0, 2, last]))
    }

    fn mac(last: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, last])
    }

    #[derive(Debug, Clone)]
    enum Step {
        Bind { ip: u8, holder: u8, seconds: u64 },
        Unbind(u8),
        Rename(u8, u8),
        Wait(u64),
        Collect,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0u8..40, 0u8..4, 0u64..20).prop_map(|(ip, holder, seconds)| Step::Bind {
                ip, holder, seconds,
            }),
            2 => (0u8..40).prop_map(Step::Unbind),
            1 => (0u8..4, 0u8..4).prop_map(|(from, to)| Step::Rename(from, to)),
            2 => (0u64..5).prop_map(Step::Wait),
            1 => Just(Step::Collect),
        ]
    }

    proptest! {
        /// What is there was bound last so; counts are right; bounds hold; what had room is there.
        #[test]
        fn bindings_agree_with_a_naive_model(steps in prop::collection::vec(step(), 0..200)) {
            let mut now = Instant::now();
            let mut bindings = Bindings::new(32);
            let mut model: BTreeMap<Key, Binding> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Bind { ip, holder, seconds } => {
                        let holder: Arc<str> = holder.to_string().into();
                        let until = now + Duration::from_secs(seconds);
                        let binding = Binding { mac: mac(ip), holder, until, kind: BindingType::Dhcp };
                        let bound = bindings.bind(key(ip), binding.clone(), now);
                        model.remove(&key(ip));
                        if bound {
                            model.insert(key(ip), binding);
                        }
                        let gone = |key: &Key| !bindings.entries.contains_key(key);
                        let gone: Vec<_> = model.keys().copied().filter(gone).collect();
                        let alive: Vec<_> =
                            gone.iter().filter(|key| !model[*key].is_over(now)).collect();
                        prop_assert!(alive.len() <= 1, "one gives way: {:?}", alive);
                        gone.iter().for_each(|key| { model.remove(key); });
                    }
                    Step::Unbind(ip) => {
                        prop_assert_eq!(bindings.unbind(key(ip)), model.remove(&key(ip)));
                    }
                    Step::Rename(from, to) => {
                        let to: Arc<str> = to.to_string().into();
                        bindings.rename(&from.to_string(), &to);
                        for binding in model.values_mut() {
                            if *binding.holder == from.to_string() {
                                binding.holder = Arc::clone(&to);
                            }
                        }
                    }
                    Step::Wait(seconds) => now += Duration::from_secs(seconds),
                    Step::Collect => {
                        bindings.collect(now);
                        model.retain(|_, binding| !binding.is_over(now));
                    }
                }
                prop_assert_eq!(&bindings.entries, &model);
                prop_assert!(model.len() <= 32);
                let mut counts: HashMap<Arc<str>, usize> = HashMap::new();
                for binding in model.values() {
                    *counts.entry(Arc::clone(&binding.holder)).or_default() += 1;
                }
                prop_assert_eq!(&bindings.counts, &counts);
                for (key, binding) in &model {
                    let there = Some(binding).filter(|binding| binding.until > now);
                    prop_assert_eq!(bindings.get(*key, now), there);
                }
            }
        }
    }

    #[test]
    fn who_has_most_gives_way_once_a_second_and_nobody_has_more_than_his_part() {
        let mut now = Instant::now();
        let mut bindings = Bindings::new(64);
        let mut bind = |ip: u8, holder: &str, now: Instant| {
            let until = now + Duration::from_secs(3600 + u64::from(ip));
            let binding =
                Binding { mac: mac(1), holder: holder.into(), until, kind: BindingType::Dhcp };
            (bindings.bind(key(ip), binding, now), bindings.count().0)
        };
        assert!((0..4).all(|ip| bind(ip, "guest", now).0));
        // His own that ends first.
        assert_eq!(bind(4, "guest", now), (true, 4));
        assert_eq!(bind(5, "guest", now), (false, 4));
        now += SWEEP;
        assert_eq!(bind(5, "guest", now), (true, 4));
        for holder in 0..20u8 {
            (0..3).for_each(|ip| _ = bind(10 + holder * 3 + ip, &holder.to_string(), now));
        }
        assert_eq!(bind(100, "last", now), (false, 64));
        now += SWEEP;
        assert_eq!(bind(100, "last", now), (true, 64));
        let left: Vec<_> = (0..6).filter(|ip| bindings.get(key(*ip), now).is_some()).collect();
        assert_eq!(left, [3, 4, 5], "of the one who has four");
    }

    #[test]
    fn pages_are_bounded_by_what_is_looked_at() {
        let now = Instant::now();
        let mut bindings = Bindings::new(100_000);
        for number in 0..3000u32 {
            let key = (Vid::UNTAGGED, IpAddr::from(number.to_be_bytes()));
            let until = now + Duration::from_secs(9);
            bindings.bind(
                key,
                Binding { mac: mac(1), holder: "a".into(), until, kind: BindingType::Dhcp },
                now,
            );
        }
        let (mut after, mut seen, mut pages) = (None, 0, 0);
        loop {
            let (page, next) = bindings.page(after, now, |(_, ip), _| ip.is_ipv4());
            (seen, pages) = (seen + page.len(), pages + 1);
            after = next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!((seen, pages), (3000, 3));
        assert_eq!(bindings.page(None, now, |_, _| false).0, []);
    }

    #[test]
    fn who_is_first_has_an_address_while_he_uses_it_and_a_server_knows_better() {
        let mut now = Instant::now();
        let mut bindings = Bindings::new(64);
        let holders: [Arc<str>; 2] = ["one", "two"].map(Into::into);
        let of = |who: u8| (mac(who), &holders[usize::from(who) - 1]);
        let mut claim = |who, may_be_first, now| bindings.claim(key(7), of(who), may_be_first, now);
        assert_eq!(claim(1, false, now), Some(false), "nobody has it");
        assert_eq!(claim(1, true, now), Some(true));
        assert_eq!((claim(2, true, now), claim(2, false, now)), (Some(false), Some(false)));
        for _ in 0..5 {
            now += SEEN / 2;
            assert_eq!((claim(1, false, now), claim(2, true, now)), (Some(true), Some(false)));
        }
        now += SEEN;
        assert_eq!((claim(2, true, now), claim(1, true, now)), (Some(true), Some(false)));
        // Of a trusted port, which the other will not have any more.
        assert!(bindings.see(key(7), of(1), now));
        assert_eq!(bindings.claim(key(7), of(2), true, now), Some(false));
        let until = now + Duration::from_secs(60);
        let given = Binding { mac: mac(2), holder: "two".into(), until, kind: BindingType::Dhcp };
        assert!(bindings.bind(key(7), given, now) && bindings.see(key(7), of(1), now));
        assert_eq!(bindings.claim(key(7), of(2), false, now), Some(true));
        let mut full = Bindings::new(1);
        assert_eq!(full.claim(key(1), of(1), true, now), Some(true));
        full.swept = Some(now);
        assert_eq!(full.claim(key(2), of(2), true, now), None);
    }
}
