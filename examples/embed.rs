//! A switch inside a program that has its own actix System: two ports in memory,
//! and a client port that joins it to a switch elsewhere.
//!
//! ```sh
//! etherws sw --foreground --port 8080 &
//! cargo run --example embed -- ws://127.0.0.1:8080/
//! ```

use std::{error::Error, time::Duration};

use actix::Actor;
use bytes::Bytes;
use etherws_actors::{
    control::{Control, NewPort},
    frame::Frame,
    kinds::{ClientOptions, Memory},
    settings::PortSettings,
    supervisor,
    switch::{Switch, SwitchOptions},
};
use slog::{Discard, Logger, o};

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: embed ws://HOST[:PORT]/[PATH]")?;
    // Whoever embeds the switch brings the System, and may run other actors in it.
    actix::System::new().block_on(embed(url))
}

async fn embed(url: String) -> Result<(), Box<dyn Error>> {
    let log = Logger::root(Discard, o!());
    let switch = Switch::new(SwitchOptions {
        aging_time: Duration::from_secs(60),
        // Its frames would reach the ports in memory as well.
        ports: PortSettings { loop_guard: Some(false), ..PortSettings::default() },
        log: log.clone(),
        ..SwitchOptions::default()
    })
    .start();
    let control = Control::new(switch.clone(), log.clone());

    let (port, inside) = Memory::pair("inside", 64);
    supervisor::add(&switch, port, &log).await?;
    let (port, mut monitor) = Memory::pair("monitor", 64);
    supervisor::add(&switch, port, &log).await?;
    let client = NewPort::Client(ClientOptions { url, ..ClientOptions::default() });
    control.add_port(client, PortSettings::default()).await?;

    // A broadcast from one port reaches the other two.
    let mut hello = vec![0xff; 6];
    hello.extend([2, 0, 0, 0, 0, 1]);
    hello.extend([0x88, 0xb5]);
    hello.extend(b"hello from an embedded switch");
    inside.send(Frame::new(Bytes::from(hello))).await?;
    let seen = monitor.recv().await.ok_or("the monitor's port is gone")?;
    println!("the monitor sees {} octets", seen.len());

    // A port counts a frame when its medium has taken it.
    while sent(&control, "client").await? == 0 {
        actix::clock::sleep(Duration::from_millis(10)).await;
    }
    for port in control.list_ports().await? {
        let (rx, tx) = (port.counters.rx_frames(), port.counters.tx_frames());
        let state = port.state.name();
        println!("port {} {} {state} {}: rx {rx}, tx {tx}", port.port, port.kind, port.target);
    }
    Ok(())
}

async fn sent(control: &Control, kind: &str) -> Result<u64, Box<dyn Error>> {
    let ports = control.list_ports().await?;
    Ok(ports.iter().filter(|p| p.kind == kind).map(|p| p.counters.tx_frames()).sum())
}
