//! Frames that bridges keep to a link: which pass, BPDU guard, and topology changes.

use etherws_actors::counters::Incident;

use super::*;

/// A frame to 01:80:c2:00:00:00 to 0f by its last digit.
fn link_local(digit: u8, payload: &[u8]) -> Frame {
    let mut data = vec![0x01, 0x80, 0xc2, 0, 0, digit, 2, 0, 0, 0, 0, 0xbb, 0, 38];
    data.extend(payload);
    data.resize(60, 0);
    Frame::new(data.into())
}

/// A BPDU of rapid spanning tree with its flags.
pub(super) fn bpdu(flags: u8) -> Frame {
    link_local(0, &[0x42, 0x42, 3, 0, 0, 2, 2, flags])
}

pub(super) async fn set(lab: &Lab, number: u32, name: &str, value: &str) {
    let mut settings = PortSettings::default();
    settings.set(name, value).expect("a good value");
    lab.control.set_port(port(number), settings, Vec::new()).await.expect("port is there");
}

/// The digits of what comes out of a port when all sixteen go into another.
async fn passing(lab: &Lab, from: &MemoryHandle, to: &mut MemoryHandle) -> Vec<u8> {
    for digit in 0..16 {
        from.send(link_local(digit, b"test")).await.expect("port is there");
    }
    lab.settle().await;
    std::iter::from_fn(|| to.try_recv()).map(|frame| frame.data()[5]).collect()
}

#[test]
fn link_local_addresses_pass_where_both_ports_let_them() {
    run(async {
        let lab = Lab::new();
        let (a, mut b, mut c) = (lab.memory().await, lab.memory().await, lab.memory().await);
        let all_but_pause: Vec<_> = (0..16).filter(|digit| *digit != 1).collect();
        assert_eq!(passing(&lab, &a, &mut b).await, all_but_pause);
        set(&lab, 1, "link-local", "all").await;
        set(&lab, 2, "link-local", "pause,lldp,7").await;
        assert_eq!(passing(&lab, &a, &mut b).await, [1, 7, 14]);
        assert_eq!(lab.port(2).await.counters.discards(Discard::LinkLocal), 13);
        set(&lab, 1, "link-local", "none").await;
        while c.try_recv().is_some() {}
        assert!(passing(&lab, &a, &mut c).await.is_empty());
        assert_eq!(lab.port(1).await.counters.discards(Discard::LinkLocal), 1 + 16);
    });
}

#[test]
fn a_source_that_no_station_has_goes_nowhere() {
    run(async {
        let lab = Lab::new();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        for dst in [0xff, 2] {
            for source in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0; 6]] {
                let mut data = frame(dst, 1).into_data().to_vec();
                data[6..12].copy_from_slice(&source);
                a.send(Frame::new(data.into())).await.expect("port 1");
            }
        }
        lab.settle().await;
        assert_eq!(b.try_recv(), None);
        assert_eq!(lab.port(1).await.counters.discards(Discard::InvalidSource), 6);
        assert_eq!(lab.fdb().await, []);
    });
}

#[test]
fn a_port_with_bpdu_guard_is_blocked_while_it_hears_bpdus() {
    run(async {
        let lab = Lab::new();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        a.send(bpdu(0)).await.expect("port 1");
        assert_eq!(b.recv().await, Some(bpdu(0)), "they pass without it");
        set(&lab, 1, "bpdu-guard", "on").await;
        a.send(link_local(14, b"lldp")).await.expect("port 1");
        assert!(b.recv().await.is_some(), "other protocols are not concerned");
        for _ in 0..3 {
            a.send(bpdu(0)).await.expect("port 1");
            a.send(frame(0xff, 1)).await.expect("port 1");
            tokio::time::sleep(Duration::from_secs(15)).await;
            let info = lab.port(1).await;
            assert_eq!(
                (info.state.name(), info.state.reason()),
                ("bpdu-guard", Some("bridge 02:00:00:00:00:bb sends BPDUs to it"))
            );
        }
        assert_eq!(b.try_recv(), None);
        assert_eq!(lab.port(1).await.counters.discards(Discard::BpduGuard), 6);
        tokio::time::sleep(Duration::from_secs(8)).await;
        a.send(frame(0xff, 1)).await.expect("port 1");
        assert_eq!(b.recv().await, Some(frame(0xff, 1)));
        a.send(bpdu(0)).await.expect("port 1");
        lab.settle().await;
        set(&lab, 1, "bpdu-guard", "off").await;
        assert_eq!(lab.port(1).await.state.name(), "up");
    });
}

#[test]
fn a_topology_change_has_addresses_forgotten_where_it_is_believed() {
    run(async {
        let lab = Lab::new();
        let (a, b) = (lab.memory().await, lab.memory().await);
        let learn = async || {
            a.send(frame(0xff, 1)).await.expect("port 1");
            b.send(frame(1, 2)).await.expect("port 2");
            lab.settle().await;
            lab.fdb().await.len()
        };
        let stations = async || {
            lab.settle().await;
            lab.fdb().await.len() - 1 // The bridge itself.
        };
        set(&lab, 2, "stp-trust", "on").await;
        for (sender, flags, left) in [(&a, 1, 2), (&b, 0, 2), (&b, 1, 0)] {
            learn().await;
            sender.send(bpdu(flags)).await.expect("port is there");
            if left > 0 {
                assert_eq!(stations().await, left);
            } else {
                lab.settle().await;
                assert_eq!(lab.fdb().await, []);
            }
        }
        // Again at once: it waits for the second to be over.
        assert_eq!(learn().await, 2);
        b.send(bpdu(1)).await.expect("port 2");
        assert_eq!(stations().await, 2);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(lab.fdb().await, []);
        let changes = |number| {
            let lab = &lab;
            async move { lab.port(number).await.counters.incidents(Incident::TopologyChange) }
        };
        assert_eq!((changes(1).await, changes(2).await), (0, 2));
    });
}
