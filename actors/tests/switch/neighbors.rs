//! Neighbor suppression in a whole switch: what it answers, what it never answers, and whom it
//! believes.

use std::net::{IpAddr, Ipv6Addr};

use etherws_actors::{
    bindings::BindingType,
    counters::Incident,
    frame::MacAddr,
    guard::storm::StormLimit,
    message::{BindingFilter, BindingInfo},
    monitor::{Kind, Monitor},
};

use super::*;

const MAC: MacAddr = MacAddr([0xfe, 0, 0, 0, 0, 9]);
const REQUEST: u8 = 1;
const REPLY: u8 = 2;

fn station(last: u8) -> [u8; 6] {
    match last {
        0xff => [0xff; 6],
        9 => MAC.0,
        last => [2, 0, 0, 0, 0, last],
    }
}

/// ARP of 192.0.2.`sender`, 0 for none, about another address, to a station or all.
fn arp(dst: u8, src: u8, operation: u8, sender: u8, target: u8) -> Frame {
    let ip = |last| if last == 0 { [0; 4] } else { [192, 0, 2, last] };
    let mut data = [station(dst), station(src)].concat();
    data.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    data.extend(station(src));
    data.extend(ip(sender));
    data.extend(if operation == REPLY { station(dst) } else { [0; 6] });
    data.extend(ip(target));
    data.resize(60, 0);
    Frame::new(Bytes::from(data))
}

fn ask(src: u8, target: u8) -> Frame {
    arp(0xff, src, REQUEST, src, target)
}

fn local(last: u8) -> Ipv6Addr {
    let last = u16::from(last);
    if last == 0 { Ipv6Addr::UNSPECIFIED } else { Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last) }
}

/// Neighbor discovery between link-local addresses; an advertisement has these flags.
fn nd(dst: u8, src: u8, from: u8, target: u8, flags: Option<u8>) -> Frame {
    let group = [0x33, 0x33, 0xff, 0, 0, target];
    let dst = if dst == 0xff { group } else { station(dst) };
    let (kind, option) = if flags.is_some() { (136, 2) } else { (135, 1) };
    let mut data = [dst, station(src)].concat();
    let len = if from == 0 { 24 } else { 32 };
    data.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, len, 58, 255]);
    data.extend(local(from).octets());
    data.extend(local(dst[5]).octets());
    data.extend([kind, 0, 0, 0, flags.unwrap_or_default(), 0, 0, 0]);
    data.extend(local(target).octets());
    if from != 0 {
        data.extend([option, 1]);
        data.extend(station(src));
    }
    Frame::new(Bytes::from(data))
}

fn suppress(is_wanted: bool) -> PortSettings {
    PortSettings { neigh_suppress: Some(is_wanted), ..PortSettings::default() }
}

fn in_vlan(frame: Frame) -> Frame {
    let data = frame.data();
    Frame::new([&data[..12], &[0x81, 0, 0, 7], &data[12..]].concat().into())
}

/// What arrived at a port since this was asked last.
fn got(handle: &mut MemoryHandle) -> Vec<Frame> {
    std::iter::from_fn(|| handle.try_recv()).collect()
}

impl Lab {
    /// Ports 1 to 3 with stations 1 to 3, which have the addresses 1 to 3, and station 4 behind the
    /// first port. The second is a router.
    async fn neighbors(monitor: Monitor) -> (Self, [MemoryHandle; 3]) {
        let ports = PortSettings {
            loop_guard: Some(false),
            storm_broadcast: Some(StormLimit::Off),
            ..suppress(true)
        };
        let lab =
            Self::with(SwitchOptions { ports, mac: MAC, monitor, ..SwitchOptions::default() });
        let mut handles = [lab.memory().await, lab.memory().await, lab.memory().await];
        for (at, who) in [(0, 1), (1, 2), (2, 3), (0, 4)] {
            handles[at].send(arp(0xff, who, REQUEST, who, who)).await.expect("a port");
            let flags = if who == 2 { 0xe0 } else { 0x60 };
            handles[at].send(nd(8, who, who, who, Some(flags))).await.expect("a port");
        }
        lab.settle().await;
        handles.iter_mut().for_each(|handle| _ = got(handle));
        (lab, handles)
    }

