//! Whole networks: namespaces joined by cables, real TAP devices, veth and bridges.
//! Without root, where user namespaces are allowed.

mod devices;
mod frames;
mod interface;
mod loops;
mod netdev;
mod offload;
mod recovery;
mod transfer;

use crate::support::{lab::Namespace, need, switch::Switch, wait_until};

/// Two switches at the two ends of a cable, each with a TAP, joined by a WebSocket.
struct Pair {
    left: Switch,
    right: Switch,
    // After the switches, which end first.
    a: Namespace,
    b: Namespace,
}

/// Addresses of the two TAPs.
const A: &str = "198.51.100.1";
const B: &str = "198.51.100.2";

impl Pair {
    /// The left one listens with `listen` at `url`, the right one adds a client port
    /// with `client`.
    fn new(listen: &[&str], client: &[&str]) -> Result<Self, String> {
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

    /// Waits until the TAPs reach each other. From both ends: a device that was made
    /// anew has another MAC address, which its own ARP requests make known.
    fn wait_ping(&self) {
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
