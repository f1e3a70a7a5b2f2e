//! What passes with work left on it, against what would pass finished.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    core::offload::segment::{segment, tests::Shape},
    tunnel::{
        codec::Role,
        encode::{
            Encoder,
            tests::{Stream, WAYS, frames, write},
        },
        framing::{Framing, Item},
        messages::{Messages, Wire},
    },
};

/// What the peer of `role` takes out of `octets`, and how many frames did not fit their fields.
fn received(role: Role, octets: &mut [u8]) -> (Vec<Frame>, usize) {
    let theirs = if role == Role::Server { Role::Client } else { Role::Server };
    let mut messages = Messages::new(theirs, Wire::SuperFrames);
    let (mut frames, mut bad, mut at) = (Vec::new(), 0, 0);
    while let Some(item) = messages.decode(octets, &mut at).expect("valid framing") {
        match item {
            Item::Frame(place, offload) => {
                let data = octets[place].to_vec();
                frames.push(Frame::with_offload(data.into(), offload));
            }
            Item::Control(Control::BadOffload) => bad += 1,
            item => panic!("{item:?}"),
        }
    }
    assert_eq!(at, octets.len(), "the end is not inside a message");
    (frames, bad)
}

/// What of these frames a device gives, as it gives them.
fn from_a_device(frames: &[Frame]) -> Vec<Frame> {
    let settled = |frame: &Frame| {
        let mut data = frame.data().to_vec();
        let offload = settle(&mut data, *frame.offload()).ok()?;
        Some(Frame::with_offload(data.into(), offload).retag(frame.tag_change()))
    };
    frames.iter().filter_map(settled).collect()
}

/// The finished frames that these are, and how many cannot be finished.
fn finished(frames: &[Frame]) -> (Vec<Frame>, usize) {
    let (mut finished, mut bad) = (Vec::new(), 0);
    for frame in frames {
        let done = segment(frame.clone(), |segment| finished.push(segment));
        bad += usize::from(done.is_err());
    }
    (finished, bad)
}

proptest! {
    #[test]
    fn the_peer_has_the_frames_that_it_would_have_got_finished(
        batches in vec(frames(), 1..4),
        takes in vec(prop_oneof![Just(0_usize), 1..9_usize, 9..3000_usize], 0..20),
    ) {
        let batches: Vec<_> = batches.iter().map(|frames| from_a_device(frames)).collect();
        for (role, gather) in WAYS {
            let mut encoder = Encoder::new(Messages::new(role, Wire::SuperFrames), gather);
            let mut stream = Stream::new([&takes[..], &[100_000]].concat());
            let refused: usize =
                batches.iter().map(|batch| write(&mut encoder, &mut stream, batch).len()).sum();
            let (frames, bad) = received(role, &mut stream.written);
            let (got, bad_later) = finished(&frames);
            let (expected, unfinishable) = finished(&batches.concat());
            prop_assert_eq!(got, expected);
            prop_assert_eq!(refused + bad + bad_later, unfinishable);
        }
    }
}

#[test]
fn a_super_frame_is_one_message() {
    for (role, gather) in WAYS {
        let mut encoder = Encoder::new(Messages::new(role, Wire::SuperFrames), gather);
        let mut stream = Stream::new(vec![usize::MAX]);
        let whole = Shape::tcp4(40 * 1448, 1448).frame();
        assert!(write(&mut encoder, &mut stream, std::slice::from_ref(&whole)).is_empty());
        assert_eq!(received(role, &mut stream.written), (vec![whole], 0), "{gather:?}");
    }
}

#[test]
fn a_super_frame_of_more_than_twice_its_octets_is_cut_by_us_and_refused_of_a_peer() {
    // Headers of 66 octets and payloads of 40.
    let shape = Shape::tcp4(100 * 40, 40).frame();
    let (frames, octets) = shape.on_wire();
    assert!(octets > 2 * shape.len() as u64, "{octets}");
    let mut encoder = Encoder::new(Messages::new(Role::Server, Wire::SuperFrames), WAYS[1].1);
    let mut stream = Stream::new(vec![usize::MAX]);
    assert!(write(&mut encoder, &mut stream, std::slice::from_ref(&shape)).is_empty());
    assert_eq!(received(Role::Server, &mut stream.written).0.len() as u64, frames);

    let (size, start) =
        (shape.offload().gso_size.to_be_bytes(), shape.offload().csum.expect("set").0);
    let fields =
        [UNFINISHED, TCP4 | NEEDS_CSUM, size[0], size[1], 0, start.to_be_bytes()[1], 0, 16];
    let mut message = [&fields, shape.data()].concat();
    assert!(matches!(read(&mut message), Err(Control::BadOffload)));
    // Larger segments, and it is one.
    message[2..4].copy_from_slice(&400_u16.to_be_bytes());
    assert!(read(&mut message).is_ok());
    // Without a checksum nobody knows where its headers end.
    message[1] = TCP4;
    assert!(matches!(read(&mut message), Err(Control::BadOffload)));
}

#[test]
fn what_is_no_frame_is_told_by_its_type() {
    assert!(matches!(read(&mut []), Err(Control::Unknown(0))));
    assert!(matches!(read(&mut [9, 1, 2]), Err(Control::Unknown(3))));
    assert!(matches!(read(&mut [UNFINISHED, 0, 0]), Err(Control::BadOffload)));
    assert!(matches!(read(&mut [UNFINISHED, 7, 0, 0, 0, 0, 0, 0, 1]), Err(Control::BadOffload)));
    assert!(matches!(read(&mut [FINISHED, 1, 2, 3]), Ok((1, Offload::NONE))));
}