    /// The ports that get what `handles[0]` sends.
    async fn pass(&self, handles: &mut [MemoryHandle; 3], frame: Frame) -> Vec<(usize, Frame)> {
        handles[0].send(frame).await.expect("port 1");
        self.settle().await;
        let of = |(at, handle)| got(handle).into_iter().map(move |frame| (at + 1, frame));
        handles.iter_mut().enumerate().flat_map(of).collect()
    }

    async fn known(&self) -> Vec<(IpAddr, u8, BindingType)> {
        let all = self.control.list_bindings(BindingFilter::default(), None, usize::MAX).await;
        let of = |info: BindingInfo| (info.ip, info.mac.0[5], info.kind);
        all.expect("the switch lives").into_iter().map(of).collect()
    }

    async fn count(&self, number: u32, incident: Incident) -> u64 {
        self.port(number).await.counters.incidents(incident)
    }
}

#[test]
fn only_a_question_to_all_for_a_station_elsewhere_is_answered() {
    run(async {
        let (lab, mut handles) = Lab::neighbors(Monitor::new()).await;
        let fdb = lab.fdb().await.len();
        let answers = [
            ("ARP", ask(1, 2), arp(1, 2, REPLY, 2, 1)),
            ("by another station", ask(4, 3), arp(4, 3, REPLY, 3, 4)),
            ("ND of a host", nd(0xff, 1, 1, 3, None), nd(1, 3, 3, 3, Some(0x60))),
            ("ND of a router", nd(0xff, 1, 1, 2, None), nd(1, 2, 2, 2, Some(0xe0))),
        ];
        for (what, frame, answer) in answers.clone() {
            let passed = lab.pass(&mut handles, frame).await;
            let [(1, answered)] = &passed[..] else { panic!("{what}: {passed:?}") };
            // But for the checksum of ICMPv6.
            let octets = |frame: &Frame| [&frame.data()[..56], &frame.data()[58..]].concat();
            assert_eq!(octets(answered), octets(&answer), "{what}");
        }
        let suppressed = lab.count(1, Incident::SuppressedRequest).await;
        assert_eq!((suppressed, lab.fdb().await.len()), (4, fdb), "and nothing is learned of it");
        let never = [
            ("an unknown address", ask(1, 77)),
            ("a probe for another's", arp(0xff, 1, REQUEST, 0, 2)),
            ("a probe for its own", arp(0xff, 1, REQUEST, 0, 1)),
            ("gratuitous ARP", arp(0xff, 1, REQUEST, 1, 1)),
            ("its own by another of its own", arp(0xff, 1, REQUEST, 11, 1)),
            ("behind its own port", ask(1, 4)),
            ("another VLAN", in_vlan(ask(1, 2))),
            ("two tags", in_vlan(in_vlan(ask(1, 2)))),
            ("unknown by ND", nd(0xff, 1, 1, 77, None)),
            ("DAD for another's", nd(0xff, 1, 0, 2, None)),
            ("behind its own port by ND", nd(0xff, 1, 1, 4, None)),
            ("another VLAN by ND", in_vlan(nd(0xff, 1, 1, 2, None))),
        ];
        for (what, frame) in never {
            let passed = lab.pass(&mut handles, frame.clone()).await;
            assert_eq!(passed, [(2, frame.clone()), (3, frame)], "{what}");
        }
        for (what, frame) in [
            ("a question to one station", arp(2, 1, REQUEST, 1, 2)),
            ("the same by ND", nd(2, 1, 1, 2, None)),
            ("an answer", arp(2, 1, REPLY, 1, 2)),
        ] {
            assert_eq!(lab.pass(&mut handles, frame.clone()).await, [(2, frame)], "{what}");
        }
        assert_eq!(lab.count(1, Incident::SuppressedRequest).await, 4);
    });
}

