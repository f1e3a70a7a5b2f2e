//! What a mirror is shown of a whole switch: each frame as it comes in and for each port
//! that it goes out of, with the reason if it goes no further.

use etherws_actors::{
    guard::storm::StormLimit,
    mirror::{
        Direction::{self, Rx, Tx},
        Filter, MirrorReader,
    },
};

use super::*;

type Seen = (u32, Direction, Option<Discard>);

async fn mirror(lab: &Lab, filter: Filter) -> MirrorReader {
    lab.control.mirror(filter, 2000).await.expect("there is room")
}

/// What a mirror has been shown by now.
async fn seen(lab: &Lab, reader: &mut MirrorReader) -> Vec<Seen> {
    lab.settle().await;
    let mut seen = Vec::new();
    while let Ok(Some(batch)) = tokio::time::timeout(Duration::from_millis(1), reader.recv()).await
    {
        seen.extend(batch.frames.iter().map(|one| (one.port.get(), one.direction, one.discard)));
    }
    seen
}

#[test]
fn frames_are_shown_where_they_pass_and_why_they_do_not() {
    run(async {
        let lab = Lab::new();
        let (a, b, _c) = (lab.memory().await, lab.memory().await, lab.memory().await);
        let mut all = mirror(&lab, Filter::default()).await;
        a.send(frame(0xff, 1)).await.expect("port 1");
        assert_eq!(seen(&lab, &mut all).await, [(1, Rx, None), (2, Tx, None), (3, Tx, None)]);
        b.send(frame(1, 2)).await.expect("port 2");
        assert_eq!(seen(&lab, &mut all).await, [(2, Rx, None), (1, Tx, None)]);
        a.send(frame(1, 9)).await.expect("port 1");
        assert_eq!(seen(&lab, &mut all).await, [(1, Rx, Some(Discard::SamePort))]);
        a.send(Frame::new(Bytes::from_static(&[1; 13]))).await.expect("port 1");
        assert_eq!(seen(&lab, &mut all).await, [(1, Rx, Some(Discard::OnError))]);
        lab.shut(1, true).await;
        b.send(frame(1, 2)).await.expect("port 2");
        a.send(frame(2, 1)).await.expect("port 1");
        let down = Some(Discard::PortDown);
        assert_eq!(seen(&lab, &mut all).await, [(2, Rx, None), (1, Tx, down), (1, Rx, down)]);
        let one = StormLimit::Rate { rate: 1, burst: 1 };
        let settings = PortSettings { storm_broadcast: Some(one), ..PortSettings::default() };
        lab.control.set_port(port(2), settings, Vec::new()).await.expect("port is there");
        for _ in 0..2 {
            b.send(frame(0xff, 2)).await.expect("port 2");
        }
        let storm = Some(Discard::StormBroadcast);
        assert_eq!(seen(&lab, &mut all).await, [(2, Rx, None), (3, Tx, None), (2, Rx, storm)]);
        drop(all);
        let mut only = mirror(&lab, Filter { ports: vec![port(3)], ..Filter::default() }).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        b.send(frame(0xff, 2)).await.expect("port 2");
        assert_eq!(seen(&lab, &mut only).await, [(3, Tx, None)]);
    });
}

#[test]
fn a_full_queue_is_seen_and_counts_as_the_counters_do() {
    run(async {
        let lab = Lab::new();
        let a = lab.memory().await;
        let stalled = lab.add(Scripted::new([])).await;
        let mut out = mirror(&lab, Filter { ports: vec![stalled], ..Filter::default() }).await;
        let big = || {
            let mut data = frame(0xff, 1).data().to_vec();
            data.resize(60_000, 7);
            Frame::new(Bytes::from(data))
        };
        for _ in 0..QUEUE_OCTETS / 60_000 + 3 {
            a.send(big()).await.expect("port 1");
            lab.settle().await;
        }
        let seen = seen(&lab, &mut out).await;
        let full = seen.iter().filter(|one| one.2 == Some(Discard::LackOfBuffers)).count();
        let counted = lab.port(stalled.get()).await.counters.discards(Discard::LackOfBuffers);
        assert!(full > 0 && full as u64 == counted, "{full} seen, {counted} counted");
        assert_eq!(seen.len(), QUEUE_OCTETS / 60_000 + 3);
    });
}
