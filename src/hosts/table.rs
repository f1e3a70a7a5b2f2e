//! The known hosts, with their addresses and names. Pure: time is an argument. Bounded in
//! all, for each port and for each host: a live host is never evicted, and refused ones are
//! counted.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use etherws_actors::{
    fdb::PortNumber,
    frame::{MacAddr, Vid},
};

use super::claim::Claim;

/// Most hosts in all: some 2 MB when each has the most addresses and a name.
pub(crate) const MAX_HOSTS: usize = 4096;

/// Most hosts behind one port: more than a segment has, and three ports full of forged
/// ones leave room for a fourth.
pub(crate) const MAX_HOSTS_OF_PORT: usize = 1024;

/// Most addresses of a host: IPv6 gives one several, and changes some of them daily.
/// The least recently seen makes room.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// Time without a frame after which a host, or one of its addresses, is forgotten: as long
/// as routers keep an ARP entry.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(4 * 3600);

/// A host that is quiet for the ageing time of the forwarding database makes room in a
/// full table.
const QUIET_AFTER: Duration = Duration::from_secs(300);

/// Least time between two searches of a full table: any frame could cause one.
const MIN_SEARCH_INTERVAL: Duration = Duration::from_secs(1);

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// The port of its last frame.
    pub(crate) port: PortNumber,
    pub(crate) first_seen: Instant,
    pub(crate) last_seen: Instant,
    pub(crate) name: Option<Box<str>>,
    /// With the time at which each was last seen; in the order of appearance.
    addresses: Vec<(IpAddr, Instant)>,
}

impl Host {
    /// Its addresses at `now`, IPv4 and IPv6 each in the order in which they came.
    pub(crate) fn addresses(&self, now: Instant) -> impl Iterator<Item = IpAddr> {
        let fresh = move |at: Instant| now.saturating_duration_since(at) <= FORGET_AFTER;
        self.addresses.iter().filter(move |(_, at)| fresh(*at)).map(|(address, _)| *address)
    }
}

/// What the table has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Hosts that had no room.
    pub(crate) refused_hosts: u64,
    /// Addresses that made room for another one of their host.
    pub(crate) replaced_addresses: u64,
}

/// All hosts, by VLAN and MAC address.
#[derive(Debug, Default)]
pub(crate) struct Table {
    hosts: HashMap<(Vid, MacAddr), Host>,
    /// How many of them each port has.
    hosts_of_port: HashMap<PortNumber, usize>,
    counts: Counts,
    searched: Option<Instant>,
}

impl Table {
    /// Notes what a frame that came in by `port` says of a host.
    pub(crate) fn note(&mut self, claim: Claim, port: PortNumber, now: Instant) {
        let key = (claim.vid, claim.mac);
        let is_known = self.hosts.contains_key(&key) || (claim.own && self.add(key, port, now));
        if !is_known {
            return;
        }
        let Some(host) = self.hosts.get_mut(&key) else { return };
        if claim.own {
            host.last_seen = now;
            let was = std::mem::replace(&mut host.port, port);
            if was != port {
                leave(&mut self.hosts_of_port, was);
                *self.hosts_of_port.entry(port).or_default() += 1;
            }
        }
        if claim.name.is_some() {
            host.name = claim.name;
        }
        let Some(address) = claim.address else { return };
        if let Some((_, at)) = host.addresses.iter_mut().find(|(known, _)| *known == address) {
            *at = now;
            return;
        }
        if host.addresses.len() >= MAX_ADDRESSES {
            let oldest = host.addresses.iter().enumerate().min_by_key(|(_, (_, at))| *at);
            if let Some((oldest, _)) = oldest {
                host.addresses.remove(oldest);
                self.counts.replaced_addresses += 1;
            }
        }
        host.addresses.push((address, now));
    }

    /// Adds a host if there is room; whether there was.
    fn add(&mut self, key: (Vid, MacAddr), port: PortNumber, now: Instant) -> bool {
        if self.is_full(port) {
            let ago = self.searched.map(|at| now.saturating_duration_since(at));
            if ago.is_none_or(|ago| ago >= MIN_SEARCH_INTERVAL) {
                self.searched = Some(now);
                self.forget(QUIET_AFTER, now);
            }
        }
        if self.is_full(port) {
            self.counts.refused_hosts += 1;
            return false;
        }
        let host =
            Host { port, first_seen: now, last_seen: now, name: None, addresses: Vec::new() };
        self.hosts.insert(key, host);
        *self.hosts_of_port.entry(port).or_default() += 1;
        true
    }

    fn is_full(&self, port: PortNumber) -> bool {
        let count = self.hosts_of_port.get(&port).copied().unwrap_or_default();
        self.hosts.len() >= MAX_HOSTS || count >= MAX_HOSTS_OF_PORT
    }

    /// Forgets hosts that were quiet for [`FORGET_AFTER`].
    pub(crate) fn collect(&mut self, now: Instant) {
        self.forget(FORGET_AFTER, now);
    }

