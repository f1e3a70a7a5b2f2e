//! Two switches in one program, joined by a cable: a host on each, an exchange
//! between them, and what the switches have learned from it.
//!
//! ```sh
//! cargo run --example two_switches
//! ```

use std::error::Error;

use bytes::Bytes;
use etherws_actors::{fdb::FdbFilter, kinds::memory::MemoryHandle, prelude::*};

/// EtherType for experiments (IEEE 802, 9.2.3).
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

fn frame(dst: MacAddr, src: MacAddr, text: &str) -> Frame {
    let mut data = [dst.0, src.0].concat();
    data.extend(EXPERIMENT);
    data.extend(text.as_bytes());
    Frame::new(Bytes::from(data))
}

fn text(frame: &Frame) -> String {
    String::from_utf8_lossy(&frame.data()[14..]).into_owned()
}

/// Adds a port for a host, and gives the host's end of it.
async fn plug(switch: &SwitchHandle, name: &str) -> Result<MemoryHandle, Box<dyn Error>> {
    let (port, host) = Memory::pair(name, 64);
    switch.add(port.leaf()).await?;
    Ok(host)
}

/// Joins two switches: behind these ports is more than a host.
async fn join(left: &SwitchHandle, right: &SwitchHandle) -> Result<(), Box<dyn Error>> {
    let (port, left_end) = Memory::pair("trunk", 64);
    left.add(port).await?;
    let (port, right_end) = Memory::pair("trunk", 64);
    right.add(port).await?;
    actix::spawn(cable(left_end, right_end));
    Ok(())
}

/// Carries frames between two ports until one of them is deleted.
async fn cable(mut left: MemoryHandle, mut right: MemoryHandle) {
    loop {
        let carried = tokio::select! {
            Some(frame) = left.recv() => right.send(frame).await,
            Some(frame) = right.recv() => left.send(frame).await,
            else => return,
        };
        if carried.is_err() {
            return;
        }
    }
}

async fn print_fdb(name: &str, switch: &SwitchHandle) -> Result<(), Box<dyn Error>> {
    for known in switch.control().list_fdb(FdbFilter::default()).await? {
        println!("{name}: {} is behind port {}", known.mac, known.entry.port);
    }
    Ok(())
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let left = SwitchHandle::start(SwitchOptions::default());
    let right = SwitchHandle::start(SwitchOptions::default());
    join(&left, &right).await?;

    let mut alice = plug(&left, "alice").await?;
    let mut bob = plug(&right, "bob").await?;
    let (alice_mac, bob_mac) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));

    alice.send(frame(MacAddr::BROADCAST, alice_mac, "Who is there?")).await?;
    let asked = bob.recv().await.ok_or("bob's port is gone")?;
    println!("bob hears: {}", text(&asked));
    bob.send(frame(alice_mac, bob_mac, "Bob is.")).await?;
    let answer = alice.recv().await.ok_or("alice's port is gone")?;
    println!("alice hears: {}", text(&answer));

    print_fdb("left", &left).await?;
    print_fdb("right", &right).await
}
