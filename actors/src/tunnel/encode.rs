//! The way of a batch of frames onto a stream: where its headers, copies and masks
//! are kept, and how far it has been written.
//!
//! Stands below the tunnel's link. A server's payloads go out from where they are;
//! a client's are copied and masked in one pass, since others may hold them too.
//! Every write may be abandoned and gone on with later: the wire never sees half a
//! message followed by something else.

use std::io::{self, IoSlice};

use rustls::crypto::{SecureRandom, aws_lc_rs};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::codec::{Header, MAX_HEADER_LEN, Opcode, Role, mask_copy};
use crate::{
    frame::Frame,
    message::{BATCH_FRAMES, BATCH_OCTETS},
};

/// Octets of randomness that are drawn at once: a system's generator costs
/// microseconds a call, a thousandth of that a key.
const RANDOM_OCTETS: usize = 4096;

/// Masking keys that a peer's proxy cannot foresee (RFC 6455, 10.3).
#[derive(Debug)]
struct Masks {
    random: &'static dyn SecureRandom,
    pool: Vec<[u8; 4]>,
}

impl Masks {
    fn new() -> Self {
        Self { random: aws_lc_rs::default_provider().secure_random, pool: Vec::new() }
    }

    fn next(&mut self) -> io::Result<[u8; 4]> {
        if let Some(mask) = self.pool.pop() {
            return Ok(mask);
        }
        self.pool.resize(RANDOM_OCTETS / 4, [0; 4]);
        let filled = self.random.fill(self.pool.as_flattened_mut());
        if filled.is_err() {
            self.pool.clear();
        }
        self.pool.pop().ok_or_else(|| io::Error::other("the system gives no random numbers"))
    }
}

/// Turns frames and control messages into octets, and writes them.
#[derive(Debug)]
pub(super) struct Encoder {
    /// A client's.
    masks: Option<Masks>,
    /// Encoded messages; those before `written` are on the wire. Its length only
    /// grows, so that copying a payload in needs no zeroing first.
    copies: Vec<u8>,
    end: usize,
    written: usize,
    /// Headers of the batch, for payloads that are not copied.
    headers: Vec<Header>,
    /// Messages of the batch that are copied, or written.
    done: usize,
    /// Octets of message `done` that are written.
    part: usize,
}

impl Encoder {
    pub(super) fn new(role: Role) -> Self {
        Self {
            masks: (role == Role::Client).then(Masks::new),
            copies: Vec::new(),
            end: 0,
            written: 0,
            headers: Vec::with_capacity(BATCH_FRAMES),
            done: 0,
            part: 0,
        }
    }

    /// Another batch is to be written.
    pub(super) fn begin(&mut self) {
        self.headers.clear();
        self.done = 0;
        self.part = 0;
    }

    /// Puts a control message in line. Only between batches.
    pub(super) fn control(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.copy(opcode, payload)
    }

    fn copy(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        let mask = self.masks.as_mut().map(Masks::next).transpose()?;
        let header = Header::new(opcode, payload.len(), mask);
        let start = self.end + header.as_slice().len();
        let end = start + payload.len();
        if self.copies.len() < end {
            self.copies.resize(end, 0);
        }
        self.copies[self.end..start].copy_from_slice(header.as_slice());
        match mask {
            Some(mask) => mask_copy(&mut self.copies[start..end], payload, mask),
            None => self.copies[start..end].copy_from_slice(payload),
        }
        self.end = end;
        Ok(())
    }

    /// Writes all copies.
    async fn write_copies(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while self.written < self.end {
            match stream.write(&self.copies[self.written..self.end]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                octets => self.written += octets,
            }
        }
        (self.written, self.end) = (0, 0);
        // One message may be longer than a batch; it is not to stay for ever.
        if self.copies.len() > COPIES_KEPT {
            self.copies = Vec::new();
        }
        Ok(())
    }

    /// Writes what is in line and then the rest of `batch`, copied, `per_write`
    /// messages at a time.
    pub(super) async fn write_copied(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        batch: &[Frame],
        per_write: usize,
    ) -> io::Result<()> {
        loop {
            self.write_copies(stream).await?;
            if self.done == batch.len() {
                return Ok(());
            }
            for frame in batch[self.done..].iter().take(per_write) {
                self.copy(Opcode::Binary, frame.data())?;
                self.done += 1;
            }
        }
    }

    /// Writes what is in line and then the rest of `batch` from where it is, as
    /// many messages to a write as there are.
    pub(super) async fn write_vectored(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        batch: &[Frame],
    ) -> io::Result<()> {
        self.write_copies(stream).await?;
        for frame in &batch[self.headers.len()..] {
            self.headers.push(Header::new(Opcode::Binary, frame.len(), None));
        }
        while self.done < batch.len() {
            let mut slices = [IoSlice::new(&[]); 2 * BATCH_FRAMES];
            let mut used = 0;
            let mut skip = self.part;
            for (header, frame) in self.headers.iter().zip(batch).skip(self.done).take(BATCH_FRAMES)
            {
                for part in [header.as_slice(), frame.data()] {
                    if skip < part.len() {
                        slices[used] = IoSlice::new(&part[skip..]);
                        used += 1;
                    }
                    skip = skip.saturating_sub(part.len());
                }
            }
            match stream.write_vectored(&slices[..used]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                octets => self.part += octets,
            }
            while let (Some(header), Some(frame)) =
                (self.headers.get(self.done), batch.get(self.done))
                && self.part >= header.as_slice().len() + frame.len()
            {
                self.part -= header.as_slice().len() + frame.len();
                self.done += 1;
            }
        }
        Ok(())
    }
}

/// Octets of copies whose memory is kept for the next batch.
const COPIES_KEPT: usize = BATCH_OCTETS + BATCH_FRAMES * MAX_HEADER_LEN;
