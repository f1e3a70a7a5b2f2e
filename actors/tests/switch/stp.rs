//! The switch as a bridge of a spanning tree: what its ports let pass, and what strangers behind
//! them can do to it.

use etherws_actors::{
    counters::Incident,
    settings::LldpStatus,
    stp::{BridgeSettings, Role, State},
};

use super::{bpdu::set, guards::cable, *};

/// A switch with spanning tree and the loop guard.
fn lab() -> Lab {
    Lab::with(SwitchOptions { stp: Some(BridgeSettings::default()), ..SwitchOptions::default() })
}

async fn part(lab: &Lab, number: u32) -> (Role, State) {
    let port = lab.port(number).await;
    assert_ne!(port.state.name(), "loop", "{port:?}");
    let stp = port.stp.expect("it takes part");
    (stp.role, stp.state)
}

async fn sleep(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn is_bpdu(frame: &Frame) -> bool {
    frame.data()[..6] == [1, 0x80, 0xc2, 0, 0, 0]
}

/// What has come out of a port: BPDUs, and stations' frames.
fn received(handle: &mut MemoryHandle) -> (usize, usize) {
    let frames: Vec<_> = std::iter::from_fn(|| handle.try_recv()).collect();
    let stations = frames.iter().filter(|frame| frame.data()[12..14] == [0x88, 0xb5]).count();
    (frames.iter().filter(|frame| is_bpdu(frame)).count(), stations)
}

/// The last octets of addresses that have been announced, by reverse ARP.
fn announced(handle: &mut MemoryHandle) -> Vec<u8> {
    let frames = std::iter::from_fn(|| handle.try_recv());
    let of = |frame: Frame| {
        let header = frame.header()?;
        (header.ethertype() == 0x8035).then(|| header.src().0[5])
    };
    frames.filter_map(of).collect()
}

/// A BPDU of a designated port of a bridge with this priority, which says it is the root.
fn bpdu(priority: u8, flags: u8) -> Frame {
    let mut data = vec![1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 0xbb, 0, 39];
    data.extend([0x42, 0x42, 3, 0, 0, 2, 2, flags | 3 << 2]);
    let bridge = [priority, 0, 2, 0, 0, 0, 0, 0xbb];
    data.extend([&bridge[..], &[0; 4], &bridge, &[0x80, 1]].concat());
    data.extend([0, 0, 20, 0, 2, 0, 15, 0, 0]);
    data.resize(60, 0);
    Frame::new(data.into())
}

#[test]
fn a_port_forwards_when_nobody_has_sent_bpdus_and_passes_none_on() {
    run(async {
        let lab = lab();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        a.send(frame(0xff, 1)).await.expect("port 1");
        sleep(1).await;
        assert_eq!(part(&lab, 2).await, (Role::Designated, State::Discarding));
        assert_eq!(received(&mut b).1, 0);
        assert!(lab.port(1).await.counters.discards(Discard::Stp) > 0);
        sleep(5).await;
        assert_eq!(part(&lab, 2).await, (Role::Designated, State::Forwarding));
        assert!(lab.port(2).await.stp.is_some_and(|port| port.is_edge));
        received(&mut b);
        a.send(frame(0xff, 1)).await.expect("port 1");
        a.send(bpdu(0xf0, 0)).await.expect("port 1");
        lab.settle().await;
        assert!(!lab.port(1).await.stp.is_some_and(|port| port.is_edge), "a bridge is there");
        assert_eq!(received(&mut b), (0, 1));
        // One each two seconds.
        sleep(20).await;
        let (bpdus, _) = received(&mut b);
        assert!((9..=12).contains(&bpdus), "{bpdus}");
    });
}

#[test]
fn bpdus_are_of_the_port_whatever_vlans_it_has() {
    run(async {
        let lab = lab();
        let (mut trunk, mut access) = (lab.memory().await, lab.memory().await);
        for (number, all) in [
            (1, [("vlan-mode", "trunk"), ("trunks", "10")]),
            (2, [("vlan-mode", "access"), ("tag", "10")]),
        ] {
            let mut settings = PortSettings::default();
            for (name, value) in all {
                settings.set(name, value).expect("a good value");
            }
            let set = lab.control.set_port(port(number), settings, Vec::new()).await;
            set.expect("port is there");
        }
        sleep(10).await;
        for handle in [&mut trunk, &mut access] {
            assert!(received(handle).0 >= 4, "they leave untagged");
        }
        for (number, handle) in [(1, &trunk), (2, &access)] {
            handle.send(bpdu(0, 0)).await.expect("port is there");
            lab.settle().await;
            let stp = lab.port(number).await.stp.expect("it takes part");
            assert_eq!(stp.received.rst, 1, "{stp:?}");
        }
        assert_eq!(part(&lab, 1).await.0, Role::Root);
    });
}

#[test]
fn a_port_that_takes_no_part_always_forwards() {
    run(async {
        let lab = lab();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        for number in [1, 2] {
            set(&lab, number, "stp", "off").await;
        }
        received(&mut b);
        a.send(frame(0xff, 1)).await.expect("port 1");
        a.send(bpdu(0, 0)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut b), (0, 1));
        assert_eq!(lab.port(1).await.stp, None);
        sleep(10).await;
        assert_eq!(received(&mut b).0, 0);
        let tree = lab.control.show_stp().await.expect("the switch lives").expect("it takes part");
        assert_eq!(tree.root, tree.bridge);
        // And without a tree BPDUs pass.
        let other = Lab::new();
        let (a, mut b) = (other.memory().await, other.memory().await);
        a.send(bpdu(0, 0)).await.expect("port 1");
        other.settle().await;
        assert_eq!(received(&mut b).0, 1);
        assert_eq!(other.control.show_stp().await.expect("the switch lives"), None);
    });
}

