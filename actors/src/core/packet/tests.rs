//! Views of frames that are built header by header, cut at every length, and of any
//! octets.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{reference::check, *};

/// What to build a frame of.
#[derive(Debug, Clone)]
struct Stack {
    tags: Vec<Tag>,
    network: Network,
    transport: Transport,
    padding: usize,
}

#[derive(Debug, Clone)]
enum Network {
    /// Words of options, flags and fragment offset.
    V4(u8, u16),
    /// Extension headers: kind, and units of 8 octets beyond the first.
    V6(Vec<(u8, u8)>),
    Arp,
    Other(u16),
}

#[derive(Debug, Clone, Copy)]
enum Transport {
    /// Words of options, octets of payload.
    Tcp(u8, usize),
    Udp(usize),
    Icmp,
}

impl Transport {
    fn protocol(self, is_ipv4: bool) -> u8 {
        match self {
            Self::Tcp(..) => 6,
            Self::Udp(_) => 17,
            Self::Icmp => {
                if is_ipv4 {
                    1
                } else {
                    58
                }
            }
        }
    }

    fn octets(self) -> Vec<u8> {
        match self {
            Self::Tcp(words, payload) => {
                let mut octets = vec![7; 20 + 4 * usize::from(words)];
                octets[12] = (5 + words) << 4;
                octets.resize(octets.len() + payload, 0xaa);
                octets
            }
            Self::Udp(payload) => vec![9; 8 + payload],
            Self::Icmp => vec![8; 8],
        }
    }
}

impl Network {
    fn ethertype(&self) -> u16 {
        match self {
            Self::V4(..) => ETHERTYPE_IPV4,
            Self::V6(_) => ETHERTYPE_IPV6,
            Self::Arp => ETHERTYPE_ARP,
            Self::Other(ethertype) => *ethertype,
        }
    }

