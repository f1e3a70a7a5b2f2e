//! A naive model of snooping, and messages to try both with.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use pnet_packet::{ip::IpNextHeaderProtocols, util::ipv6_checksum};
use proptest::prelude::*;

use super::*;
use crate::core::{
    frame::MacAddr,
    offload::checksum::{fold, sum},
    settings::McastRouter,
};

pub(super) const MAC: MacAddr = MacAddr([0xfe, 0, 0, 0, 0, 9]);

pub(super) fn host(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

/// A frame from a host, with an IPv4 packet that lives for one hop.
pub(super) fn v4(from: u8, vid: u16, addresses: [[u8; 4]; 2], protocol: u8, body: &[u8]) -> Frame {
    let [source, to] = addresses;
    let mut data = vec![0x01, 0, 0x5e, to[1] & 0x7f, to[2], to[3]];
    data.extend(host(from).0);
    let [high, low] = u16::try_from(20 + body.len()).expect("a packet").to_be_bytes();
    data.extend([8, 0, 0x45, 0, high, low, 0, 0, 0, 0, 1, protocol, 0, 0]);
    data.extend(source);
    data.extend(to);
    data.extend(body);
    tagged(data, vid)
}

/// The same for IPv6, with options for each hop.
pub(super) fn v6(from: u8, vid: u16, addresses: [[u8; 16]; 2], protocol: u8, body: &[u8]) -> Frame {
    let [source, to] = addresses;
    let mut data = vec![0x33, 0x33, to[12], to[13], to[14], to[15]];
    data.extend(host(from).0);
    let len = u8::try_from(8 + body.len()).expect("a short packet");
    data.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, len, 0, 1]);
    data.extend(source);
    data.extend(to);
    data.extend([protocol, 0, 5, 2, 0, 0, 1, 0]);
    data.extend(body);
    tagged(data, vid)
}

fn tagged(data: Vec<u8>, vid: u16) -> Frame {
    let frame = Frame::new(Bytes::from(data));
    if vid == 0 { frame } else { frame.push_tag(Tag::customer(vid)) }
}

