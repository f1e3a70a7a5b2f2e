use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::*;
use crate::core::{
    backpressure::HOLD_OCTETS, counters::Counters, frame::Offload, offload::segment::tests::Shape,
};

const OWN: Source = Source::OWN;

fn frame(len: usize) -> Frame {
    Frame::new(Bytes::from(vec![7; len]))
}

/// A queue with a line that nothing is set for.
fn channel(gauge: Gauge, finisher: Finisher) -> (Sender, EgressQueue) {
    super::channel(gauge, finisher, Line::plain())
}

#[test]
fn frames_leave_in_order_in_bounded_batches_and_free_their_room() {
    let gauge = Gauge::alone(usize::MAX);
    let (mut sender, mut receiver) = channel(gauge.clone(), Finisher::default());
    let frames: Vec<_> = (1..=100).map(frame).collect();
    assert!(frames.iter().all(|f| gauge.admit(f, OWN)));
    sender.push(OWN, frames);
    let mut batch = Vec::new();
    assert!(receiver.try_recv(&mut batch));
    assert_eq!(batch.len(), BATCH_FRAMES);
    assert!(receiver.try_recv(&mut batch));
    assert!(batch.iter().map(Frame::len).eq(1..=100));
    assert_eq!(gauge.used(), 0);
    assert!(!receiver.try_recv(&mut batch));
}

#[test]
fn small_frames_of_a_backlog_do_not_pin_their_read_buffers() {
    let gauge = Gauge::alone(usize::MAX);
    let (mut sender, mut receiver) = channel(gauge.clone(), Finisher::default());
    let bulk = frame(BACKLOG_OCTETS);
    assert!(gauge.admit(&bulk, OWN));
    sender.push(OWN, vec![bulk]);
    let buffer = Bytes::from(vec![1; 256 * 1024]);
    let small = Frame::new(buffer.slice(100..160));
    assert!(gauge.admit(&small, OWN));
    sender.push(OWN, vec![small.clone()]);
    let mut batch = Vec::new();
    assert!(receiver.try_recv(&mut batch));
    assert_eq!(batch[1], small, "same octets");
    assert_ne!(batch[1].data().as_ptr(), small.data().as_ptr(), "another buffer");
}

#[test]
fn the_bulk_of_a_backlog_is_not_copied() {
    let (mut sender, mut receiver) = channel(Gauge::alone(usize::MAX), Finisher::default());
    let buffer = Bytes::from(vec![1; 256 * 1024]);
    // Messages of 1514 octets behind headers of 4, and one from elsewhere.
    let mut frames: Vec<_> =
        (0..60).map(|i| Frame::new(buffer.slice(1518 * i + 4..1518 * (i + 1)))).collect();
    frames.insert(30, frame(60));
    assert!(frames.iter().all(|frame| receiver.queue.gauge.admit(frame, OWN)));
    sender.push(OWN, frames.clone());
    let mut batch = Vec::new();
    assert!(receiver.try_recv(&mut batch));
    assert_eq!(batch.len(), 61);
    for (i, (frame, queued)) in frames.iter().zip(&batch).enumerate() {
        assert_eq!(frame, queued);
        assert_eq!(frame.data().as_ptr() == queued.data().as_ptr(), i != 30, "frame {i}");
    }
}

#[test]
fn frames_that_cannot_be_finished_are_counted_where_the_link_cannot() {
    let counters = Arc::new(Counters::default());
    let (mut sender, mut receiver) = channel(
        Gauge::alone(usize::MAX),
        Finisher::new(Arc::default(), true, Arc::clone(&counters)),
    );
    let offload = Offload { csum: Some((14, 1000)), ..Offload::NONE };
    let bad = Frame::with_offload(Bytes::from(vec![0; 60]), offload);
    let gauge = &receiver.queue.gauge;
    assert!(gauge.admit(&bad, OWN) && gauge.admit(&frame(60), OWN));
    sender.push(OWN, vec![bad, frame(60)]);
    let mut batch = Vec::new();
    assert!(receiver.try_recv(&mut batch));
    assert_eq!(batch, [frame(60)]);
    assert_eq!(counters.discards(Discard::UnknownOffload), 1);
}

