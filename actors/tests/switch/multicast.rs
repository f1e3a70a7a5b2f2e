//! Multicast snooping in a whole switch: who gets a stream, and what hosts are asked.

use etherws_actors::{
    counters::Incident,
    frame::Vid,
    message::{MdbFilter, SetDefaults},
    multicast::{MdbState, SnoopingOptions},
};

use super::{
    bpdu::{bpdu, set},
    idle::wakeups,
    *,
};

const SNOOPING: SnoopingOptions = SnoopingOptions { is_on: true, is_querier: true, groups: 4096 };

fn options(snooping: SnoopingOptions) -> SwitchOptions {
    let ports = PortSettings { loop_guard: Some(false), ..PortSettings::default() };
    SwitchOptions { ports, snooping, ..SwitchOptions::default() }
}

impl Lab {
    /// With a querier of its own, these ports, and all of them asked.
    async fn snooping(ports: usize) -> (Self, Vec<MemoryHandle>) {
        let lab = Self::with(options(SNOOPING));
        let mut handles = Vec::new();
        for _ in 0..ports {
            handles.push(lab.memory().await);
        }
        lab.wait(40).await;
        handles.iter_mut().for_each(|port| while port.try_recv().is_some() {});
        (lab, handles)
    }

    async fn wait(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.settle().await;
    }
}

/// An IPv4 packet to a group.
fn packet(from: u8, to: [u8; 4], protocol: u8, body: &[u8]) -> Frame {
    let mut data = vec![1, 0, 0x5e, to[1] & 0x7f, to[2], to[3], 2, 0, 0, 0, 0, from, 8, 0];
    let len = u8::try_from(20 + body.len()).expect("a short packet");
    data.extend([0x45, 0, 0, len, 0, 0, 0, 0, 1, protocol, 0, 0, 192, 0, 2, from]);
    data.extend(to);
    data.extend(body);
    Frame::new(Bytes::from(data))
}

/// A message of IGMP: type, code, and what follows the checksum.
fn igmp(from: u8, to: [u8; 4], kind: u8, code: u8, rest: &[u8]) -> Frame {
    let mut body = vec![kind, code, 0, 0];
    body.extend(rest);
    let sum = body.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("short");
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    packet(from, to, 2, &body)
}

fn join(from: u8, group: [u8; 4]) -> Frame {
    igmp(from, group, 0x16, 0, &group)
}

fn leave(from: u8, group: [u8; 4]) -> Frame {
    igmp(from, [224, 0, 0, 2], 0x17, 0, &group)
}

fn query(from: u8) -> Frame {
    igmp(from, [224, 0, 0, 1], 0x11, 100, &[0; 4])
}

fn stream(group: [u8; 4]) -> Frame {
    packet(77, group, 17, &[0; 100])
}

/// How many frames have come out of each port.
fn received(ports: &mut [MemoryHandle]) -> Vec<usize> {
    ports.iter_mut().map(|port| std::iter::from_fn(|| port.try_recv()).count()).collect()
}

const GROUP: [u8; 4] = [239, 1, 1, 1];

#[test]
fn a_stream_with_one_receiver_goes_to_one_of_a_hundred_ports() {
    run(async {
        let (lab, mut ports) = Lab::snooping(101).await;
        ports[7].send(join(7, GROUP)).await.expect("port 8");
        lab.settle().await;
        received(&mut ports);
        // More than storm control lets pass of what is multiplied.
        set(&lab, 101, "storm-multicast", "10/10").await;
        for _ in 0..500 {
            ports[100].send(stream(GROUP)).await.expect("port 101");
            lab.settle().await;
        }
        let counts = received(&mut ports);
        assert_eq!((counts[7], counts.iter().sum::<usize>()), (500, 500));
        // With two it is flooded in part, and limited.
        ports[8].send(join(8, GROUP)).await.expect("port 9");
        for _ in 0..50 {
            ports[100].send(stream(GROUP)).await.expect("port 101");
        }
        lab.settle().await;
        let counts = received(&mut ports);
        assert_eq!((counts[7], counts[8], counts.iter().sum::<usize>()), (10, 10, 20));
        assert_eq!(lab.port(101).await.counters.discards(Discard::StormMulticast), 40);
    });
}

