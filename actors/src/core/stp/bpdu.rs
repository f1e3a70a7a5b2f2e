//! BPDUs of spanning tree, as they stand behind the LLC header (IEEE 802.1D-2004, 9.3).

use bytes::{BufMut, BytesMut};

use super::{
    Role,
    priority::{BridgeId, PortId, Times, Vector},
};
use crate::core::{
    frame::{Frame, MIN_FRAME_LEN, MacAddr},
    packet::{Ethernet, HEADER_LEN},
};

/// Destination of all BPDUs: the bridge group address (7.12.3).
const GROUP: MacAddr = MacAddr([0x01, 0x80, 0xc2, 0, 0, 0]);

/// LLC header: both service access points, unnumbered information; and the protocol identifier.
pub(crate) const HEAD: [u8; 5] = [0x42, 0x42, 3, 0, 0];

/// Types of BPDU (9.3): the last is also that of multiple spanning tree.
pub(crate) const CONFIGURATION: u8 = 0;
pub(crate) const NOTIFICATION: u8 = 0x80;
pub(crate) const RAPID: u8 = 2;

/// Octets with the protocol identifier (9.3.1 to 9.3.3).
const CONFIGURATION_LEN: usize = 35;
const NOTIFICATION_LEN: usize = 4;
const RAPID_LEN: usize = 36;

/// Flags (9.3.3).
pub(crate) const TC: u8 = 1;
const PROPOSAL: u8 = 1 << 1;
const ROLE_AT: u8 = 2;
const LEARNING: u8 = 1 << 4;
const FORWARDING: u8 = 1 << 5;
const AGREEMENT: u8 = 1 << 6;
const TC_ACK: u8 = 1 << 7;

/// A BPDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bpdu {
    /// The topology has changed: from an STP bridge to its root.
    Notification,
    /// All others.
    Information(Information),
}

/// What a configuration or an RST BPDU says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Information {
    /// Whether it is an RST BPDU. Of a configuration BPDU the flags `topology_change` and
    /// `topology_change_ack` count only; its port is designated.
    pub is_rapid: bool,
    /// Role of the port that has sent it. An alternate port's and a backup port's look the same.
    pub role: Role,
    /// What it tells of the tree.
    pub vector: Vector,
    /// The tree's times.
    pub times: Times,
    /// Flag TC.
    pub topology_change: bool,
    /// Flag TC acknowledge, for an STP bridge.
    pub topology_change_ack: bool,
    /// Flag proposal.
    pub proposal: bool,
    /// Flag agreement.
    pub agreement: bool,
    /// Flag learning.
    pub learning: bool,
    /// Flag forwarding.
    pub forwarding: bool,
}

impl Bpdu {
    /// Reads a frame to the bridges' group address; `None` where that is no valid BPDU (9.3.4).
    #[must_use]
    pub fn read(header: Ethernet<'_>) -> Option<Self> {
        let octets = header.payload();
        let body = octets.strip_prefix(&HEAD)?;
        let &[_version, kind, ..] = body else { return None };
        let least = match kind {
            // What follows is a later version's.
            NOTIFICATION => return Some(Self::Notification),
            CONFIGURATION => CONFIGURATION_LEN,
            RAPID => RAPID_LEN,
            _ => return None,
        };
        // The length in the header counts: behind it is padding.
        let len = usize::from(header.ethertype()).min(octets.len());
        if len < least + 3 {
            return None;
        }
        let information = Information::read(kind == RAPID, body.get(2..)?)?;
        let times = information.times;
        let is_over = kind == CONFIGURATION && times.message_age >= times.max_age;
        (!is_over).then_some(Self::Information(information))
    }

    /// The frame that carries it, from a bridge's address.
    #[must_use]
    pub fn frame(&self, from: MacAddr) -> Frame {
        let len = match self {
            Self::Notification => NOTIFICATION_LEN,
            Self::Information(Information { is_rapid: true, .. }) => RAPID_LEN,
            Self::Information(_) => CONFIGURATION_LEN,
        };
        let mut octets = BytesMut::with_capacity(MIN_FRAME_LEN);
        octets.put_slice(&GROUP.0);
        octets.put_slice(&from.0);
        octets.put_u16(u16::try_from(len + 3).unwrap_or(u16::MAX));
        octets.put_slice(&HEAD);
        match self {
            Self::Notification => octets.put_slice(&[0, NOTIFICATION]),
            Self::Information(information) => information.write(&mut octets),
        }
        debug_assert_eq!(octets.len(), HEADER_LEN + 3 + len);
        octets.resize(MIN_FRAME_LEN, 0);
        Frame::new(octets.freeze())
    }
}

