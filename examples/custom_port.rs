//! A kind of port written outside the crate: frames over UDP, one a datagram. It is
//! registered by its name, and then control adds it like any other.
//!
//! ```sh
//! cargo run --example custom_port
//! ```

use std::{error::Error, io};

use bytes::{Bytes, BytesMut};
use etherws_actors::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use tokio::net::UdpSocket;

// The kind: its options, its medium, and what carries frames.

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct UdpOptions {
    /// Address and port of the other end.
    target: String,
    /// Our own.
    local: String,
}

struct Udp(UdpOptions);

impl Kind for Udp {
    const NAME: &'static str = "udp";
    type Options = UdpOptions;

    fn target(options: &UdpOptions) -> &str {
        &options.target
    }

    fn medium(options: UdpOptions, _: &Context) -> Result<Self, PortError> {
        Ok(Self(options))
    }
}

impl Medium for Udp {
    type Link = Socket;

    fn kind(&self) -> &'static str {
        Self::NAME
    }

    fn target(&self) -> String {
        self.0.target.clone()
    }

    async fn open(&mut self) -> Result<Socket, PortError> {
        let socket = UdpSocket::bind(&self.0.local).await?;
        socket.connect(&self.0.target).await?;
        Ok(Socket(socket))
    }
}

struct Socket(UdpSocket);

impl FrameIo for Socket {
    async fn recv(&self) -> io::Result<Frame> {
        let mut buffer = BytesMut::with_capacity(MAX_FRAME_LEN);
        loop {
            match self.0.recv_buf(&mut buffer).await {
                // What was sent before has found nobody: that is no end of this port.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                received => return received.map(|_| Frame::new(buffer.freeze())),
            }
        }
    }

    async fn send(&self, frame: &Frame) -> io::Result<()> {
        self.0.send(frame.data()).await.map(drop)
    }
}

// Two switches with such a port each, and a host on either.

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    kinds::register::<Udp>();
    // Two free addresses; the sockets that found them make room for the ports.
    let (a, b) = {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        (a.local_addr()?.to_string(), b.local_addr()?.to_string())
    };
    let mut switches = Vec::new();
    let mut hosts = Vec::new();
    for (local, target) in [(&a, &b), (&b, &a)] {
        let switch = SwitchHandle::start(SwitchOptions::default());
        let options = Map::from_iter([
            ("local".to_owned(), json!(local)),
            ("target".to_owned(), json!(target)),
        ]);
        let port = PortSpec::from_options("udp", options)?;
        let port = switch.control().add_port(port, PortSettings::default()).await?;
        println!("port {}: {} {}", port.port, port.kind, port.state.name());
        let (port, host) = Memory::pair("host", 64);
        switch.add(port.leaf()).await?;
        hosts.push(host);
        switches.push(switch);
    }

    let mut data = vec![0xff; 6];
    data.extend([2, 0, 0, 0, 0, 1]);
    data.extend([0x88, 0xb5]);
    data.extend(b"over UDP");
    hosts[0].send(Frame::new(Bytes::from(data))).await?;
    let received = hosts[1].recv().await.ok_or("the host's port is gone")?;
    println!("received: {}", String::from_utf8_lossy(&received.data()[14..]));
    for switch in switches {
        switch.shutdown().await;
    }
    Ok(())
}
