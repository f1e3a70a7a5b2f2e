//! The way of a batch of frames onto a stream: what is gathered for a write, and how
//! far that is written.
//!
//! Stands below the tunnel's link. A super-frame becomes ordinary frames here, one
//! a message. A server's payloads go out from where they are; a client's are copied
//! and masked in one pass, since others may hold them too. Every write may be
//! abandoned and gone on with later: the wire never sees half a message followed by
//! something else.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    mem,
    ops::Range,
    pin::Pin,
    task::{self, Poll},
};

use tokio::io::AsyncWrite;

use super::{
    codec::{MAX_MESSAGE_LEN, Opcode, mask_copy},
    framing::{Framing, Header, MAX_HEADER_LEN},
    messages::Messages,
    typed,
};
use crate::core::{
    batch::BATCH_OCTETS, frame::Frame, links::LinkMessage, offload::segment::Segments,
};

/// Copied octets after which a write is full: no stream takes more at once.
const WRITE_OCTETS: usize = BATCH_OCTETS;

/// Payloads of one write that go out from where they are: with what stands between
/// them half of the slices that Linux takes in one call (UIO_MAXIOV, 1024).
const WRITE_PARTS: usize = 256;

/// A payload up to this length is cheaper to copy than to point at.
const COPY_BELOW: usize = 256;

/// Octets of copies whose memory is kept for the next batch: one message beyond a
/// full write. What a longer one took is not to stay for ever.
const COPIES_KEPT: usize = WRITE_OCTETS + MAX_MESSAGE_LEN + MAX_HEADER_LEN;

/// What of its messages an encoder copies, and how many it writes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gather {
    /// Headers only; payloads go out from where they are. For servers.
    Headers,
    /// All of each message, many to a write.
    Messages,
    /// All of one message a write.
    Single,
}

/// A payload that goes out from where it is.
#[derive(Debug)]
struct Part {
    /// Copied octets that go before it.
    copied: usize,
    /// Its frame in the batch, and its place in the frame.
    frame: usize,
    payload: Range<usize>,
}

/// Turns frames and control messages into octets, and writes them.
#[derive(Debug)]
pub(super) struct Encoder<F> {
    framing: F,
    gather: Gather,
    /// What the write at hand copies, up to `end`. The length only grows, so that
    /// copying a payload in needs no zeroing first.
    copies: Vec<u8>,
    end: usize,
    /// What it does not.
    parts: Vec<Part>,
    /// Length of the write, and how much of it is done.
    octets: usize,
    written: usize,
    /// What comes after the write: frame of the batch, segment of the frame.
    next: (usize, usize),
}

impl<F: Framing> Encoder<F> {
    pub(super) fn new(framing: F, gather: Gather) -> Self {
        Self {
            framing,
            gather,
            copies: Vec::new(),
            end: 0,
            parts: Vec::new(),
            octets: 0,
            written: 0,
            next: (0, 0),
        }
    }