impl Information {
    fn read(is_rapid: bool, mut octets: &[u8]) -> Option<Self> {
        let [flags] = take(&mut octets)?;
        let root = bridge(&mut octets)?;
        let cost = u32::from_be_bytes(take(&mut octets)?);
        let bridge = bridge(&mut octets)?;
        let port = PortId(u16::from_be_bytes(take(&mut octets)?));
        let mut time = || Some(seconds(u16::from_be_bytes(take(&mut octets)?)));
        let times = Times {
            message_age: time()?,
            max_age: time()?,
            hello: time()?,
            forward_delay: time()?,
        };
        let has = |flag: u8| is_rapid && flags & flag != 0;
        let role = match flags >> ROLE_AT & 3 {
            1 if is_rapid => Role::Alternate,
            2 if is_rapid => Role::Root,
            // An unknown one counts as in a configuration BPDU (9.3.3).
            _ => Role::Designated,
        };
        Some(Self {
            is_rapid,
            role,
            vector: Vector { root, cost, bridge, port },
            times: times.bounded(),
            topology_change: flags & TC != 0,
            topology_change_ack: !is_rapid && flags & TC_ACK != 0,
            proposal: has(PROPOSAL),
            agreement: has(AGREEMENT),
            learning: has(LEARNING),
            forwarding: has(FORWARDING),
        })
    }

    fn write(&self, octets: &mut BytesMut) {
        let role = match self.role {
            Role::Disabled => 0,
            Role::Alternate | Role::Backup => 1,
            Role::Root => 2,
            Role::Designated => 3,
        };
        let mut flags = 0;
        for (is_set, flag) in [
            (self.topology_change, TC),
            (self.topology_change_ack && !self.is_rapid, TC_ACK),
            (self.proposal && self.is_rapid, PROPOSAL),
            (self.agreement && self.is_rapid, AGREEMENT),
            (self.learning && self.is_rapid, LEARNING),
            (self.forwarding && self.is_rapid, FORWARDING),
            (self.is_rapid, role << ROLE_AT),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        let version = if self.is_rapid { 2 } else { 0 };
        octets.put_slice(&[version, if self.is_rapid { RAPID } else { CONFIGURATION }, flags]);
        let Vector { root, cost, bridge, port } = self.vector;
        octets.put_u16(root.priority);
        octets.put_slice(&root.mac.0);
        octets.put_u32(cost);
        octets.put_u16(bridge.priority);
        octets.put_slice(&bridge.mac.0);
        octets.put_u16(port.0);
        let Times { message_age, max_age, hello, forward_delay } = self.times;
        for seconds in [message_age, max_age, hello, forward_delay] {
            octets.put_u16(seconds.saturating_mul(256));
        }
        if self.is_rapid {
            octets.put_u8(0);
        }
    }
}

/// Seconds of a time in 256ths, to the nearest (9.2.8).
const fn seconds(time: u16) -> u16 {
    time.saturating_add(128) / 256
}

fn bridge(octets: &mut &[u8]) -> Option<BridgeId> {
    let [high, low, mac @ ..] = take::<8>(octets)?;
    Some(BridgeId { priority: u16::from_be_bytes([high, low]), mac: MacAddr(mac) })
}

fn take<const N: usize>(octets: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = octets.split_first_chunk()?;
    *octets = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn read(octets: &[u8]) -> Option<Bpdu> {
        Bpdu::read(Ethernet::new_checked(octets)?)
    }

    fn any() -> impl Strategy<Value = Bpdu> {
        let bridge = || {
            (any_u16(), prop::array::uniform6(0u8..))
                .prop_map(|(priority, mac)| BridgeId { priority, mac: MacAddr(mac) })
        };
        let vector = (bridge(), prop::num::u32::ANY, bridge(), any_u16()).prop_map(
            |(root, cost, bridge, port)| Vector { root, cost, bridge, port: PortId(port) },
        );
        let times = (0u16..6, 6u16..=40, 1u16..=10, 4u16..=30).prop_map(
            |(message_age, max_age, hello, forward_delay)| Times {
                message_age,
                max_age,
                hello,
                forward_delay,
            },
        );
        let roles = prop::sample::select(vec![Role::Root, Role::Designated, Role::Alternate]);
        let flags = prop::array::uniform7(prop::bool::ANY);
        let information = (vector, times, roles, flags).prop_map(|(vector, times, role, flags)| {
            let [is_rapid, tc, ack, proposal, agreement, learning, forwarding] = flags;
            Bpdu::Information(Information {
                is_rapid,
                role: if is_rapid { role } else { Role::Designated },
                vector,
                times,
                topology_change: tc,
                topology_change_ack: ack && !is_rapid,
                proposal: proposal && is_rapid,
                agreement: agreement && is_rapid,
                learning: learning && is_rapid,
                forwarding: forwarding && is_rapid,
            })
        });
        prop_oneof![1 => Just(Bpdu::Notification), 9 => information]
    }

    fn any_u16() -> impl Strategy<Value = u16> {
        prop::num::u16::ANY
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bpdu in any()) {
            let frame = bpdu.frame(MAC);
            prop_assert_eq!(frame.len(), MIN_FRAME_LEN);
            prop_assert_eq!(read(frame.data()), Some(bpdu));
        }

        #[test]
        fn no_octets_make_it_panic(octets: Vec<u8>, cut in 0usize..60, bpdu in any()) {
            read(&octets);
            read(&bpdu.frame(MAC).data()[..cut]);
        }
    }