#[test]
fn a_station_that_cannot_be_reached_is_not_answered_for() {
    run(async {
        let (lab, mut handles) = Lab::neighbors(Monitor::new()).await;
        let set = async |number, settings| {
            lab.control.set_port(port(number), settings, Vec::new()).await.expect("a port");
            lab.settle().await;
        };
        let isolate =
            |isolated| PortSettings { isolated: Some(isolated), ..PortSettings::default() };
        for number in [1, 2] {
            set(number, isolate(true)).await;
        }
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await, [(3, ask(1, 2))]);
        set(1, isolate(false)).await;
        let answer = || (1, arp(1, 2, REPLY, 2, 1));
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await, [answer()]);
        // A port without the setting hears the question, and whoever is behind it answers.
        set(3, suppress(false)).await;
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await, [answer(), (3, ask(1, 2))]);
        assert_eq!(lab.pass(&mut handles, ask(1, 3)).await, [(3, ask(1, 3))]);
        lab.shut(2, true).await;
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await, [(3, ask(1, 2))]);
        lab.shut(2, false).await;
        // It is not known where the station is, until it says something.
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await.len(), 2);
        handles[1].send(frame(1, 2)).await.expect("port 2");
        lab.settle().await;
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await.len(), 3, "with that frame");
        // What nobody has repeated is old.
        tokio::time::sleep(Duration::from_secs(299)).await;
        handles[1].send(frame(1, 2)).await.expect("port 2");
        lab.settle().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        handles.iter_mut().for_each(|handle| _ = got(handle));
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await, [(2, ask(1, 2)), (3, ask(1, 2))]);
        // Nothing is left when nobody wants it any more.
        assert_ne!(lab.known().await, []);
        for number in [1, 2] {
            set(number, suppress(false)).await;
        }
        assert_eq!(lab.known().await, []);
    });
}

#[test]
fn another_station_is_believed_only_where_the_first_is_silent() {
    run(async {
        let monitor = Monitor::new();
        let mut events = monitor.watch();
        let (lab, mut handles) = Lab::neighbors(monitor).await;
        let ip = IpAddr::from([192, 0, 2, 2]);
        let heard = arp(0xff, 3, REQUEST, 2, 2);
        handles[2].send(heard.clone()).await.expect("port 3");
        lab.settle().await;
        // All hear of it; the one who has had it is asked.
        assert_eq!(got(&mut handles[0]), std::slice::from_ref(&heard));
        assert_eq!(got(&mut handles[1]), [arp(2, 9, REQUEST, 0, 2), heard]);
        let flooded = [(2, ask(1, 2)), (3, ask(1, 2))];
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await, flooded);
        assert_eq!(lab.count(3, Incident::DuplicateAddress).await, 0);
        // It is there: both have it, and whoever asks hears both.
        handles[1].send(arp(9, 2, REPLY, 2, 0)).await.expect("port 2");
        lab.settle().await;
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await, flooded);
        assert!(lab.known().await.contains(&(ip, 2, BindingType::Disputed)));
        assert_eq!(lab.count(3, Incident::DuplicateAddress).await, 1);
        let told = loop {
            let event = events.next().await.expect("an event");
            if event.kind == Kind::DuplicateAddress {
                break event;
            }
        };
        let of = |name| told.details.iter().find(|(it, _)| *it == name).expect(name).1.to_string();
        assert_eq!((of("address"), of("with")), (ip.to_string(), "02:00:00:00:00:02".to_owned()));
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await.len(), 2, "it is nobody's");
        // Where the first one says nothing any more the second is believed.
        let theirs = arp(0xff, 3, REQUEST, 1, 1);
        handles[2].send(theirs.clone()).await.expect("port 3");
        lab.settle().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        handles[2].send(theirs).await.expect("port 3");
        lab.settle().await;
        assert!(lab.known().await.contains(&(IpAddr::from([192, 0, 2, 1]), 3, BindingType::Heard)));
    });
}

