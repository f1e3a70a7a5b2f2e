//! Loops between real devices: each is found and cut within two seconds, and two hosts
//! on other ports never notice.

use std::time::Duration;

use crate::support::{lab::Namespace, need, switch::Switch, wait_until, wait_within};

/// In which a loop must be found.
const FOUND: Duration = Duration::from_secs(2);

/// Two hosts, each on a cable to a netdev port of one switch.
struct Hosts {
    switch: Switch,
    left: Namespace,
    right: Namespace,
    // Ends last.
    middle: Namespace,
}

impl Hosts {
    fn new() -> Result<Self, String> {
        let middle = Namespace::new()?;
        middle.can_make_taps()?;
        let (left, right) = (middle.sibling(), middle.sibling());
        let switch = Switch::start_at(&middle.site, &[]);
        for (host, device, address) in [(&left, "h1", 1), (&right, "h2", 2)] {
            host.cable("eth0", &middle, device);
            host.ip(&format!("addr add 198.51.100.{address}/24 dev eth0"));
            switch.add(&["netdev", device]);
        }
        let hosts = Self { switch, left, right, middle };
        wait_until("pings", || hosts.left.pings("198.51.100.2", 56));
        Ok(hosts)
    }

    /// Has a broadcast circulate, and gives the port that is blocked for it.
    fn blocked(&self) -> u64 {
        // Nobody has this address: ARP asks for it.
        let asks = self.left.start("ping", &["-n", "-i", "0.2", "198.51.100.99"]);
        let blocked = wait_within(FOUND, "the loop to be found", || {
            let ports = self.switch.ports();
            let port = ports.iter().find(|port| port["state"] == "loop")?;
            port["port"].as_u64()
        });
        drop(asks);
        blocked
    }

    /// Neither hosts nor the switch have anything of a storm.
    fn are_well(&self) {
        self.left.ip("neigh flush dev eth0");
        for _ in 0..3 {
            assert!(self.left.pings("198.51.100.2", 56));
            assert!(self.right.pings("198.51.100.1", 1472));
        }
        let received = || self.switch.port(1)["tx"].as_u64().expect("a number");
        let before = received();
        assert!(self.left.pings("198.51.100.2", 56));
        assert!(received() - before < 100, "frames circulate");
    }
}

#[test]
fn a_switch_that_is_joined_to_itself() {
    let hosts = need!(Hosts::new());
    hosts.middle.ip("link add name v0 type veth peer name v1");
    for device in ["v0", "v1"] {
        hosts.middle.ip(&format!("link set {device} up"));
        hosts.switch.add(&["netdev", device]);
    }
    assert_eq!(hosts.blocked(), 4);
    hosts.are_well();
    let shown = hosts.switch.ctl(&["listport"]).ok();
    assert!(shown.stdout.contains("netdev  loop"), "{}", shown.stdout);
    assert!(shown.stderr.contains("Port 4: it leads to the same network as port 3"));
    let log = &hosts.switch.process.stderr;
    wait_until("a warning", || log.contains("loop: port is blocked"));
}

#[test]
fn two_tunnels_in_parallel() {
    let hosts = need!(Hosts::new());
    // One switch on the other side, and both ends of each tunnel in one namespace.
    let other = Switch::start_at(&hosts.middle.site, &[]);
    for _ in 0..2 {
        hosts.switch.add(&["client", &other.url()]);
    }
    let asks = hosts.left.start("ping", &["-n", "-i", "0.2", "198.51.100.99"]);
    wait_within(FOUND, "the loop to be found", || {
        let mut ports = hosts.switch.ports();
        ports.extend(other.ports());
        ports.iter().any(|port| port["state"] == "loop").then_some(())
    });
    drop(asks);
    hosts.are_well();
}

#[test]
fn a_tap_and_a_netdev_on_one_bridge() {
    let hosts = need!(Hosts::new());
    hosts.middle.ip("link add name br0 type bridge");
    hosts.middle.ip("link add name v0 type veth peer name v1");
    hosts.switch.add(&["tap", "ewp0"]);
    for device in ["v0", "ewp0"] {
        hosts.middle.ip(&format!("link set {device} master br0 up"));
    }
    for device in ["br0", "v1"] {
        hosts.middle.ip(&format!("link set {device} up"));
    }
    hosts.switch.add(&["netdev", "v1"]);
    assert_eq!(hosts.blocked(), 4);
    hosts.are_well();
}

#[test]
fn without_the_guard_no_port_is_blocked() {
    let middle = need!(Namespace::new());
    let switch = Switch::start_at(&middle.site, &["--no-loopguard"]);
    middle.ip("link add name v0 type veth peer name v1");
    for device in ["v0", "v1"] {
        middle.ip(&format!("link set {device} up"));
        switch.add(&["netdev", device]);
    }
    let set = switch.json(&["setport", "2", "--loopguard", "on"]);
    assert_eq!(set[0]["state"], "up", "it is looked for from now on");
    wait_within(FOUND, "the loop to be found", || {
        (switch.port(2)["state"] == "loop").then_some(())
    });
    let set = switch.json(&["setport", "2", "--loopguard", "off"]);
    assert_eq!(set[0]["state"], "up");
}
