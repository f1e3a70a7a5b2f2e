//! Bindings in a whole switch: who gets one, who may give it back, and how long it lasts.

use std::net::IpAddr;

use etherws_actors::{
    counters::Discard,
    frame::{Gso, Offload},
    message::{BindingFilter, BindingInfo},
    settings::Trust,
};

use super::*;

fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("short").to_be_bytes();
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &len, &[0, 0], payload].concat()
}

fn ethernet(dst: u8, src: u8, ethertype: [u8; 2], payload: &[u8]) -> Frame {
    let frame = frame(dst, src).data()[..12].to_vec();
    Frame::new(Bytes::from([&frame[..], &ethertype, payload].concat()))
}

fn v4(dst: u8, src: u8, datagram: &[u8]) -> Frame {
    let [high, low] = u16::try_from(20 + datagram.len()).expect("short").to_be_bytes();
    let head = [0x45, 0, high, low, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 255, 255, 255, 255];
    ethernet(dst, src, [8, 0], &[&head[..], datagram].concat())
}

fn v6(dst: u8, src: u8, datagram: &[u8]) -> Frame {
    let [high, low] = u16::try_from(datagram.len()).expect("short").to_be_bytes();
    let mut head = vec![0x60, 0, 0, 0, high, low, 17, 64, 0xfe, 0x80];
    head.resize(40, 1);
    ethernet(dst, src, [0x86, 0xdd], &[&head[..], datagram].concat())
}

/// A message of DHCP about a client, with its own address and the one that it is given.
fn bootp(op: u8, client: u8, own: u8, given: u8, options: &[u8]) -> Vec<u8> {
    let mut octets = vec![op, 1, 6, 0];
    octets.resize(236, 0);
    octets[12..16].copy_from_slice(&[192, 0, 2, own]);
    octets[16..20].copy_from_slice(&[192, 0, 2, given]);
    octets[28..34].copy_from_slice(&[2, 0, 0, 0, 0, client]);
    octets.extend([99, 130, 83, 99]);
    octets.extend(options);
    octets
}

fn ack(client: u8, given: u8) -> Frame {
    let options = [53, 1, 5, 51, 4, 0, 0, 0, 100, 255];
    v4(0xff, 9, &udp(67, 68, &bootp(2, client, 0, given, &options)))
}

fn release(src: u8, own: u8) -> Frame {
    v4(9, src, &udp(68, 67, &bootp(1, src, own, 0, &[53, 1, 7, 255])))
}

/// A reply to a client, or its release, of an address.
fn v6_lease(kind: u8, dst: u8, src: u8, last: u8) -> Frame {
    let mut address = vec![0, 5, 0, 24, 0x20, 1, 0x0d, 0xb8];
    address.resize(20, 0);
    address[19] = last;
    address.extend([0, 0, 0, 50, 0, 0, 0, 100]);
    let association = [&[0, 3, 0, 40][..], &[0; 12], &address].concat();
    let message = [&[kind, 0, 0, 1][..], &association].concat();
    v6(dst, src, &if kind == 7 { udp(547, 546, &message) } else { udp(546, 547, &message) })
}

impl Lab {
    /// A server's port, and those of two clients, 1 and 2.
    async fn clients() -> (Self, [MemoryHandle; 3]) {
        let lab = Self::new();
        let handles = [lab.memory().await, lab.memory().await, lab.memory().await];
        for (number, name) in [(2, "one"), (3, "two")] {
            let name = Some(name.parse().expect("a name"));
            let trust = Some(Trust::Client);
            let settings = PortSettings { name, trust, ..PortSettings::default() };
            lab.control.set_port(port(number), settings, vec![]).await.expect("a port");
        }
        handles[1].send(frame(0xff, 1)).await.expect("port 2");
        handles[2].send(frame(0xff, 2)).await.expect("port 3");
        lab.settle().await;
        (lab, handles)
    }

    async fn bindings(&self) -> Vec<BindingInfo> {
        let filter = BindingFilter::default();
        self.control.list_bindings(filter, None, usize::MAX).await.expect("the switch lives")
    }

