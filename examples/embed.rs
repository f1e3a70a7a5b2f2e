//! A switch inside a program that has its own actix System: two ports in memory,
//! and a client port that joins it to a switch elsewhere.
//!
//! ```sh
//! etherws sw --foreground --port 8080 &
//! cargo run --example embed -- ws://127.0.0.1:8080/
//! ```

use std::{error::Error, time::Duration};

use bytes::Bytes;
use etherws_actors::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: embed ws://HOST[:PORT]/[PATH]")?;
    // Whoever embeds the switch brings the System, and may run other actors in it.
    actix::System::new().block_on(embed(url))
}

async fn embed(url: String) -> Result<(), Box<dyn Error>> {
    let options = SwitchOptions { aging_time: Duration::from_secs(60), ..SwitchOptions::default() };
    let switch = SwitchHandle::start(options);
    // Nothing but this program is behind them.
    let (port, inside) = Memory::pair("inside", 64);
    switch.add(port.leaf()).await?;
    let (port, mut monitor) = Memory::pair("monitor", 64);
    switch.add(port.leaf()).await?;
    let client = PortSpec::new::<Client>(ClientOptions::new(url));
    switch.control().add_port(client, PortSettings::default()).await?;

    // A broadcast from one port reaches the other two.
    let mut hello = vec![0xff; 6];
    hello.extend([2, 0, 0, 0, 0, 1]);
    hello.extend([0x88, 0xb5]);
    hello.extend(b"hello from an embedded switch");
    inside.send(Frame::new(Bytes::from(hello))).await?;
    let seen = monitor.recv().await.ok_or("the monitor's port is gone")?;
    println!("the monitor sees {} octets", seen.len());

    // A port counts a frame when its medium has taken it.
    while sent(&switch, "client").await? == 0 {
        actix::clock::sleep(Duration::from_millis(10)).await;
    }
    for port in switch.control().list_ports().await? {
        let (rx, tx) = (port.counters.rx_frames(), port.counters.tx_frames());
        let (number, kind, state, target) = (port.port, port.kind, port.state.name(), port.target);
        println!("port {number} {kind} {state} {target}: rx {rx}, tx {tx}");
    }
    switch.shutdown().await;
    Ok(())
}

async fn sent(switch: &SwitchHandle, kind: &str) -> Result<u64, Box<dyn Error>> {
    let ports = switch.control().list_ports().await?;
    Ok(ports.iter().filter(|port| port.kind == kind).map(|port| port.counters.tx_frames()).sum())
}
