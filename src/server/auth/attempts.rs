//! Guessing is slow: failed logins are limited by address, and more closely by
//! address and user. Pure: time is an argument. Never holds up another address, and
//! never grows beyond its bound.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Failures in a row of one user from one address: mistyping is human.
const USER: Allowance = Allowance { burst: 5, refill: Duration::from_secs(12) };

/// Failures in a row from one address, whatever the users: several people may share
/// it. Then as many a minute: 30,000 guesses a day.
const ADDRESS: Allowance = Allowance { burst: 20, refill: Duration::from_secs(3) };

/// Addresses and users that are kept apart at once, in 300 KiB; the one that has not
/// failed for longest goes.
const ENTRIES: usize = 4096;

struct Allowance {
    /// Failures at once.
    burst: u32,
    /// After which one of them is forgotten.
    refill: Duration,
}

/// Where somebody comes from. Of an IPv6 address the network alone: a customer has
/// all of its 2^64 addresses (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
            }
            v4 => v4,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// An address, or an address and (a keyed hash of) a user's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key(Source, Option<u64>);

/// The failures that are remembered.
#[derive(Default)]
pub(super) struct Attempts {
    names: RandomState,
    /// When the last failure will be forgotten. Those before it go one by one until
    /// then, a refill apart: so this says how many there are.
    until: HashMap<Key, Instant>,
}

impl Attempts {
    /// Whether `user` may try from `source`.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn check(&self, source: Source, user: &str, now: Instant) -> Result<(), Duration> {
        let wait = self.keys(source, user).into_iter().filter_map(|(key, allowance)| {
            let owed = self.until.get(&key)?.saturating_duration_since(now);
            // Less than the burst, and one more is allowed.
            let allowed = allowance.refill * (allowance.burst - 1);
            owed.checked_sub(allowed).filter(|wait| !wait.is_zero())
        });
        wait.max().map_or(Ok(()), Err)
    }

    /// Notes a failure.
    pub(super) fn fail(&mut self, source: Source, user: &str, now: Instant) {
        for (key, allowance) in self.keys(source, user) {
            if !self.until.contains_key(&key) && self.until.len() >= ENTRIES {
                self.make_room(now);
            }
            let until = self.until.entry(key).or_insert(now);
            // Those who go on for all that owe no more than the burst.
            *until = (*until).max(now) + allowance.refill;
            *until = (*until).min(now + allowance.refill * allowance.burst);
        }
    }

    fn keys(&self, source: Source, user: &str) -> [(Key, &'static Allowance); 2] {
        let name = self.names.hash_one(user);
        [(Key(source, Some(name)), &USER), (Key(source, None), &ADDRESS)]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_user_has_five_failures_and_then_one_each_twelve_seconds() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let here = source("192.0.2.1");
        for _ in 0..5 {
            assert_eq!(attempts.check(here, "alice", start), Ok(()));
            attempts.fail(here, "alice", start);
        }
        assert_eq!(attempts.check(here, "alice", start), Err(Duration::from_secs(12)));
        assert_eq!(attempts.check(here, "bob", start), Ok(()));
        assert_eq!(attempts.check(source("192.0.2.2"), "alice", start), Ok(()));
        let later = start + Duration::from_secs(12);
        assert_eq!(attempts.check(here, "alice", later), Ok(()));
        attempts.fail(here, "alice", later);
        assert_eq!(attempts.check(here, "alice", later), Err(Duration::from_secs(12)));
        assert_eq!(attempts.check(here, "alice", start + Duration::from_secs(90)), Ok(()));
    }

    #[test]
    fn an_address_has_twenty_failures_whatever_the_names() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let here = source("2001:db8::1");
        for n in 0..20 {
            assert_eq!(attempts.check(here, &n.to_string(), start), Ok(()));
            attempts.fail(here, &n.to_string(), start);
        }
        let neighbour = source("2001:db8::2");
        assert_eq!(attempts.check(neighbour, "new", start), Err(Duration::from_secs(3)));
        assert_eq!(attempts.check(source("2001:db8:0:1::1"), "new", start), Ok(()));
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_either_form() {
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("::ffff:192.0.2.1"), source("::ffff:192.0.2.2"));
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
        assert!(attempts.check(at(9_999), "x", now).is_err(), "the newest are kept");
        assert!(!attempts.until.contains_key(&Key(at(0), None)));
    }
}
