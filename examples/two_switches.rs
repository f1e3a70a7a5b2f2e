//! Two switches in one program, joined by a cable: a host on each, an exchange
//! between them, and what the switches have learned from it.
//!
//! ```sh
//! cargo run --example two_switches
//! ```

use std::error::Error;

use actix::{Actor, Addr};
use bytes::Bytes;
use etherws_actors::{
    control::Control,
    fdb::FdbFilter,
    frame::{Frame, MacAddr},
    kinds::{Memory, memory::MemoryHandle},
    settings::PortSettings,
    supervisor,
    switch::{Switch, SwitchOptions},
};
use slog::{Discard, Logger, o};

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

/// Adds a port in memory and gives the other end of it.
async fn plug(switch: &Addr<Switch>, name: &str) -> Result<MemoryHandle, Box<dyn Error>> {
    let (port, handle) = Memory::pair(name, 64);
    supervisor::add(switch, port, &Logger::root(Discard, o!())).await?;
    Ok(handle)
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

async fn print_fdb(name: &str, switch: &Addr<Switch>) -> Result<(), Box<dyn Error>> {
    let control = Control::new(switch.clone(), Logger::root(Discard, o!()));
    for known in control.list_fdb(FdbFilter::default()).await? {
        println!("{name}: {} is behind port {}", known.mac, known.entry.port);
    }
    Ok(())
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The loop guard's frames would reach the ports in memory as well.
    let options = SwitchOptions {
        ports: PortSettings { loop_guard: Some(false), ..PortSettings::default() },
        ..SwitchOptions::default()
    };
    let left = Switch::new(options.clone()).start();
    let right = Switch::new(options).start();
    actix::spawn(cable(plug(&left, "trunk").await?, plug(&right, "trunk").await?));

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