    async fn bound(&self) -> Vec<(IpAddr, u8, Option<u32>)> {
        let of = |info: BindingInfo| (info.ip, info.mac.0[5], info.port.map(|port| port.get()));
        self.bindings().await.into_iter().map(of).collect()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

#[test]
fn a_binding_is_what_a_trusted_server_gives_and_its_station_gives_back() {
    run(async {
        let (lab, [server, one, two]) = Lab::clients().await;
        server.send(ack(1, 7)).await.expect("port 1");
        server.send(v6_lease(7, 2, 9, 8)).await.expect("port 1");
        // A station that nobody has seen, and one that is not behind a guarded port.
        server.send(ack(77, 70)).await.expect("port 1");
        server.send(ack(9, 90)).await.expect("port 1");
        // Of a rogue server.
        two.send(ack(2, 66)).await.expect("port 3");
        lab.settle().await;
        let (v4, v6) = (ip("192.0.2.7"), ip("2001:db8::8"));
        assert_eq!(lab.bound().await, [(v4, 1, Some(2)), (v6, 2, Some(3))]);
        let filter = BindingFilter { port: Some(port(3)), ..BindingFilter::default() };
        let of_port = lab.control.list_bindings(filter, None, 9).await.expect("the switch lives");
        let left = of_port[0].left.as_secs();
        assert_eq!((of_port.len(), of_port[0].ip, left), (1, v6, 99), "a moment ago");
        // Nobody else gives it back, not even in its name.
        two.send(release(2, 7)).await.expect("port 3");
        two.send(release(1, 7)).await.expect("port 3");
        one.send(v6_lease(8, 9, 1, 8)).await.expect("port 2");
        lab.settle().await;
        assert_eq!(lab.bound().await.len(), 2);
        let spoofed = |number| {
            let port = lab.port(number);
            async { port.await.counters.discards(Discard::DhcpSpoof) }
        };
        assert_eq!((spoofed(2).await, spoofed(3).await), (1, 2));
        one.send(release(1, 7)).await.expect("port 2");
        two.send(v6_lease(8, 9, 2, 8)).await.expect("port 3");
        lab.settle().await;
        assert_eq!(lab.bound().await, []);
    });
}

#[test]
fn a_binding_ends_with_its_lease_and_not_with_its_tunnel() {
    run(async {
        let lab = Lab::new();
        let server = lab.memory().await;
        let session = async || {
            let (port, handle) = Memory::pair("alice", 1024);
            let holder = Holder { identity: "alice".into(), user: None, instance: None };
            let settings = PortSettings { trust: Some(Trust::Client), ..PortSettings::default() };
            let number =
                supervisor::add_with(&lab.switch, Held(port, holder), settings, &log()).await;
            (number.expect("memory ports open").get(), handle)
        };
        let (number, handle) = session().await;
        handle.send(frame(0xff, 1)).await.expect("alice's port");
        lab.settle().await;
        server.send(ack(1, 7)).await.expect("port 1");
        lab.settle().await;
        let of = |port| vec![(ip("192.0.2.7"), 1, port)];
        assert_eq!(lab.bound().await, of(Some(number)));
        lab.delete(number).await.expect("it is there");
        assert_eq!(lab.bound().await, of(None));
        let (number, handle) = session().await;
        assert_eq!(lab.bound().await, of(Some(number)));
        // It is hers, whatever port she has.
        let kept = lab.bindings().await;
        assert_eq!(&*kept[0].holder, "alice");
        tokio::time::sleep(Duration::from_secs(101)).await;
        assert_eq!(lab.bound().await, []);
        // As after a restart.
        let again = lab.control.restore_bindings(kept.clone()).await.expect("the switch lives");
        assert_eq!(lab.bindings().await, kept);
        assert_eq!(lab.control.changed_bindings(again).await.expect("the switch lives"), None);
        handle.send(release(1, 7)).await.expect("alice's port");
        lab.settle().await;
        let changed = lab.control.changed_bindings(again).await.expect("the switch lives");
        assert_eq!(changed.map(|(all, _)| all), Some(vec![]));
    });
}

fn arp(src: u8, station: u8, sender: u8) -> Frame {
    let mut data = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, station];
    data.extend(if sender > 0 { [192, 0, 2, sender] } else { [0; 4] });
    data.resize(28, 0);
    ethernet(0xff, src, [8, 6], &data)
}

fn packet(src: u8, from: u8) -> Frame {
    let mut frame = v4(9, src, &udp(1000, 53, &[])).data().to_vec();
    frame[29] = from;
    Frame::new(Bytes::from(frame))
}

/// Neighbor discovery from a link-local address, 0 for none, about another one.
fn nd(src: u8, kind: u8, from: u8, target: u8, station: u8) -> Frame {
    let local = |last: u8| {
        let mut octets = [0; 16];
        if last > 0 {
            (octets[0], octets[1], octets[15]) = (0xfe, 0x80, last);
        }
        octets
    };
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(local(target));
    if station > 0 {
        message.extend([if kind == 136 { 2 } else { 1 }, 1, 2, 0, 0, 0, 0, station]);
    }
    let len = u8::try_from(message.len()).expect("short");
    let mut head = vec![0x60, 0, 0, 0, 0, len, 58, 255];
    head.extend(local(from));
    head.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    ethernet(0xff, src, [0x86, 0xdd], &[head, message].concat())
}

#[test]
fn stations_use_only_addresses_that_are_theirs() {
    use Discard::{ArpSpoof, IpSpoof, NdSpoof};
    run(async {
        let (lab, [mut server, one, two]) = Lab::clients().await;
        for number in [2, 3] {
            let settings = PortSettings { source_guard: Some(true), ..PortSettings::default() };
            lab.control.set_port(port(number), settings, vec![]).await.expect("a port");
        }
        server.send(ack(1, 7)).await.expect("port 1");
        // The router, who is not to be played.
        server.send(nd(9, 135, 9, 1, 9)).await.expect("port 1");
        lab.settle().await;
        while server.try_recv().is_some() {}
        for (what, by, frame, reason) in [
            ("its address", &one, packet(1, 7), None),
            ("its ARP", &one, arp(1, 1, 7), None),
            ("a probe", &one, arp(1, 1, 0), None),
            ("no address yet", &one, packet(1, 8), Some(IpSpoof)),
            ("the router's ARP", &one, arp(1, 1, 1), Some(ArpSpoof)),
            ("ARP for another station", &one, arp(1, 9, 7), Some(ArpSpoof)),
            ("another's address", &two, packet(2, 7), Some(IpSpoof)),
            ("its address by its own station", &two, packet(1, 7), Some(IpSpoof)),
            ("another's ARP", &two, arp(2, 2, 7), Some(ArpSpoof)),
            ("an advertisement before it is here", &two, nd(2, 136, 2, 2, 2), Some(NdSpoof)),
            ("DAD", &two, nd(2, 135, 0, 2, 0), None),
            ("an advertisement", &two, nd(2, 136, 2, 2, 2), None),
            ("the first to use it", &one, nd(1, 135, 1, 5, 1), None),
            ("DAD for another's", &one, nd(1, 135, 0, 2, 0), Some(NdSpoof)),
            ("another's advertisement", &one, nd(1, 136, 2, 2, 1), Some(NdSpoof)),
            ("the router's advertisement", &one, nd(1, 136, 9, 9, 1), Some(NdSpoof)),
            ("the router's from its own", &one, nd(1, 136, 1, 9, 1), Some(NdSpoof)),
            ("a question in the router's name", &one, nd(1, 135, 9, 2, 1), Some(NdSpoof)),
            ("its own for another station", &one, nd(1, 135, 1, 5, 9), Some(NdSpoof)),
        ] {
            let ports = [lab.port(2).await, lab.port(3).await];
            let count = || {
                let of =
                    |reason| ports.iter().map(|port| port.counters.discards(reason)).sum::<u64>();
                [ArpSpoof, NdSpoof, IpSpoof].map(of)
            };
            let before = count();
            by.send(frame.clone()).await.expect("a port");
            lab.settle().await;
            let passed = std::iter::from_fn(|| server.try_recv()).any(|got| got == frame);
            assert_eq!(passed, reason.is_none(), "{what}");
            let more = count().into_iter().zip(before).map(|(now, before)| now - before);
            let wanted = [ArpSpoof, NdSpoof, IpSpoof].map(|one| u64::from(reason == Some(one)));
            assert!(more.eq(wanted), "{what}");
        }
        // Static addresses are those that are allowed.
        let allowed_ips = Some("192.0.2.8".parse().expect("a list"));
        let settings = PortSettings { allowed_ips, ..PortSettings::default() };
        lab.control.set_port(port(2), settings, vec![]).await.expect("a port");
        one.send(packet(1, 8)).await.expect("port 2");
        one.send(packet(1, 7)).await.expect("port 2");
        lab.settle().await;
        let got: Vec<_> = std::iter::from_fn(|| server.try_recv()).collect();
        assert_eq!(got, [packet(1, 8), packet(1, 7)]);
    });
}

/// What a tunnel makes of such datagrams that come one after the other: their payloads behind the
/// first one's headers.
fn joined(datagrams: &[Frame]) -> Frame {
    let head = 14 + 20 + 8;
    let size = datagrams[0].data().len() - head;
    let mut whole = datagrams[0].data()[..head].to_vec();
    whole.extend(datagrams.iter().flat_map(|one| one.data()[head..].to_vec()));
    let total = whole.len();
    for (at, len) in [(16, total - 14), (38, total - 34)] {
        whole[at..at + 2].copy_from_slice(&u16::try_from(len).expect("short").to_be_bytes());
    }
    let gso_size = u16::try_from(size).expect("short");
    let offload = Offload { gso: Gso::Udp, gso_size, csum: Some((34, 6)), ecn: false };
    Frame::with_offload(Bytes::from(whole), offload)
}

#[test]
fn each_message_of_a_super_frame_is_one_to_the_guards() {
    run(async {
        let (lab, [mut server, one, two]) = Lab::clients().await;
        server.send(ack(1, 5)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(lab.bindings().await.len(), 1);
        while server.try_recv().is_some() {}
        // Of somebody else's address, behind one message that is good.
        let renew = v4(9, 2, &udp(68, 67, &bootp(1, 2, 6, 0, &[53, 1, 3, 255])));
        let theft = v4(9, 2, &udp(68, 67, &bootp(1, 2, 5, 0, &[53, 1, 7, 255])));
        two.send(joined(&[renew, theft])).await.expect("port 3");
        lab.settle().await;
        assert_eq!(std::iter::from_fn(|| server.try_recv()).count(), 1, "the good one");
        assert_eq!(lab.bindings().await.len(), 1);
        // And of a flood each counts.
        let discover = v4(0xff, 1, &udp(68, 67, &bootp(1, 1, 0, 0, &[53, 1, 1, 255])));
        for _ in 0..4 {
            one.send(joined(&vec![discover.clone(); 50])).await.expect("port 2");
        }
        lab.settle().await;
        let got = std::iter::from_fn(|| server.try_recv()).count() as u64;
        let discarded = lab.port(2).await.counters.discards(Discard::DhcpRate);
        assert!((59..=62).contains(&got), "the burst: {got}");
        assert_eq!(got + discarded, 200);
    });
}

#[test]
fn a_flood_of_dhcp_is_cut_for_its_holder_and_nobody_else() {
    run(async {
        let (lab, [mut server, one, two]) = Lab::clients().await;
        let discover = |src| v4(0xff, src, &udp(68, 67, &bootp(1, src, 0, 0, &[53, 1, 1, 255])));
        while server.try_recv().is_some() {}
        for _ in 0..100 {
            one.send(discover(1)).await.expect("port 2");
        }
        two.send(discover(2)).await.expect("port 3");
        lab.settle().await;
        let got = std::iter::from_fn(|| server.try_recv()).count();
        let discarded = lab.port(2).await.counters.discards(Discard::DhcpRate);
        assert!((60..=62).contains(&(got - 1)), "the burst: {got}");
        assert_eq!((got as u64 + discarded, discarded > 0), (101, true));
        assert_eq!(lab.port(3).await.counters.discards(Discard::DhcpRate), 0);
    });
}
