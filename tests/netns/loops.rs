//! Loops between real devices: each is found and cut within two seconds, and two hosts
//! on other ports never notice.

use std::time::{Duration, Instant};

use super::longest_gap;
use crate::support::{
    lab::Namespace,
    need,
    peers::{python, script},
    process::run,
    switch::Switch,
    wait_until, wait_within,
};

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
    assert!(shown.stdout.contains("it leads to the same network as port 3"));
    let log = &hosts.switch.process.stderr;
    wait_until("a warning", || log.contains("loop: port is blocked"));
}

#[test]
fn two_tunnels_in_parallel_of_which_one_stands_in_for_the_other() {
    let hosts = need!(Hosts::new());
    // One switch on the other side, with a host of its own.
    let other = Switch::start_at(&hosts.middle.site, &[]);
    let far = hosts.middle.sibling();
    far.cable("eth0", &hosts.middle, "h3");
    far.ip("addr add 198.51.100.3/24 dev eth0");
    other.add(&["netdev", "h3"]);
    let blocked = || {
        let ports = hosts.switch.ports().into_iter().chain(other.ports());
        ports.filter(|port| port["state"] == "loop").count()
    };
    let mut tunnels: Vec<_> = (0..2).map(|_| hosts.switch.add(&["client", &other.url()])).collect();
    wait_within(FOUND, "the loop to be found", || (blocked() == 1).then_some(()));
    hosts.are_well();
    wait_until("pings", || far.pings("198.51.100.1", 56));
    let mut ping =
        hosts.left.start("ping", &["-n", "-D", "-i", "0.05", "-w", "12", "198.51.100.3"]);
    let answers = || ping.stdout.text().lines().count();
    for change in 0..4 {
        let before = answers();
        wait_until("answers", || answers() > before + 20);
        // Each of both goes, and comes again.
        let gone = tunnels.remove(0);
        hosts.switch.ctl(&["delport", &gone.to_string()]).ok();
        wait_within(FOUND, "one way", || (blocked() == 0).then_some(()));
        let before = answers();
        wait_until("answers", || answers() > before + 10);
        tunnels.push(hosts.switch.add(&["client", &other.url()]));
        wait_within(FOUND, "the loop to be found", || (blocked() == 1).then_some(()));
        println!("change {change}");
    }
    ping.wait_exit();
    let gap = longest_gap(&ping.stdout.text());
    println!("gap of {gap:?}");
    assert!(gap <= Duration::from_secs(1), "{gap:?}");
}

#[test]
fn a_switch_with_a_tunnel_to_itself() {
    let hosts = need!(Hosts::new());
    hosts.switch.add(&["client", &hosts.switch.url()]);
    hosts.blocked();
    hosts.are_well();
}

/// Waits until one port of these switches is blocked, and sees that it is one and stays one.
fn one_is_blocked(switches: &[&Switch]) {
    let blocked = || {
        let ports = switches.iter().flat_map(|switch| switch.ports());
        ports.filter(|port| port["state"] == "loop").count()
    };
    wait_within(FOUND, "the loop to be found", || (blocked() == 1).then_some(()));
    let start = Instant::now();
    wait_until("a second", || {
        assert_eq!(blocked(), 1);
        start.elapsed() > Duration::from_secs(1)
    });
}

#[test]
fn a_ring_of_three_switches() {
    let hosts = need!(Hosts::new());
    let [second, third] = [(); 2].map(|()| Switch::start_at(&hosts.middle.site, &[]));
    hosts.switch.add(&["client", &second.url()]);
    second.add(&["client", &third.url()]);
    third.add(&["client", &hosts.switch.url()]);
    one_is_blocked(&[&hosts.switch, &second, &third]);
    hosts.are_well();
}

#[test]
fn two_hubs_and_a_client_at_both() {
    let hosts = need!(Hosts::new());
    let [hub, client] = [(); 2].map(|()| Switch::start_at(&hosts.middle.site, &[]));
    hosts.switch.add(&["client", &hub.url()]);
    let far = hosts.middle.sibling();
    far.cable("eth0", &hosts.middle, "h3");
    far.ip("addr add 198.51.100.3/24 dev eth0");
    client.add(&["netdev", "h3"]);
    for url in [hosts.switch.url(), hub.url()] {
        client.add(&["client", &url]);
    }
    one_is_blocked(&[&hosts.switch, &hub, &client]);
    hosts.are_well();
    wait_until("pings", || far.pings("198.51.100.1", 56));
}

/// Two switches, each of which has a tunnel to the other: each of both tunnels goes and comes
/// again, whichever carries the frames.
#[test]
fn two_tunnels_that_each_side_has_opened() {
    let hosts = need!(Hosts::new());
    let other = Switch::start_at(&hosts.middle.site, &[]);
    let far = hosts.middle.sibling();
    far.cable("eth0", &hosts.middle, "h3");
    far.ip("addr add 198.51.100.3/24 dev eth0");
    other.add(&["netdev", "h3"]);
    let open = |at: usize| match at {
        0 => hosts.switch.add(&["client", &other.url()]),
        _ => other.add(&["client", &hosts.switch.url()]),
    };
    let mut tunnels = [open(0), open(1)];
    one_is_blocked(&[&hosts.switch, &other]);
    wait_until("pings", || far.pings("198.51.100.1", 56));
    let mut ping =
        hosts.left.start("ping", &["-n", "-D", "-i", "0.05", "-w", "20", "198.51.100.3"]);
    for at in [0, 1, 1, 0, 0, 1] {
        let closer = if at == 0 { &hosts.switch } else { &other };
        closer.ctl(&["delport", &tunnels[at].to_string()]).ok();
        let before = ping.stdout.text().lines().count();
        wait_until("answers", || ping.stdout.text().lines().count() > before + 10);
        tunnels[at] = open(at);
        one_is_blocked(&[&hosts.switch, &other]);
    }
    ping.wait_exit();
    let gap = longest_gap(&ping.stdout.text());
    println!("gap of {gap:?}");
    assert!(gap <= Duration::from_secs(1), "{gap:?}");
}

#[test]
fn where_bpdus_are_heard_a_loop_is_left_to_spanning_tree_for_three_hello_times() {
    need!(python());
    let hosts = need!(Hosts::new());
    hosts.middle.ip("link add name v0 type veth peer name v1");
    for device in ["v0", "v1"] {
        hosts.middle.ip(&format!("link set {device} up"));
    }
    // A bridge that is not on the loop, and does nothing about it.
    let bpdu = "0180c20000000200000000bb0026424203000002023c".to_owned() + &"00".repeat(38);
    let send = || {
        let mut send = hosts.middle.site.command(python().expect("asked for before"));
        send.args([&*script("frames.py"), "send", "v0", &bpdu]);
        run(send).ok();
    };
    for device in ["v0", "v1"] {
        hosts.switch.add(&["netdev", device]);
    }
    let asks = hosts.left.start("ping", &["-n", "-i", "0.2", "198.51.100.99"]);
    let start = Instant::now();
    wait_within(Duration::from_secs(12), "the loop to be cut", || {
        send();
        hosts.switch.ports().iter().any(|port| port["state"] == "loop").then_some(())
    });
    let time = start.elapsed();
    println!("cut after {time:?}");
    drop(asks);
    assert!(time > Duration::from_secs(5) && time < Duration::from_secs(9), "{time:?}");
    // The storm of these seconds has moved their addresses.
    let start = Instant::now();
    wait_until("pings", || hosts.left.pings("198.51.100.2", 56));
    println!("pings after {:?}", start.elapsed());
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