#[test]
fn two_cables_between_two_switches_carry_each_frame_once_and_one_stands_in_for_the_other() {
    run(async {
        let (one, other) = (lab(), lab());
        let (a, mut b) = (one.memory().await, other.memory().await);
        let cables = [
            cable(one.memory().await, Some(other.memory().await)),
            cable(one.memory().await, Some(other.memory().await)),
        ];
        sleep(10).await;
        let mut closed = Vec::new();
        for (lab, number) in [(&one, 2), (&one, 3), (&other, 2), (&other, 3)] {
            let (role, state) = part(lab, number).await;
            assert_eq!(state == State::Discarding, role == Role::Alternate);
            closed.extend((role == Role::Alternate).then_some(number));
        }
        assert_eq!(closed, [3]);
        received(&mut b);
        for _ in 0..10 {
            a.send(frame(0xff, 1)).await.expect("port 1");
        }
        sleep(1).await;
        assert_eq!(received(&mut b).1, 10);
        // It falls silent: three hello times.
        cables[0].set(false);
        let start = tokio::time::Instant::now();
        while received(&mut b).1 == 0 {
            a.send(frame(0xff, 1)).await.expect("port 1");
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(start.elapsed() < Duration::from_secs(30));
        }
        let gap = start.elapsed();
        assert!(gap > Duration::from_secs(3) && gap < Duration::from_millis(7500), "{gap:?}");
        // And comes back.
        cables[0].set(true);
        sleep(10).await;
        received(&mut b);
        a.send(frame(0xff, 1)).await.expect("port 1");
        sleep(1).await;
        assert_eq!(received(&mut b).1, 1);
    });
}

#[test]
fn changes_that_follow_each_other_are_all_taken() {
    run(async {
        let of = |priority| {
            let stp = BridgeSettings { priority, ..BridgeSettings::default() };
            Lab::with(SwitchOptions { stp: Some(stp), ..SwitchOptions::default() })
        };
        let (hub, second, third) = (of(4096), of(8192), of(61_440));
        let (mut left, right) = (second.memory().await, third.memory().await);
        cable(second.memory().await, Some(third.memory().await));
        sleep(10).await;
        cable(hub.memory().await, Some(second.memory().await));
        tokio::time::sleep(Duration::from_millis(300)).await;
        left.send(frame(0xff, 1)).await.expect("port 1");
        right.send(frame(0xff, 2)).await.expect("port 1");
        lab_settles(&[&hub, &second, &third]).await;
        cable(hub.memory().await, Some(third.memory().await));
        // From the second's way to the third, to that by the hub.
        let start = tokio::time::Instant::now();
        received(&mut left);
        let mut right = right;
        received(&mut right);
        let mut heard = 0;
        while heard < 20 {
            left.send(frame(2, 1)).await.expect("port 1");
            tokio::time::sleep(Duration::from_millis(20)).await;
            heard += received(&mut right).1;
            assert!(start.elapsed() < Duration::from_secs(5));
        }
        assert_eq!(part(&third, 2).await, (Role::Alternate, State::Discarding));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    });
}

