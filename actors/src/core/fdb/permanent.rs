//! Addresses whose port is given: those of a port's own device and its `static-macs`, which
//! belong to it in every VLAN, and what a sticky port has learned.

use std::time::Instant;

use super::{Fdb, FdbEntry, Key, Learned, PortNumber, Status};
use crate::core::frame::{MacAddr, Vid};

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permanent {
    pub(super) port: PortNumber,
    /// Whether it is that of the port's device.
    is_own: bool,
}

impl Permanent {
    /// Why it is not learned elsewhere.
    pub(super) const fn refuses(self) -> Learned {
        if self.is_own { Learned::Own(self.port) } else { Learned::Static(self.port) }
    }
}

impl Fdb {
    /// Gives `port` the address of its own device, and the `only` ones that it may have
    /// besides, in place of those that it had. They are there until others are given, or the
    /// port is removed; an address that is another port's stays there.
    pub fn set_permanent(
        &mut self,
        port: PortNumber,
        own: Option<MacAddr>,
        only: &[MacAddr],
        now: Instant,
    ) {
        let is_own = |mac| Some(mac) == own;
        let is_unicast = |mac: &MacAddr| !mac.is_multicast() && mac.0 != [0; 6];
        let wanted = || own.iter().chain(only).copied().filter(is_unicast);
        let before = self.permanent.len();
        self.permanent.retain(|mac, place| {
            place.port != port || place.is_own == is_own(*mac) && wanted().any(|one| one == *mac)
        });
        let mut is_changed = self.permanent.len() != before;
        for mac in wanted() {
            self.permanent.entry(mac).or_insert_with(|| {
                is_changed = true;
                Permanent { port, is_own: is_own(mac) }
            });
        }
        if !is_changed {
            return;
        }
        let permanent = std::mem::take(&mut self.permanent);
        self.retain(|key, entry| match entry.status {
            Status::Static => true,
            Status::Permanent => permanent.contains_key(&key.mac()),
            Status::Learned | Status::Sticky => {
                permanent.get(&key.mac()).is_none_or(|place| place.port == entry.port)
            }
        });
        for (&mac, &Permanent { port, .. }) in &permanent {
            let vid = Vid::UNTAGGED;
            if self.get(vid, mac).is_none_or(|entry| entry.status != Status::Static) {
                self.remove(vid, mac);
                self.insert(vid, mac, FdbEntry { port, status: Status::Permanent, last_seen: now });
                self.permanent_records += 1;
            }
        }
        self.permanent = permanent;
    }

    /// The port that an address belongs to in VLANs where nothing else is known of it.
    #[cold]
    pub(super) fn lookup_permanent(&self, key: Key) -> Option<PortNumber> {
        self.permanent.get(&key.mac()).map(|place| place.port)
    }

