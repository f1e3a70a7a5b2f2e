//! Reading from a tunnel's stream, into blocks that all tunnels of a thread share, and
//! taking frames out of them.
//!
//! First on a received frame's path: messages are cut out of what is read here
//! without a copy. A tunnel that waits must hold nothing of a block: a thousand
//! idle tunnels cost what part of a message each of them has received.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io, mem,
    pin::pin,
    task::{self, Poll},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::framing::{Framing, Item};
use crate::{
    blocks::Blocks,
    core::{
        batch::{BATCH_FRAMES, BATCH_OCTETS},
        frame::Frame,
        offload::coalesce::Coalescer,
    },
};

/// Room that a read finds at least, in octets. A new block for each read would cost
/// more than reading the last quarter of one in smaller pieces.
const READ_ROOM: usize = BATCH_OCTETS / 4;

/// Octets from which on part of a message gets room of its own for what follows: that of a
/// super-frame, and of no usual frame.
const LONG: usize = 4096;

thread_local! {
    static BLOCKS: RefCell<Blocks> = RefCell::default();
}

/// Reads what is ready, up to 256 KiB, behind what `rest` holds. The number of
/// octets read; 0 at the stream's end. Nothing is lost when the future is dropped.
///
/// # Errors
/// The stream's.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    rest: &mut BytesMut,
) -> io::Result<usize> {
    let mut has_waited = false;
    poll_fn(|cx| {
        let result = poll_read(stream, cx, rest);
        if result.is_pending() && !mem::replace(&mut has_waited, true) && !has_own_room(rest) {
            // Part of a message, as a slice, keeps all of its block.
            *rest = own(rest);
        }
        result
    })
    .await
}

fn poll_read(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut task::Context<'_>,
    rest: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    if has_own_room(rest) {
        return poll_fill(stream, cx, rest);
    }
    // Streams do not read from each other: nobody else has it.
    BLOCKS.with_borrow_mut(|blocks| {
        let is_joined = blocks.join(rest, READ_ROOM);
        let block = if is_joined {
            blocks.current()
        } else {
            let block = blocks.with_room(rest.len() + READ_ROOM);
            block.extend_from_slice(rest);
            block
        };
        let result = poll_fill(stream, cx, block);
        if is_joined || matches!(result, Poll::Ready(Ok(1..))) {
            *rest = block.split();
        }
        block.clear();
        result
    })
}

/// Reads what is ready, as far as there is room behind what `buffer` holds: how many octets.
fn poll_fill(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut task::Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let before = buffer.len();
    // Over TLS one read gives one record.
    let result = loop {
        let result = pin!(stream.read_buf(buffer)).poll(cx);
        let more = matches!(result, Poll::Ready(Ok(1..))) && has_own_room(buffer);
        if !more {
            break result;
        }
    };
    let octets = buffer.len() - before;
    match result {
        // Comes again with the next read.
        Poll::Pending | Poll::Ready(Ok(0)) if octets > 0 => Poll::Ready(Ok(octets)),
        result => result.map_ok(|_| octets),
    }
}

/// Part of a message in memory of its own. Of a long one as much again is free: however small
/// the pieces are that it comes in, an octet is copied a few times at most.
fn own(rest: &[u8]) -> BytesMut {
    let free = if rest.len() < LONG { 0 } else { rest.len() };
    let mut own = BytesMut::with_capacity(rest.len() + free);
    own.extend_from_slice(rest);
    own
}

/// Whether there is room behind it: what was split off a block has none.
fn has_own_room(rest: &BytesMut) -> bool {
    rest.capacity() > rest.len()
}

/// Items that are no frames and are worked off at once: with frames between them they cost
/// no more than a batch.
const CONTROLS: usize = 4 * BATCH_FRAMES;

/// What comes behind a batch.
pub(super) enum Next<T> {
    /// Another, of what was read already.
    Frames,
    /// More has to be read.
    Read,
    /// Nothing.
    End(T),
}

