//! Messages of DHCP and DHCPv6, as far as guards read them.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use crate::core::{
    frame::{Frame, Gso, MacAddr},
    packet::{Carried, Ethernet, IpNextHeaderProtocols, UDP_LEN, Upper, dhcp},
};

/// Where the cookie of options stands (RFC 2131, 3).
const COOKIE_AT: usize = 236;

/// Options (RFC 2132, 9.1, 9.2 and 9.6), and what the last says (RFC 2131, 3).
const REQUESTED: u8 = 50;
const LEASE: u8 = 51;
const KIND: u8 = 53;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const RELEASE: u8 = 7;

/// Messages (RFC 8415, 7.3) and options (RFC 8415, 21.4 to 21.6).
const REPLY: u8 = 7;
const RELEASE6: u8 = 8;
const DECLINE6: u8 = 9;
const IA_NA: u16 = 3;
const IA_TA: u16 = 4;
const IA_ADDRESS: u16 = 5;

/// A message of DHCP (RFC 2131, 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bootp {
    /// Whether it is a server's.
    pub(crate) is_reply: bool,
    /// Whether a relay has passed it on.
    pub(crate) is_relayed: bool,
    /// The hardware address that it is about.
    pub(crate) client: MacAddr,
    /// What of a lease it says.
    pub(crate) lease: Option<Lease<Ipv4Addr>>,
}

/// What a message says of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease<T> {
    /// A server gives it, for so long.
    Given(T, Duration),
    /// A client gives it back.
    Returned(T),
}

impl Bootp {
    /// The message in a UDP datagram. A fragment has none: another could be laid over it.
    pub(crate) fn read(upper: Upper<'_>) -> Option<Self> {
        let message = upper.octets.get(UDP_LEN..)?;
        let head: &[u8; 44] = message.first_chunk()?;
        let client = head[28..].first_chunk().map(|octets| MacAddr(*octets))?;
        (!upper.is_fragment).then(|| Self {
            is_reply: head[0] != 1,
            is_relayed: head[24..28] != Ipv4Addr::UNSPECIFIED.octets(),
            client,
            lease: lease(message),
        })
    }
}

fn lease(message: &[u8]) -> Option<Lease<Ipv4Addr>> {
    let address = |octets: &[u8]| octets.first_chunk().map(|octets| Ipv4Addr::from(*octets));
    let (mut kind, mut requested, mut seconds) = (0, None, None);
    for (code, value) in dhcp::options(message.get(COOKIE_AT..)?) {
        match code {
            KIND => kind = *value.first()?,
            REQUESTED => requested = address(value),
            LEASE => seconds = value.first_chunk().map(|four| u32::from_be_bytes(*four)),
            _ => {}
        }
    }
    let given = address(&message[16..]).filter(|given| !given.is_unspecified());
    match kind {
        ACK => Some(Lease::Given(given?, Duration::from_secs(seconds?.into()))),
        DECLINE => Some(Lease::Returned(requested?)),
        RELEASE => Some(Lease::Returned(address(&message[12..])?)),
        _ => None,
    }
}

/// A message between client and server, as a frame carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Whether it goes to a client, and not to a server.
    pub(crate) is_for_client: bool,
    pub(crate) what: What<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What<'a> {
    V4(Bootp),
    /// Its type and options.
    V6(u8, &'a [u8]),
}

/// Whether a frame is a super-frame of messages: a sender's datagrams one after the other.
pub(crate) fn are_messages(frame: &Frame) -> bool {
    const PORTS: [u16; 4] = [dhcp::CLIENT, dhcp::SERVER, dhcp::CLIENT6, dhcp::SERVER6];
    frame.offload().gso == Gso::Udp
        && frame.header().is_some_and(|header| match header.carried() {
            Carried::Upper(upper) => {
                upper.ports().is_none_or(|(from, to)| PORTS.contains(&from) || PORTS.contains(&to))
            }
            Carried::Other | Carried::Unreadable => true,
        })
}

