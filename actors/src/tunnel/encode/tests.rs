//! What is encoded against what is decoded, over streams that take what they like.

use std::{future::Future, pin::pin};

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};

use crate::{
    core::{
        offload::segment::{segment, tests::shapes},
        packet::reference::changes,
    },
    tunnel::{
        codec::{Decoder, Event, MAX_MESSAGE_LEN, Role},
        encode::*,
        messages::Wire,
    },
};

/// Takes so many octets at each turn; none: it would block.
#[derive(Debug, Default)]
pub(in crate::tunnel) struct Stream {
    takes: Vec<usize>,
    turn: usize,
    pub(in crate::tunnel) written: Vec<u8>,
    pub(in crate::tunnel) writes: Vec<usize>,
}

impl Stream {
    pub(in crate::tunnel) fn new(takes: Vec<usize>) -> Self {
        Self { takes, ..Self::default() }
    }

    fn take(&mut self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let take = self.takes[self.turn % self.takes.len()];
        self.turn += 1;
        if take == 0 {
            return Poll::Pending;
        }
        let before = self.written.len();
        for slice in slices {
            let left = take - (self.written.len() - before);
            self.written.extend_from_slice(&slice[..left.min(slice.len())]);
        }
        self.writes.push(self.written.len() - before);
        Poll::Ready(Ok(self.written.len() - before))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(&[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        assert!(slices.len() <= 1024, "Linux takes no more");
        self.take(slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Writes all of a batch; each time that the stream would block, the attempt is
/// abandoned and another begins.
pub(in crate::tunnel) fn write(
    encoder: &mut Encoder<impl Framing>,
    stream: &mut Stream,
    batch: &[Frame],
) -> Vec<Frame> {
    let mut refused = Vec::new();
    let mut cx = task::Context::from_waker(task::Waker::noop());
    loop {
        let attempt = pin!(encoder.write(stream, batch, |frame| refused.push(frame.clone())));
        match attempt.poll(&mut cx) {
            Poll::Ready(result) => break result.expect("the stream does not fail"),
            Poll::Pending => {}
        }
    }
    refused
}

fn decoded(role: Role, octets: &[u8]) -> Vec<Event> {
    let theirs = if role == Role::Server { Role::Client } else { Role::Server };
    let mut decoder = Decoder::new(theirs, MAX_MESSAGE_LEN);
    let mut octets = BytesMut::from(octets);
    let events = std::iter::from_fn(|| decoder.next(&mut octets).expect("valid framing"));
    let events = events.collect();
    assert!(octets.is_empty(), "the end is not inside a message");
    events
}

pub(in crate::tunnel) const WAYS: [(Role, Gather); 4] = [
    (Role::Client, Gather::Messages),
    (Role::Server, Gather::Headers),
    (Role::Server, Gather::Messages),
    (Role::Server, Gather::Single),
];

pub(in crate::tunnel) fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let plain = vec(any::<u8>(), 0..600).prop_map(|data| Frame::new(data.into()));
    let lacks_checksum = (vec(any::<u8>(), 0..600), any::<(u8, u8)>()).prop_map(|(data, at)| {
        let offload = crate::core::frame::Offload {
            csum: Some((at.0.into(), at.1.into())),
            ..crate::core::frame::Offload::NONE
        };
        Frame::with_offload(data.into(), offload)
    });
    let super_frame = shapes().prop_map(|shape| shape.frame());
    let frame = prop_oneof![plain, lacks_checksum, super_frame];
    let changed = (frame, 0..4_usize).prop_map(|(frame, at)| changes(&frame)[at].clone());
    vec(changed, 0..6)
}

proptest! {
    #[test]
    fn the_peer_gets_what_segmentation_gives_however_it_is_written(
        batches in vec(frames(), 1..4),
        takes in vec(prop_oneof![Just(0_usize), 1..9_usize, 9..3000_usize], 0..20),
    ) {
        for (role, gather) in WAYS {
            let mut encoder = Encoder::new(Messages::new(role, Wire::Plain), gather);
            let takes = [&takes[..], &[100_000]].concat();
            let mut stream = Stream::new(takes);
            let (mut expected, mut on_wire) = (Vec::new(), (0, 0));
            for batch in &batches {
                let refused = write(&mut encoder, &mut stream, batch);
                let mut bad = Vec::new();
                for frame in batch {
                    let emit = |frame: Frame| expected.push(frame.into_data());
                    if segment(frame.clone(), emit).is_ok() {
                        let (frames, octets) = frame.on_wire();
                        on_wire = (on_wire.0 + frames, on_wire.1 + octets);
                    } else {
                        bad.push(frame.clone());
                    }
                }
                prop_assert_eq!(refused, bad);
                encoder.control(Opcode::Pong, b"between").expect("random numbers");
            }
            write(&mut encoder, &mut stream, &[]);
            let events = decoded(role, &stream.written);
            let pongs = events.iter().filter(|event| matches!(event, Event::Pong(_))).count();
            let messages: Vec<Bytes> = events
                .into_iter()
                .filter_map(|event| match event {
                    Event::Fragmented(data) => Some(data),
                    _ => None,
                })
                .collect();
            prop_assert_eq!(pongs, batches.len());
            let octets: usize = expected.iter().map(Bytes::len).sum();
            prop_assert_eq!(on_wire, (expected.len() as u64, octets as u64), "what the queue counts");
            prop_assert_eq!(messages, expected);
        }
    }
}

#[test]
fn no_frame_makes_a_write_longer_than_its_limits() {
    // 32 segments of each of 64 super-frames, and messages of the greatest length.
    let shape = crate::core::offload::segment::tests::Shape::tcp4(32 * 1000, 1000);
    let many = vec![shape.frame(); 64];
    let long = vec![Frame::new(vec![0; MAX_MESSAGE_LEN].into()); 8];
    for (role, gather) in WAYS {
        let mut encoder = Encoder::new(Messages::new(role, Wire::Plain), gather);
        let mut stream = Stream::new(vec![usize::MAX]);
        write(&mut encoder, &mut stream, &many);
        write(&mut encoder, &mut stream, &long);
        assert_eq!(decoded(role, &stream.written).len(), 64 * 32 + 8);
        let longest = stream.writes.iter().max().expect("it wrote");
        let least = if gather == Gather::Single { 64 * 32 + 8 } else { 64 * 32 / WRITE_PARTS };
        assert!(stream.writes.len() >= least, "{gather:?}: {} writes", stream.writes.len());
        let limit = match gather {
            Gather::Single => MAX_MESSAGE_LEN,
            Gather::Messages => WRITE_OCTETS + MAX_MESSAGE_LEN,
            Gather::Headers => 8 * MAX_MESSAGE_LEN,
        };
        assert!(*longest <= limit + 200, "{gather:?}: {longest}");
        assert!(encoder.copies.len() <= COPIES_KEPT, "memory stays: {}", encoder.copies.len());
    }
}

#[test]
fn a_servers_bulk_is_not_copied() {
    let shape = crate::core::offload::segment::tests::Shape::tcp4(40 * 1448, 1448);
    let mut encoder = Encoder::new(Messages::new(Role::Server, Wire::Plain), Gather::Headers);
    let batch = [shape.frame()];
    encoder.fill(&batch, &mut |_| {}).expect("no random numbers are needed");
    assert_eq!(encoder.parts.len(), 40);
    assert!(encoder.end < 40 * 120, "headers only: {}", encoder.end);
}