    /// Writes what is in line and then the rest of `batch`, which must be the same
    /// until all of it is written: then the next call begins with another. `refused` gets
    /// each frame whose offload fields do not fit it: it is not written.
    pub(super) async fn write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        batch: &[Frame],
        mut refused: impl FnMut(&Frame),
    ) -> io::Result<()> {
        loop {
            while self.written < self.octets {
                match poll_fn(|cx| self.poll_write(Pin::new(&mut *stream), cx, batch)).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    octets => self.written += octets,
                }
            }
            self.finish_write();
            self.fill(batch, &mut refused)?;
            if self.octets == 0 {
                self.next = (0, 0);
                return Ok(());
            }
        }
    }

    /// Gathers as much of the batch as goes into one write.
    fn fill(&mut self, batch: &[Frame], refused: &mut impl FnMut(&Frame)) -> io::Result<()> {
        while let (at, from) = self.next
            && let Some(frame) = batch.get(at)
            && self.has_room()
        {
            // Nearly all frames: nothing to cut, nothing to change.
            if frame.is_finished() {
                self.next = (at + 1, 0);
                let octets = frame.data();
                let header = self.framing.header(octets.len())?;
                self.message(header, &[], octets, Some((at, 0..octets.len())));
                continue;
            }
            if let Some(header) = self.framing.unfinished(frame)? {
                self.next = (at + 1, 0);
                let (front, rest) = frame.front();
                let place = front.replaces..frame.data().len();
                self.message(header, &front, rest, Some((at, place)));
                continue;
            }
            let Ok(segments) = Segments::new(frame) else {
                refused(frame);
                self.next = (at + 1, 0);
                continue;
            };
            let mut segments = segments.from(from);
            while self.has_room()
                && let Some((head, payload)) = segments.next()
            {
                self.next.1 += 1;
                let octets = &frame.data()[payload.clone()];
                let header = self.framing.header(head.len() + octets.len())?;
                self.message(header, head, octets, Some((at, payload)));
            }
            if segments.is_done() {
                self.next = (at + 1, 0);
            }
        }
        Ok(())
    }

    const fn has_room(&self) -> bool {
        match self.gather {
            Gather::Single => self.octets == 0,
            _ => self.end < WRITE_OCTETS && self.parts.len() < WRITE_PARTS,
        }
    }

    /// Adds a message of `header`, `head` and `payload` to the write. `place` tells where in
    /// the batch the payload stands, if it may go out from there.
    fn message(
        &mut self,
        header: Header,
        head: &[u8],
        payload: &[u8],
        place: Option<(usize, Range<usize>)>,
    ) {
        let place = place.filter(|_| self.gather == Gather::Headers && payload.len() > COPY_BELOW);
        let copied = if place.is_some() { &[] } else { payload };
        let len = header.as_slice().len() + head.len() + copied.len();
        if self.copies.len() < self.end + len {
            self.copies.resize(self.end + len, 0);
        }
        let (to_header, rest) =
            self.copies[self.end..self.end + len].split_at_mut(header.as_slice().len());
        let (to_head, to_payload) = rest.split_at_mut(head.len());
        to_header.copy_from_slice(header.as_slice());
        match header.mask() {
            Some(mut mask) => {
                mask_copy(to_head, head, mask);
                mask.rotate_left(head.len() % 4);
                mask_copy(to_payload, copied, mask);
            }
            None => {
                to_head.copy_from_slice(head);
                to_payload.copy_from_slice(copied);
            }
        }
        self.end += len;
        self.octets += len;
        if let Some((frame, payload)) = place {
            self.octets += payload.len();
            self.parts.push(Part { copied: self.end, frame, payload });
        }
    }

    /// Writes once, from the first octet that is not written.
    fn poll_write(
        &self,
        stream: Pin<&mut impl AsyncWrite>,
        cx: &mut task::Context<'_>,
        batch: &[Frame],
    ) -> Poll<io::Result<usize>> {
        let copies = &self.copies[..self.end];
        if self.parts.is_empty() {
            return stream.poll_write(cx, &copies[self.written..]);
        }
        let mut from = 0;
        let pieces = self.parts.iter().flat_map(|part| {
            let copied = &copies[mem::replace(&mut from, part.copied)..part.copied];
            [copied, &batch[part.frame].data()[part.payload.clone()]]
        });
        let last = self.parts.last().map_or(0, |part| part.copied);
        // Not kept over a wait: it would make every link's future longer by as much.
        let mut slices = [IoSlice::new(&[]); 2 * WRITE_PARTS + 1];
        let (mut used, mut skip) = (0, self.written);
        for piece in pieces.chain([&copies[last..]]) {
            if skip < piece.len() {
                slices[used] = IoSlice::new(&piece[skip..]);
                used += 1;
            }
            skip = skip.saturating_sub(piece.len());
        }
        stream.poll_write_vectored(cx, &slices[..used])
    }

    /// Makes room for the next write.
    fn finish_write(&mut self) {
        (self.octets, self.written, self.end) = (0, 0, 0);
        self.parts.clear();
        if self.copies.len() > COPIES_KEPT {
            self.copies = Vec::new();
        }
    }
}

impl Encoder<Messages> {
    /// Puts what a link of several says in line. Only between batches.
    pub(super) fn link(&mut self, message: LinkMessage) -> io::Result<()> {
        self.put(Opcode::Binary, &typed::link_message(message))
    }

    /// Puts a control message in line. Only between batches.
    pub(super) fn control(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.put(opcode, payload)
    }

    fn put(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        let header = self.framing.header_of(opcode, payload.len())?;
        self.message(header, &[], payload, None);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