/// The message in a frame, if there is one.
pub(crate) fn read(header: Ethernet<'_>) -> Option<Message<'_>> {
    let Carried::Upper(upper) = header.carried() else { return None };
    if upper.protocol != IpNextHeaderProtocols::Udp || upper.is_fragment {
        return None;
    }
    let (_, to) = upper.ports()?;
    let what = match (upper.is_ipv4, to) {
        (true, dhcp::CLIENT | dhcp::SERVER) => What::V4(Bootp::read(upper)?),
        (false, dhcp::CLIENT6 | dhcp::SERVER6) => {
            let (kind, rest) = upper.octets.get(UDP_LEN..)?.split_first()?;
            What::V6(*kind, rest.get(3..)?)
        }
        _ => return None,
    };
    Some(Message { is_for_client: matches!(to, dhcp::CLIENT | dhcp::CLIENT6), what })
}

/// Tells `each` lease that a message of DHCPv6 of this type has among its options.
pub(crate) fn leases6(kind: u8, options: &[u8], mut each: impl FnMut(Lease<Ipv6Addr>)) {
    let is_reply = kind == REPLY;
    if !is_reply && !matches!(kind, RELEASE6 | DECLINE6) {
        return;
    }
    for (code, value) in dhcp::options6(options) {
        let inside = match code {
            // Behind the association's id, and its times.
            IA_NA => value.get(12..),
            IA_TA => value.get(4..),
            _ => None,
        };
        for (_, value) in dhcp::options6(inside.unwrap_or_default()).filter(|it| it.0 == IA_ADDRESS)
        {
            let Some(head) = value.first_chunk::<24>() else { continue };
            let Some(address) = head.first_chunk::<16>().map(|it| Ipv6Addr::from(*it)) else {
                continue;
            };
            let valid = [head[20], head[21], head[22], head[23]];
            let valid = Duration::from_secs(u32::from_be_bytes(valid).into());
            each(if is_reply { Lease::Given(address, valid) } else { Lease::Returned(address) });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn upper(is_ipv4: bool, octets: &[u8]) -> Upper<'_> {
        Upper { is_ipv4, protocol: IpNextHeaderProtocols::Udp, octets, is_fragment: false }
    }

    fn bootp(op: u8, own: u8, given: u8, options: &[u8]) -> Vec<u8> {
        let mut octets = vec![0; 8];
        octets.extend([op, 1, 6, 0]);
        octets.resize(8 + 236, 0);
        octets[8 + 15] = own;
        octets[8 + 19] = given;
        octets[8 + 28..8 + 34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        octets.extend(dhcp::COOKIE);
        octets.extend(options);
        octets
    }

    #[test]
    fn leases_are_what_acknowledgements_give_and_clients_return() {
        let ip = |last| Ipv4Addr::new(0, 0, 0, last);
        let given = Some(Lease::Given(ip(7), Duration::from_secs(3600)));
        for (what, octets, lease) in [
            ("an ACK", bootp(2, 0, 7, &[0, 0, 53, 1, 5, 51, 4, 0, 0, 0x0e, 0x10, 255, 9]), given),
            ("an ACK of INFORM", bootp(2, 7, 0, &[53, 1, 5, 255]), None),
            ("an ACK without a time", bootp(2, 0, 7, &[53, 1, 5, 255]), None),
            ("an offer", bootp(2, 0, 7, &[53, 1, 2, 51, 4, 0, 0, 14, 16, 255]), None),
            ("a release", bootp(1, 7, 0, &[53, 1, 7]), Some(Lease::Returned(ip(7)))),
            (
                "a decline",
                bootp(1, 0, 0, &[50, 4, 0, 0, 0, 9, 53, 1, 4]),
                Some(Lease::Returned(ip(9))),
            ),
            ("a discover", bootp(1, 0, 0, &[53, 1, 1, 255]), None),
            ("a broken option", bootp(2, 0, 7, &[53, 1, 5, 51, 200]), None),
            ("no length", bootp(2, 0, 7, &[53]), None),
            ("no option", bootp(2, 0, 7, &[]), None),
        ] {
            let read = Bootp::read(upper(true, &octets)).expect(what);
            assert_eq!((read.lease, read.client), (lease, MacAddr([2, 0, 0, 0, 0, 1])), "{what}");
        }
    }

    #[test]
    fn addresses_of_dhcpv6_are_found_in_their_associations() {
        let option = |code: u16, value: &[u8]| {
            let len = u16::try_from(value.len()).expect("short");
            [&code.to_be_bytes()[..], &len.to_be_bytes(), value].concat()
        };
        let address = |last: u8, valid: u8| {
            let mut value = vec![0; 24];
            (value[15], value[23]) = (last, valid);
            option(IA_ADDRESS, &value)
        };
        let ia = option(
            IA_NA,
            &[&[0; 12][..], &address(7, 60), &option(13, &[0]), &address(8, 0)].concat(),
        );
        let temporary = option(IA_TA, &[&[0; 4][..], &address(9, 5)].concat());
        // A prefix that is delegated, an address on its own, an option that is cut.
        let others = [option(25, &[&[0; 12][..], &address(1, 9)].concat()), address(2, 9)].concat();
        let all = [option(1, &[1, 2]), ia, temporary, others, vec![0, 3, 9, 9]].concat();
        let leases = |kind| {
            let mut found = Vec::new();
            leases6(kind, &all, |lease| found.push(lease));
            found
        };
        let ip = |last| Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, last);
        let given = |last, valid| Lease::Given(ip(last), Duration::from_secs(valid));
        assert_eq!(leases(REPLY), [given(7, 60), given(8, 0), given(9, 5)]);
        assert_eq!(leases(RELEASE6), [7, 8, 9].map(|last| Lease::Returned(ip(last))));
        assert_eq!(leases(1), []);
    }

    proptest! {
        #[test]
        fn no_octets_make_the_readers_panic(octets: Vec<u8>, kind: u8) {
            let _ = Bootp::read(upper(true, &octets));
            leases6(kind, &octets, |_| ());
            let _ = lease(&bootp(2, 0, 7, &octets));
        }
    }
}
