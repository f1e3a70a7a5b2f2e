//! Segmentation: offload fields of any value are refused or obeyed, never more is
//! written than bounds allow, the payload is there in full, coalescing the segments
//! loses nothing, and a change of the tag is done as by hand.

use bytes::Bytes;

use super::{Input, coalesce};
use crate::core::{
    frame::{Frame, Gso, MAX_FRAME_LEN, Offload},
    offload::segment::{self, Segments},
    packet::reference,
};

/// Most octets that a super-frame may become: 8,192 segments, each with 512 of headers and a
/// tag more.
const MAX_OCTETS: usize = MAX_FRAME_LEN + 8192 * 520;

/// Offload fields, by how much the last octets are to be made longer, and the frame.
pub fn segment(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.u8();
    let gso = [Gso::None, Gso::Tcp4, Gso::Tcp6, Gso::Udp][usize::from(kind & 3)];
    let (gso_size, start, offset) = (input.u16(), input.u16(), input.u16());
    let csum = (kind & 4 == 0).then_some((start, offset));
    let longer = usize::from(input.u16());
    let mut octets = input.0.to_vec();
    octets.resize((octets.len() + longer).min(MAX_FRAME_LEN), 0x5a);
    let offload = Offload { gso, ecn: kind & 8 != 0, gso_size, csum };
    let frame = Frame::with_offload(Bytes::from(octets), offload);
    for frame in reference::changes(&frame) {
        let finished = check(&frame);
        // More than the bounds allow may be refused one way and not the other.
        if let (Some(finished), Some(by_hand)) = (finished, check(&reference::by_hand(&frame))) {
            assert_eq!(finished, by_hand, "{:?}", frame.tag_change());
        }
    }
}

/// Cuts a frame in both ways; `None` where its fields do not fit.
fn check(frame: &Frame) -> Option<Vec<Frame>> {
    let mut finished = Vec::new();
    let done = segment::segment(frame.clone(), |frame| finished.push(frame));
    let Ok(mut segments) = Segments::new(frame) else {
        assert!(done.is_err() && finished.is_empty());
        return None;
    };
    done.expect("both ways to cut agree");
    assert!(finished.iter().all(Frame::is_finished));
    assert!(finished.iter().map(Frame::len).sum::<usize>() <= MAX_OCTETS);

    // Cut in place, it is the same; and the payloads follow each other to the end.
    let mut at = None;
    for finished in &finished {
        let (head, payload) = segments.next().expect("as many segments");
        assert_eq!(*at.get_or_insert(payload.start), payload.start);
        at = Some(payload.end);
        assert_eq!([head, &frame.data()[payload]].concat(), finished.data());
    }
    assert!(segments.next().is_none());
    assert_eq!(at, Some(frame.data().len()));
    coalesce::check(&finished);

    // The datagrams of a tunnel, for a kernel to cut.
    let mut again = Vec::new();
    segment::outer_datagrams(frame.clone(), |one| {
        segment::segment(one, |segment| again.push(segment)).expect("plain super-frames");
    })
    .expect("what can be cut");
    assert_eq!(again, finished);
    Some(finished)
}
