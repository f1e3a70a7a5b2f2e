//! The filter's slow truth: frames as they are told, filters as trees, and what they mean
//! together. What property tests and the fuzzer compare with; never part of the program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, prelude::*, sample::select};

use super::MacAddr;

const MACS: [[u8; 6]; 4] =
    [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [0xff; 6], [0x33, 0x33, 0, 0, 0, 1]];
const V4: [[u8; 4]; 4] = [[192, 0, 2, 1], [192, 0, 2, 77], [198, 51, 100, 1], [224, 0, 0, 251]];
const PORTS: [u16; 4] = [53, 80, 443, 5000];
const PROTOCOLS: [u8; 8] = [1, 2, 6, 17, 50, 58, 112, 132];

fn v6(which: usize) -> Ipv6Addr {
    ["2001:db8::1", "2001:db8::77", "2001:db9::1", "ff02::fb"][which].parse().unwrap()
}

/// A frame as somebody would tell of it; nothing of this is read from octets.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    macs: [usize; 2],
    /// TPID and VID.
    pub(crate) tags: Vec<(u16, u16)>,
    what: Packet,
    longer: usize,
}

#[derive(Debug, Clone)]
enum Packet {
    Arp {
        ethertype: u16,
        addresses: [usize; 2],
    },
    Ip {
        is_ipv4: bool,
        addresses: [usize; 2],
        protocol: u8,
        ports: [u16; 2],
        has_options: bool,
        fragment: Fragment,
    },
    Other(u16),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fragment {
    No,
    First,
    Later,
}

impl Told {
    fn ethertype(&self) -> u16 {
        match self.what {
            Packet::Arp { ethertype, .. } | Packet::Other(ethertype) => ethertype,
            Packet::Ip { is_ipv4, .. } => {
                if is_ipv4 {
                    0x0800
                } else {
                    0x86dd
                }
            }
        }
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut out = [MACS[self.macs[1]], MACS[self.macs[0]]].concat();
        for (tpid, vid) in &self.tags {
            out.extend([tpid.to_be_bytes(), (0xa000 | vid).to_be_bytes()].concat());
        }
        out.extend(self.ethertype().to_be_bytes());
        match &self.what {
            Packet::Other(_) => out.extend([1; 20]),
            Packet::Arp { addresses, .. } => {
                out.extend([0, 1, 8, 0, 6, 4, 0, 1]);
                for address in addresses {
                    out.extend([7; 6]);
                    out.extend(V4[*address]);
                }
            }
            Packet::Ip { is_ipv4, addresses, protocol, ports, has_options, fragment } => {
                let mut carried = ports.map(u16::to_be_bytes).concat();
                carried.resize(20 + self.longer, 0);
                carried[12] = 0x50;
                let options = if *has_options { 8 } else { 0 };
                if *is_ipv4 {
                    let len = u16::try_from(20 + options + carried.len()).unwrap();
                    let place: u16 = match fragment {
                        Fragment::No => 0x4000,
                        Fragment::First => 0x2000,
                        Fragment::Later => 0x0010,
                    };
                    out.extend([0x45 + u8::try_from(options / 4).unwrap(), 0]);
                    out.extend([len.to_be_bytes(), [0; 2], place.to_be_bytes()].concat());
                    out.extend([64, *protocol, 0, 0]);
                    addresses.iter().for_each(|address| out.extend(V4[*address]));
                    out.extend(vec![0; options]);
                } else {
                    let frag = if *fragment == Fragment::No { 0 } else { 8 };
                    let len = u16::try_from(options + frag + carried.len()).unwrap();
                    let behind = if frag > 0 { 44 } else { *protocol };
                    out.extend([0x60, 0, 0, 0]);
                    out.extend(len.to_be_bytes());
                    out.extend([if *has_options { 0 } else { behind }, 64]);
                    addresses.iter().for_each(|address| out.extend(v6(*address).octets()));
                    out.extend(vec![[behind, 0, 1, 4, 0, 0, 0, 0]; options / 8].concat());
                    let place = if *fragment == Fragment::First { 1 } else { 0x10 };
                    out.extend(vec![[*protocol, 0, 0, place, 0, 0, 0, 0]; frag / 8].concat());
                }
                out.extend(carried);
            }
        }
        out
    }
}

/// Frames; `plain`: without what tcpdump does not look behind.
pub(crate) fn told(plain: bool) -> impl Strategy<Value = Told> {
    let pair = || [0..4_usize, 0..4_usize];
    let arp = (select(vec![0x0806_u16, 0x8035]), pair())
        .prop_map(|(ethertype, addresses)| Packet::Arp { ethertype, addresses });
    let fragment = select(vec![Fragment::No, Fragment::No, Fragment::First, Fragment::Later]);
    let ports = [select(&PORTS[..]), select(&PORTS[..])];
    let ip = (any::<bool>(), pair(), select(&PROTOCOLS[..]), ports, any::<bool>(), fragment);
    let ip = ip.prop_map(move |(is_ipv4, addresses, protocol, ports, has_options, fragment)| {
        let has_options = has_options && (is_ipv4 || !plain);
        let is_hidden = plain && !is_ipv4 && fragment == Fragment::First;
        let fragment = if is_hidden { Fragment::Later } else { fragment };
        Packet::Ip { is_ipv4, addresses, protocol, ports, has_options, fragment }
    });
    let other = select(vec![0x88cc_u16, 0x88b5]).prop_map(Packet::Other);
    let what = prop_oneof![2 => arp, 6 => ip, 1 => other];
    let tag = (select(vec![0x8100_u16, 0x88a8]), select(vec![0_u16, 10, 20]));
    (pair(), vec(tag, 0..=3), what, 0..100_usize).prop_map(|(macs, tags, what, longer)| Told {
        macs,
        tags,
        what,
        longer,
    })
}

/// A filter as a tree, and what it means.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Leaf(Leaf),
    Not(Box<Tree>),
    /// Tree after tree, the first one joined to nothing.
    Chain(Vec<(bool, Tree)>),
}