#[test]
fn hosts_are_asked_when_their_port_comes_up_and_when_one_of_them_leaves() {
    run(async {
        let (lab, mut ports) = Lab::snooping(3).await;
        let mut late = lab.memory().await;
        lab.settle().await;
        let asked: Vec<_> = std::iter::from_fn(|| late.try_recv()).map(|f| f.data()[0]).collect();
        assert_eq!(asked, [0x33, 1], "of IPv6 and of IPv4, in either lane");
        assert_eq!(received(&mut ports), [0, 0, 0], "the others not");
        ports[0].send(stream(GROUP)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(std::iter::from_fn(|| late.try_recv()).count(), 1, "it gets all until then");
        lab.wait(13).await;
        ports[1].send(join(1, GROUP)).await.expect("port 2");
        lab.settle().await;
        assert_eq!(received(&mut ports), [0, 0, 0], "no host hears of it");
        ports[1].send(leave(1, GROUP)).await.expect("port 2");
        lab.settle().await;
        assert_eq!(received(&mut ports), [0, 1, 0]);
        lab.wait(1).await;
        assert_eq!(received(&mut ports), [0, 1, 0]);
        let all = || lab.control.list_mdb(MdbFilter::default(), None, usize::MAX);
        assert_eq!(all().await.expect("it lives").len(), 3);
        lab.wait(1).await;
        assert_eq!(all().await.expect("it lives").len(), 2);
        ports[0].send(stream(GROUP)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut ports), [0, 0, 0]);
    });
}

#[test]
fn a_port_that_goes_takes_its_memberships_along() {
    run(async {
        let (lab, mut ports) = Lab::snooping(3).await;
        for port in [1, 2] {
            ports[port].send(join(1, GROUP)).await.expect("a port");
            ports[port].send(query(9)).await.expect("a port");
        }
        lab.settle().await;
        let mdb = || lab.control.list_mdb(MdbFilter::default(), None, usize::MAX);
        let all = mdb().await.expect("it lives");
        let routers: Vec<_> = all[0].ports.iter().map(|one| (one.port.get(), one.state)).collect();
        assert_eq!(routers, [(2, MdbState::Temp), (3, MdbState::Temp)]);
        assert_eq!(all[1].ports.len(), 2);
        lab.shut(2, true).await;
        lab.delete(3).await.expect("it is there");
        let all = mdb().await.expect("it lives");
        assert_eq!((all.len(), all[0].ports.len()), (2, 0));
        let querier = all[0].querier.expect("it is known still");
        assert_eq!((querier.address.to_string(), querier.port), ("192.0.2.9".to_owned(), None));
        received(&mut ports);
        ports[0].send(stream(GROUP)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut ports), [0, 0, 0]);
    });
}

#[test]
fn reports_and_unknown_groups_go_to_routers_and_a_guarded_port_is_none() {
    run(async {
        let (lab, mut ports) = Lab::snooping(4).await;
        set(&lab, 2, "querier-guard", "on").await;
        set(&lab, 3, "mcast-flood", "on").await;
        ports[1].send(query(8)).await.expect("port 2");
        ports[3].send(query(9)).await.expect("port 4");
        lab.settle().await;
        assert_eq!(received(&mut ports), [1, 1, 1, 0], "a query is for all");
        ports[0].send(join(1, [239, 2, 2, 2])).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut ports), [0, 0, 0, 1]);
        ports[0].send(stream(GROUP)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut ports), [0, 0, 1, 1]);
        // What no host asks for first.
        ports[0].send(stream([224, 0, 0, 251])).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut ports), [0, 1, 1, 1]);
        // A message that was changed on its way is a packet like any other.
        let mut data = join(1, [239, 2, 2, 3]).into_data().to_vec();
        data[36] ^= 0xff;
        ports[0].send(Frame::new(data.into())).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut ports), [0, 0, 1, 1]);
        assert_eq!(lab.port(1).await.counters.incidents(Incident::GroupMessageError), 1);
    });
}

