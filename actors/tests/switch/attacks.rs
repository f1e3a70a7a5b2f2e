//! What somebody behind a port can do with the loop guard's help, and what not: the lines of
//! docs/threat-model.md that no network of guards (`guard/loops/model.rs`) can show.

use etherws_actors::{counters::Incident, guard::loops::PROBE_GROUP};

use super::{
    bpdu::{bpdu, set},
    guards::cable,
    *,
};

fn is_probe(frame: &Frame) -> bool {
    frame.data()[..6] == PROBE_GROUP.0
}

/// How many loop-detect frames have come out of a port, and how many others.
fn received(handle: &mut MemoryHandle) -> (usize, usize) {
    let frames: Vec<_> = std::iter::from_fn(|| handle.try_recv()).collect();
    let probes = frames.iter().filter(|frame| is_probe(frame)).count();
    (probes, frames.len() - probes)
}

async fn state(lab: &Lab, number: u32) -> &'static str {
    lab.port(number).await.state.name()
}

#[test]
fn forged_traffic_sets_off_five_frames_a_second_and_blocks_nothing() {
    run(async {
        let lab = Lab::with(SwitchOptions::default());
        let (mut a, mut b, attacker) = (lab.memory().await, lab.memory().await, lab.memory().await);
        let start = tokio::time::Instant::now();
        received(&mut a);
        for _ in 0..500 {
            // A station's own broadcast, a copy of it, and a frame from its address.
            a.send(frame(0xff, 1)).await.expect("port 1");
            lab.settle().await;
            for copy in [frame(0xff, 1), frame(2, 1)] {
                attacker.send(copy).await.expect("port 3");
            }
            lab.settle().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let seconds = start.elapsed().as_secs_f64();
        for (handle, at_least) in [(&mut a, 3.0), (&mut b, 0.0)] {
            let a_second = received(handle).0 as f64 / seconds;
            assert!((at_least..=5.3).contains(&a_second), "{a_second}");
        }
        for number in 1..=3 {
            assert_eq!(state(&lab, number).await, "up");
        }
    });
}

#[test]
fn forged_bpdus_put_a_block_off_for_six_seconds_once() {
    run(async {
        for (is_trusted, rounds) in [("on", 25..40), ("off", 0..3)] {
            let lab = Lab::with(SwitchOptions::default());
            let attacker = lab.memory().await;
            let ends = (lab.memory().await, lab.memory().await);
            for number in 1..=3 {
                set(&lab, number, "stp-trust", is_trusted).await;
            }
            cable(ends.0, Some(ends.1));
            let mut blocked = Vec::new();
            for round in 0..300 {
                attacker.send(bpdu(1)).await.expect("port 1");
                attacker.send(frame(0xff, 1)).await.expect("port 1");
                tokio::time::sleep(Duration::from_millis(200)).await;
                if state(&lab, 2).await == "loop" || state(&lab, 3).await == "loop" {
                    blocked.push(round);
                }
            }
            let first = blocked[0];
            assert!(rounds.contains(&first), "{is_trusted}: after {first} rounds");
            assert_eq!(blocked.len(), 300 - first, "it stays so");
            let port = lab.port(1).await;
            assert_eq!(port.state.name(), "up");
            // At most once a second.
            let changes = port.counters.incidents(Incident::TopologyChange);
            assert!(changes <= if is_trusted == "on" { 301 } else { 0 }, "{changes}");
        }
    });
}

#[test]
fn a_loop_that_is_hidden_is_limited_by_storm_control() {
    run(async {
        let lab = Lab::with(SwitchOptions::default());
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        let (mut one, mut other) = (lab.memory().await, lab.memory().await);
        // A bridge that passes everything but loop-detect frames.
        actix_rt::spawn(async move {
            loop {
                let (frame, to) = tokio::select! {
                    frame = one.recv() => (frame, &other),
                    frame = other.recv() => (frame, &one),
                };
                let Some(frame) = frame else { return };
                if !is_probe(&frame) {
                    let _ = to.send(frame).await;
                }
            }
        });
        a.send(frame(0xff, 1)).await.expect("port 1");
        let seconds = 5;
        let mut heard = 0;
        for _ in 0..seconds * 1000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            heard += received(&mut b).1;
        }
        assert_eq!(state(&lab, 3).await, "up", "nobody finds it");
        // 1,000 a second and 4,000 at once, from both ports of the loop.
        assert!((1000..=2 * (4000 + 1000 * (seconds + 1))).contains(&heard), "{heard}");
        assert!(lab.port(3).await.counters.discards(Discard::StormBroadcast) > 0);
    });
}