#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    /// Empty, or a word and a blank.
    layer: &'static str,
    end: &'static str,
    kind: &'static str,
    value: String,
}

impl Tree {
    /// With as few parentheses as it may be written with.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Leaf(Leaf { layer, end, kind, value }) => {
                format!("{layer}{end}{kind}{value}").trim_end().to_owned()
            }
            Self::Not(tree) => format!("not {}", tree.term()),
            Self::Chain(trees) => {
                let mut text = String::new();
                for (at, (is_or, tree)) in trees.iter().enumerate() {
                    let joint = if *is_or { " or " } else { " && " };
                    text += if at > 0 { joint } else { "" };
                    text += &tree.term();
                }
                text
            }
        }
    }

    fn term(&self) -> String {
        match self {
            Self::Chain(_) => format!("({})", self.text()),
            _ => self.text(),
        }
    }

    pub(crate) fn holds(&self, told: &Told) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.holds(told),
            Self::Not(tree) => !tree.holds(told),
            Self::Chain(trees) => trees.iter().fold(true, |before, (is_or, tree)| {
                if *is_or { before || tree.holds(told) } else { before && tree.holds(told) }
            }),
        }
    }
}

impl Leaf {
    fn ends(&self, source: bool, destination: bool) -> bool {
        match self.end {
            "src " => source,
            "dst " => destination,
            "src and dst " => source && destination,
            _ => source || destination,
        }
    }

    fn holds(&self, told: &Told) -> bool {
        let value = self.value.as_str();
        let [from, to] = told.macs.map(|mac| MacAddr(MACS[mac]).to_string());
        let (ip, carried, ports) = match &told.what {
            Packet::Ip { is_ipv4, protocol, ports, fragment, .. } => {
                let ports = (*fragment != Fragment::Later && [6, 17, 132].contains(protocol))
                    .then_some(*ports);
                (if *is_ipv4 { "ip " } else { "ip6 " }, Some(*protocol), ports)
            }
            _ => ("", None, None),
        };
        let layer = match told.ethertype() {
            0x0806 => "arp ",
            0x8035 => "rarp ",
            _ => ip,
        };
        let number = || value.parse::<u16>().unwrap();
        match (self.layer, self.kind) {
            ("", "vlan ") if value.is_empty() => !told.tags.is_empty(),
            ("", "vlan ") => told.tags.iter().any(|tag| tag.1 == number()),
            ("", "less ") => told.octets().len() <= number().into(),
            ("", "greater ") => told.octets().len() >= number().into(),
            (_, "broadcast") => told.macs[1] == 2,
            ("ip ", "multicast") => {
                matches!(told.what, Packet::Ip { is_ipv4: true, addresses: [_, 3], .. })
            }
            ("ip6 ", "multicast") => {
                matches!(told.what, Packet::Ip { is_ipv4: false, addresses: [_, 3], .. })
            }
            (_, "multicast") => told.macs[1] > 1,
            ("ether ", "proto ") => {
                let names = [("arp", 0x0806), ("ip", 0x0800), ("0x88cc", 0x88cc)];
                names.contains(&(value, told.ethertype()))
            }
            ("ether ", _) => self.ends(from == value, to == value),
            (layer, "proto ") => (layer.is_empty() || layer == ip) && carried == value.parse().ok(),
            (protocol, "port " | "portrange ") => {
                let (first, last) = value.split_once('-').unwrap_or((value, value));
                let range = first.parse::<u16>().unwrap()..=last.parse().unwrap();
                let of = [("tcp ", 6), ("udp ", 17), ("sctp ", 132)]
                    .into_iter()
                    .find(|of| of.0 == protocol);
                of.is_none_or(|of| carried == Some(of.1))
                    && ports.is_some_and(|[a, b]| self.ends(range.contains(&a), range.contains(&b)))
            }
            (wanted, "host " | "net ") => {
                let addresses: Vec<IpAddr> = match &told.what {
                    Packet::Ip { is_ipv4: false, addresses, .. } => {
                        addresses.map(|a| v6(a).into()).to_vec()
                    }
                    Packet::Arp { addresses, .. } | Packet::Ip { addresses, .. } => {
                        addresses.map(|a| Ipv4Addr::from(V4[a]).into()).to_vec()
                    }
                    Packet::Other(_) => return false,
                };
                let of = |text: &str| {
                    match text {
                        "192.0.2.0/24" => "192.0.2.",
                        "192.0.2" => "192.0.2.",
                        "0.0.0.0/0" => ".",
                        "198.51.100.1/32" => "198.51.100.1",
                        "2001:db8::/32" => "2001:db8:",
                        "2001:db8::/31" => "2001:db",
                        _ => panic!("{text}"),
                    }
                    .to_owned()
                };
                let is = |address: IpAddr| match self.kind {
                    "host " => address.to_string() == value,
                    _ => address.to_string().contains(&of(value)),
                };
                (wanted.is_empty() || wanted == layer)
                    && self.ends(is(addresses[0]), is(addresses[1]))
            }
            (protocol, "") => {
                let known = [
                    ("tcp ", 6, ""),
                    ("udp ", 17, ""),
                    ("sctp ", 132, ""),
                    ("icmp ", 1, "ip "),
                    ("icmp6 ", 58, "ip6 "),
                    ("igmp ", 2, "ip "),
                    ("esp ", 50, ""),
                    ("vrrp ", 112, "ip "),
                ];
                protocol == layer
                    || known.iter().any(|(name, number, of)| {
                        *name == protocol
                            && carried == Some(*number)
                            && (of.is_empty() || *of == ip)
                    })
            }
            other => panic!("{other:?}"),
        }
    }
}

