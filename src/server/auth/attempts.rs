//! Guessing is slow: failed logins are limited by source, more closely by source and user,
//! and less closely by the networks that many sources are in. Pure: time is an argument. Never
//! holds up another source, and never grows beyond its bound.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use crate::server::source::{Network, Source};

/// Failures in a row of one user from one source: mistyping is human.
const USER: Allowance = Allowance { burst: 5, refill: Duration::from_secs(12) };

/// Failures in a row from one source, whatever the users: several people may share
/// it. Then as many a minute: 30,000 guesses a day. A network of 65,536 sources has
/// four times as many: whoever has all of it guesses 120,000 times a day.
const SOURCE: [Allowance; 3] = [
    Allowance { burst: 20, refill: Duration::from_secs(3) },
    Allowance { burst: 40, refill: Duration::from_millis(1500) },
    Allowance { burst: 80, refill: Duration::from_millis(750) },
];

/// Networks and users that are kept apart at once, in 400 KiB; the one that has not
/// failed for longest goes.
const ENTRIES: usize = 4096;

struct Allowance {
    /// Failures at once.
    burst: u32,
    /// After which one of them is forgotten.
    refill: Duration,
}

/// A network, or a source and (a keyed hash of) a user's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Of(Network),
    User(Source, u64),
}

/// The failures that are remembered.
#[derive(Default)]
pub(in crate::server) struct Attempts {
    names: RandomState,
    /// When the last failure will be forgotten. Those before it go one by one until
    /// then, a refill apart: so this says how many there are.
    until: HashMap<Key, Instant>,
}

impl Attempts {
    /// Whether anybody may try from `source`.
    ///
    /// # Errors
    /// How long to wait.
    pub(in crate::server) fn check(&self, source: Source, now: Instant) -> Result<(), Duration> {
        let waits = networks(source).map(|(key, allowance)| self.wait(key, allowance, now));
        waits.flatten().max().map_or(Ok(()), Err)
    }

    /// Whether `user` may try from `source`.
    ///
    /// # Errors
    /// How long to wait.
    pub(in crate::server) fn check_user(
        &self,
        source: Source,
        user: &str,
        now: Instant,
    ) -> Result<(), Duration> {
        self.wait(self.user(source, user), &USER, now).map_or(Ok(()), Err)
    }

    fn wait(&self, key: Key, allowance: &Allowance, now: Instant) -> Option<Duration> {
        let owed = self.until.get(&key)?.saturating_duration_since(now);
        // Less than the burst, and one more is allowed.
        let allowed = allowance.refill * (allowance.burst - 1);
        owed.checked_sub(allowed).filter(|wait| !wait.is_zero())
    }

    /// Notes a failure.
    pub(in crate::server) fn fail(&mut self, source: Source, user: &str, now: Instant) {
        self.fail_user(source, user, now);
        for (key, allowance) in networks(source) {
            self.note(key, allowance, now);
        }
    }

    /// Notes a failure of a user where so many others have failed that it was not verified.
    pub(super) fn fail_user(&mut self, source: Source, user: &str, now: Instant) {
        self.note(self.user(source, user), &USER, now);
    }

    fn note(&mut self, key: Key, allowance: &Allowance, now: Instant) {
        if !self.until.contains_key(&key) && self.until.len() >= ENTRIES {
            self.make_room(now);
        }
        let until = self.until.entry(key).or_insert(now);
        // Those who go on for all that owe no more than the burst.
        *until = (*until).max(now) + allowance.refill;
        *until = (*until).min(now + allowance.refill * allowance.burst);
    }

    fn user(&self, source: Source, user: &str) -> Key {
        Key::User(source, self.names.hash_one(user))
    }

    fn make_room(&mut self, now: Instant) {
        self.until.retain(|_, until| *until > now);
        if self.until.len() >= ENTRIES
            && let Some(key) =
                self.until.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key)
        {
            self.until.remove(&key);
        }
    }
}

/// The networks of a source, and what each is allowed.
fn networks(source: Source) -> impl Iterator<Item = (Key, &'static Allowance)> {
    source.networks().map(|network| (Key::Of(network), &SOURCE[usize::from(network.width())]))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    impl Attempts {
        /// Whether both limits allow it.
        fn both(&self, source: Source, user: &str, now: Instant) -> Result<(), Duration> {
            self.check_user(source, user, now).and_then(|()| self.check(source, now))
        }
    }

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_user_has_five_failures_and_then_one_each_twelve_seconds() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let here = source("192.0.2.1");
        for _ in 0..5 {
            assert_eq!(attempts.both(here, "alice", start), Ok(()));
            attempts.fail(here, "alice", start);
        }
        assert_eq!(attempts.both(here, "alice", start), Err(Duration::from_secs(12)));
        assert_eq!(attempts.both(here, "bob", start), Ok(()));
        assert_eq!(attempts.both(source("192.0.2.2"), "alice", start), Ok(()));
        let later = start + Duration::from_secs(12);
        assert_eq!(attempts.both(here, "alice", later), Ok(()));
        attempts.fail(here, "alice", later);
        assert_eq!(attempts.both(here, "alice", later), Err(Duration::from_secs(12)));
        assert_eq!(attempts.both(here, "alice", start + Duration::from_secs(90)), Ok(()));
    }

    #[test]
    fn an_address_has_twenty_failures_whatever_the_names() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let here = source("2001:db8::1");
        for n in 0..20 {
            assert_eq!(attempts.both(here, &n.to_string(), start), Ok(()));
            attempts.fail(here, &n.to_string(), start);
        }
        let neighbour = source("2001:db8::2");
        assert_eq!(attempts.both(neighbour, "new", start), Err(Duration::from_secs(3)));
        assert_eq!(attempts.both(source("2001:db8:0:1::1"), "new", start), Ok(()));
    }

    #[test]
    fn a_site_of_many_networks_is_limited_as_well() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let at = |net: u16| Source::from(IpAddr::from([0x2001, 0xdb8, 0, net, 0, 0, 0, 1]));
        // Four networks of 56 bits, of which each network of 64 bits fails once.
        for here in (0..80).map(|n| at(((n % 4) << 8) | (n / 4))) {
            assert_eq!(attempts.check(here, start), Ok(()));
            attempts.fail(here, "x", start);
        }
        assert_eq!(attempts.check(at(0x900), start), Err(Duration::from_millis(750)));
        (0..40).for_each(|n| attempts.fail(source(&format!("2001:db8:1:{n}::1")), "x", start));
        assert!(attempts.check(source("2001:db8:1:ff::1"), start).is_err());
        assert_eq!(attempts.check(source("2001:db8:1:100::1"), start), Ok(()));
        assert_eq!(attempts.check(source("192.0.2.1"), start), Ok(()));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_is_oldest() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let at = |n: u32| Source::from(IpAddr::from(n.to_be_bytes()));
        for n in 0..10_000 {
            attempts.fail(at(n), "x", start + Duration::from_micros(n.into()));
            assert!(attempts.until.len() <= ENTRIES);
        }
        let now = start + Duration::from_millis(10);
        (0..4).for_each(|_| attempts.fail(at(9_999), "x", now));
        assert!(attempts.both(at(9_999), "x", now).is_err(), "the newest are kept");
        assert!(!attempts.until.contains_key(&Key::Of(at(0).networks().next().unwrap())));
    }
}
