//! Where somebody comes from, as it counts: for limits, logs and whatever strangers share. An
//! IPv4 address is one source, of IPv6 the network of 64 bits, since a customer has all of its
//! addresses (RFC 6177). Many have wider networks, so those of 56 and 48 bits count as well:
//! who has 65,536 sources has no more than another. Pure; never refuses anything itself.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Where somebody comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source(Network);

/// A network that a source is in, or the source itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Network {
    /// `None`: this machine, by a Unix socket.
    address: Option<IpAddr>,
    length: u8,
}

/// Networks of one source of IPv6, the widest first.
const LENGTHS: [u8; 3] = [48, 56, 64];

impl Network {
    /// Behind all others.
    const LAST: Self =
        Self { address: Some(IpAddr::V6(Ipv6Addr::from_bits(u128::MAX))), length: u8::MAX };

    fn of(address: Ipv6Addr, length: u8) -> Self {
        let mask = u128::MAX << (128 - u32::from(length));
        let address = Ipv6Addr::from_bits(address.to_bits() & mask);
        Self { address: Some(address.into()), length }
    }

    /// How many sources of 64 bits it may be, as a power of 256.
    pub(crate) fn width(self) -> u8 {
        if self.length < 64 && matches!(self.address, Some(IpAddr::V6(_))) {
            (64 - self.length) / 8
        } else {
            0
        }
    }
}

impl Source {
    /// Whoever comes by a Unix socket.
    pub(crate) const UNIX: Self = Self(Network { address: None, length: 0 });

    /// The networks that count, the widest first and itself last.
    pub(crate) fn networks(self) -> impl Iterator<Item = Network> {
        let lengths = match self.0.address {
            Some(IpAddr::V6(_)) => &LENGTHS[..2],
            _ => &[],
        };
        let wider = lengths.iter().filter_map(move |&length| match self.0.address {
            Some(IpAddr::V6(address)) => Some(Network::of(address, length)),
            _ => None,
        });
        wider.chain([self.0])
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Network::of(address, LENGTHS[2]),
            v4 => Network { address: Some(v4), length: 32 },
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.address {
            None => f.write_str("unix"),
            Some(IpAddr::V4(address)) => address.fmt(f),
            Some(IpAddr::V6(network)) => write!(f, "{network}/{}", self.0.length),
        }
    }
}

/// How much each source has of what all of them share.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// Of each network, and since when it has any.
    counts: HashMap<Network, (usize, u64)>,
    /// The networks in each wider one, by what they have; of equals the newest comes first.
    order: BTreeSet<(Option<Network>, usize, Reverse<u64>, Network)>,
    clock: u64,
}

impl Shares {
    /// A source has one more.
    pub(crate) fn add(&mut self, source: Source) {
        self.clock += 1;
        self.change(source, |count| count + 1);
    }

    /// It has one less.
    pub(crate) fn remove(&mut self, source: Source) {
        self.change(source, |count| count - 1);
    }

    fn change(&mut self, source: Source, change: impl Fn(usize) -> usize) {
        let mut wider = None;
        for network in source.networks() {
            let (count, since) = self.counts.get(&network).copied().unwrap_or((0, self.clock));
            self.order.remove(&(wider, count, Reverse(since), network));
            match change(count) {
                0 => drop(self.counts.remove(&network)),
                count => {
                    self.counts.insert(network, (count, since));
                    self.order.insert((wider, count, Reverse(since), network));
                }
            }
            wider = Some(network);
        }
    }

    /// How much a network has.
    pub(crate) fn of(&self, network: Network) -> usize {
        self.counts.get(&network).map_or(0, |(count, _)| *count)
    }

    /// Who is to give way: in the network that has most the one that has most, and so on. Of
    /// equals the one that has had some for longest.
    pub(crate) fn most(&self) -> Option<Source> {
        let mut most = None;
        while let Some((.., network)) = self
            .order
            .range(..=(most, usize::MAX, Reverse(0), Network::LAST))
            .next_back()
            .filter(|(wider, ..)| *wider == most)
        {
            most = Some(*network);
        }
        most.map(Source)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn most(all: &[&str]) -> String {
        let mut shares = Shares::default();
        all.iter().for_each(|text| shares.add(source(text)));
        shares.most().unwrap().to_string()
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_either_form() {
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("::ffff:192.0.2.1"), source("::ffff:192.0.2.2"));
        assert_eq!(source("2001:db8::1"), source("2001:db8::2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
    }

    #[test]
    fn who_has_most_gives_way_and_of_equals_who_was_there_first() {
        assert_eq!(most(&["192.0.2.1", "192.0.2.2"]), "192.0.2.1");
        assert_eq!(most(&["192.0.2.1", "192.0.2.2", "192.0.2.2"]), "192.0.2.2");
        assert_eq!(most(&["192.0.2.9", "2001:db8::1", "192.0.2.1"]), "192.0.2.9");
    }

    #[test]
    fn a_wide_network_is_one_source() {
        // Each has one, and the site of 48 bits three.
        let site = ["2001:db8::1", "2001:db8:0:100::1", "2001:db8:0:101::1"];
        let others = ["192.0.2.1", "192.0.2.1", "2001:db8:1::1", "2001:db8:1::1"];
        let all = [&others[..], &site].concat();
        // Of its networks of 56 bits the second has two.
        assert_eq!(most(&all), "2001:db8:0:100::/64");
        let widths: Vec<_> = source(site[1]).networks().map(Network::width).collect();
        assert_eq!(widths, [2, 1, 0]);
        assert_eq!(source("192.0.2.1").networks().map(Network::width).collect::<Vec<_>>(), [0]);
        assert_eq!(Source::UNIX.networks().count(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_left_of_who_has_gone_and_most_is_one_that_has_some(
            all in prop::collection::vec((0..4_u16, 0..3_u16, 0..2_u16), 1..60),
        ) {
            let address = |(a, b, c): (u16, u16, u16)| -> Source {
                match a {
                    3 => IpAddr::from([192, 0, 2, u8::try_from(b).unwrap()]).into(),
                    a => IpAddr::from([0x2001, 0xdb8, a, (b << 8) | c, 0, 0, 0, 1]).into(),
                }
            };
            let mut shares = Shares::default();
            all.iter().for_each(|&one| shares.add(address(one)));
            let mut left = all;
            while let Some(most) = shares.most() {
                let at = left.iter().position(|&one| address(one) == most);
                left.swap_remove(at.expect("it has some"));
                let widest = most.networks().next().unwrap();
                let has = shares.of(widest);
                let of = |one| shares.of(address(one).networks().next().unwrap());
                prop_assert!(left.iter().all(|&one| of(one) <= has));
                shares.remove(most);
            }
            prop_assert!(left.is_empty() && shares.counts.is_empty() && shares.order.is_empty());
        }
    }
}