    fn forget(&mut self, after: Duration, now: Instant) {
        let Self { hosts, hosts_of_port, .. } = self;
        hosts.retain(|_, host| {
            let stays = now.saturating_duration_since(host.last_seen) <= after;
            if !stays {
                leave(hosts_of_port, host.port);
            }
            stays
        });
    }

    /// All hosts that are not to be forgotten, in no order.
    pub(crate) fn list(&self, now: Instant) -> Vec<((Vid, MacAddr), Host)> {
        let fresh = |host: &Host| now.saturating_duration_since(host.last_seen) <= FORGET_AFTER;
        let hosts = self.hosts.iter().filter(|(_, host)| fresh(host));
        hosts.map(|(&key, host)| (key, host.clone())).collect()
    }

    /// How many hosts are known.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// What was refused.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }
}

/// Counts one host less for `port`.
fn leave(hosts_of_port: &mut HashMap<PortNumber, usize>, port: PortNumber) {
    if let Some(count) = hosts_of_port.get_mut(&port) {
        *count -= 1;
        if *count == 0 {
            hosts_of_port.remove(&port);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn port(number: u32) -> PortNumber {
        PortNumber::new(number).expect("ports count from 1")
    }

    fn claim(host: u16, address: u32) -> Claim {
        let [a, b] = host.to_be_bytes();
        Claim {
            vid: Vid::UNTAGGED,
            mac: MacAddr([2, 0, 0, 0, a, b]),
            address: Some(Ipv4Addr::from_bits(address).into()),
            name: None,
            own: true,
        }
    }

    fn addresses(table: &Table, now: Instant) -> Vec<String> {
        let hosts = table.list(now);
        hosts.iter().flat_map(|(_, host)| host.addresses(now)).map(|ip| ip.to_string()).collect()
    }

    #[test]
    fn a_host_keeps_what_it_has_said_and_goes_where_it_speaks() {
        let (mut table, start) = (Table::default(), Instant::now());
        table.note(claim(1, 7), port(1), start);
        table.note(claim(1, 8), port(1), start);
        let name = Claim { address: None, name: Some("pc".into()), ..claim(1, 0) };
        let later = start + Duration::from_secs(60);
        table.note(name, port(2), later);
        let [(_, host)] = &table.list(later)[..] else { panic!("one host") };
        assert_eq!((host.port, host.first_seen, host.last_seen), (port(2), start, later));
        assert_eq!(host.name.as_deref(), Some("pc"));
        assert_eq!(addresses(&table, later), ["0.0.0.7", "0.0.0.8"]);
    }

    #[test]
    fn a_servers_word_makes_no_host_and_moves_none() {
        let (mut table, now) = (Table::default(), Instant::now());
        let lease = |address| Claim { own: false, ..claim(1, address) };
        table.note(lease(7), port(2), now);
        assert_eq!(table.len(), 0);
        table.note(claim(1, 8), port(1), now);
        table.note(lease(7), port(2), now);
        assert_eq!(addresses(&table, now), ["0.0.0.8", "0.0.0.7"]);
        assert_eq!(table.list(now)[0].1.port, port(1));
    }

    #[test]
    fn one_port_cannot_fill_the_table_and_what_is_quiet_makes_room() {
        let (mut table, start) = (Table::default(), Instant::now());
        for host in 0..1030 {
            table.note(claim(host, 7), port(1), start);
        }
        table.note(claim(2000, 7), port(2), start);
        assert_eq!((table.len(), table.counts().refused_hosts), (1025, 6));
        let later = start + QUIET_AFTER + Duration::from_secs(1);
        table.note(claim(2000, 7), port(2), later);
        table.note(claim(1029, 7), port(1), later);
        assert_eq!(table.len(), 2, "all others were quiet");
    }

    #[test]
    fn the_oldest_address_makes_room_and_all_are_forgotten_in_the_end() {
        let (mut table, start) = (Table::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..17 {
            table.note(claim(1, 100 + u32::try_from(second).expect("small")), port(1), at(second));
        }
        assert_eq!(addresses(&table, at(17)).len(), 16);
        assert!(!addresses(&table, at(17)).contains(&"0.0.0.100".to_owned()));
        assert_eq!(table.counts().replaced_addresses, 1);
        let end = start + FORGET_AFTER + Duration::from_secs(10);
        assert_eq!(addresses(&table, end).len(), 7, "those of the last seconds");
        table.collect(end + Duration::from_secs(7));
        assert_eq!((table.len(), table.hosts_of_port.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn hosts_of_port_add_up_to_the_hosts(steps in prop::collection::vec(
            (0u16..8, 1u32..4, 0u64..3 * 3600, any::<bool>()), 0..100,
        )) {
            let (mut table, mut now) = (Table::default(), Instant::now());
            for (host, number, seconds, own) in steps {
                now += Duration::from_secs(seconds);
                table.note(Claim { own, ..claim(host, number) }, port(number), now);
                table.collect(now);
                prop_assert_eq!(table.hosts_of_port.values().sum::<usize>(), table.len());
                prop_assert_eq!(table.list(now).len(), table.len());
            }
        }
    }
}
