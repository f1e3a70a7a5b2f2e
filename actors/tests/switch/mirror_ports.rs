//! Mirrors that copy to a port: what is copied, once, and what becomes of that port.

use etherws_actors::{
    frame::Vid,
    mirror::{
        Direction::{Rx, Tx},
        Filter, MAX_MIRRORS, MirrorCounts, PortMirror, PortMirrorError,
    },
    packet::{Tag, TagChange},
    settings::{PortName, PortRef},
};

use super::*;

fn named(port: impl ToString) -> PortRef {
    port.to_string().parse().expect("a port")
}

/// From ports, by number, to one.
fn mirror(from: &[u32], to: u32) -> PortMirror {
    let filter = Filter::default();
    PortMirror { from: from.iter().map(named).collect(), filter, to: named(to), to_vlan: None }
}

async fn add(lab: &Lab, what: PortMirror) -> u32 {
    lab.control.add_mirror(what).await.expect("it is possible").number
}

async fn counts(lab: &Lab, number: u32) -> MirrorCounts {
    let mirrors = lab.control.list_mirrors().await.expect("the switch lives");
    mirrors.into_iter().find(|one| one.number == number).expect("it is listed").counts
}

/// All that a port has got by now.
async fn got(lab: &Lab, port: &mut MemoryHandle) -> Vec<Frame> {
    lab.settle().await;
    std::iter::from_fn(|| port.try_recv()).collect()
}

/// Four ports, and each has learned its station.
async fn ports(lab: &Lab) -> [MemoryHandle; 4] {
    let mut ports = [(); 4].map(|()| None);
    for port in &mut ports {
        *port = Some(lab.memory().await);
    }
    let mut ports = ports.map(|port| port.expect("it was added"));
    for (port, station) in ports.iter().zip(1..) {
        port.send(frame(0xff, station)).await.expect("it is up");
    }
    for port in &mut ports {
        got(lab, port).await;
    }
    ports
}

#[test]
fn a_frame_is_copied_once_and_its_way_stays_as_it_was() {
    run(async {
        for (direction, from, expected) in [
            (None, &[1][..], vec![frame(2, 1), frame(1, 2), frame(0xff, 1), frame(0xff, 3)]),
            (Some(Rx), &[1], vec![frame(2, 1), frame(0xff, 1)]),
            (Some(Tx), &[1], vec![frame(1, 2), frame(0xff, 3)]),
            // Each of these passes two or three of the ports.
            (None, &[1, 2, 3], vec![frame(2, 1), frame(1, 2), frame(0xff, 1), frame(0xff, 3)]),
            (None, &[], vec![frame(2, 1), frame(1, 2), frame(0xff, 1), frame(0xff, 3)]),
            (Some(Tx), &[], vec![frame(2, 1), frame(1, 2), frame(0xff, 1), frame(0xff, 3)]),
        ] {
            let lab = Lab::new();
            let [mut a, mut b, mut c, mut out] = ports(&lab).await;
            let mut what = mirror(from, 4);
            what.filter.direction = direction;
            let number = add(&lab, what).await;
            for (port, sent) in
                [(&a, frame(2, 1)), (&b, frame(1, 2)), (&a, frame(0xff, 1)), (&c, frame(0xff, 3))]
            {
                port.send(sent).await.expect("it is up");
                lab.settle().await;
            }
            let context = format!("{direction:?} {from:?}");
            assert_eq!(got(&lab, &mut out).await, expected, "{context}");
            assert_eq!(got(&lab, &mut a).await, [frame(1, 2), frame(0xff, 3)]);
            assert_eq!(got(&lab, &mut b).await, [frame(2, 1), frame(0xff, 1), frame(0xff, 3)]);
            assert_eq!(got(&lab, &mut c).await, [frame(0xff, 1)]);
            let frames = expected.len() as u64;
            let expected = MirrorCounts { frames, octets: 60 * frames, lost: 0 };
            assert_eq!(counts(&lab, number).await, expected);
            assert_eq!(lab.port(4).await.counters.tx_frames(), 3 + frames, "three from before");
        }
    });
}

