//! Whole networks: namespaces joined by cables, real TAP devices, veth and bridges.
//! Without root, where user namespaces are allowed.

mod addresses;
mod bridges;
mod carry;
mod devices;
mod frames;
mod guards;
mod hosts;
mod identity;
mod interface;
mod links;
mod lldp;
mod loops;
mod mirrors;
mod multicast;
mod neighbors;
mod netdev;
mod offload;
mod openvswitch;
mod rates;
mod recovery;
mod rstp;
mod spanning_tree;
mod transfer;
mod vlans;

use std::time::Duration;

use crate::support::{lab::Namespace, need, switch::Switch, wait_until};

/// Longest time between two answers in what `ping -D` has printed.
fn longest_gap(text: &str) -> Duration {
    let time = |line: &str| line.strip_prefix('[')?.split(']').next()?.parse::<f64>().ok();
    let answers = text.lines().filter(|line| line.contains("bytes from"));
    let times: Vec<_> = answers.filter_map(time).collect();
    assert!(times.len() > 20, "{text}");
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    Duration::from_secs_f64(longest)
}

/// Asserts that no port of these switches has lost a frame at its device.
fn assert_none_lost(switches: &[&Switch]) {
    for port in switches.iter().flat_map(|switch| switch.ports()) {
        for reason in ["on-error", "too-long", "truncated", "unknown-offload"] {
            assert_eq!(port["discards"][reason], 0, "{port:#}");
        }
    }
}

/// Two switches at the two ends of a cable, each with a TAP, joined by a WebSocket.
pub(super) struct Pair {
    pub(super) left: Switch,
    pub(super) right: Switch,
    // After the switches, which end first.
    pub(super) a: Namespace,
    pub(super) b: Namespace,
}

/// Addresses of the two TAPs.
pub(super) const A: &str = "198.51.100.1";
pub(super) const B: &str = "198.51.100.2";

impl Pair {
    /// The left one listens with `listen` at `url`, the right one adds a client port
    /// with `client`.
    pub(super) fn new(listen: &[&str], client: &[&str]) -> Result<Self, String> {
        let (a, b) = Namespace::pair()?;
        let args = [&["--host", "192.0.2.1", "--port", "8080"], listen].concat();
        let left = Switch::start_at(&a.site, &args);
        let right = Switch::start_at(&b.site, &[]);
        for (switch, address) in [(&left, A), (&right, B)] {
            assert_eq!(switch.add(&["tap", "ewp%d"]), 1);
            switch.ctl(&["setif", "--address", &format!("{address}/24"), "1"]).ok();
        }
        let scheme = if listen.contains(&"--sslkey") { "wss" } else { "ws" };
        let url = format!("{scheme}://192.0.2.1:8080/");
        assert_eq!(right.add(&[&["client"], client, &[&url]].concat()), 2);
        Ok(Self { left, right, a, b })
    }

    /// Starts the left switch again after its end, as it was.
    pub(super) fn restart_left(&mut self) {
        self.left = Switch::start_at(&self.a.site, &["--host", "192.0.2.1", "--port", "8080"]);
        // The other side may be back before it, and have the first number.
        let tap = self.left.add(&["tap", "ewp0"]).to_string();
        self.left.ctl(&["setif", "--address", &format!("{A}/24"), &tap]).ok();
    }

    /// The same for the right one.
    pub(super) fn restart_right(&mut self) {
        self.right = Switch::start_at(&self.b.site, &[]);
        self.right.add(&["tap", "ewp0"]);
        self.right.ctl(&["setif", "--address", &format!("{B}/24"), "1"]).ok();
        self.right.add(&["client", "ws://192.0.2.1:8080/"]);
    }

    /// Waits until the TAPs reach each other. From both ends: a device that was made
    /// anew has another MAC address, which its own ARP requests make known.
    pub(super) fn wait_ping(&self) {
        wait_until("pings through the tunnel", || self.a.pings(B, 56) & self.b.pings(A, 56));
    }
}

#[test]
fn a_lab_is_a_network_of_its_own() {
    let (a, b) = need!(Namespace::pair());
    assert!(b.pings("192.0.2.1", 56));
    assert!(!a.has_link("ewp0"));
    let c = a.sibling();
    assert!(!c.pings("192.0.2.1", 56), "no cable");
}
