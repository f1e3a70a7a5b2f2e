//! VLANs in a whole switch: where frames go, what leaves, and what changes forget.

use etherws_actors::{
    counters::Incident,
    frame::{MacAddr, Vid},
    mirror::{Direction, Filter},
    packet::Tag,
};
use proptest::prelude::*;

use super::{guards::cable, *};

/// Settings as on a command line.
fn settings(text: &str) -> PortSettings {
    let mut settings = PortSettings::default();
    for pair in text.split_whitespace() {
        let (name, value) = pair.split_once('=').expect("name=value");
        settings.set(name, value).expect("a good value");
    }
    settings
}

impl Lab {
    pub(super) async fn with_settings(&self, text: &str) -> MemoryHandle {
        let handle = self.memory().await;
        let last = self.ports().await.last().expect("it was added").port;
        self.control.set_port(last, settings(text), Vec::new()).await.expect("a good setting");
        handle
    }
}

/// A frame with a tag, of 60 octets and it.
fn tagged(dst: u8, src: u8, vid: u16) -> Frame {
    let mut data = frame(dst, src).data().to_vec();
    data.splice(12..12, Tag::customer(vid).octets());
    Frame::new(data.into())
}

#[test]
fn stations_reach_those_of_their_vlan_only_and_see_no_tag() {
    run(async {
        let lab = Lab::new();
        let mut a = lab.with_settings("tag=10").await;
        let mut b = lab.with_settings("tag=10").await;
        let mut c = lab.with_settings("tag=20").await;
        let mut trunk = lab.with_settings("trunks=10,20").await;
        let mut plain = lab.memory().await;
        a.send(frame(0xff, 1)).await.expect("port 1");
        assert_eq!(b.recv().await, Some(frame(0xff, 1)));
        assert_eq!(trunk.recv().await, Some(tagged(0xff, 1, 10)));
        assert_eq!(plain.recv().await, Some(tagged(0xff, 1, 10)));
        b.send(frame(1, 2)).await.expect("port 2");
        assert_eq!(a.recv().await, Some(frame(1, 2)));
        // The same address in another VLAN is another station.
        trunk.send(tagged(0xff, 1, 20)).await.expect("port 4");
        assert_eq!(c.recv().await, Some(frame(0xff, 1)));
        assert_eq!(plain.recv().await, Some(tagged(0xff, 1, 20)));
        let fdb: Vec<_> =
            lab.fdb().await.iter().map(|e| (e.vid.get(), e.entry.port.get())).collect();
        assert_eq!(fdb, [(10, 1), (10, 2), (20, 4)]);
        for (from, reason) in [(&a, Discard::VlanAccept), (&trunk, Discard::VlanIngress)] {
            from.send(tagged(0xff, 9, 30)).await.expect("a port");
            lab.settle().await;
            let number = if reason == Discard::VlanAccept { 1 } else { 4 };
            assert_eq!(lab.port(number).await.counters.discards(reason), 1);
        }
        lab.settle().await;
        assert!([a, b, c, trunk, plain].iter_mut().all(|port| port.try_recv().is_none()));
    });
}

#[test]
fn a_tag_that_goes_leaves_no_frame_shorter_than_a_cable_allows() {
    run(async {
        let lab = Lab::new();
        let mut access = lab.with_settings("tag=10").await;
        let trunk = lab.with_settings("trunks=10").await;
        // 60 octets with the tag, as from a cable; and one that never was on any.
        let on_cable = Frame::new(tagged(0xff, 1, 10).into_data().slice(..60));
        let short = Frame::new(tagged(0xff, 1, 10).into_data().slice(..50));
        trunk.send(on_cable).await.expect("port 2");
        trunk.send(short).await.expect("port 2");
        assert_eq!(access.recv().await, Some(frame(0xff, 1)));
        assert_eq!(access.recv().await.map(|frame| frame.len()), Some(46));
    });
}

#[test]
fn settings_that_contradict_each_other_change_nothing() {
    run(async {
        let lab = Lab::new();
        let _port = lab.with_settings("tag=10").await;
        let set = |text| lab.control.set_port(port(1), settings(text), Vec::new());
        let error = set("vlan-mode=trunk").await.expect_err("it has a tag").to_string();
        assert!(error.contains("trunk has no tag"), "{error}");
        set("vlan-mode=native-untagged trunks=20").await.expect("all of it together");
    });
}

