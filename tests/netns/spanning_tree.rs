//! Bridges with rapid spanning tree around a switch that takes no part in it: Open vSwitch in
//! user space.

use std::time::Duration;

use super::{longest_gap, openvswitch::OpenVSwitch};
use crate::support::{lab::Namespace, need, switch::Switch, wait_until};

#[test]
fn a_path_through_the_switch_stands_in_for_a_cable_in_a_second() {
    let middle = need!(Namespace::new());
    let bridges = need!(OpenVSwitch::start(&middle));
    let (left, right) = (middle.sibling(), middle.sibling());
    left.cable("eth0", &middle, "ha");
    right.cable("eth0", &middle, "hb");
    for (host, address) in [(&left, 1), (&right, 2)] {
        host.ip(&format!("addr add 198.51.100.{address}/24 dev eth0"));
    }
    for (one, other) in [("o1", "o2"), ("ea", "e1"), ("eb", "e2")] {
        middle.ip(&format!("link add name {one} type veth peer name {other}"));
        middle.ip(&format!("link set {one} up"));
        middle.ip(&format!("link set {other} up"));
    }
    for (bridge, ports) in [("bra", ["ha", "o1", "ea"]), ("brb", ["hb", "o2", "eb"])] {
        bridges.ctl(&format!("--no-wait add-br {bridge}"));
        bridges
            .ctl(&format!("--no-wait set bridge {bridge} datapath_type=netdev rstp_enable=true"));
        for port in ports {
            bridges.ctl(&format!("--no-wait add-port {bridge} {port}"));
        }
    }
    for port in ["ea", "eb"] {
        bridges.ctl(&format!("--no-wait set port {port} other_config:rstp-path-cost=200000"));
    }
    let switch = Switch::start_at(&middle.site, &[]);
    for device in ["e1", "e2"] {
        switch.add(&["netdev", device]);
    }
    wait_until("pings", || left.pings("198.51.100.2", 56));
    // The bridges know of both ways, and have closed the longer one: the loop guard finds none.
    wait_until("a tree", || {
        let state = |port| bridges.ask(&["get", "port", port, "rstp_status:rstp_port_state"]);
        ["ea", "eb"].iter().filter(|port| state(port).contains("Discarding")).count() == 1
            && ["o1", "o2"].iter().all(|port| state(port).contains("Forwarding"))
    });
    assert!(switch.ports().iter().all(|port| port["state"] == "up"));
    let mut ping = left.start("ping", &["-n", "-D", "-i", "0.02", "-w", "8", "198.51.100.2"]);
    wait_until("answers", || ping.stdout.text().lines().count() > 50);
    // The far host is learned on the near side of the switch, too.
    right.run("ping", &["-n", "-c", "1", "-W", "1", "-b", "198.51.100.255"]);
    middle.ip("link set o1 down");
    ping.wait_exit();
    let gap = longest_gap(&ping.stdout.text());
    println!("gap of {gap:?}");
    assert!(gap <= Duration::from_secs(1), "{gap:?}");
}
