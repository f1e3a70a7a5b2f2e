//! netdev ports: interfaces that are there already, whose peers leave checksums and
//! segmentation to the medium; and a Linux bridge.

use super::transfer::transfer;
use crate::support::{
    lab::Namespace,
    need,
    peers::{self, python},
    switch::Switch,
    wait_until,
};

/// Hosts `left` and `right`, each on a cable to a switch of ours, which joins the
/// other by a WebSocket. The switches use the hosts' other ends as they are.
struct Hosts {
    left: Namespace,
    right: Namespace,
    one: Switch,
    other: Switch,
    // Ends last.
    middle: (Namespace, Namespace),
}

impl Hosts {
    fn new() -> Result<Self, String> {
        let (a, b) = Namespace::pair()?;
        let (left, right) = (a.sibling(), a.sibling());
        left.cable("eth0", &a, "host0");
        right.cable("eth0", &b, "host0");
        left.ip("addr add 198.51.100.1/24 dev eth0");
        right.ip("addr add 198.51.100.2/24 dev eth0");
        let one = Switch::start_at(&a.site, &["--host", "192.0.2.1", "--port", "80"]);
        let other = Switch::start_at(&b.site, &[]);
        for switch in [&one, &other] {
            assert_eq!(switch.add(&["netdev", "host0"]), 1);
        }
        other.add(&["client", "ws://192.0.2.1/"]);
        Ok(Self { left, right, one, other, middle: (a, b) })
    }

    fn wait_ping(&self) {
        // From both ends, for a device that was made anew: see `Pair::wait_ping`.
        wait_until("pings through the tunnel", || {
            self.left.pings("198.51.100.2", 56) & self.right.pings("198.51.100.1", 56)
        });
    }
}

#[test]
fn hosts_behind_netdevs_reach_each_other() {
    let hosts = need!(Hosts::new());
    hosts.wait_ping();
    assert!(hosts.left.pings("198.51.100.2", 1472));
    assert!(hosts.right.pings("198.51.100.1", 20_000));
    for (switch, host) in [(&hosts.one, &hosts.middle.0), (&hosts.other, &hosts.middle.1)] {
        let port = switch.port(1);
        assert_eq!((&port["type"], &port["target"]), (&"netdev".into(), &"host0".into()));
        let link = host.ip("-d link show dev host0");
        assert!(link.contains("promiscuity 1"), "{link}");
    }
    // What the switch sent itself does not come back in.
    assert!(hosts.one.ports().iter().all(|port| port["discards"]["same-port"] == 0));
}

#[test]
fn tcp_of_a_host_with_tso_arrives_intact() {
    need!(python());
    let hosts = need!(Hosts::new());
    hosts.wait_ping();
    transfer(&hosts.right.site, &hosts.left.site, "198.51.100.1", 100_000_000);
    transfer(&hosts.left.site, &hosts.right.site, "198.51.100.2", 100_000_000);
    hosts.left.ip("addr add 2001:db8::1/64 dev eth0 nodad");
    hosts.right.ip("addr add 2001:db8::2/64 dev eth0 nodad");
    wait_until("a ping", || hosts.right.pings("2001:db8::1", 56));
    transfer(&hosts.right.site, &hosts.left.site, "2001:db8::1", 20_000_000);
}

#[test]
fn tags_survive_a_netdev() {
    need!(python());
    let hosts = need!(Hosts::new());
    hosts.wait_ping();
    let from = "020000000001";
    let frames = [
        format!("ffffffffffff{from}8100a00a88b5{}", "11".repeat(46)),
        format!("ffffffffffff{from}81000fff88b5{}", "22".repeat(1496)),
        format!("ffffffffffff{from}88a800148100000a88b5{}", "33".repeat(46)),
    ];
    let listen = need!(peers::start(&hosts.right.site, "frames.py", &["receive", "eth0", from]));
    assert_eq!(listen.stdout.next("the listener"), "ready");
    let mut args = vec!["send", "eth0"];
    args.extend(frames.iter().map(String::as_str));
    assert!(need!(peers::start(&hosts.left.site, "frames.py", &args)).wait_exit().success());
    for frame in &frames {
        assert_eq!(&listen.stdout.next("a frame"), frame);
    }
    let fdb = hosts.one.json(&["listfdb"]);
    assert!(fdb.iter().any(|entry| entry["vid"] == 10 && entry["port"] == 1), "{fdb:?}");
}

#[test]
fn a_vanished_netdev_comes_back_under_its_number() {
    let hosts = need!(Hosts::new());
    hosts.wait_ping();
    hosts.left.ip("link del eth0");
    wait_until("the loss", || hosts.one.port(1)["state"] != "up");
    assert!(hosts.one.json(&["listfdb"]).iter().all(|entry| entry["port"] != 1));
    hosts.left.cable("eth0", &hosts.middle.0, "host0");
    hosts.left.ip("addr add 198.51.100.1/24 dev eth0");
    hosts.one.wait_state(1, "up");
    hosts.wait_ping();
}

#[test]
fn a_netdev_that_goes_down_for_a_while_is_waited_for() {
    let hosts = need!(Hosts::new());
    hosts.wait_ping();
    hosts.middle.0.ip("link set host0 down");
    assert!(!hosts.right.pings("198.51.100.1", 56));
    hosts.middle.0.ip("link set host0 up");
    hosts.wait_ping();
}

#[test]
fn a_netdev_on_loopback_is_refused() {
    let namespace = need!(Namespace::new());
    let switch = Switch::start_at(&namespace.site, &[]);
    let refused = switch.ctl(&["addport", "netdev", "lo"]).failed();
    assert!(refused.stderr.contains("lo is the loopback interface"), "{}", refused.stderr);
    assert!(switch.ports().is_empty());
}

#[test]
fn a_linux_bridge_takes_a_tap_as_its_port() {
    let (a, b) = need!(Namespace::pair());
    let host = a.sibling();
    a.ip("link add name br0 type bridge");
    a.ip("link set br0 up");
    host.cable("eth0", &a, "host0");
    a.ip("link set host0 master br0");
    let left = Switch::start_at(&a.site, &["--host", "192.0.2.1", "--port", "80"]);
    let right = Switch::start_at(&b.site, &[]);
    left.add(&["tap", "ewp0"]);
    a.ip("link set ewp0 master br0");
    right.add(&["tap", "ewp0"]);
    right.ctl(&["setif", "--address", "198.51.100.2/24", "1"]).ok();
    right.add(&["client", "ws://192.0.2.1/"]);
    host.ip("addr add 198.51.100.1/24 dev eth0");
    wait_until("a ping through bridge and tunnel", || b.pings("198.51.100.1", 1472));
    assert!(host.pings("198.51.100.2", 8000));
    let learned = a.run("bridge", &["fdb", "show", "br", "br0"]).ok().stdout;
    assert!(learned.contains("ewp0"), "{learned}");
}
