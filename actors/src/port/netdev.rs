//! The port kind `netdev`: a network interface that exists already.
//!
//! The network behind the interface is the peer; what this host itself sends by it
//! is not seen. The interface is made promiscuous, never brought up or down. Its
//! super-frames are cut before they enter the Switch.

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
use crate::{
    counters::{Counters, Discard},
    frame::{Frame, Gso, MAX_FRAME_LEN},
    sys::packet::PacketSocket,
    tunnel::segment::{BadOffload, finish_checksum, segment},
};

/// A network interface to be joined.
#[derive(Debug)]
pub struct Netdev {
    name: String,
}

impl Netdev {
    /// The interface called `name`, which may be down.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl Medium for Netdev {
    type Link = NetdevLink;

    fn kind(&self) -> &'static str {
        "netdev"
    }

    fn target(&self) -> String {
        self.name.clone()
    }

    fn interface(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn open(&mut self) -> Result<NetdevLink, PortError> {
        Ok(NetdevLink(PacketSocket::open(&self.name)?))
    }
}

/// The interface is no longer the one that was opened.
#[derive(Debug, thiserror::Error)]
#[error("interface {0} was deleted, renamed or moved away; the port waits for one of that name")]
struct Gone(String);

/// A network interface that is joined.
#[derive(Debug)]
pub struct NetdevLink(PacketSocket);

impl Link for NetdevLink {
    async fn run(self, io: PortIo) -> Result<(), PortError> {
        carry(self, io).await
    }
}

impl AsRawFd for NetdevLink {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Device for NetdevLink {
    fn recv(&self, block: &mut BytesMut, batch: &mut Vec<Frame>) -> Result<(), Fault> {
        let lost = |BadOffload| Fault::Frame(Discard::OnError);
        let (mut data, offload) = self.0.recv(block).map_err(|error| self.fault(error))?;
        if offload.gso != Gso::None {
            let frame = Frame::with_offload(data.freeze(), offload);
            return segment(frame, |frame| batch.push(frame)).map_err(lost);
        }
        // Here, where the octets are still ours alone, it takes no copy.
        if let Some(csum) = offload.csum {
            finish_checksum(&mut data, csum).map_err(lost)?;
        }
        if data.len() > MAX_FRAME_LEN {
            return Err(Fault::Frame(Discard::OnError));
        }
        batch.push(Frame::new(data.freeze()));
        Ok(())
    }

    fn send(&self, frame: &[u8]) -> Result<(), Fault> {
        self.0.send(frame).map_err(|error| self.fault(error))
    }

    fn check(&self, counters: &Counters) -> Result<(), PortError> {
        counters.discarded(Discard::LackOfBuffers, self.0.drops().into());
        if self.0.is_present() { Ok(()) } else { Err(Box::new(Gone(self.0.name().to_owned()))) }
    }
}

impl NetdevLink {
    fn fault(&self, error: io::Error) -> Fault {
        if error.kind() == io::ErrorKind::InvalidData {
            return Fault::Frame(Discard::OnError);
        }
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Fault::WouldBlock,
            Some(libc::ENOBUFS | libc::ENOMEM) => Fault::Frame(Discard::LackOfBuffers),
            // Too long for the interface's MTU, too short, or of a kind that the
            // kernel cannot describe.
            Some(libc::EMSGSIZE | libc::EINVAL | libc::EINTR) => Fault::Frame(Discard::OnError),
            Some(libc::ENETDOWN) if self.0.is_present() => Fault::Down,
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => {
                Fault::Lost(Box::new(Gone(self.0.name().to_owned())))
            }
            _ => Fault::Lost(io_error(format!("lost interface {}", self.0.name()), error)),
        }
    }
}
