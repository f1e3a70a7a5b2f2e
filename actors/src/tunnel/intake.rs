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
        if result.is_pending() && !mem::replace(&mut has_waited, true) {
            // Part of a message, as a slice, keeps all of its block.
            *rest = BytesMut::from(&rest[..]);
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
    // Streams do not read from each other: nobody else has it.
    BLOCKS.with_borrow_mut(|blocks| {
        let block = blocks.with_room(rest.len() + READ_ROOM);
        block.extend_from_slice(rest);
        // Over TLS one read gives one record.
        let result = loop {
            let result = pin!(stream.read_buf(block)).poll(cx);
            let more = matches!(result, Poll::Ready(Ok(1..))) && block.len() < block.capacity();
            if !more {
                break result;
            }
        };
        let octets = block.len() - rest.len();
        let result = match result {
            // Comes again with the next read.
            Poll::Pending | Poll::Ready(Ok(0)) if octets > 0 => Poll::Ready(Ok(octets)),
            result => result.map_ok(|_| octets),
        };
        if octets > 0 {
            *rest = block.split();
        }
        block.clear();
        result
    })
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
}