    fn octets(&self, transport: Transport) -> Vec<u8> {
        let payload = transport.octets();
        match self {
            Self::V4(words, fragment) => {
                let len = u16::try_from(20 + 4 * usize::from(*words) + payload.len()).unwrap();
                let mut octets = vec![0x45 + words, 0];
                octets.extend(len.to_be_bytes());
                octets.extend([0, 1]);
                octets.extend(fragment.to_be_bytes());
                octets.extend([64, transport.protocol(true), 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
                octets.resize(octets.len() + 4 * usize::from(*words), 1);
                [octets, payload].concat()
            }
            Self::V6(extensions) => {
                let kinds = extensions.iter().map(|(kind, _)| *kind);
                let mut kinds = kinds.chain([transport.protocol(false)]);
                let mut octets = vec![0x60, 0, 0, 0, 0, 0, kinds.next().unwrap(), 255];
                octets.extend([0x20; 32]);
                for (next, (_, units)) in kinds.zip(extensions) {
                    octets.extend([next, *units]);
                    octets.resize(octets.len() + 6 + 8 * usize::from(*units), 0);
                }
                octets.extend(payload);
                let len = u16::try_from(octets.len() - 40).unwrap();
                put(&mut octets, 4, len);
                octets
            }
            Self::Arp => [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[3; 20]].concat(),
            Self::Other(_) => payload,
        }
    }
}

impl Stack {
    fn octets(&self) -> Vec<u8> {
        let mut octets = [[0xff; 6], [2; 6]].concat();
        octets.extend(self.tags.iter().flat_map(|tag| tag.octets()));
        octets.extend(self.network.ethertype().to_be_bytes());
        octets.extend(self.network.octets(self.transport));
        octets.resize(octets.len() + self.padding, 0);
        octets
    }
}

fn stacks() -> impl Strategy<Value = Stack> {
    let tag = (any::<bool>(), any::<u16>())
        .prop_map(|(service, tci)| if service { Tag::service(tci) } else { Tag::customer(tci) });
    let extension = (select(vec![0, 60, 60, 43, 44, 51]), 0..3_u8);
    let network = prop_oneof![
        (0..=10_u8, select(vec![0, 0x4000, 0x2000, 0x0001])).prop_map(|(w, f)| Network::V4(w, f)),
        vec(extension, 0..=6).prop_map(Network::V6),
        Just(Network::Arp),
        select(vec![0x88cc, 60, TPID_CVLAN]).prop_map(Network::Other),
    ];
    let transport = prop_oneof![
        (0..=10_u8, 0..20_usize).prop_map(|(words, payload)| Transport::Tcp(words, payload)),
        (0..20_usize).prop_map(Transport::Udp),
        Just(Transport::Icmp),
    ];
    (vec(tag, 0..=MAX_TAGS + 1), network, transport, 0..10_usize)
        .prop_map(|(tags, network, transport, padding)| Stack { tags, network, transport, padding })
}

proptest! {
    #[test]
    fn headers_cut_at_any_length_are_read_as_a_naive_reader_does(stack in stacks()) {
        let octets = stack.octets();
        for len in 0..=octets.len() {
            check(&octets[..len]);
        }
    }

    #[test]
    fn any_octets_are_read_as_a_naive_reader_does(
        stack in stacks(),
        changes in vec((0..80_usize, any::<u8>()), 0..4),
        octets in vec(any::<u8>(), 0..80),
    ) {
        check(&octets);
        let mut octets = stack.octets();
        for (at, octet) in changes {
            if let Some(place) = octets.get_mut(at) {
                *place = octet;
            }
        }
        check(&octets);
    }

    #[test]
    fn what_was_built_is_what_is_read(stack in stacks()) {
        prop_assume!(stack.tags.len() <= MAX_TAGS);
        prop_assume!(!matches!(stack.network, Network::Other(TPID_CVLAN)));
        let octets = stack.octets();
        let header = Ethernet::new_checked(&octets).expect("a header");
        prop_assert_eq!(header.tag(), stack.tags.first().copied());
        prop_assert_eq!(header.ethertype(), stack.network.ethertype());
        prop_assert_eq!(header.payload_at(), 14 + 4 * stack.tags.len());
        let known = |kind: u8| kind == 0 || kind == 60;
        let is_plain = match &stack.network {
            Network::V4(_, fragment) => fragment & 0x3fff == 0,
            Network::V6(extensions) => {
                extensions.len() <= 4 && extensions.iter().all(|(kind, _)| known(*kind))
            }
            Network::Arp | Network::Other(_) => {
                prop_assert!(header.ip().is_none());
                prop_assert_eq!(arp(header.payload()).is_some(), header.ethertype() == ETHERTYPE_ARP);
                return Ok(());
            }
        };
        let ip = header.ip().expect("a packet");
        if is_plain {
            let protocol = stack.transport.protocol(ip.is_ipv4());
            prop_assert_eq!(ip.protocol(), Some(IpNextHeaderProtocol(protocol)));
            prop_assert_eq!(ip.payload(), &stack.transport.octets()[..]);
            prop_assert_eq!(ip.source().map(|source| source.is_ipv4()), Some(ip.is_ipv4()));
        }
    }
}

#[test]
fn short_frames_have_no_header() {
    for len in 0..14 {
        assert!(Ethernet::new_checked(&vec![0; len]).is_none(), "{len} octets");
    }
    assert!(Ethernet::new_checked(&[0; 14]).is_some());
}

#[test]
fn a_frame_cut_inside_a_tag_has_no_header() {
    let mut data = [0; 22];
    data[12..20].copy_from_slice(&[0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0xe0, 0x64]);
    for len in 14..22 {
        assert!(Ethernet::new_checked(&data[..len]).is_none(), "{len} octets");
    }
    assert!(Ethernet::new_checked(&data).is_some());
}

#[test]
fn priority_bits_are_no_part_of_the_vid() {
    let mut data = [0; 18];
    let vid = |data: &[u8]| Ethernet::new_checked(data).expect("a header").vid();
    data[12..16].copy_from_slice(&[0x81, 0x00, 0xff, 0xff]);
    assert_eq!(vid(&data).get(), 4095);
    data[14..16].copy_from_slice(&[0xe0, 0x00]);
    assert_eq!(vid(&data), Vid::UNTAGGED);
}

#[test]
fn a_service_tag_names_no_vlan_of_the_switch() {
    let mut data = [0; 22];
    data[12..20].copy_from_slice(&[0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x00, 0x0a]);
    data[20..22].copy_from_slice(&[0x08, 0x06]);
    let header = Ethernet::new_checked(&data).expect("a header");
    assert_eq!((header.vid(), header.tag()), (Vid::UNTAGGED, Some(Tag::service(100))));
    assert_eq!(header.ethertype(), ETHERTYPE_ARP);
}

#[test]
fn options_of_neighbor_discovery_are_walked_up_to_what_is_none() {
    let lens = |octets: &[u8]| {
        nd_options(octets)
            .map(|option| option.map(|(kind, o)| (kind.0, o.len())))
            .collect::<Vec<_>>()
    };
    let long = [&[1, 1, 0, 0, 0, 0, 0, 0, 14, 32][..], &[0; 254]].concat();
    assert_eq!(lens(&long), [Some((1, 8)), Some((14, 256))]);
    assert_eq!(lens(&long[..100]), [Some((1, 8)), None]);
    assert_eq!(lens(&[1, 0, 0, 0, 0, 0, 0, 0]), [None]);
    assert_eq!(lens(&[1]), []);
}
