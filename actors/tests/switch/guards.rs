//! The guards in a whole switch: loops, storms, and the operator's part of the
//! forwarding database.

use std::{cell::Cell, rc::Rc};

use etherws_actors::{
    counters::Incident,
    fdb::Status,
    frame::{MacAddr, Vid},
    guard::storm::StormLimit,
    message::PortReport,
};

use super::*;

impl Lab {
    fn guarded() -> Self {
        Self::with(SwitchOptions::default())
    }

    async fn set(&self, number: u32, settings: PortSettings) {
        self.control.set_port(port(number), settings, Vec::new()).await.expect("port is there");
    }

    async fn report(&self, number: u32) -> PortReport {
        self.control.show_port(port(number)).await.expect("port is there")
    }

    async fn state(&self, number: u32) -> String {
        self.port(number).await.state.name().to_owned()
    }

    async fn incidents(&self, number: u32, incident: Incident) -> u64 {
        self.port(number).await.counters.incidents(incident)
    }
}

/// Joins two ports until it is cut; given one alone, sends back what it gets.
pub(super) fn cable(mut one: MemoryHandle, other: Option<MemoryHandle>) -> Rc<Cell<bool>> {
    let joined = Rc::new(Cell::new(true));
    let carries = Rc::clone(&joined);
    actix_rt::spawn(async move {
        let Some(mut other) = other else {
            while let Some(frame) = one.recv().await {
                if carries.get() {
                    let _ = one.send(frame).await;
                }
            }
            return;
        };
        loop {
            let (frame, to) = tokio::select! {
                frame = one.recv() => (frame, &other),
                frame = other.recv() => (frame, &one),
            };
            let Some(frame) = frame else { return };
            if carries.get() {
                let _ = to.send(frame).await;
            }
        }
    });
    joined
}

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// The next frame that is no loop-detect frame.
fn next_frame(handle: &mut MemoryHandle) -> Option<Frame> {
    std::iter::from_fn(|| handle.try_recv()).find(|frame| frame.data()[0] != 3)
}

