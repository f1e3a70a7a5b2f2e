//! How frames stand in a stream, or in datagrams: all that the halves of a link need to
//! know of it.
//!
//! Below [`intake::take`](super::intake::take), which joins what was read to super-frames,
//! and the [`Encoder`](super::encode::Encoder), which cuts them for the wire: who says where
//! a frame stands and what goes before it gets both. Pure, and compiled into the loops: no
//! call per frame.

use std::{io, ops::Range};

use bytes::Bytes;

use super::codec::unmask;
use crate::core::frame::{Frame, Offload};

/// Longest header of all framings, in octets: WebSocket's, with its masking key, and what a
/// message of ours begins with.
pub const MAX_HEADER_LEN: usize = 14 + 8;

/// A way to mark frames in octets. One value reads, another writes.
pub(super) trait Framing {
    /// What comes beside frames.
    type Control;
    /// The peer broke the framing or a limit.
    type Error;

    /// The next item of `block` from `at` on, which moves behind what is decoded; `None`
    /// when more must be read. What stands before `at` is not needed again. Of datagrams,
    /// `block` is one, and none is left to be continued by the next.
    fn decode(
        &mut self,
        block: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Item<Self::Control>>, Self::Error>;

    /// What goes before a finished frame of `len` octets.
    fn header(&mut self, len: usize) -> io::Result<Header>;

    /// What goes before a frame that passes with work left on it; `None` for one that is to be
    /// finished first.
    fn unfinished(&mut self, frame: &Frame) -> io::Result<Option<Header>> {
        let _ = frame;
        Ok(None)
    }
}

/// What a peer has sent.
#[derive(Debug)]
pub(super) enum Item<C> {
    /// A frame: where in the block it stands, and the work that is left on it.
    Frame(Range<usize>, Offload),
    /// A frame that did not stand in one piece.
    Gathered(Bytes, Offload),
    Control(C),
}

/// A frame's header as it goes onto the wire.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    octets: [u8; MAX_HEADER_LEN],
    len: u8,
    mask: Option<[u8; 4]>,
}

impl Header {
    /// A header without an octet, before a payload that is XORed with `mask`, if there is one.
    pub(super) const fn empty(mask: Option<[u8; 4]>) -> Self {
        Self { octets: [0; MAX_HEADER_LEN], len: 0, mask }
    }

    /// Adds octets, [`MAX_HEADER_LEN`] in all.
    pub(super) fn push(&mut self, octets: &[u8]) {
        let at = usize::from(self.len);
        self.octets[at..at + octets.len()].copy_from_slice(octets);
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_HEADER_LEN")]
        {
            self.len += octets.len() as u8;
        }
    }

    /// Its octets.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    /// Adds octets that belong to the payload, whose mask goes on behind them.
    pub(super) fn push_payload(&mut self, octets: &[u8]) {
        let at = usize::from(self.len);
        self.push(octets);
        if let Some(mask) = &mut self.mask {
            unmask(&mut self.octets[at..at + octets.len()], *mask);
            mask.rotate_left(octets.len() % 4);
        }
    }

    /// What its payload is XORed with.
    pub(super) const fn mask(&self) -> Option<[u8; 4]> {
        self.mask
    }
}

#[cfg(test)]
mod tests {
    //! Framings of others, to see that they get all that WebSocket's gets.

    use std::convert::Infallible;

    use bytes::BytesMut;

    use super::*;
    use crate::{
        core::{
            frame::MAX_FRAME_LEN,
            offload::{
                coalesce::{Coalescer, tests::joined},
                segment::{segment, tests::Shape},
            },
        },
        tunnel::{
            encode::{
                Encoder, Gather,
                tests::{Stream, write},
            },
            intake::{Next, take},
        },
    };

    /// QEMU's on a stream: four octets of length, big endian.
    struct Lengths;

    impl Framing for Lengths {
        type Control = Infallible;
        type Error = usize;

