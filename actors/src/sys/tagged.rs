//! Frames that an interface takes and a write to a packet socket does not: tags come on top
//! of the MTU (IEEE 802.3, 3.2.7), but of one customer tag at most when a frame is written.
//! A bridge carries them, and so does the ring of a packet socket whose frames have a vnet
//! header: there the kernel leaves lengths to the device.
//!
//! Beside `packet`, which opens one with the first such frame. The kernel has copied a
//! frame when a call returns.
#![allow(unsafe_code)]

use std::{
    cell::Cell,
    io,
    os::fd::{AsRawFd, OwnedFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    libc::{self, c_int},
    sys::socket::{MsgFlags, send},
};

use super::{
    packet::{bind, set, socket},
    vnet::Prefix,
};
use crate::core::frame::Frame;

/// `TPACKET_V2`: headers that are the same on all machines.
const VERSION: c_int = 1;

/// Slots of a ring. A device that holds frames back has so many of them.
const SLOTS: u32 = 8;

/// Where in a slot the vnet header stands, and the frame behind it.
const FRAME_AT: usize = size_of::<libc::tpacket2_hdr>();

/// Lengths of slots are multiples of it.
const PAGE: usize = 4096;

/// A packet socket that only sends, by a ring.
#[derive(Debug)]
pub(super) struct Ring {
    fd: OwnedFd,
    memory: NonNull<u8>,
    slot_len: usize,
    next: Cell<usize>,
}

impl Ring {
    /// For interface `index`, and frames of up to `len` octets with their header.
    pub(super) fn open(index: c_int, len: usize) -> io::Result<Self> {
        let fd = socket()?;
        set(&fd, libc::SOL_PACKET, libc::PACKET_VERSION, &VERSION)?;
        set(&fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1)?;
        // Slots of whole pages, each a block of its own.
        let slot_len = (FRAME_AT + len).next_multiple_of(PAGE);
        let size = u32::try_from(slot_len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let request = libc::tpacket_req {
            tp_block_size: size,
            tp_block_nr: SLOTS,
            tp_frame_size: size,
            tp_frame_nr: SLOTS,
        };
        set(&fd, libc::SOL_PACKET, libc::PACKET_TX_RING, &request)?;
        // It is bound to no protocol, and receives nothing.
        bind(&fd, index, 0)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of the ring, as long as the ring is, where the kernel likes.
        let memory = unsafe {
            let raw = fd.as_raw_fd();
            libc::mmap(ptr::null_mut(), SLOTS as usize * slot_len, access, libc::MAP_SHARED, raw, 0)
        };
        let mapped = NonNull::new(memory.cast()).filter(|_| memory != libc::MAP_FAILED);
        let memory = mapped.ok_or_else(io::Error::last_os_error)?;
        Ok(Self { fd, memory, slot_len, next: Cell::new(0) })
    }

    /// Whether a frame of `len` octets with its header has room in a slot.
    pub(super) const fn fits(&self, len: usize) -> bool {
        FRAME_AT + len <= self.slot_len
    }

    /// Sends one frame, with the work that is left on it. ENOBUFS: the device holds all
    /// slots.
    pub(super) fn send(&self, frame: &Frame) -> io::Result<()> {
        let (mut prefix, rest) = Prefix::of(frame);
        let len = prefix.len() + rest.len();
        let told = u32::try_from(len).ok().filter(|_| self.fits(len));
        let told = told.ok_or_else(|| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
        // All of it: the kernel copies that much, and refers to the slot for what is left.
        prefix.set_header_len(frame.len());
        let at = self.next.get();
        // SAFETY: `at` is below SLOTS, so the slot is part of the mapping, which lasts as long
        // as `self`. A slot begins with a tpacket2_hdr, at a page's begin, and that with the
        // status, which the kernel changes as well. While it says AVAILABLE the slot is ours,
        // and `len` octets have room behind the header, as was checked.
        let status = unsafe {
            let slot = self.memory.as_ptr().add(at * self.slot_len);
            let status = AtomicU32::from_ptr(slot.cast());
            if status.load(Ordering::Acquire) != libc::TP_STATUS_AVAILABLE {
                return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
            }
            (*slot.cast::<libc::tpacket2_hdr>()).tp_len = told;
            let to = slot.add(FRAME_AT);
            ptr::copy_nonoverlapping(prefix.as_ptr(), to, prefix.len());
            ptr::copy_nonoverlapping(rest.as_ptr(), to.add(prefix.len()), rest.len());
            status
        };
        status.store(libc::TP_STATUS_SEND_REQUEST, Ordering::Release);
        match send(self.fd.as_raw_fd(), &[], MsgFlags::MSG_DONTWAIT) {
            Ok(_) => {
                self.next.set((at + 1) % SLOTS as usize);
                Ok(())
            }
            Err(errno) => {
                // The kernel stays at this slot.
                status.store(libc::TP_STATUS_AVAILABLE, Ordering::Release);
                Err(errno.into())
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping of `open`, to which nothing refers any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), SLOTS as usize * self.slot_len) };
    }
}
