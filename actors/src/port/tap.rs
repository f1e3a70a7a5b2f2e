//! The port kind `tap`: a new network interface of this host.
//!
//! The host's network stack is the peer. The interface lives as long as the link:
//! a restarted port makes it anew, under the name that it had.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
};

use bytes::BytesMut;
use nix::libc;

use super::{
    Link, Medium, PortError, PortIo,
    device::{Device, Fault, carry},
    io_error,
};
use crate::{counters::Discard, frame::Frame, sys};

/// A TAP device to be made.
#[derive(Debug)]
pub struct Tap {
    name: String,
}

impl Tap {
    /// A device called `name`: 1 to 15 ASCII characters. One `%d` in it becomes
    /// the lowest free number when it is opened, and stays that number.
    ///
    /// [`open`](Medium::open) says what is wrong with a name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl Medium for Tap {
    type Link = TapLink;

    fn kind(&self) -> &'static str {
        "tap"
    }

    fn target(&self) -> String {
        self.name.clone()
    }

    fn interface(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn open(&mut self) -> Result<TapLink, PortError> {
        let tap = sys::tap::Tap::open(&self.name)?;
        tap.name().clone_into(&mut self.name);
        Ok(TapLink(tap))
    }
}

/// A TAP device that is up.
#[derive(Debug)]
pub struct TapLink(sys::tap::Tap);

impl Link for TapLink {
    async fn run(self, io: PortIo) -> Result<(), PortError> {
        carry(self, io).await
    }
}

impl AsRawFd for TapLink {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Device for TapLink {
    fn recv(&self, block: &mut BytesMut, batch: &mut Vec<Frame>) -> Result<(), Fault> {
        let data = self.0.recv(block).map_err(|error| self.fault(error))?;
        batch.push(Frame::new(data.freeze()));
        Ok(())
    }

    fn send(&self, frame: &[u8]) -> Result<(), Fault> {
        self.0.send(frame).map_err(|error| self.fault(error))
    }
}

impl TapLink {
    fn fault(&self, error: io::Error) -> Fault {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Fault::WouldBlock,
            Some(libc::ENOBUFS | libc::ENOMEM) => Fault::Frame(Discard::LackOfBuffers),
            // Too short, too long, or the interface is down (EIO).
            Some(libc::EINVAL | libc::EMSGSIZE | libc::EIO | libc::EINTR) => {
                Fault::Frame(Discard::OnError)
            }
            // EBADFD above all: the interface was deleted.
            _ => Fault::Lost(io_error(format!("lost TAP device {}", self.0.name()), error)),
        }
    }
}