        fn decode(
            &mut self,
            block: &mut [u8],
            at: &mut usize,
        ) -> Result<Option<Item<Infallible>>, usize> {
            let Some((len, rest)) = block[*at..].split_first_chunk() else { return Ok(None) };
            let len = u32::from_be_bytes(*len) as usize;
            if len > MAX_FRAME_LEN {
                return Err(len);
            }
            if rest.len() < len {
                return Ok(None);
            }
            let place = *at + 4..*at + 4 + len;
            *at = place.end;
            Ok(Some(Item::Frame(place, Offload::NONE)))
        }

        fn header(&mut self, len: usize) -> io::Result<Header> {
            let mut header = Header::empty(None);
            let len = u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
            header.push(&len.to_be_bytes());
            Ok(header)
        }
    }

    /// One frame a datagram.
    struct Datagrams;

    impl Framing for Datagrams {
        type Control = Infallible;
        type Error = Infallible;

        fn decode(
            &mut self,
            block: &mut [u8],
            at: &mut usize,
        ) -> Result<Option<Item<Infallible>>, Infallible> {
            let place = *at..block.len();
            *at = place.end;
            Ok((!place.is_empty()).then_some(Item::Frame(place, Offload::NONE)))
        }

        fn header(&mut self, _: usize) -> io::Result<Header> {
            Ok(Header::empty(None))
        }
    }

    /// A super-frame and a frame, and what they are on a wire.
    fn frames() -> (Vec<Frame>, Vec<Bytes>) {
        let mut on_wire = Vec::new();
        segment(Shape::tcp4(9 * 1444, 1444).frame(), |frame| on_wire.push(frame.into_data()))
            .expect("it fits");
        on_wire.push(vec![7; 300].into());
        let frames = joined(&on_wire.iter().map(|data| data.to_vec()).collect::<Vec<_>>());
        assert_eq!((frames.len(), on_wire.len()), (2, 10));
        (frames, on_wire)
    }

    #[test]
    fn frames_behind_lengths_are_cut_and_joined() {
        let (frames, on_wire) = frames();
        let expected: Vec<u8> = on_wire
            .iter()
            .flat_map(|data| {
                [&u32::try_from(data.len()).expect("short").to_be_bytes(), &data[..]].concat()
            })
            .collect();
        for gather in [Gather::Headers, Gather::Messages, Gather::Single] {
            let mut stream = Stream::new(vec![1000, 0, 3]);
            write(&mut Encoder::new(Lengths, gather), &mut stream, &frames);
            assert_eq!(stream.written, expected, "{gather:?}");
        }
        let mut read = BytesMut::from(&expected[..]);
        let rest = read.split_off(expected.len() - 1);
        let mut coalescer = Coalescer::default();
        let mut took =
            |read: &mut BytesMut| take(&mut Lengths, &mut coalescer, read, |never| match never {});
        let (first, next) = took(&mut read);
        assert!(first == frames[..1] && matches!(next, Next::<Result<(), _>>::Read));
        read.unsplit(rest);
        let (last, _) = took(&mut read);
        assert!(last == frames[1..] && read.is_empty());
        let mut too_long = BytesMut::from(&[0xff; 4][..]);
        let (none, end) = took(&mut too_long);
        assert!(none.is_empty() && matches!(end, Next::End(Err(0xffff_ffff))));
    }

    #[test]
    fn datagrams_are_frames() {
        let (frames, on_wire) = frames();
        let mut stream = Stream::new(vec![usize::MAX]);
        write(&mut Encoder::new(Datagrams, Gather::Single), &mut stream, &frames);
        assert!(stream.writes.iter().copied().eq(on_wire.iter().map(Bytes::len)), "one a write");
        assert_eq!(stream.written, on_wire.concat());
        for data in on_wire {
            let mut read = BytesMut::from(&data[..]);
            let none = |never: Infallible| -> Option<()> { match never {} };
            let (taken, _) = take(&mut Datagrams, &mut Coalescer::default(), &mut read, none);
            assert_eq!(taken, [Frame::new(data)]);
        }
    }
}
