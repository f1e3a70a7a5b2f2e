//! Two machines with devices of their own, from nothing to ping.

use std::{fs, time::Instant};

use super::{link_in, start_at};
use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    process::{Site, run},
    switch::command,
    wait_until,
};

/// The two commands on each side: `init` and `sw`, `join` and `sw`.
#[test]
fn two_commands_on_each_side_make_a_secure_lan() {
    let (hub, member) = need!(Namespace::pair());
    let (here, there) = (TempDir::new(), TempDir::new());
    let (file, other) = (here.at("etherws.toml"), there.at("etherws.toml"));
    let etherws = |site: &Site, args: &[&str]| run(command(site, args)).ok().stdout;
    let started = Instant::now();
    let said = etherws(&hub.site, &["init", "--config", &file, "--listen", "8443"]);
    assert!(said.contains("wss://192.0.2.1:8443/"), "by the address that it has: {said}");
    let switch = start_at(&hub.site, &file);
    wait_until("the hub", || switch.stderr.contains("service: tunnel"));
    let said =
        etherws(&member.site, &["join", "--config", &other, "--tap", "lan0", &link_in(&said)]);
    assert!(said.contains("10.99.0.2/24, on lan0"), "{said}");
    let _tunnel = start_at(&member.site, &other);
    wait_until("a ping", || member.pings("10.99.0.1", 56));
    println!("from nothing to ping in {:?}", started.elapsed());
    let text = fs::read_to_string(&other).unwrap();
    assert!(text.contains("pin = [\"sha256:") && !text.contains("insecure"), "{text}");

    // Whoever leaves is gone, with the device.
    etherws(&member.site, &["leave", "--config", &other]);
    let left = fs::read_to_string(&other).unwrap();
    assert!(!left.contains("lan0") && !left.contains("client"), "{left}");
}