#[test]
fn a_station_that_moves_is_followed_at_once() {
    run(async {
        let (lab, mut handles) = Lab::neighbors(Monitor::new()).await;
        // Else it would be taken for what the station has just said where it was.
        tokio::time::sleep(Duration::from_secs(5)).await;
        handles[2].send(arp(0xff, 2, REQUEST, 2, 2)).await.expect("port 3");
        lab.settle().await;
        handles.iter_mut().for_each(|handle| _ = got(handle));
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await, [(1, arp(1, 2, REPLY, 2, 1))]);
        handles[1].send(ask(5, 2)).await.expect("port 2");
        lab.settle().await;
        assert_eq!(got(&mut handles[1]), [arp(5, 2, REPLY, 2, 5)], "it was there before");
    });
}

#[test]
fn what_a_server_has_given_or_a_guard_discards_nobody_takes_by_saying_so() {
    run(async {
        let (lab, mut handles) = Lab::neighbors(Monitor::new()).await;
        let ip = IpAddr::from([192, 0, 2, 50]);
        let given = BindingInfo {
            vid: etherws_actors::frame::Vid::UNTAGGED,
            ip,
            mac: MacAddr(station(2)),
            port: None,
            holder: "a server's client".into(),
            left: Duration::from_secs(600),
            kind: BindingType::Dhcp,
        };
        lab.control.restore_bindings(vec![given]).await.expect("the switch lives");
        handles[2].send(arp(0xff, 3, REQUEST, 50, 50)).await.expect("port 3");
        lab.settle().await;
        handles.iter_mut().for_each(|handle| _ = got(handle));
        let known = lab.known().await;
        assert_eq!(
            known.iter().filter(|known| known.0 == ip).collect::<Vec<_>>(),
            [&(ip, 2, BindingType::Dhcp)]
        );
        assert_eq!(lab.pass(&mut handles, ask(1, 50)).await, [(1, arp(1, 2, REPLY, 50, 1))]);
        let settings = PortSettings { source_guard: Some(true), ..PortSettings::default() };
        lab.control.set_port(port(3), settings, Vec::new()).await.expect("port 3");
        handles[2].send(arp(0xff, 3, REQUEST, 2, 2)).await.expect("port 3");
        lab.settle().await;
        assert_eq!(lab.pass(&mut handles, ask(1, 2)).await, [(1, arp(1, 2, REPLY, 2, 1))]);
        // And none of what was only heard is kept over a restart.
        let kept = lab.control.changed_bindings(0).await.expect("the switch lives");
        assert_eq!(kept.expect("a change").0.len(), 1);
    });
}

#[test]
fn an_invented_crowd_takes_no_more_than_its_holders_part() {
    run(async {
        let ports = PortSettings { loop_guard: Some(false), ..suppress(true) };
        let options = SwitchOptions { ports, fdb_capacity: 160, ..SwitchOptions::default() };
        let lab = Lab::with(options);
        let (crowd, other) = (lab.memory().await, lab.memory().await);
        let name = Some("other".parse().expect("a name"));
        let settings = PortSettings { name, ..PortSettings::default() };
        lab.control.set_port(port(2), settings, Vec::new()).await.expect("port 2");
        for last in 1..=40 {
            crowd.send(arp(0xff, 1, REQUEST, last, last)).await.expect("port 1");
        }
        other.send(arp(0xff, 2, REQUEST, 99, 99)).await.expect("port 2");
        lab.settle().await;
        let known = lab.known().await;
        let of = |who| known.iter().filter(|known| known.1 == who).count();
        assert_eq!((of(1), of(2)), (10, 1));
        assert_eq!(lab.count(1, Incident::NeighDiscard).await, 29);
        assert_eq!(lab.count(2, Incident::NeighDiscard).await, 0);
    });
}