#[test]
fn a_switch_that_is_joined_to_itself_blocks_the_port_that_came_last_while_it_lasts() {
    run(async {
        let lab = Lab::guarded();
        let (mut a, mut b) = (lab.memory().await, lab.memory().await);
        let loops = (lab.memory().await, lab.memory().await);
        let joined = cable(loops.0, Some(loops.1));
        a.send(frame(0xff, 1)).await.expect("port 1");
        tokio::time::sleep(seconds(2)).await;
        let info = lab.port(4).await;
        assert_eq!(
            (info.state.name(), info.state.reason()),
            ("loop", Some("it leads to the same network as port 3"))
        );
        assert_eq!(info.counters.incidents(Incident::Loop), 1);
        for number in 1..4 {
            assert_eq!(lab.state(number).await, "up");
        }
        // Others go on, and nothing circulates.
        while a.try_recv().is_some() || b.try_recv().is_some() {}
        a.send(frame(0xff, 1)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(next_frame(&mut b), Some(frame(0xff, 1)));
        assert_eq!((next_frame(&mut b), next_frame(&mut a)), (None, None));
        tokio::time::sleep(seconds(60)).await;
        assert_eq!(lab.state(4).await, "loop", "as long as the loop is there");
        assert_eq!(lab.incidents(4, Incident::Loop).await, 1, "and it was never tried meanwhile");
        joined.set(false);
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(lab.state(4).await, "up");
        joined.set(true);
        a.send(frame(0xff, 1)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(lab.state(4).await, "loop");
    });
}

#[test]
fn a_port_that_hears_itself_is_not_blocked() {
    run(async {
        let lab = Lab::guarded();
        let mut a = lab.memory().await;
        let _echo = cable(lab.memory().await, None);
        tokio::time::sleep(seconds(20)).await;
        assert_eq!(lab.state(2).await, "up", "who sends back could cut off all others there");
        assert!(lab.incidents(2, Incident::ReturnedProbe).await > 1);
        // Such a server gives a station its own broadcast back: it stays where it is.
        while a.try_recv().is_some() {}
        a.send(frame(0xff, 1)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(next_frame(&mut a), Some(frame(0xff, 1)));
        assert_eq!(lab.fdb().await[0].entry.port, port(1));
        assert_eq!(lab.incidents(2, Incident::Reflection).await, 1);
    });
}

/// The latest loop-detect frame that came out of a port.
fn probe(handle: &mut MemoryHandle) -> Option<Frame> {
    std::iter::from_fn(|| handle.try_recv()).filter(|frame| frame.data()[0] == 3).last()
}

#[test]
fn who_returns_a_frame_blocks_his_own_port_if_any() {
    run(async {
        let lab = Lab::guarded();
        let (mut a, b, _c) = (lab.memory().await, lab.memory().await, lab.memory().await);
        lab.settle().await;
        let first = probe(&mut a).expect("one at once when the port comes up");
        // Behind header, magic and id stands the number of the port.
        let mut forged = first.clone().into_data().to_vec();
        forged[14 + 8 + 16 + 3] = 3;
        b.send(Frame::new(Bytes::from(forged))).await.expect("port 2");
        tokio::time::sleep(seconds(8)).await;
        b.send(first).await.expect("port 2");
        lab.settle().await;
        assert_eq!(lab.incidents(2, Incident::ForgedProbe).await, 2, "changed, and too old");
        tokio::time::sleep(seconds(10)).await;
        let greeting = probe(&mut a).expect("one in ten seconds");
        a.send(greeting.clone()).await.expect("port 1");
        lab.settle().await;
        assert_eq!(lab.incidents(1, Incident::ReturnedProbe).await, 1);
        for number in 1..4 {
            assert_eq!(lab.state(number).await, "up");
        }
        // Who is behind 1 is behind 2 as well, and has said so by 2.
        tokio::time::sleep(seconds(10)).await;
        let greeting = probe(&mut a).expect("one in ten seconds");
        b.send(greeting).await.expect("port 2");
        lab.settle().await;
        assert_eq!(lab.state(2).await, "loop");
        assert_eq!(lab.fdb().await, [], "loop-detect frames teach nothing");
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(lab.state(2).await, "up", "it must be said again and again");
    });
}

#[test]
fn a_switchs_frames_come_to_no_station_and_do_no_harm_if_they_did() {
    run(async {
        // A hub with a client switch, a station of an attacker's, and the hub's LAN.
        let (hub, client) = (Lab::guarded(), Lab::guarded());
        let _uplink = cable(hub.memory().await, Some(client.memory().await));
        let (mut attacker, mut lan) = (hub.memory().await, hub.memory().await);
        let mut ids = std::collections::BTreeSet::new();
        for round in 0..200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            for handle in [&mut attacker, &mut lan] {
                while let Some(frame) = handle.try_recv() {
                    if frame.data()[0] == 3 {
                        ids.insert(frame.data()[22..38].to_vec());
                        // As it came, and as a search.
                        handle.send(frame.clone()).await.expect("it is there");
                        let mut data = frame.into_data().to_vec();
                        data[58] = 16;
                        handle.send(Frame::new(data.into())).await.expect("it is there");
                    }
                }
            }
            if round < 50 {
                assert_eq!(ids.len(), usize::from(!ids.is_empty()), "only the hub's own");
            }
            if round == 50 {
                // From now on the attacker poses as a switch.
                let mut data = vec![3, b'e', b't', b'h', b'w', b's', 2, 0, 0, 0, 0, 7, 0x88, 0xb5];
                data.extend(*b"ethwsLD\x02");
                data.resize(60, 0);
                attacker.send(Frame::new(data.into())).await.expect("it is there");
            }
            for (lab, ports) in [(&hub, 3), (&client, 1)] {
                for number in 1..=ports {
                    assert_eq!(lab.state(number).await, "up");
                }
            }
        }
    });
}

/// Two switches with a station each, and cables between them.
struct Parallel {
    labs: (Lab, Lab),
    stations: (MemoryHandle, MemoryHandle),
    cables: Vec<Rc<Cell<bool>>>,
}

impl Parallel {
    async fn new(count: usize) -> Self {
        let labs = (Lab::guarded(), Lab::guarded());
        let stations = (labs.0.memory().await, labs.1.memory().await);
        let mut cables = Vec::new();
        for _ in 0..count {
            cables.push(cable(labs.0.memory().await, Some(labs.1.memory().await)));
        }
        Self { labs, stations, cables }
    }

    async fn blocked(&self) -> usize {
        let mut count = 0;
        for lab in [&self.labs.0, &self.labs.1] {
            count += lab.ports().await.iter().filter(|one| one.state.name() == "loop").count();
        }
        count
    }

    /// Whether a frame to the other station comes back as its answer.
    async fn answers(&mut self) -> bool {
        let (one, other) = &mut self.stations;
        while next_frame(one).is_some() || next_frame(other).is_some() {}
        one.send(frame(2, 1)).await.expect("it is there");
        self.labs.0.settle().await;
        if next_frame(other) != Some(frame(2, 1)) {
            return false;
        }
        other.send(frame(1, 2)).await.expect("it is there");
        self.labs.0.settle().await;
        next_frame(one) == Some(frame(1, 2))
    }
}

#[test]
fn of_two_cables_between_two_switches_one_is_blocked_and_stands_in_for_the_other() {
    run(async {
        let mut pair = Parallel::new(2).await;
        tokio::time::sleep(seconds(2)).await;
        assert_eq!(pair.blocked().await, 1, "found without any traffic");
        tokio::time::sleep(seconds(60)).await;
        assert_eq!(pair.blocked().await, 1);
        for _ in 0..3 {
            for at in 0..2 {
                assert!(pair.answers().await);
                // It dies without a word.
                pair.cables[at].set(false);
                tokio::time::sleep(Duration::from_millis(900)).await;
                assert!(pair.answers().await, "over the other one");
                pair.cables[at].set(true);
                // What comes and goes faster has it wait longer.
                tokio::time::sleep(seconds(8)).await;
                assert!(pair.answers().await);
                assert_eq!(pair.blocked().await, 1);
            }
        }
        tokio::time::sleep(seconds(20)).await;
        assert_eq!(pair.blocked().await, 1);
    });
}

#[test]
fn a_storm_is_cut_counted_and_harms_no_known_address() {
    run(async {
        let lab = Lab::new();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        b.send(frame(0xff, 2)).await.expect("port 2");
        for _ in 0..5000 {
            a.send(frame(0xff, 1)).await.expect("port 1");
        }
        for _ in 0..3000 {
            a.send(frame(2, 1)).await.expect("port 1");
            assert!(b.recv().await.is_some());
        }
        let report = lab.report(1).await;
        assert_eq!(report.info.counters.discards(Discard::StormBroadcast), 1000);
        assert_eq!(report.info.counters.discards(Discard::StormUnicast), 0);
        let limit = report.limits.iter().find(|limit| limit.name == "storm-broadcast");
        let limit = limit.expect("it is shown");
        assert_eq!((limit.value, limit.limit.as_str()), (4000, "1000/4000"));
        let storm_broadcast = Some(StormLimit::Off);
        lab.set(1, PortSettings { storm_broadcast, ..PortSettings::default() }).await;
        for _ in 0..5000 {
            a.send(frame(0xff, 1)).await.expect("port 1");
        }
        lab.settle().await;
        assert_eq!(report.info.counters.discards(Discard::StormBroadcast), 1000);
    });
}

#[test]
fn static_addresses_are_the_operators() {
    run(async {
        let lab = Lab::new();
        let (a, mut b, mut c) = (lab.memory().await, lab.memory().await, lab.memory().await);
        let (vid, mac) = (Vid::UNTAGGED, MacAddr([2, 0, 0, 0, 0, 9]));
        let add = |number| lab.control.add_fdb(vid, mac, port(number));
        add(2).await.expect("port 2 is there");
        assert!(matches!(add(9).await, Err(ControlError::Fdb(_))));
        // Somebody else claims the address: what is for it goes where the operator says.
        c.send(frame(0xff, 9)).await.expect("port 3");
        a.send(frame(9, 1)).await.expect("port 1");
        lab.settle().await;
        while let Some(got) = c.try_recv() {
            assert_ne!(got, frame(9, 1));
        }
        assert!(std::iter::from_fn(|| b.try_recv()).any(|got| got == frame(9, 1)));
        assert_eq!(lab.incidents(3, Incident::LearnedEntryDiscard).await, 1);
        let flush = |all| lab.control.flush_fdb(FdbFilter::default(), all);
        flush(false).await.expect("it flushes");
        let left = lab.fdb().await;
        assert_eq!((left.len(), left[0].entry.status), (1, Status::Static));
        flush(true).await.expect("it flushes");
        assert_eq!(lab.fdb().await, []);
        let gone = lab.control.del_fdb(vid, mac).await.expect_err("it is gone");
        assert!(gone.to_string().contains("02:00:00:00:00:09 is not in"), "{gone}");
        add(2).await.expect("port 2 is there");
        lab.delete(2).await.expect("port 2 is there");
        assert_eq!(lab.fdb().await, [], "it goes with its port");
    });
}
