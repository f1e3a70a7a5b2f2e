//! A kind of port written outside the crate: frames over UDP, one a datagram. All
//! that a kind needs is a `Medium` that opens and a `Link` that carries; it gets
//! restarts, counters and a bounded queue from the switch.
//!
//! ```sh
//! cargo run --example custom_port
//! ```

use std::{error::Error, net::SocketAddr};

use actix::Actor;
use bytes::{Bytes, BytesMut};
use etherws_actors::{
    batch::BATCH_FRAMES,
    counters::Discard,
    frame::{Frame, MAX_FRAME_LEN},
    kinds::Memory,
    port::{Link, Medium, PortError, PortIo},
    settings::PortSettings,
    supervisor,
    switch::{Switch, SwitchOptions},
};
use slog::{Logger, o};
use tokio::net::UdpSocket;

/// A port over UDP between two fixed addresses.
struct Udp {
    local: SocketAddr,
    peer: SocketAddr,
}

impl Medium for Udp {
    type Link = UdpLink;

    fn kind(&self) -> &'static str {
        "udp"
    }

    fn target(&self) -> String {
        self.peer.to_string()
    }

    async fn open(&mut self) -> Result<UdpLink, PortError> {
        let socket = UdpSocket::bind(self.local).await?;
        socket.connect(self.peer).await?;
        Ok(UdpLink(socket))
    }
}

struct UdpLink(UdpSocket);

impl Link for UdpLink {
    async fn run(self, io: PortIo) -> Result<(), PortError> {
        let Self(socket) = self;
        let PortIo { mut ingress, mut egress, mut stop, .. } = io;
        let receive = async {
            let mut buffer = BytesMut::new();
            loop {
                socket.readable().await?;
                let mut batch = Vec::with_capacity(BATCH_FRAMES);
                while batch.len() < BATCH_FRAMES {
                    buffer.reserve(MAX_FRAME_LEN);
                    match socket.try_recv_buf(&mut buffer) {
                        Ok(_) => batch.push(Frame::new(buffer.split().freeze())),
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                        Err(error) => return Err(PortError::from(error)),
                    }
                }
                ingress.send(batch).await?;
            }
        };
        let transmit = async {
            let mut batch = Vec::with_capacity(BATCH_FRAMES);
            loop {
                egress.recv(&mut batch).await;
                for frame in batch.drain(..) {
                    // Too long for a datagram, or refused: the next may pass.
                    if socket.send(frame.data()).await.is_err() {
                        egress.refused(&frame, Discard::OnError);
                    }
                }
            }
        };
        tokio::select! {
            end = receive => end,
            () = transmit => Ok(()),
            _ = stop.wait() => Ok(()),
        }
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let log = Logger::root(slog::Discard, o!());
    // Two free addresses; the sockets that found them make room for the ports.
    let (a, b) = {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        (a.local_addr()?, b.local_addr()?)
    };
    let mut hosts = Vec::new();
    for (local, peer) in [(a, b), (b, a)] {
        let switch = Switch::new(SwitchOptions {
            // Its frames would reach the ports in memory as well.
            ports: PortSettings { loop_guard: Some(false), ..PortSettings::default() },
            ..SwitchOptions::default()
        })
        .start();
        supervisor::add(&switch, Udp { local, peer }, &log).await?;
        let (port, host) = Memory::pair("host", 64);
        supervisor::add(&switch, port, &log).await?;
        hosts.push(host);
    }

    let mut data = vec![0xff; 6];
    data.extend([2, 0, 0, 0, 0, 1]);
    data.extend([0x88, 0xb5]);
    data.extend(b"over UDP");
    hosts[0].send(Frame::new(Bytes::from(data))).await?;
    let received = hosts[1].recv().await.ok_or("the host's port is gone")?;
    println!("received: {}", String::from_utf8_lossy(&received.data()[14..]));
    Ok(())
}