async fn lab_settles(labs: &[&Lab]) {
    for lab in labs {
        lab.settle().await;
    }
}

#[test]
fn a_flood_of_topology_changes_is_one_change_and_brings_about_few_bpdus() {
    run(async {
        let lab = lab();
        let (stranger, mut b) = (lab.memory().await, lab.memory().await);
        sleep(10).await;
        let mut told = bpdu(0xf0, 1).into_data().to_vec();
        // Of a root port.
        told[21] = 1 | 2 << 2;
        let mut notification = told.clone();
        notification[19..21].copy_from_slice(&[0, 0x80]);
        for round in 0..1000 {
            let one = if round % 2 == 0 { &told } else { &notification };
            stranger.send(Frame::new(one.clone().into())).await.expect("port 1");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let changes = lab.port(1).await.counters.incidents(Incident::TopologyChange);
        assert_eq!(changes, 1, "it has not ended");
        let (bpdus, _) = received(&mut b);
        assert!(bpdus <= 70, "{bpdus}");
    });
}

#[test]
fn a_stranger_who_would_be_the_root_is_kept_out_by_root_guard() {
    run(async {
        let lab = lab();
        let (stranger, a, mut b) = (lab.memory().await, lab.memory().await, lab.memory().await);
        set(&lab, 1, "stp-root-guard", "on").await;
        sleep(10).await;
        for _ in 0..10 {
            stranger.send(bpdu(0, 0)).await.expect("port 1");
            sleep(1).await;
        }
        let port = lab.port(1).await.stp.expect("it takes part");
        assert!(port.is_root_guarded && port.state == State::Discarding, "{port:?}");
        assert_eq!(lab.port(1).await.counters.incidents(Incident::RootGuard), 1);
        let tree = lab.control.show_stp().await.expect("the switch lives").expect("it takes part");
        assert_eq!((tree.root, tree.root_port), (tree.bridge, None));
        received(&mut b);
        a.send(frame(0xff, 1)).await.expect("port 2");
        stranger.send(frame(0xff, 3)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(received(&mut b).1, 1, "others do not notice");
        // He falls silent.
        sleep(45).await;
        assert_eq!(part(&lab, 1).await, (Role::Designated, State::Forwarding));
        // Without the guard he is the root.
        set(&lab, 1, "stp-root-guard", "off").await;
        stranger.send(bpdu(0, 0)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(part(&lab, 1).await.0, Role::Root);
    });
}

#[test]
fn a_flood_of_bpdus_costs_others_nothing() {
    run(async {
        let lab = lab();
        let (stranger, a, mut b) = (lab.memory().await, lab.memory().await, lab.memory().await);
        set(&lab, 1, "stp-root-guard", "on").await;
        sleep(10).await;
        b.send(frame(0xff, 2)).await.expect("port 3");
        lab.settle().await;
        received(&mut b);
        let transitions = lab.port(3).await.stp.map(|port| port.transitions);
        let mut flooded = 0;
        for round in 0..2000_usize {
            // Topology changes, proposals, of bridges that are better and worse than we.
            let bpdu = bpdu([0, 16, 0x80, 0xf0][round % 16 / 4], [1, 2, 0x3f, 0x7e][round % 4]);
            stranger.send(bpdu).await.expect("port 1");
            let mut cut = frame(0xff, 0).into_data().to_vec();
            cut[..6].copy_from_slice(&[1, 0x80, 0xc2, 0, 0, 0]);
            cut[12..17].copy_from_slice(&[0, [3, 39, 59, 0][round % 4], 0x42, 0x42, 3]);
            cut.truncate(14 + round % 46);
            stranger.send(Frame::new(cut.into())).await.expect("port 1");
            tokio::time::sleep(Duration::from_millis(5)).await;
            if round % 10 == 0 {
                flooded +=
                    usize::from(lab.fdb().await.iter().all(|line| line.entry.port != port(3)));
                b.send(frame(0xff, 2)).await.expect("port 3");
            }
        }
        // Ten seconds: BPDUs as always, and some for topology changes.
        let (bpdus, _) = received(&mut b);
        assert!(bpdus <= 70, "{bpdus}");
        assert!(flooded <= 12, "what is behind others is forgotten {flooded} times");
        assert_eq!(part(&lab, 3).await, (Role::Designated, State::Forwarding));
        assert_eq!(lab.port(3).await.stp.map(|port| port.transitions), transitions);
        a.send(frame(2, 1)).await.expect("port 2");
        lab.settle().await;
        assert_eq!(received(&mut b).1, 1);
    });
}

#[test]
fn a_port_that_is_taken_out_of_the_tree_forwards_at_once_and_comes_back_discarding() {
    run(async {
        let lab = lab();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        sleep(5).await;
        for (is_in, wanted) in [(true, 1), (false, 1), (true, 0), (false, 1)] {
            set(&lab, 2, "stp", if is_in { "on" } else { "off" }).await;
            assert_eq!(lab.port(2).await.stp.is_some(), is_in);
            received(&mut b);
            a.send(frame(0xff, 1)).await.expect("port 1");
            lab.settle().await;
            assert_eq!(received(&mut b).1, wanted, "{is_in}");
        }
    });
}

#[test]
fn what_a_neighbor_has_just_said_counts_for_a_port_that_opens_and_what_is_older_does_not() {
    for (wait, is_heard) in [(0, true), (5, false)] {
        run(async {
            let lab = lab();
            let neighbor = lab.memory().await;
            set(&lab, 1, "shut", "on").await;
            neighbor.send(bpdu(0, 0)).await.expect("port 1");
            lab.settle().await;
            sleep(wait).await;
            set(&lab, 1, "shut", "off").await;
            let (role, state) = part(&lab, 1).await;
            let forwards = (role, state) == (Role::Root, State::Forwarding);
            assert_eq!(forwards, is_heard, "{role} {state}");
        });
    }
}

#[test]
fn a_new_way_to_the_root_is_told_what_is_behind_stations_ports_alone() {
    run(async {
        let lab = lab();
        let (old, mut new) = (lab.memory().await, lab.memory().await);
        let station = lab.memory().await;
        let hear = async |from: &MemoryHandle, priority, seconds| {
            for _ in 0..seconds {
                from.send(bpdu(priority, 0)).await.expect("a port");
                sleep(1).await;
            }
        };
        hear(&old, 0, 6).await;
        old.send(frame(0xff, 7)).await.expect("port 1");
        station.send(frame(0xff, 9)).await.expect("port 3");
        lab.settle().await;
        assert_eq!((part(&lab, 1).await.0, lab.fdb().await.len()), (Role::Root, 2));
        received(&mut new);
        drop(old);
        hear(&new, 0, 3).await;
        assert_eq!(part(&lab, 2).await, (Role::Root, State::Forwarding));
        assert_eq!(announced(&mut new), [9]);
    });
}

#[test]
fn a_neighbor_that_changes_its_mind_is_told_seldom_what_is_behind_others() {
    run(async {
        let lab = lab();
        let (mut a, mut b) = (lab.memory().await, lab.memory().await);
        let station = lab.memory().await;
        for _ in 0..6 {
            a.send(bpdu(0, 0)).await.expect("port 1");
            b.send(bpdu(0, 0)).await.expect("port 2");
            sleep(1).await;
        }
        station.send(frame(0xff, 9)).await.expect("port 3");
        lab.settle().await;
        announced(&mut b);
        for priority in [0xf0, 0].repeat(15) {
            a.send(bpdu(priority, 0)).await.expect("port 1");
            lab.settle().await;
            let root = if priority == 0 { 1 } else { 2 };
            assert_eq!(part(&lab, root).await, (Role::Root, State::Forwarding));
        }
        assert_eq!((announced(&mut a), announced(&mut b)), (vec![9; 2], vec![9; 2]));
    });
}

#[test]
fn lldp_to_the_bridges_address_is_no_bpdu() {
    run(async {
        let ports =
            PortSettings { lldp_status: Some(LldpStatus::RxOnly), ..PortSettings::default() };
        let stp = Some(BridgeSettings::default());
        let lab = Lab::with(SwitchOptions { stp, ports, ..SwitchOptions::default() });
        let neighbor = lab.memory().await;
        let mut octets = vec![1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0x88, 0xcc];
        // Chassis and port by number, which hold for 120 s.
        octets.extend([2, 2, 7, b'c', 4, 2, 7, b'p', 6, 2, 0, 120, 0, 0]);
        octets.resize(60, 0);
        neighbor.send(Frame::new(octets.into())).await.expect("port 1");
        lab.settle().await;
        let port = lab.port(1).await;
        assert_eq!(port.counters.discards(Discard::Stp), 0);
        assert_eq!(port.stp.map(|port| port.discarded), Some(0));
        assert_eq!(lab.control.list_neighbors(None).await.expect("a switch").len(), 1);
    });
}