fn leaf(with_tags: bool) -> impl Strategy<Value = Tree> {
    let text = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    let end = || select(vec!["", "", "src ", "dst ", "src or dst ", "src and dst "]);
    let none = || Just("");
    let make = |(layer, end, kind, value)| Tree::Leaf(Leaf { layer, end, kind, value });
    let v4: Vec<_> = V4.iter().map(|a| Ipv4Addr::from(*a).to_string()).collect();
    let hosts = v4.iter().cloned().chain((0..4).map(|a| v6(a).to_string())).collect::<Vec<_>>();
    let nets = [
        "192.0.2.0/24",
        "192.0.2",
        "0.0.0.0/0",
        "198.51.100.1/32",
        "2001:db8::/32",
        "2001:db8::/31",
    ];
    let macs = MACS.map(|mac| MacAddr(mac).to_string()).to_vec();
    let ports = PORTS.iter().map(ToString::to_string).collect::<Vec<_>>();
    let bare = select(vec![
        "ip ", "ip6 ", "arp ", "rarp ", "tcp ", "udp ", "sctp ", "icmp ", "icmp6 ", "igmp ",
        "esp ", "vrrp ",
    ]);
    let groups = vec![
        ("", "broadcast"),
        ("", "multicast"),
        ("ether ", "multicast"),
        ("ether ", "broadcast"),
        ("ip ", "multicast"),
        ("ip6 ", "multicast"),
    ];
    let mut leaves = vec![
        (bare, none(), none(), Just(String::new())).prop_map(make).boxed(),
        select(groups)
            .prop_map(move |(layer, kind)| make((layer, "", kind, String::new())))
            .boxed(),
        (none(), end(), Just("host "), select(hosts)).prop_map(make).boxed(),
        (select(vec!["ip ", "arp ", "rarp "]), end(), Just("host "), select(v4))
            .prop_map(make)
            .boxed(),
        (none(), end(), Just("net "), select(text(&nets))).prop_map(make).boxed(),
        (Just("ip6 "), end(), Just("net "), select(text(&nets[4..]))).prop_map(make).boxed(),
        (Just("ether "), end(), select(vec!["host ", ""]), select(macs))
            .prop_map(move |(layer, end, kind, mac)| {
                make((layer, end, if end.is_empty() { "host " } else { kind }, mac))
            })
            .boxed(),
        (select(vec!["", "tcp ", "udp ", "sctp "]), end(), Just("port "), select(ports))
            .prop_map(make)
            .boxed(),
        (select(vec!["", "udp "]), end(), Just("portrange "), select(text(&["53-80", "81-5000"])))
            .prop_map(make)
            .boxed(),
        (
            select(vec!["", "ip ", "ip6 "]),
            none(),
            Just("proto "),
            select(text(&["6", "58", "112"])),
        )
            .prop_map(make)
            .boxed(),
        (Just("ether "), none(), Just("proto "), select(text(&["0x88cc"]))).prop_map(make).boxed(),
        (none(), none(), select(vec!["less ", "greater "]), select(text(&["60", "100"])))
            .prop_map(make)
            .boxed(),
    ];
    if with_tags {
        let vlan = (none(), none(), Just("vlan "), select(text(&["", "0", "10", "20"])));
        leaves.push(vlan.prop_map(make).boxed());
    }
    proptest::strategy::Union::new(leaves)
}

pub(crate) fn tree(with_tags: bool) -> impl Strategy<Value = Tree> {
    leaf(with_tags).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            vec((any::<bool>(), inner), 2..5).prop_map(|mut trees| {
                trees[0].0 = false;
                Tree::Chain(trees)
            }),
        ]
    })
}