#[test]
fn a_change_of_vlans_forgets_what_was_learned_there() {
    run(async {
        let lab = Lab::new();
        let a = lab.with_settings("tag=10 sticky=on").await;
        let mut b = lab.with_settings("tag=20").await;
        a.send(frame(0xff, 1)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(lab.fdb().await.len(), 1);
        lab.control.set_port(port(1), settings("tag=20"), Vec::new()).await.expect("good");
        assert_eq!(lab.fdb().await, []);
        a.send(frame(0xff, 1)).await.expect("port 1");
        assert_eq!(b.recv().await, Some(frame(0xff, 1)));
        // Without settings it is in every VLAN again.
        lab.control.set_port(port(1), PortSettings::default(), vec!["tag"]).await.expect("good");
        b.send(frame(0xff, 2)).await.expect("port 2");
        lab.settle().await;
        assert_eq!(lab.port(1).await.counters.tx_frames(), 1);
    });
}

#[test]
fn a_mirror_shows_frames_with_their_vlan_and_finds_them_by_it() {
    run(async {
        let lab = Lab::new();
        let a = lab.with_settings("tag=10").await;
        let _b = lab.with_settings("tag=10").await;
        let filter = Filter { vid: Vid::new(10), ..Filter::default() };
        let mut mirror = lab.control.mirror(filter, 2000).await.expect("there is room");
        a.send(frame(0xff, 1)).await.expect("port 1");
        lab.settle().await;
        let mut seen = Vec::new();
        for copy in mirror.recv().await.expect("frames").frames {
            let (port, direction) = (copy.port.get(), copy.direction);
            copy.on_wire(|data, _| seen.push((port, direction, data.to_vec())));
        }
        let octets = tagged(0xff, 1, 10).data().to_vec();
        assert_eq!(seen, [(1, Direction::Rx, octets.clone()), (2, Direction::Tx, octets)]);
    });
}

#[test]
fn what_bridges_keep_to_a_link_stays_in_its_vlan() {
    run(async {
        let lab = Lab::new();
        let a = lab.with_settings("tag=10").await;
        let mut b = lab.with_settings("tag=10").await;
        let trunk = lab.with_settings("trunks=10").await;
        let mut plain = lab.memory().await;
        let mut lldp = frame(0xff, 1).data().to_vec();
        lldp[..6].copy_from_slice(&[0x01, 0x80, 0xc2, 0, 0, 0x0e]);
        let lldp = Frame::new(lldp.into());
        trunk.send(lldp.clone()).await.expect("port 3");
        lab.settle().await;
        assert_eq!((b.try_recv(), plain.try_recv()), (None, None));
        assert_eq!(lab.port(3).await.counters.discards(Discard::VlanIngress), 1);
        a.send(lldp.clone()).await.expect("port 1");
        assert_eq!(b.recv().await, Some(lldp));
    });
}

/// Whether the loop guard has blocked one of two ports that are joined by a cable.
async fn blocks(one: &str, other: &str) -> bool {
    let lab = Lab::with(SwitchOptions::default());
    let (one, other) = (lab.with_settings(one).await, lab.with_settings(other).await);
    // What was sent before the settings is too old then to prove anything.
    tokio::time::sleep(Duration::from_secs(5)).await;
    cable(one, Some(other));
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut blocked = 0;
    for number in [1, 2] {
        blocked += lab.port(number).await.counters.incidents(Incident::Loop);
    }
    blocked > 0
}

#[test]
fn a_loop_is_found_in_each_vlan_and_only_there() {
    run(async {
        for (one, other, is_loop) in [
            ("tag=10", "tag=10", true),
            ("trunks=10,20", "trunks=20,30", true),
            ("trunks=1-12", "trunks=12", true),
            ("trunks=0,10", "", true),
            ("vlan-mode=native-untagged tag=10 trunks=20", "tag=10", true),
            // These join two VLANs, and frames go round nowhere.
            ("tag=10", "tag=20", false),
            ("tag=10", "", false),
            ("trunks=10", "trunks=20", false),
            ("trunks=10", "tag=10", false),
        ] {
            assert_eq!(blocks(one, other).await, is_loop, "{one:?} and {other:?}");
        }
    });
}

/// What ports are to VLANs, and in plain words: the VLAN of untagged frames, those that are
/// carried tagged, and those that leave untagged.
type Kind = (&'static str, Option<u16>, &'static [u16], &'static [u16]);
const KINDS: [Kind; 6] = [
    ("vlan-mode=access tag=1", Some(1), &[], &[1]),
    ("vlan-mode=access tag=2", Some(2), &[], &[2]),
    ("vlan-mode=trunk trunks=1,2", None, &[1, 2], &[]),
    ("vlan-mode=native-untagged tag=1 trunks=2", Some(1), &[1, 2], &[1]),
    ("vlan-mode=native-tagged tag=2 trunks=3", Some(2), &[2, 3], &[]),
    ("", Some(0), &[0, 1, 2, 3], &[0]),
];

#[derive(Debug, Clone)]
enum Step {
    /// A frame comes in, with this tag.
    Frame {
        port: usize,
        dst: u8,
        src: u8,
        tag: Option<u16>,
    },
    Set {
        port: usize,
        kind: usize,
    },
    Shut {
        port: usize,
        shut: bool,
    },
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ports = 0usize..5;
    let frame = (ports.clone(), prop_oneof![Just(0xff), 1u8..6], 1u8..6, any::<Option<u16>>())
        .prop_map(|(port, dst, src, tag)| Step::Frame { port, dst, src, tag: tag.map(|t| t % 4) });
    let step = prop_oneof![
        12 => frame,
        1 => (ports.clone(), 0..KINDS.len()).prop_map(|(port, kind)| Step::Set { port, kind }),
        1 => (ports, any::<bool>()).prop_map(|(port, shut)| Step::Shut { port, shut }),
        1 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_frame_leaves_by_a_port_that_is_not_in_its_vlan(steps in steps()) {
        run(async {
            let lab = Lab::with(SwitchOptions::default());
            let (mut kinds, mut handles) = ([0, 1, 2, 3, 4], Vec::new());
            for kind in kinds {
                handles.push(lab.with_settings(KINDS[kind].0).await);
            }
            for step in steps {
                match step {
                    Step::Frame { port, dst, src, tag } => {
                        let mut data = frame(dst, src).data().to_vec();
                        let (_, pvid, tagged, _) = KINDS[kinds[port]];
                        let vid = match tag {
                            None | Some(0) => pvid,
                            Some(vid) => tagged.contains(&vid).then_some(vid),
                        };
                        // Its VLAN stands in it, or that it has none.
                        data[20..22].copy_from_slice(&vid.unwrap_or(99).to_be_bytes());
                        if let Some(vid) = tag {
                            data.splice(12..12, Tag::customer(vid).octets());
                        }
                        handles[port].send(Frame::new(data.into())).await.expect("a port");
                    }
                    Step::Set { port: at, kind } => {
                        kinds[at] = kind;
                        let number = port(u32::try_from(at).expect("small") + 1);
                        let all = ["vlan-mode", "tag", "trunks"].to_vec();
                        let set = settings(KINDS[kind].0);
                        lab.control.set_port(number, set, all).await.expect("a port");
                    }
                    Step::Shut { port, shut } => {
                        lab.shut(u32::try_from(port).expect("small") + 1, shut).await;
                    }
                    Step::Wait => tokio::time::sleep(Duration::from_secs(2)).await,
                }
                lab.settle().await;
                for (handle, kind) in handles.iter_mut().zip(kinds) {
                    let (_, pvid, tagged, untagged) = KINDS[kind];
                    while let Some(frame) = handle.try_recv() {
                        let header = frame.header().expect("a header");
                        if header.dst() == MacAddr([0x03, b'e', b't', b'h', b'w', b's']) {
                            continue;
                        }
                        let mark = &header.payload()[6..8];
                        let vid = u16::from_be_bytes([mark[0], mark[1]]);
                        let is_tagged = header.tag().is_some_and(|tag| tag.vid().get() != 0);
                        if is_tagged {
                            assert!(tagged.contains(&vid) && header.vid().get() == vid);
                        } else {
                            assert!(untagged.contains(&vid), "{vid} by {:?} {pvid:?}", KINDS[kind]);
                        }
                    }
                }
            }
        });
    }
}