#[test]
fn a_batch_counts_as_sent_when_the_next_is_asked_for_without_what_was_refused() {
    let counters = Arc::new(Counters::default());
    let finisher = Finisher::new(Arc::default(), false, Arc::clone(&counters));
    let (mut sender, mut receiver) = channel(Gauge::alone(usize::MAX), finisher);
    let whole = Shape::tcp4(3 * 500, 500).frame();
    let (segments, octets) = whole.on_wire();
    let sent = [whole, frame(60), frame(100)];
    let gauge = &receiver.queue.gauge;
    assert!(sent.iter().all(|frame| gauge.admit(frame, OWN)));
    sender.push(OWN, sent.to_vec());
    let mut batch = Vec::new();
    assert!(receiver.try_recv(&mut batch));
    assert_eq!(counters.tx_frames(), 0, "the link has it, the medium not yet");
    receiver.refused(&batch[1], Discard::LackOfBuffers);
    assert!(!receiver.try_recv(&mut batch));
    assert_eq!((counters.tx_frames(), counters.tx_octets()), (segments + 1, octets + 100));
    assert_eq!(counters.discards(Discard::LackOfBuffers), 1);
    receiver.done();
    assert_eq!(counters.tx_frames(), segments + 1, "once");
}

fn credit(all: &Arc<Semaphore>) -> Credit {
    Credit::new(Arc::clone(all).try_acquire_owned().expect("a credit is left"))
}

#[test]
fn a_long_queue_holds_credits_back_and_a_short_one_gives_them_one_by_one() {
    let gauge = Gauge::alone(usize::MAX);
    let (mut sender, mut receiver) = channel(gauge.clone(), Finisher::default());
    let all = Arc::new(Semaphore::new(INGRESS_CREDITS));
    sender.hold(credit(&all));
    assert_eq!(all.available_permits(), 4, "the queue is short");
    for len in [200_000, 200_000, 100_000] {
        let bulk = frame(len);
        assert!(gauge.admit(&bulk, OWN));
        sender.push(OWN, vec![bulk]);
        sender.hold(credit(&all));
    }
    assert_eq!(all.available_permits(), 1);
    let mut batch = Vec::new();
    assert!(receiver.try_recv(&mut batch));
    assert_eq!(batch.len(), 1);
    assert_eq!(all.available_permits(), 1, "it is long still");
    assert!(receiver.try_recv(&mut batch));
    assert_eq!(all.available_permits(), 2, "it is short");
    assert!(receiver.try_recv(&mut batch));
    assert_eq!(all.available_permits(), 4, "it is empty");
}

#[test]
fn a_stuck_link_holds_nothing_until_it_takes_again() {
    let gauge = Gauge::alone(usize::MAX);
    let (mut sender, mut receiver) = channel(gauge.clone(), Finisher::default());
    let all = Arc::new(Semaphore::new(INGRESS_CREDITS));
    let bulk = frame(2 * HOLD_OCTETS);
    assert!(gauge.admit(&bulk, OWN));
    sender.push(OWN, vec![bulk.clone()]);
    assert!(sender.hold(credit(&all)).is_some(), "a check is due");
    assert_eq!(all.available_permits(), 3);
    assert_eq!(sender.check(), None);
    sender.hold(credit(&all));
    assert_eq!(all.available_permits(), 4);
    assert!(receiver.try_recv(&mut Vec::new()));
    assert!(gauge.admit(&bulk, OWN));
    sender.push(OWN, vec![bulk]);
    sender.hold(credit(&all));
    assert_eq!(all.available_permits(), 3, "it moves again");
}