/// Takes a batch of frames out of what was read, joined to super-frames where they may be.
/// `control` gets what comes beside them, so many at most; what it gives is the end.
pub(super) fn take<F: Framing, T>(
    framing: &mut F,
    coalescer: &mut Coalescer,
    read: &mut BytesMut,
    mut control: impl FnMut(F::Control) -> Option<T>,
) -> (Vec<Frame>, Next<Result<T, F::Error>>) {
    let (mut joined, mut gathered, mut at, mut controls) = (Vec::new(), None, 0, 0);
    let next = loop {
        match framing.decode(read, &mut at) {
            Ok(Some(Item::Frame(place, offload))) => {
                joined.extend(coalescer.push(read, place, offload));
                if joined.len() + 1 == BATCH_FRAMES {
                    break Next::Frames;
                }
            }
            Ok(Some(Item::Gathered(data, offload))) => {
                gathered = Some(Frame::with_offload(data, offload));
                break Next::Frames;
            }
            Ok(Some(Item::Control(item))) => {
                if let Some(end) = control(item) {
                    break Next::End(Ok(end));
                }
                controls += 1;
                if controls == CONTROLS {
                    break Next::Frames;
                }
            }
            Ok(None) => break Next::Read,
            Err(error) => break Next::End(Err(error)),
        }
    };
    joined.extend(coalescer.finish(read));
    let block = read.split_to(at).freeze();
    let frames = joined
        .iter()
        .map(|joined| Frame::with_offload(block.slice(joined.place.clone()), joined.offload));
    (frames.chain(gathered).collect(), next)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[actix::test]
    async fn what_is_read_stands_behind_what_was_left() {
        let (mut near, mut far) = duplex(100);
        let mut rest = BytesMut::from(&b"left "[..]);
        far.write_all(b"read").await.expect("room");
        assert_eq!(read(&mut near, &mut rest).await.expect("a pipe"), 4);
        assert_eq!(&rest[..], b"left read");
        drop(far);
        assert_eq!(read(&mut near, &mut rest).await.expect("a pipe"), 0);
        assert_eq!(&rest[..], b"left read");
    }

    #[actix::test]
    async fn nothing_is_lost_when_a_read_is_abandoned() {
        let (mut near, mut far) = duplex(100);
        let mut rest = BytesMut::from(&b"left "[..]);
        let mut cx = task::Context::from_waker(task::Waker::noop());
        assert!(pin!(read(&mut near, &mut rest)).poll(&mut cx).is_pending());
        assert_eq!(&rest[..], b"left ");
        far.write_all(b"read").await.expect("room");
        assert_eq!(read(&mut near, &mut rest).await.expect("a pipe"), 4);
        assert_eq!(&rest[..], b"left read");
    }

    #[actix::test]
    async fn tunnels_that_wait_hold_no_block() {
        let block = || BLOCKS.with_borrow_mut(|blocks| blocks.with_room(BATCH_OCTETS).as_ptr());
        let first = block();
        let mut tunnels: Vec<_> = (0..10).map(|_| (duplex(100_000), BytesMut::new())).collect();
        let mut cx = task::Context::from_waker(task::Waker::noop());
        for ((near, far), rest) in &mut tunnels {
            far.write_all(&[7; 50_000]).await.expect("room");
            assert_eq!(read(near, rest).await.expect("a pipe"), 50_000);
            drop(rest.split_to(49_000));
            assert!(pin!(read(near, rest)).poll(&mut cx).is_pending());
            assert!(rest.len() == 1000 && rest.capacity() < 2000, "{}", rest.capacity());
        }
        // All of them read into one block, which is whole again.
        assert_eq!(block(), first);
    }

    #[actix::test]
    async fn part_of_a_long_message_moves_seldom_however_small_its_pieces_are() {
        let (mut near, mut far) = duplex(100_000);
        let mut rest = BytesMut::new();
        let mut cx = task::Context::from_waker(task::Waker::noop());
        let mut places = Vec::new();
        for number in 0..60_u8 {
            far.write_all(&[number; 1000]).await.expect("room");
            assert_eq!(read(&mut near, &mut rest).await.expect("a pipe"), 1000);
            assert!(pin!(read(&mut near, &mut rest)).poll(&mut cx).is_pending());
            places.push(rest.as_ptr());
        }
        assert!(rest.iter().map(|&octet| usize::from(octet)).eq((0..60_000).map(|at| at / 1000)));
        // Each of the first few pieces, and then each time that twice as much is there.
        places.dedup();
        assert!(places.len() <= 5 + 5, "{} places", places.len());
        assert!(rest.capacity() <= 2 * rest.len(), "{}", rest.capacity());
    }

    #[actix::test]
    async fn what_was_read_last_stays_where_it_is() {
        let (mut near, mut far) = duplex(100_000);
        let mut rest = BytesMut::new();
        for _ in 0..2 {
            far.write_all(&[7; 20_000]).await.expect("room");
            assert_eq!(read(&mut near, &mut rest).await.expect("a pipe"), 20_000);
            drop(rest.split_to(10_000));
            let place = rest.as_ptr();
            far.write_all(&[8; 1000]).await.expect("room");
            assert_eq!(read(&mut near, &mut rest).await.expect("a pipe"), 1000);
            assert_eq!((rest.as_ptr(), rest.len()), (place, 11_000));
            assert!(rest[..10_000] == [7; 10_000] && rest[10_000..] == [8; 1000]);
            rest = BytesMut::new();
        }
    }
}