#[test]
fn a_topology_change_asks_all_and_floods_until_they_have_answered() {
    run(async {
        let (lab, mut ports) = Lab::snooping(3).await;
        set(&lab, 1, "stp-trust", "on").await;
        ports[0].send(bpdu(1)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut ports), [2, 3, 3], "two queries, and the BPDU");
        ports[0].send(stream(GROUP)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut ports), [0, 1, 1]);
        lab.wait(14).await;
        received(&mut ports);
        ports[0].send(stream(GROUP)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut ports), [0, 0, 0]);
    });
}

#[test]
fn each_vlan_that_a_port_names_has_a_querier_and_groups_of_its_own() {
    run(async {
        let (lab, mut ports) = Lab::snooping(4).await;
        for (number, tag) in [(1, "10"), (2, "10"), (3, "20")] {
            set(&lab, number, "tag", tag).await;
        }
        lab.settle().await;
        let asked = received(&mut ports);
        assert_eq!(asked[3], 4, "of VLANs 10 and 20, for IPv4 and IPv6: {asked:?}");
        lab.wait(40).await;
        ports[1].send(join(1, GROUP)).await.expect("port 2");
        lab.settle().await;
        received(&mut ports);
        for (from, expected) in [(0, [0, 1, 0, 0]), (2, [0; 4]), (3, [0; 4])] {
            ports[from].send(stream(GROUP)).await.expect("a port");
            lab.settle().await;
            assert_eq!(received(&mut ports), expected, "from port {}", from + 1);
        }
        let filter = MdbFilter { vid: Vid::new(10), ..MdbFilter::default() };
        let mdb = lab.control.list_mdb(filter, None, usize::MAX).await.expect("it lives");
        let of: Vec<_> = mdb.iter().map(|entry| (entry.vid.get(), entry.ports.len())).collect();
        assert_eq!(of, [(10, 0), (10, 1), (10, 0)]);
    });
}

#[test]
fn snooping_is_switched_on_and_off_while_frames_pass() {
    run(async {
        let lab = Lab::new();
        let mut ports = vec![lab.memory().await, lab.memory().await];
        let change = |snooping| {
            lab.control.set_defaults(SetDefaults {
                lldp: false,
                stp: None,
                aging_time: Duration::from_secs(300),
                queue_memory: 1 << 24,
                max_bindings: 16,
                snooping,
                ports: PortSettings { loop_guard: Some(false), ..PortSettings::default() },
                profiles: Default::default(),
                vlan_names: Default::default(),
            })
        };
        for (snooping, expected) in [
            (SNOOPING, [0, 0]),
            (SnoopingOptions { is_querier: false, ..SNOOPING }, [0, 1]),
            (SNOOPING, [0, 0]),
            (SnoopingOptions::default(), [0, 1]),
        ] {
            change(snooping).await.expect("it lives");
            lab.wait(15).await;
            received(&mut ports);
            ports[0].send(stream(GROUP)).await.expect("port 1");
            lab.settle().await;
            assert_eq!(received(&mut ports), expected, "{snooping:?}");
        }
        let mdb = lab.control.list_mdb(MdbFilter::default(), None, usize::MAX).await;
        assert_eq!(mdb.expect("it lives"), []);
    });
}

#[test]
fn a_switch_that_snoops_wakes_only_to_ask() {
    run(async {
        let (lab, ports) = Lab::snooping(2).await;
        lab.wait(300).await;
        let woken = wakeups().await;
        // Queries each 125 s in ten minutes, which two ports send.
        assert!(woken < 40, "{woken}");
        for number in 0..50 {
            ports[0].send(join(1, [239, 1, 1, number])).await.expect("port 1");
            lab.wait(1).await;
        }
        let woken = wakeups().await;
        assert!(woken < 120, "{woken}");
    });
}