    /// Sets whether what is learned behind `port` stays, as it does what is known.
    pub fn set_sticky(&mut self, port: PortNumber, sticky: bool, now: Instant) {
        let is_changed = if sticky { self.sticky.insert(port) } else { self.sticky.remove(&port) };
        if !is_changed {
            return;
        }
        let status = if sticky { Status::Sticky } else { Status::Learned };
        let horizon = self.horizon(now);
        let of_port = self.records.values_mut().map(|record| &mut record.entry);
        for entry in of_port.filter(|entry| entry.port == port) {
            match entry.status {
                Status::Learned if horizon.is_fresh(entry) => entry.status = status,
                Status::Sticky => entry.status = status,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AGING: Duration = Duration::from_secs(10);

    fn port(number: u32) -> PortNumber {
        PortNumber::new(number).expect("ports count from 1")
    }

    fn mac(last: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, last])
    }

    fn vlan(vid: u16) -> Vid {
        Vid::new(vid).expect("a VLAN")
    }

    #[test]
    fn an_own_address_is_there_in_every_vlan_and_learned_nowhere_else() {
        let (mut fdb, now) = (Fdb::new(AGING, 10), Instant::now());
        fdb.learn(vlan(0), mac(1), port(2), now);
        fdb.learn(vlan(7), mac(1), port(3), now);
        fdb.set_permanent(port(1), Some(mac(1)), &[], now);
        let later = now + 2 * AGING;
        fdb.collect(later);
        for vid in [0, 7, 9].map(vlan) {
            assert_eq!(fdb.lookup(vid, mac(1), later), Some(port(1)));
            assert_eq!(fdb.learn(vid, mac(1), port(2), later), Learned::Own(port(1)));
            assert_eq!(fdb.lookup(vid, mac(1), later), Some(port(1)));
        }
        // Its own frames in a VLAN: an ordinary entry, which ages.
        assert_eq!(fdb.learn(vlan(7), mac(1), port(1), later), Learned::New);
        assert_eq!(fdb.learn(vlan(7), mac(1), port(2), later + 2 * AGING), Learned::Own(port(1)));
        assert_eq!((fdb.statics().0, fdb.learned().0, fdb.macs(port(2)).0), (0, 1, 0));
        assert_eq!(fdb.get(vlan(0), mac(1)).map(|entry| entry.status), Some(Status::Permanent));
        fdb.flush_port(port(1));
        assert_eq!(fdb.lookup(vlan(0), mac(1), later), Some(port(1)));
        // Another one in its place.
        fdb.set_permanent(port(1), Some(mac(2)), &[], later);
        assert_eq!(fdb.lookup(vlan(0), mac(1), later), None);
        assert_eq!(fdb.learn(vlan(0), mac(1), port(2), later), Learned::New);
        fdb.remove_port(port(1));
        assert_eq!(fdb.lookup(vlan(0), mac(2), later), None);
        assert_eq!(fdb.entries(later).count(), 1);
        assert_eq!((fdb.statics().0, fdb.learned().0), (0, 1));
    }

    #[test]
    fn of_two_ports_with_one_address_the_first_has_it() {
        let (mut fdb, now) = (Fdb::new(AGING, 10), Instant::now());
        fdb.set_permanent(port(1), Some(mac(1)), &[], now);
        fdb.set_permanent(port(2), Some(mac(1)), &[mac(2)], now);
        assert_eq!(fdb.learn(vlan(0), mac(1), port(2), now), Learned::Own(port(1)));
        assert_eq!(fdb.learn(vlan(0), mac(2), port(3), now), Learned::Static(port(2)));
        assert_eq!(fdb.lookup(vlan(5), mac(2), now), Some(port(2)));
        fdb.set_permanent(port(2), None, &[], now);
        assert_eq!(fdb.lookup(vlan(0), mac(1), now), Some(port(1)));
        assert_eq!(fdb.lookup(vlan(0), mac(2), now), None);
    }

    #[test]
    fn what_a_sticky_port_has_learned_neither_ages_nor_moves_until_it_is_flushed() {
        let (mut fdb, now) = (Fdb::new(AGING, 10), Instant::now());
        let vid = vlan(0);
        fdb.learn(vid, mac(1), port(1), now);
        fdb.set_sticky(port(1), true, now);
        fdb.learn(vid, mac(2), port(2), now);
        assert_eq!(fdb.learn(vid, mac(2), port(1), now), Learned::Moved(port(2)));
        assert_eq!(fdb.learn(vid, mac(3), port(1), now), Learned::New);
        let later = now + 2 * AGING;
        fdb.collect(later);
        fdb.flush_port(port(1));
        for station in [1, 2, 3].map(mac) {
            assert_eq!(fdb.learn(vid, station, port(2), later), Learned::Static(port(1)));
            assert_eq!(fdb.lookup(vid, station, later), Some(port(1)));
        }
        assert_eq!((fdb.macs(port(1)).0, fdb.statics().0), (3, 0));
        assert!(fdb.remove(vid, mac(1)).is_some());
        assert_eq!(fdb.learn(vid, mac(1), port(2), later), Learned::New);
        fdb.set_sticky(port(1), false, later);
        assert_eq!(fdb.lookup(vid, mac(3), later), None, "it has aged meanwhile");
        assert_eq!(fdb.learn(vid, mac(2), port(2), later), Learned::New);
    }
}