#[test]
fn the_port_that_copies_leave_by_carries_nothing_else_until_its_mirror_is_deleted() {
    run(async {
        let lab = Lab::new();
        let [a, mut b, _c, mut out] = ports(&lab).await;
        let number = add(&lab, mirror(&[2], 4)).await;
        assert!(lab.fdb().await.iter().all(|entry| entry.entry.port != port(4)), "it is forgotten");
        out.send(frame(0xff, 4)).await.expect("port 4");
        a.send(frame(0xff, 1)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(got(&lab, &mut b).await, [frame(0xff, 1)], "nothing comes in by it");
        assert_eq!(
            got(&lab, &mut out).await,
            [frame(0xff, 1)],
            "a copy, and no frame of the flood"
        );
        assert_eq!(lab.port(4).await.counters.discards(Discard::MirrorOutput), 1);
        let gone = lab.control.del_mirror(number).await.expect("it is there");
        assert_eq!((gone.number, gone.counts.frames), (number, 1));
        let again = lab.control.del_mirror(number).await.expect_err("it is gone").to_string();
        assert_eq!(again, format!("no mirror {number}; listmirror shows the mirrors"));
        a.send(frame(0xff, 1)).await.expect("port 1");
        out.send(frame(1, 4)).await.expect("port 4");
        assert_eq!(got(&lab, &mut out).await, [frame(0xff, 1)], "the flood");
    });
}

#[test]
fn filters_choose_and_what_is_discarded_later_has_come_in() {
    run(async {
        let lab = Lab::new();
        let [a, _b, _c, mut out] = ports(&lab).await;
        let mut what = mirror(&[1], 4);
        what.filter.expression = "ether dst 02:00:00:00:00:01 or vlan 7".parse().ok();
        add(&lab, what).await;
        let tagged = |vid| {
            let mut data = frame(2, 1).data().to_vec();
            data.splice(12..12, [0x81, 0, 0, vid]);
            Frame::new(data.into())
        };
        // The second goes back to its own port: it is discarded.
        for sent in [frame(2, 1), frame(1, 1), tagged(7), tagged(8)] {
            a.send(sent).await.expect("port 1");
        }
        assert_eq!(got(&lab, &mut out).await, [frame(1, 1), tagged(7)]);
        lab.shut(1, true).await;
        a.send(tagged(7)).await.expect("port 1");
        assert_eq!(got(&lab, &mut out).await, [], "a port that is shut has no traffic");
    });
}

#[test]
fn copies_in_a_vlan_leave_beside_other_frames_and_are_not_copied_again() {
    run(async {
        let lab = Lab::new();
        let [a, mut b, _c, mut out] = ports(&lab).await;
        let number = add(&lab, PortMirror { to_vlan: Vid::new(900), ..mirror(&[], 4) }).await;
        let copy_of = |frame: Frame| {
            let mut data = frame.data().to_vec();
            data.splice(12..12, Tag::customer(900).octets());
            Frame::new(data.into())
        };
        let wire = |frames: Vec<Frame>| frames.iter().map(by_hand).collect::<Vec<_>>();
        a.send(frame(2, 1)).await.expect("port 1");
        a.send(frame(4, 1)).await.expect("port 1");
        let mut left = wire(got(&lab, &mut out).await);
        left.sort_by_key(Frame::len);
        assert_eq!(left, [frame(4, 1), copy_of(frame(2, 1)), copy_of(frame(4, 1))]);
        // What comes by the port itself, or in that VLAN, may be a copy.
        out.send(frame(2, 4)).await.expect("port 4");
        lab.settle().await;
        b.send(copy_of(frame(0xff, 2))).await.expect("port 2");
        let left = wire(got(&lab, &mut out).await);
        assert_eq!(left.len(), 2, "{left:?}");
        assert_eq!(left[0], copy_of(frame(2, 4)), "it left by port 2");
        assert_eq!(left[1], copy_of(frame(0xff, 2)), "as it came");
        assert_eq!(got(&lab, &mut b).await, [frame(2, 1), frame(2, 4)]);
        assert_eq!(counts(&lab, number).await.frames, 3);
    });
}

/// A frame with the change of its tag done.
fn by_hand(frame: &Frame) -> Frame {
    let mut data = frame.data().to_vec();
    if let TagChange::Push(tag) = frame.tag_change() {
        data.splice(12..12, tag.octets());
    }
    Frame::new(data.into())
}

#[test]
fn copies_are_copied_by_no_other_mirror_and_never_twice() {
    run(async {
        let lab = Lab::new();
        let [a, _b, mut second, mut first] = ports(&lab).await;
        add(&lab, mirror(&[1], 4)).await;
        add(&lab, mirror(&[2], 4)).await;
        let of_copies = add(&lab, mirror(&[4], 3)).await;
        a.send(frame(2, 1)).await.expect("port 1");
        assert_eq!(got(&lab, &mut first).await, [frame(2, 1)], "for both mirrors");
        assert_eq!(got(&lab, &mut second).await, []);
        assert_eq!(counts(&lab, of_copies).await, MirrorCounts::default());
    });
}

#[test]
fn what_a_slow_port_cannot_take_is_lost_and_counted_and_holds_up_nobody() {
    run(async {
        const FRAMES: u64 = 4_000;
        let lab = Lab::new();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        let stalled = lab.add(Scripted::new([])).await;
        b.send(frame(0xff, 2)).await.expect("port 2");
        lab.settle().await;
        let number = add(&lab, mirror(&[1], stalled.get())).await;
        let mut data = frame(2, 1).data().to_vec();
        data.resize(1514, 7);
        for _ in 0..FRAMES {
            a.send(Frame::new(data.clone().into())).await.expect("port 1");
            assert_eq!(b.recv().await.map(|frame| frame.len()), Some(1514));
        }
        let MirrorCounts { frames, octets, lost } = counts(&lab, number).await;
        assert_eq!((frames + lost, octets), (FRAMES, 1514 * frames));
        let fits = (QUEUE_OCTETS / (1514 + 64)) as u64;
        assert!(frames >= fits / 2 && frames <= 2 * fits, "{frames} of {fits} that fit");
        let counters = lab.port(stalled.get()).await.counters;
        assert_eq!(counters.discards(Discard::LackOfBuffers), lost);
        assert_eq!(lab.port(2).await.counters.discards(Discard::LackOfBuffers), 0);
        lab.delete(stalled.get()).await.expect("it is there");
        a.send(frame(2, 1)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(counts(&lab, number).await.lost, lost + 1, "the port is gone");
    });
}

#[test]
fn ports_are_found_by_name_when_they_come_again() {
    run(async {
        let lab = Lab::new();
        let name = |text: &str| PortSettings {
            name: text.parse::<PortName>().ok(),
            ..PortSettings::default()
        };
        let [a, b, _c, _out] = ports(&lab).await;
        for (number, text) in [(1, "in"), (4, "probe")] {
            lab.control.set_port(port(number), name(text), Vec::new()).await.expect("it is there");
        }
        let what = PortMirror { from: vec![named("in")], to: named("probe"), ..mirror(&[], 1) };
        let number = add(&lab, what).await;
        lab.delete(4).await.expect("port 4 is there");
        let mirrors = lab.control.list_mirrors().await.expect("the switch lives");
        assert_eq!(mirrors[0].to, None);
        let mut again = lab.memory().await;
        lab.control.set_port(port(5), name("probe"), Vec::new()).await.expect("it is there");
        a.send(frame(2, 1)).await.expect("port 1");
        assert_eq!(got(&lab, &mut again).await, [frame(2, 1)]);
        lab.delete(1).await.expect("port 1 is there");
        b.send(frame(3, 2)).await.expect("port 2");
        assert_eq!(got(&lab, &mut again).await, [], "of a port that is gone, not of all");
        assert_eq!(counts(&lab, number).await.frames, 1);
    });
}

#[test]
fn what_cannot_be_is_refused_and_mirrors_are_bounded() {
    run(async {
        let lab = Lab::new();
        let _ports = ports(&lab).await;
        let refused = |what| async {
            lab.control.add_mirror(what).await.expect_err("it is refused").to_string()
        };
        let port_9 = "9: no such port; listport shows the ports";
        assert_eq!(refused(mirror(&[1], 9)).await, port_9);
        assert_eq!(refused(mirror(&[9], 1)).await, port_9);
        let itself =
            "port 1 is both mirrored and the port that copies leave by; leave it out of one";
        assert_eq!(refused(mirror(&[2, 1], 1)).await, itself);
        for _ in 0..MAX_MIRRORS {
            add(&lab, mirror(&[1], 2)).await;
        }
        assert_eq!(refused(mirror(&[1], 2)).await, PortMirrorError::TooMany.to_string());
    });
}