    #[test]
    fn an_rst_bpdu_has_the_octets_of_the_standard() {
        let id = |priority, last| BridgeId { priority, mac: MacAddr([2, 0, 0, 0, 0, last]) };
        let bpdu = Bpdu::Information(Information {
            is_rapid: true,
            role: Role::Designated,
            vector: Vector {
                root: id(4096, 1),
                cost: 20_000,
                bridge: id(32768, 2),
                port: PortId::new(128, 3),
            },
            times: Times { message_age: 1, max_age: 20, hello: 2, forward_delay: 15 },
            topology_change: true,
            topology_change_ack: false,
            proposal: true,
            agreement: false,
            learning: false,
            forwarding: true,
        });
        let mut expected = vec![0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 39, 0x42, 0x42, 3];
        expected.extend([0, 0, 2, 2, 0b0010_1111]);
        expected.extend([0x10, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0x4e, 0x20, 0x80, 0, 2, 0, 0, 0, 0, 2]);
        expected.extend([0x80, 3, 1, 0, 20, 0, 2, 0, 15, 0, 0]);
        expected.resize(60, 0);
        assert_eq!(bpdu.frame(MAC).data(), expected);
    }

    #[test]
    fn what_is_no_valid_bpdu_is_none() {
        let frame = |payload: &[u8], len: u16| {
            let mut octets = vec![0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1];
            octets.extend(len.to_be_bytes());
            octets.extend([0x42, 0x42, 3]);
            octets.extend(payload);
            octets.resize(60, 0);
            octets
        };
        let mut config = vec![0, 0, 0, 0, 0];
        config.resize(27, 0);
        config.extend([1, 0, 20, 0, 2, 0, 15, 0]);
        assert!(read(&frame(&config, 38)).is_some());
        assert_eq!(read(&frame(&config, 37)), None, "too short");
        config[27] = 20;
        assert_eq!(read(&frame(&config, 38)), None, "its message age is its max age");
        config[27] = 1;
        config[0] = 1;
        assert_eq!(read(&frame(&config, 38)), None, "another protocol");
        config[0] = 0;
        (config[2], config[3]) = (2, 2);
        assert_eq!(read(&frame(&config, 38)), None, "an RST BPDU has one octet more");
        (config[2], config[3]) = (3, 2);
        assert!(read(&frame(&config, 102)).is_some(), "MSTP's, of which more follows");
        assert_eq!(read(&frame(&[0, 0, 0, 0x80], 7)), Some(Bpdu::Notification));
        config[3] = 9;
        assert_eq!(read(&frame(&config, 38)), None, "a type of the future");
    }
}