/// A message of IGMP or MLD, whose checksum is set here.
pub(super) fn message(from: u8, vid: u16, to: IpAddr, mut body: Vec<u8>) -> Frame {
    match to {
        IpAddr::V4(to) => {
            let sum = !fold(sum(&body));
            body[2..4].copy_from_slice(&sum.to_be_bytes());
            v4(from, vid, [[192, 0, 2, from], to.octets()], 2, &body)
        }
        IpAddr::V6(to) => {
            let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, from.into());
            let sum = ipv6_checksum(&body, 1, &[], &source, &to, IpNextHeaderProtocols::Icmpv6);
            body[2..4].copy_from_slice(&sum.to_be_bytes());
            v6(from, vid, [source.octets(), to.octets()], 58, &body)
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A report with one record of this type, without sources.
pub(super) fn record(from: u8, vid: u16, group: IpAddr, kind: u8) -> Frame {
    let (first, to) = match group {
        IpAddr::V4(_) => (0x22, IpAddr::from([224, 0, 0, 22])),
        IpAddr::V6(_) => (143, "ff02::16".parse().expect("an address")),
    };
    let mut body = vec![first, 0, 0, 0, 0, 0, 0, 1, kind, 0, 0, 0];
    body.extend(octets(group));
    message(from, vid, to, body)
}

pub(super) fn join(from: u8, vid: u16, group: IpAddr, version: Version) -> Frame {
    let (kind, is_v4) = (version, group.is_ipv4());
    match (kind, is_v4) {
        (Version::Third, _) => record(from, vid, group, 4),
        (Version::First, true) => message(from, vid, group, short(0x12, group)),
        (_, true) => message(from, vid, group, short(0x16, group)),
        (_, false) => message(from, vid, group, short(131, group)),
    }
}

pub(super) fn leave(from: u8, vid: u16, group: IpAddr, version: Version) -> Frame {
    match (version, group) {
        (Version::Third, _) => record(from, vid, group, 3),
        (_, IpAddr::V4(_)) => message(from, vid, [224, 0, 0, 2].into(), short(0x17, group)),
        (_, IpAddr::V6(_)) => {
            message(from, vid, "ff02::2".parse().expect("an address"), short(132, group))
        }
    }
}

/// A message about one group.
fn short(kind: u8, group: IpAddr) -> Vec<u8> {
    let mut body = vec![kind, 0, 0, 0];
    if group.is_ipv6() {
        body.extend([0; 4]);
    }
    body.extend(octets(group));
    body
}

/// A query of the second version, with ten seconds to answer, or one of them about a group.
pub(super) fn query(from: u8, vid: u16, family: Family, group: Option<IpAddr>) -> Frame {
    let (all, none): (IpAddr, IpAddr) = match family {
        Family::V4 => ([224, 0, 0, 1].into(), [0; 4].into()),
        Family::V6 => ("ff02::1".parse().expect("an address"), [0; 16].into()),
    };
    let kind = if family == Family::V4 { 0x11 } else { 130 };
    let mut body = short(kind, group.unwrap_or(none));
    let seconds: u16 = if group.is_some() { 1 } else { 10 };
    match family {
        Family::V4 => body[1] = u8::try_from(seconds * 10).expect("tenths"),
        Family::V6 => body[4..6].copy_from_slice(&(seconds * 1000).to_be_bytes()),
    }
    message(from, vid, group.unwrap_or(all), body)
}

pub(super) fn groups() -> [IpAddr; 4] {
    [[239, 1, 1, 1], [232, 0, 0, 7]]
        .map(IpAddr::from)
        .into_iter()
        .chain(["ff05::7", "ff3e::8"].map(|text| text.parse().expect("a group")))
        .collect::<Vec<_>>()
        .try_into()
        .expect("four of them")
}

/// A packet to a group.
pub(super) fn packet(vid: u16, group: IpAddr) -> Frame {
    match group {
        IpAddr::V4(to) => v4(77, vid, [[192, 0, 2, 77], to.octets()], 17, &[0; 16]),
        IpAddr::V6(to) => v6(77, vid, [[0xfe; 16], to.octets()], 17, &[0; 16]),
    }
}

pub(super) const PORTS: usize = 4;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Join { port: usize, host: u8, group: usize, version: Version },
    Leave { port: usize, host: u8, group: usize, version: Version },
    Query { port: usize, family: Family, group: Option<usize> },
    Up(usize, bool),
    Wait(u32),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let version = prop_oneof![
        1 => Just(Version::First), 2 => Just(Version::Second), 5 => Just(Version::Third),
    ];
    let host = (0..PORTS, 1u8..4, 0usize..4, version);
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    prop_oneof![
        6 => host.clone().prop_map(|(port, host, group, version)| Step::Join { port, host, group, version }),
        4 => host.prop_map(|(port, host, group, version)| Step::Leave { port, host, group, version }),
        2 => (0..PORTS, family, prop::option::of(0usize..4))
            .prop_map(|(port, family, group)| Step::Query { port, family, group }),
        1 => (0..PORTS, any::<bool>()).prop_map(|(port, is_up)| Step::Up(port, is_up)),
        5 => prop_oneof![1u32..30, 90u32..130, 1000u32..3000].prop_map(Step::Wait),
    ]
}

/// A member, as it was told.
#[derive(Debug, Default)]
struct Told {
    until: u32,
    /// When it is over because nobody has answered.
    asked_until: Option<u32>,
    /// Whether somebody has left since the last report.
    left: bool,
    hosts: BTreeSet<u8>,
    version: Option<Version>,
    old_until: u32,
}

/// What is known, in two VLANs: the switch is the querier of VLAN 0, and others are of VLAN 7.
/// The last port has fast leave.
#[derive(Debug, Default)]
pub(super) struct Model {
    now: u32,
    members: BTreeMap<(u16, IpAddr, usize), Told>,
    routers: BTreeMap<(u16, Family, usize), u32>,
    /// Lowest source, and until when.
    queriers: BTreeMap<(u16, Family), (u8, u32)>,
    settled: BTreeMap<(u16, Family), u32>,
    up: BTreeMap<usize, u32>,
}

impl Model {
    fn asks(&self, vid: u16, family: Family) -> bool {
        vid == 0 && !self.queriers.contains_key(&(vid, family))
    }

    fn pass(&mut self) {
        let now = self.now;
        self.members
            .retain(|_, told| told.until > now && told.asked_until.is_none_or(|until| until > now));
        self.routers.retain(|_, until| *until > now);
        self.queriers.retain(|_, (_, until)| *until > now);
        let (queriers, settled) = (&self.queriers, &mut self.settled);
        settled.retain(|key, _| key.0 == 0 || queriers.contains_key(key));
    }

    fn receivers(&self, vid: u16, group: IpAddr) -> BTreeSet<usize> {
        let family = Family::of(group);
        let is_new = |port: &usize| self.up.get(port).is_some_and(|up| up + 110 > self.now);
        let prunes = self.settled.get(&(vid, family)).is_some_and(|at| *at <= self.now);
        let wanted = |port: &usize| {
            !prunes
                || is_new(port)
                || self.members.contains_key(&(vid, group, *port))
                || self.routers.contains_key(&(vid, family, *port))
        };
        (0..PORTS).filter(wanted).collect()
    }

    fn step(&mut self, vid: u16, step: &Step) {
        let now = self.now;
        match *step {
            Step::Join { port, host, group, version } => {
                let told = self.members.entry((vid, groups()[group], port)).or_default();
                let version = oldest(groups()[group], version);
                (told.until, told.asked_until, told.left) = (now + 2600, None, false);
                told.hosts.insert(host);
                let before = told.version.filter(|_| told.old_until > now);
                told.version = Some(before.map_or(version, |before| before.min(version)));
                if version < Version::Third {
                    told.old_until = now + 2600;
                }
            }
            Step::Leave { port, host, group, version: _ } => {
                let key = (vid, groups()[group], port);
                let asks = self.asks(vid, Family::of(groups()[group]));
                let Some(told) = self.members.get_mut(&key) else { return };
                told.hosts.remove(&host);
                if port == PORTS - 1
                    && told.hosts.is_empty()
                    && told.version == Some(Version::Third)
                {
                    self.members.remove(&key);
                } else if (told.version != Some(Version::First) || told.old_until <= now)
                    && !told.left
                {
                    told.left = true;
                    told.asked_until = asks.then_some(now + 20);
                }
            }
            Step::Query { port, family, group: None } => {
                let source = u8::try_from(port).expect("a port") + 100;
                let querier = self.queriers.entry((vid, family)).or_insert((source, 0));
                if source <= querier.0 {
                    *querier = (source, now + 2550);
                    self.settled.entry((vid, family)).or_insert(now + 110);
                }
                self.router(vid, family, port);
            }
            Step::Query { port, group: Some(group), .. } => {
                let group = groups()[group];
                self.router(vid, Family::of(group), port);
                for ((of, about, _), told) in &mut self.members {
                    if (*of, *about) == (vid, group) && told.left {
                        told.until = told.until.min(now + 20);
                    }
                }
            }
            Step::Up(..) | Step::Wait(_) => {}
        }
    }

    fn router(&mut self, vid: u16, family: Family, port: usize) {
        let until = self.routers.entry((vid, family, port)).or_default();
        *until = (self.now + 2600).max(*until);
    }
}

/// MLD has two versions.
fn oldest(group: IpAddr, version: Version) -> Version {
    if group.is_ipv6() { version.max(Version::Second) } else { version }
}

/// The ports that get a packet.
pub(super) fn receivers(snooping: &Snooping, frame: &Frame) -> BTreeSet<usize> {
    let bits = snooping.audience(frame).word(0);
    (0..PORTS).filter(|at| bits >> at & 1 == 1).collect()
}

pub(super) fn check(steps: Vec<(u16, Step)>) {
    let start = Instant::now();
    let at = |now: u32| start + Duration::from_millis(u64::from(now) * 100);
    let mut snooping = Snooping::new(MAC, DEFAULT_GROUPS, start);
    snooping.set_querier([Vid::UNTAGGED].into_iter(), start);
    let mut model = Model::default();
    for family in [Family::V4, Family::V6] {
        model.settled.insert((0, family), 110);
    }
    let options = |port| PortOptions {
        router: McastRouter::Auto,
        fast_leave: port == PORTS - 1,
        flood: false,
    };
    for port in 0..PORTS {
        snooping.set_port(port, options(port), port, true, start);
        model.up.insert(port, 0);
    }
    snooping.look(start);
    for (vid, step) in steps {
        let now = at(model.now);
        match step {
            // In tenths, as ticks would: all that is due is done in time.
            Step::Wait(tenths) => {
                for _ in 0..tenths {
                    model.now += 1;
                    model.pass();
                    let due = snooping.due().into_iter().chain(snooping.wakes()).min();
                    if due.is_some_and(|due| due <= at(model.now)) {
                        snooping.look(at(model.now));
                    }
                }
            }
            Step::Up(port, is_up) => {
                snooping.set_port(port, options(port), port, is_up, now);
                if !is_up {
                    model.up.remove(&port);
                    model.members.retain(|(.., at), _| *at != port);
                    model.routers.retain(|(.., at), _| *at != port);
                } else {
                    model.up.entry(port).or_insert(model.now);
                }
            }
            _ => {
                let (port, frame) = match &step {
                    Step::Join { port, host, group, version } => {
                        (*port, join(*host, vid, groups()[*group], *version))
                    }
                    Step::Leave { port, host, group, version } => {
                        (*port, leave(*host, vid, groups()[*group], *version))
                    }
                    Step::Query { port, family, group } => {
                        let group = group.map(|group| groups()[group]);
                        let family = group.map_or(*family, Family::of);
                        let from = u8::try_from(*port).expect("a port") + 100;
                        (*port, query(from, vid, family, group))
                    }
                    Step::Up(..) | Step::Wait(_) => unreachable!(),
                };
                if model.up.contains_key(&port) {
                    assert!(matches!(snooping.audience(&frame), Audience::Message), "{step:?}");
                    snooping.hear(port, &frame, now);
                    model.step(vid, &step);
                }
            }
        }
        for (vid, group) in [0, 7].into_iter().flat_map(|vid| groups().map(|group| (vid, group))) {
            assert_eq!(
                receivers(&snooping, &packet(vid, group)),
                model.receivers(vid, group),
                "{group} in {vid} at {} after {step:?}",
                model.now
            );
        }
    }
}
